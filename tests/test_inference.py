from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats as oracle

from minionbench.inference import (
    Contrast,
    Spread,
    contrast,
    detectable,
    holm,
    item_centres,
    joined_contrast,
    paired_contrast,
    paired_share_contrast,
    rank_sum_p,
    replicates_for_same,
    replicates_needed,
    share_contrast,
    student_p,
    typical_shift,
    with_least_error,
)
from minionbench.stats import Estimate, proportion_estimate

INF = math.inf
values = st.floats(-5, 5).map(lambda value: round(value, 3))
samples = st.lists(values, min_size=2, max_size=6)
with_failures = st.lists(values | st.just(INF), min_size=1, max_size=6)


def bounds(found: Contrast) -> tuple[float, float]:
    assert found.low is not None and found.high is not None
    return found.low, found.high


@settings(max_examples=50)
@given(base=samples, new=samples)
def test_two_sides_are_held_against_each_other_as_scipy_does(
    base: list[float], new: list[float]
) -> None:
    found = contrast(base, new)
    if len(set(base)) == 1 or len(set(new)) == 1:
        return  # where one side never differs, scipy warns
    theirs = oracle.ttest_ind(new, base, equal_var=False)
    assert found.point == pytest.approx(np.mean(new) - np.mean(base), abs=1e-12)
    # Degrees of freedom are rounded down to hundredths.
    assert found.p == pytest.approx(theirs.pvalue, rel=0.02, abs=1e-9)
    interval = theirs.confidence_interval(0.95)
    assert bounds(found) == pytest.approx((interval.low, interval.high), rel=0.02, abs=1e-6)
    assert found.high is not None and found.high >= interval.high - 1e-9


@settings(max_examples=50)
@given(pairs=st.lists(st.tuples(values, values), min_size=2, max_size=8))
def test_pairs_are_held_against_each_other_as_scipy_does(
    pairs: list[tuple[float, float]],
) -> None:
    base, new = [a for a, _ in pairs], [b for _, b in pairs]
    found = paired_contrast(base, new)
    if len({round(b - a, 9) for a, b in pairs}) == 1:
        return
    theirs = oracle.ttest_rel(new, base)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-9)
    interval = theirs.confidence_interval(0.95)
    assert bounds(found) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)


@settings(max_examples=50)
@given(base=with_failures, new=with_failures)
@example(base=[0.0, INF], new=[INF, 0.0])
def test_swapping_the_sides_mirrors_the_shift(base: list[float], new: list[float]) -> None:
    spread = Spread(deviation=0.5, degrees=4)
    there, back = contrast(base, new, spread=spread), contrast(new, base, spread=spread)
    assert back.point == -there.point
    assert (back.low, back.high) == (-bounds(there)[1], -bounds(there)[0])
    assert back.p == pytest.approx(there.p)
    if len(base) == len(new):
        there, back = paired_contrast(base, new), paired_contrast(new, base)
        assert back.point == -there.point
        assert back.p == there.p
        if there.low is not None:
            assert (back.low, back.high) == (-bounds(there)[1], -bounds(there)[0])


@settings(max_examples=30)
@given(base=samples, new=samples)
def test_an_interval_holds_the_point_and_widens_with_its_level(
    base: list[float], new: list[float]
) -> None:
    narrow, wide = contrast(base, new, 0.8), contrast(base, new, 0.99)
    assert bounds(wide)[0] <= bounds(narrow)[0] <= narrow.point
    assert narrow.point <= bounds(narrow)[1] <= bounds(wide)[1]


def test_one_replicate_on_each_side_says_nothing() -> None:
    found = contrast([1.0], [2.0])
    assert (found.point, found.low, found.high, found.p) == (1.0, None, None, None)
    assert "one replicate" in (found.note or "")
    alone = paired_contrast([1.0], [2.0])
    assert (alone.low, alone.p) == (None, None)


