"""Energy and power of NVIDIA GPUs by the real nvidia-ml-py, over a stand-in of the driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minionbench.meters.nvml import NO_DEVICE, NO_DRIVER, gpus
from minionbench.meters.power import nvidia
from minionbench.meters.power.meter import PowerSettings
from minionbench.metrics.energy import device, spent
from minionbench.metrics.meter_reading import Use, readings
from minionbench.metrics.throughput import Window
from minionbench.traces import Trace, decode_facts
from tests.meters import nvml
from tests.meters.nvml import MB

HEAD = """
import json, os
from minionbench.meters.power import nvidia
from minionbench.meters.power.meter import PowerSettings

def say(*lines):
    with open(os.environ["NVML_STUB"], "w") as file:
        file.write("\\n".join(lines) + "\\n")

def found():
    (one,) = nvidia.find(PowerSettings())
    return one

def about(one):
    streams = [] if one.meter is None else [
        [s.stream_id, s.quantity, s.unit, s.scope, s.checks, s.covers] for s in one.meter.streams
    ]
    return {"name": one.name, "status": one.status, "reason": one.reason, "remedy": one.remedy,
            "note": one.note, "resolution": one.resolution, "streams": streams}

def shown(one):
    return {look.stream_id: look.value for look in one.meter.look()}

def whys(one):
    return {look.stream_id: look.why for look in one.meter.look()}

def tell(value):
    print(json.dumps(value))

A, B = "gpu A 100", "gpu B 100"
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nvml.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def told(library: Path, tmp_path: Path) -> Any:
    """Runs a program over the library and gives what it tells."""

    def run(program: str) -> Any:
        return nvml.run(HEAD + program, nvml.environment(library, tmp_path / "said"))

    return run


def test_each_gpu_has_its_counter_and_its_power_as_a_check_of_it(told: Any) -> None:
    about, first, second = told("""
say(A, B, "energy 0 5000", "instant 0 70000", "energy 1 123456789012", "instant 1 699999")
one = found()
first = shown(one)
say(A, B, "energy 0 5070", "instant 0 71000", "energy 1 123456789712", "instant 1 700000")
tell([about(one), first, shown(one)])
one.meter.close()
""")
    assert about["status"] == "measured"
    assert about["name"] == "NVIDIA A (GPU 0), B (GPU 1)"
    assert about["streams"] == [
        ["nvidia/0/energy", "energy", "mJ", "gpu", None, "GPU 0, A"],
        ["nvidia/0/power", "power", "mW", "gpu", "nvidia/0/energy", "GPU 0, A"],
        ["nvidia/1/energy", "energy", "mJ", "gpu", None, "GPU 1, B"],
        ["nvidia/1/power", "power", "mW", "gpu", "nvidia/1/energy", "GPU 1, B"],
    ]
    assert first == {
        "nvidia/0/energy": 5_000,
        "nvidia/0/power": 70_000,
        "nvidia/1/energy": 123_456_789_012,
        "nvidia/1/power": 699_999,
    }
    assert second["nvidia/0/energy"] == 5_070
    assert second["nvidia/1/power"] == 700_000


def test_power_at_the_instant_is_preferred_to_a_mean_of_the_last_second(told: Any) -> None:
    assert told("""
say(A, "energy 0 5000", "power 0 50000", "instant 0 70000")
tell(shown(found()))
""") == {"nvidia/0/energy": 5_000, "nvidia/0/power": 70_000}
    assert told("""
say(A, "energy 0 5000", "power 0 50000")
tell(shown(found()))
""") == {"nvidia/0/energy": 5_000, "nvidia/0/power": 50_000}


def test_a_gpu_without_a_counter_is_measured_by_its_power_alone(told: Any) -> None:
    about = told("""
say(A, "power 0 50000")
tell(about(found()))
""")
    assert about["status"] == "measured"
    assert about["streams"] == [["nvidia/0/power", "power", "mW", "gpu", None, "GPU 0, A"]]
    assert "without a counter" in about["resolution"]


def test_a_gpu_without_power_is_measured_by_its_counter_alone(told: Any) -> None:
    about = told("""
say(A, "energy 0 50000")
tell(about(found()))
""")
    assert about["streams"] == [["nvidia/0/energy", "energy", "mJ", "gpu", None, "GPU 0, A"]]


def test_a_gpu_that_tells_nothing_is_never_taken_for_one_that_needs_nothing(told: Any) -> None:
    about, values, whys = told("""
say(A, B, "energy 0 50000", "instant 0 1")
one = found()
tell([about(one), shown(one), whys(one)])
""")
    assert about["status"] == "measured"
    assert about["note"] == (
        "the NVIDIA driver tells neither energy nor power of B, so that the machine's energy "
        "stays open"
    )
    assert values["nvidia/1/power"] is None
    assert whys["nvidia/1/power"] == "the NVIDIA driver refused: Not Supported"
    assert whys["nvidia/0/energy"] is None


