"""Statistics over plain numbers: estimates that carry their interval, level, count and method.

Values may be infinite: a failed request ranks as +∞ among durations and as −∞ among rates, so
that refusing work never improves a figure. Intervals are exact and assume no distribution where
there is such a method: order statistics for quantiles. NaN is refused.

Pure Python: no number here needs more than the standard library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from statistics import NormalDist

import msgspec

LEVEL = 0.95
"""Confidence level of intervals where the caller names none."""

PERCENTILE_CONFIDENCE = 0.99
"""Confidence with which the second-largest value has to bound a percentile before it is shown.

The rule by which MLPerf certifies percentiles: it asks for 64 values for p90 and 662 for p99.
"""

_TIE = 1e-12
"""Rounding that a tail probability may carry when it is compared with its limit; the incomplete
beta function below is good to about 1e-13 at the counts that occur."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A number with its uncertainty: no statistic goes without.

    `low` and `high` bound the interval at `level`; None where the data cannot give that bound,
    and then `note` says why. `n` counts sampling units (items, or windows), not observations.
    """

    point: float
    low: float | None
    high: float | None
    level: float
    n: int
    method: str
    note: str | None = None


# --- distributions -----------------------------------------------------------------------------


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method.

    Source: NIST Digital Library of Mathematical Functions, 8.17.22.
    """
    tiny = 1e-300  # stands in for a denominator of zero, as the method prescribes
    c, d = 1.0, 1.0 / ((1.0 - (a + b) * x / (a + 1.0)) or tiny)
    result = d
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for term in (even, odd):
            d = 1.0 / ((1.0 + term * d) or tiny)
            c = (1.0 + term / c) or tiny
            result *= c * d
        if abs(c * d - 1.0) < 1e-15:
            return result
    raise ArithmeticError(f"the incomplete beta function did not converge at {a}, {b}, {x}")


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for a, b > 0 and 0 ≤ x ≤ 1."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):  # beyond it the fraction of the mirrored one is the fast one
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    log_front += a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * _beta_fraction(a, b, x) / a


def binomial_cdf(k: int, n: int, p: float) -> float:
    """P(X ≤ k) for X the number of successes in n trials of probability p."""
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    return incomplete_beta(n - k, k + 1, 1.0 - p)


@lru_cache(maxsize=256)
def student_quantile(p: float, degrees: float) -> float:
    """The value that Student's t with so many degrees of freedom stays below with probability p.

    For 0.5 ≤ p < 1.
    """

    def below(t: float) -> bool:
        return 1.0 - incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t)) / 2 < p

    high = 1.0
    while below(high):
        high *= 2
    low = 0.0
    for _ in range(100):
        middle = (low + high) / 2
        if below(middle):
            low = middle
        else:
            high = middle
    return high


# --- quantiles ---------------------------------------------------------------------------------


def _sorted_numbers(values: Iterable[float]) -> list[float]:
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a statistic of no values")
    if any(math.isnan(value) for value in ordered):
        raise ValueError("NaN among the values")
    return ordered


def _quantile_of_sorted(ordered: Sequence[float], p: float) -> float:
    position = (len(ordered) - 1) * p
    below = math.floor(position)
    fraction = position - below
    low = ordered[below]
    if fraction == 0.0 or math.isinf(low):
        return low
    high = ordered[below + 1]
    if low == high or math.isinf(high):
        return high
    # Rounding must not carry the point out of the two values that it lies between.
    return min(max(low + fraction * (high - low), low), high)


