"""What is wrong with a document, in words for the person who has to mend it.

msgspec reads fast and stops at the first fault, whose path it gives without the keys of objects.
So a document that it refused is gone through once more, slowly, for the faults with their paths.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import inspect

from minionbench.errors import SchemaError
from minionbench.schema.plain import PartError, Where, encodable, plain

SHOWN = 5
"""Faults that a message lists; the rest are only counted."""

LONGEST_QUOTE = 60
"""Characters of a faulty value that a message shows."""

END = r"\Z"
"""How the patterns of texts end: Python's $ would let a newline follow."""

_NO_JSON = (ValueError, RecursionError)
"""What Python's own reader of JSON raises."""


def document_error(
    kind: type[Any], document: bytes | str, refusal: Exception, source: str | None
) -> SchemaError:
    """The faults of a document that msgspec refused to read as `kind`.

    The error names the first one's path. `source` is the file that the document was read from.
    """
    try:
        tree = json.loads(document if isinstance(document, str) else document.decode())
    except _NO_JSON as error:
        return schema_error(f"not valid JSON: {error}", None, source)
    faults = _Faults()
    faults.judge(tree, inspect.type_info(kind), ())
    if not faults.found:
        return schema_error(str(refusal), None, source)
    (path, message), *rest = faults.found.items()
    others = [f"{at}: {what}" for at, what in rest[: SHOWN - 1]]
    if len(rest) >= SHOWN:
        others.append(f"{len(rest) - SHOWN + 1} more")
    return schema_error("; ".join([message, *others]), path or None, source)


def schema_error(message: str, path: str | None, source: str | None) -> SchemaError:
    """A SchemaError that says in which file it was found, where there is one."""
    return SchemaError(message if source is None else f"{message} (in {source})", path)


def part_error(kind: type[Any], values: dict[str, Any], refusal: Exception) -> PartError:
    """The first fault of values that are no part of this kind."""
    faults = _Faults()
    faults.judge(values, inspect.type_info(kind), ())
    for path, message in faults.found.items():
        return PartError(message, path) if path else PartError(message)
    return PartError(str(refusal))


class _Faults:
    """The faults of a tree of plain values, by their paths."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def judge(self, value: Any, kind: inspect.Type, where: Where) -> Any:
        """Holds a value to its type; what it becomes is only of use where no fault was found."""
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
        if isinstance(kind, inspect.StructType):
            return self._part(value, kind, where)
        if isinstance(kind, inspect.DictType):
            return self._object(value, kind, where)
        if isinstance(kind, inspect.VarTupleType):
            return self._list(value, kind, where)
        if isinstance(kind, inspect.UnionType):
            return self._one_of(value, kind, where)
        self._note(_complaint(value, kind), where)
        return value

    def _note(self, message: str | None, where: Iterable[str | int]) -> None:
        if message is not None:
            self.found.setdefault(".".join(map(str, where)), message)

    def _part(self, value: Any, kind: inspect.StructType, where: Where) -> Any:
        if isinstance(value, kind.cls):
            return value
        if not isinstance(value, dict):
            self._note(_expected("an object", value), where)
            return value
        before = len(self.found)
        judged = {}
        for field in kind.fields:
            if field.name in value:
                judged[field.name] = self.judge(value[field.name], field.type, (*where, field.name))
            else:
                self._note("this field is missing", (*where, field.name))
        for name in value:
            if name not in kind.cls.__struct_fields__:
                self._note("the schema knows no such field", (*where, name))
        if len(self.found) > before:
            return value
        try:
            return msgspec.convert(judged, kind.cls)
        except msgspec.ValidationError as error:
            broken = error.__cause__
            if isinstance(broken, PartError):
                self._note(broken.message, (*where, *broken.where))
            else:
                self._note(str(error), where)
        return value

    def _object(self, value: Any, kind: inspect.DictType, where: Where) -> Any:
        if not isinstance(value, dict):
            self._note(_expected("an object", value), where)
            return value
        if isinstance(kind.value_type, inspect.AnyType):
            try:
                return plain(value)
            except PartError as error:
                self._note(error.message, (*where, *error.where))
            return value
        judged = {}
        for key, inner in value.items():
            self.judge(key, kind.key_type, (*where, key))
            judged[key] = self.judge(inner, kind.value_type, (*where, key))
        return judged

    def _list(self, value: Any, kind: inspect.VarTupleType, where: Where) -> Any:
        if not isinstance(value, list | tuple):
            self._note(_expected("a list", value), where)
            return value
        return [self.judge(item, kind.item_type, (*where, at)) for at, item in enumerate(value)]

    def _one_of(self, value: Any, kind: inspect.UnionType, where: Where) -> Any:
        if value is None and kind.includes_none:
            return None
        kinds = [inner for inner in kind.types if not isinstance(inner, inspect.NoneType)]
        if len(kinds) > 1:
            texts = isinstance(value, str)
            kinds.sort(key=lambda inner: isinstance(inner, inspect.StrType) is not texts)
        return self.judge(value, kinds[0], where)


def _complaint(value: Any, kind: inspect.Type) -> str | None:
    """What is wrong with a value that is no container; None where nothing is."""
    if isinstance(kind, inspect.StrType):
        if not isinstance(value, str):
            return _expected("text", value)
        if not encodable(value):
            return "text that cannot be written as UTF-8"
        if kind.min_length and not value:
            return "must not be empty"
        if kind.pattern is not None and not re.search(kind.pattern, value):
            pattern = kind.pattern.replace(END, "$")
            return _expected(f"text of the form {pattern}", value)
    elif isinstance(kind, inspect.BoolType):
        if not isinstance(value, bool):
            return _expected("true or false", value)
    elif isinstance(kind, inspect.IntType):
        if type(value) is not int:
            return _expected("a whole number", value)
        return _out_of_bounds(value, kind)
    elif isinstance(kind, inspect.FloatType):
        if type(value) not in (int, float):
            return _expected("a number", value)
        if not _finite(value):
            return _expected("a finite number", value)
        return _out_of_bounds(value, kind)
    elif isinstance(kind, inspect.LiteralType | inspect.EnumType):
        values = kind.values if isinstance(kind, inspect.LiteralType) else tuple(kind.cls)
        if value not in values or type(value) not in (str, int):
            *most, last = [repr(getattr(one, "value", one)) for one in values]
            return _expected(f"{', '.join(most)} or {last}" if most else last, value)
    return None


def _out_of_bounds(value: float, kind: inspect.IntType | inspect.FloatType) -> str | None:
    if kind.ge is not None and value < kind.ge:
        return f"must be at least {kind.ge}, found {_quoted(value)}"
    if kind.le is not None and value > kind.le:
        return f"must be at most {kind.le}, found {_quoted(value)}"
    if kind.gt is not None and value <= kind.gt:
        return f"must be above {kind.gt}, found {_quoted(value)}"
    return None


def _finite(value: float) -> bool:
    """Whether a number is one that a float can hold."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _expected(what: str, found: Any) -> str:
    return f"expected {what}, found {_quoted(found)}"


def _quoted(value: object) -> str:
    """A value as JSON writes it, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "…"
