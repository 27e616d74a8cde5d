"""Reading what an answer claims about each part of a question, by fixed rules and strictly.

An answer is cut into sentences and lines. A part is read from the sentence that names its
subject ("12 + 30", "capital of Zakoland"): what stands after the last `=`, `:`, "is" or "are" is
the claimed value, or what stands before it where the subject comes second. Where the answer names
no subject and has as many sentences, or members of a list, as there are parts, they are taken in
order. A value is equal
only as a whole: "42 or 43" is not 42. What cannot be read so is unread, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from minionbench.quality.grading.quantity import NUMBER

Value: TypeAlias = tuple[str, ...]
"""A value in normal form: its words in lower case, numbers in decimal form."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a question asks, with what is right."""

    subject: str
    """Words that a sentence about it holds, such as `capital of Zakoland`."""
    value: str
    """The right value."""
    type: Literal["number", "text"] = "text"
    unit: str | None = None
    """Unit that may stand after a number; None where there is none."""
    aliases: tuple[str, ...] = ()
    """Other ways to write the right value."""

    def is_right(self, value: Value | None) -> bool:
        """Whether a value that was read is the right one."""
        return value is not None and value in _accepted(self)


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer claims: one value per part, in the order of the parts."""

    values: tuple[Value | None, ...]
    """None for a part about which nothing, or nothing clear, could be read."""
    right: tuple[bool, ...]

    @property
    def read(self) -> bool:
        """Whether every part could be read."""
        return None not in self.values

    @property
    def all_right(self) -> bool:
        """Whether every part is right."""
        return all(self.right)


_TOKEN = re.compile(rf"{NUMBER}|[^\W\d_]+(?:['’][^\W\d_]+)*|\S")
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")
_LIST_MARKER = re.compile(r"^\s*(?:\(?\d{1,3}[.):]|[-*•])\s+")
_LINKS = frozenset(("=", ":", "is", "are", "was", "were", "equals"))
_ARTICLES = frozenset(("the", "a", "an"))
_EDGES = frozenset((".", ",", ";", "!", "?", "*", "_", '"', "'", "`", "“", "”", "‘", "’", "and"))
_MINUS = frozenset(("-", "−"))
LONGEST_ANSWER = 20_000
"""Characters of an answer that are read; no answer to a few parts is nearly as long."""


def read_claims(parts: Sequence[Part], answer: str) -> Claims:
    """What an answer claims about each part."""
    sentences = _sentences(answer[:LONGEST_ANSWER])
    subjects = [_tokens(part.subject) for part in parts]
    by_part: list[set[Value | None]] = [set() for _ in parts]
    for sentence in sentences:
        for part, value in _claimed(parts, subjects, sentence):
            by_part[part].add(value)
    if not any(by_part):
        for part, value in enumerate(_in_order(sentences, len(parts))):
            by_part[part].add(_typed(parts[part], value))
    values = tuple(next(iter(found)) if len(found) == 1 else None for found in by_part)
    right = tuple(part.is_right(value) for part, value in zip(parts, values, strict=True))
    return Claims(values=values, right=right)


def _tokens(text: str) -> Value:
    return tuple(_plain(token) for token in _TOKEN.findall(text.casefold()))


def _plain(token: str) -> str:
    """A number without separators and needless zeros; any other token as it is."""
    if not _is_number(token):
        return token
    whole, _, part = token.replace(",", "").partition(".")
    part = part.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{part}" if part else "")


def _is_number(token: str) -> bool:
    return token[0].isascii() and token[0].isdigit()


def _sentences(answer: str) -> list[Value]:
    found = []
    for line in answer.splitlines():
        for piece in _SENTENCE_END.split(_LIST_MARKER.sub("", line)):
            tokens = _stripped(_tokens(piece))
            if tokens:
                found.append(tokens)
    return found


def _stripped(tokens: Value) -> Value:
    start, end = 0, len(tokens)
    while start < end and tokens[start] in _EDGES:
        start += 1
    while end > start and tokens[end - 1] in _EDGES | _ARTICLES:
        end -= 1
    return tokens[start:end]


def _claimed(
    parts: Sequence[Part], subjects: Sequence[Value], sentence: Value
) -> list[tuple[int, Value | None]]:
    """(part, value) of each subject that a sentence names; it is cut where the next begins."""
    places = sorted(
        (at, part) for part, subject in enumerate(subjects) for at in _places(subject, sentence)
    )
    claims = []
    for number, (at, part) in enumerate(places):
        start = at if number else 0
        end = places[number + 1][0] if number + 1 < len(places) else len(sentence)
        claims.append(
            (
                part,
                _typed(
                    parts[part], _of_subject(sentence[start:end], at - start, len(subjects[part]))
                ),
            )
        )
    return claims


def _places(subject: Value, sentence: Value) -> list[int]:
    size = len(subject)
    return [at for at in range(len(sentence) - size + 1) if sentence[at : at + size] == subject]


def _of_subject(sentence: Value, at: int, size: int) -> Value:
    """The value in a sentence that has its subject at a place: after the link, or before it."""
    after = sentence[at + size :]
    if _LINKS.intersection(after):
        return _after_link(after)
    before = sentence[:at]
    links = [place for place, token in enumerate(before) if token in _LINKS]
    return before[: links[0]] if links else ()


def _in_order(sentences: Sequence[Value], parts: int) -> list[Value]:
    """The values of an answer that names no subject, when there are as many as parts."""
    values = [_after_link(sentence) for sentence in sentences]
    if len(values) == 1 < parts:
        values = _split_list(values[0])
    return values if len(values) == parts else []


def _split_list(tokens: Value) -> list[Value]:
    """The members of a list such as `42, 85 and 7`."""
    members: list[Value] = [()]
    for token in tokens:
        if token not in (",", ";", "and"):
            members[-1] += (token,)
        elif members[-1]:
            members.append(())
    return [member for member in members if member]


def _after_link(tokens: Value) -> Value:
    links = [place for place, token in enumerate(tokens) if token in _LINKS]
    return tokens[links[-1] + 1 :] if links else tokens


def _typed(part: Part, tokens: Value) -> Value | None:
    """The tokens as a value of the part's type; None where they are none."""
    tokens = _stripped(tokens)
    while tokens and tokens[0] in _ARTICLES:
        tokens = tokens[1:]
    if not tokens:
        return None
    if part.type == "text":
        return tokens
    unit = _tokens(part.unit or "")
    if unit and tokens[-len(unit) :] == unit:
        tokens = tokens[: -len(unit)]
    negative = bool(tokens) and tokens[0] in _MINUS
    if len(tokens) != 1 + negative or not _is_number(tokens[-1]):
        return None
    return ("-", tokens[-1]) if negative and tokens[-1] != "0" else (tokens[-1],)


def _accepted(part: Part) -> set[Value | None]:
    return {_typed(part, _tokens(text)) for text in (part.value, *part.aliases)} - {None}
