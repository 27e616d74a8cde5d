"""Memory that the kernel charges to a control group which holds nothing but the engine.

Such a group is somebody else's work: a container, or `systemd-run --scope`. Where the engine has
one to itself, the kernel's own peak of it is a cross-check of what was sampled; it also counts
pages of files that the engine read, and the kernel's memory for it.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst (memory.peak) and cgroup-v1/memory.rst.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")


def owned_peak_bytes(
    tree: Collection[int], *, proc: Path = PROC, groups: Path = GROUPS
) -> int | None:
    """The peak of the control group of a process tree, in bytes.

    None where the tree shares its group with others, has none, or the kernel keeps no peak of it.
    """
    folder = next((found for pid in tree if (found := _folder(pid, proc, groups))), None)
    if folder is None:
        return None
    try:
        members = {int(pid) for pid in (folder / "cgroup.procs").read_text().split()}
        if not members or not members <= set(tree):
            return None
        for name in ("memory.peak", "memory.max_usage_in_bytes"):
            if (folder / name).exists():
                return int((folder / name).read_text())
    except (OSError, ValueError):
        pass
    return None


def _folder(pid: int, proc: Path, groups: Path) -> Path | None:
    """Where the group that a process's memory is charged to lies; None at the root of all."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        below = path.lstrip("/")
        if not below or ".." in Path(below).parts:
            continue
        if controllers == "memory":
            return groups / "memory" / below
        if not controllers and (groups / below / "memory.peak").exists():
            return groups / below
    return None
