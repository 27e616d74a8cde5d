"""Protocols on the same items, held against remote-only: paired, with intervals and tests.

Everything is by item: an item that was asked several times counts once, with its share of right
answers, its median latency, its mean cost. An item counts in a comparison when both rows have it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minionbench.metrics import record as whole
from minionbench.metrics.request import Absence, NegativeInterval
from minionbench.metrics.value import interval
from minionbench.prices import Pricing, item_costs
from minionbench.protocols.catalog import LOCAL, REMOTE
from minionbench.quality.grading.accuracy import Judgements
from minionbench.records import RequestRecord
from minionbench.stats import LEVEL, Estimate, median, median_estimate, quantile, sign_test

RESAMPLES = 2_000
"""Draws that a bootstrap's interval is read from."""

LEAST_GAP = 1e-9
"""Sums of shares that differ by less differ by rounding alone."""

Row = tuple[float, ...]


def comparisons(
    rows: Mapping[str, Sequence[RequestRecord]], pricing: Pricing | None, *, level: float = LEVEL
) -> dict[str, dict[str, Any]]:
    """What each row's records say against remote-only, as plain values.

    `rows` are the records of one workload by the protocol's name. Nothing where there is no
    remote-only row; that row itself has no entry.
    """
    if REMOTE not in rows:
        return {}
    shares = {name: Judgements(records).shares() for name, records in rows.items()}
    found: dict[str, dict[str, Any]] = {}
    for name, records in rows.items():
        if name == REMOTE:
            continue
        found[name] = {
            "with": REMOTE,
            "accuracy": _accuracy(shares[name], shares[REMOTE], level),
            "latency": _latency(records, rows[REMOTE], level),
            "cost": _cost(records, rows[REMOTE], pricing, level),
            "ratio": ratio(shares[name], shares[REMOTE], level),
        }
        if LOCAL in rows and name != LOCAL:
            gap = gap_closed(shares[name], shares[LOCAL], shares[REMOTE], level)
            found[name]["gap_closed"] = gap
    return found


def _accuracy(
    ours: Mapping[str, float], theirs: Mapping[str, float], level: float
) -> dict[str, Any]:
    """How often this row was right where remote-only was not, and the reverse.

    The test is McNemar's in its exact form: with one answer per item a sign test of the items on
    which the two differ.
    """
    pairs = [(ours[item], theirs[item]) for item in ours if item in theirs]
    differences = [a - b for a, b in pairs]
    if not pairs:
        return {"items": 0, "reason": "no item of both rows could be judged"}
    return {
        "items": len(pairs),
        "better": sum(d > 0 for d in differences),
        "worse": sum(d < 0 for d in differences),
        "p": sign_test(differences),
        "test": "exact McNemar test over items",
        "difference_pct": _of(
            bootstrap(pairs, lambda rows: 100 * _mean_difference(rows), level=level)
        ),
    }


def _mean_difference(rows: Sequence[Row]) -> float:
    return math.fsum(row[0] - row[1] for row in rows) / len(rows)


def _latency(
    ours: Sequence[RequestRecord], theirs: Sequence[RequestRecord], level: float
) -> dict[str, Any]:
    """The median over items of this row's total latency ÷ remote-only's."""
    try:
        a, b = _latencies(ours), _latencies(theirs)
    except NegativeInterval as fault:
        return {"items": 0, "reason": f"instants contradict each other: {fault}"}
    pairs = [(a[item], b[item]) for item in a if item in b]
    finite = [(x, y) for x, y in pairs if not (math.isinf(x) and math.isinf(y))]
    if not finite:
        return {"items": 0, "reason": "no item was answered by both rows"}
    estimate = median_estimate([0.0 if math.isinf(y) else x / y for x, y in finite], level)
    if math.isinf(estimate.point):
        return {"items": len(finite), "reason": "the median falls among the failures"}
    return {
        "items": len(finite),
        "times": {"value": estimate.point, "interval": interval(estimate)},
        "p": sign_test(math.inf if math.isinf(x) else x - y for x, y in finite),
        "test": "sign test over items",
    }


