"""One metric of one cell: how far the sides are apart, and what is to be said of it.

A change is told on the scale of its metric: the ratio of a duration, a rate or an amount, the
points of a percentage. The verdicts:

    same         the whole interval lies inside ± the threshold
    worse        the test rejects "no change", together with all others that were asked (Holm),
                 and the change lies beyond the threshold on the bad side
    better       the same on the good side
    cannot tell  everything else
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from minionbench.compare.criteria import OVER_ITEMS, Criteria, Scale, amount, scale_of
from minionbench.compare.measurement import FAILED_PCT, Observation, Replicate, info
from minionbench.compare.reading import ACCURACY, BY_ITEM
from minionbench.inference import (
    Contrast,
    Spread,
    contrast,
    detectable,
    item_centres,
    joined_contrast,
    paired_contrast,
    paired_share_contrast,
    replicates_for_same,
    replicates_needed,
    share_contrast,
    typical_shift,
    with_least_error,
)
from minionbench.metrics.table import MetricInfo
from minionbench.stats import Estimate
from minionbench.units import number_of

FEWEST_ITEMS = 2
"""Items that both sides must share before they are paired by item."""


class Verdict(StrEnum):
    """What is to be said of a metric."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    UNCLEAR = "cannot tell"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of both sides, before it is known what else is asked."""

    metric: str
    info: MetricInfo
    base: tuple[Observation, ...]
    new: tuple[Observation, ...]
    contrast: Contrast | None
    """None where no shift could be computed, or none is needed."""
    verdict: Verdict | None = None
    """Where no test is needed to know it."""
    why: str = ""
    """What is known without a test."""
    notes: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of one metric of one cell."""

    metric: str
    unit: str
    better: str
    """Which direction is an improvement: lower or higher."""
    headline: bool
    base: float | None
    """The typical value: the geometric mean of the replicates, of a percentage the mean; None where
    one failed or there is none."""
    new: float | None
    base_replicates: int
    new_replicates: int
    scale: Scale
    """`relative`: changes are ratios − 1. `points`: differences of percentages."""
    change: float | None
    low: float | None
    """Interval of the change; None where there is none, or it is open there."""
    high: float | None
    level: float
    p: float | None
    p_adjusted: float | None
    """For all questions of the comparison together, after Holm."""
    threshold: float
    detectable: float | None
    """The smallest change for the worse that such replicates find with the wanted power."""
    needed: int | None
    """Replicates per side with which the wanted change is found, and no change is told as such."""
    method: str | None
    verdict: Verdict
    why: str
    notes: tuple[str, ...] = ()


# --- asking ------------------------------------------------------------------------------------


def observations(name: str, replicates: Sequence[Replicate]) -> tuple[Observation, ...]:
    """A metric's observations, one per replicate that has it or should have it."""
    found = (observation(name, replicate) for replicate in replicates)
    return tuple(one for one in found if one is not None)


def observation(name: str, replicate: Replicate) -> Observation | None:
    """A metric of a replicate; a percentile is named `ttft_s:p95`. None where there is neither."""
    if name == FAILED_PCT.name and name not in replicate.metrics:
        if not replicate.requests or replicate.failed is None:
            return None
        share = 100 * replicate.failed / replicate.requests
        return Observation(value=share, items=replicate.requests)
    base, colon, percentile = name.partition(":")
    whole = replicate.metrics.get(base)
    if whole is not None and whole.value is not None and whole.value < 0:
        said = f"it is {whole.value:g}, and below 0 there is no ratio"
        return Observation(value=None, why=said, items=whole.items)
    if not colon or whole is None or whole.value is None:
        return whole
    value = whole.percentiles.get(percentile)
    why = None if value is not None else f"there is no {percentile}: too few items, or failures"
    return Observation(value=value, why=why, items=whole.items)


