"""Minion: a large model that sees no document asks a small one that does.

As published: the supervisor writes a first message; in each round the worker answers, and the
supervisor thinks about it and then decides in JSON to answer or to ask further; in the last round
it must answer. So R rounds make at most R calls of the worker and 2·R of the supervisor (one to
open, two in each round but the last, one to conclude). An answer that is null is an abstention.

Source: arXiv 2502.15964, section 4; what differs from its code is in docs/hybrid.md.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from minionbench.errors import UsageError
from minionbench.exchange import Answer, Call, Limits, Message, Plan, Request, Side
from minionbench.protocols import prompts
from minionbench.protocols.asking import Asking, Read
from minionbench.protocols.json_answer import as_text, where

MOST_ROUNDS = 100

_TEXT = {"type": "string"}
OPENING_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reasoning": _TEXT, "message": _TEXT},
    "required": ["reasoning", "message"],
    "additionalProperties": False,
}
DECISION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "decision": {"enum": ["provide_final_answer", "request_additional_info"]},
        "answer": {"type": ["string", "null"]},
        "message": {"type": ["string", "null"]},
    },
    "required": ["decision", "answer", "message"],
    "additionalProperties": False,
}


class Opening(msgspec.Struct):
    """The supervisor's first message."""

    message: str


class Decision(msgspec.Struct):
    """What the supervisor decided."""

    decision: Literal["provide_final_answer", "request_additional_info"]
    answer: Any = None
    message: str | None = None


class Minion:
    """The Minion protocol; the document stays with the worker."""

    name = "hybrid"
    protocol = "minion"
    sides: tuple[Side, ...] = ("local", "remote")
    asks_once = False
    prepares = False

    def __init__(
        self,
        *,
        max_rounds: int = 3,
        supervisor_tokens: int = 1_024,
        worker_tokens: int = 512,
    ) -> None:
        """The tokens are limits of each answer of that side.

        Raises UsageError for a number of rounds that makes no conversation.
        """
        if not 1 <= max_rounds <= MOST_ROUNDS:
            raise UsageError(f"Minion has from 1 to {MOST_ROUNDS} rounds, not {max_rounds}")
        self.max_rounds = max_rounds
        self.supervisor_tokens = supervisor_tokens
        self.worker_tokens = worker_tokens

    @property
    def settings(self) -> dict[str, Any]:
        """What a document has to say of how the protocol ran."""
        return {
            "protocol": self.protocol,
            "max_rounds": self.max_rounds,
            "supervisor_tokens": self.supervisor_tokens,
            "worker_tokens": self.worker_tokens,
        }

    def context_tokens(self, side: Side, request: Request) -> tuple[int, int]:
        """What a call of this side needs, and the most that a long conversation can take."""
        both = self.supervisor_tokens + self.worker_tokens
        if side == "local":
            least = request.input_tokens + prompts.WORDS_TOKENS + self.worker_tokens
            return least, least + self.max_rounds * both
        return prompts.WORDS_TOKENS + both, prompts.WORDS_TOKENS + 2 * self.max_rounds * both

    def likely_calls(self, request: Request) -> int:
        """Calls of a request that takes two rounds, or the one there is."""
        return 1 + min(self.max_rounds, 2) * 3 - (self.max_rounds == 1)

    def plan(self, request: Request) -> Plan:
        """The conversation about one request."""
        talk = _Conversation(self, request)
        opening = yield from talk.asking.form(
            talk.ask_supervisor(prompts.open_prompt(talk.task), 0, OPENING_SCHEMA), Opening
        )
        if opening.value is None:
            return talk.asking.abstain(f"the supervisor did not begin: {opening.problem}")
        talk.supervisor_said(opening)
        message = opening.value.message
        for number in range(self.max_rounds):
            talk.asking.count("rounds")
            answered = yield from talk.asking.text(talk.ask_worker(message, number))
            answer = talk.worker_said(answered)
            last = number == self.max_rounds - 1
            if last:
                prompt = prompts.conclude_prompt(answer)
            else:
                thought = yield from talk.asking.text(
                    talk.ask_supervisor(prompts.think_prompt(answer), number)
                )
                if thought.failed:
                    return talk.asking.abstain(f"the supervisor failed: {thought.problem}")
                talk.supervisor_said(thought)
                prompt = prompts.decide_prompt(None)
            decided = yield from talk.asking.form(
                talk.ask_supervisor(prompt, number, DECISION_SCHEMA), Decision
            )
            if decided.value is None:
                return talk.asking.abstain(f"the supervisor did not decide: {decided.problem}")
            talk.supervisor_said(decided)
            decision = decided.value
            if last or decision.decision == "provide_final_answer":
                return talk.answer(decided, decision.answer)
            message = decision.message or ""
            if not message.strip():
                return talk.asking.abstain("the supervisor asked for more without saying what")
        raise AssertionError("the last round ends the conversation")


class _Conversation:
    """What both sides of one request have said so far."""

    def __init__(self, protocol: Minion, request: Request) -> None:
        self.asking = Asking()
        self.task = task_of(request)
        seed, temperature = request.limits.seed, request.limits.temperature
        self._supervisor_limits = Limits(
            max_output_tokens=protocol.supervisor_tokens, temperature=temperature, seed=seed
        )
        self._worker_limits = Limits(
            max_output_tokens=protocol.worker_tokens, temperature=temperature, seed=seed
        )
        self._supervisor: list[Message] = []
        self._worker = [Message("system", prompts.worker_context(request.document))]

    def ask_supervisor(
        self, prompt: str, number: int, schema: dict[str, Any] | None = None
    ) -> Call:
        self._supervisor.append(Message("user", prompt))
        return Call(
            side="remote",
            role="supervisor",
            round=number,
            messages=tuple(self._supervisor),
            limits=self._supervisor_limits,
            schema=schema,
        )

    def supervisor_said(self, read: Read[Any]) -> None:
        self._supervisor.append(Message("assistant", read.text or "(nothing)"))

    def ask_worker(self, message: str, number: int) -> Call:
        self._worker.append(Message("user", message))
        return Call(
            side="local",
            role="worker",
            round=number,
            messages=tuple(self._worker),
            limits=self._worker_limits,
        )

    def worker_said(self, read: Read[str]) -> str:
        """What the supervisor is told; a worker that failed has said nothing."""
        if read.value is None:
            self.asking.count("failed_jobs" if read.failed else "abstained_jobs")
            self._worker.pop()
            return prompts.UNANSWERED.format(why=read.problem)
        self._worker.append(Message("assistant", read.value))
        return read.value

    def answer(self, decided: Read[Any], value: Any) -> Answer:
        return final_answer(self.asking, decided, value)


def task_of(request: Request) -> str:
    """What is asked, without the document where the two can be told apart."""
    if request.document is not None and request.question is not None:
        return request.question
    return "\n\n".join(m.content for m in request.messages if m.role != "assistant")


def final_answer(asking: Asking, decided: Read[Any], value: Any) -> Answer:
    """The answer that a decision holds; null and the like are an abstention."""
    text = as_text(value)
    if text is None:
        return asking.abstain("the supervisor gave no answer")
    return Answer(
        text=text,
        call=decided.call,
        is_part=True,
        at_character=where(decided.text, text),
        tally=dict(asking.tally),
    )
