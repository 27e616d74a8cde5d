"""Locks that end with their process, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def lock(path: Path) -> int | None:
    """Makes the file and holds it locked; returns the descriptor.

    The kernel releases the lock when the last copy of the descriptor is closed. None where the
    file system knows no locks: the run works, but nobody can tell whether it is alive.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        # It waits: somebody who lists the runs may be asking for an instant whether it is held.
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        os.close(file)
        return None
    return file


def is_locked(path: Path) -> bool:
    """Whether a process holds the file locked; False when there is no such file."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False