def ask(
    name: str,
    base: Sequence[Replicate],
    new: Sequence[Replicate],
    criteria: Criteria,
    *,
    paired: bool = False,
    spread: Spread | None = None,
) -> Asked | None:
    """A metric of both sides with its contrast; None where neither side has it.

    `paired` says that the k-th replicates of both sides belong together. `spread` is what earlier
    runs say of how far replicates lie apart.
    """
    known = info(name.partition(":")[0])
    assert known is not None
    seen = (observations(name, base), observations(name, new))
    made = Asked(metric=name, info=known, base=seen[0], new=seen[1], contrast=None)
    usable = tuple([o for o in side if o.value is not None or o.failed] for side in seen)
    if not any(one.value is not None for side in usable for one in side) and not all(usable):
        return None
    for side, words in zip((0, 1), ("base", "new"), strict=True):
        if not usable[side]:
            why = next((o.why for o in seen[side] if o.why), "it is not in the document")
            why = f"the {words} side has no value: {why}"
            return msgspec.structs.replace(made, verdict=Verdict.UNCLEAR, why=why)
    ruled = _by_rule(made, *usable)
    if ruled is not None:
        return ruled
    found = _contrast(made, usable, (base, new), criteria, paired=paired, spread=spread)
    left_out = [len(side) - len(use) for side, use in zip(seen, usable, strict=True)]
    notes = tuple(
        f"{number_of(count, 'replicate')} of the {words} side {'has' if count == 1 else 'have'} no "
        "value and could not count"
        for count, words in zip(left_out, ("base", "new"), strict=True)
        if count
    )
    return msgspec.structs.replace(found, notes=(*found.notes, *notes))


def _by_rule(made: Asked, base: Sequence[Observation], new: Sequence[Observation]) -> Asked | None:
    """What is known without a test: where failures leave one side no value in any replicate."""
    broken = [all(one.failed for one in side) for side in (base, new)]
    whole = [not any(one.failed for one in side) for side in (base, new)]
    if all(broken):
        why = f"it failed on both sides: {new[0].why}"
        return msgspec.structs.replace(made, verdict=Verdict.UNCLEAR, why=why)
    if broken[1] and whole[0]:
        why = f"the base has a value, the new side failed: {new[0].why}"
        return msgspec.structs.replace(made, verdict=Verdict.WORSE, why=why)
    if broken[0] and whole[1]:
        why = f"the new side has a value, the base failed: {base[0].why}"
        return msgspec.structs.replace(made, verdict=Verdict.BETTER, why=why)
    if made.metric == FAILED_PCT.name and not any(one.value for one in (*base, *new)):
        count = sum(one.items or 0 for one in (*base, *new))
        why = f"none of {number_of(count, 'request')} failed on either side"
        return msgspec.structs.replace(made, verdict=Verdict.SAME, why=why)
    return None


def _contrast(
    made: Asked,
    usable: tuple[list[Observation], ...],
    replicates: tuple[Sequence[Replicate], Sequence[Replicate]],
    criteria: Criteria,
    *,
    paired: bool,
    spread: Spread | None,
) -> Asked:
    name, level = made.metric, criteria.level
    if name == ACCURACY:
        over_items = _accuracy(usable, replicates, level)
        if over_items is not None:
            return msgspec.structs.replace(made, contrast=over_items)
    if name in OVER_ITEMS:
        estimates = [_estimate(side, scale_of(name)) for side in usable]
        if estimates[0] is not None and estimates[1] is not None:
            joined = joined_contrast(estimates[0], estimates[1], level)
            return msgspec.structs.replace(made, contrast=joined)
    paired = paired and len(usable[0]) == len(usable[1]) == len(replicates[0])
    notes: list[str] = []
    values = _by_items(made, replicates) if name in BY_ITEM else None
    method = ", replicates by the typical shift of their items"
    if values is None:
        method = ""
        values = tuple([_on_scale(one, made) for one in side] for side in usable)
    if paired:
        found = paired_contrast(values[0], values[1], level)
        if found.p is None and spread is not None:
            found = contrast(values[0], values[1], level, spread=spread)
    else:
        found = contrast(values[0], values[1], level, spread=spread)
    if name == FAILED_PCT.name:
        found = with_least_error(found, _binomial_error(usable))
    if method and found.p is not None and math.isfinite(found.point):
        found = msgspec.structs.replace(found, method=found.method + method)
    return msgspec.structs.replace(made, contrast=found, notes=tuple(notes))


def _worst(made: Asked) -> float:
    return math.inf if made.info.better == "lower" else -math.inf


def _on_scale(one: Observation, made: Asked) -> float:
    """A value on the scale of shifts; a failure is the worst there is."""
    if one.value is None:
        return _worst(made)
    if scale_of(made.metric) == "points":
        return one.value
    return math.log(one.value) if one.value > 0 else -math.inf


def _by_items(
    made: Asked, replicates: tuple[Sequence[Replicate], Sequence[Replicate]]
) -> tuple[list[float], ...] | None:
    """How far each replicate lies from what is typical of its items, where all have the same ones.

    None where they have not, or it is not known.
    """
    name = made.metric
    everyone = [*replicates[0], *replicates[1]]
    if any(not one.asked or name not in one.items for one in everyone):
        return None
    if len({frozenset(one.asked) for one in everyone}) != 1:
        return None
    shared = set.intersection(*(set(one.items[name]) for one in everyone))
    if len(shared) < FEWEST_ITEMS:
        return None
    order = sorted(shared)
    worst = _worst(made)
    sides = [[_logs(one.items[name], order, worst) for one in side] for side in replicates]
    centres = item_centres(*sides)
    return tuple([typical_shift(values, centres) for values in side] for side in sides)


