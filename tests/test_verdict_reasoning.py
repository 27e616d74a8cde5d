"""Whether the model did what it was told: the proof of a run's factor `reasoning`."""

from __future__ import annotations

from typing import Any

import pytest

from minionbench.exchange import Outcome, Usage
from minionbench.records import RequestRecord
from minionbench.verdict import NotChecked, Passed, Reason, RunFacts, judge
from tests.making import record

ON, OFF = RunFacts(reasoning_asked=True), RunFacts(reasoning_asked=False)

STREAMED: dict[str, Any] = {"reasoning": [50, 60], "reasoning_tokens": 2}
COUNTED: dict[str, Any] = {"reasoning_tokens": 7, "tokens": 10}
INLINE: dict[str, Any] = {"text": "<think>so</think>42"}
NONE: dict[str, Any] = {"reasoning_tokens": 0, "text": "42"}


def answers(*kinds: dict[str, Any]) -> list[RequestRecord]:
    return [record(item=f"i{n}", index=n, **kind) for n, kind in enumerate(kinds)]


def finding(rule: str, records: list[RequestRecord], facts: RunFacts) -> Any:
    verdict = judge(records, facts)
    every = [*verdict.reasons, *verdict.passed, *verdict.not_checked]
    (found,) = (found for found in every if found.rule == rule)
    return found


def test_a_model_that_was_told_nothing_is_not_held_to_anything() -> None:
    assert isinstance(finding("reasoning", answers(STREAMED), RunFacts()), NotChecked)
    failed = [record(outcome=Outcome.RESET)]
    assert isinstance(finding("reasoning", failed, ON), NotChecked)


@pytest.mark.parametrize("kind", [STREAMED, COUNTED, INLINE])
def test_one_answer_with_reasoning_is_too_many_where_it_was_switched_off(
    kind: dict[str, Any],
) -> None:
    found = finding("reasoning", answers(*[NONE] * 19, kind), OFF)
    assert isinstance(found, Reason)
    assert (found.severity, found.measured) == ("invalid", 0.05)
    assert "1 of 20 answers" in found.message
    assert "--no-reasoning" in found.advice


def test_answers_without_reasoning_are_what_was_asked_for() -> None:
    assert isinstance(finding("reasoning", answers(NONE, NONE), OFF), Passed)


def test_no_answer_with_reasoning_is_invalid_where_it_was_switched_on() -> None:
    found = finding("reasoning", answers(NONE, NONE), ON)
    assert isinstance(found, Reason)
    assert found.severity == "invalid"
    assert "None of 2 answers" in found.message


def test_few_answers_with_reasoning_are_suspect_and_many_are_fine() -> None:
    few = finding("reasoning", answers(NONE, NONE, NONE, STREAMED), ON)
    assert isinstance(few, Reason)
    assert (few.severity, few.measured) == ("suspect", 0.75)
    assert isinstance(finding("reasoning", answers(NONE, COUNTED), ON), Passed)
    assert isinstance(finding("reasoning", answers(STREAMED, COUNTED, INLINE), ON), Passed)


@pytest.mark.parametrize(
    ("text", "thought"),
    [
        ("<think>so</think>42", True),
        ("\n<think>cut off", True),
        ("so it is 42</think>\n42", True),
        ("[THINK]so[/THINK]42", True),
        ("The tag <think> opens a thought.", False),
        ("42", False),
    ],
)
def test_a_thought_inside_the_visible_text_is_noticed(text: str, thought: bool) -> None:
    found = finding("inline_reasoning", answers({"text": text}), RunFacts())
    assert isinstance(found, Reason) is thought
    if thought:
        assert found.severity == "suspect"
        assert "--reasoning-parser" in found.advice


def test_without_texts_no_thought_can_be_looked_for() -> None:
    assert isinstance(finding("inline_reasoning", answers({}), RunFacts()), NotChecked)


@pytest.mark.parametrize(
    "odd",
    [
        {"reasoning_tokens": 9, "tokens": 3},
        {"reasoning": [50], "reasoning_tokens": 0},
    ],
)
def test_a_count_of_reasoning_that_something_contradicts_is_suspect(odd: dict[str, Any]) -> None:
    found = finding("reasoning_count", answers(odd, NONE), RunFacts())
    assert isinstance(found, Reason)
    assert (found.severity, found.measured) == ("suspect", 0.5)
    assert isinstance(finding("reasoning_count", answers(STREAMED, COUNTED), ON), Passed)
    untold = answers({"usage": Usage(completion_tokens=3)})
    assert isinstance(finding("reasoning_count", untold, ON), NotChecked)
