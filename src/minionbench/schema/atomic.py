"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from minionbench.errors import SetupError

WORTH_WRITING = 1 << 20
"""Bytes that are gathered before they are written."""


def write_atomically(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Writes a file so that no reader, and no crash, ever sees a part of it.

    The content, whole or in pieces, goes to a temporary file in the same folder, is forced to the
    disk, and takes the name in one step. The file's permissions are what the umask leaves of 0666.

    Raises SetupError when it cannot be written; what was at `path` is then still there.
    """
    # The name begins with a dot, so that it never matches the pattern of finished documents.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_INHERIT, 0o666)
        try:
            try:
                for piece in (content,) if isinstance(content, bytes) else _gathered(content):
                    _write_all(file, piece)
                os.fsync(file)
            finally:
                os.close(file)
            os.replace(temporary, path)
        except BaseException:  # Ctrl-C too: no half-written file is left behind
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(path.parent)
    except (OSError, ValueError) as error:
        raise SetupError(f"{path} could not be written: {reason(error)}") from error


_NO_INHERIT = getattr(os, "O_CLOEXEC", 0)


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth a call of the system."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= WORTH_WRITING:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


def _write_all(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def sync_folder(folder: Path) -> None:
    """Forces the names in a folder to the disk, where the system can do so."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def reason(error: Exception) -> str:
    """What the operating system says went wrong, without its number and file name."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
