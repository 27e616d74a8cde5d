"""When the events of an answer arrived: from positions in the body to instants."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import repeat

from minionbench.exchange import Arrival, Exchange


class ArrivalLog:
    """Walks through an exchange's reads as its events are read, in order.

    An event has arrived with the read that brought its last byte. Where a read brought several
    token-bearing events, only the last one's arrival is known; the others arrived after the read
    before and not later than that, and are counted as merged.
    """

    __slots__ = (
        "_exchange",
        "_last_token_read",
        "_read",
        "_read_ends",
        "_read_ns",
        "first_event_ns",
        "first_merged",
        "first_reasoning_ns",
        "first_visible_ns",
        "merged_events",
        "token_ns",
    )

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._read_ends = exchange.read_ends
        self._read_ns = exchange.read_ns
        self._read = 0
        self._last_token_read = -1
        self.first_event_ns: int | None = None
        self.first_reasoning_ns: int | None = None
        self.first_visible_ns: int | None = None
        self.token_ns: list[int] = []
        self.merged_events = 0
        self.first_merged = False

    def event(self, end: int) -> int:
        """Takes an event that ends before byte `end` of the body; the instant it arrived."""
        read = self._read
        while self._read_ends[read] < end:
            read += 1
        self._read = read
        at_ns = self._read_ns[read]
        if self.first_event_ns is None:
            self.first_event_ns = at_ns
        return at_ns

    def token_event(self, end: int, visible: str | None, reasoning: str | None) -> None:
        """Takes an event that has visible text, reasoning text, or both."""
        at_ns = self.event(end)
        if visible and self.first_visible_ns is None:
            self.first_visible_ns = at_ns
        if reasoning and self.first_reasoning_ns is None:
            self.first_reasoning_ns = at_ns
        read = self._read
        if read == self._last_token_read:
            self.merged_events += 1
            if len(self.token_ns) == 1:
                self.first_merged = True
        self._last_token_read = read
        self.token_ns.append(at_ns)

    def token_run(self, ends: list[int], *, reasoning: bool) -> None:
        """Takes events of one kind of text that end before these bytes, rising; at least one."""
        reads = self._reads_of(ends)
        token_ns = list(map(self._read_ns.__getitem__, reads))
        at_ns = token_ns[0]
        if self.first_event_ns is None:
            self.first_event_ns = at_ns
        if reasoning and self.first_reasoning_ns is None:
            self.first_reasoning_ns = at_ns
        if not reasoning and self.first_visible_ns is None:
            self.first_visible_ns = at_ns
        shares_last = reads[0] == self._last_token_read
        if len(self.token_ns) == 1:
            self.first_merged = shares_last
        elif not self.token_ns:
            self.first_merged = len(reads) > 1 and reads[0] == reads[1]
        self.merged_events += len(reads) - len(set(reads)) + shares_last
        self._read = self._last_token_read = reads[-1]
        self.token_ns += token_ns

    def _reads_of(self, ends: list[int]) -> Sequence[int]:
        """For each of these bytes, the read that brought it: the first that reaches so far."""
        read_ends, first = self._read_ends, self._read
        if read_ends[first] < ends[0]:
            first += 1
        if read_ends[first : first + len(ends)] == ends:
            # One event per read, as when tokens come slowly.
            return range(first, first + len(ends))
        last = bisect_left(read_ends, ends[-1], first)
        if 2 * (last - first) > len(ends):
            return list(map(bisect_left, repeat(read_ends), ends, repeat(first)))
        reads: list[int] = []
        taken = 0
        for read in range(first, last):
            reached = bisect_right(ends, read_ends[read], taken)
            reads += [read] * (reached - taken)
            taken = reached
        return reads + [last] * (len(ends) - taken)

    def arrival(self) -> Arrival | None:
        """How well all this was observed; None when nothing was received."""
        exchange = self._exchange
        if not exchange.reads:
            return None
        return Arrival(
            reads=exchange.reads,
            kernel_reads=exchange.kernel_reads,
            merged_events=self.merged_events,
            first_merged=self.first_merged,
            lateness_max_ns=exchange.lateness_max_ns,
        )
