"""One run of the registry benchmark at a time: two of them would measure each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from minionbench.clock import utc_now
from minionbench.errors import SetupError
from minionbench.store import state_dir, take

LOCK = "autobench.lock"
MOST_READ = 1_000
"""Bytes of the lock file that are read; its holder writes one line."""


@contextmanager
def machine_to_itself(doing: str) -> Iterator[None]:
    """Holds this user's lock while a run goes on; the kernel releases it however the run ends.

    Raises SetupError when another run holds it, saying which, or when there can be no lock.
    """
    path = state_dir() / LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = take(path)
    except BlockingIOError as error:
        with open(path, "rb") as held:
            who = held.read(MOST_READ).decode("utf-8", "replace").strip() or "another process"
        raise SetupError(
            f"The registry benchmark is running already, and two at once would measure each "
            f"other: {who}. Wait for its end."
        ) from error
    except OSError as error:
        raise SetupError(
            f"The lock {path} cannot be held: {error.strerror}. Set $MILTON_STATE_DIR to a folder "
            "that can be written."
        ) from error
    try:
        since = utc_now().isoformat(timespec="seconds")
        line = f"process {os.getpid()}, {doing}, since {since}\n"
        os.ftruncate(file, 0)
        with suppress(OSError):  # no room for the line: the lock is held all the same
            os.pwrite(file, line.encode(errors="replace"), 0)
        yield
    finally:
        os.ftruncate(file, 0)
        os.close(file)
