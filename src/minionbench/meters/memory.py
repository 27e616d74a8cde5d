"""Memory of a process tree: its resident set now and at its peak.

On Linux the kernel keeps each process's high-water mark (`VmHWM`), so the peak of a tree of one
process is exact, whenever one looks. The peak of several processes together is the largest sum
that a sample saw, and therefore a lower bound; the reading says which of the two it is. Pages
that processes share, as those of a memory-mapped model, are counted in each of them.

Source: proc_pid_status(5).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from minionbench.meters.control_group import owned_peak_bytes
from minionbench.units import BYTES_PER_MB


class MemoryReading(msgspec.Struct, frozen=True, kw_only=True):
    """The peak memory of a process tree so far."""

    peak_bytes: int | None
    """None when the memory could not be read; `reason` says why."""
    method: Literal["high-water mark", "largest sample"] | None = None
    processes: int = 0
    """Most processes seen at once."""
    samples: int = 0
    proportional_bytes: int | None = None
    """Largest proportional set (PSS) of the tree at the ends of phases: pages that processes share
    count in each of them by its share. None where the kernel does not tell."""
    group_peak_bytes: int | None = None
    """The kernel's peak of the control group that holds this tree and nothing else; None where
    there is no such group."""
    reason: str | None = None

    @property
    def peak_mb(self) -> float | None:
        """The peak in MB of 2²⁰ bytes."""
        return None if self.peak_bytes is None else self.peak_bytes / BYTES_PER_MB


class TreeMemory:
    """Watches the resident set of a process and all its descendants.

    `sample` costs some tens of microseconds and is called between requests; `reading` is the
    outcome so far. The watch begins with the process, not with the first sample, where the
    kernel keeps the high-water mark.
    """

    def __init__(self, pid: int, *, proc: Path = Path("/proc")) -> None:
        self._pid = pid
        self._proc = proc
        self._linux = sys.platform.startswith("linux")
        self._largest_sum = 0
        self._high_water: int | None = None
        self._proportional: int | None = None
        self._group_peak: int | None = None
        self._processes = 0
        self._samples = 0

    def sample(self) -> None:
        """Looks at the tree now; nothing happens when it is gone."""
        found = _tree(self._pid, self._proc)
        if not found:
            return
        self._samples += 1
        self._processes = max(self._processes, len(found))
        self._largest_sum = max(self._largest_sum, sum(resident for resident, _ in found))
        self._high_water = found[0][1]

    def sample_shared(self) -> None:
        """Looks at the proportional set as well; milliseconds for a large model."""
        self.sample()
        if not self._linux:
            return
        total = 0
        tree = tuple(tree_pids(self._pid, self._proc))
        self._group_peak = owned_peak_bytes(tree, proc=self._proc) or self._group_peak
        for pid in tree:
            try:
                rollup = (self._proc / str(pid) / "smaps_rollup").read_bytes()
            except (FileNotFoundError, ProcessLookupError):  # it has ended
                continue
            except OSError:
                return
            if not rollup.strip():  # a zombie, which holds nothing
                continue
            share = _kilobytes(rollup, b"Pss:")
            if share is None:
                return  # A sum without it would be too small, and would not look so.
            total += share
        if total:
            self._proportional = max(self._proportional or 0, total)

    def reading(self) -> MemoryReading:
        """The peak so far."""
        if not self._samples:
            return MemoryReading(
                peak_bytes=None, reason="the engine's process could not be looked at"
            )
        exact = self._processes == 1 and self._high_water is not None
        return MemoryReading(
            # All of them together had at least as much as the first one by itself.
            peak_bytes=self._high_water if exact else max(self._largest_sum, self._high_water or 0),
            method="high-water mark" if exact else "largest sample",
            processes=self._processes,
            samples=self._samples,
            proportional_bytes=self._proportional,
            group_peak_bytes=self._group_peak,
        )


def resident_bytes(pid: int, *, proc: Path = Path("/proc")) -> int | None:
    """What a process and all its descendants hold resident now; None when they are gone."""
    found = _tree(pid, proc)
    return sum(resident for resident, _ in found) if found else None


def _tree(pid: int, proc: Path) -> list[tuple[int, int | None]]:
    """(resident, high-water mark) in bytes of each process of a tree, the root first."""
    if not sys.platform.startswith("linux"):
        return _other_tree(pid)
    found: list[tuple[int, int | None]] = []
    for member in tree_pids(pid, proc):
        try:
            status = (proc / str(member) / "status").read_bytes()
        except OSError:
            continue
        resident = _kilobytes(status, b"VmRSS:")
        if resident is not None:
            found.append((resident, _kilobytes(status, b"VmHWM:")))
    return found


def _other_tree(pid: int) -> list[tuple[int, int | None]]:
    import psutil

    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
        return [(process.memory_info().rss, None) for process in family]
    except psutil.Error:
        return []


def tree_pids(pid: int, proc: Path = Path("/proc")) -> Iterator[int]:
    """The processes of a tree, the root first; one that ends meanwhile is left out."""
    if not sys.platform.startswith("linux"):
        yield from _other_tree_pids(pid)
        return
    left = [pid]
    while left:
        pid = left.pop()
        try:
            for task in (proc / str(pid) / "task").iterdir():
                left.extend(int(child) for child in (task / "children").read_bytes().split())
        except OSError:
            continue
        yield pid


def _other_tree_pids(pid: int) -> Iterator[int]:
    import psutil

    try:
        root = psutil.Process(pid)
        yield from (process.pid for process in [root, *root.children(recursive=True)])
    except psutil.Error:
        return


def available_bytes(*, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that a new process can have without anybody being killed for it.

    What the machine has available, or less where the control group of this process allows less.
    """
    import psutil

    available = int(psutil.virtual_memory().available)
    try:
        own = (proc / "self" / "cgroup").read_text()
    except OSError:
        return available
    for line in own.splitlines():
        number, _, path = line.partition(":")
        if number == "0":
            for folder in _upwards(cgroup / path.lstrip(":").lstrip("/"), cgroup):
                available = min(available, _left_in(folder, available))
    return available


def _upwards(folder: Path, top: Path) -> Iterator[Path]:
    """A folder and those above it, up to `top`."""
    while folder != top and top in folder.parents:
        yield folder
        folder = folder.parent
    yield top


def _left_in(folder: Path, otherwise: int) -> int:
    """What a control group has left; pages of files that it holds can be dropped and count."""
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        droppable = _counter((folder / "memory.stat").read_text(), "inactive_file")
    except (OSError, ValueError):  # no limit ("max"), no such controller, or the first version
        return otherwise
    return max(0, limit - used + droppable)


def _counter(stat: str, name: str) -> int:
    for line in stat.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _kilobytes(status: bytes, name: bytes) -> int | None:
    """Value of a `Name:  123 kB` line in bytes; None when there is none, as in a zombie."""
    for line in status.splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return None
