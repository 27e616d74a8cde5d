"""Change points: where a series of measurements begins to be another one.

The runs of a series are taken as exchangeable as long as nothing changes: none is likelier to be
slow than another, and one says nothing of the next.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import accumulate
from statistics import NormalDist

import msgspec

from minionbench.stats import median

ALPHA = 0.01
"""Chance that a series in which nothing has changed is said to have changed."""
LEAST = 3
"""Values on each side of a change: fewer have no typical value."""
PERMUTATIONS = 1_999
"""Orders that a series is held against; with them p goes down to 1/2000."""
ENOUGH_FOR_NORMAL = 10
"""Values on each side from which a rank sum is told by its normal approximation."""


class ChangePoint(msgspec.Struct, frozen=True, kw_only=True):
    """A place where a series changes."""

    at: int
    """Index of the first value of the new course."""
    before: float
    """Median of the values between the change before and this one."""
    after: float
    """Median of the values from here to the next change."""
    p_value: float

    @property
    def ratio(self) -> float | None:
        """What the median was multiplied by; None where it was 0 or changed its sign."""
        return self.after / self.before if self.before * self.after > 0 else None


def change_points(
    values: Sequence[float], *, alpha: float = ALPHA, least: int = LEAST, seed: int = 0
) -> list[ChangePoint]:
    """The places where a series changes, in their order.

    A series is divided where the rank sums of its two parts differ most, if they differ more than
    in all but `alpha` of the orders that its values could have had; each part is then looked at in
    the same way. Ranks, so that one outlier is no change. A series too short for `alpha` has none.

    Source: Pettitt, Applied Statistics 28 (1979), by permutation instead of its approximation;
    divided again and again as Vostrikova, Soviet Mathematics Doklady 24 (1981).
    """
    if not 0 < alpha < 1 or least < 1:
        raise ValueError(f"no level or length to test by: {alpha}, {least}")
    found: dict[int, float] = {}
    parts = [(0, len(values))]
    while parts:
        start, stop = parts.pop()
        part = values[start:stop]
        split = _widest(_ranks(part), least)
        if split is None:
            continue
        p_value = _chance(part, split, least, alpha, seed + start)
        if p_value <= alpha:
            found[start + split[0]] = p_value
            parts += [(start, start + split[0]), (start + split[0], stop)]
    edges = [0, *sorted(found), len(values)]
    return [
        ChangePoint(
            at=at,
            before=median(values[before:at]),
            after=median(values[at:after]),
            p_value=found[at],
        )
        for before, at, after in zip(edges, edges[1:], edges[2:], strict=False)
    ]


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from their middle: they add up to 0; equal values share theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and values[order[stop]] == values[order[start]]:
            stop += 1
        for place in order[start:stop]:
            ranks[place] = (start + stop - 1) / 2 - (len(values) - 1) / 2
        start = stop
    return ranks


def _widest(ranks: Sequence[float], least: int) -> tuple[int, float] | None:
    """(where, how much) the rank sums of the parts differ most; None for too few values.

    The difference is in its own standard deviations but for a factor that all orders share.
    """
    n = len(ranks)
    if n < 2 * least:
        return None
    sums = list(accumulate(ranks))
    apart = [(sums[k - 1] * sums[k - 1] / (k * (n - k)), k) for k in range(least, n - least + 1)]
    widest, at = max(apart, key=lambda one: (one[0], -one[1]))
    return (at, widest) if widest > 0 else None


def _chance(
    values: Sequence[float], seen: tuple[int, float], least: int, alpha: float, seed: int
) -> float:
    """Share of orders whose parts differ at least as much as those that were seen, or more.

    A difference beyond doubt is told by a bound: the sum over all places of the chance of such a
    rank sum there, by its normal approximation. Else orders are drawn; once the share is sure to be
    above `alpha` it is told as it is so far.
    """
    n, (at, widest) = len(values), seen
    if min(at, n - at) >= ENOUGH_FOR_NORMAL:
        # A rank sum of k of n values has the variance k(n − k)(n + 1)/12, with ties less.
        deviations = math.sqrt(widest * 12 / (n + 1))
        bound = (n - 2 * least + 1) * 2 * NormalDist().cdf(-deviations)
        if bound <= alpha / 10:
            return bound
    ranks = _ranks(values)
    shuffled = random.Random(seed)
    enough = alpha * (PERMUTATIONS + 1)
    as_wide = 1
    for tried in range(1, PERMUTATIONS + 1):
        shuffled.shuffle(ranks)
        other = _widest(ranks, least)
        if other is not None and other[1] >= widest * (1 - 1e-12):
            as_wide += 1
            if as_wide > enough:
                return as_wide / (tried + 1)
    return as_wide / (PERMUTATIONS + 1)
