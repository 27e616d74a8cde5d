"""The four steps, call by call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.deployments.single import Local
from minionbench.exchange import Limits, Message, Outcome, Request
from minionbench.quality.cove import (
    MOST_QUESTIONS,
    NO_QUESTION,
    ChainOfVerification,
    read_questions,
)
from minionbench.quality.cove_drawn import built_in_pairs
from tests.quality.driving import drive
from tests.quality.scripted import perfect

QUESTION = "Name the capital of A, the currency of B."
DRAFT = "The capital of A is X. The currency of B is the y."
DRAFTED = Request(
    item_id="pair/planted",
    messages=(
        Message("user", f"Question: {QUESTION}\nAnswer in one short sentence for each part."),
        Message("assistant", DRAFT),
    ),
    limits=Limits(max_output_tokens=64, seed=5),
    source="test",
    input_tokens=40,
    question=QUESTION,
)
SCRIPT = {
    f"Question: {QUESTION}\nDraft: {DRAFT}\n"
    "Write one verification question for each statement of the draft, as a numbered list.": (
        "1. What is the capital of A?\n2. What is the currency of B?"
    ),
    "What is the capital of A?": "The capital\nof A is Z.",
    "What is the currency of B?": "The y.",
    f"Question: {QUESTION}\nDraft: {DRAFT}\nVerification:\n"
    "1. What is the capital of A? The capital of A is Z.\n"
    "2. What is the currency of B? The y.\n"
    "Correct the draft where the verification differs, and write only the final answer.": (
        "The capital of A is Z. The currency of B is the y."
    ),
}


def test_a_given_draft_is_verified_by_questions_that_do_not_show_it_and_then_revised() -> None:
    record = drive(ChainOfVerification(Local()), DRAFTED, SCRIPT.__getitem__)
    assert record.answer == "The capital of A is Z. The currency of B is the y."
    assert record.answer_call == 3
    assert [(call.round, call.job) for call in record.calls] == [
        (1, None),
        (2, 0),
        (2, 1),
        (3, None),
    ]
    assert all(len(call.prompt or ()) == 1 for call in record.calls)


def test_every_call_has_the_requests_limits() -> None:
    (call,) = next(ChainOfVerification(Local()).plan(DRAFTED))
    assert call.limits == DRAFTED.limits


def test_a_request_without_a_draft_is_answered_first_and_that_answer_verified() -> None:
    request = Request(
        item_id="item",
        messages=(Message("user", QUESTION),),
        limits=Limits(),
        source="test",
        input_tokens=10,
    )
    record = drive(ChainOfVerification(Local()), request, {QUESTION: DRAFT, **SCRIPT}.__getitem__)
    assert record.answer == "The capital of A is Z. The currency of B is the y."
    assert [call.round for call in record.calls] == [0, 1, 2, 2, 3]
    assert record.answer_call == 4


def test_the_text_that_a_question_is_about_stands_before_every_prompt() -> None:
    pairs = built_in_pairs(number=1, kinds=["context"])
    request = next(pairs.requests())
    record = drive(ChainOfVerification(Local()), request, perfect(pairs.pairs))
    assert record.answer == pairs.pairs[0].clean
    for call in record.calls:
        assert call.prompt is not None
        assert call.prompt[0][1].startswith(f"{pairs.pairs[0].context}\n\n")


def test_at_most_so_many_questions_are_asked() -> None:
    def model(prompt: str) -> str:
        if prompt.endswith("numbered list."):
            return "\n".join(f"{n}. Is it {n}?" for n in range(1, 100))
        return "fine"

    record = drive(ChainOfVerification(Local(), most_questions=3), DRAFTED, model)
    assert [call.job for call in record.calls] == [None, 0, 1, 2, None]
    record = drive(ChainOfVerification(Local()), DRAFTED, model)
    assert len(record.calls) == MOST_QUESTIONS + 2


def test_a_plan_without_a_question_ends_the_request_without_an_answer() -> None:
    record = drive(ChainOfVerification(Local()), DRAFTED, lambda prompt: "All is well.")
    assert (record.answer, record.answer_call) == (None, None)
    assert record.abstained == NO_QUESTION
    assert record.ok
    assert len(record.calls) == 1


@pytest.mark.parametrize(
    ("broken", "calls", "words"),
    [
        (0, 1, "the plan failed: it broke"),
        (1, 3, "verification answer 1 failed: it broke"),
        (2, 3, "verification answer 2 failed: it broke"),
        (3, 4, "the revision failed: it broke"),
    ],
)
def test_a_step_that_fails_fails_the_request(broken: int, calls: int, words: str) -> None:
    prompts = list(SCRIPT)

    def model(prompt: str) -> str | Outcome:
        return Outcome.RESET if prompts.index(prompt) == broken else SCRIPT[prompt]

    record = drive(ChainOfVerification(Local()), DRAFTED, model)
    assert record.outcome is Outcome.RESET
    assert record.abstained == words
    assert len(record.calls) == calls


def test_a_draft_that_fails_fails_the_request() -> None:
    request = Request(
        item_id="i",
        messages=(Message("user", "2+2?"),),
        limits=Limits(),
        source="test",
        input_tokens=3,
    )
    record = drive(ChainOfVerification(Local()), request, lambda prompt: Outcome.TRUNCATED)
    assert record.abstained == "the draft failed: it broke"
    assert record.outcome is Outcome.TRUNCATED


def test_name_and_sides_are_those_of_the_deployment_inside() -> None:
    procedure = ChainOfVerification(Local())
    assert (procedure.name, procedure.sides) == ("local", ("local",))
    assert procedure.settings == {"variant": "factored", "most_questions": 5}


@pytest.mark.parametrize(
    ("plan", "questions"),
    [
        ("1. What is A?\n2. What is B?", ("What is A?", "What is B?")),
        ("1) Name A\n2) Name B", ("Name A", "Name B")),
        ("Sure, here they are:\n- What is A?\n* What is B?", ("What is A?", "What is B?")),
        ("What is A?\n\nWhat is B?\n", ("What is A?", "What is B?")),
        ("1. What is A?\n2. What is A?", ("What is A?",)),
        ("The draft is right.", ()),
        ("1. \n2.", ()),
        ("What is 3.5 + 1?", ("What is 3.5 + 1?",)),
        ("", ()),
    ],
)
def test_questions_are_entries_of_a_list_or_lines_that_ask(
    plan: str, questions: tuple[str, ...]
) -> None:
    assert read_questions(plan) == questions


@given(st.text())
def test_any_text_is_a_plan_of_at_most_five_questions_of_one_line(text: str) -> None:
    questions = read_questions(text)
    assert len(questions) <= MOST_QUESTIONS
    assert all(question and len(question.splitlines()) == 1 for question in questions)


@given(st.data())
def test_no_answer_of_the_model_breaks_the_procedure(data: st.DataObject) -> None:
    hostile = st.text() | st.sampled_from(["1. a?\n2. b?", "\x00", "{}", "[1] > [2]"])
    record = drive(ChainOfVerification(Local()), DRAFTED, lambda prompt: data.draw(hostile))
    assert record.ok
    assert (record.answer is None) == (record.abstained is not None)
