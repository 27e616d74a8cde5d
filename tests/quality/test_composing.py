"""Plans of plans: calls side by side, rounds and calls numbered through."""

from __future__ import annotations

import pytest

from minionbench.deployments.deployment import ask_once
from minionbench.deployments.single import Local
from minionbench.exchange import Answer, Call, Limits, Message, Outcome, Plan, Request, Side
from minionbench.quality.composing import Composition
from tests.quality.driving import drive, say

REQUEST = Request(
    item_id="item/1",
    messages=(Message("system", "Be brief."), Message("user", "Hello")),
    limits=Limits(max_output_tokens=8, seed=3),
    source="test",
    input_tokens=6,
)


class Twice:
    """Asks, and asks again with what came back; short questions are asked only once."""

    name = "local"
    sides: tuple[Side, ...] = ("local",)
    asks_once = False
    prepares = False

    def plan(self, request: Request) -> Plan:
        first = Call(side="local", messages=request.messages, limits=request.limits)
        (reply,) = yield (first,)
        if len(request.messages[-1].content) < 3:
            return Answer(text=reply.text, call=0)
        again = Call(
            side="local",
            messages=(*request.messages, Message("user", f"again {reply.text}")),
            limits=request.limits,
            round=1,
            job=7,
        )
        (reply,) = yield (again,)
        return Answer(text=reply.text, call=1)


class TwoSteps:
    """Two questions side by side, then one made of both answers."""

    name = "local"
    sides: tuple[Side, ...] = ("local",)
    asks_once = False
    prepares = False

    def __init__(self, inner: Twice | Local, document: str | None = None) -> None:
        self.inner = inner
        self.document = document

    def plan(self, request: Request) -> Plan:
        steps = Composition(self.inner, request, document=self.document, first_round=1)
        one, two = yield from steps.ask(["ab", "abcd"], jobs=True)
        (last,) = yield from steps.ask([f"{one.text}+{two.text}"])
        return last


def test_prompts_are_asked_side_by_side_and_each_answer_goes_to_its_own_prompt() -> None:
    record = drive(TwoSteps(Local()), REQUEST, lambda prompt: f"<{prompt}>")
    assert record.answer == "<<ab>+<abcd>>"
    assert [(call.round, call.job) for call in record.calls] == [(1, 0), (1, 1), (2, None)]
    assert record.answer_call == 2


def test_plans_of_different_length_wait_for_one_another_and_keep_rounds_jobs_and_calls() -> None:
    record = drive(TwoSteps(Twice()), REQUEST, lambda prompt: f"<{prompt}>")
    # Round 1 asks both; round 2 goes on with the longer plan; rounds 3 and 4 are the last step.
    assert [(call.round, call.job) for call in record.calls] == [
        (1, 0),
        (1, 1),
        (2, 7),
        (3, None),
        (4, 7),
    ]
    assert record.answer == "<again <<ab>+<again <abcd>>>>"
    assert record.answer_call == 4


def test_an_answer_names_its_call_by_its_place_in_the_whole_request() -> None:
    steps = Composition(Twice(), REQUEST)
    step = steps.ask(["abc", "x"])
    next(step)
    assert len(step.send((say("1"), say("2")))) == 1
    try:
        step.send((say("3"),))
    except StopIteration as stop:
        answers = stop.value
    assert [(answer.text, answer.call) for answer in answers] == [("3", 2), ("2", 1)]


def test_system_messages_and_limits_are_kept_and_a_document_stands_before_every_prompt() -> None:
    plan = TwoSteps(Local(), document="The text.").plan(REQUEST)
    first, second = next(plan)
    assert first.messages == (Message("system", "Be brief."), Message("user", "The text.\n\nab"))
    assert second.messages[-1].content == "The text.\n\nabcd"
    assert first.limits == REQUEST.limits


def test_a_hybrid_deployment_is_given_document_and_question_apart() -> None:
    seen: list[Request] = []

    class Recording(Local):
        def plan(self, request: Request) -> Plan:
            seen.append(request)
            return ask_once("local", request)

    next(TwoSteps(Recording(), document="The text.").plan(REQUEST))
    assert [(request.document, request.question) for request in seen] == [
        ("The text.", "ab"),
        ("The text.", "abcd"),
    ]


def test_closing_a_plan_closes_the_plans_inside_it() -> None:
    closed: list[str] = []
    kept: list[Plan] = []

    class Watched(Local):
        def plan(self, request: Request) -> Plan:
            # Kept, so that the generator is not closed just because nobody holds it any more.
            kept.append(self.watched(request))
            return kept[-1]

        def watched(self, request: Request) -> Plan:
            try:
                return (yield from ask_once("local", request))
            finally:
                closed.append(request.question or "")

    plan = TwoSteps(Watched()).plan(REQUEST)
    next(plan)
    plan.close()
    assert sorted(closed) == ["ab", "abcd"]


class Pair:
    """Asks its question twice at once."""

    name = "local"
    sides: tuple[Side, ...] = ("local",)
    asks_once = False
    prepares = False

    def plan(self, request: Request) -> Plan:
        call = Call(side="local", messages=request.messages, limits=request.limits)
        one, two = yield (call, call)
        return Answer(text=f"{one.text}{two.text}", call=1)


def test_a_plan_that_asks_several_things_at_once_gets_all_its_replies() -> None:
    step = Composition(Pair(), REQUEST).ask(["a", "b"])
    assert len(next(step)) == 4
    with pytest.raises(StopIteration) as ended:
        step.send((say("1"), say("2"), say("3"), say("4")))
    assert [(answer.text, answer.call) for answer in ended.value.value] == [("12", 1), ("34", 3)]


def test_a_failed_call_is_an_answer_without_text_that_says_why() -> None:
    steps = Composition(Local(), REQUEST)
    step = steps.ask(["one", "two"])
    next(step)
    try:
        step.send((say(Outcome.RESET), say("fine")))
    except StopIteration as stop:
        failed, fine = stop.value
    assert (failed.text, failed.abstained) == (None, "it broke")
    assert (fine.text, fine.call) == ("fine", 1)


def test_the_request_itself_is_answered_as_it_stands() -> None:
    step = Composition(Local(), REQUEST, document="unused").answer()
    (call,) = next(step)
    assert call.messages == REQUEST.messages


class Silent(Local):
    """Answers without asking anybody."""

    def plan(self, request: Request) -> Plan:
        if request.question is None:
            yield ()
        return Answer(text=request.question, call=None)


def test_a_plan_that_asks_nothing_ends_at_once() -> None:
    step = Composition(Silent(), REQUEST).ask(["one", "two"])
    with pytest.raises(StopIteration) as ended:
        next(step)
    assert [answer.text for answer in ended.value.value] == ["one", "two"]
    assert [answer.call for answer in ended.value.value] == [None, None]
