from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.change_points import change_points

numbers = st.lists(st.integers(-50, 50), max_size=30)


def noisy(n: int, level: float, seed: int) -> list[float]:
    drawn = random.Random(seed)
    return [level + drawn.gauss(0, 1) for _ in range(n)]


def test_a_step_is_found_where_it_is() -> None:
    (change,) = change_points([10.0] * 8 + [12.0] * 8)
    assert (change.at, change.before, change.after) == (8, 10.0, 12.0)
    assert change.ratio == pytest.approx(1.2)
    assert change.p_value <= 0.01


def test_two_steps_are_two_changes_and_each_is_told_against_its_neighbours() -> None:
    values = noisy(15, 0, 1) + noisy(15, 20, 2) + noisy(15, 5, 3)
    found = change_points(values)
    assert [change.at for change in found] == [15, 30]
    assert [change.after for change in found] == pytest.approx([20, 5], abs=1)
    assert found[1].before == found[0].after


def test_one_outlier_is_no_change() -> None:
    values = noisy(20, 10, 4)
    values[9] = 1_000.0
    assert change_points(values) == []


def test_a_series_too_short_to_be_told_apart_from_chance_has_no_change() -> None:
    assert change_points([1.0, 1.0, 1.0, 9.0, 9.0, 9.0]) == []
    assert change_points([]) == []


def test_values_that_never_vary_do_not_change() -> None:
    assert change_points([3.0] * 50) == []


def test_the_ratio_over_nothing_is_unknown() -> None:
    (change,) = change_points([0.0] * 8 + [1.0] * 8)
    assert change.ratio is None


def test_no_level_is_refused() -> None:
    with pytest.raises(ValueError, match="no level"):
        change_points([1.0], alpha=0)


@settings(max_examples=25, deadline=None)
@given(numbers, st.integers(1, 9))
def test_only_the_order_of_the_values_counts(values: list[int], factor: int) -> None:
    plain = [(c.at, c.p_value) for c in change_points(values)]
    scaled = [(c.at, c.p_value) for c in change_points([factor * v**3 for v in values])]
    assert plain == scaled


@pytest.mark.long
def test_false_alarms_stay_within_the_stated_level() -> None:
    """Of 1,000 series without a change at most 1 % and its 99 % binomial bound are said to have
    one: P(X > 18) < 0.01 for X ~ B(1000, 0.01)."""
    alarms = sum(bool(change_points(noisy(40, 0, seed), seed=seed)) for seed in range(1_000))
    assert alarms <= 18
