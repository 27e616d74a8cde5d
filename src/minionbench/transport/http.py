"""HTTP/1.1 framing: the bytes of a request, and where a response begins and ends.

Source: RFC 9112 (message syntax), RFC 9110 (semantics).
"""

from __future__ import annotations

import re
from enum import Enum, auto
from urllib.parse import urlsplit

from minionbench.errors import UsageError

MAX_HEAD_BYTES = 65_536
"""Longest status line and headers that are accepted."""
MAX_CHUNK_LINE_BYTES = 4_096
"""Longest chunk-size line, extensions included."""

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_UNSAFE = re.compile(r"[\r\n\0]")


class Url:
    """The parts of an endpoint's URL that a request needs."""

    __slots__ = ("host", "path", "port", "tls")

    def __init__(self, text: str) -> None:
        """Raises UsageError when `text` is not an absolute http or https URL."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"{text!r} is not a URL: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"{text!r} is not a server's URL; it has to look like http://127.0.0.1:8000/v1"
            )
        if parts.username or parts.password:
            raise UsageError(
                "A URL must not carry a user name or password; "
                "name a variable that holds the key with --api-key-env"
            )
        self.host: str = parts.hostname
        self.tls = parts.scheme == "https"
        self.port: int = port if port is not None else (443 if self.tls else 80)
        self.path: str = parts.path.rstrip("/")

    @property
    def authority(self) -> str:
        """Value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def request_bytes(
    method: str, url: Url, target: str, headers: tuple[tuple[str, str], ...], body: bytes
) -> bytes:
    """The request as it goes over the wire; `target` is appended to the URL's own path.

    Raises UsageError for a header that would break out of its line.
    """
    lines = [
        f"{method} {url.path}{target} HTTP/1.1",
        f"Host: {url.authority}",
        "Accept-Encoding: identity",
        f"Content-Length: {len(body)}",
    ]
    for name, value in headers:
        if _UNSAFE.search(name) or _UNSAFE.search(value) or not name:
            raise UsageError(f"The header {name!r} holds a line break or has no name")
        lines.append(f"{name}: {value}")
    try:
        head = "\r\n".join(lines).encode("latin-1")
    except UnicodeEncodeError as error:
        raise UsageError("A header holds a character that HTTP headers cannot carry") from error
    return head + b"\r\n\r\n" + body


class FramingError(Exception):
    """The peer's bytes are not an HTTP/1.x response."""


class _State(Enum):
    HEAD = auto()
    LENGTH = auto()
    """Inside a body whose length the headers told."""
    UNTIL_CLOSE = auto()
    CHUNK_SIZE = auto()
    CHUNK_DATA = auto()
    CHUNK_END = auto()
    """At the line break that closes a chunk."""
    TRAILER = auto()
    DONE = auto()


