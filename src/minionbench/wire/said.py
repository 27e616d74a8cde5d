"""What one frame of an answer says, in the words that all dialects share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol, TypeVar

import msgspec

from minionbench.exchange import EngineTimings


class Said(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a frame says; a field that it does not speak of is empty or None."""

    visible: str = ""
    """Text of the answer that was generated just now."""
    reasoning: str = ""
    """Text of the reasoning that was generated just now."""
    aside: str = ""
    """A summary of reasoning that is itself not shown: text, but no tokens' arrival."""
    refusal: bool = False
    """Whether the text is the model's refusal by the protocol's own word."""
    finish_reason: str | None = None
    model: str | None = None
    counts: Any = None
    """The dialect's own form of token counts."""
    engine: EngineTimings | None = None
    likeliest: tuple[tuple[str, float], ...] | None = None
    """The likeliest tokens in the place of the first one in the text that is no white space."""
    closes: bool = False
    """Whether the protocol says that with this the answer is whole."""


NOTHING = Said()
"""What a frame says that its protocol wants passed over wherever it comes."""


class _Typed(Protocol):
    type: str


class _Type(msgspec.Struct):
    type: str


_TypedT = TypeVar("_TypedT", bound=_Typed)
_decode_type = msgspec.json.Decoder(_Type).decode


def decoded_if_known(
    data: bytes, decode: Callable[[bytes], _TypedT], known: Collection[str]
) -> _TypedT | None:
    """An event that names its type, decoded; None for a type that is not known, of any shape."""
    try:
        event = decode(data)
    except msgspec.ValidationError:
        if _decode_type(data).type in known:
            raise
        return None
    return event if event.type in known else None


class NotInProtocol(Exception):
    """A frame that is not what the protocol says; the message says what it is instead."""


class ServerError(Exception):
    """A frame in which the server tells of an error of its own."""

    def __init__(self, error: Any) -> None:
        super().__init__(error)
        self.error = error
        """The error object, or text."""
