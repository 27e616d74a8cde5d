"""What all parts of a run document have in common: strict, complete, immutable, plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from inspect import Signature
from typing import TYPE_CHECKING, Annotated, Any, Self, dataclass_transform

import msgspec
from msgspec import Meta

from minionbench.schema.complaint import END, document_error, part_error
from minionbench.schema.plain import plain, refuse_parts


class PartMeta(msgspec.StructMeta):
    """Makes the parts: in Python their optional fields may be left out, in a document none may.

    A reader can then tell "unknown" (null) from "forgotten". To msgspec, a field with a default
    is one that a document may lack; so the defaults are taken out of the struct, and filled in
    where Python calls the class. What is read from a document does not pass there.
    """

    _optional: Mapping[str, Any]
    """The fields that may be left out in Python, with their defaults."""

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> PartMeta:
        """The class, with its defaults put aside."""
        fields = namespace.get("__annotations__", {})
        optional = {field: namespace.pop(field) for field in fields if field in namespace}
        made = super().__new__(mcls, name, bases, namespace, kw_only=True, **options)
        made._optional = optional
        return made

    if not TYPE_CHECKING:  # type checkers derive these from the fields

        @property
        def __signature__(cls) -> Signature:
            """What Python calls the class with."""
            whole = super().__signature__
            return whole.replace(
                parameters=[
                    argument.replace(default=cls._optional.get(argument.name, argument.default))
                    for argument in whole.parameters.values()
                ]
            )

        def __call__(cls, **fields: Any) -> Any:
            """A new part from Python's values, held to the same rules as one from a document.

            Raises PartError, which names the first fault's path.
            """
            values = {**cls._optional, **plain(fields, -1)}
            for name in _free_form(cls):
                refuse_parts(name, values[name])
            try:
                return msgspec.convert(values, cls)
            except msgspec.ValidationError as error:
                raise part_error(cls, values, error) from error


# Without the cyclic collector, since a document is a tree.
@dataclass_transform(kw_only_default=True, frozen_default=True)
class Part(msgspec.Struct, metaclass=PartMeta, frozen=True, forbid_unknown_fields=True, gc=False):
    """A part of a run document: immutable, with a fixed set of fields."""

    def but(self, **changes: Any) -> Self:
        """The same part with some fields changed; raises PartError as making one does."""
        return type(self)(**(msgspec.structs.asdict(self) | changes))

    def encoded(self) -> bytes:
        """The part as one line of JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decoded(cls, document: bytes | str, source: str | None = None) -> Self:
        """The part that a piece of JSON holds; every field has to be there.

        `source` is the file to name in messages. Raises SchemaError, which names the path of
        what is wrong.
        """
        try:
            part: Self = decoder(cls).decode(document)
        except REFUSALS as error:
            raise document_error(cls, document, error, source) from error
        return part


REFUSALS = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for a document that it does not accept."""


@cache
def decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    """What reads a kind of part; raises one of REFUSALS where it cannot."""
    return msgspec.json.Decoder(kind)


@cache
def _free_form(kind: type[Any]) -> tuple[str, ...]:
    """The fields of a kind of part that hold any plain values."""
    fields = msgspec.structs.fields(kind)
    return tuple(field.name for field in fields if field.type == PlainObject)


def form(pattern: str) -> Meta:
    """Text of a form: the whole of it matches the pattern, which begins with ^ and ends with $."""
    return Meta(pattern=pattern.removesuffix("$") + END)


PlainObject = dict[str, Any]
"""An object of plain JSON values whose keys the schema leaves open."""

Text = Annotated[str, Meta(min_length=1)]
"""Text that is not empty."""

Name = Annotated[str, form(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""A name that is safe as a key everywhere: no slash, no space, no leading dot."""

Sha256 = Annotated[str, form(r"^[0-9a-f]{64}$")]

Count = Annotated[int, Meta(ge=0)]
