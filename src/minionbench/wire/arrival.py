"""When the events of an answer arrived: from positions in the body to instants."""

from __future__ import annotations

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
