"""Inference about two sides: how far apart they are, how surely, and what could have been seen.

The unit is the replicate: a run, or a session of its own. Repeats within one share its effect (how
the engine was laid out in memory, what else the machine did), so that they add no replicate. Each
replicate is one number, on a scale on which sides differ by a shift: the logarithm of a duration,
or a percentage.

A failed replicate is +∞ or −∞. Where one is among the values, the sides are compared by ranks.

Pure Python: no number here needs more than the standard library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist

import msgspec

from minionbench.stats import (
    LEVEL,
    Estimate,
    incomplete_beta,
    median,
    median_estimate,
    proportion_estimate,
    sign_test,
    student_quantile,
)

POWER = 0.8
"""Chance to find a change of the wanted size, where the caller names none."""

MOST_REPLICATES = 1_000
"""Replicates per side beyond which none are asked for."""

_ROUNDING = 1e-12
"""Share of the values' size below which a spread is that of rounding alone."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How far replicates of one thing lie apart, known from elsewhere."""

    deviation: float
    """Standard deviation."""
    degrees: float
    """Degrees of freedom that it was estimated with."""


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """The shift from the base's values to the new ones, with its uncertainty and test.

    `low` and `high` bound the interval at `level`, `p` is two-sided; all three are None where the
    replicates cannot tell, and `note` says why. An end of the interval may be infinite.
    """

    point: float
    low: float | None
    high: float | None
    level: float
    p: float | None
    base: int
    """Replicates, or items, of the base."""
    new: int
    method: str
    error: float | None = None
    """Standard error of the point; None where the method has none."""
    degrees: float | None = None
    paired: bool = False
    note: str | None = None

    @property
    def deviation(self) -> float | None:
        """Standard deviation between replicates (of differences, where they are paired)."""
        if self.error is None:
            return None
        return self.error / math.sqrt(1 / self.base + (0 if self.paired else 1 / self.new))


# --- Student's t -------------------------------------------------------------------------------


def student_p(t: float, degrees: float) -> float:
    """Two-sided p-value of a t statistic."""
    if math.isinf(t):
        return 0.0
    return incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t))


def _difference(new: float, base: float) -> float:
    """new − base, where two infinities of one sign are the same."""
    return 0.0 if new == base else new - base


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _squares(values: Sequence[float]) -> float:
    """Sum of the squared distances from the mean; 0 where only rounding keeps the values apart."""
    middle = _mean(values)
    size = max(map(abs, values))
    if max(values) - min(values) <= _ROUNDING * max(1.0, size):
        return 0.0
    return math.fsum((value - middle) ** 2 for value in values)


def _by_student(
    point: float,
    error: float,
    degrees: float,
    level: float,
    base: int,
    new: int,
    method: str,
    paired: bool = False,
) -> Contrast:
    if error == 0:
        p = 1.0 if abs(point) <= _ROUNDING else 0.0
        reach = 0.0
    else:
        p = student_p(point / error, degrees)
        reach = student_quantile((1 + level) / 2, degrees) * error
    return Contrast(
        point=point,
        low=point - reach,
        high=point + reach,
        level=level,
        p=p,
        base=base,
        new=new,
        method=method,
        error=error,
        degrees=degrees,
        paired=paired,
    )


def contrast(
    base: Sequence[float],
    new: Sequence[float],
    level: float = LEVEL,
    *,
    spread: Spread | None = None,
) -> Contrast:
    """The shift between two independent sets of replicates.

    With two or more on each side Welch's t, which allows each side a spread of its own. With one
    replicate on a side Student's t with the spread of the other side, and of `spread` where it is
    given, taken to be that of both. With one on each side and no `spread` there is neither interval
    nor test. Where a value is infinite the sides are compared by ranks.

    Source: Welch, Biometrika 34 (1947); degrees of freedom by Satterthwaite.
    """
    if not base or not new:
        raise ValueError("a comparison with no values")
    if len({*base, *new}) == 1:
        base, new = [0.0] * len(base), [0.0] * len(new)  # alike, if infinite
    if not all(map(math.isfinite, (*base, *new))):
        return _by_ranks(base, new, level)
    m, n = len(base), len(new)
    point = _mean(new) - _mean(base)
    if m >= 2 and n >= 2:
        a, b = _squares(base) / (m - 1) / m, _squares(new) / (n - 1) / n
        if a + b == 0:
            return _by_student(point, 0.0, m + n - 2, level, m, n, "no replicate differs")
        degrees = (a + b) ** 2 / (a * a / (m - 1) + b * b / (n - 1))
        # Rounded down, on the safe side, so that quantiles are found again.
        degrees = math.floor(degrees * 100) / 100
        return _by_student(point, math.sqrt(a + b), degrees, level, m, n, "Welch's t")
    own = m + n - 2
    known = 0.0 if spread is None else spread.degrees
    if own + known == 0:
        return Contrast(
            point=point,
            low=None,
            high=None,
            level=level,
            p=None,
            base=m,
            new=n,
            method="none",
            note="one replicate on each side says nothing of how far replicates lie apart",
        )
    squares = _squares(base) + _squares(new)
    if spread is not None:
        squares += spread.degrees * spread.deviation**2
    degrees = own + known
    error = math.sqrt(squares / degrees * (1 / m + 1 / n))
    if spread is None:
        method = "Student's t, with the spread of the side that has replicates"
    else:
        method = "Student's t, with the spread of earlier runs"
    return _by_student(point, error, degrees, level, m, n, method)


