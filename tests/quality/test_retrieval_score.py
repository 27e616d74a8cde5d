"""The retrieval score: scripted rankers get what they must, and small cases come out by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import msgspec
import pytest

from minionbench.deployments.single import Local
from minionbench.exchange import Outcome
from minionbench.metrics.value import MetricValue
from minionbench.quality.corpus import Corpus
from minionbench.quality.corpus_drawn import built_in_corpus
from minionbench.quality.ranking import ndcg
from minionbench.quality.retrieval import ListwiseReranker, PointwiseReranker
from minionbench.quality.retrieval_score import retrieval_score
from minionbench.quality.retrieval_task import retrieval_task
from minionbench.records import RequestRecord, decode_record, encode_record
from tests.quality.driving import drive, drive_all

CORPUS = built_in_corpus()
TASK = retrieval_task(CORPUS)
PASSAGE = re.compile(r"^\[(\d+)\] (.*)$", re.MULTILINE)
QUERY = re.compile(r"^Query: (.*)$", re.MULTILINE)
GRADE = {
    (text, document): CORPUS.judgements[query].get(identity, 0)
    for query, text in CORPUS.queries.items()
    for identity, document in CORPUS.documents.items()
}


def grades(prompt: str) -> list[tuple[str, int]]:
    """(number, grade) of each passage that a prompt shows."""
    query = QUERY.findall(prompt)[-1]
    return [(number, GRADE[query, text]) for number, text in PASSAGE.findall(prompt)]


def perfect(prompt: str) -> str:
    return " > ".join(f"[{n}]" for n, _ in sorted(grades(prompt), key=lambda one: -one[1]))


def worst(prompt: str) -> str:
    return " > ".join(f"[{n}]" for n, _ in sorted(grades(prompt), key=lambda one: one[1]))


def keeping(prompt: str) -> str:
    return " > ".join(f"[{n}]" for n, _ in grades(prompt))


def reversing(prompt: str) -> str:
    return " > ".join(f"[{n}]" for n, _ in reversed(grades(prompt)))


def listwise(
    model: Callable[[str], str | Outcome], window: int = 5, step: int = 2
) -> list[RequestRecord]:
    """The records of the built-in task."""
    reranker = ListwiseReranker(Local(), window=window, step=step)
    return drive_all(reranker, TASK.requests(), model)


def mean_ndcg(order: Callable[[tuple[str, ...]], tuple[str, ...]]) -> float:
    """100 × mean nDCG@10 of an order made of the one shown."""
    values = [ndcg(order(one.shown), CORPUS.judgements[one.query_id], 10) for one in TASK.queries]
    return 100 * sum(values) / len(values)


@pytest.mark.parametrize(("window", "step"), [(5, 2), (12, 6), (20, 10), (4, 1)])
def test_a_perfect_ranker_reaches_the_ceiling(window: int, step: int) -> None:
    value = retrieval_score(TASK, listwise(perfect, window, step))
    assert value.status == "ok"
    assert value.value == pytest.approx(value.metadata["ceiling"]["ndcg_at_10"])
    assert value.value == 100
    assert value.metadata["repairs"] == {
        "missing": 0,
        "repeated": 0,
        "out_of_range": 0,
        "unread": 0,
        "answers": value.metadata["spent"]["calls"],
    }


def test_keeping_the_order_shown_gets_what_the_shuffle_gives_and_not_the_first_stages() -> None:
    value = retrieval_score(TASK, listwise(keeping))
    assert value.value == pytest.approx(mean_ndcg(lambda shown: shown))
    assert value.value == pytest.approx(value.metadata["as_shown"]["ndcg_at_10"])
    assert value.metadata["first_stage"]["ndcg_at_10"] > (value.value or 0) + 10


def test_reversing_one_window_over_all_gets_what_the_reversed_shuffle_gives() -> None:
    value = retrieval_score(TASK, listwise(reversing, 12, 12))
    assert value.value == pytest.approx(mean_ndcg(lambda shown: shown[::-1]))


@pytest.mark.parametrize("said", ["", "I would rather not.", "{}", "\x00", "[99] > [0]"])
def test_garbage_gets_the_shuffles_score_with_every_repair_counted(said: str) -> None:
    value = retrieval_score(TASK, listwise(lambda prompt: said))
    assert value.value == pytest.approx(value.metadata["as_shown"]["ndcg_at_10"])
    repairs = value.metadata["repairs"]
    assert repairs["answers"] == repairs["unread"] == 63 * 5
    assert repairs["missing"] == 63 * 5 * 5
    assert repairs["out_of_range"] == (63 * 5 * 2 if said.startswith("[") else 0)


def test_the_worst_ranker_is_far_below_everything() -> None:
    value = retrieval_score(TASK, listwise(worst, 12, 12))
    assert (value.value or 0) < value.metadata["as_shown"]["ndcg_at_10"] - 20


def test_a_perfect_pointwise_judge_puts_the_best_first() -> None:
    def judge(prompt: str) -> str:
        passage = prompt.partition("\n")[0].removeprefix("Passage: ")
        return "Yes" if GRADE[QUERY.findall(prompt)[-1], passage] == 2 else "No"

    reranker = PointwiseReranker(Local())
    records = drive_all(reranker, TASK.requests(), judge)
    value = retrieval_score(TASK, records, settings=reranker.settings)
    assert value.metadata["settings"] == {
        "mode": "pointwise",
        "likeliest": 20,
        "relevance": "the word Yes or No",
    }
    assert value.metadata["measures"]["mrr_at_10"]["value"] == 100
    assert value.metadata["as_shown"]["ndcg_at_10"] < (value.value or 0) < 100


def test_parts_are_given_beside_the_whole_and_add_up_to_it() -> None:
    value = retrieval_score(TASK, listwise(keeping))
    parts = value.metadata["parts"]
    assert {name: part["queries"] for name, part in parts.items()} == {"figures": 24, "notes": 39}
    for name in ("ndcg_at_10", "first_stage", "ceiling"):
        whole = sum(part["queries"] * part[name] for part in parts.values()) / 63
        expected = {
            "ndcg_at_10": value.value,
            "first_stage": value.metadata["first_stage"]["ndcg_at_10"],
            "ceiling": value.metadata["ceiling"]["ndcg_at_10"],
        }[name]
        assert whole == pytest.approx(expected)


# --- by hand -----------------------------------------------------------------------------------

HAND_CORPUS = Corpus(
    name="hand",
    source="hand",
    key="hand@1",
    version=1,
    documents={"d:a": "red one", "d:b": "red two", "d:c": "blue one", "d:d": "blue two"},
    queries={"q:1": "red", "q:2": "blue"},
    judgements={"q:1": {"d:a": 2, "d:b": 1}, "q:2": {"d:d": 1, "d:gone": 1}},
    left_out={"queries without a judgement": 4},
)
HAND = retrieval_task(HAND_CORPUS, depth=2)


def hand(first: str | Outcome, second: str | Outcome) -> list[RequestRecord]:
    """Records of the two hand-made queries; each names the document to be put first."""
    records = []
    for request, one, wanted in zip(HAND.requests(), HAND.queries, (first, second), strict=True):
        said = [
            wanted if isinstance(wanted, Outcome) else f"[{one.shown.index(wanted) + 1}]",
        ]
        records.append(drive(ListwiseReranker(Local()), request, lambda prompt: said.pop()))  # noqa: B023 - called before the next turn
    return records


def test_a_hand_made_case_comes_out_by_hand() -> None:
    # Query 1: b, a of grades 1, 2. Query 2: c, d of grades 0, 1, and a document that is not there.
    value = retrieval_score(HAND, hand("d:b", "d:c"))
    gain = 1 / math.log2(3)
    first = (1 + 2 * gain) / (2 + gain)
    second = gain / (1 + gain)
    assert value.value == pytest.approx(50 * (first + second))
    measures = {name: entry["value"] for name, entry in value.metadata["measures"].items()}
    assert measures == {
        "ndcg_at_10": pytest.approx(50 * (first + second)),
        "recall_at_10": pytest.approx(50 * (1 + 1 / 2)),
        "mrr_at_10": pytest.approx(50 * (1 + 1 / 2)),
        "map_at_100": pytest.approx(50 * (1 + 1 / 4)),
    }
    assert value.metadata["ceiling"]["ndcg_at_10"] == pytest.approx(50 * (1 + 1 / (1 + gain)))
    assert value.metadata["ceiling"]["recall_at_10"] == pytest.approx(75)
    # BM25 ties "red one" with "red two" and takes the earlier document first.
    assert value.metadata["first_stage"]["ndcg_at_10"] == pytest.approx(50 * (1 + second))
    assert value.metadata["repairs"]["missing"] == 2
    assert value.metadata["left_out"] == {"queries without a judgement": 4}
    assert value.metadata["n"] == 2


def test_a_failed_query_counts_0_in_every_measure() -> None:
    value = retrieval_score(HAND, hand("d:a", Outcome.RESET))
    assert value.value == 50
    assert value.metadata["measures"]["mrr_at_10"]["value"] == 50
    assert (value.metadata["requests"], value.metadata["failed"]) == (2, 1)


def test_a_query_that_was_given_up_counts_0_in_every_measure() -> None:
    first, second = hand("d:a", "d:d")
    gone = msgspec.structs.replace(second, answer=None, abstained="it gave up")
    value = retrieval_score(HAND, [first, gone])
    assert value.value == 50
    assert (value.metadata["failed"], value.metadata["abstained"]) == (0, 1)


def test_a_query_that_the_end_of_the_run_cut_off_is_left_out_of_all_figures() -> None:
    value = retrieval_score(HAND, hand("d:a", Outcome.CUT))
    assert value.value == 100
    assert value.metadata["n"] == 1
    assert value.metadata["ceiling"]["recall_at_10"] == 100
    assert value.metadata["left_out"]["requests cut off by the end of the run"] == 1


def test_when_all_failed_or_nothing_ran_the_reason_is_given() -> None:
    failed = retrieval_score(HAND, hand(Outcome.RESET, Outcome.RESET))
    assert failed.status == "error"
    assert failed.reason == "All 2 requests failed, 2 of them (100%) with reset: it broke"
    assert retrieval_score(HAND, []).reason == "no query was measured"
    cut = retrieval_score(HAND, hand(Outcome.CUT, Outcome.CUT))
    assert (cut.status, cut.reason) == ("skipped", "no query was measured")


def test_without_texts_there_is_nothing_to_judge() -> None:
    records = [msgspec.structs.replace(r, answer=None) for r in hand("d:a", "d:d")]
    assert "not kept" in (retrieval_score(HAND, records).reason or "")


def test_records_of_other_queries_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="not a query"):
        retrieval_score(TASK, hand("d:a", "d:d"))


def test_repeats_of_a_query_count_as_one_query() -> None:
    again = [msgspec.structs.replace(r, repeat=1) for r in hand("d:b", "d:d")]
    value = retrieval_score(HAND, hand("d:a", "d:d") + again)
    gain = 1 / math.log2(3)
    first = (1 + (1 + 2 * gain) / (2 + gain)) / 2
    assert value.value == pytest.approx(50 * (first + 1 / (1 + gain)))
    assert value.metadata["n"] == 2


def test_warm_up_does_not_count() -> None:
    warmup = [msgspec.structs.replace(r, phase="warmup") for r in hand("d:b", "d:c")]
    assert retrieval_score(HAND, warmup + hand("d:a", "d:d")) == retrieval_score(
        HAND, hand("d:a", "d:d")
    )


def interval(value: MetricValue) -> tuple[float, float]:
    bounds = value.metadata["interval"]
    return bounds["low"], bounds["high"]


def test_the_interval_is_over_queries_and_holds_the_score() -> None:
    value = retrieval_score(TASK, listwise(keeping), seed=9)
    low, high = interval(value)
    assert 0 < low < (value.value or 0) < high < 100
    assert value.metadata["n"] == 63
    assert value.metadata["interval"]["method"] == "bootstrap over queries, 2000 resamples, seed 9"


def test_judging_stored_records_again_gives_the_same_value() -> None:
    records = listwise(reversing)
    stored = [decode_record(encode_record(record)) for record in records]
    assert retrieval_score(retrieval_task(built_in_corpus()), stored) == retrieval_score(
        TASK, records
    )
