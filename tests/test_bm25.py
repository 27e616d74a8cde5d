"""BM25: by hand, and against bm25s."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.bm25 import Bm25, best, words
from minionbench.clock import process_cpu_ns
from minionbench.workloads.finance import example
from minionbench.workloads.tokenizer import reference_tokenizer

TEXTS = ["red fox", "red red dog", "blue"]


def test_the_score_is_the_formulas() -> None:
    scores = Bm25(TEXTS, k1=1.2, b=0.75).scores("red")
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    assert scores == {
        0: pytest.approx(idf * 1 / (1 + 1.2 * (0.25 + 0.75 * 2 / 2))),
        1: pytest.approx(idf * 2 / (2 + 1.2 * (0.25 + 0.75 * 3 / 2))),
    }


def test_a_word_that_stands_twice_in_the_query_counts_twice() -> None:
    index = Bm25(TEXTS)
    assert index.scores("red RED")[0] == pytest.approx(2 * index.scores("red")[0])


def test_the_best_come_first_and_ties_in_their_own_order() -> None:
    assert Bm25(TEXTS).top("red dog", 5) == [1, 0]
    assert Bm25(["a x", "b x", "c x"]).top("x", 2) == [0, 1]
    assert best(TEXTS, "blue", 1) == [2]


def test_nothing_is_found_where_no_word_is_shared() -> None:
    assert Bm25(TEXTS).top("green", 3) == []
    assert Bm25([]).top("red", 3) == []
    assert Bm25(["", ""]).top("red", 3) == []
    assert len(Bm25(TEXTS)) == 3


def test_words_are_runs_of_letters_and_digits_in_lower_case() -> None:
    assert words("Net income 2023: 4,512 (Ärger)") == ["net", "income", "2023", "4", "512", "ärger"]


WORDS = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=12)


@given(st.lists(WORDS, min_size=1, max_size=8), WORDS)
@settings(deadline=None, max_examples=40)
def test_scores_agree_with_bm25s(texts: list[list[str]], query: list[str]) -> None:
    bm25s = pytest.importorskip("bm25s")
    oracle = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    oracle.index(texts, show_progress=False)
    # Its own query holds each word once; where a word is repeated ours counts it again.
    once = list(dict.fromkeys(query))
    known = [word for word in once if any(word in text for text in texts)]
    mine = Bm25([" ".join(text) for text in texts]).scores(" ".join(once))
    expected = oracle.get_scores(known) if known else [0.0] * len(texts)
    for place in range(len(texts)):
        assert mine.get(place, 0.0) == pytest.approx(float(expected[place]), abs=1e-5)


def test_the_chunks_of_a_long_document_are_indexed_and_searched_within_a_third_of_a_second() -> (
    None
):
    document = example(1, 1, reference_tokenizer().count, 120_000).document or ""
    chunks = [document[at : at + 1500] for at in range(0, len(document), 1500)]
    start = process_cpu_ns()
    index = Bm25(chunks)
    for _ in range(10):
        index.top("What was Total revenue 2023?", 10)
    # CPU time, so that a busy machine does not matter; it takes about 20 ms.
    assert process_cpu_ns() - start < 300_000_000
