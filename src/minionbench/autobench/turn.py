"""One run of the registry benchmark at a time: two of them would measure each other.

The lock is the machine's, not a user's: its file lies where every user may write. The kernel
releases it with the process that holds it, so that none is ever left over.
"""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minionbench.clock import utc_now
from minionbench.engines.foreign import one_line
from minionbench.errors import SetupError
from minionbench.store import open_of_all_users, take

LOCK = "minionbench-autobench.lock"
FOLDER_VARIABLE = "MINIONBENCH_LOCK_DIR"
FOLDERS = (Path("/run/lock"), Path("/tmp"))
"""Where every user may write, and which no setting of a user's moves elsewhere."""
MOST_READ = 1_000
"""Bytes of the lock's file that are read; its holder writes one line."""
_EVERYBODYS = stat.S_ISVTX | stat.S_IRWXO
"""All may write, and nobody may remove what is another's."""


@contextmanager
def machine_to_itself(doing: str) -> Iterator[None]:
    """Holds the machine's lock while a run goes on; the kernel releases it however the run ends.

    Raises SetupError when another run holds it, saying which, or when there can be no lock.
    """
    path = _folder() / LOCK
    try:
        file = take(path, of_all_users=True)
    except BlockingIOError as error:
        raise SetupError(
            "The registry benchmark is running already on this machine, and two at once would "
            f"measure each other: {_holder(path)}. Wait for its end."
        ) from error
    except OSError as error:
        raise SetupError(
            f"The machine's lock {path} cannot be held: {error.strerror or error}{_whose(path)}. "
            f"Have it removed, or set ${FOLDER_VARIABLE} to a folder that all who measure on this "
            "machine can write."
        ) from error
    try:
        since = utc_now().isoformat(timespec="seconds")
        line = f"process {os.getpid()} of {_user(os.getuid())}, {doing}, since {since}\n"
        # No room for the line, or a file that another user keeps to himself: it is held all the
        # same.
        with suppress(OSError):
            os.ftruncate(file, 0)
            os.pwrite(file, line.encode(errors="replace"), 0)
        yield
    finally:
        with suppress(OSError):
            os.ftruncate(file, 0)
        os.close(file)


def _folder() -> Path:
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).absolute()
    for folder in FOLDERS:
        with suppress(OSError):
            if folder.stat().st_mode & _EVERYBODYS == _EVERYBODYS:
                return folder
    return Path(tempfile.gettempdir())


def _holder(path: Path) -> str:
    """Who holds the lock, by his own word; anybody can have written it."""
    try:
        file = open_of_all_users(path)
    except OSError:
        return "another process"
    try:
        words = os.read(file, MOST_READ).decode("utf-8", "replace")
    finally:
        os.close(file)
    return one_line(words) or "another process"


def _whose(path: Path) -> str:
    try:
        return f" (it belongs to {_user(path.lstat().st_uid)})"
    except OSError:
        return ""


def _user(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"
