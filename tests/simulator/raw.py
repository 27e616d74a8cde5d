"""A client that shows the bytes: no library between a test and what the simulator sends."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from minionbench.clock import monotonic_ns, sleep_s
from minionbench.simulator import Simulator
from minionbench.units import NS_PER_S

TIMEOUT_S = 20.0
SILENCE_S = 0.2
CHAT = "/v1/chat/completions"


class Received(NamedTuple):
    """What came until the end, and how the connection ended."""

    data: bytes
    ended: str
    """`closed`, `reset`, `open` where nothing more came, or `whole` where the answer was."""

    @property
    def head(self) -> str:
        return self.data.partition(b"\r\n\r\n")[0].decode("latin-1")

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1])

    @property
    def body(self) -> bytes:
        """The entity body, chunks taken apart as far as they go."""
        body = self.data.partition(b"\r\n\r\n")[2]
        if "transfer-encoding: chunked" not in self.head.lower():
            return body
        parts = []
        while body:
            line, _, rest = body.partition(b"\r\n")
            size = int(line, 16)
            parts.append(rest[:size])
            body = rest[size + 2 :]
        return b"".join(parts)

    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        for line in self.head.split("\r\n")[1:]:
            field, _, value = line.partition(": ")
            if field.lower() == name.lower():
                return value
        return None

    def events(self) -> list[Any]:
        """The JSON of the server-sent events before `[DONE]`."""
        data = [
            line.removeprefix(b"data: ")
            for line in self.body.split(b"\n")
            if line.startswith(b"data: ")
        ]
        return [json.loads(one) for one in data if one != b"[DONE]"]


def request_bytes(
    path: str, body: Any = None, *, method: str | None = None, **headers: str
) -> bytes:
    """A request; header names with `_` for `-`."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"{method or ('GET' if body is None else 'POST')} {path} HTTP/1.1",
        "Host: test",
        f"Content-Length: {len(data)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


Enough: TypeAlias = Callable[[bytes], bool]
"""Whether nothing more has to come: from then on a short silence is the end."""


def exchange(simulator: Simulator, data: bytes, enough: Enough | None = None) -> Received:
    """Sends bytes and reads until the answer is whole, the connection ends, or silence."""
    with socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S) as sock:
        sock.sendall(data)
        return read_answer(sock, enough)


def read_answer(sock: socket.socket, enough: Enough | None = None) -> Received:
    received = b""
    while True:
        had_enough = enough is not None and enough(received)
        sock.settimeout(SILENCE_S if had_enough else TIMEOUT_S)
        try:
            data = sock.recv(65_536)
        except ConnectionResetError:
            return Received(received, "reset")
        except TimeoutError:
            assert had_enough, f"no end of {received[-200:]!r}"
            return Received(received, "open")
        if not data:
            return Received(received, "closed")
        received += data
        if is_whole(received):
            return Received(received, "whole")


def wait_until(true: Callable[[], bool]) -> None:
    """Waits for the simulator's thread to come so far."""
    end_ns = monotonic_ns() + int(TIMEOUT_S * NS_PER_S)
    while not true():
        assert monotonic_ns() < end_ns, "the simulator did not come so far"
        sleep_s(0.001)


def is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length: "):
            return len(body) >= int(line.partition(b": ")[2])
        if line == b"transfer-encoding: chunked":
            return body.endswith(b"0\r\n\r\n")
    return False


def chat(text: str = "hello", **fields: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    return {"model": "sim", "messages": [{"role": "user", "content": text}], **fields}


def ask(
    simulator: Simulator,
    path: str,
    body: Any = None,
    *,
    enough: Enough | None = None,
    **headers: str,
) -> Received:
    """One request over a connection of its own."""
    return exchange(simulator, request_bytes(path, body, **headers), enough)
