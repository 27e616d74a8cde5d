"""GPU memory by the real nvidia-ml-py, over a library that stands in the place of the driver's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minionbench.meters import vram
from minionbench.meters.nvml import NO_DEVICE, NO_DRIVER, NOT_INSTALLED, gpus
from minionbench.meters.vram import VramReading, together
from tests.meters import nvml
from tests.meters.nvml import MB

HEAD = """
import json, os, subprocess, sys
import msgspec
from minionbench.meters.nvml import gpus
from minionbench.meters.vram import TreeVram

def say(*lines):
    with open(os.environ["NVML_STUB"], "w") as file:
        file.write("\\n".join(lines) + "\\n")

def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    return process

def tell(reading):
    print(msgspec.json.encode(reading).decode())

me = os.getpid()
MB = 2**20
A, B = f"gpu A {80 * MB}", f"gpu B {80 * MB}"
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nvml.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def looked(library: Path, tmp_path: Path) -> Any:
    """Runs a program over the library and gives the reading that it tells."""

    def run(program: str) -> Any:
        return nvml.run(HEAD + program, nvml.environment(library, tmp_path / "said"))

    return run


def test_memory_is_added_up_over_processes_and_gpus_of_the_tree_alone(looked: Any) -> None:
    reading = looked("""
with child() as other:
    say(A, B, f"compute 0 {me} {10 * MB} 0", f"compute 1 {me} {5 * MB} 0",
        f"compute 1 {other.pid} {7 * MB} 0", f"compute 0 1 {50 * MB} 0")
    watch = TreeVram(me)
    watch.sample()
    tell(watch.reading())
    watch.close()
    other.communicate(b"\\n")
""")
    assert reading["peak_bytes"] == 22 * MB
    assert reading["processes"] == 2
    assert reading["devices"] == ["A", "B"]
    assert reading["reason"] is None and reading["failed_samples"] == 0


def test_a_process_that_computes_and_draws_is_counted_once(looked: Any) -> None:
    reading = looked("""
say(A, f"compute 0 {me} {10 * MB} 0", f"graphics 0 {me} {10 * MB} 0")
watch = TreeVram(me)
watch.sample()
tell(watch.reading())
""")
    assert reading["peak_bytes"] == 10 * MB


def test_instances_of_one_gpu_are_added_up(looked: Any) -> None:
    reading = looked("""
say(A, f"compute 0 {me} {10 * MB} 1", f"compute 0 {me} {10 * MB} 2")
watch = TreeVram(me)
watch.sample()
tell(watch.reading())
""")
    assert reading["peak_bytes"] == 20 * MB
    assert reading["processes"] == 1


def test_processes_appear_and_vanish_and_the_largest_sum_is_the_peak(looked: Any) -> None:
    reading = looked("""
say(A)
watch = TreeVram(me)
watch.sample()
say(A, f"compute 0 {me} {10 * MB} 0")
watch.sample()
with child() as other:
    # Both lists are longer than any room that was made for the one before.
    say(A, f"compute 0 {me} {10 * MB} 0", f"compute 0 {other.pid} {30 * MB} 0",
        *(f"compute 0 {n} {MB} 0" for n in range(100_000, 100_050)))
    watch.sample()
    other.communicate(b"\\n")
watch.sample()  # still listed, and no longer of the tree
say(A)
watch.sample()
tell(watch.reading())
""")
    assert reading["peak_bytes"] == 40 * MB
    assert reading["samples"] == 3
    assert reading["processes"] == 2


def test_what_the_driver_does_not_tell_is_unknown_and_never_nothing(looked: Any) -> None:
    reading = looked("""
say(A, f"compute 0 {me} -1 0")
watch = TreeVram(me)
watch.sample()
tell(watch.reading())
""")
    assert reading["peak_bytes"] is None
    assert reading["reason"] == vram.NOT_AVAILABLE
    assert reading["failed_samples"] == 1


def test_a_sum_with_an_unknown_part_does_not_count(looked: Any) -> None:
    reading = looked("""
with child() as other:
    say(A, f"compute 0 {me} {9 * MB} 0", f"compute 0 {other.pid} -1 0")
    watch = TreeVram(me)
    watch.sample()
    other.communicate(b"\\n")
say(A, f"compute 0 {me} {4 * MB} 0")
watch.sample()
tell(watch.reading())
""")
    assert reading["peak_bytes"] == 4 * MB
    assert (reading["samples"], reading["failed_samples"]) == (1, 1)


