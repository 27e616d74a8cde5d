"""Values of Python as plain JSON, and the error of what cannot be brought to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec

DEEPEST = 20
"""Levels that a free-form object may be nested; deeper ones are a fault of their writer."""

Where = tuple[str | int, ...]
"""The way from a part to one of its values."""


EMPTY: Final[dict[str, Any]] = {}
"""What a free-form object is when it is left out; a part gets a copy of its own."""


class PartError(ValueError):
    """A part of a run document that cannot be: the message names the path of its faulty field.

    `where` is that path, step by step, and `message` what is wrong there.
    """

    def __init__(self, message: str, *where: str | int) -> None:
        super().__init__(f"{'.'.join(map(str, where))}: {message}" if where else message)
        self.message = message
        self.where = where


def plain(value: Any, depth: int = 0) -> Any:
    """A value brought to plain JSON; parts of a document are left as they are.

    Tuples become lists, subclasses of str, int and float the types themselves. `depth` counts the
    lists and objects around the value. Raises PartError for a value that JSON does not know, NaN
    and infinity included; it names the path from the outermost value.
    """
    kind = type(value)
    if kind is str:
        if encodable(value):
            return value
        raise PartError("text that cannot be written as UTF-8")
    if kind is float:
        if math.isfinite(value):
            return value
        raise PartError(f"expected a finite number, found {value}")
    if value is None or kind is int or kind is bool:
        return value
    if depth <= _DEEPEST_PART and isinstance(value, msgspec.Struct):
        return value
    if isinstance(value, dict | list | tuple):
        if depth > DEEPEST:
            raise PartError(f"nested deeper than {DEEPEST} levels")
        return _object(value, depth) if isinstance(value, dict) else _list(value, depth)
    for exact in (str, float, int):
        if isinstance(value, exact):
            # As str(value) may be what an enumeration wants to be shown as.
            return plain(str.__str__(value) if exact is str else exact(value))
    raise PartError(_no_json(value))


_DEEPEST_PART = 1
"""Parts are fields of others, or stand in lists and objects that are."""


def refuse_parts(name: str, values: Any) -> None:
    """Refuses a free-form object, the value of the field `name`, that holds a part."""
    if isinstance(values, dict):
        for key, value in values.items():
            if isinstance(value, msgspec.Struct):
                raise PartError(_no_json(value), name, key)


def _no_json(value: object) -> str:
    return f"expected a JSON value, found {type(value).__name__}"


def _object(values: dict[Any, Any], depth: int) -> dict[str, Any]:
    made = {}
    for key, value in values.items():
        kind = type(value)
        nothing_to_do = value is None or (kind is str and value.isascii()) or kind is int
        if nothing_to_do and type(key) is str and key.isascii():
            made[key] = value
            continue
        if not isinstance(key, str):
            raise PartError(f"expected text as key, found {key!r}")
        try:
            made[plain(key)] = plain(value, depth + 1)
        except PartError as error:
            raise PartError(error.message, key, *error.where) from None
    return made


def _list(values: Sequence[Any], depth: int) -> list[Any]:
    made = []
    for value in values:
        try:
            made.append(plain(value, depth + 1))
        except PartError as error:
            raise PartError(error.message, len(made), *error.where) from None
    return made


def encodable(text: str) -> bool:
    """Whether a text can be written as UTF-8: half a surrogate pair cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_depth(name: str, values: dict[str, Any]) -> None:
    """Refuses a free-form object, the value of the field `name`, that is nested too deep."""
    # Runs for every metric of a document; hardly one has more than two levels.
    for value in values.values():
        kind = type(value)
        if kind is dict or kind is list:
            for inner in value.values() if kind is dict else value:
                kind = type(inner)
                if kind is dict or kind is list:
                    plain({name: values}, -1)
                    return