def paired_contrast(
    base: Sequence[float], new: Sequence[float], level: float = LEVEL, *, pair: str = "pairs"
) -> Contrast:
    """The shift between replicates of which the k-th of each side belong together.

    Student's t of the differences; by their signs where a value is infinite. `pair` names in the
    method what belongs together.
    """
    if len(base) != len(new):
        raise ValueError(f"{len(base)} and {len(new)} replicates make no pairs")
    n = len(base)
    differences = [_difference(b, a) for a, b in zip(base, new, strict=True)]
    if not all(map(math.isfinite, (*base, *new))):
        estimate = median_estimate(differences, level)
        return Contrast(
            point=_middle(sorted(differences)),
            low=-math.inf if estimate.low is None else estimate.low,
            high=math.inf if estimate.high is None else estimate.high,
            level=level,
            p=sign_test(differences),
            base=n,
            new=n,
            method=f"sign test over {pair}, since failures have no size",
            paired=True,
        )
    point = _mean(differences)
    if n < 2:
        return Contrast(
            point=point,
            low=None,
            high=None,
            level=level,
            p=None,
            base=n,
            new=n,
            method="none",
            paired=True,
            note="one pair says nothing of how far pairs lie apart",
        )
    error = math.sqrt(_squares(differences) / (n - 1) / n)
    method = f"Student's t over {pair}"
    return _by_student(point, error, n - 1, level, n, n, method, paired=True)


# --- ranks -------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _rank_counts(m: int, n: int) -> tuple[int, ...]:
    """In how many ways m and n values can be ordered, by Mann and Whitney's U from 0 to m·n.

    The generating function is the Gaussian binomial coefficient: ∏ (1 − qⁿ⁺ⁱ)/(1 − qⁱ), i = 1…m.
    """
    counts = [0] * (m * n + 1)
    counts[0] = 1
    for i in range(1, m + 1):
        for at in range(m * n, n + i - 1, -1):
            counts[at] -= counts[at - n - i]
        for at in range(i, m * n + 1):
            counts[at] += counts[at - i]
    return tuple(counts)


def rank_sum_p(base: Sequence[float], new: Sequence[float]) -> float:
    """Exact two-sided p-value of the claim that neither side tends to be the larger one.

    A tie counts half; where that leaves a half, it is rounded towards no difference.
    """
    m, n = len(base), len(new)
    larger = sum((b > a) + 0.5 * (b == a) for a in base for b in new)
    fewer = math.ceil(min(larger, m * n - larger))
    counts = _rank_counts(m, n)
    return min(1.0, 2 * sum(counts[: fewer + 1]) / sum(counts))


def _by_ranks(base: Sequence[float], new: Sequence[float], level: float) -> Contrast:
    """Hodges and Lehmann's shift with the interval that belongs to the rank sum test.

    Source: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 4.2 and 4.3.
    """
    m, n = len(base), len(new)
    shifts = sorted(_difference(b, a) for a in base for b in new)
    counts = _rank_counts(m, n)
    total = sum(counts)
    outside, tail = -1, 0
    while 2 * (tail + counts[outside + 1]) <= (1 - level) * total:
        outside += 1
        tail += counts[outside]
    known = outside >= 0
    return Contrast(
        point=_middle(shifts),
        low=shifts[outside] if known else -math.inf,
        high=shifts[-1 - outside] if known else math.inf,
        level=level,
        p=rank_sum_p(base, new),
        base=m,
        new=n,
        method="rank sum test, since failures have no size",
    )