def _logs(items: Mapping[str, float | None], order: Sequence[str], worst: float) -> list[float]:
    log = math.log
    return [
        worst if value is None else log(value) if value > 0 else -math.inf
        for value in map(items.__getitem__, order)
    ]


def _accuracy(
    usable: tuple[list[Observation], ...],
    replicates: tuple[Sequence[Replicate], Sequence[Replicate]],
    level: float,
) -> Contrast | None:
    """The difference of accuracies over items, paired where both sides answered the same."""
    shares = [_item_shares(side) for side in replicates]
    if shares[0] and shares[1] and shares[0].keys() == shares[1].keys():
        differences = [shares[1][item] - shares[0][item] for item in shares[0]]
        return _in_points(paired_share_contrast(differences, level))
    values = [[one.value for one in side if one.value is not None] for side in usable]
    items = [max((one.items or 0 for one in side), default=0) for side in usable]
    if not all(values) or not all(items):
        return None
    means = [math.fsum(side) / len(side) / 100 for side in values]
    return _in_points(share_contrast(means[0], items[0], means[1], items[1], level))


def _item_shares(side: Sequence[Replicate]) -> dict[str, float]:
    """Each item's share of right answers over all replicates; empty where that is not known."""
    sums: dict[str, float] = {}
    for replicate in side:
        seen = replicate.metrics.get(ACCURACY)
        if seen is None or seen.not_right is None or seen.items != len(replicate.asked):
            return {}
        if sums and sums.keys() != set(replicate.asked):
            return {}
        for item in replicate.asked:
            sums[item] = sums.get(item, 0.0) + seen.not_right.get(item, 1.0)
    return {item: total / len(side) for item, total in sums.items()}


def _in_points(found: Contrast) -> Contrast:
    return msgspec.structs.replace(
        found,
        point=100 * found.point,
        low=None if found.low is None else 100 * found.low,
        high=None if found.high is None else 100 * found.high,
        error=None if found.error is None else 100 * found.error,
    )


def _estimate(side: Sequence[Observation], scale: Scale) -> Estimate | None:
    """The value of a side with the widest interval of its replicates; None where one has none."""
    rows = [
        (one.value, one.low, one.high, one.level or 0.95)
        for one in side
        if one.value is not None and one.low is not None and one.high is not None
    ]
    if len(rows) != len(side):
        return None
    if scale == "relative":
        if any(low <= 0 for _, low, _, _ in rows):
            return None
        rows = [(math.log(v), math.log(lo), math.log(hi), level) for v, lo, hi, level in rows]
    point = math.fsum(row[0] for row in rows) / len(rows)
    widest = max(rows, key=lambda row: row[2] - row[1])
    return Estimate(
        point=point,
        low=min(widest[1], point),
        high=max(widest[2], point),
        level=widest[3],
        n=max((one.items or 0 for one in side), default=0),
        method="the document's",
    )


def _binomial_error(usable: tuple[list[Observation], ...]) -> float:
    """Standard error of a difference of shares if requests failed independently, in points."""
    counts = [sum(one.items or 0 for one in side) for side in usable]
    failed = sum((one.value or 0) / 100 * (one.items or 0) for side in usable for one in side)
    pooled = failed / sum(counts)
    return 100 * math.sqrt(pooled * (1 - pooled) * math.fsum(1 / count for count in counts))


# --- answering ---------------------------------------------------------------------------------


