"""The metrics of a cell: what its measured requests say together.

The value of a per-request metric is the median over items of each item's median over its repeats,
with an exact interval whose sampling unit is the item. Failed requests rank as the worst there
can be. Requests that the end of the run cut off or left unsent are censored: left out, and
counted. So is a request that has no value for its own reasons, each reason with its count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from minionbench.exchange import Reply
from minionbench.metrics import record as whole
from minionbench.metrics import slo
from minionbench.metrics.request import (
    Absence,
    NegativeInterval,
    Quantity,
    hides_reasoning,
    holds_thought,
    output_tokens,
    told_tokens,
)
from minionbench.metrics.table import METRICS
from minionbench.metrics.throughput import (
    Window,
    arrivals_state,
    finished,
    steady_state,
    streams_at_work,
    tokens_within,
)
from minionbench.metrics.value import (
    MetricValue,
    error,
    estimated,
    interval,
    skipped,
)
from minionbench.records import RequestRecord
from minionbench.stats import (
    LEVEL,
    item_median_estimate,
    median,
    percentile_needs,
    quantile_estimate,
    ratio_of_sums,
)
from minionbench.units import number_of, seconds

PERCENTILES = (50, 90, 95, 99)
"""Percentiles that are shown where the number of requests supports them. They look at the slow
side: of a rate they are 50, 10, 5 and 1."""

Observation = Callable[[RequestRecord], tuple[float, ...] | Absence]
"""What one request contributes to a metric: one duration or rate, or all its gaps."""


def _one(quantity: Quantity[RequestRecord, float]) -> Observation:
    def observe(record: RequestRecord) -> tuple[float, ...] | Absence:
        value = quantity.or_absence(record)
        return value if isinstance(value, Absence) else (value,)

    return observe


_PER_REQUEST: dict[str, Observation] = {
    "ttft_s": _one(whole.ttft_s),
    "ttfo_s": _one(whole.ttfo_s),
    "total_latency_s": _one(whole.total_latency_s),
    "response_time_s": _one(whole.response_time_s),
    "tpot_s": _one(whole.tpot_s),
    "itl_s": whole.itl_s.or_absence,
    "icl_s": whole.icl_s.or_absence,
    "tokens_per_sec": _one(whole.decode_tokens_per_s),
}

_OF_TOKENS = ("tpot_s", "itl_s", "tokens_per_sec")
"""Metrics per request that rest on a count of tokens."""

CELL_METRICS = (
    *_PER_REQUEST,
    "output_tokens_per_sec",
    "requests_per_sec",
    slo.GOODPUT,
    slo.ATTAINMENT,
)
"""Names of the metrics that `cell_metrics` gives: always all of them."""


def cell_metrics(
    records: Sequence[RequestRecord],
    *,
    streams: int | None = None,
    objective: slo.Objective | None = None,
    open_loop: bool = False,
    level: float = LEVEL,
) -> dict[str, MetricValue]:
    """The metrics that follow from a cell's records; only its measured phase counts.

    `streams` is the number of streams of a closed loop; None takes it from the records, as the
    most requests that were in flight at once. `objective` is what a good request is; in an open
    loop its clock starts at the planned instant, and throughput is that of the time in which
    requests arrived. `level` is that of all intervals.
    """
    measured = [record for record in records if record.phase == "measured"]
    values = {
        name: _typical(name, observe, measured, level) for name, observe in _PER_REQUEST.items()
    }
    if values["itl_s"].status == "ok":
        values["icl_s"] = skipped("icl_s", Absence.TOKEN_EVENTS.value)
    judged = None
    try:
        if objective is None:
            values |= slo.without_objective()
        else:
            judged = slo.Judged(objective, measured, from_planned=open_loop)
            values[slo.ATTAINMENT] = judged.attainment(level)
    except NegativeInterval as fault:
        values |= slo.contradicting(_contradiction(fault))
    values |= _throughput(measured, streams, open_loop, judged, level)
    return {name: values[name] for name in CELL_METRICS}


class _Observations:
    """What the requests of a cell contribute to one metric, sorted by kind."""

    def __init__(self, observe: Observation, records: Sequence[RequestRecord]) -> None:
        self.seen: list[tuple[str, tuple[float, ...]]] = []
        """(item, values) of each request that has values."""
        self.failed: list[RequestRecord] = []
        self.left_out: Counter[Absence] = Counter()
        for record in records:
            values = observe(record)
            if values is Absence.FAILED:
                self.failed.append(record)
            elif isinstance(values, Absence):
                self.left_out[values] += 1
            else:
                self.seen.append((record.item_id, values))

    @property
    def counted(self) -> int:
        """Requests that count in the metric: those with values and those that failed."""
        return len(self.seen) + len(self.failed)

    def by_item(self, worst: float) -> dict[str, list[float]]:
        """Each item's typical values, one per request; a failed request has the worst."""
        items: dict[str, list[float]] = {}
        for item, values in self.seen:
            items.setdefault(item, []).append(median(values))
        for record in self.failed:
            items.setdefault(record.item_id, []).append(worst)
        return items

    def pooled(self, worst: float) -> list[float]:
        """All values of all requests.

        A failed request adds as many of the worst as a successful one has values on average.
        """
        values = [value for _, values in self.seen for value in values]
        each = math.ceil(len(values) / len(self.seen)) if self.seen else 1
        return values + [worst] * (each * len(self.failed))

    def counts(self) -> dict[str, Any]:
        """The counts that go with the metric, as metadata."""
        left_out = {reason.value: count for reason, count in self.left_out.most_common()}
        return {"requests": self.counted, "failed": len(self.failed), "left_out": left_out}


