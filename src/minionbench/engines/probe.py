"""Short questions to a server outside the measured path: is it there, what does it serve."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from typing import Any, NamedTuple

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


def one_line(text: str, limit: int = 300) -> str:
    """Foreign text made fit for a message: one line, printable, not long."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= limit else f"{flat[:limit]}…"


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
            status = response.status
        finally:
            deadline.cancel()
        if expired.is_set():
            raise ProbeError(f"no complete answer within {timeout_s:g} s")
    except TimeoutError as error:
        raise ProbeError(f"no answer within {timeout_s:g} s") from error
    except socket.gaierror as error:
        raise ProbeError(f"the name {url.host!r} cannot be resolved") from error
    except ConnectionRefusedError as error:
        raise ProbeError("the connection is refused: nothing listens there") from error
    except (OSError, UnicodeError) as error:
        reason = (
            f"no complete answer within {timeout_s:g} s"
            if expired.is_set()
            else one_line(str(error))
        )
        raise ProbeError(reason) from error
    except (http.client.HTTPException, ValueError) as error:
        if expired.is_set():
            raise ProbeError(f"no complete answer within {timeout_s:g} s") from error
        raise ProbeError(
            f"what answers there is no HTTP server ({type(error).__name__})"
        ) from error
    finally:
        connection.close()
    if len(answer) > MAX_ANSWER_BYTES:
        raise ProbeError(f"the answer is longer than {MAX_ANSWER_BYTES >> 20} MB")
    return ProbeAnswer(status, answer)


def _hang_up(sock: socket.socket, expired: threading.Event) -> None:
    expired.set()
    with contextlib.suppress(OSError):  # closed in the meantime: the answer is complete
        sock.shutdown(socket.SHUT_RDWR)