class ResponseFramer:
    """Takes a response's bytes as they come and finds its body and its end.

    `body` collects the pieces of the entity body, transfer coding removed; `body_bytes` is their
    length so far. `done` turns true with the last byte of the response and never by a guess from
    how the bytes look.
    """

    __slots__ = (
        "_left",
        "_state",
        "_tail",
        "body",
        "body_bytes",
        "done",
        "headers",
        "keep_alive",
        "status",
        "surplus",
    )

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.keep_alive = False
        self.body: list[bytes] = []
        self.body_bytes = 0
        self.done = False
        self.surplus = False
        """Whether the peer sent bytes after the end of the response."""
        self._state = _State.HEAD
        self._tail = b""
        self._left = 0

    def feed(self, data: bytes) -> None:
        """Takes the next bytes from the peer.

        Raises FramingError when they cannot be part of a response.
        """
        if self._tail:
            data = self._tail + data
            self._tail = b""
        position, end = 0, len(data)
        while position < end:
            state = self._state
            if state is _State.CHUNK_SIZE:
                line = _CHUNK_LINE.match(data, position)
                if line is None:
                    self._need_more(data, position, MAX_CHUNK_LINE_BYTES, "chunk size")
                    return
                position = line.end()
                size = int(line[1], 16)
                if size == 0:
                    self._state = _State.TRAILER
                elif position + size + 2 <= end and data.startswith(b"\r\n", position + size):
                    self._take(data[position : position + size])
                    position += size + 2
                else:
                    self._left = size
                    self._state = _State.CHUNK_DATA
            elif state is _State.CHUNK_DATA:
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                self._take(piece)
                if self._left == 0:
                    self._state = _State.CHUNK_END
            elif state is _State.CHUNK_END:
                if end - position < 2 and data[position] == 13:
                    self._tail = data[position:]
                    return
                if not data.startswith(b"\r\n", position):
                    raise FramingError("a chunk is longer than its stated size")
                position += 2
                self._state = _State.CHUNK_SIZE
            elif state is _State.LENGTH:
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                self._take(piece)
                if self._left == 0:
                    self._finish()
            elif state is _State.UNTIL_CLOSE:
                self._take(data[position:])
                return
            elif state is _State.HEAD:
                position = self._feed_head(data, position)
                if position < 0:
                    return
            elif state is _State.TRAILER:
                line_end = data.find(b"\r\n", position)
                if line_end < 0:
                    self._need_more(data, position, MAX_HEAD_BYTES, "trailer")
                    return
                if line_end == position:
                    self._finish()
                position = line_end + 2
            else:
                self.surplus = True
                self.keep_alive = False
                return

    def end_of_stream(self) -> bool:
        """Tells that the peer has closed; whether the response is complete with that."""
        if self._state is _State.UNTIL_CLOSE:
            self._finish()
        return self.done

    def _take(self, piece: bytes) -> None:
        self.body.append(piece)
        self.body_bytes += len(piece)

    def _finish(self) -> None:
        self.done = True
        self._state = _State.DONE

    def _need_more(self, data: bytes, position: int, limit: int, what: str) -> None:
        tail = data[position:]
        if len(tail) > limit:
            raise FramingError(f"the {what} is longer than {limit} bytes")
        if what == "chunk size" and (b"\n" in tail or not _may_become_chunk_line(tail)):
            raise FramingError(f"{tail[:20]!r} is not a chunk size")
        self._tail = tail

    def _feed_head(self, data: bytes, position: int) -> int:
        """Parses the head when it is whole; where the body begins, or −1 when more must come."""
        head_end = data.find(b"\r\n\r\n", position)
        if head_end < 0:
            tail = data[position:]
            if not tail.startswith(b"HTTP/1."[: len(tail)]):
                raise FramingError(f"the answer begins with {tail[:20]!r}, which is not HTTP/1.x")
            if len(tail) > MAX_HEAD_BYTES:
                raise FramingError(f"the headers are longer than {MAX_HEAD_BYTES} bytes")
            self._tail = tail
            return -1
        lines = data[position:head_end].split(b"\r\n")
        status_line = _STATUS_LINE.fullmatch(lines[0])
        if status_line is None:
            raise FramingError(f"{lines[0][:40]!r} is not an HTTP/1.x status line")
        status = int(status_line[2])
        if status == 101:
            raise FramingError("the server wants to switch protocols")
        if status >= 200:
            self.status = status
            self.headers = _parse_headers(lines[1:])
            self._choose_body(http_1_1=status_line[1] == b"1")
        return head_end + 4

    def _choose_body(self, *, http_1_1: bool) -> None:
        connection = {t.strip() for t in self.headers.get("connection", "").lower().split(",")}
        self.keep_alive = "close" not in connection and (http_1_1 or "keep-alive" in connection)
        coding = self.headers.get("transfer-encoding")
        length = self.headers.get("content-length")
        if self.status in (204, 304):
            self._finish()
        elif coding is not None:
            if coding.strip().lower() != "chunked":
                raise FramingError(f"transfer coding {coding!r} was not asked for")
            self._state = _State.CHUNK_SIZE
        elif length is not None:
            lengths = {part.strip() for part in length.split(",")}
            only = lengths.pop()
            if lengths or not (only.isascii() and only.isdigit()) or len(only) > 15:
                raise FramingError(f"{length!r} is not a content length")
            self._left = int(only)
            if self._left == 0:
                self._finish()
            else:
                self._state = _State.LENGTH
        else:
            self.keep_alive = False
            self._state = _State.UNTIL_CLOSE


def _may_become_chunk_line(tail: bytes) -> bool:
    size = tail.partition(b";")[0].rstrip(b"\r").rstrip(b" \t")
    return not size or re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size) is not None


def _parse_headers(lines: list[bytes]) -> dict[str, str]:
    """Headers by lower-case name; repeated ones are joined with a comma, as RFC 9110 5.3 has it."""
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise FramingError(f"{line[:40]!r} is not a header")
        name = match[1].decode("ascii").lower()
        value = match[2].decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
