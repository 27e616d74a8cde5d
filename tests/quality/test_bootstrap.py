"""Means of scores with their intervals."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.quality.bootstrap import mean_estimate, percent
from minionbench.stats import proportion_estimate


def test_the_interval_of_a_share_is_about_the_exact_one() -> None:
    # 60 of 100: the bootstrap means are binomial(100, 0.6)/100, whose 2.5 % and 97.5 % quantiles
    # are 0.50 and 0.69.
    estimate = mean_estimate([1.0] * 60 + [0.0] * 40, "pairs", seed=1)
    assert estimate.point == pytest.approx(0.6)
    assert estimate.low == pytest.approx(0.5, abs=0.015)
    assert estimate.high == pytest.approx(0.69, abs=0.015)
    assert estimate.n == 100


def test_a_lower_level_gives_a_narrower_interval() -> None:
    scores = [0.0, 0.25, 0.5, 1.0] * 10
    wide, narrow = mean_estimate(scores, "x"), mean_estimate(scores, "x", level=0.5)
    assert wide.low is not None and wide.high is not None
    assert narrow.low is not None and narrow.high is not None
    assert wide.low < narrow.low < wide.point < narrow.high < wide.high


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    scores = [number / 37 for number in range(38)]
    assert mean_estimate(scores, "x", seed=3) == mean_estimate(scores, "x", seed=3)
    assert mean_estimate(scores, "x", seed=3).low != mean_estimate(scores, "x", seed=4).low


def test_scores_that_are_all_alike_still_leave_room_for_doubt() -> None:
    perfect = mean_estimate([1.0] * 50, "pairs")
    assert (perfect.low, perfect.high) == (proportion_estimate(50, 50).low, 1.0)
    half = mean_estimate([0.5] * 51, "pairs")
    assert (half.low, half.high) == (
        proportion_estimate(25, 51).low,
        proportion_estimate(26, 51).high,
    )
    assert half.note is not None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_the_interval_holds_the_mean_and_stays_between_0_and_1(scores: list[float]) -> None:
    estimate = mean_estimate(scores, "x")
    assert estimate.low is not None and estimate.high is not None
    assert 0 <= estimate.low <= estimate.point + 1e-12
    assert estimate.point - 1e-12 <= estimate.high <= 1


@pytest.mark.parametrize("scores", [[], [1.1], [-0.1, 0.5], [float("nan")]])
def test_what_is_no_score_is_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_estimate(scores, "x")


def test_a_percentage_is_a_hundred_times_the_share() -> None:
    share = mean_estimate([0.0, 1.0, 1.0, 1.0], "x")
    shown = percent(share)
    assert shown.low is not None and share.low is not None
    assert (shown.point, shown.low) == (75, 100 * share.low)
