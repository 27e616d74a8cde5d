"""What a server said when it refused: its error objects, put into one form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from minionbench.exchange import Exchange, Failure

MESSAGE_CHARACTERS = 500
"""Longest part of a server's own message that is kept."""
SECRET_CHARACTERS = 8
"""Shortest text that is treated as a secret, or as the beginning of one. What is shorter is a
placeholder for a server that wants no key, such as EMPTY, and may stand in any answer."""
LONGEST_WAIT_S = 1e9


def failure_of_status(exchange: Exchange) -> Failure:
    """The failure of an answer whose status is not 2xx."""
    try:
        decoded = msgspec.json.decode(exchange.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
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
    if isinstance(code, bool) or not isinstance(code, (str, int)):
        code = None
    return Failure(
        message=_shortened(message),
        http_status=code if isinstance(code, int) and 100 <= code < 600 else None,
        code=None if code is None else _shortened(str(code)),
    )


def _shortened(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARACTERS else text[:MESSAGE_CHARACTERS] + "…"


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret taken out: servers like to quote the key they refuse.

    The beginning of a secret goes too, since a quotation may have been cut within it.
    """
    for secret in secrets:
        beginning, rest = secret[:SECRET_CHARACTERS], secret[SECRET_CHARACTERS:]
        if len(beginning) == SECRET_CHARACTERS and beginning in text:
            first, *others = text.split(beginning)
            text = "…".join([first, *(_without(rest, other) for other in others)])
    return text


def _without(beginning: str, text: str) -> str:
    """The text without so much of its beginning as it has in common with this one."""
    pairs = enumerate(zip(text, beginning, strict=False))
    shorter = min(len(text), len(beginning))
    return text[next((i for i, (ours, theirs) in pairs if ours != theirs), shorter) :]


def _retry_after_s(headers: dict[str, str]) -> float | None:
    """Seconds to wait as `retry-after-ms` or `retry-after` tell; None for a date or nothing."""
    for name, per_s in (("retry-after-ms", 1_000), ("retry-after", 1)):
        value = headers.get(name, "").strip()
        if value.replace(".", "", 1).isdecimal() and value.isascii():
            wait_s = float(value) / per_s
            return wait_s if wait_s <= LONGEST_WAIT_S else None
    return None
