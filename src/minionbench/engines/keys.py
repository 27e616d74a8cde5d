"""Keys by reference: where a server's key is to be looked up, never the key itself.

A reference is `env:NAME`, `file:PATH` or `keyring:SERVICE/USER`. What a user gives instead of a
reference may be the key: it is refused, and not repeated.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Secret

Place: TypeAlias = Literal["env", "file", "keyring"]

FORMS = "env:NAME, file:PATH or keyring:SERVICE/USER"
MAX_KEY_BYTES = 65_536
"""Longest key file that is read; keys have some hundred characters."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class KeyReference(NamedTuple):
    """Where a key is."""

    place: Place
    where: str
    """Name of the variable, path of the file, or `SERVICE/USER`."""

    @classmethod
    def parse(cls, text: str, flag: str = "--key-from") -> KeyReference:
        """The reference that a user gives.

        Raises:
            UsageError: it is no reference; the text is not repeated, since it may be the key.
        """
        place, colon, where = text.strip().partition(":")
        if colon and where:
            if place == "env" and _VARIABLE.fullmatch(where):
                return cls("env", where)
            if place == "file":
                return cls("file", where)
            service, slash, user = where.partition("/")
            if place == "keyring" and service and slash and user:
                return cls("keyring", where)
        raise UsageError(f"{flag} takes a reference to the key, not the key: {FORMS}")

    @classmethod
    def of_variable(cls, name: str) -> KeyReference:
        """The reference to an environment variable, as `--api-key-env` names it.

        Raises:
            UsageError: no variable can have the name; it is not repeated, since it may be the key.
        """
        if _VARIABLE.fullmatch(name) is None:
            raise UsageError(
                "--api-key-env takes the NAME of the environment variable that holds the key, not "
                "the key; a name has letters, digits and _ only"
            )
        return cls("env", name)

    @property
    def text(self) -> str:
        """`place:where`, which parses to the same again."""
        return f"{self.place}:{self.where}"

    @property
    def words(self) -> str:
        """As a sentence names it."""
        return {
            "env": f"the environment variable {self.where}",
            "file": f"the file {self.where}",
            "keyring": f"the keyring's entry {self.where}",
        }[self.place]


class FoundKey(NamedTuple):
    """A key, and what is to be said about the place where it was."""

    secret: Secret
    notes: tuple[str, ...] = ()


def look_up(
    reference: KeyReference,
    *,
    of: str = "the server's key",
    environment: Mapping[str, str] = os.environ,
) -> FoundKey:
    """The key at a reference; `of` says whose it is.

    Raises:
        DeploymentError: there is none, or what is there is no key; the message says what to set,
            and nothing of what was found.
    """
    notes: tuple[str, ...] = ()
    if reference.place == "env":
        value = environment.get(reference.where, "")
        if not value.strip():
            state = "empty" if reference.where in environment else "not set"
            raise DeploymentError(
                f"The environment variable {reference.where}, which should hold {of}, is {state}; "
                f"set it, as in `export {reference.where}=…`, or say with --key-from where the "
                "key is"
            )
    elif reference.place == "file":
        value, notes = _from_file(Path(reference.where).expanduser(), of)
    else:
        value = _from_keyring(reference.where, of)
    value = value.strip()
    if not value:
        raise DeploymentError(f"There is no key in {reference.words}, which should hold {of}")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise DeploymentError(
            f"{_capital(reference.words)}, which should hold {of}, holds characters that no key has"
        )
    return FoundKey(Secret(value), notes)


def is_there(reference: KeyReference, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a key can be looked up; it is thrown away at once."""
    try:
        look_up(reference, environment=environment)
    except DeploymentError:
        return False
    return True


def _from_file(path: Path, of: str) -> tuple[str, tuple[str, ...]]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise DeploymentError(
            f"The file {path}, which should hold {of}, cannot be read: {error.strerror}"
        ) from error
    if len(content) > MAX_KEY_BYTES:
        raise DeploymentError(f"The file {path} is too long to be a key")
    open_to_all = stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH)
    note = f"Others than its owner may read the key's file {path}: chmod 600 {path}"
    return content.decode("utf-8", "replace"), (note,) if open_to_all else ()


def _from_keyring(where: str, of: str) -> str:
    service, _, user = where.partition("/")
    try:
        keyring = import_module("keyring")
    except ImportError:
        raise DeploymentError(
            f"{_capital(of)} is to come from the keyring, which needs the package keyring: "
            "`pip install keyring`; or take env:NAME or file:PATH"
        ) from None
    try:
        value = keyring.get_password(service, user)
    except Exception as error:  # noqa: BLE001 - every backend of keyring raises errors of its own
        raise DeploymentError(
            f"The keyring cannot be asked for {where}: {type(error).__name__}. Unlock it, or take "
            "env:NAME or file:PATH"
        ) from None
    if value is None:
        raise DeploymentError(
            f"The keyring has no entry {where}, which should hold {of}; "
            f"`keyring set {service} {user}` makes it"
        )
    return str(value)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
