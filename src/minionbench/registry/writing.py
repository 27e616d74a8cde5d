"""Changing the registry: locked, whole or not at all, with its last state kept beside it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from minionbench.errors import SetupError, UsageError
from minionbench.registry.lock import locked
from minionbench.registry.reading import parsed, why
from minionbench.registry.source import RegistrySource
from minionbench.schema import write_atomically

T = TypeVar("T")

BACKUP = ".bak"
"""Put after the registry's name: the file that holds the state before the last change."""
LOCK = ".lock"

_EMPTY = b"[\n]\n"


def change_registry(
    path: Path, change: Callable[[RegistrySource], T], *, create: bool = False
) -> T:
    """Lets `change` alter a registry and writes it; returns what `change` does.

    Those who change it wait for each other. The file is replaced in one step, so that no reader
    and no crash sees a part of it, and the state before lies in `registry.json.bak`. Where
    `change` alters nothing, nothing is written. With `create` an absent registry is an empty one.

    Raises:
        UsageError: there is no registry, or it cannot be read; also what `change` raises.
        SchemaError: it is not a JSON list.
        SetupError: it cannot be written, or a program that does not know the lock has changed it
            meanwhile. In each of these cases the registry is left as it is.
    """
    # A link is followed: replacing it by a file would part it from what it leads to.
    path = Path(os.path.realpath(path))
    if not create:
        _content(path)
    else:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"The folder {path.parent} cannot be made: {why(error)}") from error
    with locked(path.with_name(path.name + LOCK)):
        before = _content(path, absent_is_empty=create)
        source = RegistrySource(_EMPTY if before is None else before, path)
        result = change(source)
        if source.changed:
            _write(path, before, source.content())
        return result


def _content(path: Path, *, absent_is_empty: bool = False) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        if absent_is_empty:
            return None
        raise UsageError(
            f"There is no registry at {path}; `minionbench registry add MODEL` makes it."
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"The registry {path} cannot be read: {why(error)}") from error


def _write(path: Path, before: bytes | None, after: bytes) -> None:
    parsed(after, path)  # what is written can be read again
    if _content(path, absent_is_empty=True) != before:
        raise SetupError(
            f"Another program has changed the registry {path} meanwhile. Nothing was written; "
            "look at its change, and try again."
        )
    mode = None
    if before is not None:
        mode = path.stat().st_mode & 0o7777
        backup = path.with_name(path.name + BACKUP)
        write_atomically(backup, before)
        _set_mode(backup, mode)
    write_atomically(path, after)
    if mode is not None:
        _set_mode(path, mode)


def _set_mode(path: Path, mode: int) -> None:
    # Another user's file in a shared folder: its content counts more than its permissions.
    with contextlib.suppress(OSError):
        path.chmod(mode)
