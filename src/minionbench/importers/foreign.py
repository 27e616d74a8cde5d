"""Reading what another program wrote: any JSON, none of which is to be trusted."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from minionbench.errors import UsageError
from minionbench.system.redaction import HIDDEN, names_secret, redact_text

MOST_BYTES = 1 << 30
"""Size of a file that is read at most; results with every request in them reach some 100 MB."""
LONGEST_TEXT = 500
"""Characters of a text that are kept."""
MOST_ITEMS = 20
"""Items of a list that are kept."""
MOST_KEYS = 200
"""Keys of an object that are kept."""
DEEPEST = 8
"""Levels of nesting that are kept."""
MOST_VALUES = 2_000
"""Values that are kept of one file."""

Object: TypeAlias = Mapping[str, Any]


def read_json(path: Path) -> Any:
    """What a file of JSON holds; of JSON lines, the list of them.

    Numbers may be NaN or infinite, which other programs write. Raises UsageError when the file
    cannot be read or is no JSON.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path} cannot be read: {why}.") from error
    if len(content) > MOST_BYTES:
        raise UsageError(f"{path} is larger than {MOST_BYTES >> 20} MB; no result is that large.")
    if not content.strip():
        raise UsageError(f"{path} is empty.")
    try:
        text = content.decode(_encoding(content))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8 or UTF-16, so no JSON: {error}.") from error
    try:
        return _parsed(text)
    except (ValueError, RecursionError) as whole:
        try:
            lines = [_parsed(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            lines = []
        if len(lines) > 1 and all(isinstance(line, dict) for line in lines):
            return lines
        why = "nested too deep" if isinstance(whole, RecursionError) else str(whole)
        raise UsageError(f"{path} is not valid JSON: {why}.") from whole


def _encoding(content: bytes) -> str:
    # PowerShell writes UTF-16 where a user redirects a program's output into a file.
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig"


def _parsed(text: str) -> Any:
    return json.loads(text)


def number(value: Any) -> float | None:
    """A finite number; None for anything else, NaN and infinity included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def count(value: Any) -> int | None:
    """A count of something; None for anything else."""
    found = number(value)
    if found is None or found < 0 or found != int(found) or found >= 2**53:
        return None
    return int(found)


def text(value: Any) -> str | None:
    """A text that is not empty, without keys and not too long; None for anything else."""
    if not isinstance(value, str) or not value.strip():
        return None
    return _short(redact_text(value.strip()))


def member(value: Any, *path: str) -> Any:
    """What lies at a path of objects; None where there is nothing."""
    for step in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def from_epoch(value: Any) -> datetime | None:
    """An instant given in seconds since 1970; None where there is none."""
    found = number(value)
    if found is None or not 0 < found < 1e11:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=found)


def from_text(value: Any, form: str | None = None) -> datetime | None:
    """An instant given as text, ISO 8601 or of the form; UTC where it names no time zone."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value) if form is None else datetime.strptime(value, form)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # A run's id has its year in four digits, and its date comes from a clock.
    return found if found.year >= 1970 else None


def kept(value: Any) -> Any:
    """A foreign value as a document may carry it: plain, bounded, and without keys.

    Long lists, texts and objects lose their ends, with a word on how much is gone. Texts under a
    name that says that they are secret are hidden, as are keys by their looks.
    """
    return _Keeping().keep(value, 0)


class _Keeping:
    """Copies values until there are too many."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def keep(self, value: Any, depth: int, *, secret: bool = False) -> Any:
        self._left -= 1
        if isinstance(value, str):
            return HIDDEN if secret and value else _short(redact_text(value))
        if isinstance(value, Mapping):
            return self._object(value, depth, secret=secret)
        if isinstance(value, list | tuple):
            return self._list(value, depth, secret=secret)
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int):
            return value if -(2**63) <= value < 2**63 else f"(integer of {value.bit_length()} bits)"
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        return _short(str(value))

    def _object(self, value: Object, depth: int, *, secret: bool) -> Any:
        if depth >= DEEPEST or self._left <= 0:
            return f"({len(value)} fields)"
        made: dict[str, Any] = {}
        for key, inner in value.items():
            if len(made) >= MOST_KEYS or self._left <= 0:
                made["…"] = f"({len(value) - len(made)} fields more)"
                break
            name = _short(redact_text(str(key)))
            hide = secret or names_secret(str(key)) or "header" in str(key).lower()
            made[name] = self.keep(inner, depth + 1, secret=hide)
        return made

    def _list(self, value: list[Any] | tuple[Any, ...], depth: int, *, secret: bool) -> Any:
        if depth >= DEEPEST or self._left <= 0:
            return f"({len(value)} items)"
        made: list[Any] = []
        for inner in value:
            if len(made) >= MOST_ITEMS or self._left <= 0:
                made.append(f"({len(value) - len(made)} items more)")
                break
            made.append(self.keep(inner, depth + 1, secret=secret))
        return made


def _short(value: str) -> str:
    # Half a surrogate pair is valid in JSON and cannot be written as UTF-8.
    value = value.encode("utf-8", "backslashreplace").decode()
    return value if len(value) <= LONGEST_TEXT else value[: LONGEST_TEXT - 1] + "…"
