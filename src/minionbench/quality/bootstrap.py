"""The mean of scores between 0 and 1 with an interval drawn from the scores themselves."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache

import msgspec

from minionbench.stats import LEVEL, Estimate, proportion_estimate, quantile

RESAMPLES = 2000
"""Means that the interval is read from: its ends then wander by about a tenth of its width."""
MOST_REMEMBERED = 1_000
"""Scores whose draws are kept for the next mean of as many: 4 MB of them."""


def mean_estimate(
    scores: Sequence[float], unit: str, *, seed: int = 0, level: float = LEVEL
) -> Estimate:
    """The mean of scores, one per unit, with the percentile interval of a seeded bootstrap.

    Formula: 2,000 times as many scores as there are are drawn with replacement; the interval ends
    at the (1 − level)/2 and (1 + level)/2 quantiles of their means. Where all scores are alike a
    bootstrap sees no spread; then the interval is Wilson's for a share of that size, which is the
    widest that scores between 0 and 1 can need.

    Raises:
        ValueError: no scores, or one outside 0…1.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 13.3.
    """
    n = len(scores)
    if not n or not all(0.0 <= score <= 1.0 for score in scores):
        raise ValueError("a mean needs scores between 0 and 1")
    mean = math.fsum(scores) / n
    if min(scores) == max(scores):
        low = proportion_estimate(math.floor(mean * n), n, level).low
        high = proportion_estimate(math.ceil(mean * n), n, level).high
        return Estimate(
            point=mean,
            low=low,
            high=high,
            level=level,
            n=n,
            method=f"Wilson score interval over {unit}",
            note=f"all {unit} scored the same, so that a bootstrap has nothing to draw from",
        )
    drawn = _remembered_places(seed, n) if n <= MOST_REMEMBERED else _places(seed, n)
    means = sorted(math.fsum(map(scores.__getitem__, places)) / n for places in drawn)
    return Estimate(
        point=mean,
        low=min(quantile(means, (1 - level) / 2), mean),
        high=max(quantile(means, (1 + level) / 2), mean),
        level=level,
        n=n,
        method=f"bootstrap over {unit}, {RESAMPLES} resamples, seed {seed}",
    )


def _places(seed: int, n: int) -> Iterator[Sequence[int]]:
    """For each resample the places of what is drawn."""
    draw = random.Random(seed).random
    for _ in range(RESAMPLES):
        yield array("H" if n <= 1 << 16 else "Q", [int(draw() * n) for _ in range(n)])


@lru_cache(maxsize=4)
def _remembered_places(seed: int, n: int) -> tuple[Sequence[int], ...]:
    """The same for the many means of equally many scores, which takes longer than the means."""
    return tuple(_places(seed, n))


def percent(estimate: Estimate) -> Estimate:
    """A share as a percentage."""
    return msgspec.structs.replace(
        estimate,
        point=100 * estimate.point,
        low=None if estimate.low is None else 100 * estimate.low,
        high=None if estimate.high is None else 100 * estimate.high,
    )