def answer(
    asked: Asked, criteria: Criteria, *, p_adjusted: float | None, family: int, doubt: str | None
) -> Answer:
    """What is to be said of a metric, when all p-values are known.

    `family` is how many questions were tested together; `doubt` why the numbers are not to be
    believed, None where they are.
    """
    name, found = asked.metric, asked.contrast
    scale = scale_of(name)
    shift = criteria.shift_of(name)
    verdict, why = asked.verdict, asked.why
    if verdict is None:
        assert found is not None
        verdict, why = judged(found, asked.info, criteria, name, p_adjusted)
    if doubt is not None:
        verdict, why = Verdict.UNCLEAR, f"not to be believed: {doubt}"
    reach = needed = None
    if found is not None and found.error is not None and found.degrees is not None:
        alpha = criteria.alpha / max(1, family)
        reach = detectable(
            found.error, found.degrees, alpha=alpha, power=criteria.power, threshold=shift
        )
        if found.deviation is not None:
            needed = replicates_wanted(
                found.deviation, name, criteria, family=family, paired=found.paired
            )
    return Answer(
        metric=name,
        unit=asked.info.unit,
        better=asked.info.better,
        headline=criteria.is_headline(name),
        base=_typical(asked.base, scale),
        new=_typical(asked.new, scale),
        base_replicates=len(asked.base),
        new_replicates=len(asked.new),
        scale=scale,
        change=None if found is None else _change(found.point, scale),
        low=None if found is None else _change(found.low, scale),
        high=None if found is None else _change(found.high, scale),
        level=criteria.level,
        p=None if found is None else found.p,
        p_adjusted=p_adjusted,
        threshold=criteria.threshold_of(name),
        detectable=None if reach is None else _change(reach, scale),
        needed=needed,
        method=None if found is None or found.p is None else found.method,
        verdict=verdict,
        why=why,
        notes=asked.notes,
    )


def replicates_wanted(
    deviation: float, metric: str, criteria: Criteria, *, family: int, paired: bool
) -> int | None:
    """Replicates per side with which the wanted change is found, and no change is told as such."""
    shift = criteria.shift_of(metric)
    to_find = replicates_needed(
        deviation,
        criteria.detect_shift_of(metric),
        alpha=criteria.alpha / max(1, family),
        power=criteria.power,
        threshold=shift,
        paired=paired,
    )
    to_pass = replicates_for_same(
        deviation, shift, level=criteria.level, power=criteria.power, paired=paired
    )
    return None if to_find is None or to_pass is None else max(to_find, to_pass)


def judged(
    found: Contrast,
    known: MetricInfo,
    criteria: Criteria,
    name: str,
    p_adjusted: float | None,
) -> tuple[Verdict, str]:
    """The verdict on a shift, and why."""
    scale, shift = scale_of(name), criteria.shift_of(name)
    limit = amount(criteria.threshold_of(name), scale, sign=False)
    if found.p is None or found.low is None or found.high is None or p_adjusted is None:
        return Verdict.UNCLEAR, found.note or "there is nothing to tell it by"
    if -shift < found.low and found.high < shift:
        return Verdict.SAME, f"any change is smaller than {limit}"
    harm = found.point if known.better == "lower" else -found.point
    surely = p_adjusted <= criteria.alpha
    said = _in_words(found.point, name, known)
    if surely and abs(harm) >= shift:
        return (Verdict.WORSE if harm > 0 else Verdict.BETTER), said
    if surely:
        return Verdict.UNCLEAR, f"{said}, but perhaps by less than {limit}"
    up, down = ("worse", "better") if known.better == "lower" else ("better", "worse")
    for near, far, word in ((found.low, found.high, up), (-found.high, -found.low, down)):
        if near >= shift and math.isfinite(far):
            sign = 1 if word == up else -1
            ends = f"{_size(sign * near, scale)} to {_size(sign * far, scale)}"
            return Verdict.UNCLEAR, f"it looks {ends} {word}, but not surely among all questions"
    could = [_by(found.high, scale, up)] if found.high >= shift else []
    if found.low <= -shift:
        could.insert(0 if down == "worse" else 1, _by(found.low, scale, down))
    return Verdict.UNCLEAR, f"it may be {' or '.join(could)}" if could else "the test is too weak"


def _by(shift: float, scale: Scale, word: str) -> str:
    """How much better or worse something may be, in words."""
    size = _size(shift, scale)
    return f"{word} {size}" if math.isinf(shift) else f"{size} {word}"


def _size(shift: float, scale: Scale) -> str:
    """How large a change is, in words."""
    change = _change(shift, scale)
    return amount(math.inf if change is None else abs(change), scale, sign=False)


def _in_words(point: float, name: str, known: MetricInfo) -> str:
    word = "lower" if point < 0 else "higher"
    if math.isinf(point):
        return f"{known.name} is {word} without bound: there are failures, or zeros"
    scale = scale_of(name)
    change = math.expm1(point) if scale == "relative" else point
    return f"{amount(change, scale, sign=False)} {word}"


def _change(shift: float | None, scale: Scale) -> float | None:
    if shift is None or math.isinf(shift):
        return None
    return math.expm1(min(shift, 700.0)) if scale == "relative" else shift


def _typical(seen: Iterable[Observation], scale: Scale) -> float | None:
    values = [one.value for one in seen if one.value is not None or one.failed]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    if scale == "points" or min(known) <= 0:
        return math.fsum(known) / len(known)
    return math.exp(math.fsum(map(math.log, known)) / len(known))
