"""Memory of real processes that allocate a known amount."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minionbench.meters.memory import TreeMemory, available_bytes
from minionbench.units import BYTES_PER_MB

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")

ALLOCATE = "held = bytearray({mb} * 2**20); held[::4096] = b'x' * len(held[::4096])"


@contextmanager
def child(program: str) -> Iterator[int]:
    """A Python child that prints a line when it has done what it should, then waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.communicate("\n")


def test_the_peak_of_one_process_is_seen_even_when_the_memory_was_freed_before_the_sample() -> None:
    program = f"{ALLOCATE.format(mb=96)}\ndel held\nprint('ready', flush=True)\ninput()"
    with child(program) as pid:
        memory = TreeMemory(pid)
        memory.sample()
        reading = memory.reading()
    assert reading.method == "high-water mark"
    assert reading.processes == 1
    assert reading.peak_mb is not None
    assert 96 < reading.peak_mb < 96 + 40


def test_children_count_and_the_reading_says_that_it_is_a_largest_sample() -> None:
    grandchild = f"{ALLOCATE.format(mb=64)}; print('up', flush=True); input()"
    program = (
        "import subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-c', {grandchild!r}],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "p.stdout.readline()\n"
        f"{ALLOCATE.format(mb=32)}\n"
        "print('ready', flush=True)\ninput()\np.communicate(b'\\n')"
    )
    with child(program) as pid:
        memory = TreeMemory(pid)
        memory.sample()
        reading = memory.reading()
    assert reading.method == "largest sample"
    assert reading.processes == 2
    assert reading.peak_bytes is not None
    assert 96 * BYTES_PER_MB < reading.peak_bytes < (96 + 80) * BYTES_PER_MB


def test_what_the_first_process_took_before_there_were_others_counts() -> None:
    program = (
        f"{ALLOCATE.format(mb=96)}\ndel held\n"
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        "print('ready', flush=True)\ninput()\np.communicate(b'\\n')"
    )
    with child(program) as pid:
        memory = TreeMemory(pid)
        memory.sample()
        reading = memory.reading()
    assert reading.processes == 2
    assert reading.peak_mb is not None and reading.peak_mb > 96


def test_a_process_that_is_gone_gives_a_reason_and_no_number() -> None:
    with child("print('ready', flush=True); input()") as pid:
        pass
    memory = TreeMemory(pid)
    memory.sample()
    assert memory.reading().peak_bytes is None
    assert memory.reading().reason


def test_a_process_that_ends_keeps_the_peak_that_was_seen() -> None:
    program = f"{ALLOCATE.format(mb=16)}\nprint('ready', flush=True)\ninput()"
    with child(program) as pid:
        memory = TreeMemory(pid)
        memory.sample()
        seen = memory.reading().peak_bytes
    memory.sample()
    assert memory.reading().peak_bytes == seen is not None


def test_a_foreign_proc_tree_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    (folder / "task" / "7").mkdir(parents=True)
    (folder / "task" / "7" / "children").write_text("")
    (folder / "status").write_text("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n")
    memory = TreeMemory(7, proc=tmp_path)
    memory.sample()
    assert memory.reading().peak_bytes == 2048 * 1024


def test_of_several_processes_the_largest_sample_stays(tmp_path: Path) -> None:
    def shown(pid: int, resident_kb: int, proportional_kb: int, children: str = "") -> None:
        folder = tmp_path / str(pid)
        (folder / "task" / str(pid)).mkdir(parents=True, exist_ok=True)
        (folder / "task" / str(pid) / "children").write_text(children)
        (folder / "status").write_text(f"VmHWM:\t 1 kB\nVmRSS:\t {resident_kb} kB\n")
        (folder / "smaps_rollup").write_text(f"Rss:\t 1 kB\nPss:\t {proportional_kb} kB\n")

    memory = TreeMemory(7, proc=tmp_path)
    for resident_kb, proportional_kb in ((10, 4), (1_000, 500), (20, 8)):
        shown(7, resident_kb, proportional_kb, children="8")
        shown(8, resident_kb, proportional_kb)
        memory.sample_shared()
    reading = memory.reading()
    assert reading.peak_bytes == 2_000 * 1024
    assert reading.proportional_bytes == 1_000 * 1024
    assert (reading.processes, reading.samples) == (2, 3)


def test_a_process_that_does_not_tell_its_share_leaves_the_proportional_set_unknown(
    tmp_path: Path,
) -> None:
    for pid, children, told in ((7, "8 9", "Pss:\t 4 kB\n"), (8, "", "Rss:\t 1 kB\n"), (9, "", "")):
        folder = tmp_path / str(pid)
        (folder / "task" / str(pid)).mkdir(parents=True)
        (folder / "task" / str(pid) / "children").write_text(children)
        (folder / "status").write_text("VmRSS:\t 10 kB\nVmHWM:\t 10 kB\n")
        (folder / "smaps_rollup").write_text(told)
    memory = TreeMemory(7, proc=tmp_path)
    memory.sample_shared()
    assert memory.reading().proportional_bytes is None
    # One that has ended meanwhile holds nothing.
    (tmp_path / "8" / "smaps_rollup").write_text("")
    memory.sample_shared()
    assert memory.reading().proportional_bytes == 4 * 1024


def test_the_proportional_set_is_read_when_asked_for() -> None:
    program = f"{ALLOCATE.format(mb=64)}\nprint('ready', flush=True)\ninput()"
    with child(program) as pid:
        memory = TreeMemory(pid)
        memory.sample()
        assert memory.reading().proportional_bytes is None
        memory.sample_shared()
        reading = memory.reading()
    assert reading.proportional_bytes is not None and reading.peak_bytes is not None
    assert 64 * BYTES_PER_MB < reading.proportional_bytes <= reading.peak_bytes


def test_memory_is_what_the_machine_has_or_what_the_control_group_leaves(tmp_path: Path) -> None:
    proc, top = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    machine = available_bytes(proc=proc, cgroup=top)
    assert machine > 2**20
    (proc / "self" / "cgroup").write_text("0::/outer/inner\n")
    outer, inner = top / "outer", top / "outer" / "inner"
    inner.mkdir(parents=True)
    assert available_bytes(proc=proc, cgroup=top) > 2**20
    (inner / "memory.max").write_text("max\n")
    (outer / "memory.max").write_text(f"{3 * 2**20}\n")
    (outer / "memory.current").write_text(f"{2 * 2**20}\n")
    (outer / "memory.stat").write_text("anon 7\ninactive_file 4096\n")
    assert available_bytes(proc=proc, cgroup=top) == 2**20 + 4096
    (outer / "memory.current").write_text(f"{9 * 2**20}\n")
    assert available_bytes(proc=proc, cgroup=top) == 0
