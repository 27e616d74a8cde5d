"""The grader `maths`: the stated expression is equal to the known one.

`1/2`, `0.5`, `\\frac12`, `50\\%` and `x = \\tfrac{2}{4}` are the same; so are `(x+1)^2` and
`x^2+2x+1`, `\\sqrt{8}` and `2\\sqrt2`, and `{1, 2}` and `2 or 1` where both are known to be right.
A rounded decimal is not the exact value (`1.414` is not `\\sqrt2`), unless the known answer is a
decimal itself. A unit after the value is not looked at. How forms are compared: `form.same`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from minionbench.exchange import Reference
from minionbench.quality.grading.expression import LONGEST
from minionbench.quality.grading.final import Final, finals
from minionbench.quality.grading.form import Form, form, same
from minionbench.quality.grading.judgement import Judgement, decided, impossible, unread
from minionbench.quality.grading.quantity import flat, quantities
from minionbench.quality.grading.words import sentences

NO_EXPRESSION = "no expression could be read as the answer"

_SEGMENT = re.compile(r"\$\$?([^$]{1,400})\$\$?|\\\((.{1,400}?)\\\)|\\\[(.{1,400}?)\\\]", re.DOTALL)
_LINK = re.compile(r"(?:^|\s)(?:is|are|was|equals?|equal to|gives|gets?|get|be|to|:)\s*:?\s+")
_REASON = re.compile(r"[,;]?\s+(?:because|since|as|so that|where|which|when|if|for)\b.*", re.DOTALL)
_HEDGED = re.compile(r"\bor\b", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:about|exactly|simply|just|equal to|a total of|the|then|therefore)\s+")


def judge_maths(answer: str, reference: Reference, *, cut: bool = False) -> Judgement:
    """Whether the expression that an answer states is equal to the known one or an alias."""
    known = [form(text) for text in (reference.value, *reference.aliases) if text.strip()]
    if not known:
        return impossible("the known answer is empty")
    letters: frozenset[str] = frozenset().union(*(one.letters for one in known))
    worded = all(one.kind == "text" for one in known)
    for final in finals(answer, cut=cut):
        for text in _candidates(final):
            given = form(text, letters)
            if given.kind == "text" and not worded and not _sets_apart(given, known):
                continue
            right = any(same(one, given) for one in known)
            if worded and not right and given.kind != "text":
                continue
            return decided(right, text.strip())
        if final.mark in ("boxed", "named"):
            if worded:
                return decided(False, final.text[:LONGEST])
            break
    return unread(NO_EXPRESSION)


def _sets_apart(given: Form, known: list[Form]) -> bool:
    """Whether words are the known answer as it is written, though it is an expression."""
    return any(same(one, given) for one in known)


def _candidates(final: Final) -> Iterator[str]:
    """The texts that may be the stated expression, the likeliest first."""
    if final.mark == "boxed":
        yield final.text
        return
    if final.mark == "none":
        for sentence in reversed(sentences(final.text)):
            found = list(_in_sentence(sentence, marked=False))
            yield from found
            if found:
                return
        return
    yield from _in_sentence(final.text, marked=True)


def _in_sentence(sentence: str, *, marked: bool) -> Iterator[str]:
    segments = [next(filter(None, match.groups())) for match in _SEGMENT.finditer(sentence)]
    if len(segments) > 1 and _HEDGED.search(sentence):
        yield ", ".join(segments)
    elif segments:
        yield segments[0] if marked else segments[-1]
    else:
        text = _REASON.sub("", sentence.strip().rstrip(".!"))
        yield _ARTICLE.sub("", text)
        if marked:
            first = sentences(text)[:1]
            yield from (_ARTICLE.sub("", piece.rstrip(".!")) for piece in first)
        links = list(_LINK.finditer(text))
        if links:
            yield _ARTICLE.sub("", text[links[-1].end() :])
        if "=" in text:
            yield text.rpartition("=")[2]
        prose = flat(text)
        numbers = quantities(prose)
        if numbers:
            chosen = numbers[0] if marked else numbers[-1]
            yield prose[chosen.start : chosen.end]
