"""Keys are taken out of all that is kept: servers like to quote the one that they refuse."""

from __future__ import annotations

import re
from collections.abc import Iterable

from minionbench.exchange import Endpoint, Secret

SECRET_CHARACTERS = 8
"""Shortest text that is treated as a secret, or as the beginning of one. What is shorter is a
placeholder for a server that wants no key, such as EMPTY, and may stand in any answer."""

_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)

_LOOKS_LIKE_KEY = re.compile(
    r"(?i:\bbearer\s+)\S{8,}"
    r"|(?<![A-Za-z0-9])sk-(?:\w+-)*\w{16,}"
    r"|(?<![A-Za-z0-9])(?:pk|rk)-[A-Za-z0-9]{20,}"
    r"|(?<![A-Za-z0-9])(?:xai|nvapi|glpat)-\w{20,}"
    r"|(?<![A-Za-z0-9])(?:gh[a-z]|github_pat|hf|gsk|r8|pplx|sk_live|sk_test)_[A-Za-z0-9]{20,}"
    r"|(?<![A-Za-z0-9])AIza[\w-]{30,}"
    r"|(?<![A-Za-z0-9])A[KS]IA[A-Z0-9]{16}"
    r"|\beyJ[\w-]{6,}\.[\w-]+\.[\w-]*"
)
"""What the well-known services issue, at the length at which they do: no model is called so."""


def looks_like_key(text: str) -> bool:
    """Whether a text holds what has the looks of a well-known service's key."""
    return _LOOKS_LIKE_KEY.search(text) is not None


def secrets_of(endpoint: Endpoint) -> list[str]:
    """The endpoint's key, and what those of its headers carry whose names speak of secrets."""
    return secrets_in(endpoint.key, endpoint.headers)


def secrets_in(key: Secret | None, headers: Iterable[tuple[str, str]]) -> list[str]:
    """A key, and what those headers carry whose names speak of secrets."""
    secrets = [key.reveal()] if key is not None else []
    for name, value in headers:
        if _SECRET_HEADER.search(name):
            # "Bearer KEY": the scheme is no secret.
            secrets.append(value.strip().rpartition(" ")[2])
    return secrets


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret taken out.

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
