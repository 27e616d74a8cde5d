"""Server-sent events: the events of a body and the byte at which each one ends.

Source: HTML Living Standard, section 9.2 (server-sent events).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class NotAnEventStream(Exception):
    """Lines that no event stream holds; `at` is the byte where the event that has them begins."""

    def __init__(self, line: bytes, at: int) -> None:
        super().__init__(f"{line[:60]!r} is not a line of an event stream")
        self.at = at


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event that carries data."""

    data: bytes
    end: int
    """Position in the body just after the event's closing blank line."""
    field: bytes = b"data"
    """`error` for an error event, by its name or by its field; else `data`."""


_IGNORED = (b"event", b"id", b"retry")


def events(body: bytes) -> Iterator[Event]:
    """The events of a body that carry data or are errors, in order.

    Comments and keep-alives are left out. An event without its closing blank line is no event: the
    stream was cut there. Stricter than the standard in one point: a line with an unknown field is
    refused, not skipped, because a server that sends one is broken and its answer must not count.

    Raises NotAnEventStream when it comes to such a line.
    """
    if b"\r" in body:
        yield from _events_with_returns(body)
        return
    start = 0
    find, stands = body.find, body.startswith
    while (line_end := find(b"\n", start)) >= 0:
        if stands(b"\n\n", line_end) and stands(b"data: ", start):
            # A single line of data, as nearly every event is.
            yield Event(body[start + 6 : line_end], line_end + 2)
            start = line_end + 2
            continue
        close = find(b"\n\n", start)
        if close < 0:
            return
        event = _event(body[start:close].split(b"\n"), start, close + 2)
        if event is not None:
            yield event
        start = close + 2


def rest_after_events(body: bytes) -> bytes:
    """What stands after the last complete event, line breaks at its start left out."""
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    close = body.rfind(b"\n\n")
    return (body if close < 0 else body[close + 2 :]).lstrip(b"\n")


def _events_with_returns(body: bytes) -> Iterator[Event]:
    """As `events`, for bodies whose lines end in CRLF, CR or LF in any mixture."""
    lines: list[bytes] = []
    start = 0
    for line in body.splitlines(keepends=True):
        start += len(line)
        if not line.endswith((b"\n", b"\r")):
            return
        content = line.rstrip(b"\r\n")
        if content:
            lines.append(content)
        elif lines:
            event = _event(lines, start, start)
            lines = []
            if event is not None:
                yield event


def _event(lines: list[bytes], start: int, end: int) -> Event | None:
    """The event that these lines make; None when they make none."""
    data: list[bytes] = []
    name = b"data"
    for line in lines:
        field, colon, value = line.partition(b":")
        if not line or (colon and not field):
            continue
        value = value.removeprefix(b" ")
        if field in (b"data", b"error"):
            data.append(value)
        elif field not in _IGNORED:
            raise NotAnEventStream(line, start)
        if field == b"error" or (field == b"event" and value == b"error"):
            name = b"error"
    return Event(b"\n".join(data), end, name) if data or name == b"error" else None
