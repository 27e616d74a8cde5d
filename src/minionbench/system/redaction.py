"""Keeps keys out of what is written down: command lines, URLs, messages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

HIDDEN = "…"

SHORTEST_SECRET = 4
"""A known secret shorter than this is not searched for: it would blot out ordinary text."""

# fmt: off
_SECRET_WORDS = frozenset((
    "key", "keys", "apikey", "token", "secret", "pass", "password", "passwd", "pwd", "passphrase",
    "credential", "credentials", "auth", "authorization", "authentication", "bearer", "cookie",
    "signature", "sig",
))
"""A name with one of these words in it names a secret (`--input-tokens` does not)."""

_HARMLESS_HEADERS = frozenset((
    "accept", "accept-encoding", "accept-language", "content-type", "user-agent",
    "anthropic-version", "anthropic-beta", "openai-beta",
))
"""Headers whose values are shown; any other one may be the door key of somebody's server."""
# fmt: on

_PROGRAMS = ("--meter-command",)
"""Flags whose value is a program of the user's with its arguments. What those mean nobody here
knows, a password may be among them, and so the program alone is shown."""

_WORD_BREAK = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")

_FLAG = re.compile(r"(--?[A-Za-z][\w.-]*)(?:=(.*))?", re.DOTALL)

_USER_INFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^/\s?#]*|[^/\s?#]*:[^\s]*)@")
"""The part of a URL before its host; a password with a slash in it is part of it, too."""

_ASSIGNMENT = re.compile(r"([\w.%-]+)=([^&\s;#\"']+)")
"""`name=value` in a query or an environment."""

_PAIR = re.compile(
    r"""(["'])([^"'\\]+)\1(\s*:\s*)(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,}"']+)"""
)
"""`"name": value` in JSON."""

_HEADER_IN_TEXT = re.compile(
    r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|[\w-]*api-?key|[\w-]*token)(\s*:\s*)[^\"'\r\n]+"
)

_TOKENS = re.compile(
    r"(?i:\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}"
    r"|\b(?:sk|pk|rk|xai|nvapi|glpat)-[\w.-]{6,}"
    r"|\b(?:gh[a-z]|github_pat|hf|gsk|r8|pplx|sk_live|sk_test)_\w{8,}"
    r"|\bxox[a-z]-[\w-]{8,}"
    r"|\bAIza[\w-]{20,}"
    r"|\bA[KS]IA[A-Z0-9]{12,}"
    r"|\beyJ[\w-]{6,}\.[\w-]+\.[\w-]*"
)
"""Keys by their looks: what the well-known services issue."""


def redact(argv: Sequence[str], secrets: Iterable[str] = ()) -> str:
    """A command line as it may be kept: shell-quoted, with every key replaced by `…`.

    Hidden are the values of flags whose names say that they are secret (`--api-key…`,
    `--token`), of headers but for a few harmless ones, the arguments of a meter's program, and what
    `redact_text` finds in the rest.
    `secrets` are keys that are known, wherever they stand.
    """
    known = list(secrets)
    shown: list[str] = []
    value_is: str | None = None
    for argument in argv:
        if value_is is not None:
            shown.append(_value(value_is, argument, known))
            value_is = None
            continue
        if argument.startswith("-H") and argument != "-H" and not argument.startswith("-H="):
            shown.append("-H" + _header(argument[2:], known))
            continue
        match = _FLAG.fullmatch(argument)
        if match is None:
            shown.append(redact_text(argument, known))
            continue
        flag, value = match.groups()
        if value is None:
            shown.append(redact_text(flag, known))
            value_is = flag if _takes_secret(flag) else None
        else:
            shown.append(f"{flag}={_value(flag, value, known)}")
    return " ".join(_quoted(argument) for argument in shown)


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """A text with every key in it replaced by `…`.

    Found are the known `secrets`, user names and passwords in URLs, values whose name says that
    they are secret (in queries, JSON and headers), and keys of well-known services by their
    looks. Bytes that are no text are shown as escapes.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    text = _USER_INFO.sub(rf"\1{HIDDEN}@", text)
    text = _PAIR.sub(_hide_pair, text)
    text = _HEADER_IN_TEXT.sub(rf"\1\2{HIDDEN}", text)
    text = _ASSIGNMENT.sub(_hide_assignment, text)
    text = _TOKENS.sub(HIDDEN, text)
    return text.encode("utf-8", "backslashreplace").decode()


def _takes_secret(flag: str) -> bool:
    return flag in ("-H", "--header", *_PROGRAMS) or names_secret(flag)


def _value(flag: str, value: str, secrets: list[str]) -> str:
    if flag in ("-H", "--header"):
        return _header(value, secrets)
    if flag in _PROGRAMS:
        program, *arguments = value.split(maxsplit=1) or [""]
        return redact_text(f"{program} {HIDDEN}" if arguments else program, secrets)
    return HIDDEN if names_secret(flag) else redact_text(value, secrets)


def _header(header: str, secrets: list[str]) -> str:
    name, colon, value = header.partition(":")
    if not colon:
        return HIDDEN
    name = redact_text(name, secrets)
    if name.strip().lower() in _HARMLESS_HEADERS:
        return f"{name}:{redact_text(value, secrets)}"
    return f"{name}: {HIDDEN}"


def names_secret(name: str) -> bool:
    """Whether the name of a flag, a field or a variable says that its value is a secret."""
    words = [word.lower() for word in _WORD_BREAK.split(name)]
    return any(word in _SECRET_WORDS or word.endswith("apikey") for word in words)


def _hide_assignment(match: re.Match[str]) -> str:
    return f"{match[1]}={HIDDEN}" if names_secret(match[1]) else match[0]


def _hide_pair(match: re.Match[str]) -> str:
    quote, name, colon = match[1], match[2], match[3]
    return f'{quote}{name}{quote}{colon}"{HIDDEN}"' if names_secret(name) else match[0]


def _quoted(argument: str) -> str:
    """Shell-quoted where it has to be; the sign for something hidden needs no quotes."""
    plain = argument.replace(HIDDEN, "x")
    return argument if plain and shlex.quote(plain) == plain else shlex.quote(argument)
