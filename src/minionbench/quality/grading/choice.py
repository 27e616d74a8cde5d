"""The grader `choice`: of several options the right one is named, and no other.

What is right is a letter (`B`; the text of that option may stand among the aliases), or the text
of an option itself. A letter is read where it is set apart as one: alone, in brackets, before a
bracket, full stop or colon, or after "option" or "answer". Where the answer names a letter, the
letter decides; else its text has to be the option, or to begin with it and go on about it.
Two different letters that are not denied are no choice.
"""

from __future__ import annotations

import re

from minionbench.exchange import Reference
from minionbench.quality.grading.final import Final, finals
from minionbench.quality.grading.judgement import Judgement, decided, impossible, unread
from minionbench.quality.grading.text import NOTHING_KNOWN, SHOWN, accepted
from minionbench.quality.grading.words import denied, plain, sentences, tokens

_LETTER = re.compile(r"\W*([A-Za-z])\W*")
LAST_LETTER = "J"
"""Of the options that are known by a letter."""

_ALONE = re.compile(
    r"[\s\"'*_`(\[{$]*(?:\\(?:text|mathrm|mathbf)\s*\{\W*)?([A-Ja-j])[\s\"'*_`)\]}$.:]*"
)
_SET_APART = re.compile(
    r"[(\[{]\s*([A-Ja-j])\s*[)\]}]|"  # (B)
    r"(?<![\w'])[*_]*([A-J])[*_]*(?:\)|[.:](?=\s|\*|$))|"  # B) B. B:
    r"\b(?i:option|choice|letter)\s+[*_\"'(]*([A-Ja-j])\b(?!')|"  # option b
    r"\b(?i:answer)\s+[*_\"'(]*([A-J])\b(?!')|"  # answer B
    r"\*\*([A-J])\*\*"  # **B**
)
_FIRST = re.compile(
    r"[\s\"'*_`]*([A-J])[*_`\"']*(?=\s*[,;–-]|\s+(?:because|since|as|is|for|was)\b)"
)
_ASIDE = re.compile(r"\([^()]{3,}\)")
_REASON = re.compile(r"[,;]?\s+(?:because|since|as|not|while|whereas|rather than)\b.*", re.DOTALL)
_GOES_ON = frozenset(
    ("was", "is", "were", "are", "has", "had", "with", "since", "because", "at", "in", "by", "of",
     "as", "for", "comes", "came", "stands", "stood", "fits", "wins", "$", "€", "£")
)  # fmt: skip
_REFUSED = frozenset(("wrong", "incorrect", "false"))
_LINKS = re.compile(r":(?![0-9])|=|\b(?:is|are|was|were|be|chose|choose|pick|select)\b", re.I)


def judge_choice(answer: str, reference: Reference, *, cut: bool = False) -> Judgement:
    """Whether an answer chooses the right option, by its letter or by its text."""
    if not tokens(reference.value) and not letter_of(reference.value):
        return impossible(NOTHING_KNOWN)
    letter = letter_of(reference.value)
    judged = unread("the answer is empty")
    for final in finals(answer, cut=cut):
        judged = _of_letter(final, letter, reference) if letter else _of_text(final, reference)
        if judged.grade == "right" or final.mark not in ("said", "none"):
            return judged
    return judged


def letter_of(value: str) -> str | None:
    """The letter that a known answer is, `B` or `(b)`; None where it is a text."""
    match = _LETTER.fullmatch(value)
    letter = match[1].upper() if match else None
    return letter if letter is not None and letter <= LAST_LETTER else None


def _of_letter(final: Final, letter: str, reference: Reference) -> Judgement:
    text = plain(final.text)
    for piece in _pieces(text, final.mark != "none"):
        named = _letters(piece, marked=final.mark != "none")
        if len(named) > 1:
            return decided(False, ", ".join(sorted(named)), "several options are named")
        if named:
            return decided(named == {letter}, next(iter(named)))
    by_text = Reference(kind="choice", value="", aliases=reference.aliases)
    if reference.aliases:
        return _of_text(final, by_text)
    return unread("no option is named")


def _pieces(text: str, marked: bool) -> list[str]:
    """Where to look for a letter, one after the other until one is found.

    Without a mark: the first line, where it is nothing but an option, then from the last sentence
    backwards. Lines that list the options again are not among them.
    """
    found = sentences(text)
    if marked:
        return [text] if found else []
    lines = [line for line in text.splitlines() if line.strip()]
    listed = [line for line in lines if _SET_APART.match(line.strip())]
    if len(listed) > 1:
        rest = [line for line in lines if line not in listed]
        return [piece for line in reversed(rest) for piece in reversed(sentences(line))]
    return [*listed[:1], *lines[:1], *reversed(found)]


def _letters(piece: str, *, marked: bool) -> set[str]:
    """The letters that a piece of text names and does not deny."""
    alone = _ALONE.fullmatch(piece)
    if alone:
        return {alone[1].upper()}
    text = _REASON.sub("", _ASIDE.sub(" ", piece))
    first = _FIRST.match(piece)
    named = {first[1]} if first and not _SET_APART.search(text) else set()
    for match in _SET_APART.finditer(text):
        before = tokens(text[max(0, match.start() - 30) : match.start()])[-2:]
        after = tokens(text[match.end() : match.end() + 30])
        letter = next(group for group in match.groups() if group).upper()
        if not denied((*before, letter, *after), len(before), 1):
            named.add(letter)
    if marked or named:
        # `B or C`: the second stands apart only by its neighbour.
        other = re.search(r"\b([A-J])\W{0,3}\s*(?:or|and|/|,)\s*\W{0,3}([A-J])\b(?!')", text)
        if other:
            named |= {other[1], other[2]}
    if marked and not named:
        bare = re.match(r"\W*([B-HJ])\b(?!')", text)
        named = {bare[1]} if bare else set()
    return named


def _of_text(final: Final, reference: Reference) -> Judgement:
    known = accepted(reference)
    text = plain(final.text)
    found = sentences(text)
    if not found:
        return unread("the answer is empty")
    piece = text if final.mark != "none" else found[-1]
    claims = [piece, *(piece[link.end() :] for link in _LINKS.finditer(piece))]
    claims += [_ASIDE.sub(" ", claim) for claim in claims]
    if any(_without_figures(claim) in known for claim in claims):
        return decided(not _turned(tokens(piece)), piece[:SHOWN])
    whole = tokens(piece)
    for words in known:
        rest = whole[len(words) :]
        begins = whole[: len(words)] == words
        if begins and rest and (rest[0] in _GOES_ON or rest[0][0].isdigit()):
            return decided(not _turned(rest), piece[:SHOWN])
    return decided(False, piece[:SHOWN])


def _turned(words: tuple[str, ...]) -> bool:
    """Whether a sentence says of its option that it is not the one, or offers another beside it."""
    return bool(_REFUSED.intersection(words)) or "or" in words or "not" in words


def _without_figures(text: str) -> tuple[str, ...]:
    """The words of a text without the numbers after them: `Net income 2023: 412`."""
    words = tokens(text)
    while words and words[-1][0].isdigit():
        words = words[:-1]
    return words
