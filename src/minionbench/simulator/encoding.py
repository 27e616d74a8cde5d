"""What the encoders of all protocols share: events as bytes, and the facts of one call.

An encoder turns an answer into bytes; it knows neither socket nor clock. `pieces` are texts of one
or more tokens each, every piece an event of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from minionbench.simulator.asked import Asked, Refused
from minionbench.simulator.generation import Generated
from minionbench.simulator.server_kind import ServerKind

to_json = msgspec.json.Encoder().encode
"""Any JSON value as UTF-8 bytes."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One call: what was asked, what was generated, and how the server calls it."""

    asked: Asked
    generated: Generated
    server: ServerKind
    call_id: str
    """Letters and digits; each protocol puts its own prefix before it."""
    created_s: int
    """Seconds since 1970, as OpenAI writes instants."""
    created: str
    """The same instant as RFC 3339 has it."""


class Encoder(Protocol):
    """The bytes of one answer in one protocol."""

    content_type: str

    def __init__(self, served: Served) -> None: ...

    def opening(self) -> bytes:
        """What comes before the first token; empty where the protocol has nothing there."""
        ...

    def pieces(self, reasoning: Sequence[str], text: Sequence[str]) -> bytes:
        """Events of reasoning, then of the answer, that were ready together."""
        ...

    def closing(self) -> bytes:
        """What comes after the last token, the protocol's end included."""
        ...

    def keep_alive(self) -> bytes:
        """What is sent so that the connection is not taken for dead."""
        ...

    def strange(self) -> bytes:
        """A well-formed event that no client knows and every client has to pass over."""
        ...

    def failing(self, refused: Refused) -> bytes:
        """An error after the stream has begun."""
        ...

    def whole(self) -> bytes:
        """The body of the answer that is not streamed."""
        ...


def data_event(value: Any) -> bytes:
    """A server-sent event without a name."""
    return b"data: " + to_json(value) + b"\n\n"


def named_event(name: str, value: Any) -> bytes:
    """A server-sent event with a name."""
    return b"event: " + name.encode() + b"\ndata: " + to_json(value) + b"\n\n"


def around(value: Any, field: str = "\0piece") -> tuple[bytes, bytes]:
    """The JSON of a value before and after the one string in it that is `field`.

    Encoding the many events that differ in one string costs two joins each instead of a whole
    encoding.
    """
    before, _, after = to_json(value).partition(to_json(field))
    return before, after


HOLE = "\0piece"
"""The string that `around` looks for."""
