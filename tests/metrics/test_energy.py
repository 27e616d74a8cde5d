"""Energy metrics by hand-sized traces: what is added up, what is left out, what is not known."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from minionbench.exchange import Outcome
from minionbench.metrics.energy import (
    ABOVE_IDLE,
    ENERGY,
    ENERGY_METRICS,
    IDLE_POWER,
    PER_GOOD_REQUEST,
    PER_REQUEST,
    PER_TOKEN,
    device,
    energy_metrics,
    no_energy,
)
from minionbench.metrics.slo import Objective
from minionbench.metrics.value import MetricValue
from minionbench.records import RequestRecord
from minionbench.traces import Fact, Look, Mark, Missing, Stream, Trace
from minionbench.units import NS_PER_MS
from tests.making import record
from tests.power_curve import Curve, counted, every, sampled

TEN = Curve([10.0])
TWENTY = Curve([20.0])


def stream(stream_id: str, scope: Any, **fields: Any) -> Stream:
    quantity, unit = ("power", "mW") if "power" in stream_id else ("energy", "uJ")
    return Stream(stream_id, quantity, unit, f"the {stream_id}", scope, **fields)  # type: ignore[arg-type]


def looked(one: Stream, curve: Curve, instants: list[int]) -> list[Fact]:
    made = sampled if one.quantity == "power" else counted
    return [one, *made(curve, instants, one.stream_id)]


def busy(n: int = 4, *, apart: float = 10_000, **fields: Any) -> list[RequestRecord]:
    """Requests one after the other from 10 s on, each of 8 s and 4 tokens."""
    return [
        record(
            sent=10_000 + i * apart,
            events=[10_000 + i * apart + k * 2_000 for k in range(1, 5)],
            index=i,
            **fields,
        )
        for i in range(n)
    ]


def metrics(
    facts: list[Fact], records: list[RequestRecord], streams: int | None = 1
) -> dict[str, MetricValue]:
    values = energy_metrics(Trace.of(facts), records, cell="cell", streams=streams)
    assert tuple(values) == ENERGY_METRICS
    json.dumps({name: value.metadata for name, value in values.items()}, allow_nan=False)
    return values


IDLE = [
    Mark("idle", ("cell", "other"), None, 2_000 * NS_PER_MS, 7_000 * NS_PER_MS),
    Mark("idle", ("cell",), None, 50_000 * NS_PER_MS, 55_000 * NS_PER_MS),
]


def test_one_stream_by_hand() -> None:
    # 10 W when idle, 30 W while requests run: from 10 s to 48 s, 1,140 J.
    curve = Curve([10.0] * 10 + [30.0] * 38 + [10.0], step_ms=1_000)
    found = metrics(
        looked(stream("package", "package"), curve, every(100, 60_000)) + IDLE,  # type: ignore[operator]
        [*busy(), record(sent=1, events=[5], phase="warmup")],
    )
    assert found[ENERGY].value == pytest.approx(1_140 / 3_600)
    assert found[PER_REQUEST].value == pytest.approx(1_140 / 3_600 / 4)
    assert found[PER_GOOD_REQUEST].value == found[PER_REQUEST].value
    assert found[IDLE_POWER].value == pytest.approx(10.0)
    assert found[ABOVE_IDLE].value == pytest.approx((1_140 - 380) / 3_600)
    # The first token of all falls on the instant at which the stretch begins, and is not within.
    assert found[PER_TOKEN].value == pytest.approx(1_140 / 16)
    about = found[ENERGY].metadata
    assert about["basis"] == "measured"
    assert about["device"] == ["the package"]
    assert about["window_s"] == pytest.approx(38.0)
    assert about["updates"] == 380
    # There were looks at both ends.
    assert about["uncertainty"] == 0
    assert (about["idle_before_w"], about["idle_after_w"]) == pytest.approx((10.0, 10.0))
    assert "note" not in about


def test_failed_requests_take_energy_and_are_no_good_ones() -> None:
    failed = record(sent=40_000, end=48_000, outcome=Outcome.HTTP_ERROR, index=3)
    records = [*busy(3), failed]
    facts = looked(stream("package", "package"), TEN, every(100, 60_000))
    found = metrics(facts, records)
    assert found[PER_REQUEST].value == pytest.approx(380 / 3_600 / 4)
    assert found[PER_GOOD_REQUEST].value == pytest.approx(380 / 3_600 / 3)
    assert found[PER_GOOD_REQUEST].metadata["good"] == 3
    none_good = [record(sent=10_000, end=28_000, outcome=Outcome.HTTP_ERROR)]
    value = metrics(facts, none_good)[PER_GOOD_REQUEST]
    assert value.error_message == "none of the 1 request succeeded"


def test_a_good_request_is_one_that_meets_the_objective_where_there_is_one() -> None:
    slow = record(sent=40_000, events=[47_000, 48_000], index=3)
    failed = record(sent=49_000, end=50_000, outcome=Outcome.HTTP_ERROR, index=4)
    trace = Trace.of(looked(stream("package", "package"), TEN, every(100, 60_000)))

    def good(records: list[RequestRecord], objective: Objective | None, **how: bool) -> MetricValue:
        found = energy_metrics(trace, records, cell="cell", streams=1, objective=objective, **how)
        assert found[PER_REQUEST].value == pytest.approx(400 / 3_600 / 5)
        return found[PER_GOOD_REQUEST]

    records = [*busy(3), slow, failed]
    quick = Objective(ttft_s=3.0)
    value = good(records, quick)
    assert value.value == pytest.approx(400 / 3_600 / 3)
    assert (value.metadata["good"], value.metadata["requests"]) == (3, 5)
    assert value.metadata["objective"] == {"ttft_s": 3.0}
    assert good(records, None).value == pytest.approx(400 / 3_600 / 4)
    # From the planned instant on they all waited too long.
    waited = [msgspec.structs.replace(r, planned_ns=0) for r in records]
    assert good(waited, quick, open_loop=True).error_message == (
        "none of the 5 requests met the objective"
    )
    # What it cannot be known of is never taken for bad.
    uncounted = record(sent=10_000, events=[12_000, 14_000, 16_000, 18_000], tokens=None)
    unknown = good([uncounted, *records[1:]], Objective(tpot_s=9.0))
    assert unknown.status == "skipped" and "1 of 5 requests" in str(unknown.reason)


def test_of_an_open_loop_the_time_counts_in_which_requests_arrive() -> None:
    """10 W from the first end, 12 s, to the last sending, 32 s."""
    arriving = [
        record(sent=10_000 + 2_000 * i, events=[12_000 + 3_000 * i], index=i) for i in range(12)
    ]
    trace = Trace.of(looked(stream("package", "package"), TEN, every(100, 60_000)))
    found = energy_metrics(trace, arriving, cell="cell", streams=None, open_loop=True)
    assert found["energy_wh"].value == pytest.approx(200 / 3_600)


def test_the_repeats_are_added_up_and_what_lies_between_them_is_not() -> None:
    first, second = busy(1), [record(sent=40_000, events=[41_000, 48_000], repeat=1, index=1)]
    facts = looked(stream("package", "package"), TEN, every(100, 60_000))
    found = metrics(facts, first + second)
    assert found[ENERGY].value == pytest.approx(160 / 3_600)
    assert found[ENERGY].metadata["repeats"] == 2
    # Each of the two held 80 looks.
    assert found[ENERGY].metadata["fewest_updates"] == 80
    assert "80 readings" in found[ENERGY].metadata["note"]


def test_overlapping_requests_share_the_steady_state_and_none_has_energy_of_its_own() -> None:
    records = [
        record(sent=sent, events=[sent + 1_000, sent + 4_000], index=i)
        for i, sent in enumerate([10_000, 10_100, 14_200, 14_300, 18_400, 18_500])
    ]
    found = metrics(
        looked(stream("package", "package"), TEN, every(100, 30_000)), records, streams=2
    )
    # Both streams are at work from 10.1 s to 22.4 s.
    assert found[ENERGY].metadata["window"] == "steady state"
    assert found[ENERGY].value == pytest.approx(123 / 3_600)
    assert found[PER_TOKEN].value == pytest.approx(123 / 11)
    for name in (PER_REQUEST, PER_GOOD_REQUEST):
        assert found[name].status == "skipped"
        assert "the requests overlapped" in str(found[name].reason)
    # Many streams that were never at work at once have no steady state.
    assert "3 requests in flight" in str(metrics(
        looked(stream("package", "package"), TEN, every(100, 30_000)), records, streams=3
    )[ENERGY].reason)  # fmt: skip


def test_packages_memory_and_accelerators_add_up_and_what_they_contain_does_not() -> None:
    instants = every(100, 60_000)
    streams = [
        stream("package-0", "package"),
        stream("package-1", "package"),
        stream("core-0", "core", inside=("package-0",)),
        stream("uncore-0", "uncore"),
        stream("dram-0", "dram"),
        stream("psys", "psys"),
        stream("gpu", "gpu"),
        stream("gpu.power", "gpu", checks="gpu"),
        stream("soc", "soc", inside=("package-0",)),
    ]
    found = metrics([fact for one in streams for fact in looked(one, TEN, instants)], busy())
    assert found[ENERGY].value == pytest.approx(4 * 380 / 3_600)
    parts = found[ENERGY].metadata["parts_wh"]
    assert list(parts) == ["the package-0", "the package-1", "the dram-0", "the gpu"]
    beside = found[ENERGY].metadata["beside_wh"]
    assert set(beside) == {"the core-0", "the uncore-0", "the psys", "the soc"}
    assert beside["the psys"] == pytest.approx(380 / 3_600)
    assert found[ENERGY].metadata["disagreement"] == pytest.approx(0, abs=1e-6)


def test_a_stream_inside_one_that_is_not_there_counts() -> None:
    trace = Trace.of([stream("soc", "soc", inside=("package-0",))])
    made_of = device(trace)
    assert made_of is not None
    assert made_of.covers == ["the soc"]


def test_a_meter_at_the_wall_has_everything_in_it() -> None:
    instants = every(100, 60_000)
    wall = stream("wall.power", "wall")
    facts = looked(stream("package", "package"), TEN, instants) + looked(wall, TWENTY, instants)
    found = metrics(facts, busy())
    assert found[ENERGY].value == pytest.approx(760 / 3_600)
    assert found[ENERGY].metadata["device"] == ["the wall.power"]
    assert found[ENERGY].metadata["beside_wh"] == {"the package": pytest.approx(380 / 3_600)}


def test_a_modelled_figure_stands_in_only_where_nothing_is_measured() -> None:
    instants = every(100, 60_000)
    modelled = stream("tdp", "package", basis="modelled")
    alone = metrics(looked(modelled, TEN, instants), busy())
    assert alone[ENERGY].metadata["basis"] == "modelled"
    beside = metrics(
        looked(modelled, TEN, instants) + looked(stream("package", "package"), TWENTY, instants),
        busy(),
    )
    assert beside[ENERGY].metadata["basis"] == "measured"
    assert beside[ENERGY].value == pytest.approx(760 / 3_600)
    gpu = metrics(
        looked(modelled, TEN, instants) + looked(stream("gpu", "gpu"), TWENTY, instants), busy()
    )
    assert gpu[ENERGY].metadata["basis"] == "measured and modelled"
    assert gpu[ENERGY].value == pytest.approx(1_140 / 3_600)
    soc = stream("soc", "soc")
    assert device(Trace.of([modelled, soc])) == device(Trace.of([soc, modelled]))
    assert device(Trace.of([modelled, soc])).covers == ["the soc"]  # type: ignore[union-attr]


@pytest.mark.parametrize(("factor", "said"), [(1.04, None), (1.06, "6%"), (0.93, "7%")])
def test_a_counter_and_power_that_differ_by_more_than_5_percent_are_not_believed(
    factor: float, said: str | None
) -> None:
    instants = every(100, 60_000)
    counter, power = stream("gpu", "gpu"), stream("gpu.power", "gpu", checks="gpu")
    facts = looked(counter, TEN, instants) + looked(power, Curve([10.0 * factor]), instants)
    found = metrics(facts, busy())
    if said is None:
        assert found[ENERGY].value == pytest.approx(380 / 3_600)
        assert found[ENERGY].metadata["disagreement"] == pytest.approx(0.04, abs=1e-3)
        return
    for name in ENERGY_METRICS:
        assert found[name].status == "error"
        assert f"of the same thing differ by {said}" in str(found[name].error_message)


def test_a_cross_check_that_failed_does_not_touch_the_measurement() -> None:
    instants = every(100, 60_000)
    power = stream("gpu.power", "gpu", checks="gpu")
    broken: list[Fact] = [power, *(Look("gpu.power", at, None, "busy") for at in instants)]
    found = metrics(looked(stream("gpu", "gpu"), TEN, instants) + broken, busy())
    assert found[ENERGY].value == pytest.approx(380 / 3_600)
    assert found[ENERGY].metadata["disagreement"] is None


def test_a_part_that_vanishes_leaves_the_whole_unknown_and_says_so() -> None:
    gone = every(100, 60_000, start_ms=20_100)
    lost: list[Fact] = [
        stream("package-1", "package"),
        *counted(TEN, every(100, 20_000), "package-1"),
        *(Look("package-1", at, None, "No such device") for at in gone),
    ]
    found = metrics(looked(stream("package-0", "package"), TEN, every(100, 60_000)) + lost, busy())
    for name in ENERGY_METRICS:
        assert found[name].status == "error"
        assert "the package-1" in str(found[name].error_message)
        assert "No such device" in str(found[name].error_message)


def test_a_gap_of_more_than_3_s_makes_it_invalid() -> None:
    instants = every(100, 20_000) + every(100, 60_000, start_ms=23_200)
    found = metrics(looked(stream("package", "package"), TEN, instants), busy())
    assert found[ENERGY].status == "error"
    assert "no reading for 3.20 s" in str(found[ENERGY].error_message)


def test_a_stretch_that_is_too_short_for_the_meter_is_left_out_with_its_uncertainty() -> None:
    # One look a second; a request of 1.5 s lies between three of them.
    facts = looked(stream("package", "package"), TEN, every(1_000, 60_000))
    short = [record(sent=10_200, events=[10_500, 11_700])]
    found = metrics(facts, short)
    for name in (ENERGY, PER_REQUEST, PER_GOOD_REQUEST, PER_TOKEN):
        assert found[name].status == "skipped"
        assert "the uncertainty is ±" in str(found[name].reason)
    # A longer one carries it.
    longer = metrics(facts, [record(sent=10_200, events=[11_000, 30_700])])[ENERGY]
    assert longer.status == "ok"
    # At least from 11 to 30 s, at most from 10 to 31 s: 190 to 210 J, and 205 by interpolation.
    assert longer.value == pytest.approx(205 / 3_600)
    assert longer.metadata["uncertainty"] * 3_600 == pytest.approx(15.0)
    assert "only 20 readings" in longer.metadata["note"]


def test_a_run_that_was_killed_counts_the_requests_before_the_last_reading() -> None:
    # The last request ended at 48 s, the last look was at 47.9 s.
    facts = looked(stream("package", "package"), TEN, every(100, 47_900))
    found = metrics(facts, busy())
    assert found[ENERGY].value == pytest.approx(280 / 3_600)
    assert found[ENERGY].metadata["left_out"] == 1
    assert found[PER_REQUEST].metadata["requests"] == 3
    assert found[IDLE_POWER].status == "skipped"
    # A meter that fell silent long before is no end between two looks.
    silent = metrics(looked(stream("package", "package"), TEN, every(100, 44_000)), busy())
    assert "before this ended" in str(silent[ENERGY].error_message)


def test_requests_that_the_end_cut_off_are_outside() -> None:
    records = [*busy(2), record(sent=30_000, end=34_000, outcome=Outcome.CUT, index=2)]
    facts = looked(stream("package", "package"), TEN, every(100, 60_000))
    found = metrics(facts, records)
    assert found[ENERGY].value == pytest.approx(180 / 3_600)
    assert found[PER_REQUEST].metadata["requests"] == 2
    only_cut = [record(sent=30_000, end=34_000, outcome=Outcome.CUT)]
    assert metrics(facts, only_cut)[ENERGY].reason == "no request came to an end of its own"
    assert metrics(facts, [])[ENERGY].reason == "no request was sent"


def test_the_idle_power_says_how_far_before_and_after_differ() -> None:
    curve = Curve([10.0] * 49 + [14.0], step_ms=1_000)
    facts = looked(stream("package", "package"), curve, every(100, 60_000))
    found = metrics([*facts, *IDLE], busy())
    idle = found[IDLE_POWER]
    assert idle.value == pytest.approx(12.0)
    assert (idle.metadata["before_w"], idle.metadata["after_w"]) == pytest.approx((10.0, 14.0))
    assert idle.metadata["uncertainty"] == pytest.approx(2.0)
    # An idle time of other cells is none of this one's.
    others: list[Fact] = [Mark("idle", ("other",), None, 2_000 * NS_PER_MS, 7_000 * NS_PER_MS)]
    without = metrics([*facts, *others], busy())[IDLE_POWER]
    assert "not looked at while it was idle" in str(without.reason)


def test_a_difference_that_is_too_uncertain_is_none() -> None:
    curve = Curve([2.0] * 9 + [10.0] * 40 + [18.0], step_ms=1_000)
    facts = looked(stream("package", "package"), curve, every(100, 60_000))
    found = metrics([*facts, *IDLE], busy())
    assert found[IDLE_POWER].metadata["uncertainty"] == pytest.approx(8.0)
    assert found[ABOVE_IDLE].status == "skipped"
    assert "too uncertain" in str(found[ABOVE_IDLE].reason)


def test_uncounted_tokens_give_no_energy_per_token() -> None:
    facts = looked(stream("package", "package"), TEN, every(100, 60_000))
    records = [
        record(sent=10_000, events=[12_000, 18_000], tokens=None),
        record(sent=20_000, events=[22_000, 28_000], index=1),
    ]
    value = metrics(facts, records)[PER_TOKEN]
    assert value.reason == "1 answer came without a token count"


def test_without_a_meter_all_is_skipped_and_never_0() -> None:
    nothing: list[Fact] = [Missing("RAPL", "no counters"), Missing("NVIDIA", "no driver")]
    for trace in (Trace.of(nothing), Trace.of([]), None):
        values = energy_metrics(trace, busy(), cell="cell", streams=1)
        for name in ENERGY_METRICS:
            assert values[name].status == "skipped"
            assert values[name].value is None
            assert values[name].reason
    found = metrics(nothing, busy())[ENERGY]
    assert "minionbench doctor" in str(found.reason)
    assert found.metadata["meters"] == {"RAPL": "no counters", "NVIDIA": "no driver"}


def test_a_meter_that_only_lacks_a_permission_says_which() -> None:
    facts: list[Fact] = [Missing("RAPL", "may not be read", "chmod it"), Missing("GPU", "none")]
    reason = str(metrics(facts, busy())[ENERGY].reason)
    assert reason.startswith("no power meter can be read: RAPL: may not be read; chmod it.")
    # Beside another meter it is told too, unless that one is at the wall and has it in it.
    gpu = looked(stream("gpu", "gpu"), TEN, every(100, 60_000))
    unread = metrics([*facts, *gpu], busy())[ENERGY].metadata["not_measured"]
    assert unread == {"RAPL": "may not be read; chmod it"}
    wall = looked(stream("wall.power", "wall"), TEN, every(100, 60_000))
    assert "not_measured" not in metrics([*facts, *wall], busy())[ENERGY].metadata


def test_meters_that_were_switched_off_are_said_to_be() -> None:
    facts: list[Fact] = [Missing("power meters", "switched off (--no-meters)")]
    assert metrics(facts, busy())[ENERGY].reason == "switched off (--no-meters)"
    assert {value.reason for value in no_energy("why").values()} == {"why"}


def test_memory_is_no_energy() -> None:
    rss = Stream("rss/local", "memory", "bytes", "memory", "process-tree")
    assert device(Trace.of([rss])) is None
