from __future__ import annotations

from statistics import median

from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.cli.so_far import RECENT, SoFar
from minionbench.exchange import Outcome
from minionbench.units import NS_PER_S
from tests import making


def test_the_median_ttft_is_of_the_present_stage() -> None:
    so_far = SoFar()
    so_far.add(making.record(0, 0, (900,)))
    so_far.next_stage()
    assert so_far.ttft_s() is None
    for first_ms in (10, 30, 20):
        so_far.add(making.record(0, 0, (first_ms,)))
    assert so_far.ttft_s() == 0.020
    so_far.add(making.record(0, 0, (40,)))
    assert so_far.ttft_s() == 0.025


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=60))
def test_the_median_is_that_of_the_values(first_ms: list[int]) -> None:
    so_far = SoFar()
    for value in first_ms:
        so_far.add(making.record(0, 0, (value,)))
    seen = so_far.ttft_s()
    assert seen is not None
    assert abs(seen - median(first_ms) / 1000) < 1e-12


def test_the_median_forgets_what_is_long_past() -> None:
    so_far = SoFar()
    for _ in range(RECENT):
        so_far.add(making.record(0, 0, (10,)))
    for _ in range(RECENT // 2 + 1):
        so_far.add(making.record(0, 0, (20,)))
    assert so_far.ttft_s() == 0.020


def test_failures_are_counted_and_give_no_tokens() -> None:
    so_far = SoFar()
    so_far.add(making.record(0, 0, (10, 20)))
    so_far.add(making.record(0, 0, (10,), outcome=Outcome.RESET))
    assert (so_far.finished, so_far.failed) == (2, 1)
    assert so_far.tokens_per_s(2 * NS_PER_S) == 1.0


def test_an_uncounted_answer_leaves_the_rate_unknown() -> None:
    so_far = SoFar()
    so_far.add(making.record(0, 0, (10, 20)))
    so_far.add(making.record(0, 0, (10, 20), tokens=None))
    assert so_far.tokens_per_s(2 * NS_PER_S) is None


def test_nothing_is_told_before_there_is_anything_to_tell() -> None:
    so_far = SoFar()
    assert (so_far.ttft_s(), so_far.tokens_per_s(), so_far.left_s()) == (None, None, None)


def test_costs_add_up_and_the_unknown_are_counted() -> None:
    so_far = SoFar()
    costs = iter((0.25, None, 0.5))
    so_far.cost_of = lambda record: next(costs)
    for _ in range(3):
        so_far.add(making.record(0, 0, (10,)))
    assert (so_far.cost_usd, so_far.uncosted) == (0.75, 1)
