"""Which cores an engine computes on, so that it and the harness keep out of each other's way."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")


def usable_cpus() -> tuple[int, ...]:
    """Cores that this process may run on, in ascending order; all of them where it is not told."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def cpu_quota(root: Path = CGROUP_ROOT, membership: Path = Path("/proc/self/cgroup")) -> int | None:
    """Whole cores of CPU time that a container grants, at least 1; None where there is no limit.

    A container with a quota still sees every core of its machine; an engine with a thread for
    each of them is throttled for most of the time. The limit of each control group from our own up
    to the root counts, so the smallest is taken.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst, cpu.max.
    """
    try:
        own = membership.read_text().strip().splitlines()[-1].partition("::")[2]
    except (OSError, IndexError):
        return None
    group = root / own.strip("/")
    quotas = []
    for folder in (group, *group.parents):
        if not folder.is_relative_to(root):
            break
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if quota != "max":
            quotas.append(max(1, int(quota) // int(period)))
    return min(quotas, default=None)


def default_threads(cpus: Sequence[int], quota: int | None) -> int:
    """One less than the cores there are, at least 1.

    With as many threads as cores, whatever else runs makes every thread wait at each layer's
    barrier for the one that has lost its core: a decode rate of 2,000 tokens/s fell to 15.
    """
    cores = len(cpus) if quota is None else min(len(cpus), quota)
    return max(1, cores - 1)


def engine_cpus(cpus: Sequence[int], threads: int) -> tuple[int, ...]:
    """Cores for an engine: the last of `cpus`, all but one of them, or all if its threads need all.

    The first core stays free for the harness. With a single core they share it.
    """
    wanted = max(len(cpus) - 1, min(threads, len(cpus)), 1)
    return tuple(cpus[-wanted:])
