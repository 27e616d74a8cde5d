"""Short questions to a server outside the measured path: is it there, what does it serve."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from minionbench.clock import monotonic_ns
from minionbench.engines.foreign import one_line
from minionbench.exchange import Outcome, Secret, Timeouts
from minionbench.transport.connection import Sending, Target
from minionbench.transport.http import Url, request_bytes
from minionbench.transport.loop import Transport
from minionbench.transport.stream import UnknownHost
from minionbench.units import NS_PER_MS
from minionbench.wire.secrecy import SECRET_CHARACTERS, hide, secrets_in

MAX_ANSWER_BYTES = 4 << 20
"""Longest answer that is read; lists of models have some thousands of bytes."""
MAX_LINES_BYTES = 1 << 40
"""Longest answer that is read line by line; nothing of it is kept."""
LOOK_NS = 100 * NS_PER_MS
"""How often a long answer is looked at for new lines."""


class ProbeError(Exception):
    """No HTTP answer came back; the message says why in a few words."""

    def __init__(self, message: str, *, distrusted: bool = False) -> None:
        """`distrusted` where a server is there but encryption did not come about; then the message
        says what to do, too."""
        super().__init__(message)
        self.distrusted = distrusted


class ProbeAnswer(NamedTuple):
    """Status, body and headers of an HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    """By their names in small letters."""
    secrets: tuple[Secret, ...] = ()
    """What was sent and must not be shown, should the server quote it."""

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
        message = hide(message, [secret.reveal() for secret in self.secrets])
        return f"HTTP {self.status}: {one_line(message)}"


def ask(
    url: Url,
    target: str,
    *,
    key: Secret | None = None,
    body: Any = None,
    headers: tuple[tuple[str, str], ...] = (),
    insecure: bool = False,
    timeout_s: float,
) -> ProbeAnswer:
    """Sends GET, or POST where there is a body, and returns the answer whatever its status.

    `target` is appended to the URL's own path; `headers` are sent along. The way there is that of
    the measured calls: the same proxies and the same trust, which `insecure` takes away. No
    redirect is followed. `timeout_s` bounds connecting, and then everything else as a whole: a
    server that sends a byte now and then does not hold us.

    Raises:
        ProbeError: no connection, no HTTP, no complete answer in time, or one that is too long.
        DeploymentError: the user's proxy or trusted certificates cannot be used.
    """
    secrets = secrets_in(key, headers)
    server = _target(url, insecure, _at_most(timeout_s), MAX_ANSWER_BYTES)
    payload = _request(url, target, body, key, headers)
    with Transport() as transport:
        sending = transport.submit(server, payload, monotonic_ns(), None)
        transport.step()
    return _answer(sending, timeout_s, secrets)


class Conversation:
    """Many questions to one server, one after the other, over a connection that is kept.

    A question is sent before the answer to the one before it is given out, so that the server
    works on it while that answer is being read. Ends with its block; what is under way then is
    dropped.
    """

    def __init__(self, url: Url, *, key: Secret | None = None, timeout_s: float) -> None:
        """`timeout_s` bounds each question as a whole; see `ask` for the rest.

        Raises ProbeError when the server's name cannot be resolved.
        """
        self.asked_ns = 0
        """Time in which a question was under way: from its sending until its answer was there."""
        self._url = url
        self._key = key
        self._timeout_s = timeout_s
        self._secrets = secrets_in(key, ())
        self._server = _target(url, False, _at_most(timeout_s), MAX_ANSWER_BYTES)
        self._transport = Transport()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def answers(self, questions: Iterable[tuple[str, Any]]) -> Iterator[ProbeAnswer]:
        """The answer to each (target, body), in order, whatever its status.

        Raises ProbeError as `ask` does.
        """
        under_way: Sending | None = None
        for target, body in questions:
            answer = None if under_way is None else self._awaited(under_way)
            under_way = self._sent(target, body)
            if answer is not None:
                yield answer
        if under_way is not None:
            yield self._awaited(under_way)

    def _sent(self, target: str, body: Any) -> Sending:
        kept = (("Connection", "keep-alive"),)
        payload = _request(self._url, target, body, self._key, kept)
        now_ns = monotonic_ns()
        sending = self._transport.submit(self._server, payload, now_ns, None)
        self._transport.step(until_ns=now_ns)
        return sending

    def _awaited(self, sending: Sending) -> ProbeAnswer:
        while not sending.ended:
            self._transport.step()
        exchange = sending.exchange
        if exchange.sent_ns is not None and exchange.end_ns is not None:
            self.asked_ns += exchange.end_ns - exchange.sent_ns
        return _answer(sending, self._timeout_s, self._secrets)


