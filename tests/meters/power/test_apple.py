"""Apple Silicon, over a package as its documentation describes it."""

from __future__ import annotations

import platform
from types import SimpleNamespace
from typing import Any

import pytest

from minionbench.meters.power import apple
from minionbench.meters.power.meter import Meter, PowerSettings
from tests.meters.power.trees import looked

FIELDS: dict[str, Any] = {
    "cpu_total_mj": 1_000,
    "efficiency_cores_mj": [300, 200],
    "performance_cores_mj": [500],
    "gpu_mj": 400,
    "gpu_sram_mj": 50,
    "ane_mj": 0,
    "dram_mj": 30,
}


class Package:
    """The documented face of the package."""

    def __init__(self, **fields: Any) -> None:
        self.fields = FIELDS | fields
        self.fails: str | None = None

    def AppleEnergyMonitor(self) -> Package:
        return self

    def get_cumulative_energy(self) -> Any:
        if self.fails is not None:
            raise RuntimeError(self.fails)
        return SimpleNamespace(**self.fields)


def meter(package: Package) -> Meter:
    found = apple.by_package(package)
    assert found.meter is not None, found.reason
    assert found.note is not None and apple.UNVERIFIED in found.note
    return found.meter


def test_processor_gpu_and_neural_engine_are_one_sum_and_memory_stands_beside_it() -> None:
    there = meter(Package())
    chip, memory = there.streams
    assert chip.covers == "chip (processor, GPU, neural engine)"
    assert (chip.scope, memory.scope) == ("soc", "dram")
    values = {name: look.value for name, look in looked(there).items()}
    assert values == {"apple/chip": 1_400, "apple/memory": 30}


def test_what_the_chip_does_not_tell_is_named() -> None:
    found = apple.by_package(Package(ane_mj=None, dram_mj=None))
    assert found.note == (
        "without neural engine and memory, of which the chip tells nothing; " + apple.UNVERIFIED
    )
    assert found.meter is not None
    (chip,) = found.meter.streams
    assert chip.covers == "chip (processor, GPU)"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"gpu_mj": None}, "the chip tells nothing of the energy of its GPU"),
        ({"cpu_total_mj": None}, "the chip tells nothing of the energy of its processor"),
        ({"cpu_total_mj": 0}, apple.NEVER_COUNTED),
    ],
)
def test_a_chip_without_the_counters_that_matter_is_no_meter(
    fields: dict[str, Any], reason: str
) -> None:
    found = apple.by_package(Package(**fields))
    assert (found.status, found.reason, found.note) == ("unavailable", reason, apple.UNVERIFIED)


def test_a_counter_that_is_gone_leaves_no_smaller_sum() -> None:
    package = Package()
    there = meter(package)
    package.fields["ane_mj"] = None
    chip, memory = there.look()
    assert (chip.value, chip.why) == (None, apple.TOLD_NO_MORE)
    assert memory.value == 30
    package.fails = "no sample"
    assert {look.value for look in looked(there).values()} == {None}
    assert "no sample" in (there.look()[0].why or "")


def test_counters_that_cannot_be_read_at_all_are_no_meter() -> None:
    package = Package()
    package.fails = "no subscription"
    assert apple.by_package(package).reason == (
        "the chip's counters cannot be read: no subscription"
    )


def test_other_machines_have_none() -> None:
    if (platform.system(), platform.machine()) == ("Darwin", "arm64"):
        pytest.skip("this is a Mac with Apple Silicon")
    (found,) = apple.find(PowerSettings())
    assert (found.reason, found.note) == (apple.NOT_HERE, None)