def test_a_tree_that_is_on_no_gpu_has_no_number(looked: Any) -> None:
    reading = looked("""
say(A, f"compute 0 1 {50 * MB} 0")
watch = TreeVram(me)
watch.sample()
tell(watch.reading())
""")
    assert reading["peak_bytes"] is None
    assert reading["reason"] in (vram.NO_PROCESS, vram.OTHER_NUMBERS)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (f"init {nvml.DRIVER_NOT_LOADED}", "Driver Not Loaded"),
        ("init 18", "RM has detected an NVML/RM version mismatch"),
        (f"count {nvml.NO_PERMISSION}", "Insufficient Permissions"),
        (f"list {nvml.NO_PERMISSION}", "Insufficient Permissions"),
        (f"drawing {nvml.GPU_IS_LOST}", "GPU is lost"),
    ],
)
def test_each_refusal_of_the_driver_is_told(looked: Any, said: str, reason: str) -> None:
    reading = looked(f"""
say(A, f"compute 0 {{me}} {{MB}} 0", "{said}")
watch = TreeVram(me)
watch.sample()
watch.sample_beside()
tell(watch.reading())
watch.close()
watch.close()
""")
    assert reading["peak_bytes"] is None
    assert reading["reason"] == f"the NVIDIA driver refused: {reason}"


def test_a_gpu_that_only_computes_is_read_all_the_same(looked: Any) -> None:
    reading = looked(f"""
say(A, f"compute 0 {{me}} {{3 * MB}} 0", "drawing {nvml.NOT_SUPPORTED}")
watch = TreeVram(me)
watch.sample()
tell(watch.reading())
""")
    assert reading["peak_bytes"] == 3 * MB


def test_a_gpu_that_is_lost_meanwhile_leaves_the_peak_that_was_seen(looked: Any) -> None:
    reading = looked(f"""
say(A, f"compute 0 {{me}} {{3 * MB}} 0")
watch = TreeVram(me)
watch.sample()
say(A, "list {nvml.GPU_IS_LOST}")
watch.sample()
tell(watch.reading())
""")
    assert reading["peak_bytes"] == 3 * MB
    assert reading["failed_samples"] == 1


def test_a_look_beside_other_work_is_left_out_soon_after_the_last_one(looked: Any) -> None:
    reading = looked("""
say(A, f"compute 0 {me} {3 * MB} 0")
watch = TreeVram(me)
watch.sample_beside()
say(A, f"compute 0 {me} {9 * MB} 0")
for _ in range(50):
    watch.sample_beside()
tell(watch.reading())
""")
    # A machine that stands still for a quarter of a second may get a second look in.
    assert reading["samples"] < 50


def test_the_gpus_are_listed_with_their_memory(looked: Any) -> None:
    found = looked("""
say(A, B)
print(json.dumps(gpus()))
""")
    assert found == [[["A", 80 * MB], ["B", 80 * MB]], "999.1", None]


def test_a_driver_without_a_gpu_says_so(looked: Any) -> None:
    assert looked("say('')\nprint(json.dumps(gpus()))") == [[], "999.1", NO_DEVICE]
    reading = looked("say('')\nwatch = TreeVram(me)\nwatch.sample()\ntell(watch.reading())")
    assert reading["reason"] == NO_DEVICE


WITHOUT_THE_PACKAGE = "import sys; sys.modules['pynvml'] = None\n"


def test_without_the_package_a_driver_that_is_there_is_worth_installing_it_for(
    library: Path, tmp_path: Path
) -> None:
    program = WITHOUT_THE_PACKAGE + HEAD + "say(A)\ntell(TreeVram(me).reading())"
    env = nvml.environment(library, tmp_path / "said")
    assert nvml.run(program, env)["reason"] == NOT_INSTALLED
    empty = tmp_path / "empty"
    empty.mkdir()
    if gpus().reason == NO_DRIVER:
        env = nvml.environment(empty, tmp_path / "said")
        assert nvml.run(program, env)["reason"] == NO_DRIVER


def test_engines_are_added_up_and_one_that_is_unknown_leaves_all_unknown() -> None:
    one = VramReading(peak_bytes=3 * MB, samples=4, processes=1, devices=("A",))
    two = VramReading(peak_bytes=5 * MB, samples=2, processes=2, devices=("A", "B"))
    both = together([one, two])
    assert (both.peak_mb, both.samples, both.processes) == (8.0, 2, 3)
    assert both.devices == ("A", "B")
    assert together([one]) == one
    unknown = VramReading(peak_bytes=None, reason="not told")
    assert together([one, unknown]) == unknown
    with pytest.raises(ValueError):
        together([])