def quantile(values: Iterable[float], p: float) -> float:
    """The value that a share p of the values lies below, by linear interpolation.

    Formula: with the values sorted as x₀ … xₙ₋₁, h = (n − 1)·p and k = ⌊h⌋, the quantile is
    xₖ + (h − k)·(xₖ₊₁ − xₖ): definition 7 of Hyndman and Fan, the default of numpy, R and
    spreadsheets. Between a finite and an infinite value it is infinite.

    Raises ValueError for no values, NaN, or p outside 0…1.
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"a quantile is between 0 and 1, not {p}")
    return _quantile_of_sorted(_sorted_numbers(values), p)


def median(values: Iterable[float]) -> float:
    """The middle value; for an even count halfway between the two in the middle."""
    return quantile(values, 0.5)


def _smallest(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The smallest k in low…high for which a condition holds that stays true; high + 1 if none."""
    high += 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


@lru_cache(maxsize=1024)
def quantile_ranks(n: int, p: float, level: float = LEVEL) -> tuple[int | None, int | None]:
    """Ranks (from 1) of the order statistics that enclose the p-quantile at the level.

    Each end alone errs with probability at most (1 − level)/2, whatever the distribution: the
    number of values below the true quantile is binomial(n, p). None where even the smallest or
    the largest value errs more often.

    Source: David and Nagaraja, Order Statistics, 7.1.
    """
    tail = (1.0 - level) / 2 + _TIE
    # The lower end at rank r is wrong when fewer than r values lie below the quantile.
    lower = _smallest(lambda r: binomial_cdf(r - 1, n, p) > tail, 1, n) - 1
    upper = _smallest(lambda r: 1.0 - binomial_cdf(r - 1, n, p) <= tail, 1, n)
    return (lower if lower >= 1 else None), (upper if upper <= n else None)


@lru_cache(maxsize=256)
def interval_needs(p: float, level: float = LEVEL) -> int:
    """Smallest n for which both ends of the p-quantile's interval exist; 6 for a median at 95 %."""
    tail = (1.0 - level) / 2 + _TIE
    n = 1
    while max(p, 1.0 - p) ** n > tail:
        n += 1
    return n


@lru_cache(maxsize=256)
def percentile_needs(p: float, confidence: float = PERCENTILE_CONFIDENCE) -> int:
    """Smallest n that supports a percentile: 11 for p50, 64 for p90, 130 for p95, 662 for p99.

    From so many values on, the second-largest one lies at or above the true percentile with the
    given confidence, so that the percentile is read inside the sample and not off its edge. For
    p below 0.5 the same holds of the second-smallest.
    """
    far = max(p, 1.0 - p)
    n = 2
    while far**n + n * (1.0 - far) * far ** (n - 1) > 1.0 - confidence:
        n += 1
    return n