def _middle(ordered: Sequence[float]) -> float:
    """The median, where −∞ and +∞ on its two sides leave nothing to say: 0."""
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    low, high = ordered[half - 1], ordered[half]
    if math.isinf(low) and math.isinf(high) and low != high:
        return 0.0
    if math.isinf(low) or math.isinf(high):
        return low if math.isinf(low) else high
    return (low + high) / 2


# --- shares ------------------------------------------------------------------------------------


def paired_share_contrast(differences: Sequence[float], level: float = LEVEL) -> Contrast:
    """The mean difference of shares between 0 and 1 of the same items.

    The test is McNemar's in its exact form, a sign test over the items that differ. Where shares of
    unlike numbers of answers are held against each other, many items may differ a little in one
    direction and few by much in the other with nothing changed, so that the mean has to be far from
    0 as well: the p-value is then the larger one of the sign test's and of Student's t. The
    interval is Agresti and Min's: two items more, one for each side, then the normal approximation;
    it is not empty where no item differs, and holds the mean in any case.

    Source: Agresti and Min, Statistics in Medicine 24 (2005).
    """
    n = len(differences)
    if not n:
        raise ValueError("a comparison of no items")
    point = _mean(differences)
    middle = math.fsum(differences) / (n + 2)
    # Half an item in each of the four cells: two halves of them differ, one in each direction.
    squares = math.fsum(d * d for d in differences) + 1
    variance = (squares / (n + 2) - middle * middle) / (n + 2)
    reach = _z(level) * math.sqrt(variance)
    p, test = sign_test(differences), "exact McNemar test"
    sizes = [abs(d) for d in differences if d]
    if sizes and max(sizes) - min(sizes) > _ROUNDING:
        by_mean = math.sqrt(_squares(differences) / (n - 1) / n)
        p, test = max(p, student_p(point / by_mean, n - 1)), "McNemar's and Student's test"
    return Contrast(
        point=point,
        low=max(-1.0, min(middle - reach, point)),
        high=min(1.0, max(middle + reach, point)),
        level=level,
        p=p,
        base=n,
        new=n,
        method=f"{test} over items, interval by Agresti and Min",
        error=math.sqrt(variance),
        paired=True,
    )


def share_contrast(
    base: float, base_items: int, new: float, new_items: int, level: float = LEVEL
) -> Contrast:
    """The difference of two shares between 0 and 1 of different items.

    The interval is Newcombe's, of two Wilson intervals; the test is the normal approximation with
    the pooled share.

    Source: Newcombe, Statistics in Medicine 17 (1998), method 10.
    """
    first = proportion_estimate(base * base_items, base_items, level)
    second = proportion_estimate(new * new_items, new_items, level)
    assert first.low is not None and first.high is not None
    assert second.low is not None and second.high is not None
    point = new - base
    pooled = (base * base_items + new * new_items) / (base_items + new_items)
    error = math.sqrt(pooled * (1 - pooled) * (1 / base_items + 1 / new_items))
    z = 0.0 if error == 0 else abs(point) / error
    return Contrast(
        point=point,
        low=point - math.hypot(second.point - second.low, first.high - first.point),
        high=point + math.hypot(second.high - second.point, first.point - first.low),
        level=level,
        p=2 * _upper_tail(z),
        base=base_items,
        new=new_items,
        method="two Wilson intervals joined by Newcombe's method, items of each side its own",
        error=error,
    )


def joined_contrast(
    base: Estimate, new: Estimate, level: float = LEVEL, *, method: str = "intervals over items"
) -> Contrast:
    """The difference of two estimates that carry an interval of their own.

    The interval is joined of the two (the method of variance estimates recovery), the test the
    normal approximation with the widths taken for standard errors. Wider than need be where both
    are of the same items.

    Source: Zou and Donner, Statistics in Medicine 27 (2008). Raises ValueError where a bound is
    lacking.
    """
    if base.low is None or base.high is None or new.low is None or new.high is None:
        raise ValueError("an estimate without both bounds")
    z = _z(level)
    point = new.point - base.point
    down = math.hypot(
        (new.point - new.low) / _z(new.level), (base.high - base.point) / _z(base.level)
    )
    up = math.hypot(
        (new.high - new.point) / _z(new.level), (base.point - base.low) / _z(base.level)
    )
    error = (down + up) / 2
    p = 1.0 if point == 0 else 0.0 if error == 0 else 2 * _upper_tail(abs(point) / error)
    return Contrast(
        point=point,
        low=point - z * down,
        high=point + z * up,
        level=level,
        p=p,
        base=base.n,
        new=new.n,
        method=f"{method}, joined by the method of Zou and Donner",
        error=error,
    )


