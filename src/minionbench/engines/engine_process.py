"""The process that an embedded engine lives in: its start, what it says, its end, its last words."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from minionbench import clock, units
from minionbench.engines.foreign import one_line
from minionbench.errors import DeploymentError
from minionbench.exchange import Secret

COMMAND = (sys.executable, "-P", "-m", "minionbench.engines.llamacpp_child")
"""-P: no module is taken from the current folder."""
TERMINATE_S = 2.0
"""Between asking the engine to end and killing it."""
KILL_S = 10.0
"""For the kernel to take down a killed process, with all its memory."""
LAST_WORDS = 6
"""Lines of the log in a message."""
MAX_REPORT_BYTES = 65_536


def new_log(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1_000):
            path = folder / ("engine.log" if number == 1 else f"engine-{number}.log")
            try:
                path.touch(0o600, exist_ok=False)
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise DeploymentError(f"The engine's log cannot be written to {folder}: {error}") from error
    raise DeploymentError(f"{folder} is full of engine logs; give another folder")


def spawn(log_path: Path) -> subprocess.Popen[bytes]:
    command = list(COMMAND)
    # The signal comes when the *thread* that started the child ends, so only the main one will do.
    if threading.current_thread() is threading.main_thread():
        command.append("--die-with-parent")
    # An assertion of ggml's would else start a debugger on itself to print a backtrace.
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1"}
    try:
        with log_path.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                bufsize=0,
                start_new_session=True,  # Ctrl-C in the terminal is for the harness alone
            )
    except OSError as error:
        raise DeploymentError(f"The engine's process cannot be started: {error}") from error


def await_report(
    process: subprocess.Popen[bytes], settings: dict[str, Any], key: Secret, deadline_ns: int
) -> dict[str, Any]:
    """What the child says once it has loaded the model; empty when it ended without a word.

    `{"error": "timeout"}` when it says nothing in time.
    """
    assert process.stdin is not None and process.stdout is not None
    line = json.dumps({**settings, "key": key.reveal()}).encode() + b"\n"
    # When it has ended already, what it reported, if anything, says why.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(line)
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not said.endswith(b"\n") and len(said) < MAX_REPORT_BYTES:
            left_ns = deadline_ns - clock.monotonic_ns()
            if left_ns <= 0 or not selector.select(units.seconds(left_ns)):
                if clock.monotonic_ns() >= deadline_ns:
                    return {"error": "timeout"}
                continue
            piece = os.read(process.stdout.fileno(), 4_096)
            if not piece:
                break
            said += piece
    try:
        report = json.loads(said)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def end(process: subprocess.Popen[bytes]) -> None:
    """Asks the process to end, kills its whole group if it does not, and reaps it."""
    try:
        if process.poll() is None:
            process.terminate()
            if wait(process, TERMINATE_S) is None:
                os.killpg(process.pid, signal.SIGKILL)
                if wait(process, KILL_S) is None:
                    raise DeploymentError(
                        f"The engine (process {process.pid}) cannot be killed: a driver holds it. "
                        "It may need a restart of the machine"
                    )
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def wait(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None


def how_it_ended(code: int | None, oom_kills_before: int | None) -> str:
    """The rest of a sentence that begins with "The engine"."""
    if code is None:
        return "hangs."
    if code >= 0:
        return f"ended by itself with exit code {code}."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if -code == signal.SIGKILL:
        now = oom_kills()
        if now is not None and oom_kills_before is not None and now > oom_kills_before:
            return (
                "was killed (SIGKILL) while the kernel ran out of memory: take a smaller model or "
                "format, a shorter context or fewer slots."
            )
        return (
            "was killed (SIGKILL), not by minionbench: by somebody, or for want of memory "
            "(`dmesg` or the container's log tells)."
        )
    if -code == signal.SIGILL:
        return "crashed (SIGILL): this processor lacks instructions that it was built for."
    if -code in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE):
        return f"crashed ({name})."
    return f"was ended by {name}."


def oom_kills() -> int | None:
    """Processes that Linux has killed for want of memory since it started; None elsewhere."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return None


def with_last_words(sentence: str, log_path: Path) -> str:
    """The sentence, then the end of the engine's log and where the rest is."""
    words = last_words(log_path)
    if not words:
        return f"{sentence} The engine left nothing in its log, {log_path}"
    return "\n".join(
        [f"{sentence} The engine's last words, from {log_path}:", *(f"  {w}" for w in words)]
    )


def last_words(log_path: Path) -> list[str]:
    """The last lines of the engine's log that tell something, each once; errors before all else."""
    try:
        with log_path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16_384))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    told = [one_line(line) for line in lines if line.strip()]
    errors = [line for line in told if " E " in line[:24]]
    unstamped = [line.partition(" E ")[2] for line in errors] or told
    return list(dict.fromkeys(unstamped))[-LAST_WORDS:]
