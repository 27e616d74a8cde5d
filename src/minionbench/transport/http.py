"""HTTP/1.1 framing: the bytes of a request, and where a response begins and ends.

Source: RFC 9112 (message syntax), RFC 9110 (semantics).
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urlsplit

from minionbench.errors import UsageError

MAX_HEAD_BYTES = 65_536
"""Longest status line and headers that are accepted."""
MAX_CHUNK_LINE_BYTES = 4_096
"""Longest chunk-size line, extensions included."""
TLS_BEGINNINGS = (b"\x15\x03", b"\x16\x03")
"""First bytes of an alert and of a handshake, in every version of TLS."""

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_CHUNK_LINE_SO_FAR = re.compile(rb"[0-9A-Fa-f]{1,15}[ \t]*(?:;[^\r\n]*)?\r?")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSAFE = re.compile(r"[\r\n\0]")
_VISIBLE_ASCII = re.compile(r"[!-~]*")
_OWN_HEADERS = ("host", "accept-encoding", "content-length", "transfer-encoding")


class Url:
    """The parts of an endpoint's URL that a request needs."""

    __slots__ = ("host", "path", "port", "tls")

    def __init__(self, text: str) -> None:
        """Raises UsageError when `text` is not an absolute http or https URL.

        The message repeats nothing that stands where a user name, a password or a key may be.
        """
        shown = text if "@" not in text else "…@" + text.rpartition("@")[2]
        shown = repr(shown.partition("?")[0])
        if not _VISIBLE_ASCII.fullmatch(text):
            raise UsageError(f"{shown} is not a URL: it holds a space or a character beyond ASCII")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"{shown} is not a URL: check its host and port") from error
        if "@" in parts.netloc:
            raise UsageError(
                f"The URL {shown} must not carry a user name or password; "
                "name a variable that holds the key with --api-key-env"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"{shown} is not a server's URL; it has to look like http://127.0.0.1:8000/v1"
            )
        if "?" in text or "#" in text:
            raise UsageError(f"The server's URL {shown} must end with its path, without ? or #")
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

    Raises UsageError for a header that would break out of its line, or that is written here.
    """
    lines = [
        f"{method} {url.path}{target} HTTP/1.1",
        f"Host: {url.authority}",
        "Accept-Encoding: identity",
        f"Content-Length: {len(body)}",
    ]
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise UsageError(f"A header named {name!r} cannot be added to a request")
        if _UNSAFE.search(value):
            raise UsageError(f"The value of the header {name!r} holds a line break")
        lines.append(f"{name}: {value}")
    try:
        head = "\r\n".join(lines).encode("latin-1")
    except UnicodeEncodeError as error:
        raise UsageError("A header holds a character that HTTP headers cannot carry") from error
    return head + b"\r\n\r\n" + body


def status_of(line: bytes) -> int | None:
    """The status in a response's first line; None where it is no such line."""
    match = _STATUS_LINE.fullmatch(line)
    return None if match is None else int(match[2])


class FramingError(Exception):
    """The peer's bytes are not an HTTP/1.x response."""


# Where in a response the next byte stands.
_HEAD, _CHUNK_SIZE, _CHUNK_DATA, _CHUNK_END, _TRAILER, _LENGTH, _UNTIL_CLOSE, _DONE = range(8)


@lru_cache(maxsize=1024)
def _chunk_size(line: bytes) -> int:
    """Size that a chunk's first line states; kept, since sizes recur."""
    match = _CHUNK_LINE.fullmatch(line)
    if match is None or len(line) > MAX_CHUNK_LINE_BYTES:
        raise FramingError(f"{line[:20]!r} is not a chunk size")
    return int(match[1], 16)


