"""Faults on demand: what a server may do wrong, by name, and how a request asks for one.

A request asks in the header `x-simulate: FAULT[=ARG]`, or in a prompt that holds
`[[simulate:FAULT]]` or `[[simulate:FAULT=ARG]]`; several are separated by commas. The settings
give every request a fault with a probability.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from minionbench.errors import UsageError
from minionbench.simulator.asked import Refused
from minionbench.simulator.refusal import KINDS

HEADER = "x-simulate"
_IN_PROMPT = re.compile(r"\[\[simulate:([^\[\]\n]{1,200})\]\]")

REFUSALS: dict[str, str] = {
    "bad_request": "the request is not understood (400)",
    "unauthorized": "the key is wrong (401)",
    "payment": "the balance is used up (402)",
    "forbidden": "the key may not do this (403)",
    "not_found": "there is no such route (404)",
    "model_not_found": "there is no such model (404)",
    "timeout": "the request took too long (408)",
    "conflict": "the request is in conflict with another (409)",
    "too_large": "the request is too large (413)",
    "unprocessable": "the request cannot be processed (422)",
    "rate_limit": "too many requests (429); ARG: seconds of Retry-After",
    "quota": "no quota is left (429 insufficient_quota; Anthropic: 402)",
    "server_error": "the server failed (500)",
    "bad_gateway": "a proxy reached no server (502)",
    "unavailable": "the server does not serve at present (503); ARG: seconds of Retry-After",
    "overloaded": "the server is overloaded (503; Anthropic: 529)",
    "gateway_timeout": "a proxy waited too long (504)",
    "context_length": "the prompt is longer than the context (400)",
    "prompt_filter": "the prompt is refused by a content filter (400)",
    "echo_key": "401 whose message repeats the key that was sent",
    "http": "status ARG, 400 to 599, with an error of the protocol",
}
"""Faults that refuse the request, and what they are."""

FAULTS: dict[str, str] = {
    **REFUSALS,
    "error": "an error inside the answer, after ARG tokens (default 3)",
    "overload": "the same with the protocol's word for overload",
    "reset": "the connection is reset after ARG tokens; without ARG before any answer",
    "truncate": "the connection is closed inside the answer, after ARG tokens (default 3)",
    "missing_end": "the body ends properly, but without the protocol's end; after ARG tokens "
    "(default all)",
    "stall": "silence after ARG tokens (default 3), the connection open; ARG N:S goes on after "
    "S seconds",
    "keep_alive": "keep-alives for ARG seconds (default 1) before the first token; ARG S:N sends N",
    "garbage": "bytes that are no event, after ARG tokens (default 3)",
    "bad_json": "an event whose JSON is cut, after ARG tokens (default 3); the stream goes on",
    "invalid_utf8": "an event that is no UTF-8, after ARG tokens (default 3); the stream goes on",
    "strange_event": "an event that no client knows, after ARG tokens (default 3); harmless",
    "content_filter": "the answer is cut by a content filter after ARG tokens (default 3)",
    "empty": "an answer without a token",
    "no_usage": "no token counts",
    "wrong_usage": "the answer's tokens are reported as ARG too many (default 1)",
    "html": "status 200 with the page of a captive portal",
    "redirect": "307 to ARG (default https://example.org/)",
    "gigabyte": "an answer of ARG bytes (default 2^30) without the protocol's end, as fast as "
    "it is read",
    "bad_http": "bytes that are no HTTP",
    "bad_chunk": "a chunk size that is no number, after ARG tokens (default 3)",
    "short_body": "Content-Length promises more than comes",
    "close_silently": "a good answer, then the connection is closed without having said so",
    "delay": "everything ARG milliseconds later (default 100)",
}
"""All faults and what they are."""

DEFAULT_TOKENS = 3


class Fault(NamedTuple):
    """One fault with its argument."""

    name: str
    number: float | None = None
    """ARG, or its part before the colon; None where none was given."""
    second: float | None = None
    """The part of ARG after the colon."""
    text: str = ""
    """ARG as it was given."""

    def tokens(self, otherwise: int = DEFAULT_TOKENS) -> int:
        """After how many tokens it happens."""
        return otherwise if self.number is None else int(self.number)

    def __str__(self) -> str:
        return f"{self.name}={self.text}" if self.text else self.name


def read_fault(text: str) -> Fault:
    """The fault that a text names.

    Raises UsageError when there is no such fault, or not with that argument.
    """
    name, _, argument = text.strip().partition("=")
    if name not in FAULTS:
        raise UsageError(f"There is no fault {name!r}; there are {', '.join(FAULTS)}")
    if name == "redirect":
        if not all(character.isascii() and character.isprintable() for character in argument):
            raise UsageError("The fault redirect takes a URL")
        return Fault(name, text=argument)
    first, colon, second = argument.partition(":")
    numbers: list[float | None] = []
    for part, wanted in ((first, bool(argument)), (second, bool(colon))):
        try:
            numbers.append(float(part) if wanted and part else None)
        except ValueError:
            raise UsageError(f"The fault {name} takes a number, not {argument!r}") from None
    if colon and name not in ("stall", "keep_alive"):
        raise UsageError(f"The fault {name} takes one number, not {argument!r}")
    if any(number is not None and not 0 <= number < 2**53 for number in numbers):
        raise UsageError(f"The fault {name} takes a number that is not negative")
    if name == "http" and (numbers[0] is None or not 400 <= numbers[0] <= 599):
        raise UsageError("The fault http takes a status from 400 to 599, as http=418")
    return Fault(name, numbers[0], numbers[1], argument)


def read_faults(text: str) -> list[Fault]:
    """The faults of a list separated by commas.

    Raises UsageError as `read_fault` does.
    """
    return [read_fault(part) for part in text.split(",") if part.strip()]


def faults_in_prompt(text: str) -> list[Fault]:
    """The faults that a prompt asks for.

    Raises UsageError as `read_fault` does.
    """
    return [fault for found in _IN_PROMPT.findall(text) for fault in read_faults(found)]


def drawn_faults(rules: Sequence[tuple[str, float]], random: Random) -> list[Fault]:
    """The faults of the settings that this request gets: a draw for each."""
    return [read_fault(fault) for fault, probability in rules if random.random() < probability]


_STATUS_KINDS = {kind.status: name for name, kind in reversed(KINDS.items())}
_STATUS_KINDS |= {402: "payment", 429: "rate_limit", 503: "unavailable", 529: "overloaded"}


def refusal_of(fault: Fault, key: str | None, *, stream: bool) -> Refused | None:
    """The error with which a fault refuses the request; None for a fault of another sort.

    An answer that is not streamed has no inside: there an error in it is an error before it.
    """
    if fault.name in ("error", "overload") and not stream:
        kind = "server_error" if fault.name == "error" else "overloaded"
        return Refused(kind, f"simulated: {kind}")
    if fault.name not in REFUSALS:
        return None
    if fault.name == "http":
        status = int(fault.number or 500)
        kind = _STATUS_KINDS.get(status, "bad_request" if status < 500 else "server_error")
        return Refused(kind, f"simulated status {status}", status=status)
    if fault.name == "echo_key":
        return Refused("unauthorized", f"Incorrect API key provided: {key or ''}.")
    kind = "content_filter" if fault.name == "prompt_filter" else fault.name
    retry = fault.number if fault.name in ("rate_limit", "unavailable") else None
    if fault.name == "rate_limit" and retry is None:
        retry = 1.0
    return Refused(kind, f"simulated: {FAULTS[fault.name].partition(' (')[0]}", retry_after_s=retry)
