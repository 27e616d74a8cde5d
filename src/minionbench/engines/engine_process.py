"""The process that an embedded engine lives in: its start, its end and its last words."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minionbench import clock, units
from minionbench.engines.foreign import one_line
from minionbench.errors import DeploymentError
from minionbench.exchange import Secret

COMMAND = (sys.executable, "-P", "-m", "minionbench.engines.llamacpp_child")
"""-P: no module is taken from the current folder."""
TERMINATE_S = 2.0
"""Between asking the process to end and killing it."""
KILL_S = 10.0
"""For the kernel to take down a killed process, with all its memory."""
LAST_WORDS = 6
"""Lines of the log in a message."""
LAST_BYTES = 16_384
"""Of the log that they are looked for in."""
MAX_LOGS = 1_000
"""Logs of engines in one folder."""
MAX_REPORT_BYTES = 65_536


class EngineProcess:
    """A child process in a session of its own, with its standard error going to a log.

    It dies with this one: on Linux by a signal of the kernel's, and everywhere by the end of its
    standard input, which nobody but this process holds open.
    """

    def __init__(self, log_folder: Path, command: Sequence[str] | None = None) -> None:
        """Starts the process: the embedded engine's, or that of a command.

        The command has to take `--die-with-parent`.

        Raises:
            DeploymentError: it cannot be started, or its log cannot be written.
        """
        self.log_path = _new_log(log_folder)
        self._oom_kills = oom_kills()
        self.stopped = False
        """Whether it was ended from here."""
        command = COMMAND if command is None else command
        # The signal comes when the *thread* that started the child ends: only the main one will do.
        if threading.current_thread() is threading.main_thread():
            command = [*command, "--die-with-parent"]
        # An assertion of ggml's would else start a debugger on itself to print a backtrace.
        environment = {**os.environ, "GGML_NO_BACKTRACE": "1"}
        try:
            with self.log_path.open("ab") as log:
                self._process = subprocess.Popen(
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

    @property
    def pid(self) -> int:
        """Its process id, also after its end."""
        return self._process.pid

    def converse(self, settings: dict[str, Any], key: Secret, deadline_ns: int) -> dict[str, Any]:
        """Sends the settings, and waits for the report that the model is loaded, or why it is not.

        Empty when the process ended without a word; `{"error": "timeout"}` when it says nothing
        until the deadline.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        line = json.dumps({**settings, "key": key.reveal()}).encode() + b"\n"
        # When it has ended already, what it reported, if anything, says why.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line)
        said = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not said.endswith(b"\n") and len(said) < MAX_REPORT_BYTES:
                left_ns = deadline_ns - clock.monotonic_ns()
                if left_ns <= 0:
                    return {"error": "timeout"}
                if selector.select(units.seconds(left_ns)):
                    piece = os.read(self._process.stdout.fileno(), 4_096)
                    if not piece:
                        break
                    said += piece
        try:
            report = json.loads(said)
        except ValueError:
            return {}
        return report if isinstance(report, dict) else {}

    def is_alive(self) -> bool:
        """Whether it still runs; one that has ended is reaped."""
        return self._process.poll() is None

    def how_it_ended(self, timeout_s: float = 0.0) -> str | None:
        """The rest of a sentence that begins with "The engine"; None while it runs.

        Waits for the end for `timeout_s` at most.
        """
        code = self._wait(timeout_s)
        if code is None:
            return None
        if self.stopped:
            return "was stopped."
        now = oom_kills()
        starved = now is not None and self._oom_kills is not None and now > self._oom_kills
        return ending(code, starved=starved)

    def end(self) -> None:
        """Asks it to end, kills its whole group if it does not, and reaps it; again does nothing.

        Raises:
            DeploymentError: even SIGKILL did not end it; a driver holds it in the kernel.
        """
        try:
            if self.is_alive():
                self.stopped = True
                self._process.terminate()
                if self._wait(TERMINATE_S) is None:
                    os.killpg(self.pid, signal.SIGKILL)
                    if self._wait(KILL_S) is None:
                        raise DeploymentError(
                            f"The engine (process {self.pid}) cannot be killed: a driver holds it. "
                            "It may need a restart of the machine"
                        )
        finally:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()

    def with_last_words(self, sentence: str) -> str:
        """The sentence, then the end of the log and where the rest of it is."""
        words = last_words(self.log_path)
        if not words:
            return f"{sentence} The engine left nothing in its log, {self.log_path}"
        return "\n".join(
            [
                f"{sentence} The engine's last words, from {self.log_path}:",
                *(f"  {word}" for word in words),
            ]
        )

    def _wait(self, timeout_s: float) -> int | None:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


def _new_log(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, MAX_LOGS):
            path = folder / ("engine.log" if number == 1 else f"engine-{number}.log")
            with contextlib.suppress(FileExistsError):
                path.touch(0o600, exist_ok=False)
                return path
    except OSError as error:
        raise DeploymentError(f"The engine's log cannot be written to {folder}: {error}") from error
    raise DeploymentError(f"{folder} is full of engine logs; give another folder")


def ending(code: int, *, starved: bool) -> str:
    """An exit code as the rest of a sentence; `starved` where the kernel has killed for memory."""
    if code >= 0:
        return f"ended by itself with exit code {code}."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if -code == signal.SIGKILL and starved:
        return (
            "was killed (SIGKILL) while the kernel ran out of memory: take a smaller model or "
            "format, a shorter context or fewer slots."
        )
    if -code == signal.SIGKILL:
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
        counters = Path("/proc/vmstat").read_text()
    except OSError:
        return None
    for line in counters.splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    return None


def last_words(log_path: Path) -> list[str]:
    """The last lines of a log that tell something, each once; errors before all else."""
    try:
        with log_path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - LAST_BYTES)
            file.seek(start)
            lines = file.read().decode("utf-8", "replace").splitlines()[1 if start else 0 :]
    except OSError:
        return []
    told = [one_line(line) for line in lines if line.strip()]
    errors = [line for line in told if " E " in line[:24]]
    unstamped = [line.partition(" E ")[2] for line in errors] or told
    return list(dict.fromkeys(unstamped))[-LAST_WORDS:]