class ResponseFramer:
    """Takes a response's bytes as they come and finds its body and its end.

    `body` collects the pieces of the entity body, transfer coding removed; `body_bytes` is their
    length so far. `done` turns true with the last byte of the response and never by a guess from
    how the bytes look.
    """

    __slots__ = (
        "_head_left",
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
        self._state = _HEAD
        self._head_left = MAX_HEAD_BYTES
        self._left = 0
        self._tail = b""

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
            if state == _CHUNK_SIZE:
                start = data.find(b"\n", position) + 1
                if start == 0:
                    self._wait_for_chunk_line(data[position:])
                    return
                size = _chunk_size(data[position:start])
                stop = start + size
                if size and data[stop : stop + 2] == b"\r\n":
                    # The whole chunk is here, as it nearly always is.
                    self.body.append(data[start:stop])
                    self.body_bytes += size
                    position = stop + 2
                else:
                    self._left = size
                    self._state = _CHUNK_DATA if size else _TRAILER
                    position = start
            elif state in (_CHUNK_DATA, _LENGTH):
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                self._take(piece)
                if self._left == 0:
                    if state == _LENGTH:
                        self._finish()
                    else:
                        self._state = _CHUNK_END
            elif state == _CHUNK_END:
                if not data.startswith(b"\r\n", position):
                    if data[position:] != b"\r":
                        raise FramingError("a chunk is longer than its stated size")
                    self._tail = b"\r"
                    return
                position += 2
                self._state = _CHUNK_SIZE
            elif state == _UNTIL_CLOSE:
                self._take(data[position:])
                return
            elif state in (_HEAD, _TRAILER):
                position = self._feed_head(data, position)
                if position < 0:
                    return
            else:
                self.surplus = True
                self.keep_alive = False
                return

    def end_of_stream(self) -> bool:
        """Tells that the peer has closed; whether the response is complete with that."""
        if self._state == _UNTIL_CLOSE:
            self._finish()
        return self.done

    def _take(self, piece: bytes) -> None:
        self.body.append(piece)
        self.body_bytes += len(piece)

    def _finish(self) -> None:
        self.done = True
        self._state = _DONE

    def _wait_for_chunk_line(self, tail: bytes) -> None:
        if len(tail) >= MAX_CHUNK_LINE_BYTES:
            raise FramingError(f"a chunk-size line is longer than {MAX_CHUNK_LINE_BYTES} bytes")
        if not _CHUNK_LINE_SO_FAR.fullmatch(tail):
            raise FramingError(f"{tail[:20]!r} is not a chunk size")
        self._tail = tail

    def _feed_head(self, data: bytes, position: int) -> int:
        """Takes a head or a trailer line that is whole; what follows it, or −1 to wait for more.

        The heads of interim responses, the head and the trailer are limited together.
        """
        in_head = self._state == _HEAD
        line_break = b"\r\n\r\n" if in_head else b"\r\n"
        line_end = data.find(line_break, position, position + self._head_left)
        if line_end < 0:
            tail = data[position:]
            if in_head and not tail.startswith(b"HTTP/1."[: len(tail)]):
                hint = " but TLS: use https://" if tail[:2] in TLS_BEGINNINGS else ""
                raise FramingError(
                    f"the answer begins with {tail[:20]!r}, which is not HTTP/1.x{hint}"
                )
            if in_head and b"\n\n" in tail:
                raise FramingError("the lines of the head end in a bare line feed")
            if len(tail) >= self._head_left:
                raise FramingError(f"the headers are longer than {MAX_HEAD_BYTES} bytes")
            self._tail = tail
            return -1
        after = line_end + len(line_break)
        self._head_left -= after - position
        if in_head:
            self._read_head(data[position:line_end].split(b"\r\n"))
        elif line_end == position:
            self._finish()
        return after

    def _read_head(self, lines: list[bytes]) -> None:
        status_line = _STATUS_LINE.fullmatch(lines[0])
        if status_line is None:
            raise FramingError(f"{lines[0][:40]!r} is not an HTTP/1.x status line")
        status = int(status_line[2])
        if status == 101:
            raise FramingError("the server wants to switch protocols")
        headers = _parse_headers(lines[1:])  # of an interim response too: its bytes must be HTTP
        if status >= 200:
            self.headers = headers
            self.status = status
            self._choose_body(http_1_1=status_line[1] == b"1")

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
            # RFC 9112 6.1: where the framing may have been misread on the way, use it once only.
            self.keep_alive = self.keep_alive and http_1_1 and length is None
            self._state = _CHUNK_SIZE
        elif length is not None:
            lengths = {part.strip() for part in length.split(",")}
            only = lengths.pop()
            if lengths or not (only.isascii() and only.isdigit()) or len(only) > 15:
                raise FramingError(f"{length!r} is not a content length")
            self._left = int(only)
            if self._left == 0:
                self._finish()
            else:
                self._state = _LENGTH
        else:
            self.keep_alive = False
            self._state = _UNTIL_CLOSE


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
