"""What all parts of a run document have in common: strict, complete, immutable, plain JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

DEEPEST_METADATA = 20
"""Levels that a free-form object may be nested; deeper ones are a fault of their writer."""


class Part(BaseModel):
    """A part of a run document.

    In Python the optional fields may be left out. In a document no field may be: a reader can
    then tell "unknown" (null) from "forgotten".
    """

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        defer_build=True,
        json_schema_serialization_defaults_required=True,
    )

    def model_post_init(self, context: Any, /) -> None:
        """Holds a new part to its rules.

        Not a validator of pydantic's: those run again whenever a part is put into another one.
        """
        self._check(context is FROM_DOCUMENT)

    def _check(self, from_document: bool) -> None:
        """The rules of this part; one with more of them calls `check_fields` first."""
        check_fields(self, from_document)


FROM_DOCUMENT = object()
"""The context that a document is validated in: there, every field has to be given."""


def check_fields(part: Part, from_document: bool) -> None:
    """What holds for the fields of every part.

    A part from a document must have every field. A part from Python must hold text that can be
    written; what comes from a document has shown that it can.
    """
    if from_document:
        fields = type(part).__pydantic_fields__
        given = part.__pydantic_fields_set__
        if len(given) != len(fields):
            absent = next(name for name in fields if name not in given)
            raise rule("this field is missing", absent)
    else:
        for name, value in part.__dict__.items():
            if value is None or (isinstance(value, str) and value.isascii()):
                continue
            for text in _texts(value):
                if not _encodable(text):
                    raise rule(_NOT_UTF_8, name)


def _texts(value: object) -> Iterable[str]:
    """The texts that a field holds, those in its parts left out: they were checked already."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, tuple):
        return (inner for inner in value if isinstance(inner, str))
    if isinstance(value, dict):
        return (inner for item in value.items() for inner in item if isinstance(inner, str))
    return ()


def rule(message: str, *where: str | int) -> PydanticCustomError:
    """The error of a broken rule; `where` is the way from the part to the faulty field."""
    # pydantic fills {…} of the template from the context; the message itself may hold braces.
    path = ".".join(map(str, where))
    return PydanticCustomError(
        "document_rule",
        "{path}: {message}" if path else "{message}",
        {"message": message, "path": path, "where": list(where)},
    )


def plain_object(values: dict[str, Any], *where: str | int) -> dict[str, Any]:
    """A free-form object with every value brought to plain JSON.

    Tuples become lists, subclasses of str, int and float the types themselves. A value that JSON
    does not know, NaN and infinity included, is an error that names its path, `where` before it.
    """
    for value in values.values():
        kind = type(value)
        if kind is str and value.isascii():
            continue
        if kind is not int and kind is not bool and value is not None:
            return {key: _plain(value, (*where, key)) for key, value in values.items()}
    return values


SURELY_SHALLOW = 10
"""Levels within which nobody has to count them exactly."""


def is_plain(values: Iterable[Any], room: int = SURELY_SHALLOW) -> bool:
    """Whether values that were read from JSON are fit as they are; False where one has to look
    closer.

    JSON itself knows no other types, and its texts can be written: what is left are numbers too
    large for a float, and depth.
    """
    for value in values:
        kind = type(value)
        if kind is float:
            if not -math.inf < value < math.inf:
                return False
        elif (kind is dict or kind is list) and (
            not room or not is_plain(value.values() if kind is dict else value, room - 1)
        ):
            return False
    return True


def _plain(value: object, where: tuple[str | int, ...]) -> Any:
    if len(where) > DEEPEST_METADATA:
        raise rule(f"nested deeper than {DEEPEST_METADATA} levels", *where)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = str.__str__(value)
        if not _encodable(text):
            raise rule(_NOT_UTF_8, *where)
        return text
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise rule(f"expected a finite number, found {value}", *where)
        return float(value)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise rule(f"expected text as key, found {key!r}", *where)
        return {key: _plain(inner, (*where, key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, (*where, index)) for index, inner in enumerate(value)]
    raise rule(f"expected a JSON value, found {type(value).__name__}", *where)


_NOT_UTF_8 = "text that cannot be written as UTF-8"


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain_object(values: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    if info.context is FROM_DOCUMENT and is_plain(values.values()):
        return values
    return plain_object(values)


PlainObject = Annotated[dict[str, Any], AfterValidator(_plain_object)]
"""An object of plain JSON values whose keys the schema leaves open."""

Text = Annotated[str, StringConstraints(min_length=1)]
"""Text that is not empty."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""A name that is safe as a key everywhere: no slash, no space, no leading dot."""

MetricName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

Count = Annotated[int, Field(ge=0)]

Texts = Annotated[tuple[str, ...], Field(strict=False)]
"""A list of texts; Python may give it as any sequence."""