def _typical(
    name: str, observe: Observation, records: Sequence[RequestRecord], level: float
) -> MetricValue:
    """A per-request metric of a cell."""
    try:
        observed = _Observations(observe, records)
        counts = observed.counts() | _beside(name, records)
    except NegativeInterval as fault:
        return error(name, f"Instants contradict each other, so no clock can be believed: {fault}")
    if not observed.counted:
        return skipped(name, _why_nothing(observed), **counts)
    if name == "itl_s" and observed.seen and (uneven := _not_token_by_token(observed)):
        return skipped(name, uneven, **counts)
    if hidden := observed.left_out[Absence.HIDDEN_REASONING]:
        # The other answers reasoned less than these: what is true of them is not of the cell.
        answers = len(observed.seen) + observed.left_out.total()
        share = "" if hidden == answers else f"{_share(hidden, answers, 'answer')}: "
        return skipped(name, f"{share}{Absence.HIDDEN_REASONING.value}", **counts)
    if not observed.seen:
        return error(name, _all_others_failed(observed), **counts)
    worst = -math.inf if METRICS[name].better == "higher" else math.inf
    items = observed.by_item(worst)
    estimate = item_median_estimate(items.values(), level)
    if math.isinf(estimate.point):
        return error(name, _among_failures("median", observed), **counts)
    shown, absent = _percentiles(observed, worst, len(items), level)
    repeats = len({record.repeat for record in records})
    return estimated(
        name,
        estimate,
        method="median over items of the item's median over repeats",
        **counts,
        repeats=repeats,
        percentiles=shown,
        percentiles_absent=absent,
    )


def _beside(name: str, records: Sequence[RequestRecord]) -> dict[str, Any]:
    """What a reader of one metric has to know of all the answers."""
    if name in _OF_TOKENS:
        return {"tokens": token_counts(records)}
    return {"reasoning": reasoning_counts(records)} if name == "ttfo_s" else {}


def token_counts(records: Sequence[RequestRecord]) -> dict[str, Any]:
    """Which tokens the answers' rates count, and how many events brought them.

    `output` holds the reasoning; it is None where an answer was not counted. `reasoning` is None
    where the server never said, `events` are those that brought text or reasoning.
    """
    replies = [call.reply for record in records if record.ok for call in record.calls]
    output = [output_tokens(reply) for reply in replies]
    reasoning = [
        reply.usage.reasoning_tokens
        for reply in replies
        if reply.usage is not None and reply.usage.reasoning_tokens is not None
    ]
    return {
        "counted": "visible and reasoning tokens",
        "by": _counted_by(replies),
        "output": sum(n or 0 for n in output) if output and None not in output else None,
        "reasoning": sum(reasoning) if reasoning else None,
        "events": sum(len(reply.event_ns) for reply in replies),
    }


