"""Scores, worked out by hand, with their intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.schema import MetricResult
from minionbench.select import Figure, Scale, Score
from minionbench.select.score import figure, score
from tests.select.candidates import between

SCALES = {
    "latency_ms": Scale(10_000.0, 1.0, log=True),
    "cove_pass_rate": Scale(0.0, 100.0, log=False),
}
HALVES = {"cove_pass_rate": 0.5, "latency_ms": 0.5}


def scored(latency: Figure, cove: Figure, shares: dict[str, float] = HALVES) -> Score:
    return score({"latency_ms": latency, "cove_pass_rate": cove}, shares, SCALES)


def known(value: float, low: float | None, high: float | None) -> Figure:
    return Figure(value, low, high, False)


def exact(value: float) -> Figure:
    return Figure(value, value, value, True)


def test_a_score_is_the_weighted_sum_of_places_between_the_points() -> None:
    # 100 of 1 … 10,000 ms is halfway, by its logarithm; 80 of 100 is 0.8.
    assert scored(exact(100.0), exact(80.0)).point == pytest.approx(0.65)
    shares = {"cove_pass_rate": 0.25, "latency_ms": 0.75}
    assert scored(exact(100.0), exact(80.0), shares).point == pytest.approx(0.575)


def test_the_interval_of_a_score_has_all_metrics_at_their_worse_or_better_ends() -> None:
    # 10 … 1,000 ms is 0.75 … 0.25, 70 … 100 % is 0.7 … 1.
    made = scored(known(100.0, 10.0, 1_000.0), known(80.0, 70.0, 100.0))
    assert made.low == pytest.approx((0.25 + 0.7) / 2)
    assert made.high == pytest.approx((0.75 + 1.0) / 2)
    latency = next(share for share in made.shares if share.metric == "latency_ms")
    assert (latency.low, latency.high) == pytest.approx((0.25, 0.75))


def test_an_open_end_counts_as_the_end_of_the_scale() -> None:
    made = scored(known(100.0, None, 1_000.0), known(80.0, None, None))
    assert made.low == pytest.approx((0.25 + 0.0) / 2)
    assert made.high == pytest.approx((1.0 + 1.0) / 2)


def test_a_value_beyond_a_reference_point_counts_as_the_point_and_says_so() -> None:
    made = scored(exact(0.5), exact(110.0))
    assert made.point == 1.0
    assert [share.beyond for share in made.shares] == [100.0, 1.0]
    assert [share.beyond for share in scored(exact(20_000.0), exact(-1.0)).shares] == [
        0.0,
        10_000.0,
    ]
    assert [share.beyond for share in scored(exact(1.0), exact(100.0)).shares] == [None, None]


def test_a_figure_is_read_from_a_metric_with_its_interval() -> None:
    assert figure(between(5.0, 4.0, 6.0)) == known(5.0, 4.0, 6.0)
    assert figure(between(5.0, None, None)) == known(5.0, None, None)
    assert figure(between(5.0, 6.0, 7.0)) == known(5.0, 5.0, 7.0)
    assert figure(MetricResult.ok(5.0)) == exact(5.0)
    assert figure(MetricResult.skipped("no")) is None
    assert figure(MetricResult.error("no")) is None


def test_one_dominates_that_is_nowhere_worse_and_somewhere_surely_better() -> None:
    good = scored(known(100.0, 90.0, 110.0), known(80.0, 75.0, 85.0))
    slower = scored(known(200.0, 180.0, 220.0), known(80.0, 75.0, 85.0))
    hardly_slower = scored(known(115.0, 105.0, 125.0), known(80.0, 75.0, 85.0))
    slower_and_righter = scored(known(200.0, 180.0, 220.0), known(81.0, 76.0, 86.0))
    unbounded = scored(known(200.0, None, None), known(80.0, 75.0, 85.0))
    assert good.dominates(slower)
    assert not slower.dominates(good)
    assert not good.dominates(hardly_slower)
    assert not good.dominates(slower_and_righter)
    assert not good.dominates(unbounded)
    assert not good.dominates(good)
    assert good.surely_better_in(slower) == ["latency_ms"]


figures = st.tuples(*[st.floats(0.1, 1e5)] * 3).map(
    lambda three: (lambda low, value, high: known(value, low, high))(*sorted(three))
)
percentages = st.tuples(*[st.floats(0, 100)] * 3).map(
    lambda three: (lambda low, value, high: known(value, low, high))(*sorted(three))
)


@given(figures, percentages, st.floats(0.01, 0.99))
def test_a_score_lies_in_its_interval_and_that_between_0_and_1(
    latency: Figure, cove: Figure, weight: float
) -> None:
    made = scored(latency, cove, {"cove_pass_rate": weight, "latency_ms": 1 - weight})
    assert 0.0 <= made.low <= made.point <= made.high <= 1.0


@given(figures, percentages, figures, percentages)
def test_whoever_dominates_has_no_lower_score(
    latency: Figure, cove: Figure, other_latency: Figure, other_cove: Figure
) -> None:
    one, other = scored(latency, cove), scored(other_latency, other_cove)
    assert not (one.dominates(other) and other.dominates(one))
    if one.dominates(other):
        assert one.point >= other.point
