"""Asking models in a protocol: calls counted, answers read, those of a wrong form asked again."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from minionbench.exchange import Answer, Call, Message, Outcome, Reply
from minionbench.protocols.json_answer import NotTheForm, read_json
from minionbench.protocols.prompts import repair_prompt

MOST_REPAIRS = 2
"""How often an answer of the wrong form is asked for again."""

ValueT = TypeVar("ValueT")
StepT = TypeVar("StepT")
Step: TypeAlias = Generator[tuple[Call, ...], tuple[Reply, ...], StepT]
"""Part of a plan."""


class Read(msgspec.Struct, Generic[ValueT], frozen=True):
    """What became of one thing that was asked."""

    value: ValueT | None
    """None when nothing of the right form came."""
    call: int
    """Place, among the request's calls, of the last one that was made for it."""
    text: str
    """What that call answered; empty where it failed."""
    problem: str | None
    """Why there is no value."""
    failed: bool = False
    """Whether the call itself failed, so that no answer came at all."""


class Asking:
    """The calls of one request, counted through, and what happened on the way."""

    def __init__(self) -> None:
        self.made = 0
        self.tally: dict[str, int] = {}

    def count(self, what: str, times: int = 1) -> None:
        """Adds to what the protocol tells of itself."""
        self.tally[what] = self.tally.get(what, 0) + times

    def text(self, call: Call) -> Step[Read[str]]:
        """Asks for free text; an empty answer is none."""
        (reply,) = yield (call,)
        self.made += 1
        place = self.made - 1
        text = reply.text or ""
        if reply.outcome is not Outcome.OK:
            return Read(None, place, text, _failure(reply), failed=True)
        if not text.strip():
            return Read(None, place, text, "the answer was empty")
        return Read(text, place, text, None)

    def forms(
        self, calls: Sequence[Call], form: type[ValueT], *, repairs: int = MOST_REPAIRS
    ) -> Step[list[Read[ValueT]]]:
        """Asks for values of a form, side by side; those of another form are asked for again.

        An answer that was cut by its length limit is not: it would be cut again.
        """
        read: dict[int, Read[ValueT]] = {}
        open_calls = dict(enumerate(calls))
        for attempt in range(repairs + 1):
            replies = yield tuple(open_calls.values())
            again: dict[int, Call] = {}
            pairs = zip(open_calls.items(), replies, strict=True)
            for place, ((index, call), reply) in enumerate(pairs, self.made):
                found = _read(reply, place, form)
                read[index] = found
                wrong = found.value is None and not found.failed
                if wrong and attempt < repairs and not reply.cut_at_limit:
                    again[index] = _repair(call, found, attempt + 1)
            self.made += len(open_calls)
            if not again:
                break
            self.count("repairs", len(again))
            open_calls = again
        return [read[index] for index in range(len(calls))]

    def form(
        self, call: Call, form: type[ValueT], *, repairs: int = MOST_REPAIRS
    ) -> Step[Read[ValueT]]:
        """Asks for one value of a form."""
        (read,) = yield from self.forms([call], form, repairs=repairs)
        return read

    def abstain(self, why: str) -> Answer:
        """The end of a request without an answer."""
        return Answer(text=None, call=None, abstained=why, tally=dict(self.tally))


def _read(reply: Reply, place: int, form: type[ValueT]) -> Read[ValueT]:
    text = reply.text or ""
    if reply.outcome is not Outcome.OK:
        return Read(None, place, text, _failure(reply), failed=True)
    try:
        return Read(read_json(text, form), place, text, None)
    except NotTheForm as error:
        problem = str(error)
        if reply.cut_at_limit:
            problem = f"the answer was cut by its length limit: {problem}"
        return Read(None, place, text, problem)


def _failure(reply: Reply) -> str:
    return reply.failure.message if reply.failure is not None else str(reply.outcome)


def _repair(call: Call, found: Read[Any], attempt: int) -> Call:
    """The call that asks again, with what was wrong; of earlier attempts only the last is shown."""
    asked = call.messages[: -2 if call.attempt else None]
    messages = (
        *asked,
        Message("assistant", found.text or "(nothing)"),
        Message("user", repair_prompt(found.problem or "")),
    )
    return msgspec.structs.replace(call, messages=messages, attempt=attempt)
