"""What is wrong with a document, in words for the person who has to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from minionbench.errors import SchemaError

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

SHOWN = 5
"""Faults that a message lists; the rest are only counted."""

LONGEST_QUOTE = 60
"""Characters of a faulty value that a message shows."""

_SEVERAL_KINDS = frozenset({"measured", "limit"})
"""Fields that are a number or text."""


def schema_error(error: ValidationError, source: str | None = None) -> SchemaError:
    """The faults that pydantic found, as one SchemaError that names the first one's path.

    `source` is the file that the document was read from.
    """
    faults: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        at, what = _fault(detail)
        faults.setdefault(at, what)
    (path, message), *rest = faults.items()
    others = [f"{at}: {what}" for at, what in rest[: SHOWN - 1]]
    if len(faults) > SHOWN:
        others.append(f"{len(faults) - SHOWN} more")
    return document_error("; ".join([message, *others]), path or None, source)


def document_error(message: str, path: str | None, source: str | None) -> SchemaError:
    """A SchemaError that says in which file it was found, where there is one."""
    return SchemaError(message if source is None else f"{message} (in {source})", path)


def _fault(detail: ErrorDetails) -> tuple[str, str]:
    """Path and sentence of one fault."""
    kind = detail["type"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    where = [part for part in detail["loc"] if part != "[key]"]
    if len(where) > 1 and where[-2] in _SEVERAL_KINDS:
        # Where a field may be of several kinds, pydantic names the kind that it tried last.
        where.pop()
    if kind == "document_rule":
        where += context["where"]
        return _path(where), context["message"]
    if kind == "json_invalid":
        return _path(where), f"not valid JSON: {context['error']}"
    sentence = _SENTENCES.get(kind)
    if sentence is None:
        return _path(where), detail["msg"]
    found = _quoted(detail["input"])
    return _path(where), sentence(context, found)


def _path(where: list[Any]) -> str:
    return ".".join(str(part) for part in where)


def _quoted(value: object) -> str:
    """A value as JSON writes it, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "…"


def _expected(what: str) -> Callable[[Mapping[str, Any], str], str]:
    return lambda _context, found: f"expected {what}, found {found}"


_SENTENCES: dict[str, Callable[[Mapping[str, Any], str], str]] = {
    "missing": lambda _context, _found: "this field is missing",
    "extra_forbidden": lambda _context, _found: "the schema knows no such field",
    "string_type": _expected("text"),
    "int_type": _expected("a whole number"),
    "int_from_float": _expected("a whole number"),
    "float_type": _expected("a number"),
    "finite_number": _expected("a finite number"),
    "bool_type": _expected("true or false"),
    "dict_type": _expected("an object"),
    "model_type": _expected("an object"),
    "model_attributes_type": _expected("an object"),
    "tuple_type": _expected("a list"),
    "list_type": _expected("a list"),
    "literal_error": lambda context, found: f"expected {context['expected']}, found {found}",
    "enum": lambda context, found: f"expected {context['expected']}, found {found}",
    "string_too_short": lambda _context, _found: "must not be empty",
    "string_pattern_mismatch": lambda context, found: (
        f"expected text of the form {context['pattern']}, found {found}"
    ),
    "less_than_equal": lambda context, found: f"must be at most {context['le']}, found {found}",
    "greater_than": lambda context, found: f"must be above {context['gt']}, found {found}",
    "greater_than_equal": lambda context, found: f"must be at least {context['ge']}, found {found}",
}
