"""What a server said when it refused: its error objects, put into one form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from minionbench.exchange import Exchange, Failure

MESSAGE_CHARACTERS = 500
"""Longest part of a server's own message that is kept."""


def failure_of_status(exchange: Exchange) -> Failure:
    """The failure of an answer whose status is not 2xx."""
    try:
        decoded = msgspec.json.decode(exchange.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        decoded = None
    error = decoded.get("error", decoded) if isinstance(decoded, dict) else None
    failure = failure_of_error_object(error, exchange.body)
    return msgspec.structs.replace(
        failure,
        message=f"HTTP {exchange.status}: {failure.message}",
        http_status=exchange.status,
        retry_after_s=_retry_after_s(exchange.headers),
    )


def failure_of_error_object(error: Any, raw: bytes) -> Failure:
    """The failure that an `error` object (or text) describes; `raw` is the text to fall back on."""
    message: Any = None
    code: Any = None
    if isinstance(error, dict):
        message = error.get("message") or error.get("detail")
        code = error.get("code") or error.get("type")
    elif isinstance(error, str):
        message = error
    if not isinstance(message, str) or not message:
        message = raw.decode("utf-8", "replace").strip() or "the server gave no reason"
    if len(message) > MESSAGE_CHARACTERS:
        message = message[:MESSAGE_CHARACTERS] + "…"
    return Failure(
        message=message,
        http_status=code if isinstance(code, int) and 100 <= code < 600 else None,
        code=str(code) if isinstance(code, (str, int)) else None,
    )


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret taken out: servers like to quote the key they refuse."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return text


def _retry_after_s(headers: dict[str, str]) -> float | None:
    """Seconds to wait as `retry-after-ms` or `retry-after` tell; None for a date or nothing."""
    for name, per_s in (("retry-after-ms", 1_000), ("retry-after", 1)):
        value = headers.get(name, "").strip()
        if value.replace(".", "", 1).isdecimal() and value.isascii():
            return float(value) / per_s
    return None
