"""Ranking measures: by hand, and against trec_eval's own code through ir-measures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.quality.ranking import (
    average_precision,
    by_score,
    ndcg,
    recall,
    reciprocal_rank,
)

GRADES = {"a": 2, "b": 1, "c": 0, "x": 1}
RANKING = ["c", "b", "q", "a"]


def test_ndcg_has_linear_gain_and_the_ideal_of_all_judged_documents() -> None:
    dcg = 1 / math.log2(3) + 2 / math.log2(5)
    ideal = 2 + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg(RANKING, GRADES, 10) == pytest.approx(dcg / ideal)
    # At 2 the ideal too is cut off after two.
    assert ndcg(RANKING, GRADES, 2) == pytest.approx((1 / math.log2(3)) / (2 + 1 / math.log2(3)))


def test_recall_is_of_all_relevant_documents() -> None:
    assert recall(RANKING, GRADES, 4) == pytest.approx(2 / 3)
    assert recall(RANKING, GRADES, 2) == pytest.approx(1 / 3)


def test_reciprocal_rank_is_of_the_first_relevant_document() -> None:
    assert reciprocal_rank(RANKING, GRADES, 10) == 0.5
    assert reciprocal_rank(RANKING, GRADES, 1) == 0


def test_average_precision_is_divided_by_all_relevant_documents() -> None:
    assert average_precision(RANKING, GRADES, 100) == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert average_precision(RANKING, GRADES, 3) == pytest.approx((1 / 2) / 3)


def test_a_query_without_a_relevant_document_or_a_ranking_counts_0() -> None:
    for measure in (ndcg, recall, reciprocal_rank, average_precision):
        assert measure(RANKING, {"a": 0}, 10) == 0
        assert measure([], GRADES, 10) == 0
        assert measure(["a", "b", "x"], GRADES, 10) == pytest.approx(1)


def test_a_negative_grade_is_no_gain_and_no_loss() -> None:
    assert ndcg(["bad", "a"], {"a": 1, "bad": -2}, 10) == pytest.approx(1 / math.log2(3))


def test_equal_scores_are_ordered_by_document_id_backwards() -> None:
    assert by_score({"d1": 0.5, "d3": 0.5, "d2": 0.9, "d10": 0.5}) == ["d2", "d3", "d10", "d1"]


DOCUMENTS = [f"d{number}" for number in range(14)]
JUDGED = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 3), min_size=1)
SCORED = st.dictionaries(
    st.sampled_from(DOCUMENTS), st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=1
)


@given(
    st.dictionaries(st.sampled_from(["q1", "q2", "q3"]), JUDGED, min_size=1),
    st.dictionaries(st.sampled_from(["q1", "q2", "q3"]), SCORED),
    st.sampled_from([1, 3, 10]),
)
@settings(deadline=None, max_examples=60)
def test_all_measures_agree_with_ir_measures_to_six_digits(
    judged: dict[str, dict[str, int]], scored: dict[str, dict[str, float]], k: int
) -> None:
    oracle = pytest.importorskip("ir_measures")
    rankings = {query: by_score(scores) for query, scores in scored.items() if query in judged}
    # RR@k of ir-measures breaks ties the other way round than trec_eval does, so it is given none.
    untied = {
        query: {document: float(-rank) for rank, document in enumerate(ranking)}
        for query, ranking in rankings.items()
    }
    tied = {query: scored[query] for query in rankings}
    for name, measure, run in (
        (oracle.nDCG @ k, ndcg, tied),
        (oracle.R @ k, recall, tied),
        (oracle.AP @ k, average_precision, tied),
        (oracle.RR @ k, reciprocal_rank, untied),
    ):
        expected = oracle.calc_aggregate([name], judged, run or {"q1": {}})[name]
        mine = [measure(rankings.get(query, []), grades, k) for query, grades in judged.items()]
        assert sum(mine) / len(mine) == pytest.approx(expected, abs=5e-7)
