"""AMD GPUs: by a package as AMD SMI's documentation describes it, and by the kernel's monitors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minionbench.meters.power import amd
from minionbench.meters.power.meter import Found, Meter, PowerSettings
from tests.meters.power.trees import chip, looked


class Refusal(Exception):
    """What the package raises."""


class Smi:
    """The documented face of the package, over figures that a test gives."""

    AmdSmiException = Refusal

    def __init__(
        self,
        energies: list[Callable[[], dict[str, Any]]],
        powers: list[Callable[[], dict[str, Any]]],
    ) -> None:
        self.energies, self.powers = energies, powers
        self.begun = 0

    def amdsmi_init(self) -> None:
        self.begun += 1

    def amdsmi_shut_down(self) -> None:
        self.begun -= 1

    def amdsmi_get_processor_handles(self) -> list[int]:
        return list(range(len(self.energies)))

    def amdsmi_get_energy_count(self, handle: int) -> dict[str, Any]:
        return self.energies[handle]()

    def amdsmi_get_power_info(self, handle: int) -> dict[str, Any]:
        return self.powers[handle]()


def counting(step: int, field: str = "energy_accumulator") -> Callable[[], dict[str, Any]]:
    """A counter that has counted `step` more at each look."""
    seen = {"count": 1_000}

    def answer() -> dict[str, Any]:
        seen["count"] += step
        return {field: seen["count"], "counter_resolution": 15.5, "timestamp": 1}

    return answer


def watts(**fields: object) -> Callable[[], dict[str, Any]]:
    return lambda: fields


def refusing() -> dict[str, Any]:
    raise Refusal("Not supported")


def there(found: Found) -> Meter:
    assert found.meter is not None, found.reason
    return found.meter


def values(meter: Meter) -> dict[str, int | None]:
    return {name: look.value for name, look in looked(meter).items()}


def test_the_counter_is_in_microjoules_and_power_in_watts_is_its_check() -> None:
    smi = Smi([counting(10)], [watts(socket_power=123, average_socket_power="N/A")])
    meter = there(amd.by_smi(smi))
    energy, power = meter.streams
    assert (energy.quantity, energy.unit, energy.checks) == ("energy", "uJ", None)
    assert (power.quantity, power.unit, power.checks) == ("power", "mW", energy.stream_id)
    first, second = values(meter), values(meter)
    assert first["amd/0/power"] == 123_000
    assert first["amd/0/energy"] is not None and second["amd/0/energy"] is not None
    assert second["amd/0/energy"] - first["amd/0/energy"] == 155
    assert smi.begun == 1
    found = amd.by_smi(smi)
    assert (found.note, found.resolution) == (amd.UNVERIFIED, "about 15 µJ, every 1 ms")
    there(found).close()
    meter.close()
    meter.close()
    assert smi.begun == 0
    assert meter.look() == ()


def test_the_counters_older_name_is_known() -> None:
    smi = Smi([counting(2, "power")], [refusing])
    (energy,) = there(amd.by_smi(smi)).streams
    assert energy.stream_id == "amd/0/energy"


def test_a_counter_that_stands_still_is_left_out_and_told() -> None:
    smi = Smi([counting(0)], [watts(current_socket_power=300)])
    found = amd.by_smi(smi)
    (power,) = there(found).streams
    assert (power.stream_id, power.checks) == ("amd/0/power", None)
    assert values(there(found)) == {"amd/0/power": 300_000}
    assert found.note is not None and found.note.startswith(amd.STANDS_STILL)
    assert found.resolution == "1 W"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"socket_power": "N/A", "current_socket_power": "N/A", "average_socket_power": "N/A"},
        {"average_socket_power": None},
        {"average_socket_power": True},
    ],
)
def test_power_that_a_gpu_does_not_have_is_no_power_of_nothing(fields: dict[str, Any]) -> None:
    found = amd.by_smi(Smi([refusing], [watts(**fields)]))
    assert found.status == "unavailable"
    assert found.reason == "AMD SMI lists no GPU that tells its energy or its power"


@pytest.mark.parametrize(
    "answer",
    [
        {"counter_resolution": 15.5},
        {"energy_accumulator": "N/A", "counter_resolution": 15.5},
        {"energy_accumulator": 5, "counter_resolution": 0.0},
        {"energy_accumulator": 5},
    ],
)
def test_a_counter_without_its_figures_is_none(answer: dict[str, Any]) -> None:
    found = amd.by_smi(Smi([lambda: answer], [watts(socket_power=1)]))
    assert [stream.stream_id for stream in there(found).streams] == ["amd/0/power"]


def test_a_gpu_that_tells_nothing_stays_open_beside_one_that_does() -> None:
    smi = Smi([counting(3), refusing], [watts(socket_power=9), refusing])
    looks = looked(there(amd.by_smi(smi)))
    assert looks["amd/1/power"].value is None
    assert looks["amd/1/power"].why == "AMD SMI refused: Not supported"


def test_a_refusal_at_the_beginning_is_the_reason_and_leaves_nothing_open() -> None:
    smi = Smi([counting(1)], [watts(socket_power=9)])

    def refuse() -> Any:
        raise Refusal("Driver not loaded")

    smi.amdsmi_get_processor_handles = refuse  # type: ignore[method-assign]
    found = amd.by_smi(smi)
    assert (found.reason, found.note) == ("AMD SMI refused: Driver not loaded", amd.UNVERIFIED)
    assert smi.begun == 0
    smi.amdsmi_init = refuse  # type: ignore[method-assign]
    assert amd.by_smi(smi).reason == "AMD SMI refused: Driver not loaded"


def kernel(root: Path) -> Found:
    (found,) = amd.find(PowerSettings(hwmon=root))
    return found


def test_without_amd_smi_the_kernels_average_power_is_read(tmp_path: Path) -> None:
    chip(tmp_path, 0, "nvme", temp1_input=1)
    folder = chip(tmp_path, 4, "amdgpu", power1_average=45_000_500, power1_input=1)
    found = kernel(tmp_path)
    meter = there(found)
    (stream,) = meter.streams
    assert (stream.scope, stream.unit, stream.inside) == ("gpu", "mW", ())
    assert values(meter) == {"amd/0/power": 45_000}
    assert found.note == amd.UNVERIFIED
    (folder / "power1_average").write_text("junk")
    look = looked(meter)["amd/0/power"]
    assert (look.value, look.why) == (None, "power1_average shows no whole number")


def test_the_power_at_the_instant_stands_in_for_the_average(tmp_path: Path) -> None:
    chip(tmp_path, 4, "amdgpu", power1_input=7_000_000)
    assert values(there(kernel(tmp_path))) == {"amd/0/power": 7_000}


def test_a_counter_in_the_kernels_monitor_is_checked_by_its_power(tmp_path: Path) -> None:
    chip(tmp_path, 4, "amdgpu", energy1_input=9_000_000, power1_average=7_000_000)
    energy, power = there(kernel(tmp_path)).streams
    assert (energy.quantity, power.checks) == ("energy", energy.stream_id)


def test_a_gpu_within_a_processor_lies_inside_the_processors_package(tmp_path: Path) -> None:
    chip(tmp_path, 2, "amdgpu", in1_input=900, power1_average=7_000_000)
    chip(tmp_path, 10, "amdgpu", power1_average=8_000_000)
    inner, card = there(kernel(tmp_path)).streams
    assert (inner.stream_id, inner.scope, inner.inside) == ("amd/0/power", "soc", (amd.PROCESSOR,))
    assert inner.covers == "GPU 0 and the processor that it is part of"
    assert card.covers == "GPU 1"
    assert (card.stream_id, card.scope, card.inside) == ("amd/1/power", "gpu", ())


def test_a_card_that_shows_nothing_is_no_meter(tmp_path: Path) -> None:
    assert (kernel(tmp_path).reason, kernel(tmp_path).note) == (amd.NOT_THERE, None)
    chip(tmp_path, 2, "amdgpu", temp1_input=1)
    assert kernel(tmp_path).reason == (
        "the kernel's driver shows neither energy nor power of the AMD GPU"
    )
    chip(tmp_path, 3, "amdgpu", power1_average=8_000_000)
    silent, power = there(kernel(tmp_path)).look()
    assert silent.value is None and silent.why
    assert power.value == 8_000


def test_amd_smi_comes_first_and_the_kernel_stands_in_where_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = Smi([counting(3)], [watts(socket_power=9)])
    monkeypatch.setitem(sys.modules, "amdsmi", smi)
    chip(tmp_path / "shown", 3, "amdgpu", power1_average=8_000_000)
    found = kernel(tmp_path / "shown")
    assert there(found).streams[0].stream_id == "amd/0/energy"
    there(found).close()
    smi.energies[0] = smi.powers[0] = refusing
    assert values(there(kernel(tmp_path / "shown"))) == {"amd/0/power": 8_000}
    assert kernel(tmp_path / "empty").reason == (
        "AMD SMI lists no GPU that tells its energy or its power"
    )
    assert smi.begun == 0
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    assert kernel(tmp_path / "empty").reason == amd.NOT_THERE
