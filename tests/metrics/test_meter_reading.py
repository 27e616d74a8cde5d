"""What a stream says about a stretch of time, against power curves whose energy is known."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.metrics.meter_reading import Readings, Use, together
from minionbench.metrics.throughput import Window
from minionbench.traces import Look, Stream
from minionbench.units import NS_PER_MS, NS_PER_S
from tests.power_curve import Curve, counted, every, sampled

COUNTER = Stream("meter", "energy", "uJ", "the package", "package", update_ns=NS_PER_MS)
POWER = Stream("power", "power", "mW", "the wall", "wall")


def use(stream: Stream, looks: list[Look], start_ms: float, end_ms: float) -> Use:
    found = Readings(stream, looks).use(window(start_ms, end_ms))
    assert isinstance(found, Use), found
    return found


def why_not(stream: Stream, looks: list[Look], start_ms: float, end_ms: float) -> str:
    found = Readings(stream, looks).use(window(start_ms, end_ms))
    assert isinstance(found, str), found
    return found


def window(start_ms: float, end_ms: float) -> Window:
    return Window(round(start_ms * NS_PER_MS), round(end_ms * NS_PER_MS))


def test_samples_that_came_at_one_instant_are_one_reading() -> None:
    looks = [
        Look("power", at * NS_PER_MS, 1_000 * watts)
        for at in (0, 1_000, 2_000)
        for watts in (10, 99, 20)
    ]
    found = use(POWER, looks, 0, 2_000)
    assert found.joules == pytest.approx(40)
    assert found.updates == 2


curves = st.lists(st.floats(5, 15), min_size=1, max_size=40)
"""Levels whose swing is less than twice their mean: what lies between two looks at an end is then
below 1 % of a hundred of them."""


@given(
    curves,
    st.integers(10, 200),
    st.floats(0, 1),
    st.integers(100, 130),
    st.lists(st.integers(-3, 3), min_size=8, max_size=8),
)
@settings(max_examples=50)
def test_a_counter_is_right_to_1_percent_over_100_updates_wherever_the_stretch_lies(
    watts: list[float], period_ms: int, phase: float, updates: int, jitter: list[int]
) -> None:
    curve = Curve(watts, step_ms=70)
    instants = [
        at + (jitter[i % len(jitter)] * NS_PER_MS if i else 0)
        for i, at in enumerate(every(period_ms, (updates + 5) * period_ms))
    ]
    start = round((1 + phase) * period_ms * NS_PER_MS)
    end = start + updates * period_ms * NS_PER_MS
    found = Readings(COUNTER, counted(curve, instants, update_ns=NS_PER_MS)).use(Window(start, end))
    assert isinstance(found, Use)
    truth = curve.used(start, end)
    assert found.joules == pytest.approx(truth, rel=0.01)
    assert abs(found.joules - truth) <= found.uncertainty_j + 2e-6
    assert found.uncertainty_j < 0.06 * truth


@given(curves, st.integers(1, 30), st.floats(0, 1), st.integers(1, 12))
@settings(max_examples=50)
def test_a_short_stretch_states_an_uncertainty_that_holds_the_truth(
    watts: list[float], behind: int, phase: float, looks: int
) -> None:
    # A meter that is late by up to `behind` ms, looked at every 50 ms.
    curve = Curve(watts, step_ms=30)
    late = Stream("meter", "energy", "uJ", "m", "gpu", update_ns=behind * NS_PER_MS)
    instants = every(50, 50 * (looks + 4))
    start = round((1 + phase) * 50 * NS_PER_MS)
    end = start + looks * 50 * NS_PER_MS
    shown = counted(curve, instants, update_ns=behind * NS_PER_MS)
    found = Readings(late, shown).use(Window(start, end))
    assert isinstance(found, Use)
    assert abs(found.joules - curve.used(start, end)) <= found.uncertainty_j + 2e-6


@given(curves, st.integers(0, 200_000), st.floats(0, 1))
@settings(max_examples=30)
def test_where_a_counter_begins_anew_changes_nothing(
    watts: list[float], begin: int, phase: float
) -> None:
    curve = Curve(watts)
    instants = every(100, 15_000)
    plain = use(COUNTER, counted(curve, instants), 1_000 + phase, 14_000 + phase)
    # It goes around many times, never twice between two looks.
    wrapping = Stream("meter", "energy", "uJ", "m", "package", wraps_at=3_000_000)
    around = counted(curve, instants, wraps_at=3_000_000, begin=begin)
    assert any(later.value < look.value for look, later in pairwise(around))  # type: ignore[operator]
    found = use(wrapping, around, 1_000 + phase, 14_000 + phase)
    assert found.joules == pytest.approx(plain.joules, abs=1e-5)


@given(curves, st.floats(0, 1))
@settings(max_examples=30)
def test_samples_of_power_are_right_to_1_percent_where_they_follow_the_power(
    watts: list[float], phase: float
) -> None:
    # Power that changes every 300 ms, sampled every 10 ms.
    curve = Curve(watts, step_ms=300)
    found = use(POWER, sampled(curve, every(10, 13_000)), 20 + 10 * phase, 12_020 + 10 * phase)
    start, end = round((20 + 10 * phase) * NS_PER_MS), round((12_020 + 10 * phase) * NS_PER_MS)
    truth = curve.used(start, end)
    assert found.joules == pytest.approx(truth, rel=0.01)
    assert found.updates >= 1_200


def test_a_counter_by_hand() -> None:
    # 10 W; looks every 100 ms. 250 to 1,050 ms are 8 J, each end known to within its interval.
    found = use(COUNTER, counted(Curve([10.0]), every(100, 2_000)), 250, 1_050)
    assert found.joules == pytest.approx(8.0)
    assert found.uncertainty_j == pytest.approx(1.0)
    assert found.updates == 8
    # Looks at the very ends leave the meter's own lateness of 1 ms alone: the next look shows it.
    exact = [*every(100, 2_000), 250 * NS_PER_MS, 251 * NS_PER_MS, 1_050 * NS_PER_MS,
             1_051 * NS_PER_MS]  # fmt: skip
    found = use(COUNTER, counted(Curve([10.0]), sorted(exact)), 250, 1_050)
    assert found.joules == pytest.approx(8.0)
    assert found.uncertainty_j == pytest.approx(0.01, abs=1e-5)


@pytest.mark.parametrize("watts", [[10.0, 1.0], [1.0, 10.0]])
def test_a_meter_s_lateness_counts_at_either_end(watts: list[float]) -> None:
    # Looks at both ends and 1 ms later: what is unsure is what the meter had not counted yet, 10 mJ
    # at the end where 10 W are drawn and 1 mJ at the other; the larger of the two is told.
    ends = [250, 251, 1_050, 1_051]
    instants = sorted({*every(100, 2_000), *(end * NS_PER_MS for end in ends)})
    found = use(COUNTER, counted(Curve(watts, step_ms=600), instants), 250, 1_050)
    assert found.uncertainty_j == pytest.approx(0.01, abs=1e-5)


def test_power_by_hand() -> None:
    # 10 W, then 30 W from 1 s on, sampled every 500 ms: the trapezoid puts the jump at 0.75 s.
    looks = sampled(Curve([10.0, 30.0], step_ms=1_000), every(500, 3_000))
    found = use(POWER, looks, 0, 2_000)
    assert found.joules == pytest.approx(5 + 10 + 15 + 15)
    assert found.uncertainty_j == pytest.approx(5.0)
    # An end in mid-interval takes the power there: 20 W at 0.75 s, over 0.25 s to 30 W.
    assert use(POWER, looks, 750, 1_000).joules == pytest.approx(25 * 0.25)


@pytest.mark.parametrize("stream", [COUNTER, POWER])
def test_a_gap_of_more_than_3_s_is_not_bridged(stream: Stream) -> None:
    def looks(gap_ms: float) -> list[Look]:
        instants = every(100, 1_000) + every(100, 6_000, start_ms=1_000 + gap_ms)
        made = counted if stream is COUNTER else sampled
        return made(Curve([10.0]), instants, stream.stream_id)

    assert use(stream, looks(3_000), 500, 5_000).joules == pytest.approx(45.0)
    why = why_not(stream, looks(3_001), 500, 5_000)
    assert re.search(r"no reading for 3\.00 s, and more than 3\.00 s are not bridged", why)
    # What lies outside the stretch does not matter, and a stretch within the gap is unknown too.
    assert use(stream, looks(3_001), 100, 1_000).joules == pytest.approx(9.0)
    assert "not bridged" in why_not(stream, looks(3_001), 2_000, 2_500)


def test_a_gap_says_what_the_looks_in_it_said() -> None:
    good = counted(Curve([10.0]), every(100, 1_000) + every(100, 6_000, start_ms=5_000))
    failed = [Look("meter", at, None, "No such device") for at in every(100, 4_900, start_ms=1_100)]
    looks = sorted([*good, *failed], key=lambda look: look.at_ns)
    assert "(No such device)" in why_not(COUNTER, looks, 500, 5_500)


def test_single_failed_looks_are_counted_and_bridged() -> None:
    looks = counted(Curve([10.0]), every(100, 3_000))
    looks[15] = Look("meter", looks[15].at_ns, None, "busy")
    found = use(COUNTER, looks, 1_000, 2_000)
    assert found.joules == pytest.approx(10.0)
    assert found.failed_looks == 1
    assert found.updates == 9


@pytest.mark.parametrize("stream", [COUNTER, POWER])
def test_a_stretch_that_was_not_looked_at_to_its_end_is_unknown(stream: Stream) -> None:
    made = counted if stream is COUNTER else sampled
    looks = made(Curve([10.0]), every(100, 2_000, start_ms=1_000), stream.stream_id)
    assert "not read before this began" in why_not(stream, looks, 900, 1_500)
    assert "last reading came 100 ms before this ended" in why_not(stream, looks, 1_200, 2_100)
    assert "never read" in why_not(stream, [], 0, 1)
    only_failed = [Look(stream.stream_id, 10, None, "Permission denied")]
    assert "never read (Permission denied)" in why_not(stream, only_failed, 0, 1)


def test_a_counter_that_went_back_without_a_range_was_reset() -> None:
    looks = counted(Curve([10.0]), every(100, 3_000), begin=5_000_000)
    looks[15:] = counted(Curve([10.0]), [look.at_ns for look in looks[15:]])
    assert "reset, or jumped" in why_not(COUNTER, looks, 1_000, 2_000)
    # Before and after it all is well.
    assert use(COUNTER, looks, 500, 1_400).joules == pytest.approx(9.0)
    assert use(COUNTER, looks, 1_500, 2_500).joules == pytest.approx(10.0)


def test_a_reset_is_not_taken_for_a_round_of_a_large_counter() -> None:
    # The range is 65 kJ; a counter that fell from 100 J to 0 would have used 65 kJ in 100 ms.
    ranged = Stream("meter", "energy", "uJ", "m", "package", wraps_at=65_532_610_987)
    looks = counted(Curve([10.0]), every(100, 3_000), begin=100_000_000)
    looks[15:] = counted(Curve([10.0]), [look.at_ns for look in looks[15:]])
    assert "reset, or jumped" in why_not(ranged, looks, 1_000, 2_000)


def test_a_counter_that_stands_still_has_measured_nothing() -> None:
    instants = every(100, 10_000)
    looks = [Look("meter", at, 7_000_000) for at in instants]
    assert "stood still for" in why_not(COUNTER, looks, 1_000, 9_000)
    # A modelled one may: nothing was computed.
    modelled = Stream("meter", "energy", "uJ", "m", "package", basis="modelled")
    assert use(modelled, looks, 1_000, 9_000).joules == 0


@pytest.mark.parametrize("value", [0, -5, 30_000_000])
def test_a_power_that_no_machine_has_is_a_failed_look_and_never_a_number(value: int) -> None:
    looks = sampled(Curve([10.0]), every(100, 3_000))
    looks[15] = Look("power", looks[15].at_ns, value)
    found = use(POWER, looks, 1_000, 2_000)
    assert found.joules == pytest.approx(10.0)
    assert found.failed_looks == 1
    nothing = [Look("power", at, value) for at in every(100, 3_000)]
    assert "no power of a computer" in why_not(POWER, nothing, 1_000, 2_000)


def test_uses_add_up_with_their_uncertainties() -> None:
    one = Use(joules=1.0, uncertainty_j=0.1, updates=3, failed_looks=1)
    two = Use(joules=2.0, uncertainty_j=0.2, updates=4)
    total = together([one, two])
    assert (total.joules, total.updates, total.failed_looks) == (3.0, 7, 1)
    assert total.uncertainty_j == pytest.approx(0.3)
    with pytest.raises(ValueError, match="nothing to add up"):
        together([])


def test_memory_is_no_power() -> None:
    with pytest.raises(ValueError, match="about memory"):
        Readings(Stream("rss", "memory", "bytes", "m", "process-tree"), [])


def test_millijoules_are_joules_too() -> None:
    gpu = Stream("gpu", "energy", "mJ", "GPU", "gpu")
    looks = [Look("gpu", at, at // NS_PER_MS * 50) for at in every(100, 2_000)]
    assert use(gpu, looks, 500, 1_500).joules == pytest.approx(50.0)
    assert NS_PER_S == 1000 * NS_PER_MS
