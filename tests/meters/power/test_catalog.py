"""What is asked of all kinds of meters, and settings that contradict each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minionbench.errors import MeterError, UsageError
from minionbench.meters.power.catalog import SWITCHED_OFF, close_all, find_meters
from minionbench.meters.power.meter import Found, PowerSettings
from tests.power_curve import Curve, Powercap


def nowhere(tmp_path: Path, **fields: Any) -> PowerSettings:
    """Settings whose trees are not there."""
    trees = {name: tmp_path / name for name in ("powercap", "hwmon", "drm", "i2c")}
    return PowerSettings(**{**trees, **fields})


def test_each_meter_that_is_not_there_says_why(tmp_path: Path) -> None:
    found = find_meters(nowhere(tmp_path))
    assert {one.name for one in found if one.meter is None} >= {"RAPL"}
    assert all(one.reason for one in found if one.status == "unavailable")
    close_all(found)


def test_what_is_there_is_found_beside_what_is_not(tmp_path: Path) -> None:
    Powercap(tmp_path / "powercap").zone("intel-rapl:0", "package-0", Curve([10.0]))
    found = {one.name: one for one in find_meters(nowhere(tmp_path, tdp_w=65))}
    assert found["RAPL"].status == "measured"
    assert found["TDP"].status == "modelled"
    close_all(found.values())


def test_switched_off_means_that_nothing_is_looked_at(tmp_path: Path) -> None:
    Powercap(tmp_path / "powercap").zone("intel-rapl:0", "package-0", Curve([10.0]))
    (found,) = find_meters(nowhere(tmp_path, off=True))
    assert found.reason == SWITCHED_OFF
    assert found.meter is None


def test_a_meter_that_was_asked_for_and_cannot_be_read_is_no_quiet_absence(tmp_path: Path) -> None:
    with pytest.raises(MeterError):
        find_meters(nowhere(tmp_path, command="/nowhere/meter"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"command": "a", "file": Path("b")}, "name one of"),
        ({"off": True, "tdp_w": 65.0}, "switches all meters off"),
        ({"off": True, "command": "a"}, "switches all meters off"),
        ({"tdp_w": 0.0}, "no power of a processor"),
        ({"tdp_w": float("nan")}, "no power of a processor"),
        ({"tdp_w": float("inf")}, "no power of a processor"),
        ({"idle_s": -1.0}, "0 to 600"),
        ({"idle_s": float("nan")}, "0 to 600"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        PowerSettings(**fields)


def test_what_is_found_is_there_or_says_why_not() -> None:
    with pytest.raises(ValueError, match="without a reason"):
        Found(name="x", status="unavailable")
    with pytest.raises(ValueError, match="measured, meter None"):
        Found(name="x", status="measured")
    absent = Found(name="x", status="unavailable", reason="broken", remedy="mend it")
    assert absent.why == "broken; mend it"
