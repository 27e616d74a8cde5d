"""Rules about the course of the run: whether it came to its end, and stayed the same throughout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from minionbench.exchange import Outcome
from minionbench.metrics import record as whole
from minionbench.metrics.request import Quantity
from minionbench.records import RequestRecord
from minionbench.stats import (
    interval_needs,
    item_median_estimate,
    median,
    rank_sum_test,
    sign_test,
)
from minionbench.units import duration, number_of
from minionbench.verdict.evidence import Evidence
from minionbench.verdict.finding import Finding, NotChecked, Passed, Reason, held, percent

CHANGE_SHARE = 0.05
"""Changes of speed below 5 % are left to the interval: machines that are shared do as much."""
CHANGE_P = 0.005
"""Chance of a false alarm of each of the two drift rules, 1 % for both together."""
FEWEST_PER_HALF = 8
"""Values in each half from which the rank-sum test's normal approximation is good."""
FEWEST_PAIRS = 9
"""Items asked twice from which a sign test can fall below CHANGE_P: 2/2⁹ < 0.005."""


def engine_ended(evidence: Evidence) -> Finding:
    """An engine that ended while it was measured."""
    facts = evidence.facts
    if facts.engine_ended is not None:
        return Reason(
            rule="engine_ended",
            severity="invalid",
            measured=1,
            limit=0,
            unit="engines",
            message=f"The engine ended during the run: {facts.engine_ended}",
            advice="Read the engine's log; a smaller context or model may be what it needs.",
        )
    if facts.engine_watched is None:
        return NotChecked(rule="engine_ended", why="nobody wrote down whether it went on serving")
    if not facts.engine_watched:
        return NotChecked(rule="engine_ended", why="the engine was not started by this program")
    return Passed(rule="engine_ended", measured=0, limit=0, unit="engines")


def too_few(evidence: Evidence) -> Finding:
    """Too few items for an interval."""
    items = {r.item_id for r in evidence.measured if r.outcome is Outcome.OK}
    needed = interval_needs(0.5, evidence.level)
    if len(items) >= needed:
        return Passed(rule="too_few", measured=len(items), limit=needed, unit="items")
    return Reason(
        rule="too_few",
        severity="suspect" if items else "invalid",
        measured=len(items),
        limit=needed,
        unit="items",
        message=f"{number_of(len(items), 'different item was', 'different items were')} answered, "
        f"too few for an interval "
        f"at {evidence.level:.0%}.",
        advice=_enough_items(evidence, needed),
    )


def _enough_items(evidence: Evidence, needed: int) -> str:
    """What to do where too few items were answered."""
    if len({r.item_id for r in evidence.measured}) >= needed:
        return "Enough items were asked: see why the others were not answered."
    planned = evidence.facts.planned_requests
    if planned is not None and planned > len(evidence.measured):
        return "The run ended before all of them were asked: see why it did."
    return f"Measure at least {needed} items (-n {needed})."


def incomplete(evidence: Evidence) -> Finding:
    """Requests of the plan that did not come to an end of their own."""
    facts = evidence.facts
    cut = sum(r.outcome in (Outcome.CUT, Outcome.NOT_SENT) for r in evidence.measured)
    planned = facts.planned_requests
    if planned is None and facts.interrupted is None and not cut:
        return NotChecked(rule="incomplete", why="the plan of the run is not known")
    missing = cut if planned is None else planned - (len(evidence.measured) - cut)
    if missing <= 0 and not facts.interrupted:
        return Passed(rule="incomplete", measured=missing, limit=0, unit="requests")
    of = len(evidence.measured) if planned is None else planned
    return Reason(
        rule="incomplete",
        severity="suspect",
        measured=missing,
        limit=0,
        unit="requests",
        message=f"The run ended early: {missing:,} of "
        f"{number_of(of, 'request was', 'requests were')} cut off or never sent.",
        advice="Slow requests are cut off sooner than quick ones: let the run finish. Where it "
        "ended by itself, a note says why.",
    )


class _Change(NamedTuple):
    """How a quantity differs between an earlier and a later part of a run."""

    shift: float
    """Relative change: 0.1 is 10 % more."""
    p: float
    """Chance of a difference as clear as this one where nothing changed."""
    between: str


