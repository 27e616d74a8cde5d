"""Quantities of a request that took several calls: where its time went, what each side did.

A plan's calls come in batches; a batch is over when its last call has ended, and that call is the
one that the request waited for. Those calls, one of each batch, are the critical path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec

from minionbench.exchange import COST_NOTHING, COUNTED_WHOLE, CUT_OFF, Side
from minionbench.metrics.request import NegativeInterval, interval_ns
from minionbench.records import CallRecord, RequestRecord
from minionbench.stats import median
from minionbench.units import seconds


class TimeSplit(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of a request went, in seconds; the parts add up to `total_s`."""

    total_s: float
    """From the first call's planned instant to the end of the last."""
    local_s: float
    """In which the critical call was with the local server, from sent to its end."""
    remote_s: float
    queueing_s: float
    """In which the critical call waited for a slot of its server."""
    paused_s: float
    """In which nothing was sent because a server had asked for it."""
    harness_s: float
    """All the rest: making connections, reading answers, deciding what to ask next."""
    critical_calls: int


class SideUse(msgspec.Struct, frozen=True, kw_only=True):
    """What the calls of one side took; a sum is None where a server did not count all of it."""

    calls: int
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None


def critical_calls(record: RequestRecord) -> tuple[CallRecord, ...]:
    """The call that ended last of each batch, in order; none where a call has not ended.

    The calls of a batch are planned at one instant, that of the next batch is not before their
    last end.
    """
    if not record.calls or any(call.reply.end_ns is None for call in record.calls):
        return ()
    batches = groupby(record.calls, key=lambda call: call.reply.planned_ns)
    return tuple(max(batch, key=lambda call: call.reply.end_ns or 0) for _, batch in batches)


def time_split(record: RequestRecord) -> TimeSplit | None:
    """Where the time of a request went; None where one of its calls was never sent.

    Raises NegativeInterval for instants out of order.
    """
    path = critical_calls(record)
    if not path:
        return None
    spent_ns: dict[Side, int] = {"local": 0, "remote": 0}
    queueing_ns = paused_ns = 0
    start_ns = reached_ns = path[0].reply.planned_ns
    for call in path:
        reply = call.reply
        if reply.admitted_ns is None or reply.sent_ns is None or reply.end_ns is None:
            return None
        paused_ns += interval_ns(reached_ns, reply.planned_ns, "the pause before a call")
        queueing_ns += interval_ns(reply.planned_ns, reply.admitted_ns, "the queueing")
        spent_ns[call.side] += interval_ns(reply.sent_ns, reply.end_ns, "a call")
        reached_ns = reply.end_ns
    total_ns = interval_ns(start_ns, reached_ns, "the request")
    known_ns = sum(spent_ns.values()) + queueing_ns + paused_ns
    return TimeSplit(
        total_s=seconds(total_ns),
        local_s=seconds(spent_ns["local"]),
        remote_s=seconds(spent_ns["remote"]),
        queueing_s=seconds(queueing_ns),
        paused_s=seconds(paused_ns),
        harness_s=seconds(total_ns - known_ns),
        critical_calls=len(path),
    )


def side_use(record: RequestRecord, side: Side) -> SideUse:
    """What the calls of one side of a request took, failed ones included.

    One that reached no model took nothing; what one took that broke off is not known.
    """
    calls = [call for call in record.calls if call.side == side]
    usages = [
        call.reply.usage if call.reply.outcome in COUNTED_WHOLE else None
        for call in calls
        if call.reply.outcome not in COST_NOTHING
    ]

    def total(name: str, *, silence: int | None) -> int | None:
        counts = [None if usage is None else getattr(usage, name) for usage in usages]
        known = [silence if count is None else count for count in counts]
        return None if None in known else sum(count or 0 for count in known)

    counted = None not in usages
    return SideUse(
        calls=len(calls),
        prompt_tokens=total("prompt_tokens", silence=None),
        completion_tokens=total("completion_tokens", silence=None),
        # A server that counts, but does not speak of these, has none to tell of.
        cached_tokens=total("cached_tokens", silence=0) if counted else None,
        reasoning_tokens=total("reasoning_tokens", silence=0) if counted else None,
    )


SPLIT = ("total_s", "local_s", "remote_s", "queueing_s", "paused_s", "harness_s")
"""Parts of a request's time that an account tells."""
COUNTS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")


def account(records: Sequence[RequestRecord]) -> dict[str, Any]:
    """What the measured requests of a cell took, as plain values.

    `calls` and `tokens` are means per request and side; a count is None where a server did not
    count all of it. `time_s` has the median of each part of a request's time over `requests`; the
    parts' medians need not add up. `tally` sums what the protocol counted; `abstained` says how
    often the request ended for which reason without an answer. Requests that the end of the run
    cut off made a part of their calls only: they are left out of all this, and counted in
    `cut_off` where there are any.
    """
    asked = [record for record in records if record.phase == "measured"]
    measured = [record for record in asked if record.outcome not in CUT_OFF]
    cut_off = {"cut_off": len(asked) - len(measured)} if len(asked) > len(measured) else {}
    if not measured:
        return dict(cut_off)
    told: dict[str, Any] = {"requests": len(measured), **cut_off, "calls": {}, "tokens": {}}
    for side in ("local", "remote"):
        uses = [side_use(record, side) for record in measured]
        calls = sum(use.calls for use in uses)
        if calls:
            told["calls"][side] = calls / len(measured)
            told["tokens"][side] = {
                name: _mean([getattr(u, name) for u in uses]) for name in COUNTS
            }
    tally: Counter[str] = Counter()
    for record in measured:
        tally.update(record.tally or {})
    if tally:
        told["tally"] = dict(tally)
    reasons = Counter(r.abstained.partition(":")[0] for r in measured if r.abstained is not None)
    if reasons:
        told["abstained"] = dict(reasons.most_common())
    try:
        splits = [split for record in measured if (split := time_split(record)) is not None]
    except NegativeInterval:
        splits = []
    if splits:
        told["time_s"] = {name: median(getattr(s, name) for s in splits) for name in SPLIT}
        told["time_s"]["requests"] = len(splits)
        told["harness_s_per_call"] = median(s.harness_s / s.critical_calls for s in splits)
    return told


def _mean(counts: Sequence[int | None]) -> float | None:
    known = [count for count in counts if count is not None]
    return sum(known) / len(counts) if len(known) == len(counts) else None
