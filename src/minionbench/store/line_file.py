"""Files of lines that outlive a kill: each line is one write, and a torn last one is left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

BLOCK = 65_536
"""Bytes that are read at once in search of the last whole line."""


def append_line(path: Path, line: bytes, *, force: bool = True) -> None:
    """Puts a line, its newline included, at the end of a file, and forces it to the disk.

    Without `force` a power cut can take it, and nothing else: that is for lines that are written
    while requests are measured. A torn line that a killed process has left there is cut off first.
    Raises OSError when the line cannot be written whole, as on a full disk.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        cut_torn_line(file)
        if os.write(file, line) != len(line):
            raise OSError("no space left")
        if force:
            os.fsync(file)
    finally:
        os.close(file)


def whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file without a torn last one; none where there is no file.

    Raises OSError when it cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for line in content.splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield line


def cut_torn_line(file: int) -> None:
    """Cuts off what follows the last newline of an open file."""
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - BLOCK)
        found = os.pread(file, end - start, start).rfind(b"\n")
        end = start if found < 0 else start + found + 1
        if found >= 0:
            break
    os.ftruncate(file, end)
