"""Metering: what is kept of a stretch of measuring, and what never reaches the run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from minionbench.clock import monotonic_ns, sleep_s
from minionbench.engines.engine import Engine
from minionbench.errors import SetupError
from minionbench.exchange import Side
from minionbench.metering import Metering, Watch, watched_by
from minionbench.meters.power.meter import PowerSettings
from minionbench.traces import Begun, Fact, Look, Mark, Missing, Stream
from tests.power_curve import Curve, Powercap

NO_ENGINES: Mapping[Side, Engine] = {}


class Memory:
    """A sink that keeps everything in memory, and may be full."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.full = False

    def keep(self, *facts: Fact) -> None:
        if self.full:
            raise SetupError("the disk is full")
        self.facts.extend(facts)

    def of(self, kind: type) -> list[Fact]:
        return [fact for fact in self.facts if isinstance(fact, kind)]


def wanted(tmp_path: Path, *, there: bool = True, idle_s: float = 0.12) -> PowerSettings:
    """One package, or nothing; nothing else in any case, but for a GPU that NVIDIA's driver has."""
    tree = Powercap(tmp_path / "powercap")
    if there:
        tree.zone("intel-rapl:0", "package-0", Curve([10.0]))
    none = tmp_path / "none"
    return PowerSettings(powercap=tree.root, hwmon=none, drm=none, i2c=none, idle_s=idle_s)


def nothing_done(watch: Watch) -> None:
    """A measured phase that is over at once."""
    with watch.during("measured", ["a"], 0):
        pass


def never() -> str | None:
    return None


def test_streams_looks_marks_and_what_is_missing_are_kept_in_their_order(tmp_path: Path) -> None:
    sink = Memory()
    said: list[str] = []
    with (
        Metering(wanted(tmp_path), sink) as metering,
        metering.over(NO_ENGINES, ["a", "b"], never, said.append) as watch,
    ):
        begun_ns = monotonic_ns()
        with watch.during("measured", ["a"], 2):
            pass
    assert isinstance(sink.facts[0], Begun)
    assert sink.of(Missing)
    assert [stream.stream_id for stream in sink.of(Stream) if isinstance(stream, Stream)] == [
        "rapl/intel-rapl:0"
    ]
    before, measured, after = (mark for mark in sink.of(Mark) if isinstance(mark, Mark))
    assert (measured.phase, measured.cells, measured.repeat) == ("measured", ("a",), 2)
    for idle in (before, after):
        assert (idle.phase, idle.cells, idle.repeat) == ("idle", ("a", "b"), None)
        assert idle.end_ns - idle.start_ns >= 120_000_000
    assert before.end_ns <= begun_ns <= measured.start_ns <= measured.end_ns <= after.start_ns
    looks = [look for look in sink.of(Look) if isinstance(look, Look)]
    assert all(look.value == 1_000 for look in looks)
    # There is a look just before and just after each part of the run.
    instants = [look.at_ns for look in looks]
    assert min(instants) <= before.start_ns
    assert any(before.end_ns <= at <= measured.start_ns for at in instants)
    assert max(instants) >= after.end_ns
    whens = [text.rpartition(", ")[2] for text in said]
    assert whens == ["before the requests", "after the requests"]


def test_nobody_waits_where_no_meter_could_tell_or_no_baseline_is_wanted(tmp_path: Path) -> None:
    sink = Memory()
    with Metering(wanted(tmp_path, there=False, idle_s=600), sink) as metering:
        if metering.meters:
            pytest.skip("this machine has a meter of its own")
        with metering.over(NO_ENGINES, ["a"], never, print) as watch:
            nothing_done(watch)
    assert [mark.phase for mark in sink.of(Mark) if isinstance(mark, Mark)] == ["measured"]
    (tmp_path / "there").mkdir()
    with (
        Metering(wanted(tmp_path / "there", idle_s=600), sink) as metering,
        metering.over(NO_ENGINES, ["a"], never, print, baseline=False),
    ):
        pass


def test_a_wish_to_stop_ends_the_waiting(tmp_path: Path) -> None:
    sink = Memory()
    wishes = iter([None, None, None])
    with (
        Metering(wanted(tmp_path, idle_s=600), sink) as metering,
        metering.over(NO_ENGINES, ["a"], lambda: next(wishes, "enough"), lambda text: None),
    ):
        pass
    # It began to wait, was stopped, and did not begin again.
    (idle,) = (mark for mark in sink.of(Mark) if isinstance(mark, Mark))
    assert idle.end_ns - idle.start_ns < 60 * 10**9


def test_a_trace_that_cannot_be_written_does_not_end_the_run(tmp_path: Path) -> None:
    sink = Memory()
    with Metering(wanted(tmp_path), sink) as metering:
        sink.full = True
        with metering.over(NO_ENGINES, ["a"], never, lambda text: None) as watch:
            nothing_done(watch)
        assert metering.failed == "the disk is full"


def test_a_password_in_what_a_meter_says_is_not_kept(tmp_path: Path) -> None:
    program = tmp_path / "plug.py"
    program.write_text(
        "import sys, time\n"
        "print('{\"watts\": 40}', flush=True)\n"
        "sys.exit('no answer: http://admin:hunter2@plug/cm?password=hunter2')\n"
    )
    sink = Memory()
    settings = PowerSettings(command=shlex.join([sys.executable, str(program)]), idle_s=0)
    with (
        Metering(settings, sink) as metering,
        metering.over(NO_ENGINES, ["a"], never, lambda text: None),
    ):
        while not (failed := [x for x in sink.of(Look) if isinstance(x, Look) and x.why]):
            sleep_s(0.02)
    assert "no answer: http://" in str(failed[0].why)
    assert "hunter2" not in str(sink.facts)


def test_what_fails_in_the_block_goes_on_its_way_and_is_marked(tmp_path: Path) -> None:
    sink = Memory()
    with (
        pytest.raises(KeyboardInterrupt),
        Metering(wanted(tmp_path, idle_s=0), sink) as metering,
        metering.over(NO_ENGINES, ["a"], never, print) as watch,
        watch.during("measured", ["a"], 0),
    ):
        raise KeyboardInterrupt
    assert len(sink.of(Mark)) == 1


def test_without_a_metering_nothing_is_looked_at() -> None:
    with watched_by(None, NO_ENGINES, ["a"], never, print, baseline=True) as watch:
        nothing_done(watch)
    assert watch.sampler is None


def test_switched_off_leaves_a_note_and_no_looks(tmp_path: Path) -> None:
    sink = Memory()
    with (
        Metering(PowerSettings(off=True), sink) as metering,
        metering.over(NO_ENGINES, ["a"], never, print) as watch,
    ):
        nothing_done(watch)
    whys = {fact.why for fact in sink.of(Missing) if isinstance(fact, Missing)}
    assert whys == {"the meters were switched off (--no-meters)"}
    assert sink.of(Look) == sink.of(Mark) == []
