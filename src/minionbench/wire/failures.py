"""What a server said when it refused: its statuses and error objects, put into one form."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from minionbench.exchange import Endpoint, Exchange, Failure, Outcome

MESSAGE_CHARACTERS = 500
"""Longest part of a server's own message that is kept."""
LONGEST_WAIT_S = 1e9
LOOKED_AT_BYTES = 4_096
"""A web page's title is looked for among its first bytes."""

_TOO_LONG_CODES = ("context_length_exceeded", "exceed_context_size_error")
_TOO_LONG = re.compile(
    r"context (?:length|window|size|limit)|(?:prompt|input) is too long|"
    r"longer than the (?:model's )?context",
    re.IGNORECASE,
)
_TOO_LONG_STATUSES = (400, 413, 422, 500)
"""Statuses under which a prompt is refused for its length; old local servers answer 500."""
_FILTER_CODES = (
    "content_filter",
    "content_policy_violation",
    "bio_policy",
    "misalignment_policy_violation",
)
_STATUS_OF_CODE = {"overloaded_error": 529, "rate_limit_error": 429, "rate_limit_exceeded": 429}
"""Statuses that belong to errors told inside a stream, whose own status was 200 by then."""
_NO_QUOTA = "insufficient_quota"
_TITLE = re.compile(rb"<title[^>]*>([^<]*)</title>", re.IGNORECASE)

_MEANINGS = {
    402: "the account at the provider has no credit left",
    408: "the server gave up waiting for the request",
    413: "the request is larger than the server takes",
    429: "too many requests",
    500: "the server failed",
    502: "a gateway got no answer from the server",
    503: "the server is overloaded or not ready",
    504: "a gateway waited in vain for the server",
    529: "the provider is overloaded",
}


def failure_of_status(exchange: Exchange, endpoint: Endpoint) -> Failure:
    """The failure of an answer whose status is not 2xx."""
    try:
        decoded = msgspec.json.decode(exchange.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        decoded = None
    error = decoded.get("error", decoded) if isinstance(decoded, dict) else None
    failure = failure_of_error_object(error, _raw_reason(exchange))
    status = exchange.status or 0
    beginning = f"HTTP {status}"
    meaning = _meaning(status, exchange, endpoint, failure)
    if meaning:
        beginning += f", {meaning}"
    if failure.message:
        beginning += f": {failure.message}"
    elif not meaning:
        beginning += ": the server gave no reason"
    return msgspec.structs.replace(
        failure,
        message=beginning,
        http_status=status,
        retry_after_s=_retry_after_s(exchange.headers),
    )


def failure_of_error_event(error: Any, raw: bytes) -> Failure:
    """The failure that a server tells of inside an answer that had begun."""
    failure = failure_of_error_object(error, raw)
    message = failure.message or "the server gave no reason"
    if _is_too_long(failure):
        message = f"{_too_long()}: {message}"
    status = failure.http_status or _STATUS_OF_CODE.get(failure.code or "")
    return msgspec.structs.replace(failure, message=message, http_status=status)


def failure_of_error_object(error: Any, raw: bytes) -> Failure:
    """What an `error` object (or text) says; `raw` is the text to fall back on.

    The message is empty where nothing is said.
    """
    message: Any = None
    code: Any = None
    status: Any = None
    if isinstance(error, dict):
        message = error.get("message") or error.get("detail")
        status = error.get("code")
        named = [error.get("code"), error.get("type")]
        named.sort(key=lambda name: not isinstance(name, str))
        code = next((name for name in named if name and name != "error"), None)
    elif isinstance(error, str):
        message = error
    if not isinstance(message, str) or not message:
        message = raw.decode("utf-8", "replace").strip()
    if isinstance(code, bool) or not isinstance(code, (str, int)):
        code = None
    is_status = isinstance(status, int) and not isinstance(status, bool) and 100 <= status < 600
    return Failure(
        message=_shortened(message),
        http_status=status if is_status else None,
        code=None if code is None else _shortened(str(code)),
    )


def outcome_of(failure: Failure, otherwise: Outcome) -> Outcome:
    """FILTERED for an error that says that the provider's filter did it."""
    return Outcome.FILTERED if failure.code in _FILTER_CODES else otherwise


def is_web_page(kind: str, body: bytes) -> bool:
    """Whether a body of this content type is HTML."""
    beginning = body[:LOOKED_AT_BYTES].lstrip()[:15].lower()
    return kind == "text/html" or beginning.startswith((b"<!doctype html", b"<html"))


def content_kind(exchange: Exchange) -> str:
    """The content type without its parameters, in small letters; empty where none is stated."""
    return exchange.headers.get("content-type", "").partition(";")[0].strip().lower()


def _raw_reason(exchange: Exchange) -> bytes:
    """What to quote from a body that holds no error object: of a web page, its title."""
    if content_kind(exchange) != "text/html":
        return exchange.body
    title = _TITLE.search(exchange.body[:LOOKED_AT_BYTES])
    name = b" ".join(title[1].split()) if title else b""
    return b'a web page, "' + name + b'"' if name else b"a web page"


def _meaning(status: int, exchange: Exchange, endpoint: Endpoint, failure: Failure) -> str | None:
    """What a status means to the person who asked; None where it says no more than its number."""
    if status in _TOO_LONG_STATUSES and _is_too_long(failure):
        return _too_long()
    if failure.code in _FILTER_CODES:
        return "the provider's filter refused the prompt"
    if 300 <= status < 400 and "location" in exchange.headers:
        return f"the server redirects {_origin(exchange.headers['location'])}; correct the base URL"
    if status in (401, 403):
        if endpoint.key is None:
            return "the server wants a key and none was set"
        return "the key was refused" if status == 401 else "the key was refused for this request"
    if status == 404:
        return f"the server does not know the model {endpoint.model!r}, or nothing is at this URL"
    if status == 429 and failure.code == _NO_QUOTA:
        return "the account's quota at the provider is used up"
    return _MEANINGS.get(status, "the server failed" if status >= 500 else None)


def _is_too_long(failure: Failure) -> bool:
    return failure.code in _TOO_LONG_CODES or bool(_TOO_LONG.search(failure.message))


def _too_long() -> str:
    return (
        "the prompt is longer than the model's context, or leaves no room in it for the answer; "
        "shorten it, ask for fewer tokens, or give the server a larger context"
    )


def _origin(location: str) -> str:
    """Where a redirect leads, without path, query or user name: they may hold something secret."""
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        return "to another path"
    shown = _shortened(f"[{host}]" if ":" in host else host)
    return f"to {parts.scheme}://{shown}" + (f":{port}" if port is not None else "")


def _shortened(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARACTERS else text[:MESSAGE_CHARACTERS] + "…"


def _retry_after_s(headers: dict[str, str]) -> float | None:
    """Seconds to wait as `retry-after-ms` or `retry-after` tell; None where nothing does.

    A date is held against the `date` of the same answer, so that no clock of ours comes in.
    """
    for name, per_s in (("retry-after-ms", 1_000), ("retry-after", 1)):
        value = headers.get(name, "").strip()
        if value.replace(".", "", 1).isdecimal() and value.isascii():
            return _bounded(float(value) / per_s)
    return _seconds_between(headers.get("date", ""), headers.get("retry-after", ""))


def _seconds_between(date: str, later: str) -> float | None:
    if not date or not later:
        return None
    from email.utils import parsedate_to_datetime

    try:
        wait = parsedate_to_datetime(later) - parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return None
    return _bounded(max(0.0, wait.total_seconds()))


def _bounded(wait_s: float) -> float | None:
    return wait_s if wait_s <= LONGEST_WAIT_S else None