def _counted_by(replies: Sequence[Reply]) -> str:
    """Whose count the tokens are: the least of the sources that was needed."""
    if any(told_tokens(r) is None and r.tokenizer_tokens is not None for r in replies):
        return "the server's tokenizer, of the text that came"
    by_engine = any(
        told_tokens(r) is not None and (r.usage is None or r.usage.completion_tokens is None)
        for r in replies
    )
    return "the engine's own count" if by_engine else "the server's usage"


def reasoning_counts(records: Sequence[RequestRecord]) -> dict[str, Any]:
    """In how many answers reasoning was seen, and how.

    `streamed` as text of its own, `hidden` as a count alone, `inline` inside the visible text.
    `first_s` is the median time to its first token, None where it was not streamed.
    """
    replies = [call.reply for record in records if record.ok for call in record.calls]
    first = [t for record in records if (t := whole.first_reasoning_s(record)) is not None]
    return {
        "answers": len(replies),
        "streamed": sum(reply.first_reasoning_ns is not None for reply in replies),
        "hidden": sum(map(hides_reasoning, replies)),
        "inline": sum(map(holds_thought, replies)),
        "first_s": median(first) if first else None,
    }


def _percentiles(
    observed: _Observations, worst: float, items: int, level: float
) -> tuple[dict[str, Any], dict[str, str]]:
    """The percentiles over all requests that the sample supports, and why the others are absent.

    Requests of one item are alike, so support and interval go by the number of items. The gaps
    within an answer are alike only in part: they support a percentile by their own number, while
    the interval still goes by items.
    """
    values = observed.pooled(worst)
    one_each = all(len(values) == 1 for _, values in observed.seen)
    support = items if one_each else len(values)
    shown: dict[str, Any] = {}
    absent: dict[str, str] = {}
    for percentile in PERCENTILES:
        if worst < 0:
            percentile = 100 - percentile
        label, p = f"p{percentile}", percentile / 100
        needed = percentile_needs(p)
        if support < needed:
            absent[label] = f"needs n ≥ {needed}, there are {support}"
            continue
        estimate = quantile_estimate(values, p, level, units=items)
        if math.isinf(estimate.point):
            absent[label] = _among_failures(label, observed)
            continue
        shown[label] = {"value": estimate.point, "interval": interval(estimate)}
    return shown, absent


def _share(part: int, whole_count: int, noun: str) -> str:
    return f"{part:,} of {number_of(whole_count, noun)} ({part / whole_count:.0%})"


def most_frequent_failure(failed: Sequence[RequestRecord]) -> tuple[str, int]:
    """The commonest way in which requests failed, in words, and how many failed so."""
    ways = Counter(
        (record.outcome.value, record.failure.http_status if record.failure else None)
        for record in failed
    )
    (outcome, status), count = ways.most_common(1)[0]
    messages = Counter(
        record.failure.message
        for record in failed
        if record.failure
        and (record.outcome.value, record.failure.http_status) == (outcome, status)
    )
    words = outcome if status is None else f"{outcome} {status}"
    if messages:
        words += f": {messages.most_common(1)[0][0]:.300}"
    return words, count


def all_failed(failed: Sequence[RequestRecord]) -> str:
    """That no request succeeded, and the commonest way in which they failed."""
    words, count = most_frequent_failure(failed)
    if len(failed) == 1:
        return f"The only request failed with {words}"
    share = f"{count / len(failed):.0%}"
    return (
        f"All {number_of(len(failed), 'request')} failed, {count:,} of them ({share}) with {words}"
    )


def _all_others_failed(observed: _Observations) -> str:
    """That no request gave a value: all failed, but for those that were left out for a reason."""
    if not observed.left_out.keys() - {Absence.CENSORED}:
        return all_failed(observed.failed)
    words, _ = most_frequent_failure(observed.failed)
    return (
        f"{number_of(len(observed.failed), 'request')} failed, most often with {words}; of the "
        f"others: {_why_nothing(observed)}"
    )


def _among_failures(what: str, observed: _Observations) -> str:
    words, _ = most_frequent_failure(observed.failed)
    share = _share(len(observed.failed), observed.counted, "request")
    return f"The {what} falls among the failures: {share} failed, most often with {words}"


def _why_nothing(observed: _Observations) -> str:
    if not observed.left_out:
        return "no request was measured"
    total = observed.left_out.total()
    reasons = [
        f"{_share(count, total, 'request')}: {reason.value}" if count < total else reason.value
        for reason, count in observed.left_out.most_common()
    ]
    return "; ".join(reasons)