def drift_of(
    rule: str, what: str, quantity: Quantity[RequestRecord, float]
) -> Callable[[Evidence], Finding]:
    """The rule that a quantity stayed the same in the course of the run.

    A change counts when it is both larger than CHANGE_SHARE and too clear to be chance.
    """

    def drift(evidence: Evidence) -> Finding:
        values = evidence.values(quantity)
        repeated = len({record.repeat for record, _ in values}) > 1
        change = _between_repeats(values) if repeated else _between_halves(values)
        if isinstance(change, str):
            return NotChecked(rule=rule, why=change)
        measured = abs(change.shift)
        if change.p >= CHANGE_P:
            note = f"may be chance (p = {change.p:.2g})" if measured > CHANGE_SHARE else None
            return Passed(rule=rule, measured=measured, limit=CHANGE_SHARE, unit="share", note=note)
        direction = "grew" if change.shift > 0 else "fell"
        return held(
            rule,
            measured,
            CHANGE_SHARE,
            "share",
            message=f"{what} {direction} by {percent(measured)} {change.between} "
            f"(p = {change.p:.2g}).",
            advice="Warm up longer (--warmup), let the machine cool, stop what else runs on it.",
        )

    return drift


def _there(count: int) -> str:
    return f"there {'is' if count == 1 else 'are'} {count}"


def _between_repeats(values: Sequence[tuple[RequestRecord, float]]) -> _Change | str:
    """Each item's last value against its first: every item is its own control (sign test)."""
    of_item: dict[str, list[float]] = {}
    for record, value in values:
        of_item.setdefault(record.item_id, []).append(value)
    pairs = [(v[0], v[-1]) for v in of_item.values() if len(v) > 1 and v[0] > 0]
    if len(pairs) < FEWEST_PAIRS:
        return f"needs {FEWEST_PAIRS} items measured twice, {_there(len(pairs))}"
    return _Change(
        shift=median(last / first for first, last in pairs) - 1,
        p=sign_test(last - first for first, last in pairs),
        between="from the first repeat to the last",
    )


def _between_halves(values: Sequence[tuple[RequestRecord, float]]) -> _Change | str:
    """The later half of the requests against the earlier half (rank-sum test)."""
    half = len(values) // 2
    if half < FEWEST_PER_HALF:
        return f"needs {2 * FEWEST_PER_HALF} requests, {_there(len(values))}"
    earlier = [value for _, value in values[:half]]
    later = [value for _, value in values[half:]]
    if median(earlier) <= 0:
        return "the values are too small to compare"
    return _Change(
        shift=median(later) / median(earlier) - 1,
        p=rank_sum_test(earlier, later),
        between="from the first half of the run to the second",
    )


def repeat_spread(evidence: Evidence) -> Finding:
    """Whether the repeats differ by more than the interval of their summary says."""
    rule = "repeat_spread"
    of_item: dict[str, dict[int, float]] = {}
    for record, value in evidence.values(whole.total_latency_s):
        of_item.setdefault(record.item_id, {})[record.repeat] = value
    repeats = sorted({record.repeat for record in evidence.measured})
    if len(repeats) < 2:
        return NotChecked(rule=rule, why="there was one repeat")
    # Only items that every repeat answered: else the repeats differ by what they were asked.
    complete = [by_repeat for by_repeat in of_item.values() if len(by_repeat) == len(repeats)]
    if len(complete) < interval_needs(0.5, evidence.level):
        return NotChecked(rule=rule, why="too few items were answered in every repeat")
    estimate = item_median_estimate(
        [list(by_repeat.values()) for by_repeat in complete], evidence.level
    )
    assert estimate.low is not None and estimate.high is not None
    typical = [median(by_repeat[repeat] for by_repeat in complete) for repeat in repeats]
    spread = max(typical) - min(typical)
    width = max(estimate.high - estimate.low, CHANGE_SHARE * estimate.point)
    return held(
        rule,
        spread,
        width,
        "s",
        message=f"The repeats' median latencies lie {duration(spread)} apart, more than the "
        f"{duration(width)} that the interval allows.",
        advice="The machine changed between repeats: stop what else runs on it, repeat more often.",
    )
