"""What a verdict rests on: the measured records, and what the runner knows of the run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import msgspec

from minionbench.exchange import Arrival, Outcome, Reply
from minionbench.metrics import record as whole
from minionbench.metrics import request
from minionbench.metrics.request import NegativeInterval, Quantity
from minionbench.records import RequestRecord
from minionbench.stats import median


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the runner knows of a cell's run; None where it does not know."""

    own_cpu_ns: int | None = None
    """CPU that the measuring thread used while the cell ran."""
    wall_ns: int | None = None
    """How long the cell ran."""
    clock_step_ns: int | None = None
    """Largest change of the clocks' offset between samples (`ClockBridge.largest_step_ns`)."""
    engine_local: bool | None = None
    """Whether the engine runs on this machine."""
    pinned: bool | None = None
    """Whether engine and harness were kept on cores of their own."""
    engine_watched: bool | None = None
    """Whether the engine's end would have been noticed."""
    engine_ended: str | None = None
    """How the engine ended before it was told to; None when it did not."""
    interrupted: bool | None = None
    """Whether the run was stopped before its plan was done."""
    planned_requests: int | None = None
    """Measured requests of the plan."""
    cold_expected: bool | None = None
    """Whether the prefix cache was to be cold."""
    template_tokens: int | None = None
    """Most tokens that the chat template adds to a prompt."""
    context_tokens: int | None = None
    """Context of the engine; of several engines the least."""
    asked_as_it_stands: bool = True
    """Whether each request's one prompt is its item; else it may be shorter."""
    reasoning_asked: bool | None = None
    """Whether the models were told to reason, or not to; None where they were told nothing."""


def _contradicts_itself(reply: Reply) -> bool:
    """Whether a reply's instants are in an order that cannot be."""
    try:
        request.total_latency_s(reply)
        request.response_time_s(reply)
        request.ttfo_s(reply)
        request.icl_s(reply)
        request.connect_s(reply)
        request.queueing_s(reply)
        request.start_lag_ns(reply)
        request.upload_s(reply)
    except NegativeInterval:
        return True
    return False


class Evidence:
    """The measured records, sorted by what the rules look at."""

    def __init__(self, records: Sequence[RequestRecord], facts: RunFacts, level: float) -> None:
        self.facts = facts
        self.level = level
        self.measured = [record for record in records if record.phase == "measured"]
        self.contradictory = 0
        self.replies: list[Reply] = []
        """Those of all calls, except those whose instants contradict each other."""
        self.sound: list[RequestRecord] = []
        """The records without a contradictory reply."""
        for record in self.measured:
            bad = [_contradicts_itself(call.reply) for call in record.calls]
            self.contradictory += sum(bad)
            if not any(bad):
                self.sound.append(record)
            self.replies += [c.reply for c, b in zip(record.calls, bad, strict=True) if not b]
        self.successes = [reply for reply in self.replies if reply.outcome is Outcome.OK]

    @cached_property
    def arrivals(self) -> list[Arrival]:
        """How well the arrival of each answer was observed, where that was recorded."""
        return [reply.arrival for reply in self.replies if reply.arrival is not None]

    @cached_property
    def median_ttft_ns(self) -> float | None:
        """Median TTFT of the calls, or of what can be known of it where reasoning is hidden."""
        values = [
            reply.event_ns[0] - reply.sent_ns
            for reply in self.successes
            if reply.event_ns and reply.sent_ns is not None
        ]
        return median(values) if values else None

    def values(self, quantity: Quantity[RequestRecord, float]) -> list[tuple[RequestRecord, float]]:
        """The sound records that have a quantity, with it, in the order of their sending."""
        found = [(record, quantity(record)) for record in self.sound]
        return sorted(
            ((record, value) for record, value in found if value is not None),
            key=lambda pair: whole.sent_ns(pair[0]) or 0,
        )