def _not_token_by_token(observed: _Observations) -> str | None:
    """Why the gaps are not all between tokens; None when they are.

    One answer that came otherwise is enough: to leave it out would select.
    """
    answered = len(observed.seen) + observed.left_out.total()
    for reason in (Absence.UNEVEN_EVENTS, Absence.NO_USAGE, Absence.HIDDEN_REASONING):
        if count := observed.left_out[reason]:
            return f"{_share(count, answered, 'answer')}: {reason.value}; see icl_s"
    return None


def _contradiction(fault: NegativeInterval) -> str:
    return f"Instants contradict each other, so no clock can be believed: {fault}"


def _throughput(
    records: Sequence[RequestRecord],
    streams: int | None,
    open_loop: bool,
    judged: slo.Judged | None,
    level: float,
) -> dict[str, MetricValue]:
    """Tokens, requests and good requests per second over the steady states of all repeats."""
    names = ["output_tokens_per_sec", "requests_per_sec"]
    if judged is not None:
        names.append(slo.GOODPUT)
    repeats: dict[int, list[RequestRecord]] = {}
    for record in records:
        repeats.setdefault(record.repeat, []).append(record)
    try:
        if streams is None:
            streams = max(map(streams_at_work, repeats.values()), default=0)
        windows = _windows(repeats, streams, open_loop)
    except NegativeInterval as fault:
        return {name: error(name, _contradiction(fault)) for name in names}
    if isinstance(windows, str):
        return {name: skipped(name, windows) for name in names}
    ended = [finished(group, window) for group, window in windows]
    failed = [record for group in ended for record in group if not record.ok]
    if len(failed) == sum(map(len, ended)):
        return {name: error(name, all_failed(failed)) for name in names}

    lengths = [seconds(window.length_ns) for _, window in windows]
    requests = [
        (sum(record.ok for record in group), length)
        for group, length in zip(ended, lengths, strict=True)
    ]
    inside = [[tokens_within(record, window) for record in group] for group, window in windows]
    tokens = [
        (math.fsum(count for count in counts if count is not None), length)
        for counts, length in zip(inside, lengths, strict=True)
    ]
    uncounted = sum(counts.count(None) for counts in inside)
    context: dict[str, Any] = {
        "method": "sum over repeats/summed length of their steady states",
        "window_s": math.fsum(lengths),
        "repeats": len(windows),
        "requests": sum(map(len, ended)),
        "failed": len(failed),
        "most_in_flight" if open_loop else "streams": streams,
    }
    counted = {"tokens": token_counts(records)}
    per_request = estimated("requests_per_sec", ratio_of_sums(requests, level), **context)
    if uncounted:
        reason = f"{number_of(uncounted, 'answer')} came without a token count"
        per_token = skipped("output_tokens_per_sec", reason, **context, **counted)
    else:
        per_token = estimated(
            "output_tokens_per_sec", ratio_of_sums(tokens, level), **context, **counted
        )
    found = {"output_tokens_per_sec": per_token, "requests_per_sec": per_request}
    if judged is None:
        return found
    context |= judged.about
    if judged.why_unknown is not None:
        return found | {slo.GOODPUT: skipped(slo.GOODPUT, judged.why_unknown, **context)}
    good = [(judged.good(group), length) for group, length in zip(ended, lengths, strict=True)]
    context["good"] = sum(number for number, _ in good)
    return found | {slo.GOODPUT: estimated(slo.GOODPUT, ratio_of_sums(good, level), **context)}


def _windows(
    repeats: dict[int, list[RequestRecord]], streams: int, open_loop: bool
) -> list[tuple[list[RequestRecord], Window]] | str:
    """Each repeat's requests with its steady state, or why one of them has none."""
    if not repeats:
        return "no request was measured"
    if streams == 0:
        return "no request was sent"
    windows: list[tuple[list[RequestRecord], Window]] = []
    for repeat, group in sorted(repeats.items()):
        window = arrivals_state(group) if open_loop else steady_state(group, streams)
        if isinstance(window, str):
            return window if len(repeats) == 1 else f"repeat {repeat + 1}: {window}"
        windows.append((group, window))
    return windows
