"""The kernel's energy counters, by a tree like the kernel's and a clock that a script drives."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from minionbench.meters.power import rapl
from minionbench.meters.power.meter import Found, Meter, PowerSettings
from minionbench.metrics.energy import ENERGY, energy_metrics
from minionbench.traces import Fact, Trace
from minionbench.units import NS_PER_MS
from tests.making import record
from tests.power_curve import Curve, Powercap, ScriptedClock, every

TEN = Curve([10.0])
TWENTY = Curve([20.0])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ScriptedClock:
    scripted = ScriptedClock()
    monkeypatch.setattr(rapl, "monotonic_ns", scripted)
    return scripted


@pytest.fixture
def tree(tmp_path: Path) -> Powercap:
    return Powercap(tmp_path / "powercap")


def find(tree: Powercap) -> Found:
    (found,) = rapl.find(PowerSettings(powercap=tree.root))
    return found


def meter_of(found: Found) -> Meter:
    assert found.meter is not None, found.why
    return found.meter


def recorded(meter: Meter, tree: Powercap, clock: ScriptedClock, until_ms: float) -> list[Fact]:
    """What a run would keep that looks at the meter every 100 ms."""
    facts: list[Fact] = list(meter.streams)
    for at_ns in every(100, until_ms):
        clock.now_ns = at_ns
        tree.at(at_ns)
        facts.extend(meter.look())
    return facts


def two_sockets(tree: Powercap) -> None:
    tree.zone("intel-rapl:0", "package-0", TEN)
    tree.zone("intel-rapl:0/intel-rapl:0:0", "core", Curve([6.0]))
    tree.zone("intel-rapl:0/intel-rapl:0:1", "dram", Curve([2.0]))
    tree.zone("intel-rapl:1", "package-1", TWENTY, wraps_at=50_000_000)
    tree.zone("intel-rapl:1/intel-rapl:1:0", "dram", Curve([3.0]))
    tree.zone("intel-rapl:2", "psys", Curve([60.0]))
    tree.zone("intel-rapl-mmio:0", "package-0", TEN)


def test_packages_and_their_memory_add_up_and_nothing_else_does(
    tree: Powercap, clock: ScriptedClock
) -> None:
    two_sockets(tree)
    found = find(tree)
    assert found.status == "measured"
    facts = recorded(meter_of(found), tree, clock, 13_000)
    request = [record(sent=2_030, events=[5_000, 12_770])]
    values = energy_metrics(Trace.of(facts), request, cell="cell", streams=1)
    # 10 + 2 + 20 + 3 W over 10.74 s; package-1 began anew every 2.5 s.
    assert values[ENERGY].value == pytest.approx(35 * 10.74 / 3_600, rel=1e-3)
    about = values[ENERGY].metadata
    assert about["device"] == [
        "processor package 0",
        "memory of processor package 0",
        "processor package 1",
        "memory of processor package 1",
    ]
    assert set(about["beside_wh"]) == {"cores of processor package 0", "platform (psys)"}
    assert about["updates"] > 4 * 100


def test_each_zone_is_listed_once_however_the_kernel_lists_it(tree: Powercap) -> None:
    two_sockets(tree)
    # The kernel's own tree has links to all zones side by side, and the zones below each other.
    for folder in ("intel-rapl:0:0", "intel-rapl:0:1", "intel-rapl:1:0"):
        top = folder.rpartition(":")[0]
        (tree.root / folder).symlink_to(tree.root / top / folder)
    (tree.root / "intel-rapl").mkdir()
    ids = [stream.stream_id for stream in meter_of(find(tree)).streams]
    assert ids == [
        "rapl/intel-rapl:0",
        "rapl/intel-rapl:0:0",
        "rapl/intel-rapl:0:1",
        "rapl/intel-rapl:1",
        "rapl/intel-rapl:1:0",
        "rapl/intel-rapl:2",
    ]


def test_the_memory_mapped_interface_stands_in_where_the_other_is_not_there(
    tree: Powercap,
) -> None:
    tree.zone("intel-rapl-mmio:0", "package-0", TEN)
    (stream,) = meter_of(find(tree)).streams
    assert (stream.stream_id, stream.scope) == ("rapl/intel-rapl-mmio:0", "package")


def test_dies_are_told_apart(tree: Powercap) -> None:
    tree.zone("intel-rapl:0", "package-0-die-0", TEN)
    tree.zone("intel-rapl:1", "package-0-die-1", TEN)
    covers = [stream.covers for stream in meter_of(find(tree)).streams]
    assert covers == ["processor package 0, die 0", "processor package 0, die 1"]


def test_a_socket_that_vanishes_in_mid_run_shows_why_it_shows_nothing(
    tree: Powercap, clock: ScriptedClock
) -> None:
    two_sockets(tree)
    meter = meter_of(find(tree))
    facts = recorded(meter, tree, clock, 4_000)
    shutil.rmtree(tree.root / "intel-rapl:1")
    for at_ns in every(100, 9_000, start_ms=4_100):
        clock.now_ns = at_ns
        tree.at(at_ns)
        facts.extend(meter.look())
    last = {look.stream_id: look for look in meter.look()}
    assert last["rapl/intel-rapl:0"].value is not None
    assert last["rapl/intel-rapl:1"].value is None
    assert "No such file" in str(last["rapl/intel-rapl:1"].why)
    request = [record(sent=1_000, events=[2_000, 8_500])]
    value = energy_metrics(Trace.of(facts), request, cell="cell", streams=1)[ENERGY]
    assert value.status == "error"
    assert "processor package 1" in str(value.error_message)
    # What was over before it vanished is known.
    early = energy_metrics(
        Trace.of(facts), [record(sent=1_000, events=[2_000, 3_500])], cell="cell", streams=1
    )
    assert early[ENERGY].value == pytest.approx(35 * 2.5 / 3_600, rel=1e-3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_counters_that_only_root_may_read_are_told_with_the_remedy(tree: Powercap) -> None:
    two_sockets(tree)
    for path in tree.root.rglob("energy_uj"):
        path.chmod(0)
    refused(find(tree), tree.root)


def test_a_refusal_is_told_with_the_remedy(tree: Powercap, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the test before, where tests run as root.
    two_sockets(tree)

    def refuse(zone: rapl.Zone) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(rapl.Zone, "read", refuse)
    refused(find(tree), tree.root)


def refused(found: Found, root: Path) -> None:
    assert found.status == "unavailable"
    assert found.meter is None
    assert found.reason == rapl.ONLY_ROOT
    assert found.remedy is not None
    assert f"sudo chmod a+r {root}/intel-rapl*/energy_uj" in found.remedy


def test_one_socket_that_may_not_be_read_leaves_the_sum_unknown(
    tree: Powercap, clock: ScriptedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_sockets(tree)
    read = rapl.Zone.read

    def refuse_one(zone: rapl.Zone) -> int:
        if zone.name == "package-1":
            raise PermissionError(13, "Permission denied")
        return read(zone)

    monkeypatch.setattr(rapl.Zone, "read", refuse_one)
    found = find(tree)
    assert "may not be read by this user" in str(found.note)
    facts = recorded(meter_of(found), tree, clock, 5_000)
    request = [record(sent=1_000, events=[2_000, 4_000])]
    value = energy_metrics(Trace.of(facts), request, cell="cell", streams=1)[ENERGY]
    assert value.status == "error"
    assert "never read" in str(value.error_message)
    assert "Permission denied" in str(value.error_message)


def test_a_socket_whose_counter_stands_at_0_beside_others_leaves_the_sum_unknown(
    tree: Powercap, clock: ScriptedClock
) -> None:
    tree.zone("intel-rapl:0", "package-0", TEN)
    tree.zone("intel-rapl:1", "package-1", Curve([0.0]), begin=0)
    found = find(tree)
    assert "package-1 tells nothing: its counter stands at 0" in str(found.note)
    facts = recorded(meter_of(found), tree, clock, 4_000)
    # Shorter than the time after which a counter is said to stand still.
    request = [record(sent=1_000, events=[2_000, 3_000])]
    value = energy_metrics(Trace.of(facts), request, cell="cell", streams=1)[ENERGY]
    assert value.status == "error"
    assert "stands at 0" in str(value.error_message)


def test_a_machine_without_the_tree_says_so(tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere", tmp_path):
        (found,) = rapl.find(PowerSettings(powercap=root))
        assert found.status == "unavailable"
        assert str(root) in str(found.reason)


def test_a_counter_that_stands_at_0_is_no_counter(tree: Powercap) -> None:
    tree.zone("intel-rapl:0", "package-0", TEN)
    tree.zone("intel-rapl:0/intel-rapl:0:0", "dram", TEN, begin=0)
    found = find(tree)
    assert [stream.scope for stream in meter_of(found).streams] == ["package"]
    assert "dram is left out: its counter stands at 0" in str(found.note)
    (tree.root / "intel-rapl:0" / "energy_uj").write_text("0\n")
    none = find(tree)
    assert none.status == "unavailable"
    assert "stands at 0" in str(none.reason)


@pytest.mark.parametrize("content", ["", "<unsupported>\n", "12.5"])
def test_what_is_no_number_is_no_reading(
    tree: Powercap, content: str, clock: ScriptedClock
) -> None:
    tree.zone("intel-rapl:0", "package-0", TEN)
    tree.zone("intel-rapl:1", "package-1", TEN)
    meter = meter_of(find(tree))
    (tree.root / "intel-rapl:1" / "energy_uj").write_text(content)
    good, bad = meter.look()
    assert good.value == 1_000
    assert bad.value is None
    assert "cannot be read" in str(bad.why)
    meter.close()
    assert NS_PER_MS == rapl.UPDATE_NS
