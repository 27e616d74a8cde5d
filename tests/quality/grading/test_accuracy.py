"""Accuracy of records: what is in the denominator, and how sure the figure is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.exchange import Outcome, Reference
from minionbench.quality.grading.accuracy import accuracy, judge_record
from minionbench.quality.grading.catalog import GRADERS, grader, grader_of
from minionbench.records import RequestRecord
from minionbench.stats import proportion_estimate
from minionbench.workloads import Balanced, Decode, Prefill, chat, finance, maths
from minionbench.workloads.tokenizer import reference_tokenizer
from tests import making

FIVE = Reference(kind="number", value="5")


def answered(
    answer: str | None,
    item: str = "decode@1/0/0/300",
    *,
    reference: Reference | None = FIVE,
    kept: bool = True,
    **fields: Any,
) -> RequestRecord:
    """A record of an answer; `kept` says whether the texts were."""
    record = making.record(item=item, **fields)
    call = msgspec.structs.replace(record.calls[0], prompt=(("user", "?"),) if kept else None)
    return msgspec.structs.replace(record, answer=answer, reference=reference, calls=(call,))


def failed(item: str = "decode@1/0/9/300", outcome: Outcome = Outcome.RESET) -> RequestRecord:
    return answered(None, item, outcome=outcome)


def test_the_figure_is_the_share_of_items_with_wilsons_interval() -> None:
    records = [answered("5" if i < 3 else "6", f"item-{i}") for i in range(4)]
    value = accuracy(records)
    wilson = proportion_estimate(3, 4)
    assert value.status == "ok"
    assert value.value == 75
    assert value.metadata["n"] == 4
    interval = value.metadata["interval"]
    assert wilson.low is not None and wilson.high is not None
    assert interval["low"] == pytest.approx(100 * wilson.low)
    assert interval["high"] == pytest.approx(100 * wilson.high)
    assert interval["method"] == "Wilson score interval over items"
    assert value.metadata["graders"] == ["number@1"]
    assert value.metadata["not_right"] == {"item-3": 0.0}


def test_to_ask_an_item_again_makes_nothing_surer() -> None:
    once = [answered("5", "a"), answered("6", "b")]
    again = [*once, *[answered("5", "a", repeat=r) for r in (1, 2)],
             *[answered("6", "b", repeat=r) for r in (1, 2)]]  # fmt: skip
    assert accuracy(once).value == accuracy(again).value == 50
    assert accuracy(once).metadata["interval"] == accuracy(again).metadata["interval"]
    assert accuracy(again).metadata["requests"] == 6
    assert accuracy(again).metadata["repeats"] == 3


def test_an_item_that_is_right_now_and_then_counts_in_part() -> None:
    records = [answered(text, "a", repeat=r) for r, text in enumerate(("5", "5", "6", "6"))]
    value = accuracy([*records, answered("5", "b")])
    assert value.value == 75
    assert value.metadata["not_right"] == {"a": 0.5}


def test_failures_and_silence_stay_in_the_denominator_and_are_counted() -> None:
    abstained = msgspec.structs.replace(answered(None, "d"), abstained="no answer was found")
    records = [answered("5", "a"), answered("6", "b"), answered("who knows", "c"), abstained,
               answered(" \n", "e"), answered("<think>5", "f"), failed("g"),
               failed("h", Outcome.FILTERED)]  # fmt: skip
    value = accuracy(records)
    assert value.value == 12.5
    counts = {fate: value.metadata[fate] for fate in
              ("right", "wrong", "unread", "empty", "abstained", "failed")}  # fmt: skip
    assert counts == {"right": 1, "wrong": 1, "unread": 1, "empty": 2, "abstained": 1, "failed": 2}
    assert value.metadata["of_answered"] == {"value": pytest.approx(100 / 6), "items": 6}


def test_what_cannot_be_judged_is_left_out_with_its_reason() -> None:
    explanation = Reference(kind="text", value="No, it is not. It has never been so.")
    records = [answered("5", "a"), answered("x", "b", reference=None),
               answered("No", "c", reference=explanation), failed("d", Outcome.CUT),
               failed("e", Outcome.NOT_SENT), answered("5", "w", phase="warmup")]  # fmt: skip
    value = accuracy(records)
    assert (value.value, value.metadata["requests"]) == (100, 1)
    assert value.metadata["left_out"] == {
        "cut off by the end of the run": 2,
        "no right answer is known": 1,
        "the known answer is an explanation, which no fixed rule can judge": 1,
    }


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([], "no request was measured"),
        ([answered("x", reference=None)], "no right answer is known"),
        ([answered(None, reference=None, kept=False)], "the texts were not kept"),
        ([answered("5", forced=9)], "the length of the answers was forced"),
        ([answered("x", "a", reference=None), answered("5", "b", forced=9)], "1 requests: "),
    ],
)
def test_without_anything_to_judge_it_is_skipped(records: list[RequestRecord], why: str) -> None:
    value = accuracy(records)
    assert value.status == "skipped"
    assert why in str(value.reason)


def test_where_every_request_failed_it_is_an_error() -> None:
    value = accuracy([failed("a"), failed("b")])
    assert value.status == "error"
    assert "failed" in str(value.error_message)


def test_reasoning_is_never_the_answer() -> None:
    record = answered("It is 6.", reasoning_tokens=3)
    call = record.calls[0]
    reply = msgspec.structs.replace(call.reply, reasoning="Answer: 5")
    call = msgspec.structs.replace(call, reply=reply)
    assert accuracy([msgspec.structs.replace(record, calls=(call,))]).value == 0


def test_an_answer_that_ran_into_its_limit_has_no_last_number() -> None:
    cut = answered("3 + 2 = 5", finish_reason="length")
    assert accuracy([cut]).metadata["unread"] == 1
    assert accuracy([cut]).metadata["cut_at_limit"] == 1
    assert accuracy([answered("3 + 2 = 5", finish_reason="stop")]).value == 100


def test_a_grader_can_be_named_for_all() -> None:
    record = answered("70,001", reference=Reference(kind="number", value="70000"))
    assert accuracy([record]).value == 0
    named = accuracy([record], grader("amount"))
    assert (named.value, named.metadata["graders"]) == (100, ["amount@1"])
    with pytest.raises(UsageError, match="no grader 'guess'; there are number, amount"):
        grader("guess")


@pytest.mark.parametrize(
    ("kind", "value", "item_id", "name"),
    [
        ("number", "5", "decode@1/0/3/300", "number"),
        ("number", "5", "gsm8k@0123456789ab/7", "number"),
        ("number", "5", "financebench@0123456789ab/q/0/1200", "amount"),
        ("text", "Porto", "balanced@1/0/3/750", "text"),
        ("choice", "Net income", "prefill@1/0/3/1200", "choice"),
        ("text", "\\frac12", "math@0123456789ab/7", "maths"),
        ("number", "5", "math@0123456789ab/7", "maths"),
        ("text", "B", "jsonl@0123456789ab/7", "choice"),
        ("text", "(C)", "jsonl@0123456789ab/7", "choice"),
        ("text", "a", "jsonl@0123456789ab/7", "text"),
        ("text", "CO2", "jsonl@0123456789ab/7", "text"),
    ],
)
def test_each_reference_has_its_grader(kind: Any, value: str, item_id: str, name: str) -> None:
    assert grader_of(Reference(kind=kind, value=value), item_id).name == name


def test_graders_have_a_name_a_version_and_a_summary() -> None:
    assert list(GRADERS) == ["number", "amount", "maths", "choice", "text"]
    assert all(one.label == f"{name}@{one.version}" for name, one in GRADERS.items())
    assert all(one.summary for one in GRADERS.values())


@pytest.mark.parametrize("make", [finance.example, chat.example, maths.example])
def test_what_a_perfect_model_answers_is_right_and_what_belongs_elsewhere_is_not(make: Any) -> None:
    count = reference_tokenizer().count
    examples = [make(7, index, count, 400) for index in range(40)]
    for example in examples:
        judge = grader_of(example.reference, example.item_id).judge
        assert judge(example.solution, example.reference).grade == "right", example.item_id
    following = [*examples[1:], examples[0]]
    mixed = sum(
        grader_of(example.reference, example.item_id).judge(other.solution, example.reference).grade
        == "right"
        for example, other in zip(examples, following, strict=True)
    )
    # Colours, days and small numbers coincide now and then.
    assert mixed <= len(examples) // 4


@pytest.mark.parametrize("workload", [Prefill(), Balanced(), Decode()])
def test_every_built_in_item_can_be_judged(workload: Any) -> None:
    for request in workload.requests(20, 3):
        record = answered("no idea", request.item_id, reference=request.reference)
        assert not isinstance(judge_record(record), str)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(("5", "6", "", "?"))), max_size=30))
@settings(max_examples=60)
def test_the_figure_lies_in_its_interval_and_counts_add_up(
    drawn: list[tuple[int, str]],
) -> None:
    value = accuracy([answered(text, f"item-{item}") for item, text in drawn])
    if not drawn:
        assert value.status == "skipped"
        return
    assert value.value is not None
    interval = value.metadata["interval"]
    assert 0 <= interval["low"] <= value.value <= interval["high"] <= 100
    fates = ("right", "wrong", "unread", "empty", "abstained", "failed")
    assert sum(value.metadata[fate] for fate in fates) == len(drawn)
    shuffled = accuracy([answered(text, f"item-{item}") for item, text in reversed(drawn)])
    assert shuffled.value == value.value
