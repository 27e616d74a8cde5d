"""The kernel's own peak of a control group that holds nothing but the engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minionbench.meters.control_group import GROUPS, owned_peak_bytes
from minionbench.meters.memory import TreeMemory
from minionbench.units import BYTES_PER_MB


def made(root: Path, line: str, folder: str, peak: str, members: str) -> tuple[Path, Path]:
    """A foreign /proc and /sys/fs/cgroup in which process 7 is in a group."""
    proc, groups = root / "proc", root / "groups"
    (proc / "7").mkdir(parents=True)
    (proc / "7" / "cgroup").write_text(f"5:cpu:/elsewhere\n{line}\n")
    (groups / folder).mkdir(parents=True)
    (groups / folder / peak).write_text("12345678\n")
    (groups / folder / "cgroup.procs").write_text(members)
    return proc, groups


SECOND = ("0::/a.slice/run.scope", "a.slice/run.scope", "memory.peak")
FIRST = ("4:memory:/box", "memory/box", "memory.max_usage_in_bytes")


@pytest.mark.parametrize("group", [FIRST, SECOND])
def test_a_group_of_the_trees_own_has_a_peak(tmp_path: Path, group: tuple[str, str, str]) -> None:
    proc, groups = made(tmp_path, *group, "7\n8\n")
    assert owned_peak_bytes((7, 8), proc=proc, groups=groups) == 12_345_678


@pytest.mark.parametrize("group", [FIRST, SECOND])
@pytest.mark.parametrize("members", ["7\n8\n9\n", "", "x\n"])
def test_a_group_that_others_are_in_says_nothing(
    tmp_path: Path, group: tuple[str, str, str], members: str
) -> None:
    proc, groups = made(tmp_path, *group, members)
    assert owned_peak_bytes((7, 8), proc=proc, groups=groups) is None


@pytest.mark.parametrize("line", ["0::/", "4:memory:/", "4:memory:/../box", "0::/absent"])
def test_no_group_is_no_peak(tmp_path: Path, line: str) -> None:
    proc, groups = made(tmp_path, line, "memory/box", "memory.max_usage_in_bytes", "7\n")
    assert owned_peak_bytes((7,), proc=proc, groups=groups) is None
    assert owned_peak_bytes((8,), proc=proc, groups=groups) is None


@pytest.fixture
def own_group() -> Iterator[Path]:
    """A real group of the first version, where this machine lets one be made."""
    folder = GROUPS / "memory" / f"minionbench-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("no control group can be made here")
    yield folder
    folder.rmdir()


def test_a_real_group_counts_what_a_child_allocated(own_group: Path) -> None:
    program = (
        f"import os; open({str(own_group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
        "held = bytearray(64 * 2**20); held[::4096] = b'x' * len(held[::4096])\n"
        "print('ready', flush=True); input()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    child.stdout.readline()
    memory = TreeMemory(child.pid)
    memory.sample_shared()
    reading = memory.reading()
    child.communicate("\n")
    assert reading.group_peak_bytes is not None
    assert 64 < reading.group_peak_bytes / BYTES_PER_MB < 128
