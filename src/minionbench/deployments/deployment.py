"""The port of a deployment, and how one plan is driven."""

from __future__ import annotations

from typing import Protocol

from minionbench.exchange import Answer, Call, Plan, Reply, Request, Side


class Deployment(Protocol):
    """How requests are executed: on which sides, with which calls."""

    @property
    def name(self) -> str:
        """The factor's level in a document: `local`, `remote`, `hybrid`."""
        ...

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides that its calls go to."""
        ...

    @property
    def asks_once(self) -> bool:
        """Whether every plan is one call, so that its reply ends the request."""
        ...

    @property
    def prepares(self) -> bool:
        """Whether a plan has work to do before its first call, which is no part of its time."""
        ...

    def plan(self, request: Request) -> Plan:
        """A fresh generator of the calls that answer a request."""
        ...


def ask_once(side: Side, request: Request) -> Plan:
    """The plan of one call with the request's own messages; its text is the answer."""
    call = Call(side=side, messages=request.messages, limits=request.limits)
    (reply,) = yield (call,)
    return answer_of(reply, 0)


def answer_of(reply: Reply, call: int) -> Answer:
    """The answer that a reply amounts to; a failed reply is an abstention that says why."""
    if reply.failure is not None:
        return Answer(text=None, call=None, abstained=reply.failure.message)
    return Answer(text=reply.text, call=call, likeliest=reply.likeliest)
