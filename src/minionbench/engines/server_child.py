"""The keeper of a server that is a program of somebody else's: it outlives neither it nor us.

Started as `python -m minionbench.engines.server_child` by `hugging_face.py`. Standard input brings
one line of JSON with the server's command and settings, and then stays open: its end means that
the harness is gone. Standard output takes one line of JSON back, with the server's process id.
What the server writes goes to standard error, which is the log.

The keeper ends the server, and whatever that has started, when the harness goes away or SIGTERM
comes. When the server ends by itself, the keeper ends in the same way: with its exit code, or by
the signal that ended it. Should the keeper be killed, Linux kills the server.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

from minionbench.engines.llamacpp_child import (
    HARNESS_GONE,
    die_with_parent,
    limit_memory,
    pin,
    read_settings,
    wait_for_end,
)

PR_SET_CHILD_SUBREAPER = 36
CANNOT_START = 5
"""Exit code."""
GRACE_S = 1.0
"""Between asking the server to end and killing it; the harness waits longer for the keeper."""
AWAITED = (signal.SIGTERM, signal.SIGCHLD)


def main() -> int:
    """Keeps the server until it or the harness ends."""
    # No signal of the kernel's ends the keeper with the harness (`--die-with-parent`): it has to
    # outlive it for a moment, to take down all that the server has started.
    settings = read_settings(0)
    if settings is None or os.getppid() != settings["parent_pid"]:
        return HARNESS_GONE
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    _adopt_orphans()
    report = os.dup(1)
    os.dup2(2, 1)
    cpus = pin(settings["cpus"])
    try:
        server = subprocess.Popen(
            settings["command"],
            stdin=subprocess.DEVNULL,
            env=_environment(settings),
            preexec_fn=lambda: _prepare(settings),
        )
    except OSError as error:
        _tell(report, {"error": "start", "message": str(error)})
        return CANNOT_START
    _tell(report, {"pid": server.pid, "cpus": cpus})
    threading.Thread(target=_watch_harness, daemon=True).start()
    while server.poll() is None:
        if signal.sigwait(AWAITED) == signal.SIGTERM:
            server.terminate()
            try:
                server.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    _kill_all_below()
    return _end_alike(server.returncode)


def _environment(settings: dict[str, Any]) -> dict[str, str]:
    environment = {**os.environ, **settings["environment"]}
    if settings["key_variable"] is not None:
        environment[settings["key_variable"]] = settings["key"]
    return environment


def _prepare(settings: dict[str, Any]) -> None:
    """Runs in the server's process before its program does."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
    die_with_parent()
    limit_memory(settings["memory_limit_bytes"])


def _watch_harness() -> None:
    wait_for_end(0)
    os.kill(os.getpid(), signal.SIGTERM)


def _adopt_orphans() -> None:
    """Has Linux make this process the parent of what the server leaves behind."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1)


def _kill_all_below() -> None:
    import psutil

    for process in psutil.Process().children(recursive=True):
        try:
            process.kill()
        except psutil.Error:
            continue  # it ended by itself


def _end_alike(code: int) -> int:
    """The exit code to end with; does not return when the server was ended by a signal."""
    if code >= 0:
        return code
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if -code not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-code, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
    os.kill(os.getpid(), -code)
    return 128 - code


def _tell(descriptor: int, report: dict[str, Any]) -> None:
    try:
        os.write(descriptor, json.dumps(report).encode() + b"\n")
        os.close(descriptor)
    except OSError:
        os._exit(HARNESS_GONE)  # nobody is left to be told


if __name__ == "__main__":
    sys.exit(main())
