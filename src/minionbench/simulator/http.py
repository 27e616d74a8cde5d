"""HTTP/1.1 from the server's side: requests out of bytes, and the frames of responses.

Source: RFC 9112 (message syntax), RFC 9110 (semantics).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

MAX_HEAD_BYTES = 65_536
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
LAST_CHUNK = b"0\r\n\r\n"


class HttpRequest(NamedTuple):
    """One request, whole."""

    method: str
    path: str
    """Without the query."""
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes
    keep_alive: bool


class BadRequest(Exception):
    """Bytes that are no request, or one larger than allowed; the connection is of no more use."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class RequestReader:
    """Takes a connection's bytes as they come and gives its requests."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._data = bytearray()
        self._searched = 0
        self._head: tuple[str, str, dict[str, str], bool] | None = None
        self._told_to_go_on = False

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._data += data

    @property
    def wants_continue(self) -> bool:
        """Whether the client waits for `100 Continue`; true once per request."""
        if self._head is None or self._told_to_go_on:
            return False
        self._told_to_go_on = self._head[2].get("expect", "").lower() == "100-continue"
        return self._told_to_go_on

    def next_request(self) -> HttpRequest | None:
        """The next request, or None while it is not whole.

        Raises BadRequest.
        """
        if self._head is None and not self._read_head():
            return None
        assert self._head is not None
        method, path, headers, keep_alive = self._head
        if "transfer-encoding" in headers:
            body = self._chunked_body(headers["transfer-encoding"])
        else:
            body = self._sized_body(headers.get("content-length", "0"))
        if body is None:
            return None
        self._head, self._told_to_go_on = None, False
        return HttpRequest(method, path.partition("?")[0], headers, body, keep_alive)

    def _read_head(self) -> bool:
        data = self._data
        while data.startswith(b"\r\n"):  # RFC 9112 2.2: empty lines before a request
            del data[:2]
        end = data.find(b"\r\n\r\n", max(0, self._searched - 3))
        if (len(data) if end < 0 else end) > MAX_HEAD_BYTES:
            raise BadRequest(431, "the request's head is too long")
        if end < 0:
            self._searched = len(data)
            if data and not 0x41 <= data[0] <= 0x5A:
                raise BadRequest(400, "this is not HTTP/1.1")
            return False
        lines = bytes(data[:end]).split(b"\r\n")
        del data[: end + 4]
        self._searched = 0
        line = _REQUEST_LINE.fullmatch(lines[0])
        if line is None:
            raise BadRequest(400, "the request line is not HTTP/1.1")
        headers = _headers(lines[1:])
        words = headers.get("connection", "").lower()
        keep_alive = "close" not in words and (line[3] == b"1" or "keep-alive" in words)
        self._head = (line[1].decode(), line[2].decode(), headers, keep_alive)
        return True

    def _sized_body(self, length: str) -> bytes | None:
        if not (length.isascii() and length.isdigit()) or len(length) > 15:
            raise BadRequest(400, "Content-Length is no number")
        size = int(length)
        if size > self._max_body_bytes:
            raise BadRequest(413, "the request's body is too large")
        if len(self._data) < size:
            return None
        body = bytes(self._data[:size])
        del self._data[:size]
        return body

    def _chunked_body(self, coding: str) -> bytes | None:
        if coding.strip().lower() != "chunked":
            raise BadRequest(501, "only the transfer coding chunked is understood")
        data, position, parts, total = self._data, 0, list[bytes](), 0
        while True:
            line_end = data.find(b"\r\n", position)
            if line_end < 0:
                if len(data) - position > 4_096:
                    raise BadRequest(400, "a chunk-size line is too long")
                return None
            line = _CHUNK_LINE.fullmatch(data[position:line_end])
            if line is None:
                raise BadRequest(400, "a chunk size is no number")
            size, start = int(line[1], 16), line_end + 2
            total += size
            if total > self._max_body_bytes:
                raise BadRequest(413, "the request's body is too large")
            if size == 0:
                end = data.find(b"\r\n\r\n", line_end)
                if end < 0:
                    return None
                del data[: end + 4]
                return b"".join(parts)
            if len(data) < start + size + 2:
                return None
            if data[start + size : start + size + 2] != b"\r\n":
                raise BadRequest(400, "a chunk is longer than its size")
            parts.append(bytes(data[start : start + size]))
            position = start + size + 2


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise BadRequest(400, "a header line is not understood")
        name, value = match[1].decode().lower(), match[2].decode("latin-1")
        if name == "content-length" and headers.get(name, value) != value:
            raise BadRequest(400, "two different Content-Lengths")
        headers[name] = value
    return headers


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Status line and headers of a response."""
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Overloaded" if status == 529 else "Simulated"
    lines = [f"HTTP/1.1 {status} {reason}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def sized(status: int, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """A whole response."""
    return head(status, [*headers, ("Content-Length", str(len(body)))]) + body


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; nothing for no data, since an empty chunk would end it."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
