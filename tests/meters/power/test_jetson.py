"""Jetson boards: rails of the power monitors, and which of them together are the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from minionbench.meters.power import jetson
from minionbench.meters.power.meter import Found, Meter, PowerSettings
from tests.meters.power.trees import chip, looked


def monitor(root: Path, number: int, *rails: tuple[str, int, int], name: str = "ina3221") -> Path:
    """A monitor with (label, mV, mA) of each channel."""
    figures: dict[str, object] = {}
    for channel, (label, voltage_mv, current_ma) in enumerate(rails, 1):
        figures[f"in{channel}_label"] = label
        figures[f"in{channel}_input"] = voltage_mv
        figures[f"curr{channel}_input"] = current_ma
    return chip(root, number, name, **figures)


def found(root: Path) -> Found:
    (one,) = jetson.find(PowerSettings(hwmon=root))
    return one


def meter(root: Path) -> Meter:
    there = found(root).meter
    assert there is not None
    return there


def values(meter: Meter) -> dict[str, int | None]:
    return {name: look.value for name, look in looked(meter).items()}


def inside(meter: Meter) -> dict[str, tuple[str, ...]]:
    return {stream.stream_id: stream.inside for stream in meter.streams}


def test_power_is_the_product_of_voltage_and_current(tmp_path: Path) -> None:
    monitor(tmp_path, 3, ("VDD_IN", 5_000, 1_200), ("VDD_CPU_GPU_CV", 4_990, 321))
    assert values(meter(tmp_path)) == {
        "jetson/module": 6_000,
        "jetson/VDD_IN": 6_000,
        "jetson/VDD_CPU_GPU_CV": 1_602,
    }
    assert found(tmp_path).note == jetson.UNVERIFIED


def test_the_rail_that_feeds_all_others_is_the_whole(tmp_path: Path) -> None:
    rails = (("VDD_IN", 5_000, 1_200), ("VDD_CPU_GPU_CV", 5_000, 300), ("VDD_SOC", 5_000, 200))
    monitor(tmp_path, 3, *rails)
    there = meter(tmp_path)
    assert there.streams[0].covers == "module (VDD_IN)"
    assert inside(there) == {
        "jetson/module": (),
        "jetson/VDD_IN": ("jetson/module",),
        "jetson/VDD_CPU_GPU_CV": ("jetson/module",),
        "jetson/VDD_SOC": ("jetson/module",),
    }


def test_rails_that_make_up_the_whole_are_added_and_those_within_are_not(tmp_path: Path) -> None:
    monitor(tmp_path, 10, ("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 5_000, 80))
    # A part that is switched off draws nothing, and the sum is known all the same.
    monitor(
        tmp_path,
        9,
        ("VDD_GPU_SOC", 5_000, 800),
        ("VDD_CPU_CV", 5_000, 0),
        ("VIN_SYS_5V0", 5_000, 700),
    )
    there = meter(tmp_path)
    assert there.streams[0].covers == "module (VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0)"
    shown = values(there)
    assert shown["jetson/module"] == 7_500
    assert (shown["jetson/VDD_CPU_CV"], shown["jetson/VDDQ_VDD2_1V8AO"]) == (0, 400)
    assert set(inside(there).values()) == {(), ("jetson/module",)}


def test_one_rail_that_fails_leaves_no_smaller_sum(tmp_path: Path) -> None:
    rails = (("VDD_GPU_SOC", 5_000, 8), ("VDD_CPU_CV", 5_000, 2), ("VIN_SYS_5V0", 5_000, 7))
    folder = monitor(tmp_path, 9, *rails)
    there = meter(tmp_path)
    (folder / "curr2_input").unlink()
    looks = looked(there)
    why = "VDD_CPU_CV: curr2_input cannot be read: No such file or directory"
    assert (looks["jetson/module"].value, looks["jetson/module"].why) == (None, why)
    assert looks["jetson/VDD_GPU_SOC"].value == 40


def test_rails_of_unknown_names_are_not_guessed_at(tmp_path: Path) -> None:
    monitor(tmp_path, 1, ("MAIN", 12_000, 500), ("AUX", 5_000, 100))
    one = found(tmp_path)
    assert one.status == "unavailable"
    assert one.reason == "nobody knows which of the rails AUX, MAIN make up the whole"


def test_without_a_monitor_there_is_no_meter(tmp_path: Path) -> None:
    chip(tmp_path, 0, "coretemp", temp1_input=40_000)
    (tmp_path / "hwmon1").mkdir()
    assert found(tmp_path).reason == jetson.NO_MONITOR
    assert found(tmp_path / "absent").reason == jetson.NO_MONITOR


def test_a_monitor_that_fails_meanwhile_gives_a_reason_and_comes_back(tmp_path: Path) -> None:
    folder = monitor(tmp_path, 3, ("VDD_IN", 5_000, 1_200))
    there = meter(tmp_path)
    (folder / "curr1_input").write_text("\n")
    why = "VDD_IN: curr1_input shows no whole number"
    assert {(look.value, look.why) for look in looked(there).values()} == {(None, why)}
    (folder / "curr1_input").write_text("10\n")
    assert set(values(there).values()) == {50}


@pytest.mark.parametrize("broken", ["", "n/a"])
def test_a_monitor_that_cannot_be_read_is_no_meter(tmp_path: Path, broken: str) -> None:
    folder = monitor(tmp_path, 3, ("VDD_IN", 5_000, 1_200))
    (folder / "in1_input").write_text(broken)
    one = found(tmp_path)
    assert one.status == "unavailable"
    assert one.reason == "VDD_IN: in1_input shows no whole number"
