"""Memory that a process tree holds on NVIDIA GPUs, as the driver itself accounts for it.

The driver's library (NVML) lists the processes on each GPU with the memory of each. What belongs
to the tree is added up over processes and GPUs; the peak is the largest sum that a look saw.

Source: NVML API reference, nvmlDeviceGetComputeRunningProcesses and nvmlProcessInfo_t.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from minionbench.clock import monotonic_ns
from minionbench.meters.memory import tree_pids
from minionbench.meters.nvml import (
    NO_DEVICE,
    NO_DRIVER,
    handles,
    name_of,
    opened,
    refused,
    shut,
)
from minionbench.units import BYTES_PER_MB, NS_PER_S

NO_PROCESS = "the NVIDIA driver lists no process of the engine on any GPU"
OTHER_NUMBERS = (
    f"{NO_PROCESS}; this container has process numbers of its own, so that it may hold memory all "
    "the same: start the container with the host's (`--pid=host`)"
)
NOT_AVAILABLE = "the driver lists the engine's processes, and not how much memory each of them has"
ENDED = "the engine has ended"
NEVER_LOOKED = "the engine ended before its GPU memory was looked at"
LEAST_APART_NS = NS_PER_S // 4
"""Between two looks that are made beside other work."""
MOST_OF_TIME = 0.005
"""Share of the time that such looks may take; a driver may need milliseconds for each."""
INITIAL_PID_NAMESPACE = 0xEFFFFFFC
"""Inode of the name space of process numbers that the kernel, and so a driver, counts in.

Source: Linux, include/linux/proc_ns.h, PROC_PID_INIT_INO.
"""


class VramReading(msgspec.Struct, frozen=True, kw_only=True):
    """The peak GPU memory of a process tree so far."""

    peak_bytes: int | None
    """None when it could not be found out; `reason` says why."""
    reason: str | None = None
    samples: int = 0
    """Looks that gave a sum."""
    failed_samples: int = 0
    """Looks that failed, or in which the driver left a process's memory open."""
    processes: int = 0
    """Most processes of the tree seen on GPUs at once."""
    devices: tuple[str, ...] = ()
    """GPUs that they were seen on."""

    @property
    def peak_mb(self) -> float | None:
        """The peak in MB of 2²⁰ bytes."""
        return None if self.peak_bytes is None else self.peak_bytes / BYTES_PER_MB


class TreeVram:
    """Watches the GPU memory of a process and all its descendants.

    `sample` looks now. `sample_beside` does so where enough time has passed that looking stays
    below half a percent of the time. `close` gives the driver's library back. Not to be shared by
    two threads at once.
    """

    def __init__(self, pid: int, *, proc: Path = Path("/proc")) -> None:
        """Opens the driver's library; where that fails, `reading` says why."""
        self._pid = pid
        self._proc = proc
        self._largest: int | None = None
        self._samples = self._failed = self._processes = 0
        self._seen_on: dict[str, None] = {}
        self._next_ns = 0
        self._reason = self._why = NEVER_LOOKED
        self._nvml, why = opened()
        self._handles: list[tuple[str, Any]] = []
        if self._nvml is None:
            self._reason = why or NO_DRIVER
            return
        try:
            self._handles = [(name_of(self._nvml, h), h) for h in handles(self._nvml)]
            if not self._handles:
                self._reason = NO_DEVICE
        except self._nvml.NVMLError as error:
            self._reason = refused(error)
        if not self._handles:
            self.close()

    @property
    def watches(self) -> bool:
        """Whether there is a GPU to look at."""
        return self._nvml is not None

    @property
    def is_due(self) -> bool:
        """Whether the last look was long enough ago for one beside other work."""
        return self._nvml is not None and monotonic_ns() >= self._next_ns

    def sample(self) -> int | None:
        """Looks at all GPUs now: what the tree holds on them in bytes.

        None where that is not known; `why_unknown` says why.
        """
        if self._nvml is None:
            return None
        begun_ns = monotonic_ns()
        held: int | None = None
        try:
            held = self._look(self._nvml)
        except self._nvml.NVMLError as error:
            self._failed += 1
            self._reason = self._why = refused(error)
        now_ns = monotonic_ns()
        pause_ns = max(LEAST_APART_NS, round((now_ns - begun_ns) / MOST_OF_TIME))
        self._next_ns = now_ns + pause_ns
        return held

    def sample_beside(self) -> None:
        """Looks now, unless the last look was too short a while ago."""
        if self.is_due:
            self.sample()

    @property
    def why_unknown(self) -> str:
        """Why the last look that gave no sum gave none."""
        return self._why

    def reading(self) -> VramReading:
        """The peak so far."""
        return VramReading(
            peak_bytes=self._largest,
            reason=None if self._largest is not None else self._reason,
            samples=self._samples,
            failed_samples=self._failed,
            processes=self._processes,
            devices=tuple(self._seen_on),
        )

    def close(self) -> None:
        """Gives the library back; a second call does nothing."""
        if self._nvml is not None:
            shut(self._nvml)
            self._nvml = None

    def _look(self, nvml: ModuleType) -> int | None:
        family = set(tree_pids(self._pid, self._proc))
        if not family:
            self._why = ENDED
            return None
        held: dict[tuple[int, int, int, int], int | None] = {}
        seen_on: dict[str, None] = {}
        for index, (name, handle) in enumerate(self._handles):
            for process in _running(nvml, handle):
                if process.pid not in family:
                    continue
                seen_on[name] = None
                # Whoever computes and draws stands in two lists with the same memory.
                key = (index, process.pid, process.gpuInstanceId, process.computeInstanceId)
                held[key] = _larger(held.get(key, 0), process.usedGpuMemory)
        if not held:
            self._reason = self._why = NO_PROCESS if _has_the_drivers_numbers() else OTHER_NUMBERS
            return None
        self._seen_on |= seen_on
        self._processes = max(self._processes, len({pid for _, pid, _, _ in held}))
        known = [used for used in held.values() if used is not None]
        if len(known) < len(held):
            self._failed += 1
            self._reason = self._why = NOT_AVAILABLE
            return None
        self._samples += 1
        self._largest = max(self._largest or 0, sum(known))
        return sum(known)


def together(readings: Sequence[VramReading]) -> VramReading:
    """The GPU memory of several engines: the sum of their peaks, unknown when one of them is.

    Raises ValueError for no reading at all.
    """
    if not readings:
        raise ValueError("there is no reading to add up")
    if len(readings) == 1:
        return readings[0]
    unknown = next((reading for reading in readings if reading.peak_bytes is None), None)
    if unknown is not None:
        return unknown
    return VramReading(
        peak_bytes=sum(reading.peak_bytes or 0 for reading in readings),
        samples=min(reading.samples for reading in readings),
        failed_samples=sum(reading.failed_samples for reading in readings),
        processes=sum(reading.processes for reading in readings),
        devices=tuple(dict.fromkeys(name for reading in readings for name in reading.devices)),
    )


def _has_the_drivers_numbers() -> bool:
    """Whether processes have the numbers here that the driver knows them by."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == INITIAL_PID_NAMESPACE
    except OSError:  # no Linux: there are no name spaces
        return True


def _running(nvml: ModuleType, handle: Any) -> list[Any]:
    """The processes that compute on a GPU, and those that draw where the driver tells them."""
    found = list(nvml.nvmlDeviceGetComputeRunningProcesses(handle))
    # A GPU that only computes has no such list.
    with contextlib.suppress(nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):
        found += nvml.nvmlDeviceGetGraphicsRunningProcesses(handle)
    return found


def _larger(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)
