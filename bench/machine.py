"""What machine a figure was measured on, without naming it."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe_machine() -> dict[str, object]:
    """Kind, cores, kernel, interpreter, and how busy the machine was while the figure was taken."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "kernel": platform.release().split("-")[0],
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_average_1_min": round(os.getloadavg()[0], 2),
    }


def stolen_cpu_s() -> float | None:
    """CPU time that the hypervisor has taken from this machine since it started, all cores.

    None where the kernel does not tell. Source: proc(5), the eighth figure of /proc/stat's `cpu`
    line, in ticks.
    """
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return None
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")
