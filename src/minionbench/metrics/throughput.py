"""Throughput: what all streams together deliver per second while all of them are at work.

The steady state of a closed loop with C streams lasts from the instant when all C slots are
filled to the instant when the first of them finds nothing more to do: the first and the last
instant at which C requests are in flight. With one stream that is from the first send to the last
end. A request is in flight from its sending to its end. Each repeat has a steady state of its own.

That of an open loop lasts from the first end of a request to the last sending: as many are in
flight at its end as at its beginning where the server keeps up, so that as many end within as
arrive, and where it does not, what ends is what it can do.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from minionbench.exchange import Outcome
from minionbench.metrics import record as whole
from minionbench.metrics.request import NegativeInterval, output_tokens
from minionbench.records import RequestRecord
from minionbench.units import number_of

FEWEST_PER_STREAM = 2
"""Requests that each stream has to finish within the steady state: all streams start at once, so
that with one request each the window would hold little but their synchronised beginning."""


FEWEST_ARRIVED = 5
"""Requests that have to end within the steady state of an open loop: with fewer its two ends weigh
as much as what lies between them."""


class Window(msgspec.Struct, frozen=True):
    """A steady state: from `start_ns`, exclusive, to `end_ns`, inclusive."""

    start_ns: int
    end_ns: int

    def holds(self, instant_ns: int) -> bool:
        """Whether an instant lies within."""
        return self.start_ns < instant_ns <= self.end_ns

    @property
    def length_ns(self) -> int:
        """How long it lasts."""
        return self.end_ns - self.start_ns


def _changes(records: Sequence[RequestRecord]) -> list[tuple[int, int]]:
    """(instant, +1 or −1) of every request going into and out of flight, in order of time.

    At the same instant an end comes before a start: the slot is handed on.
    """
    changes = []
    for record in records:
        start, end = whole.sent_ns(record), whole.end_ns(record)
        if start is None or end is None:
            continue
        if end < start:
            raise NegativeInterval(f"request {record.index} ends {start - end} ns before it starts")
        changes += [(start, 1), (end, -1)]
    return sorted(changes)


def streams_at_work(records: Sequence[RequestRecord]) -> int:
    """The most requests that were in flight at once."""
    most = now = 0
    for _, change in _changes(records):
        now += change
        most = max(most, now)
    return most


def steady_state(records: Sequence[RequestRecord], streams: int) -> Window | str:
    """The steady state of one repeat, or the reason why there is none.

    It ends before the sending of the first request that was cut off, since what such a request
    would have delivered is not known.
    """
    now = 0
    start = end = None
    for instant, change in _changes(records):
        if now == streams and change < 0:
            end = instant
        now += change
        if now > streams:
            allowed = number_of(streams, "stream")
            return f"{now} requests were in flight at once, more than the {allowed}"
        if now == streams and start is None:
            start = instant
    if start is None or end is None:
        were = "was" if streams == 1 else "were"
        return f"there never {were} {number_of(streams, 'request')} in flight at once"
    end = _before_cut(records, end)
    if end <= start:
        return "the run was cut off before all streams had been at work for a while"
    return _long_enough(records, Window(start, end), FEWEST_PER_STREAM * streams)


def arrivals_state(records: Sequence[RequestRecord]) -> Window | str:
    """The steady state of one repeat of an open loop, or the reason why there is none.

    It ends before the sending of the first request that was cut off, as that of a closed loop.
    """
    changes = _changes(records)
    sent = [instant for instant, change in changes if change > 0]
    ended = [instant for instant, change in changes if change < 0]
    if not sent:
        return "no request was sent"
    start, end = ended[0], _before_cut(records, sent[-1])
    if end <= start:
        return "all requests were sent before the first of them had ended"
    return _long_enough(records, Window(start, end), FEWEST_ARRIVED)


def _before_cut(records: Sequence[RequestRecord], end: int) -> int:
    """An end, or the sending of the first request that was cut off where that comes before it."""
    cut = [whole.sent_ns(record) for record in records if record.outcome is Outcome.CUT]
    return min([end, *(instant for instant in cut if instant is not None)])


def _long_enough(records: Sequence[RequestRecord], window: Window, needed: int) -> Window | str:
    ended = len(finished(records, window))
    if ended < needed:
        said = f"{number_of(ended, 'request')} ended in the steady state"
        return f"{said}, at least {needed} are needed"
    return window


def finished(records: Sequence[RequestRecord], window: Window) -> list[RequestRecord]:
    """The requests that ended within the window, however they ended."""
    ends = [(record, whole.end_ns(record)) for record in records]
    return [record for record, end in ends if end is not None and window.holds(end)]


def tokens_within(record: RequestRecord, window: Window) -> float | None:
    """How many of a request's output tokens arrived within the window; None if uncounted.

    The server's count of each call is shared out over its token-bearing events, since only events
    have instants. Tokens of a failed request count for nothing.
    """
    if not record.ok:
        return 0.0
    total = 0.0
    for call in record.calls:
        at = call.reply.event_ns
        if not at:
            continue
        inside = sum(1 for instant in at if window.holds(instant))
        count = output_tokens(call.reply)
        if inside and count is None:
            return None
        if inside and count is not None:
            total += count * inside / len(at)
    return total
