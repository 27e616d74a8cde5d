"""What engines hold over time: real child processes, pages of metrics, a stand-in of the driver."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minionbench.clock import monotonic_ns
from minionbench.meters import engine_streams
from minionbench.meters.engine_streams import CacheUse, ResidentMemory, Watched, engine_meters
from minionbench.meters.memory import resident_bytes
from minionbench.meters.nvml import NO_DRIVER, gpus
from minionbench.meters.sampler import Sampler
from minionbench.meters.vram import ENDED
from minionbench.metrics.peak import peak_moment
from minionbench.traces import Begun, Fact, Mark, Trace
from tests.meters import nvml
from tests.meters.nvml import MB

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")

GROWS = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    held = bytearray(int(line) * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    print("held", flush=True)
"""


class Child:
    """A process that holds as much memory as it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid

    def hold(self, mb: int) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{mb}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "held\n"


@contextmanager
def child() -> Iterator[Child]:
    process = subprocess.Popen(
        [sys.executable, "-c", GROWS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield Child(process)
    finally:
        process.communicate()


def no_page() -> None:
    return None


@linux
def test_the_memory_of_a_real_process_is_followed_up_and_down() -> None:
    with child() as engine:
        meter = ResidentMemory("local", engine.pid)
        (small,) = meter.look()
        engine.hold(64)
        (large,) = meter.look()
        engine.hold(1)
        (after,) = meter.look()
    (gone,) = meter.look()
    assert small.value is not None and large.value is not None and after.value is not None
    assert 60 * MB < large.value - small.value < 80 * MB
    assert after.value < small.value + 16 * MB
    assert (gone.value, gone.why) == (None, ENDED)
    assert small.at_ns <= large.at_ns <= after.at_ns


@linux
def test_the_peak_of_a_real_process_has_its_moment_in_the_run() -> None:
    facts: list[Fact] = []

    class Sink:
        def keep(self, *new: Fact) -> None:
            facts.extend(new)

    with child() as engine:
        engine_meter = ResidentMemory("local", engine.pid)
        begun_ns = monotonic_ns()
        Sink().keep(Begun(begun_ns, "2026-11-22T00:00:00+00:00"))
        with Sampler([engine_meter], Sink()):
            engine.hold(64)
            start_ns = monotonic_ns()
        facts.append(Mark("measured", ("c",), 1, start_ns, monotonic_ns()))
    moment = peak_moment(Trace.of(facts), "rss/local")
    assert moment is not None
    assert moment.seen_bytes > 64 * MB
    assert (moment.phase, moment.cells, moment.repeat) == ("measured", ("c",), 1)
    assert moment.since_begin_s == pytest.approx((moment.at_ns - begun_ns) / 1e9)


def test_a_tree_that_is_gone_holds_an_unknown_amount_and_not_nothing(tmp_path: Path) -> None:
    assert resident_bytes(7, proc=tmp_path) is None
    folder = tmp_path / "7"
    (folder / "task" / "7").mkdir(parents=True)
    (folder / "task" / "7" / "children").write_text("")
    (folder / "status").write_text("Name:\tx\nState:\tZ (zombie)\n")
    if sys.platform.startswith("linux"):
        assert resident_bytes(7, proc=tmp_path) is None


def page(share: float, model: str = "m") -> str:
    return f'vllm:kv_cache_usage_perc{{engine="0",model_name="{model}"}} {share}\n'


def test_the_use_of_a_servers_cache_is_told_in_thousandths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_streams, "PAGE_APART_NS", 0)
    pages = iter([page(0.1234), None, "nothing:of_it 1\n", page(0.0)])
    meter = CacheUse("local", lambda: next(pages), "m")
    looks = [meter.look()[0] for _ in range(4)]
    assert [look.value for look in looks] == [123, None, None, 0]
    assert [look.why for look in looks] == [
        None,
        engine_streams.NO_PAGE,
        engine_streams.NOT_TOLD,
        None,
    ]


def test_a_server_is_not_asked_for_a_page_at_every_look() -> None:
    asked = []

    def tell() -> str:
        asked.append(1)
        return page(0.5)

    meter = CacheUse("local", tell, "m")
    assert [look.value for look in meter.look()] == [500]
    assert meter.look() == ()
    assert len(asked) == 1


def test_only_what_can_be_told_has_a_stream() -> None:
    watched = [
        Watched("local", os.getpid(), False, no_page),
        Watched("remote", None, None, lambda: page(0.5), "m"),
        Watched("other", None, None, lambda: "vllm:num_requests_running 1\n", "m"),
    ]
    meters = engine_meters(watched)
    streams = [stream.stream_id for meter in meters for stream in meter.streams]
    assert streams == ["rss/local", "kv/remote"]
    for meter in meters:
        meter.close()


def test_a_machine_without_a_gpu_has_no_stream_of_gpu_memory() -> None:
    if gpus().reason != NO_DRIVER:
        pytest.skip("this machine has NVIDIA's driver")
    (meter,) = engine_meters([Watched("local", os.getpid(), None, no_page)])
    assert [stream.stream_id for stream in meter.streams] == ["rss/local"]


PROGRAM = """
import json, os
from minionbench.meters.engine_streams import Watched, engine_meters
from minionbench.meters import vram

def say(*lines):
    with open(os.environ["NVML_STUB"], "w") as file:
        file.write("\\n".join(lines) + "\\n")

me, MB = os.getpid(), 2**20
say(f"gpu A {80 * MB}")
vram.LEAST_APART_NS = vram.MOST_OF_TIME = 1
_, meter = engine_meters([Watched("local", me, True, lambda: None)])
told = []
for lines in (
    [f"compute 0 {me} {10 * MB} 0"],
    [],
    [f"compute 0 {me} -1 0"],
    [f"compute 0 {me} {3 * MB} 0"],
    ["list 15"],
):
    say(f"gpu A {80 * MB}", *lines)
    while not (looks := meter.look()):
        pass
    (look,) = looks
    told.append([look.stream_id, look.value, look.why])
meter.close()
assert meter.look() == ()
print(json.dumps(told))
"""


def test_gpu_memory_is_what_each_look_shows_and_a_failed_one_says_why(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    library = nvml.build(tmp_path_factory.mktemp("nvml"))
    told = nvml.run(PROGRAM, nvml.environment(library, tmp_path / "said"))
    assert {stream for stream, _, _ in told} == {"vram/local"}
    assert [value for _, value, _ in told] == [10 * MB, None, None, 3 * MB, None]
    assert told[0][2] is None
    assert told[1][2].startswith("the NVIDIA driver lists no process of the engine")
    assert "not how much memory" in told[2][2]
    assert told[4][2] == "the NVIDIA driver refused: GPU is lost"
