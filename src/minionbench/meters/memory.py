"""Memory of a process tree: its resident set now and at its peak.

On Linux the kernel keeps each process's high-water mark (`VmHWM`), so the peak of a tree of one
process is exact, whenever one looks. The peak of several processes together is the largest sum
that a sample saw, and therefore a lower bound; the reading says which of the two it is. Pages
that processes share, as those of a memory-mapped model, are counted in each of them.

Source: proc_pid_status(5).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import msgspec

from minionbench.units import BYTES_PER_MB


class MemoryReading(msgspec.Struct, frozen=True, kw_only=True):
    """The peak memory of a process tree so far."""

    peak_bytes: int | None
    """None when the memory could not be read; `reason` says why."""
    method: Literal["high-water mark", "largest sample"] | None = None
    processes: int = 0
    """Most processes seen at once."""
    samples: int = 0
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
        self._processes = 0
        self._samples = 0

    def sample(self) -> None:
        """Looks at the tree now; nothing happens when it is gone."""
        found = self._linux_tree() if self._linux else self._other_tree()
        if not found:
            return
        self._samples += 1
        self._processes = max(self._processes, len(found))
        self._largest_sum = max(self._largest_sum, sum(resident for resident, _ in found))
        self._high_water = found[0][1]

    def reading(self) -> MemoryReading:
        """The peak so far."""
        if not self._samples:
            return MemoryReading(
                peak_bytes=None, reason="the engine's process could not be looked at"
            )
        exact = self._processes == 1 and self._high_water is not None
        return MemoryReading(
            peak_bytes=self._high_water if exact else self._largest_sum,
            method="high-water mark" if exact else "largest sample",
            processes=self._processes,
            samples=self._samples,
        )

    def _linux_tree(self) -> list[tuple[int, int | None]]:
        """(resident, high-water mark) in bytes of each process of the tree, the root first."""
        found: list[tuple[int, int | None]] = []
        left = [self._pid]
        while left:
            pid = left.pop()
            folder = self._proc / str(pid)
            try:
                status = (folder / "status").read_bytes()
                for task in (folder / "task").iterdir():
                    left.extend(int(child) for child in (task / "children").read_bytes().split())
            except OSError:
                # It ended while we looked: it is no part of the tree any more.
                continue
            resident = _kilobytes(status, b"VmRSS:")
            if resident is not None:
                found.append((resident, _kilobytes(status, b"VmHWM:")))
        return found

    def _other_tree(self) -> list[tuple[int, int | None]]:
        import psutil

        try:
            root = psutil.Process(self._pid)
            family = [root, *root.children(recursive=True)]
            return [(process.memory_info().rss, None) for process in family]
        except psutil.Error:
            return []


def _kilobytes(status: bytes, name: bytes) -> int | None:
    """Value of a `Name:  123 kB` line in bytes; None when there is none, as in a zombie."""
    for line in status.splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return None