def with_least_error(known: Contrast, error: float) -> Contrast:
    """The same shift, where its standard error cannot be less than is given."""
    if known.error is None or known.degrees is None or known.error >= error:
        return known
    return _by_student(
        known.point,
        error,
        known.degrees,
        known.level,
        known.base,
        known.new,
        known.method,
        paired=known.paired,
    )


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _upper_tail(z: float) -> float:
    """P(Z > z), without the rounding that 1 − P(Z ≤ z) has far out."""
    return math.erfc(z / math.sqrt(2)) / 2


# --- many questions ----------------------------------------------------------------------------


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for being asked together, in the order in which they came.

    Whoever rejects those that are at most α errs in one or more of them with probability at most α,
    however they hang together.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


# --- power -------------------------------------------------------------------------------------


def detectable(
    error: float,
    degrees: float,
    *,
    alpha: float,
    power: float = POWER,
    threshold: float = 0.0,
) -> float:
    """The smallest shift that is found with the wanted power.

    Found means: the two-sided test at `alpha` rejects, and the point lies beyond the threshold.
    Formula: max(t₁₋α⸝₂·s, threshold) + t_power·s with the standard error s, which takes the
    quantile of Student's t for that of the noncentral one.
    """
    if error == 0:
        return threshold
    reach = student_quantile(1 - alpha / 2, degrees) * error
    return max(reach, threshold) + student_quantile(power, degrees) * error


def replicates_needed(
    deviation: float,
    shift: float,
    *,
    alpha: float,
    power: float = POWER,
    threshold: float = 0.0,
    paired: bool = False,
) -> int | None:
    """The fewest replicates per side (or pairs) with which a shift is found with the power.

    `deviation` is the standard deviation between replicates, or of the differences of pairs. None
    where more than MOST_REPLICATES would be needed, or none suffice because the shift is not beyond
    the threshold.
    """

    def enough(n: int) -> bool:
        error, degrees = _error_of(n, deviation, paired)
        reached = detectable(error, degrees, alpha=alpha, power=power, threshold=threshold)
        return reached <= shift

    return _fewest(enough)


def replicates_for_same(
    deviation: float,
    threshold: float,
    *,
    level: float = LEVEL,
    power: float = POWER,
    paired: bool = False,
) -> int | None:
    """The fewest replicates per side (or pairs) that tell that nothing has changed, if so.

    With the wanted power the interval then lies inside the threshold. None as in
    `replicates_needed`.
    """

    def enough(n: int) -> bool:
        error, degrees = _error_of(n, deviation, paired)
        if error == 0:
            return threshold > 0
        # The interval has to stay inside on both sides.
        reach = student_quantile((1 + level) / 2, degrees)
        return (reach + student_quantile((1 + power) / 2, degrees)) * error <= threshold

    return _fewest(enough)


def _error_of(n: int, deviation: float, paired: bool) -> tuple[float, float]:
    if paired:
        return deviation / math.sqrt(n), n - 1
    return deviation * math.sqrt(2 / n), 2 * n - 2


def _fewest(enough: Callable[[int], bool]) -> int | None:
    low, high = 2, MOST_REPLICATES
    if not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return low


# --- items -------------------------------------------------------------------------------------


def item_centres(base: Sequence[Sequence[float]], new: Sequence[Sequence[float]]) -> list[float]:
    """Of each item the point halfway between its two sides, from which replicates are measured.

    `base` and `new` hold the replicates, each with its values in the order of the items. The middle
    of a side is its median; where failures make that infinite, the other side's is taken, and where
    both are, the median of what is finite. An item that never was finite has 0.
    """
    centres = []
    for a, b in zip(zip(*base, strict=True), zip(*new, strict=True), strict=True):
        middles = [m for m in (_middle(sorted(a)), _middle(sorted(b))) if math.isfinite(m)]
        finite = [value for value in (*a, *b) if math.isfinite(value)]
        if middles:
            centres.append(math.fsum(middles) / len(middles))
        else:
            centres.append(median(finite) if finite else 0.0)
    return centres


def typical_shift(values: Sequence[float], centres: Sequence[float]) -> float:
    """How far a replicate lies from the centres of its items: the median over the items."""
    return _middle(sorted(_difference(v, c) for v, c in zip(values, centres, strict=True)))
