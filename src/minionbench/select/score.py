"""The score of a candidate: the weighted sum of where its metrics lie, with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from minionbench.metrics.table import METRICS
from minionbench.schema import MetricResult
from minionbench.select.scale import Scale


def metric_of(name: str) -> str:
    """The metric in a name that may have its place before it: `ttft_s` of `decode.c4.ttft_s`."""
    return name.rpartition(".")[2]


class Figure(NamedTuple):
    """A metric's value with its interval."""

    value: float
    low: float | None
    """None where the data gives no bound."""
    high: float | None
    exact: bool
    """Whether the document gives no interval at all; the value then stands for both bounds."""

    def surely_better(self, other: Figure, metric: str) -> bool:
        """Whether even the worse end of this one is better than the better end of the other."""
        if METRICS[metric_of(metric)].better == "higher":
            return self.low is not None and other.high is not None and self.low > other.high
        return self.high is not None and other.low is not None and self.high < other.low

    def no_worse(self, other: Figure, metric: str) -> bool:
        """Whether the value itself is at least as good as the other's."""
        if METRICS[metric_of(metric)].better == "higher":
            return self.value >= other.value
        return self.value <= other.value


class Share(NamedTuple):
    """What one metric brings to a score."""

    metric: str
    """With its place before it where it is that of a cell."""
    weight: float
    """Of all weights' sum."""
    figure: Figure
    worth: float
    """0 to 1: where the value lies between the reference points."""
    low: float
    """The worth of the interval's worse end; 0 where it is open."""
    high: float
    """The worth of the interval's better end; 1 where it is open."""
    beyond: float | None
    """The reference point that the value lies beyond; None when it lies between them."""


class Score(NamedTuple):
    """How good a candidate is, 0 to 1, by weights and reference points."""

    point: float
    low: float
    """The score if every metric lay at the worse end of its interval."""
    high: float
    """The score if every metric lay at the better end of its interval."""
    shares: tuple[Share, ...]

    def figure(self, metric: str) -> Figure:
        """The value behind one of the shares."""
        return next(share.figure for share in self.shares if share.metric == metric)

    def dominates(self, other: Score) -> bool:
        """Whether this one is no worse in any metric, and better beyond the intervals in one."""
        pairs = [
            (mine.metric, mine.figure, its.figure)
            for mine, its in zip(self.shares, other.shares, strict=True)
        ]
        return all(mine.no_worse(its, metric) for metric, mine, its in pairs) and any(
            mine.surely_better(its, metric) for metric, mine, its in pairs
        )

    def surely_better_in(self, other: Score) -> list[str]:
        """The metrics in which this one is better beyond the intervals."""
        return [
            share.metric
            for share in self.shares
            if share.figure.surely_better(other.figure(share.metric), share.metric)
        ]


def figure(metric: MetricResult) -> Figure | None:
    """A metric's value with its interval; None where it has no value.

    An interval that does not hold its own value is widened until it does.
    """
    if metric.value is None:
        return None
    bounds = metric.metadata.get("interval")
    if bounds is None:
        return Figure(metric.value, metric.value, metric.value, True)
    low, high = bounds["low"], bounds["high"]
    return Figure(
        metric.value,
        None if low is None else min(low, metric.value),
        None if high is None else max(high, metric.value),
        False,
    )


def score(
    figures: Mapping[str, Figure], shares: Mapping[str, float], scales: Mapping[str, Scale]
) -> Score:
    """The score of a candidate that has every metric.

    Formula: Σ wᵢ·fᵢ(vᵢ), where the wᵢ add up to 1 and fᵢ places a value between the reference
    points, 0 to 1. Each fᵢ rises as its metric gets better, so that the smallest and the largest
    score within all intervals lie at their worse and better ends: `low` and `high`. They hold the
    score if every interval holds its metric, however the errors hang together; where they do not,
    they are wider than need be.
    """
    parts = tuple(
        _share(metric, weight, figures[metric], scales[metric_of(metric)])
        for metric, weight in shares.items()
    )
    low, point, high = (
        min(max(_sum([(part.weight, worth) for part, worth in worths]), 0.0), 1.0)
        for worths in (
            [(part, part.low) for part in parts],
            [(part, part.worth) for part in parts],
            [(part, part.high) for part in parts],
        )
    )
    return Score(point, min(low, point), max(high, point), parts)


def _share(metric: str, weight: float, value: Figure, scale: Scale) -> Share:
    worse, better = value.low, value.high
    if METRICS[metric_of(metric)].better == "lower":
        worse, better = better, worse
    place = scale.place(value.value)
    return Share(
        metric=metric,
        weight=weight,
        figure=value,
        worth=scale.worth(value.value),
        low=0.0 if worse is None else scale.worth(worse),
        high=1.0 if better is None else scale.worth(better),
        beyond=scale.zero if place < 0 else scale.one if place > 1 else None,
    )


def _sum(terms: Sequence[tuple[float, float]]) -> float:
    return math.fsum(weight * worth for weight, worth in terms)
