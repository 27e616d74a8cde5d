"""Locks that end with their process, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from minionbench import clock

TRIES = 20
PAUSE_S = 0.01
"""Between two tries: somebody who lists the runs asks for an instant whether a file is locked."""


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


def take(path: Path, *, of_all_users: bool = False) -> int:
    """Locks a file that may be there already, and returns the descriptor.

    With `of_all_users` the file is one for every user of the machine, in a folder into which
    anybody may put anything; the descriptor may then be one that cannot be written to.

    Raises BlockingIOError when another process holds it, another OSError when it cannot be made or
    locked, or is no plain file.
    """
    for attempt in range(TRIES):
        if attempt:
            clock.sleep_s(PAUSE_S)
        if of_all_users:
            try:
                file = open_of_all_users(path)
            except FileNotFoundError:
                if not path.parent.is_dir():
                    raise
                continue  # somebody removed it just now
        else:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have removed the file while it was being opened here.
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError:
            os.close(file)
            raise
        os.close(file)
    raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), str(path))


def open_of_all_users(path: Path) -> int:
    """Opens a file that any user may have made, or makes it for all of them.

    Links are not followed, and nothing but a plain file of one name is taken: what is written here
    would else change somebody's file. Raises OSError for all others.
    """
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o666)
        os.fchmod(file, 0o666)
    except FileExistsError:
        # Without O_CREAT, which Linux refuses for a file of somebody else's in such a folder.
        try:
            file = os.open(path, os.O_RDWR | flags)
        except PermissionError:
            file = os.open(path, os.O_RDONLY | flags)
    about = os.fstat(file)
    if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
        os.close(file)
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
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
