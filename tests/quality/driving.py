"""Deployments driven by hand: a scripted model answers each call, and a record comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from minionbench.deployments.deployment import Deployment
from minionbench.exchange import Answer, Call, Failure, Outcome, Reply, Request, Usage
from minionbench.records import CallRecord, RequestRecord, call_record
from minionbench.units import NS_PER_MS

Model = Callable[[str], str | Outcome]
"""What a scripted model says to a prompt; an outcome stands for a call that failed so."""

CALL_NS = 20 * NS_PER_MS
"""How long every call takes."""


def say(said: str | Outcome, batch: int = 0) -> Reply:
    """The reply to a call of the given batch, with 10 tokens in and 3 out."""
    sent = batch * CALL_NS
    ok = not isinstance(said, Outcome)
    return Reply(
        outcome=Outcome.OK if isinstance(said, str) and ok else Outcome(said),
        failure=None if ok else Failure(message="it broke"),
        text=said if ok else None,
        usage=Usage(prompt_tokens=10, completion_tokens=3) if ok else None,
        planned_ns=sent,
        sent_ns=sent,
        end_ns=sent + CALL_NS,
    )


def drive(
    deployment: Deployment, request: Request, model: Model, *, repeat: int = 0
) -> RequestRecord:
    """One request from its first call to its record, as the runner does it."""
    plan = deployment.plan(request)
    records: list[CallRecord] = []
    replies: list[Reply] = []
    calls: tuple[Call, ...] = next(plan)
    answer: Answer | None = None
    batch = 0
    while answer is None:
        came = tuple(say(model(call.messages[-1].content), batch) for call in calls)
        replies += came
        records += [call_record(c, r, keep_text=True) for c, r in zip(calls, came, strict=True)]
        batch += 1
        try:
            calls = plan.send(came)
        except StopIteration as stop:
            answer = stop.value
    failed = [reply for reply in replies if reply.outcome is not Outcome.OK]
    ended = failed[-1] if failed and answer.text is None else None
    return RequestRecord(
        cell="cell",
        index=0,
        item_id=request.item_id,
        phase="measured",
        repeat=repeat,
        planned_ns=0,
        outcome=Outcome.OK if ended is None else ended.outcome,
        failure=None if ended is None else ended.failure,
        calls=tuple(records),
        answer=answer.text,
        answer_call=answer.call,
        abstained=answer.abstained,
        reference=request.reference,
        input_tokens=request.input_tokens,
    )


def drive_all(
    deployment: Deployment, requests: Iterable[Request], model: Model
) -> list[RequestRecord]:
    """The records of several requests."""
    return [drive(deployment, request, model) for request in requests]