def _latencies(records: Sequence[RequestRecord]) -> dict[str, float]:
    """Each item's median total latency in seconds; a failed request is infinitely slow."""
    items: dict[str, list[float]] = {}
    for record in records:
        if record.phase != "measured":
            continue
        value = whole.total_latency_s.or_absence(record)
        if value is Absence.FAILED:
            items.setdefault(record.item_id, []).append(math.inf)
        elif not isinstance(value, Absence):
            items.setdefault(record.item_id, []).append(value)
    return {item: median(values) for item, values in items.items()}


def _cost(
    ours: Sequence[RequestRecord],
    theirs: Sequence[RequestRecord],
    pricing: Pricing | None,
    level: float,
) -> dict[str, Any]:
    """What is saved against remote-only: 1 − (sum of this row's costs)/(sum of remote-only's)."""
    if pricing is None:
        return {"items": 0, "reason": "no price of the remote model is known"}
    a, b = item_costs(ours, pricing), item_costs(theirs, pricing)
    pairs = [
        (mine, other)
        for item, mine in a.items()
        if mine is not None and (other := b.get(item)) is not None
    ]
    if not pairs or not sum(other for _, other in pairs):
        return {"items": 0, "reason": "remote-only's tokens were not counted, or cost nothing"}
    return {
        "items": len(pairs),
        "saving_pct": _of(
            bootstrap(pairs, lambda rows: 100 * (1 - _ratio(rows, 0, 1)), level=level)
        ),
        "p": sign_test(mine - other for mine, other in pairs),
        "test": "sign test over items",
    }


def ratio(
    ours: Mapping[str, float], theirs: Mapping[str, float], level: float = LEVEL
) -> dict[str, Any]:
    """This row's accuracy ÷ remote-only's, in percent. Not the gap that it closes."""
    pairs = [(ours[item], theirs[item]) for item in ours if item in theirs]
    if not sum(other for _, other in pairs):
        return {"reason": "remote-only was right on no item"}
    return _of(bootstrap(pairs, lambda rows: 100 * _ratio(rows, 0, 1), level=level))


def gap_closed(
    ours: Mapping[str, float],
    local: Mapping[str, float],
    remote: Mapping[str, float],
    level: float = LEVEL,
) -> dict[str, Any]:
    """Share of the gap between local-only and remote-only that a row closes, in percent.

    Formula: (accuracy − local-only's)/(remote-only's − local-only's). No value where remote-only is
    not better than local-only.
    """
    rows = [(ours[i], local[i], remote[i]) for i in ours if i in local and i in remote]

    def closed(drawn: Sequence[Row]) -> float:
        gap = math.fsum(row[2] - row[1] for row in drawn)
        if gap < LEAST_GAP:
            return math.nan
        return 100 * math.fsum(row[0] - row[1] for row in drawn) / gap

    if math.isnan(closed(rows)):
        return {"reason": "remote-only was not better than local-only"}
    return _of(bootstrap(rows, closed, level=level))


def bootstrap(
    rows: Sequence[Row],
    statistic: Callable[[Sequence[Row]], float],
    *,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """A statistic of items with the percentile interval of a seeded bootstrap over them.

    Where a draw has no value (it divides by nothing), or all items are alike, there is no interval,
    and the note says so.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 13.3.
    """
    n = len(rows)
    draw = random.Random(seed).random
    low = high = note = None
    if len(set(rows)) == 1:
        note = "all items are alike, so that a bootstrap has nothing to draw from"
    else:
        drawn = [statistic([rows[int(draw() * n)] for _ in range(n)]) for _ in range(RESAMPLES)]
        if any(math.isnan(value) for value in drawn):
            note = "too few items: some draws of them have no such value"
        else:
            low, high = quantile(drawn, (1 - level) / 2), quantile(drawn, (1 + level) / 2)
    point = statistic(rows)
    return Estimate(
        point=point,
        low=None if low is None else min(low, point),
        high=None if high is None else max(high, point),
        level=level,
        n=n,
        method=f"bootstrap over items, {RESAMPLES} resamples, seed {seed}",
        note=note,
    )


def _ratio(rows: Sequence[Row], above: int, below: int) -> float:
    total = math.fsum(row[below] for row in rows)
    return math.fsum(row[above] for row in rows) / total if total else math.nan


def _of(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.point, "items": estimate.n, "interval": interval(estimate)}
