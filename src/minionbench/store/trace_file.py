"""The trace's file: what meters say is on it as they say it, so that a kill loses none of it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

from minionbench.clock import monotonic_ns, utc_now
from minionbench.errors import SchemaError, SetupError
from minionbench.store.line_file import cut_torn_line
from minionbench.traces import Begun, Fact, Trace, decode_facts, encode_fact

TRACES = "traces.jsonl"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class TraceFile:
    """Facts of a trace, appended as they come; those kept together are one write.

    The file is made with the first fact. A torn last line that a killed process has left there is
    cut off before.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet."""
        self.path = path
        self._lock = threading.Lock()
        self._file: int | None = None
        self._closed = False
        self._size = 0

    def keep(self, *facts: Fact) -> None:
        """Puts facts on file.

        Raises SetupError when they cannot be written, as on a full disk; those before are kept.
        """
        content = b"".join(map(encode_fact, facts))
        with self._lock:
            if self._closed:
                return
            try:
                if self._file is None:
                    self._file = self._opened()
                written = os.write(self._file, content)
                if written != len(content):
                    # What follows has to begin a line of its own.
                    os.ftruncate(self._file, self._size)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                raise SetupError(
                    f"What the meters say cannot be written to {self.path}: {error.strerror}. Make "
                    "room, or leave the meters out with --no-meters"
                ) from error
            self._size += written

    @property
    def size(self) -> int:
        """Bytes on file; whoever reads from here on finds what is kept from now on."""
        with self._lock:
            if self._file is None and not self._closed and self.path.exists():
                self._file = self._opened()
            return self._size

    def close(self) -> None:
        """Keeps nothing any more; what was kept stays."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _opened(self) -> int:
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            cut_torn_line(file)
            self._size = os.fstat(file).st_size
        except OSError:
            os.close(file)
            raise
        return file


def begun() -> Begun:
    """The beginning of a stretch of measuring, now."""
    return Begun(monotonic_ns(), utc_now().isoformat(timespec="milliseconds"), boot_id())


def boot_id() -> str | None:
    """Which start of the machine the monotonic clock counts from; None where that is not known."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None


def read_facts(path: Path) -> list[Fact]:
    """All facts of a trace's file; none where there is no such file.

    Raises SchemaError when it is damaged, SetupError when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return list(decode_facts(file))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SetupError(f"The trace {path} cannot be read: {error.strerror}") from error
    except SchemaError as error:
        raise SchemaError(f"{path} is damaged: {error}") from error


def read_trace(path: Path, since: int = 0) -> Trace | None:
    """The trace in a file, from its byte `since` on; None where there is no such file.

    Raises SchemaError when it is damaged, SetupError when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            file.seek(since)
            return Trace.of(decode_facts(file))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SetupError(f"The trace {path} cannot be read: {error.strerror}") from error
    except SchemaError as error:
        raise SchemaError(f"{path} is damaged: {error}") from error
