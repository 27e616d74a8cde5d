"""The sampler looks on in the background, and nothing that happens to it reaches the run."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.clock import monotonic_ns
from minionbench.errors import SetupError
from minionbench.meters import sampler
from minionbench.meters.sampler import Sampler, next_round_ns
from minionbench.store.trace_file import read_trace
from minionbench.traces import Fact, Look, Quantity, Stream, Trace, Unit

FAST_HZ = 500.0
WAIT_S = 20.0
UNITS: dict[Quantity, Unit] = {"power": "mW", "energy": "uJ", "memory": "bytes"}


class Scripted:
    """A meter that counts its looks, and does what a test wants at each of them."""

    def __init__(
        self, name: str, quantity: Quantity = "power", then: Callable[[int], None] | None = None
    ) -> None:
        self.streams = (Stream(name, quantity, UNITS[quantity], covers=name, scope="process-tree"),)
        self.looks = 0
        self.by: list[str] = []
        """The thread of each look."""
        self.closed = False
        self._then = then
        self._reached: dict[int, threading.Event] = {}
        self._busy = False

    def look(self) -> tuple[Look, ...]:
        assert not self._busy, "two threads looked at once"
        self._busy = True
        try:
            self.looks += 1
            self.by.append(threading.current_thread().name)
            reached = self._reached.get(self.looks)
            if reached is not None:
                reached.set()
            if self._then is not None:
                self._then(self.looks)
            return (Look(self.streams[0].stream_id, monotonic_ns(), self.looks),)
        finally:
            self._busy = False

    def close(self) -> None:
        self.closed = True

    def after(self, looks: int) -> threading.Event:
        """Set when the meter is looked at for the so-many-th time."""
        return self._reached.setdefault(looks, threading.Event())


class Kept:
    """A sink in memory."""

    def __init__(self, fails: Sequence[int] = ()) -> None:
        self.facts: list[Fact] = []
        self.calls = 0
        self._fails = set(fails)

    def keep(self, *facts: Fact) -> None:
        self.calls += 1
        if self.calls in self._fails:
            raise SetupError("the disk is full")
        self.facts.extend(facts)

    def values(self, name: str) -> list[int | None]:
        return [one.value for one in Trace.of(self.facts).looks.get(name, ())]


def test_a_meter_is_looked_at_on_entry_meanwhile_and_a_last_time_on_exit() -> None:
    meter, kept = Scripted("m"), Kept()
    seen = meter.after(4)
    with Sampler([meter], kept, rate_hz=FAST_HZ):
        assert kept.facts[0] == meter.streams[0]
        assert kept.values("m") == [1]
        assert seen.wait(WAIT_S)
    values = kept.values("m")
    assert values == list(range(1, meter.looks + 1))
    looks_at_end = meter.looks
    assert looks_at_end >= 5
    assert not meter.closed
    assert {thread.name for thread in threading.enumerate()}.isdisjoint(
        {"meters-power", "meters-memory"}
    )


def test_a_meter_that_fails_is_told_in_the_trace_and_the_others_go_on() -> None:
    def fail(look: int) -> None:
        if look == 2:
            raise ZeroDivisionError("oh")

    broken, sound, kept = Scripted("broken", then=fail), Scripted("sound"), Kept()
    seen = sound.after(4)
    with Sampler([broken, sound], kept, rate_hz=FAST_HZ) as running:
        assert seen.wait(WAIT_S)
    looks = Trace.of(kept.facts).looks["broken"]
    assert [look.value for look in looks[:3]] == [1, None, 3]
    assert looks[1].why == "the meter failed: ZeroDivisionError: oh"
    assert None not in kept.values("sound")
    assert running.failed is None


def test_a_trace_that_cannot_be_written_is_told_afterwards_and_goes_on() -> None:
    meter, kept = Scripted("m"), Kept(fails=[3, 4])
    seen = meter.after(6)
    with Sampler([meter], kept, rate_hz=FAST_HZ) as running:
        assert seen.wait(WAIT_S)
    assert running.failed == "the disk is full"
    # The first keeps the streams, the second the look on entry; the next two are lost.
    assert kept.values("m") == [1, *range(4, meter.looks + 1)]


def test_a_look_from_the_run_is_of_power_alone_and_never_at_the_same_time() -> None:
    power, memory, kept = Scripted("power"), Scripted("memory", "memory"), Kept()
    with Sampler([power, memory], kept, rate_hz=FAST_HZ) as running:
        for _ in range(200):
            running.look()
    mine = threading.current_thread().name
    assert power.by.count(mine) > 2
    # On entry and on exit.
    assert memory.by.count(mine) == 2
    assert len(kept.values("power")) == power.looks
    assert None not in kept.values("power")


def test_something_slow_leaves_no_gap_in_the_power() -> None:
    power, kept, slow_is_in, release = (
        Scripted("power"),
        Kept(),
        threading.Event(),
        threading.Event(),
    )

    def hang(look: int) -> None:
        if look == 2:
            slow_is_in.set()
            release.wait(WAIT_S)

    slow = Scripted("memory", "memory", then=hang)
    with Sampler([slow, power], kept, rate_hz=FAST_HZ) as running:
        assert slow_is_in.wait(WAIT_S)
        seen = power.after(power.looks + 5)
        assert seen.wait(WAIT_S)
        assert slow.looks == 2
        running.look()
        release.set()
    assert running.failed is None
    assert kept.values("memory") == [1, 2, 3]


def test_a_meter_that_hangs_neither_stops_the_run_nor_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampler, "PATIENCE_S", 0.01)
    monkeypatch.setattr(sampler, "ENDING_S", 0.01)
    is_in, release = threading.Event(), threading.Event()

    def hang(look: int) -> None:
        if look == 2:
            is_in.set()
            release.wait(WAIT_S)

    meter, kept = Scripted("the one that hangs", then=hang), Kept()
    with Sampler([meter], kept, rate_hz=FAST_HZ) as running:
        assert is_in.wait(WAIT_S)
        running.look()
    assert running.failed == ("one of these meters did not answer for 0.01 s: the one that hangs")
    assert kept.values("the one that hangs") == [1]
    release.set()
    for thread in threading.enumerate():
        if thread.name == "meters-power":
            thread.join(WAIT_S)


def test_the_threads_count_their_own_cpu() -> None:
    def work(look: int) -> None:
        sum(range(20_000))

    meter = Scripted("m", then=work)
    seen = meter.after(10)
    with Sampler([meter], Kept(), rate_hz=FAST_HZ) as running:
        assert seen.wait(WAIT_S)
    assert 0 < running.own_cpu_ns < WAIT_S * 1_000_000_000


def test_without_meters_nothing_runs() -> None:
    kept = Kept()
    with Sampler([], kept) as running:
        running.look()
        assert not [t for t in threading.enumerate() if t.name.startswith("meters-")]
    assert kept.facts == []
    assert (running.failed, running.own_cpu_ns) == (None, 0)


def test_the_run_that_fails_inside_ends_the_threads_and_shows_its_own_error() -> None:
    meter, kept = Scripted("m"), Kept()
    with pytest.raises(KeyError), Sampler([meter], kept, rate_hz=FAST_HZ):
        raise KeyError("of the run")
    assert kept.values("m") == list(range(1, meter.looks + 1))
    assert not [t for t in threading.enumerate() if t.name.startswith("meters-")]


@pytest.mark.parametrize("rate_hz", [0, -1, 1e9, float("nan")])
def test_a_rate_that_is_none_is_refused(rate_hz: float) -> None:
    with pytest.raises(ValueError, match="no rate"):
        Sampler([], Kept(), rate_hz=rate_hz)


@given(st.integers(0, 10**6), st.integers(-(10**4), 10**6), st.integers(1, 10**5))
def test_rounds_keep_to_their_grid_and_skip_what_was_missed(
    round_ns: int, late_ns: int, period_ns: int
) -> None:
    now_ns = round_ns + late_ns
    following = next_round_ns(round_ns, now_ns, period_ns)
    assert (following - round_ns) % period_ns == 0
    assert following > round_ns
    assert now_ns < following
    assert following - period_ns <= max(now_ns, round_ns)


def test_the_first_round_missed_by_two_and_a_half_periods_is_followed_by_the_third() -> None:
    assert next_round_ns(1_000, 1_250, 100) == 1_300
    assert next_round_ns(1_000, 1_000, 100) == 1_100
    assert next_round_ns(1_000, 900, 100) == 1_100


def test_threads_do_not_outlive_the_interpreter() -> None:
    """A meter that hangs for ever must not keep the program from ending."""
    program = (
        "import threading\n"
        "from minionbench.meters import sampler\n"
        "from minionbench.traces import Look, Stream\n"
        "sampler.ENDING_S = 0.01\n"
        "inside = threading.Event()\n"
        "class Hangs:\n"
        "    streams = (Stream('m', 'power', 'mW', covers='m', scope='gpu'),)\n"
        "    looks = 0\n"
        "    def look(self):\n"
        "        self.looks += 1\n"
        "        if self.looks > 1:\n"
        "            inside.set()\n"
        "            threading.Event().wait()\n"
        "        return ()\n"
        "class Sink:\n"
        "    def keep(self, *facts): pass\n"
        "with sampler.Sampler([Hangs()], Sink(), rate_hz=500) as running:\n"
        "    inside.wait()\n"
        "print(running.failed)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "did not answer" in done.stdout


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nothing kills like SIGKILL here")
def test_a_killed_process_leaves_all_that_was_seen_so_far(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from minionbench.clock import monotonic_ns\n"
        "from minionbench.meters.sampler import Sampler\n"
        "from minionbench.store.trace_file import TraceFile, begun\n"
        "from minionbench.traces import Look, Stream\n"
        "class Counts:\n"
        "    streams = (Stream('m', 'energy', 'uJ', covers='m', scope='gpu'),)\n"
        "    looks = 0\n"
        "    def look(self):\n"
        "        self.looks += 1\n"
        "        if self.looks == 100:\n"
        "            print('99 looks are on file', flush=True)\n"
        "        return (Look('m', monotonic_ns(), self.looks),)\n"
        "file = TraceFile(Path(sys.argv[1]))\n"
        "file.keep(begun())\n"
        "with Sampler([Counts()], file, rate_hz=500):\n"
        "    sys.stdin.read()\n"
    )
    path = tmp_path / "traces.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdin is not None
    with process:
        assert process.stdout.readline()
        process.kill()
    trace = read_trace(path)
    assert trace is not None and trace.begun is not None
    values = [look.value for look in trace.looks["m"]]
    assert values == list(range(1, len(values) + 1))
    assert len(values) >= 99
