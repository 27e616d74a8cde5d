"""What a body is made of: frames of one JSON text each, as events of a stream or as lines."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One event of a stream, or one line."""

    data: bytes
    start: int
    """Position in the body at which it begins, comments right before it included."""
    end: int
    """Position just after what closes it."""
    error: bool = False
    """Whether it says of itself that it is an error."""


class Frames(Protocol):
    """The frames of one body."""

    def next(self, start: int) -> Frame | None:
        """The first frame from this byte on; None when none is whole."""
        ...

    def rest(self) -> bytes:
        """What stands after the last whole frame; empty when the body ends with it."""
        ...


class Lines:
    """The lines of a body, blank ones left out (NDJSON).

    The last line is one without its line feed, too: whether it is whole, its JSON tells.
    """

    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body = body

    def next(self, start: int) -> Frame | None:
        """The first line from this byte on that is not blank; None at the end."""
        body = self._body
        while start < len(body):
            end = body.find(b"\n", start) + 1 or len(body)
            line = body[start:end].strip(b" \t\r\n")
            if line:
                return Frame(line, start, end)
            start = end
        return None

    def rest(self) -> bytes:
        """Nothing: every byte is of a line."""
        return b""