def test_without_a_gpu_that_tells_anything_there_is_no_meter(told: Any) -> None:
    about = told("say(A)\ntell(about(found()))")
    assert about["status"] == "unavailable"
    assert about["reason"] == (
        "the NVIDIA driver tells neither energy nor power of NVIDIA A (GPU 0)"
    )
    assert told("say('')\ntell(about(found()))")["reason"] == NO_DEVICE


def test_a_gpu_that_is_lost_gives_no_number_and_comes_back(told: Any) -> None:
    lost, whys, back = told(f"""
say(A, "energy 0 5000", "instant 0 70000")
one = found()
say(A, "energy 0 5000", "instant 0 70000", "counter {nvml.GPU_IS_LOST}", "watts {nvml.GPU_IS_LOST}")
lost, why = shown(one), whys(one)
say(A, "energy 0 6000", "instant 0 70000")
tell([lost, why, shown(one)])
""")
    assert lost == {"nvidia/0/energy": None, "nvidia/0/power": None}
    assert set(whys.values()) == {"the NVIDIA driver refused: GPU is lost"}
    assert back == {"nvidia/0/energy": 6_000, "nvidia/0/power": 70_000}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (f"init {nvml.DRIVER_NOT_LOADED}", "Driver Not Loaded"),
        (f"count {nvml.NO_PERMISSION}", "Insufficient Permissions"),
    ],
)
def test_each_refusal_of_the_driver_is_told(told: Any, said: str, reason: str) -> None:
    about = told(f'say(A, "energy 0 5000", "{said}")\ntell(about(found()))')
    assert (about["status"], about["reason"]) == (
        "unavailable",
        f"the NVIDIA driver refused: {reason}",
    )


def test_nothing_is_shown_after_the_library_was_given_back(told: Any) -> None:
    assert (
        told("""
say(A, "energy 0 5000")
one = found()
one.meter.close()
one.meter.close()
tell(shown(one))
""")
        == {}
    )


def test_energy_and_memory_are_read_side_by_side(told: Any) -> None:
    held, values = told(f"""
from minionbench.meters.vram import TreeVram
say(A, "energy 0 5000", f"compute 0 {{os.getpid()}} {3 * MB} 0")
one = found()
watch = TreeVram(os.getpid())
held = watch.sample()
watch.close()  # gives the library back, and the other one goes on all the same
tell([held, shown(one)])
""")
    assert held == 3 * MB
    assert values == {"nvidia/0/energy": 5_000}


TRACED = """
from minionbench.traces import encode_fact
say(A, B, *{first})
one = found()
facts = [*one.meter.streams, *one.meter.look()]
say(A, B, *{second})
facts += one.meter.look()
tell([encode_fact(fact).decode() for fact in facts])
"""


def traced(told: Any, first: list[str], second: list[str]) -> Trace:
    lines = told(TRACED.format(first=first, second=second))
    return Trace.of(decode_facts(line.encode() for line in lines))


def test_the_device_is_the_counters_and_the_power_is_only_their_check(told: Any) -> None:
    trace = traced(
        told,
        ["energy 0 1000", "instant 0 70000", "energy 1 5000", "instant 1 80000"],
        ["energy 0 3000", "instant 0 70000", "energy 1 9000", "instant 1 80000"],
    )
    made_of = device(trace)
    assert made_of is not None
    assert [part.stream.stream_id for part in made_of.parts] == [
        "nvidia/0/energy",
        "nvidia/1/energy",
    ]
    assert [[check.stream_id for check in part.checks] for part in made_of.parts] == [
        ["nvidia/0/power"],
        ["nvidia/1/power"],
    ]
    assert made_of.beside == ()
    for part, joules in zip(made_of.parts, (2.0, 4.0), strict=True):
        looks = trace.looks[part.stream.stream_id]
        use = readings(trace)[part.stream.stream_id].use(Window(looks[0].at_ns, looks[-1].at_ns))
        assert isinstance(use, Use) and use.joules == pytest.approx(joules)


def test_a_gpu_that_tells_nothing_leaves_the_devices_energy_unknown(told: Any) -> None:
    trace = traced(told, ["energy 0 1000"], ["energy 0 3000"])
    made_of = device(trace)
    assert made_of is not None
    looks = trace.looks["nvidia/0/energy"]
    why = spent(made_of, readings(trace), [Window(looks[0].at_ns, looks[-1].at_ns)])
    assert why == ("GPU 1, B: it was never read (the NVIDIA driver refused: Not Supported)")


def test_a_driver_that_is_there_is_worth_installing_the_package_for(
    library: Path, tmp_path: Path
) -> None:
    program = "import sys; sys.modules['pynvml'] = None\n" + HEAD + "say(A)\ntell(about(found()))"
    about = nvml.run(program, nvml.environment(library, tmp_path / "said"))
    assert about["reason"] == "nvidia-ml-py, which reads the GPU's energy, is not installed"
    assert about["remedy"] == "`pip install 'minionbench[energy]'`"


def test_a_machine_without_a_driver_says_so() -> None:
    if gpus().reason != NO_DRIVER:
        pytest.skip("this machine has NVIDIA's driver")
    (found,) = nvidia.find(PowerSettings())
    assert (found.status, found.reason, found.meter) == ("unavailable", NO_DRIVER, None)
