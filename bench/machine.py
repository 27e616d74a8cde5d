"""What machine a figure was measured on, without naming it."""

from __future__ import annotations

import os
import platform


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
