"""What a run has shown so far, kept up between two requests for those who watch it.

These figures are for watching only: the document's are computed from the records when all is done.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from minionbench.clock import monotonic_ns
from minionbench.metrics.record import output_tokens, total_latency_s, ttft_s
from minionbench.metrics.request import NegativeInterval, Quantity
from minionbench.units import seconds

if TYPE_CHECKING:
    from minionbench.measuring import Cell
    from minionbench.records import RequestRecord

ESTIMATE_FROM = 3
"""Finished requests from which the time that is left can be told."""
RECENT = 1_001
"""Requests of a stage whose median is kept up: with more it would cost time, and show no more."""


class SoFar:
    """Counts of a run, and the figures of its present stage."""

    def __init__(self) -> None:
        self.total = 0
        """Requests that are planned, warm-up included."""
        self.finished = 0
        self.failed = 0
        self.cost_of: Callable[[RequestRecord], float | None] | None = None
        """What a request cost, None where that is not known; no function where none is asked."""
        self.most_cost_usd: float | None = None
        """What the whole run may cost; None for no limit."""
        self.cost_usd = 0.0
        """Of the requests whose cost is known."""
        self.uncosted = 0
        """Requests whose cost is not known."""
        self._calls_of: dict[str, int] = {}
        """Calls that a request of each cell is likely to make: they tell how the time goes."""
        self._calls = 0
        self._calls_left = 0
        self._requests_start_ns: int | None = None
        self.next_stage()

    def plan(self, cells: Sequence[Cell]) -> None:
        """Notes how much there is to do."""
        self.total = sum(cell.total for cell in cells)
        self._calls_of = {cell.cell_id: cell.calls for cell in cells}
        self._calls_left = sum(cell.total * cell.calls for cell in cells)

    def next_stage(self) -> None:
        """The figures of a stage begin anew: those of two workloads mean nothing together."""
        self._ttft_s: list[float] = []
        self._ttft_in_order: deque[float] = deque()
        self._tokens: int | None = 0
        self._stage_start_ns: int | None = None

    def left_out(self, requests: int, calls: int) -> None:
        """Takes requests off the plan that will not be sent."""
        self.total -= requests
        self._calls_left -= calls

    def add(self, record: RequestRecord) -> None:
        """Counts a request that has ended."""
        self.finished += 1
        self.failed += not record.ok
        calls = self._calls_of.get(record.cell, 1)
        self._calls += calls
        self._calls_left -= calls
        if self._requests_start_ns is None:
            self._requests_start_ns = record.planned_ns
        if self._stage_start_ns is None:
            self._stage_start_ns = record.planned_ns
        first_token_s, tokens = ttft_of(record), output_tokens(record)
        if first_token_s is not None:
            self._take(first_token_s)
        if record.ok:
            self._tokens = None if tokens is None or self._tokens is None else self._tokens + tokens
        if self.cost_of is not None:
            cost_usd = self.cost_of(record)
            self.uncosted += cost_usd is None
            self.cost_usd += cost_usd or 0.0

    def ttft_s(self) -> float | None:
        """The median TTFT of the stage's last requests; None while none has had a first token."""
        middle = len(self._ttft_s) // 2
        if not self._ttft_s:
            return None
        if len(self._ttft_s) % 2:
            return self._ttft_s[middle]
        return (self._ttft_s[middle - 1] + self._ttft_s[middle]) / 2

    def tokens_per_s(self, now_ns: int | None = None) -> float | None:
        """Tokens of the stage's successful requests per second; None where one was not counted."""
        if self._stage_start_ns is None or not self._tokens:
            return None
        length_ns = (monotonic_ns() if now_ns is None else now_ns) - self._stage_start_ns
        return self._tokens / seconds(length_ns) if length_ns > 0 else None

    def left_s(self, now_ns: int | None = None) -> int | None:
        """Seconds until the end if the rest goes as it has gone; None while nobody can tell."""
        if self._requests_start_ns is None or self.finished < ESTIMATE_FROM:
            return None
        now_ns = monotonic_ns() if now_ns is None else now_ns
        each_s = seconds(now_ns - self._requests_start_ns) / self._calls
        return max(0, round(each_s * self._calls_left))

    def _take(self, value_s: float) -> None:
        insort(self._ttft_s, value_s)
        self._ttft_in_order.append(value_s)
        if len(self._ttft_in_order) > RECENT:
            oldest = self._ttft_in_order.popleft()
            del self._ttft_s[bisect_left(self._ttft_s, oldest)]


def ttft_of(record: RequestRecord) -> float | None:
    """A request's TTFT in seconds; None where it has none that can be believed."""
    return _unless_contradictory(ttft_s, record)


def latency_of(record: RequestRecord) -> float | None:
    """A request's total latency in seconds; None where it has none that can be believed."""
    return _unless_contradictory(total_latency_s, record)


def _unless_contradictory(
    quantity: Quantity[RequestRecord, float], record: RequestRecord
) -> float | None:
    try:
        return quantity(record)
    except NegativeInterval:  # The document will say so; whoever watches goes without.
        return None