def _at_most(timeout_s: float) -> Timeouts:
    return Timeouts(
        connect_s=timeout_s, first_byte_s=timeout_s, idle_s=timeout_s, total_s=timeout_s
    )


def _answer(sending: Sending, timeout_s: float, secrets: list[str]) -> ProbeAnswer:
    """What came back. Raises ProbeError when that is no answer."""
    exchange = sending.exchange
    if exchange.outcome is not None or exchange.status is None:
        raise _error(sending, timeout_s, secrets)
    body_shown = _without(secrets, exchange.body)
    return ProbeAnswer(exchange.status, body_shown, exchange.headers, tuple(map(Secret, secrets)))


def ask_lines(
    url: Url,
    target: str,
    body: Any,
    *,
    key: Secret | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    insecure: bool = False,
    idle_s: float,
) -> Generator[bytes, None, None]:
    """Sends POST and yields the lines of the answer as they come, however long that takes.

    `idle_s` bounds each wait for more. An answer whose status is not 200 is its one line.

    Raises:
        ProbeError: no connection, no HTTP, silence for too long, a line too long, or a cut answer.
        DeploymentError: the user's proxy or trusted certificates cannot be used.
    """
    limits = Timeouts(connect_s=idle_s, first_byte_s=idle_s, idle_s=idle_s, total_s=math.inf)
    secrets = secrets_in(key, headers)
    server = _target(url, insecure, limits, MAX_LINES_BYTES)
    payload = _request(url, target, body, key, headers)
    with Transport() as transport:
        sending = transport.submit(server, payload, monotonic_ns(), None)
        rest = b""
        while not sending.ended:
            transport.step(until_ns=monotonic_ns() + LOOK_NS)
            *lines, rest = (rest + sending.take_body()).split(b"\n")
            for line in lines:
                yield _without(secrets, line) + b"\n"
            if len(rest) > MAX_ANSWER_BYTES:
                raise ProbeError(f"a line is longer than {MAX_ANSWER_BYTES >> 20} MB")
    if sending.exchange.outcome is not None:
        raise _error(sending, idle_s, secrets)
    if rest:
        yield _without(secrets, rest)


def _target(url: Url, insecure: bool, limits: Timeouts, max_bytes: int) -> Target:
    try:
        return Target.to(url, timeouts=limits, max_body_bytes=max_bytes, insecure=insecure)
    except UnknownHost as error:
        if error.host != url.host:
            raise  # it is the proxy's, and the user's to correct
        raise ProbeError(f"the name {url.host!r} cannot be resolved") from error


def _request(
    url: Url, target: str, body: Any, key: Secret | None, more: tuple[tuple[str, str], ...]
) -> bytes:
    own = [("Accept", "application/json"), ("Connection", "close")]
    if body is not None:
        own.append(("Content-Type", "application/json"))
    if key is not None:
        own.append(("Authorization", f"Bearer {key.reveal()}"))
    given = {name.lower() for name, _ in more}
    headers = (*(header for header in own if header[0].lower() not in given), *more)
    method, payload = ("GET", b"") if body is None else ("POST", json.dumps(body).encode())
    return request_bytes(method, url, target, headers, payload)


def _without(secrets: list[str], answer: bytes) -> bytes:
    """The answer without the secrets, which servers like to quote when they refuse them."""
    for secret in secrets:
        if len(secret) >= SECRET_CHARACTERS:
            answer = answer.replace(secret.encode(), "…".encode())
    return answer


def _error(sending: Sending, timeout_s: float, secrets: list[str]) -> ProbeError:
    return ProbeError(
        hide(_reason(sending, timeout_s), secrets),
        distrusted=sending.exchange.outcome is Outcome.TLS_FAILED,
    )


def _reason(sending: Sending, timeout_s: float) -> str:
    """Why there is no answer, in a few words."""
    exchange = sending.exchange
    said = exchange.failure.message if exchange.failure else ""
    direct = sending.target.route.proxy is None
    match exchange.outcome:
        case Outcome.CONNECT_FAILED if direct and os.strerror(errno.ECONNREFUSED) in said:
            return "the connection is refused: nothing listens there"
        case Outcome.FIRST_BYTE_TIMEOUT | Outcome.IDLE_TIMEOUT | Outcome.TOTAL_TIMEOUT:
            return f"no {'complete ' if exchange.reads else ''}answer within {timeout_s:g} s"
        case Outcome.TRUNCATED:
            return "the connection ended in the middle of the answer"
        case Outcome.MALFORMED:
            return f"what answers there is no HTTP server: {one_line(said)}"
        case Outcome.TOO_LARGE:
            return f"the answer is longer than {sending.target.max_body_bytes >> 20} MB"
        case _:
            return one_line(said)
