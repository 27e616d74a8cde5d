"""Statistics: hand-sized numbers, textbook values, and properties that must hold for all data."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench import stats
from minionbench.stats import Estimate

numbers = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)
samples = st.lists(numbers, min_size=1, max_size=60)
shares = st.floats(min_value=0.01, max_value=0.99)
levels = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])


def exact_cdf(k: int, n: int, p: Fraction) -> Fraction:
    """P(X ≤ k) of the binomial distribution in exact fractions."""
    return sum(
        (math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1)), start=Fraction(0)
    )


# --- distributions


@pytest.mark.parametrize("n", [1, 7, 40])
@pytest.mark.parametrize("p", [Fraction(1, 100), Fraction(1, 2), Fraction(9, 10)])
def test_the_binomial_distribution_is_exact(n: int, p: Fraction) -> None:
    for k in range(-1, n + 1):
        assert stats.binomial_cdf(k, n, float(p)) == pytest.approx(
            float(exact_cdf(k, n, p)), abs=1e-12
        )


def test_the_binomial_distribution_holds_for_a_million_trials() -> None:
    # The normal approximation with continuity correction is good to 1e-3 here.
    assert stats.binomial_cdf(500_500, 1_000_000, 0.5) == pytest.approx(0.84155, abs=1e-4)


@pytest.mark.parametrize(
    ("p", "degrees", "value"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.3027), (0.95, 9, 1.8331), (0.995, 30, 2.7500)],
)
def test_students_quantiles_are_those_of_the_tables(p: float, degrees: int, value: float) -> None:
    assert stats.student_quantile(p, degrees) == pytest.approx(value, abs=5e-5)


def test_the_incomplete_beta_function_ends_at_0_and_1() -> None:
    assert stats.incomplete_beta(2, 3, 0.0) == 0.0
    assert stats.incomplete_beta(2, 3, 1.0) == 1.0
    # I_x(2, 1) = x²
    assert stats.incomplete_beta(2, 1, 0.3) == pytest.approx(0.09)


def test_a_fraction_that_does_not_converge_is_an_error() -> None:
    with pytest.raises(ArithmeticError, match="did not converge"):
        stats._beta_fraction(math.nan, 1.0, 0.5)


# --- quantiles


def test_a_quantile_lies_on_the_line_between_its_neighbours() -> None:
    assert stats.quantile([4, 1, 3, 2], 0.5) == 2.5
    assert stats.quantile([10, 20, 30], 0.5) == 20
    assert stats.quantile([0, 10, 20, 30, 40], 0.9) == 36


@given(samples, shares)
def test_quantiles_are_those_of_numpy(values: list[float], p: float) -> None:
    expected = float(numpy.quantile(values, p))
    assert stats.quantile(values, p) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_failures_rank_as_infinitely_slow() -> None:
    inf = math.inf
    assert stats.median([1, 2, inf]) == 2
    assert stats.median([1, 2, inf, inf]) == inf
    assert stats.median([1, inf]) == inf
    assert stats.median([-inf, 5]) == -inf
    assert stats.median([-inf, 5, 6]) == 5
    assert stats.quantile([1, 2, 3, inf], 1.0) == inf


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_a_statistic_of_nothing_or_of_nan_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"no values|NaN"):
        stats.median(values)


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_a_quantile_outside_0_to_1_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        stats.quantile([1.0], p)


# --- order-statistic intervals


def test_a_median_has_an_interval_from_six_values_on() -> None:
    five = stats.median_estimate([1, 2, 3, 4, 5])
    assert (five.point, five.low, five.high) == (3, None, None)
    assert five.note == "both bounds at 95% need n ≥ 6, there are 5"
    six = stats.median_estimate([1, 2, 3, 4, 5, 6])
    assert (six.point, six.low, six.high, six.note) == (3.5, 1, 6, None)


def test_the_interval_of_a_median_is_the_one_of_the_tables() -> None:
    # Ranks 6 and 15 of 20 and 40 and 61 of 100, as in tables of the sign test.
    assert stats.quantile_ranks(20, 0.5) == (6, 15)
    assert stats.quantile_ranks(100, 0.5) == (40, 61)


def test_one_bound_can_be_there_without_the_other() -> None:
    estimate = stats.quantile_estimate(range(30), 0.9)
    assert estimate.low is not None
    assert estimate.high is None
    assert estimate.note == "both bounds at 95% need n ≥ 36, there are 30"


@pytest.mark.parametrize("p", [Fraction(1, 10), Fraction(1, 2), Fraction(19, 20)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_the_interval_covers_as_often_as_it_says_and_no_wider(p: Fraction, level: float) -> None:
    """P(lower end above, or upper end below the quantile) ≤ (1 − level)/2 each, and one rank less
    would break it."""
    tail = (1 - Fraction(str(level))) / 2
    for n in range(1, 45):
        lower, upper = stats.quantile_ranks(n, float(p), level)
        if lower is None:
            assert exact_cdf(0, n, p) > tail
        else:
            assert exact_cdf(lower - 1, n, p) <= tail < exact_cdf(lower, n, p)
        if upper is None:
            assert 1 - exact_cdf(n - 1, n, p) > tail
        else:
            assert 1 - exact_cdf(upper - 1, n, p) <= tail < 1 - exact_cdf(upper - 2, n, p)


@given(samples, shares, levels)
def test_an_estimate_lies_inside_its_interval_and_the_sample(
    values: list[float], p: float, level: float
) -> None:
    estimate = stats.quantile_estimate(values, p, level)
    assert min(values) <= estimate.point <= max(values)
    assert estimate.low is None or min(values) <= estimate.low <= estimate.point
    assert estimate.high is None or estimate.point <= estimate.high <= max(values)


def widens(narrow: Estimate, wide: Estimate) -> bool:
    low = wide.low is None or (narrow.low is not None and wide.low <= narrow.low)
    high = wide.high is None or (narrow.high is not None and wide.high >= narrow.high)
    return low and high


@given(samples, shares, st.tuples(levels, levels).map(sorted))
def test_an_interval_widens_with_its_level(
    values: list[float], p: float, pair: list[float]
) -> None:
    low, high = pair
    assert widens(stats.quantile_estimate(values, p, low), stats.quantile_estimate(values, p, high))


@given(samples.flatmap(lambda values: st.tuples(st.just(values), st.permutations(values))), shares)
def test_the_order_of_the_values_changes_nothing(
    pair: tuple[list[float], list[float]], p: float
) -> None:
    assert stats.quantile_estimate(pair[0], p) == stats.quantile_estimate(pair[1], p)


@given(st.lists(numbers, min_size=1, max_size=30), st.integers(1, 5))
def test_values_that_are_copies_add_no_certainty(values: list[float], times: int) -> None:
    once = stats.quantile_estimate(values, 0.5)
    copied = stats.quantile_estimate(values * times, 0.5, units=len(values))
    assert (copied.low, copied.high, copied.n) == (once.low, once.high, once.n)


def test_an_interval_is_widened_to_hold_an_interpolated_point() -> None:
    # The smallest of two values lies above the 5 % quantile with certainty enough for 50 %.
    assert stats.quantile_ranks(2, 0.05, 0.5) == (None, 1)
    estimate = stats.quantile_estimate([1.0, 2.0], 0.05, 0.5)
    assert (estimate.point, estimate.high) == (1.05, 1.05)


@pytest.mark.parametrize("units", [0, 4])
def test_more_units_than_values_are_refused(units: int) -> None:
    with pytest.raises(ValueError, match="units"):
        stats.quantile_estimate([1, 2, 3], 0.5, units=units)


@pytest.mark.parametrize(("p", "needed"), [(0.5, 11), (0.9, 64), (0.95, 130), (0.99, 662)])
def test_a_percentile_needs_as_many_values_as_mlperf_asks_for(p: float, needed: int) -> None:
    assert stats.percentile_needs(p) == needed
    assert stats.percentile_needs(1 - p) == needed


@pytest.mark.parametrize("p", [0.5, 0.9, 0.95, 0.99])
def test_the_second_largest_value_bounds_a_supported_percentile(p: float) -> None:
    n = stats.percentile_needs(p)
    # The second-largest lies below the percentile when at most one value lies above it.
    assert 1 - stats.binomial_cdf(n - 2, n, p) <= 0.01 + 1e-9
    assert 1 - stats.binomial_cdf(n - 3, n - 1, p) > 0.01


@pytest.mark.parametrize(
    ("p", "level", "needed"), [(0.5, 0.95, 6), (0.9, 0.95, 36), (0.5, 0.99, 8)]
)
def test_how_many_values_an_interval_needs(p: float, level: float, needed: int) -> None:
    assert stats.interval_needs(p, level) == needed
    assert None not in stats.quantile_ranks(needed, p, level)
    assert None in stats.quantile_ranks(needed - 1, p, level)


# --- items asked several times


def test_the_item_is_the_sampling_unit() -> None:
    items = [[1.0, 1.1, 9.0], [2.0, 2.0], [3.0], [4.0], [5.0], [6.0]]
    estimate = stats.item_median_estimate(items)
    assert estimate.n == 6
    assert (estimate.point, estimate.low, estimate.high) == (3.5, 1.1, 6)
    assert "items" in estimate.method


def test_asking_the_same_items_again_gives_no_interval() -> None:
    estimate = stats.item_median_estimate([[1.0] * 100, [2.0] * 100])
    assert estimate.n == 2
    assert estimate.low is None


# --- rates and shares


def test_a_rate_is_the_sum_of_amounts_over_the_sum_of_durations() -> None:
    # Not the mean of 10/s and 30/s.
    estimate = stats.ratio_of_sums([(10, 1), (90, 3)])
    assert estimate.point == 25
    # e = 10 − 25 = −15 and 90 − 75 = 15; s = √(2·450/1)/4 = 7.5; t₁ = 12.706
    assert estimate.high == pytest.approx(25 + 12.7062 * 7.5, rel=1e-5)
    assert estimate.low == 0


def test_one_window_gives_a_rate_without_an_interval() -> None:
    estimate = stats.ratio_of_sums([(10, 2)])
    assert (estimate.point, estimate.low, estimate.high, estimate.n) == (5, None, None, 1)
    assert estimate.note is not None


def test_equal_windows_give_an_interval_of_no_width() -> None:
    estimate = stats.ratio_of_sums([(10, 2)] * 4)
    assert (estimate.low, estimate.point, estimate.high) == (5, 5, 5)


def test_a_rate_over_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="no time"):
        stats.ratio_of_sums([])


def test_wilsons_interval_is_the_one_of_the_textbook() -> None:
    estimate = stats.proportion_estimate(8, 10)
    assert estimate.point == 0.8
    assert estimate.low == pytest.approx(0.4902, abs=1e-4)
    assert estimate.high == pytest.approx(0.9433, abs=1e-4)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"), [(0, 10, 0, 0.2775), (10, 10, 0.7225, 1)]
)
def test_a_share_of_none_or_all_is_still_uncertain(
    successes: int, n: int, low: float, high: float
) -> None:
    estimate = stats.proportion_estimate(successes, n)
    assert estimate.low == pytest.approx(low, abs=1e-4)
    assert estimate.high == pytest.approx(high, abs=1e-4)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_share_lies_inside_its_interval_inside_0_to_1(pair: tuple[int, int]) -> None:
    estimates = [stats.proportion_estimate(*pair, level) for level in (0.8, 0.95)]
    for estimate in estimates:
        assert estimate.low is not None
        assert estimate.high is not None
        assert 0 <= estimate.low <= estimate.point <= estimate.high <= 1
    assert widens(*estimates)


def test_a_sum_of_shares_is_as_sure_as_so_many_successes() -> None:
    assert stats.proportion_estimate(8.0, 10) == stats.proportion_estimate(8, 10)
    low, middle, high = (stats.proportion_estimate(k, 10).low for k in (7, 7.5, 8))
    assert low is not None and middle is not None and high is not None
    assert low < middle < high


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (3, 2), (-1, 2)])
def test_an_impossible_share_is_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        stats.proportion_estimate(successes, n)


# --- tests


def test_the_sign_test_is_exact() -> None:
    assert stats.sign_test([1, 2, 3, 4, 5, 6]) == pytest.approx(2 / 64)
    assert stats.sign_test([-1, 2, 3, 4, 5, 6]) == pytest.approx(2 * 7 / 64)
    assert stats.sign_test([1, -1]) == 1
    assert stats.sign_test([0, 0]) == 1


def test_the_rank_sum_test_agrees_with_hand_computation() -> None:
    # All of the first below all of the second: U = 0, mean 32, sd √(8·8·17/12) = 9.522.
    p = stats.rank_sum_test([*range(8)], [*range(8, 16)])
    assert p == pytest.approx(math.erfc((32 - 0.5) / math.sqrt(8 * 8 * 17 / 12) / math.sqrt(2)))


def test_ties_share_their_rank() -> None:
    assert stats.rank_sum_test([1, 1, 1], [1, 1, 1]) == 1
    # Ranks of the first: 1.5, 1.5, 3.5; of 10.5 expected, so U differs by 4 from its mean.
    # variance = 9/12·(7 − 12/30) = 4.95
    p = stats.rank_sum_test([1, 1, 2], [2, 3, 4])
    assert p == pytest.approx(math.erfc((4 - 0.5) / math.sqrt(4.95) / math.sqrt(2)))


@given(st.lists(numbers, min_size=1, max_size=20), st.lists(numbers, min_size=1, max_size=20))
def test_the_rank_sum_test_does_not_care_which_sample_is_first(
    first: list[float], second: list[float]
) -> None:
    p = stats.rank_sum_test(first, second)
    assert 0 <= p <= 1
    assert p == pytest.approx(stats.rank_sum_test(second, first))


def test_a_test_against_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        stats.rank_sum_test([], [1.0])
