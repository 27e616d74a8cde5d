"""Short questions to a server outside the measured path: is it there, what does it serve."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from typing import Any, NamedTuple

from minionbench.engines.foreign import one_line
from minionbench.exchange import Secret
from minionbench.transport.http import Url

MAX_ANSWER_BYTES = 4 << 20
"""Longest answer that is read; lists of models have some thousands of bytes."""


class ProbeError(Exception):
    """No HTTP answer came back; the message says why in a few words."""


class ProbeAnswer(NamedTuple):
    """Status and body of an HTTP answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def complaint(self) -> str:
        """What the server says is wrong, in one short line; its status where it says nothing."""
        document = self.json()
        error = document.get("error", document) if isinstance(document, dict) else document
        message = error.get("message") if isinstance(error, dict) else error
        if not isinstance(message, str) or not message.strip():
            return f"HTTP {self.status}"
        return f"HTTP {self.status}: {one_line(message)}"


def ask(
    url: Url, target: str, *, key: Secret | None = None, body: Any = None, timeout_s: float
) -> ProbeAnswer:
    """Sends GET, or POST where there is a body, and returns the answer whatever its status.

    `target` is appended to the URL's own path. No redirect is followed and no proxy is used.
    `timeout_s` bounds connecting, and then everything else as a whole: a server that sends a byte
    now and then does not hold us.

    Raises:
        ProbeError: no connection, no HTTP, no complete answer in time, or one that is too long.
    """
    headers = {"Accept": "application/json", "Connection": "close"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key.reveal()}"
    payload = None
    if body is not None:
        payload = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection(url.host, url.port, timeout=timeout_s)
    expired = threading.Event()
    try:
        connection.connect()
        deadline = threading.Timer(timeout_s, _hang_up, (connection.sock, expired))
        deadline.daemon = True
        deadline.start()
        try:
            method = "GET" if payload is None else "POST"
            connection.request(method, url.path + target, payload, headers)
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER_BYTES + 1)
            if expired.is_set() or (response.length and len(answer) <= MAX_ANSWER_BYTES):
                raise http.client.IncompleteRead(answer)
            status = response.status
        finally:
            deadline.cancel()
    except (OSError, http.client.HTTPException, ValueError) as error:
        if expired.is_set():
            raise ProbeError(f"no complete answer within {timeout_s:g} s") from error
        raise ProbeError(_reason(error, url, timeout_s)) from error
    finally:
        connection.close()
    if len(answer) > MAX_ANSWER_BYTES:
        raise ProbeError(f"the answer is longer than {MAX_ANSWER_BYTES >> 20} MB")
    return ProbeAnswer(status, answer)


def _reason(error: Exception, url: Url, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, socket.gaierror | UnicodeError):  # Unicode: no name can be so
        return f"the name {url.host!r} cannot be resolved"
    if isinstance(error, ConnectionRefusedError):
        return "the connection is refused: nothing listens there"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended in the middle of the answer"
    if isinstance(error, OSError):
        return one_line(str(error)) or type(error).__name__
    return f"what answers there is no HTTP server ({type(error).__name__})"


def _hang_up(sock: socket.socket, expired: threading.Event) -> None:
    expired.set()
    with contextlib.suppress(OSError):  # closed in the meantime: the answer is complete
        sock.shutdown(socket.SHUT_RDWR)
