"""Short questions to programs of the machine, none of which may hold up a run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

TIMEOUT_S = 5.0
"""How long a program may take to answer."""


def ask(
    command: Sequence[str], *, folder: Path | None = None, timeout_s: float = TIMEOUT_S
) -> str | None:
    """What a program writes to its standard output.

    None when it is not installed, fails, or takes longer than `timeout_s`; it is then killed,
    with whatever it has started.
    """
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        process = subprocess.Popen(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError:
        return None
    assert process.stdout is not None
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if isinstance(error, subprocess.TimeoutExpired):
            return None
        raise
    return output.decode(errors="replace") if process.returncode == 0 else None
