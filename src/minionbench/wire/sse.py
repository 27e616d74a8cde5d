"""Server-sent events: the events of a body and the byte at which each one ends.

Source: HTML Living Standard, section 9.2 (server-sent events).
"""

from __future__ import annotations

import re

from minionbench.wire.frame import Frame

_IGNORED = (b"event", b"id", b"retry")
_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\r|\n)")


class NotAnEventStream(Exception):
    """A line that no event stream holds."""

    def __init__(self, line: bytes) -> None:
        super().__init__(f"{line[:60]!r} is not a line of an event stream")


class EventStream:
    """The events of a body that carry data or are errors.

    Comments and keep-alives are left out. An event without its closing blank line is no event: the
    stream was cut there. Stricter than the standard in one point: a line with an unknown field is
    refused, not skipped, because a server that sends one is broken and its answer must not count.
    """

    __slots__ = ("_body", "_has_returns")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._has_returns = b"\r" in body

    def next(self, start: int) -> Frame | None:
        """The first event from this byte on; None when none is whole.

        Raises NotAnEventStream when an event up to it holds such a line.
        """
        if self._has_returns:
            return self._next_with_returns(start)
        body = self._body
        find, stands = body.find, body.startswith
        while (line_end := find(b"\n", start)) >= 0:
            if stands(b"\n\n", line_end) and stands(b"data: ", start):
                # A single line of data, as nearly every event is.
                return Frame(body[start + 6 : line_end], start, line_end + 2)
            close = find(b"\n\n", start)
            if close < 0:
                return None
            event = _event(body[start:close].split(b"\n"), start, close + 2)
            if event is not None:
                return event
            start = close + 2
        return None

    def _next_with_returns(self, start: int) -> Frame | None:
        """As `next`, for bodies whose lines end in CR LF, CR or LF in any mixture."""
        lines: list[bytes] = []
        at = start
        while line := _LINE.match(self._body, at):
            at = line.end()
            if line[1]:
                lines.append(line[1])
                continue
            event = _event(lines, start, at)
            if event is not None:
                return event
            lines = []
            start = at
        return None

    def rest(self) -> bytes:
        """What stands after the last complete event, line breaks at its start left out."""
        body = self._body
        if self._has_returns:
            body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        close = body.rfind(b"\n\n")
        return (body if close < 0 else body[close + 2 :]).lstrip(b"\n")


def _event(lines: list[bytes], start: int, end: int) -> Frame | None:
    """The event that these lines make; None when they make none."""
    data: list[bytes] = []
    error = False
    for line in lines:
        field, colon, value = line.partition(b":")
        if not line or (colon and not field):
            continue
        value = value.removeprefix(b" ")
        if field in (b"data", b"error"):
            data.append(value)
        elif field not in _IGNORED:
            raise NotAnEventStream(line)
        error = error or field == b"error" or (field == b"event" and value == b"error")
    return Frame(b"\n".join(data), start, end, error) if data or error else None