def test_one_replicate_is_judged_by_the_spread_of_the_other_side() -> None:
    found = contrast([1.0, 2.0, 3.0], [4.0])
    theirs = oracle.ttest_ind([4.0], [1.0, 2.0, 3.0], equal_var=True)
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.degrees == 2


def test_one_replicate_on_each_side_is_judged_by_the_spread_of_earlier_runs() -> None:
    found = contrast([1.0], [2.0], spread=Spread(deviation=0.5, degrees=10))
    t = 1 / (0.5 * math.sqrt(2))
    assert found.p == pytest.approx(2 * oracle.t.sf(t, 10))
    assert found.degrees == 10
    assert "earlier runs" in found.method


def test_values_that_never_differ_leave_no_doubt() -> None:
    assert contrast([2.0, 2.0], [2.0, 2.0]).p == 1.0
    assert contrast([2.0, 2.0], [3.0, 3.0]).p == 0.0
    # Rounding is no spread.
    assert contrast([0.1 + 0.2, 0.3], [0.3, 0.1 + 0.2]).p == 1.0
    assert contrast([INF, INF], [INF, INF]).point == 0.0


def test_failures_are_compared_by_ranks() -> None:
    found = contrast([1.0, 2.0, 3.0, 2.5], [INF, INF, INF, 9.0])
    assert found.point == INF
    assert bounds(found)[0] >= 6.0
    assert found.p == pytest.approx(2 / 70)
    assert contrast([1.0, 2.0], [INF, INF]).low == -INF


@settings(max_examples=40)
@given(
    base=st.lists(st.integers(0, 100), min_size=1, max_size=6, unique=True),
    new=st.lists(st.integers(101, 200).map(lambda n: n - 55), min_size=1, max_size=6, unique=True),
)
def test_the_rank_sum_test_is_exact(base: list[int], new: list[int]) -> None:
    if set(base) & set(new):
        return
    theirs = oracle.mannwhitneyu(base, new, method="exact")
    assert rank_sum_p(base, new) == pytest.approx(theirs.pvalue)


def test_the_signs_of_pairs_count_where_failures_have_no_size() -> None:
    base = [1.0] * 6
    found = paired_contrast(base, [INF, INF, 2.0, 2.0, 2.0, 2.0])
    assert found.p == pytest.approx(2 / 64)
    assert bounds(found) == (1.0, INF)


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_p_values_are_adjusted_as_holm_did(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    ordered = sorted(p_values)
    expected = {}
    largest = 0.0
    for place, p in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - place) * p))
        expected.setdefault(p, largest)
    for p, found in zip(p_values, adjusted, strict=True):
        assert p <= found <= 1
        assert found >= expected[p]
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@pytest.mark.parametrize(("t", "degrees"), [(0.0, 3), (2.5, 4), (40.0, 2.5), (1e-3, 1e4)])
def test_student_p_is_the_two_sided_tail(t: float, degrees: float) -> None:
    assert student_p(t, degrees) == pytest.approx(2 * oracle.t.sf(t, degrees), rel=1e-9)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_detectable_change_is_found_with_the_power(n: int) -> None:
    deviation, alpha, power = 0.03, 0.05, 0.8
    error, degrees = deviation * math.sqrt(2 / n), 2 * n - 2
    shift = detectable(error, degrees, alpha=alpha, power=power)
    limit = oracle.t.ppf(1 - alpha / 2, degrees)
    real = oracle.nct.sf(limit, degrees, shift / error)
    assert real == pytest.approx(power, abs=0.03)
    assert detectable(0.0, 4, alpha=alpha, threshold=0.05) == 0.05
    # Where the threshold is the higher bar, it is the one to be cleared.
    cleared = 0.5 + oracle.t.ppf(power, degrees) * error
    assert detectable(error, degrees, alpha=alpha, power=power, threshold=0.5) == pytest.approx(
        cleared
    )


