"""A lock for those who change one file: whoever comes second waits for the first."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minionbench.clock import monotonic_ns, sleep_s
from minionbench.errors import SetupError
from minionbench.registry.reading import why
from minionbench.units import NS_PER_S

LONGEST_WAIT_S = 30.0
"""A change takes milliseconds: whoever holds the lock for longer is stopped or stuck."""
_POLL_S = 0.02


@contextmanager
def locked(path: Path, longest_wait_s: float = LONGEST_WAIT_S) -> Iterator[None]:
    """Holds a lock file for the time of the block; the kernel releases it with the process.

    The file stays: removing it would let a third one lock a new file beside it.

    Raises SetupError when the file cannot be made or locked, or others hold it for too long.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except (OSError, ValueError) as error:
        raise SetupError(f"The lock {path} cannot be made: {why(error)}") from error
    try:
        _wait(file, path, longest_wait_s)
        yield
    finally:
        os.close(file)


def _wait(file: int, path: Path, longest_wait_s: float) -> None:
    deadline = monotonic_ns() + int(longest_wait_s * NS_PER_S)
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if monotonic_ns() >= deadline:
                raise SetupError(
                    f"Another program has held {path} for {longest_wait_s:g} s. Nothing was "
                    "changed; end it, and try again."
                ) from error
        except OSError as error:
            raise SetupError(
                f"The file system of {path} knows no locks ({why(error)}), so that the registry "
                "cannot be changed safely there."
            ) from error
        sleep_s(_POLL_S)
