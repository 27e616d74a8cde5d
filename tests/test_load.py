"""When requests are planned."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.load import ClosedLoop, OpenLoop, request_rate
from minionbench.units import NS_PER_S


@given(rate=st.floats(0.1, 1e4), n=st.integers(0, 50), seed=st.integers())
def test_a_plan_is_in_order_and_the_same_for_the_same_seed(rate: float, n: int, seed: int) -> None:
    load = OpenLoop(rate_per_s=rate)
    offsets = load.offsets_ns(n, seed)
    assert len(offsets) == n
    assert offsets == sorted(offsets)
    assert all(offset >= 0 for offset in offsets)
    assert offsets == load.offsets_ns(n, seed)


def test_a_longer_plan_begins_like_a_shorter_one() -> None:
    load = OpenLoop(rate_per_s=7)
    assert load.offsets_ns(100, 3)[:40] == load.offsets_ns(40, 3)


def test_another_seed_gives_another_plan() -> None:
    load = OpenLoop(rate_per_s=7)
    assert load.offsets_ns(10, 1) != load.offsets_ns(10, 2)


def test_infinite_burstiness_is_a_constant_gap() -> None:
    load = OpenLoop(rate_per_s=4, burstiness=float("inf"))
    assert load.offsets_ns(3, 0) == [NS_PER_S // 4, NS_PER_S // 2, NS_PER_S * 3 // 4]


@pytest.mark.parametrize(("burstiness", "variation"), [(1.0, 1.0), (4.0, 0.5), (0.25, 2.0)])
def test_the_gaps_have_the_mean_and_the_variation_of_their_distribution(
    burstiness: float, variation: float
) -> None:
    """A gamma distribution of shape k has the coefficient of variation 1/√k."""
    offsets = OpenLoop(rate_per_s=10, burstiness=burstiness).offsets_ns(20_000, 5)
    gaps = [b - a for a, b in zip([0, *offsets], offsets, strict=False)]
    mean = statistics.fmean(gaps)
    assert mean == pytest.approx(NS_PER_S / 10, rel=0.05)
    assert statistics.pstdev(gaps) / mean == pytest.approx(variation, rel=0.05)


def test_poisson_gaps_have_the_quantiles_of_an_exponential_distribution() -> None:
    offsets = OpenLoop(rate_per_s=1).offsets_ns(20_000, 11)
    gaps = sorted(b - a for a, b in zip([0, *offsets], offsets, strict=False))
    for share, expected_s in ((0.25, 0.28768), (0.5, 0.69315), (0.9, 2.30259)):
        assert gaps[int(share * len(gaps))] / NS_PER_S == pytest.approx(expected_s, rel=0.05)
    assert len(set(gaps)) > 19_900, "gaps must not pile up on a few values"


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_that_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="rate"):
        OpenLoop(rate_per_s=rate)


@pytest.mark.parametrize("burstiness", [0.0, -2.0, float("nan")])
def test_a_burstiness_that_is_none_is_refused(burstiness: float) -> None:
    with pytest.raises(UsageError, match="burstiness"):
        OpenLoop(rate_per_s=1, burstiness=burstiness)


def test_a_closed_loop_needs_a_stream() -> None:
    with pytest.raises(UsageError, match="concurrency"):
        ClosedLoop(concurrency=0)


def test_a_request_rate_of_infinity_sends_all_at_once() -> None:
    assert request_rate(float("inf"), 7) == ClosedLoop(concurrency=7)
    assert request_rate(0.5, 7, 2.0) == OpenLoop(rate_per_s=0.5, burstiness=2.0)
