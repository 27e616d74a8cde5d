"""A meter at the wall, read by a program of the user's: the energy of everything behind the plug.

The program prints one JSON object per line, `{"watts": 87.3}`; other members are left aside. A line
counts from the instant at which it came, so that the program has to print each reading as it takes
it, and not keep it in a buffer. It is started without a shell, ends with this one, and has to give
its first reading within some seconds. Instead of being started here it may append its lines to a
file, of which those that come after the beginning are read.

A line that is no reading, an end of the program and a silence are told in place of a value; none
of them is ever taken for a reading. Of lines that come at once, since the program kept them back,
the last one counts: when the others were taken nobody knows. What a line held is told when the
meter is opened, and never kept: a program may well print a password.
"""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from minionbench.clock import monotonic_ns, sleep_s
from minionbench.errors import MeterError
from minionbench.meters.power.meter import Found, PowerSettings
from minionbench.metrics.meter_reading import MOST_PLAUSIBLE_W
from minionbench.traces import Look, Stream
from minionbench.units import NS_PER_MS, NS_PER_S, duration, seconds, significant

COMMAND_NAME = "wall meter (--meter-command)"
FILE_NAME = "wall meter (--meter-file)"
STREAM_ID = "wall"
FIRST_READING_NS = 10 * NS_PER_S
"""Within which a meter has to show that it works."""
SILENCE_NS = 3 * NS_PER_S
"""After which a meter is said to be silent."""
TERMINATE_S = 2.0
AT_ONCE_NS = 5 * NS_PER_MS
"""Two lines that are no farther apart were written together."""
LONGEST_LINE = 4_096
STEP_S = 0.02
FORM = 'lines like {"watts": 87.3}'
KEPT_BACK = "another reading came at once, and counts: the program has to flush each line"
_PR_SET_PDEATHSIG = 1
_PIPES = frozenset(("|", "||", "&&", "&", ">", ">>", "<", "2>&1"))
"""Words that only a shell understands."""


class _Line(msgspec.Struct):
    """A reading, as a line has it."""

    watts: float


_decode = msgspec.json.Decoder(_Line).decode


def find(wanted: PowerSettings) -> tuple[Found, ...]:
    """The meter that the user named, once it has given a reading; nothing where none was named.

    Raises MeterError when it gives none.
    """
    meter: WallMeter
    if wanted.command is not None:
        name, meter = COMMAND_NAME, CommandMeter(wanted.command)
    elif wanted.file is not None:
        name, meter = FILE_NAME, FileMeter(wanted.file)
    else:
        return ()
    try:
        meter.wait()
    except BaseException:  # Ctrl-C too: the meter's program would go on
        meter.close()
        raise
    resolution = "as often as it tells"
    return (Found(name=name, status="measured", resolution=resolution, meter=meter),)


def watts_of(line: bytes) -> float | str:
    """What a line says, or why it is no reading."""
    try:
        watts = _decode(line).watts
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return f"a line is no reading ({FORM})"
    if not 0 < watts <= MOST_PLAUSIBLE_W:
        said = significant(watts) if math.isfinite(watts) else str(watts)
        return f"a line tells {said} W, which is no power of a machine that runs"
    return watts