def test_enough_replicates_are_enough_and_one_fewer_is_not() -> None:
    wanted = math.log(1.1)
    for deviation in (0.005, 0.02, 0.05, 0.1):
        n = replicates_needed(deviation, wanted, alpha=0.05, threshold=math.log(1.05))
        assert n is not None
        for count, suffices in ((n, True), (n - 1, False)):
            if count < 2:
                continue
            error = deviation * math.sqrt(2 / count)
            reach = detectable(error, 2 * count - 2, alpha=0.05, threshold=math.log(1.05))
            assert (reach <= wanted) is suffices
    assert replicates_needed(0.1, 0.01, alpha=0.05, threshold=0.05) is None
    assert replicates_needed(0.0, 0.1, alpha=0.05) == 2


def test_pairs_need_as_many_as_their_differences_say() -> None:
    singles = replicates_for_same(0.03, 0.05)
    pairs = replicates_for_same(0.03, 0.05, paired=True)
    assert singles is not None and pairs is not None and pairs < singles
    assert replicates_for_same(0.0, 0.05) == 2
    assert replicates_for_same(0.0, 0.0) is None


def test_the_difference_of_paired_shares_is_never_certain() -> None:
    found = paired_share_contrast([0.0] * 100)
    assert found.p == 1.0
    low, high = bounds(found)
    assert -0.03 < low < 0 < high < 0.03
    discordant = paired_share_contrast([1.0] * 10 + [0.0] * 90)
    assert discordant.p == pytest.approx(oracle.binomtest(0, 10).pvalue)
    assert bounds(discordant)[0] > 0


def test_one_answer_against_the_mean_of_several_is_no_change_by_its_direction_alone() -> None:
    # Each item is answered rightly 9 times in 10 on either side: once on the base, and ten times
    # on the new side, where it is then 0.9. Ninety items are lower by a little, ten higher by much.
    found = paired_share_contrast([-0.1] * 90 + [0.9] * 10)
    assert found.point == pytest.approx(0.0)
    assert found.p == pytest.approx(1.0)
    differences = [-0.1] * 30 + [-0.4] * 20 + [0.0] * 10
    surely = paired_share_contrast(differences)
    assert surely.p == pytest.approx(oracle.ttest_1samp(differences, 0).pvalue)


def test_the_difference_of_two_shares_joins_their_intervals() -> None:
    # Newcombe's own example (a): 56 of 70 against 48 of 80.
    found = share_contrast(48 / 80, 80, 56 / 70, 70)
    assert found.point == pytest.approx(0.2)
    assert bounds(found) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_estimates_with_intervals_of_their_own_are_joined() -> None:
    base, new = proportion_estimate(48, 80), proportion_estimate(56, 70)
    joined = joined_contrast(base, new)
    assert bounds(joined) == pytest.approx(bounds(share_contrast(48 / 80, 80, 56 / 70, 70)))
    open_end = Estimate(point=1.0, low=None, high=2.0, level=0.95, n=3, method="m")
    with pytest.raises(ValueError, match="both bounds"):
        joined_contrast(open_end, new)


def test_an_error_can_be_known_to_be_larger() -> None:
    found = contrast([1.0, 1.1, 0.9], [1.2, 1.3, 1.1])
    wider = with_least_error(found, 1.0)
    assert wider.error == 1.0 and wider.p is not None and found.p is not None
    assert wider.p > found.p
    assert with_least_error(found, 1e-6) is found


def test_items_are_measured_from_halfway_between_the_sides() -> None:
    base: Sequence[Sequence[float]] = [[1.0, 5.0, INF], [1.0, 5.0, INF]]
    new: Sequence[Sequence[float]] = [[2.0, 6.0, INF], [2.0, INF, 3.0]]
    centres = item_centres(base, new)
    assert centres == [1.5, 5.0, 3.0]
    assert typical_shift([1.0, 5.0, INF], centres) == 0.0
    assert typical_shift([2.0, 6.0, INF], centres) == 1.0
    assert item_centres([[INF]], [[INF]]) == [0.0]


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="no values"):
        contrast([], [1.0])
    with pytest.raises(ValueError, match="make no pairs"):
        paired_contrast([1.0], [])
    with pytest.raises(ValueError, match="no items"):
        paired_share_contrast([])
