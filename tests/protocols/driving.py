"""Driving a protocol by hand: a scripted supervisor and worker stand in for both models."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from minionbench.exchange import (
    Answer,
    Call,
    Failure,
    Limits,
    Message,
    Outcome,
    Plan,
    Reply,
    Request,
)

Model: TypeAlias = Callable[[Call], Reply]


def request(question: str = "What was revenue?", document: str | None = "Revenue: 7") -> Request:
    content = question if document is None else f"{document}\n\n{question}"
    return Request(
        item_id="item/0",
        messages=(Message("user", content),),
        limits=Limits(max_output_tokens=64, seed=5),
        source="test",
        input_tokens=10,
        document=document,
        question=question,
    )


def said(text: str | dict[str, Any], finish_reason: str = "stop") -> Reply:
    """A reply with this text, or with this JSON."""
    if not isinstance(text, str):
        text = json.dumps(text, ensure_ascii=False)
    return Reply(outcome=Outcome.OK, text=text, finish_reason=finish_reason, planned_ns=0, end_ns=1)


def failed(why: str = "it broke") -> Reply:
    failure = Failure(message=why)
    return Reply(outcome=Outcome.HTTP_ERROR, failure=failure, planned_ns=0, end_ns=1)


def drive(
    plan: Plan, supervisor: Model, worker: Model, *, most_calls: int = 10_000
) -> tuple[Answer, list[tuple[Call, ...]]]:
    """Runs a plan to its end; its answer, and the tuples of calls that it made."""
    batches: list[tuple[Call, ...]] = []
    try:
        calls = next(plan)
        while True:
            batches.append(calls)
            assert sum(map(len, batches)) <= most_calls
            replies = tuple(
                (supervisor if call.role == "supervisor" else worker)(call) for call in calls
            )
            calls = plan.send(replies)
    except StopIteration as stop:
        return stop.value, batches


def scripted(*texts: str | dict[str, Any] | Reply) -> Model:
    """A model that says one thing after the other, whatever it is asked."""
    left = list(texts)

    def model(call: Call) -> Reply:
        text = left.pop(0)
        return text if isinstance(text, Reply) else said(text)

    return model
