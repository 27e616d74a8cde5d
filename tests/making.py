"""Records and replies of hand size, in milliseconds: `record(sent=10, events=[110, 130])`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from minionbench.exchange import Arrival, Failure, Outcome, Reply, Usage
from minionbench.records import CallRecord, Phase, RequestRecord
from minionbench.units import NS_PER_MS

ONE_PER_EVENT = -1
"""As `tokens`: the server counted as many tokens as there are events."""


def ns(ms: float) -> int:
    """Milliseconds as nanoseconds."""
    return round(ms * NS_PER_MS)


def reply(
    planned: float = 0,
    sent: float | None = 10,
    events: Sequence[float] = (110, 130, 150),
    *,
    admitted: float | None = None,
    end: float | None = None,
    tokens: int | None = ONE_PER_EVENT,
    reasoning: Sequence[float] = (),
    reasoning_tokens: int | None = None,
    outcome: Outcome = Outcome.OK,
    failure: str = "it broke",
    http_status: int | None = None,
    merged_events: int = 0,
    first_merged: bool = False,
    kernel_reads: int | None = None,
    lateness: float = 0.01,
    **fields: Any,
) -> Reply:
    """A reply; all instants in milliseconds, except those in `fields`, which are the type's own.

    `events` are visible tokens, `reasoning` those before them. By default the call is admitted
    when planned, ends with its last event, and every event is one read with the kernel's stamp.
    """
    at = tuple(ns(e) for e in (*reasoning, *events))
    if tokens == ONE_PER_EVENT:
        tokens = len(at)
    last = max([sent or planned, *reasoning, *events])
    made = Reply(
        outcome=outcome,
        failure=None
        if outcome is Outcome.OK
        else Failure(message=failure, http_status=http_status),
        usage=Usage(completion_tokens=tokens, reasoning_tokens=reasoning_tokens),
        planned_ns=ns(planned),
        admitted_ns=ns(planned if admitted is None else admitted) if sent is not None else None,
        sent_ns=None if sent is None else ns(sent),
        sent_end_ns=None if sent is None else ns(sent),
        first_event_ns=at[0] if at else None,
        first_reasoning_ns=ns(reasoning[0]) if reasoning else None,
        first_visible_ns=ns(events[0]) if events else None,
        event_ns=at,
        end_ns=None if sent is None else ns(last if end is None else end),
        arrival=Arrival(
            reads=max(1, len(at)),
            kernel_reads=max(1, len(at)) if kernel_reads is None else kernel_reads,
            merged_events=merged_events,
            first_merged=first_merged,
            lateness_max_ns=ns(lateness),
        )
        if sent is not None
        else None,
    )
    return msgspec.structs.replace(made, **fields)


def record(
    planned: float = 0,
    sent: float | None = 10,
    events: Sequence[float] = (110, 130, 150),
    *,
    item: str = "item-0",
    index: int = 0,
    repeat: int = 0,
    phase: Phase = "measured",
    outcome: Outcome = Outcome.OK,
    forced: int | None = None,
    **of_reply: Any,
) -> RequestRecord:
    """The record of a request of one call; what it does not know itself goes to `reply`."""
    if outcome is not Outcome.OK:
        events = of_reply.pop("events", ())
    made = reply(planned, sent, events, outcome=outcome, **of_reply)
    return record_of([made], item=item, index=index, repeat=repeat, phase=phase, forced=forced)


def record_of(
    replies: Sequence[Reply],
    *,
    answer_call: int | None = -1,
    item: str = "item-0",
    index: int = 0,
    repeat: int = 0,
    phase: Phase = "measured",
    forced: int | None = None,
) -> RequestRecord:
    """The record of a request of several calls, the last of which gave the answer."""
    if answer_call is not None:
        answer_call %= len(replies)
    outcome = replies[-1 if answer_call is None else answer_call].outcome
    return RequestRecord(
        cell="cell",
        index=index,
        item_id=item,
        phase=phase,
        repeat=repeat,
        planned_ns=replies[0].planned_ns,
        outcome=outcome,
        failure=None if outcome is Outcome.OK else replies[-1].failure,
        calls=tuple(
            CallRecord(side="local", role="assistant", round=0, job=None, prompt=None, reply=r)
            for r in replies
        ),
        answer_call=answer_call if outcome is Outcome.OK else None,
        input_tokens=100,
        forced_output_tokens=forced,
    )


def stream(
    totals: Sequence[float],
    *,
    ttft: float = 50,
    tokens: int = 5,
    repeat: int = 0,
    start: float = 0,
    lag: float = 0,
    **of_record: Any,
) -> list[RequestRecord]:
    """One closed-loop stream: requests of these total latencies, one after the other.

    Item i is called `item-i`; each answer has its tokens evenly from `ttft` to its end. Every
    request is sent `lag` after it was planned and admitted.
    """
    made = []
    now = start
    for index, total in enumerate(totals):
        gap = (total - ttft) / (tokens - 1)
        made.append(
            record(
                now - lag,
                now,
                [now + ttft + gap * k for k in range(tokens)],
                item=f"item-{index}",
                index=index,
                repeat=repeat,
                **of_record,
            )
        )
        now += total
    return made
