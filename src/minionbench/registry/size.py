"""How large a model's files are."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from minionbench.registry.reading import why

MOST_FILES = 100_000
"""Files looked at in one model's folder. A folder with more is no model's, but `/` or the like."""


class Size(NamedTuple):
    """How large a model's files are."""

    bytes: int | None
    problem: str | None
    """Why the size is not known; None when it is."""


def model_size(path: Path) -> Size:
    """The size of a model: of its file, or of all files in its folder and the folders in that.

    Links are followed, since model caches are made of them; a file that is reached twice counts
    once. A part that cannot be looked at makes the size unknown: a sum without it would be wrong.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return _folder_size(path)
    except (OSError, ValueError) as error:
        where = getattr(error, "filename", None) or path
        return Size(None, f"{where} cannot be looked at: {why(error)}")
    if stat.S_ISREG(status.st_mode):
        return Size(status.st_size, None)
    return Size(None, f"{path} is neither a file nor a folder")


def _folder_size(folder: Path) -> Size:
    total = 0
    waiting = [os.fspath(folder)]
    # A link may lead to a folder above it, or to a file that another link leads to, too.
    seen: set[tuple[int, int]] = set()
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                status = os.stat(entry.path)
                identity = (status.st_dev, status.st_ino)
                if identity in seen:
                    continue
                seen.add(identity)
                if len(seen) > MOST_FILES:
                    return Size(None, f"{folder} holds more than {MOST_FILES} files")
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(entry.path)
                elif stat.S_ISREG(status.st_mode):
                    total += status.st_size
    return Size(total, None)
