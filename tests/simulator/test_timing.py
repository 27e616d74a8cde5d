"""Tokens are ready when the stated model of time says so."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.simulator import Fixed, Speeds
from minionbench.simulator.timing import ready_ns
from minionbench.units import NS_PER_MS

RANDOM = Random(0)


def test_fixed_delays_are_the_same_for_every_prompt() -> None:
    timing = Fixed(ttft_ms=10, itl_ms=2)
    expected = [10 * NS_PER_MS, 12 * NS_PER_MS, 14 * NS_PER_MS]
    assert ready_ns(timing, 5, 3, RANDOM) == expected
    assert ready_ns(timing, 5_000, 3, RANDOM) == expected


def test_speeds_follow_the_tokens_that_are_not_cached() -> None:
    timing = Speeds(prefill_tokens_per_s=1_000, decode_tokens_per_s=100, start_ms=5)
    assert ready_ns(timing, 200, 3, RANDOM) == [
        205 * NS_PER_MS,
        215 * NS_PER_MS,
        225 * NS_PER_MS,
    ]


@given(
    ttft_ms=st.floats(0, 1e3),
    itl_ms=st.floats(0, 1e2),
    noise=st.floats(0, 2),
    count=st.integers(0, 50),
    seed=st.integers(),
)
def test_times_never_go_back_and_depend_on_the_seed_alone(
    ttft_ms: float, itl_ms: float, noise: float, count: int, seed: int
) -> None:
    timing = Fixed(ttft_ms=ttft_ms, itl_ms=itl_ms, noise=noise)
    times = ready_ns(timing, 1, count, Random(seed))
    assert len(times) == count
    assert times == sorted(times) == ready_ns(timing, 1, count, Random(seed))
    assert all(at >= 0 for at in times)


def test_noise_leaves_the_median_where_it_was() -> None:
    timing = Fixed(itl_ms=10, noise=0.5)
    times = ready_ns(timing, 1, 4_001, Random(1))
    gaps = [after - before for before, after in pairwise(times)]
    assert median(gaps) / NS_PER_MS == pytest.approx(10, rel=0.05)
    assert max(gaps) > 2 * min(gaps)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Fixed(ttft_ms=-1),
        lambda: Fixed(noise=-0.1),
        lambda: Speeds(prefill_tokens_per_s=0, decode_tokens_per_s=1),
        lambda: Speeds(prefill_tokens_per_s=1, decode_tokens_per_s=1, start_ms=-1),
    ],
)
def test_impossible_speeds_are_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(UsageError):
        wrong()
