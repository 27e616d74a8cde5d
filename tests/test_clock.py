"""The bridge between the two clocks converts stamps exactly and notices a clock that was set."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from minionbench import clock
from minionbench.clock import ClockAnchor, ClockBridge, OffsetSample, sample_offset


def bridge_of(*samples: tuple[int, int]) -> ClockBridge:
    """A bridge with (instant, offset) samples, each known to within 2 ns."""
    first, *rest = [OffsetSample(at, offset, 2) for at, offset in samples]
    bridge = ClockBridge(first)
    for sample in rest:
        bridge.add(sample)
    return bridge


samples_in_order = st.lists(
    st.tuples(st.integers(1, 10**10), st.integers(-(10**9), 10**9)), min_size=1, max_size=8
).map(
    lambda steps: [
        (sum(gap for gap, _ in steps[: i + 1]), 10**18 + offset)
        for i, (_, offset) in enumerate(steps)
    ]
)


def test_between_two_samples_the_offset_lies_on_the_line_between_them() -> None:
    bridge = bridge_of((100, 1_000), (200, 1_010), (300, 990))
    assert [bridge.offset_at(at) for at in (100, 110, 150, 200, 250, 300)] == [
        1_000,
        1_001,
        1_005,
        1_010,
        1_000,
        990,
    ]


def test_outside_the_samples_the_nearest_one_holds() -> None:
    bridge = bridge_of((100, 1_000), (200, 1_010))
    assert bridge.offset_at(0) == 1_000
    assert bridge.offset_at(10_000) == 1_010


def test_a_stamp_is_converted_with_the_offset_of_its_own_instant() -> None:
    bridge = bridge_of((100, 1_000), (200, 1_010))
    assert bridge.to_monotonic(1_155, near_ns=150) == 150
    assert bridge.to_monotonic(1_155, near_ns=200) == 145


@given(samples_in_order, st.integers(0, 10**11))
def test_the_offset_never_leaves_the_samples_around_it(
    samples: list[tuple[int, int]], at_ns: int
) -> None:
    offset = bridge_of(*samples).offset_at(at_ns)
    around = [samples[0], samples[-1]]
    for left, right in pairwise(samples):
        if left[0] <= at_ns <= right[0]:
            around = [left, right]
    assert min(o for _, o in around) <= offset <= max(o for _, o in around)


@given(samples_in_order, st.integers(0, 10**11))
def test_a_stamp_made_from_an_instant_comes_back_as_that_instant(
    samples: list[tuple[int, int]], at_ns: int
) -> None:
    bridge = bridge_of(*samples)
    assert bridge.to_monotonic(at_ns + bridge.offset_at(at_ns), near_ns=at_ns) == at_ns


@given(samples_in_order)
def test_each_sample_is_met_exactly(samples: list[tuple[int, int]]) -> None:
    bridge = bridge_of(*samples)
    assert [bridge.offset_at(at) for at, _ in samples] == [offset for _, offset in samples]


def test_a_step_of_the_wall_clock_is_noticed_though_it_goes_back() -> None:
    bridge = bridge_of((100, 5_000), (200, 5_001), (300, 1_001), (400, 5_000))
    assert bridge.largest_step_ns == 4_000
    assert bridge.drift_ns == 0


def test_drift_is_signed_and_counts_from_the_first_sample() -> None:
    assert bridge_of((100, 5_000), (200, 4_990), (300, 4_970)).drift_ns == -30
    assert bridge_of((100, 5_000)).drift_ns == 0


def test_the_widest_bracket_is_kept() -> None:
    bridge = ClockBridge(OffsetSample(100, 0, 40))
    bridge.add(OffsetSample(200, 0, 70))
    bridge.add(OffsetSample(300, 0, 50))
    assert bridge.widest_bracket_ns == 70


def test_the_next_sample_is_due_an_interval_after_the_last() -> None:
    bridge = bridge_of((100, 0))
    assert bridge.next_sample_ns == 100 + ClockBridge.interval_ns
    bridge.add(OffsetSample(10**9, 0, 2))
    assert bridge.next_sample_ns == 10**9 + ClockBridge.interval_ns


def test_a_sample_lies_between_the_readings_that_bracket_it() -> None:
    before = time.monotonic_ns()
    sample = sample_offset()
    after = time.monotonic_ns()
    assert before <= sample.at_ns <= after
    assert 0 <= sample.bracket_ns <= after - before


def test_a_bridge_of_this_machine_agrees_with_its_two_clocks() -> None:
    bridge = ClockBridge()
    before, real, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
    slack_ns = 1_000_000_000  # the machine's clock may be slewed, or the reading interrupted
    assert before - slack_ns <= bridge.to_monotonic(real, near_ns=before) <= after + slack_ns
    first_due_ns = bridge.next_sample_ns
    bridge.sample()
    assert bridge.next_sample_ns > first_due_ns


def test_labels_are_in_utc() -> None:
    now = clock.utc_now()
    assert now.tzinfo is not None
    assert now.utcoffset() is not None
    assert not now.utcoffset()


def test_cpu_time_counts_work() -> None:
    before = clock.process_cpu_ns()
    sum(range(200_000))
    assert clock.process_cpu_ns() > before


def test_sleeping_takes_at_least_as_long_as_asked() -> None:
    before = clock.monotonic_ns()
    clock.sleep_s(0.002)
    assert clock.monotonic_ns() - before >= 2_000_000


def test_an_anchor_gives_other_instants_their_date_and_hour() -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    anchor = ClockAnchor(monotonic_ns=5_000, utc_ns=int(noon.timestamp()) * 10**9)
    assert anchor.utc(5_000) == noon
    assert anchor.utc(5_000 + 90 * 10**9) == noon.replace(minute=1, second=30)
    assert anchor.utc(5_000 - 10**9) == datetime(2026, 11, 22, 11, 59, 59, tzinfo=UTC)
    now = ClockAnchor.now()
    assert abs((now.utc(clock.monotonic_ns()) - clock.utc_now()).total_seconds()) < 5