def quantile_estimate(
    values: Iterable[float], p: float, level: float = LEVEL, *, units: int | None = None
) -> Estimate:
    """The p-quantile with its exact order-statistic interval.

    `units` is the number of independent units behind the values where there are fewer than
    values (an item asked three times gives three values). The interval then takes the values of a
    unit to be as alike as they can be, so it is too wide rather than too narrow.
    """
    ordered = _sorted_numbers(values)
    size = len(ordered)
    n = size if units is None else units
    if not 1 <= n <= size:
        raise ValueError(f"{n} units cannot stand behind {size} values")
    point = _quantile_of_sorted(ordered, p)
    lower, upper = quantile_ranks(n, p, level)
    # Far out in a small sample the interpolated point can lie past the rank that bounds the true
    # quantile; the interval is then widened to hold it, which only adds confidence.
    return Estimate(
        point=point,
        low=None if lower is None else min(ordered[(lower - 1) * size // n], point),
        high=None if upper is None else max(ordered[-(-upper * size // n) - 1], point),
        level=level,
        n=n,
        method="order statistics",
        note=None
        if lower is not None and upper is not None
        else f"both bounds at {level:.0%} need n ≥ {interval_needs(p, level)}, there are {n}",
    )


def median_estimate(values: Iterable[float], level: float = LEVEL) -> Estimate:
    """The median with its exact order-statistic interval; both ends exist from 6 values on."""
    return quantile_estimate(values, 0.5, level)


def item_median_estimate(items: Iterable[Sequence[float]], level: float = LEVEL) -> Estimate:
    """The median over items of each item's median over its repeats.

    The item is the sampling unit: asking one item again adds no item, so the interval comes from
    the order statistics of the items' medians and `n` counts items.
    """
    estimate = median_estimate((median(values) for values in items), level)
    return msgspec.structs.replace(estimate, method="order statistics over items' medians")


# --- rates and shares --------------------------------------------------------------------------


def ratio_of_sums(parts: Sequence[tuple[float, float]], level: float = LEVEL) -> Estimate:
    """A rate over several windows: the sum of the amounts over the sum of the durations.

    Each part is (amount, duration). Formula: R = Σa/Σd; with the residuals eᵢ = aᵢ − R·dᵢ the
    standard error is √(n·Σe²/(n−1))/Σd, and the interval Student's t with n − 1 degrees around R,
    cut at 0, which a rate cannot pass. One window gives no interval.

    Source: Cochran, Sampling Techniques, 2.11.
    """
    n = len(parts)
    amount = math.fsum(a for a, _ in parts)
    length = math.fsum(d for _, d in parts)
    if length <= 0:
        raise ValueError("a rate over no time")
    rate = amount / length
    low = high = note = None
    if n >= 2:
        squares = math.fsum((a - rate * d) ** 2 for a, d in parts)
        error = math.sqrt(n * squares / (n - 1)) / length
        reach = student_quantile((1 + level) / 2, n - 1) * error
        low, high = max(rate - reach, 0.0), rate + reach
    else:
        note = "one window has no spread: an interval needs at least 2 repeats"
    return Estimate(
        point=rate,
        low=low,
        high=high,
        level=level,
        n=n,
        method="ratio of sums, Student's t over windows",
        note=note,
    )


def proportion_estimate(successes: float, n: int, level: float = LEVEL) -> Estimate:
    """A share of n with Wilson's score interval, which stays inside 0…1 and is never empty.

    `successes` may be a sum of shares, one per unit: a variable between 0 and 1 spreads no more
    than yes and no do, so that the interval is then rather too wide than too narrow.

    Source: Wilson, Journal of the American Statistical Association 22 (1927).
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} of {n} is no share")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / n
    scale = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    return Estimate(
        point=share,
        low=min(max(middle - reach, 0.0), share),
        high=max(min(middle + reach, 1.0), share),
        level=level,
        n=n,
        method="Wilson score interval",
    )


# --- tests -------------------------------------------------------------------------------------


def sign_test(differences: Iterable[float]) -> float:
    """Two-sided p-value of the claim that differences are as often positive as negative.

    Zeros count on neither side. Exact (binomial); 1 when nothing but zeros is given.
    """
    signs = [difference > 0 for difference in differences if difference != 0]
    fewer = min(signs.count(True), signs.count(False))
    return min(1.0, 2 * binomial_cdf(fewer, len(signs), 0.5))


def rank_sum_test(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p-value of the claim that neither sample tends to be the larger one.

    Mann and Whitney's U by its normal approximation, corrected for ties and for continuity; good
    from about 8 values on each side. 1 when all values are equal.
    """
    m, n = len(first), len(second)
    if not m or not n:
        raise ValueError("a test against no values")
    pooled = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    rank_sum = 0.0
    tie_term = 0
    start = 0
    while start < m + n:
        stop = start
        while stop < m + n and pooled[stop][0] == pooled[start][0]:
            stop += 1
        shared_rank = (start + 1 + stop) / 2
        rank_sum += shared_rank * sum(1 for _, side in pooled[start:stop] if side == 0)
        tie_term += (stop - start) ** 3 - (stop - start)
        start = stop
    total = m + n
    variance = m * n / 12 * (total + 1 - tie_term / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    distance = abs(rank_sum - m * (m + 1) / 2 - m * n / 2) - 0.5
    return min(1.0, 2 * (1 - NormalDist().cdf(max(0.0, distance) / math.sqrt(variance))))
