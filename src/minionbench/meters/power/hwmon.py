"""The kernel's hardware monitors: a folder for each chip, a file for each of its figures.

Source: Linux, Documentation/hwmon/sysfs-interface.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

MOST_BYTES = 256
"""Of a figure; the kernel's have no more than twenty digits."""


def chips(root: Path, names: Iterable[str]) -> tuple[Path, ...]:
    """The folders of the chips of these names, in the order of their numbers."""
    wanted = set(names)
    try:
        folders = [folder for folder in root.iterdir() if chip_name(folder) in wanted]
    except OSError:  # no such tree: no Linux, or a container that shows none
        return ()
    return tuple(sorted(folders, key=lambda folder: (len(folder.name), folder.name)))


def chip_name(folder: Path) -> str | None:
    """What a chip's driver calls it; None where it does not say."""
    return text_of(folder / "name")


def text_of(path: Path) -> str | None:
    """The text of a file; None where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_small(path: Path) -> bytes:
    """What a file of a few bytes holds, in half the time that Python's own files take.

    Opened anew each time: the file of a device that is gone is gone as well. Raises OSError.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, MOST_BYTES)
    finally:
        os.close(file)


class Unreadable(Exception):
    """A figure that could not be read; the message says why."""


def figure(path: Path) -> int:
    """The whole number that a file shows.

    Raises Unreadable where it cannot be read, or shows something else.
    """
    try:
        return int(read_small(path))
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.strerror}") from error
    except ValueError:
        raise Unreadable(f"{path.name} shows no whole number") from None