class WallMeter:
    """Power at the wall, by lines that come from somewhere."""

    def __init__(self, method: str) -> None:
        """`method` says where the lines come from."""
        self._stream = Stream(
            stream_id=STREAM_ID,
            quantity="power",
            unit="mW",
            covers="the machine at the wall",
            scope="wall",
            method=method,
        )
        self._came: deque[tuple[int, bytes]] = deque()
        """(instant, line) of what has come and was not looked at."""
        self._heard_ns = monotonic_ns()
        self._complained_ns = 0
        self.closed = False

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The one of power."""
        return (self._stream,)

    def look(self) -> tuple[Look, ...]:
        """The readings that have come since the last look; where there are none for long, why."""
        if self.closed:
            return ()
        self._gather()
        looks: list[Look] = []
        last: int | None = None
        while self._came:
            at_ns, line = self._came.popleft()
            self._heard_ns = at_ns
            watts = watts_of(line)
            if isinstance(watts, str):
                looks.append(Look(STREAM_ID, at_ns, None, watts))
            else:
                if last is not None and at_ns - looks[last].at_ns <= AT_ONCE_NS:
                    looks[last] = Look(STREAM_ID, looks[last].at_ns, None, KEPT_BACK)
                last = len(looks)
                looks.append(Look(STREAM_ID, at_ns, max(1, round(watts * 1_000))))
        if not looks:
            looks = self._complaint(monotonic_ns())
        return tuple(looks)

    def wait(self) -> None:
        """Waits for the first reading, which is not used.

        Raises MeterError when none comes in time.
        """
        until_ns = monotonic_ns() + FIRST_READING_NS
        refused: str | None = None
        while True:
            # In this order: what came just before an end is not overlooked.
            ended = self.ended()
            self._gather()
            while self._came:
                _, line = self._came.popleft()
                watts = watts_of(line)
                if not isinstance(watts, str):
                    self._heard_ns = monotonic_ns()
                    return
                refused = f"{watts}: {_shown(line)}"
            late = monotonic_ns() >= until_ns
            if ended is not None or late:
                said = ended or f"it gave no reading within {duration(seconds(FIRST_READING_NS))}"
                told = "" if refused is None else f"; {refused}"
                raise MeterError(
                    f"The meter ({self._stream.method}) cannot be read: {said}{told}. It has to "
                    f"print {FORM}, each as it is taken; docs/energy.md has examples."
                )
            sleep_s(STEP_S)

    def ended(self) -> str | None:
        """Why nothing more will come; None while something may."""
        return None

    def close(self) -> None:
        """Reads no more."""
        self.closed = True

    def _gather(self) -> None:
        """Puts what has come into `_came`."""

    def _complaint(self, now_ns: int) -> list[Look]:
        """Why there is nothing, once a second."""
        if now_ns - self._complained_ns < NS_PER_S:
            return []
        why = self.ended()
        if why is None:
            silent_ns = now_ns - self._heard_ns
            if silent_ns < SILENCE_NS:
                return []
            why = f"the meter has been silent for {duration(seconds(silent_ns))}"
        self._complained_ns = now_ns
        return [Look(STREAM_ID, now_ns, None, why)]


class CommandMeter(WallMeter):
    """A meter whose program is started here, and ended with this one."""

    def __init__(self, command: str) -> None:
        """Starts the program.

        Raises MeterError when it cannot be started.
        """
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise MeterError(f"--meter-command is no command: {error}") from error
        if not words:
            raise MeterError("--meter-command names no program")
        if _PIPES.intersection(words):
            raise MeterError(
                "--meter-command is started without a shell, which alone knows what | and > mean: "
                "give it to one, as --meter-command \"sh -c '… | …'\""
            )
        # Its arguments may hold a password of the meter's.
        super().__init__(f"the command {Path(words[0]).name}")
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the meter
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                start_new_session=True,  # Ctrl-C in the terminal is for the harness alone
                preexec_fn=_die_with_parent(),
            )
        except OSError as error:
            self._errors.close()
            raise MeterError(
                f"The meter's command {words[0]} cannot be started: {error.strerror}. It is "
                "started without a shell: give the program's path"
            ) from error
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), name="wall meter", daemon=True
        )
        self._reader.start()

    def ended(self) -> str | None:
        """How the program ended, with its last words; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        self._reader.join(TERMINATE_S)
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        words = self._last_words()
        return f"its command ended with {how}{f': {words}' if words else ''}"

    def close(self) -> None:
        """Ends the program and whatever it has started."""
        if self.closed:
            return
        super().close()
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(TERMINATE_S)
                break
        self._reader.join(TERMINATE_S)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()
        self._errors.close()

    def _read(self, output: IO[bytes]) -> None:
        """Stamps lines as they come, until the program closes its output."""
        begun = b""
        while True:
            try:
                piece = os.read(output.fileno(), LONGEST_LINE)
            except (OSError, ValueError):
                return
            if not piece:
                return
            at_ns = monotonic_ns()
            *lines, begun = (begun + piece).split(b"\n")
            self._came.extend((at_ns, line) for line in lines if line.strip())
            if len(begun) > LONGEST_LINE:
                self._came.append((at_ns, begun))
                begun = b""

    def _last_words(self) -> str:
        try:
            size = self._errors.seek(0, os.SEEK_END)
            self._errors.seek(max(0, size - LONGEST_LINE))
            lines = [line for line in self._errors.read().splitlines() if line.strip()]
        except ValueError:
            return ""
        return _shown(lines[-1]) if lines else ""


class FileMeter(WallMeter):
    """A meter whose program appends to a file."""

    def __init__(self, path: Path) -> None:
        """Opens the file at its end.

        Raises MeterError when it cannot be opened.
        """
        super().__init__(f"the file {path.name}")
        self._path = path
        try:
            self._file = path.open("rb")
            self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise MeterError(
                f"--meter-file {path} cannot be read: {error.strerror}. Start the program that "
                "writes it first"
            ) from error
        self._begun = b""

    def ended(self) -> str | None:
        """What became of the file, where nothing is added to it any more; None while it is there.

        Whoever rotates it has the readings go to another one, of which nobody knows where it began.
        """
        try:
            there, here = self._path.stat(), os.fstat(self._file.fileno())
        except OSError as error:
            return f"its file is gone: {error.strerror}"
        if not os.path.samestat(there, here):
            return "its file was replaced by another one"
        return "its file was cut off" if here.st_size < self._file.tell() else None

    def close(self) -> None:
        """Closes the file."""
        super().close()
        self._file.close()

    def _gather(self) -> None:
        try:
            content = self._file.read()
        except OSError:
            return
        at_ns = monotonic_ns()
        *lines, self._begun = (self._begun + content).split(b"\n")
        # All of them came since the last look, and the last one holds now.
        self._came.extend((at_ns, line) for line in lines[-1:] if line.strip())


def _shown(line: bytes) -> str:
    """The beginning of a line, as a person can read it."""
    text = line[:120].decode("utf-8", "replace").strip()
    return "".join(c if c.isprintable() else "�" for c in text)


def _die_with_parent() -> Callable[[], object] | None:
    """What has the kernel end the program with this one; None where there is no such thing."""
    # The signal comes when the *thread* that started the child ends: only the main one will do.
    if not sys.platform.startswith("linux"):
        return None
    if threading.current_thread() is not threading.main_thread():
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
