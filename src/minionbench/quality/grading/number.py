"""The graders `number` and `amount`: the stated number is the known one.

Both read the same way and differ in how exact the number has to be. `number`: equal to a whole
number; where the known answer has decimals, within half a unit of its last place, since it was
rounded itself. `amount`: within 0.5 % as well, for figures of reports, which gold answers round
at will (FinanceBench gives $8.70 billion for 8,738 million).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from minionbench.exchange import Reference
from minionbench.quality.grading.final import Final, finals
from minionbench.quality.grading.judgement import Judgement, decided, impossible, unread
from minionbench.quality.grading.quantity import (
    CURRENCIES,
    SCALES,
    Quantity,
    flat,
    quantities,
    spelled,
)
from minionbench.quality.grading.words import sentences
from minionbench.workloads.jsonl import as_decimal

AMOUNT_TOLERANCE = Fraction(5, 1000)
"""Largest relative difference of an amount from the known one."""

NEAR = 60
"""Characters before a number in which it can be denied or introduced."""
NOT_A_NUMBER = "the known answer is not a number"
NO_NUMBER = "no number could be read as the answer"

_LINK = re.compile(
    r"[=≈≅]|:(?![0-9])|\b(?:is|are|was|were|be|being|equals|equalled|totals|totalled|totaled|"
    r"makes|gives|becomes|has|have|had|amounts? to|amounted to|comes to)\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\([^()]*[A-Za-z=+][^()]*\)")
_REASONS = re.compile(
    r",?\s+(?:because|since|as\s+(?:the|shown|stated|seen)|given that|compared|versus|vs\.?|"
    r"up from|down from|based on|according to|rather than|instead of|unlike)\b.*|,\s*not\b.*|;.*",
    re.IGNORECASE | re.DOTALL,
)
_JOINED = re.compile(r"\s*(?:,?\s*(?:or|and|to|through)\s+|[-–/,~]\s*)(?:about|around|maybe)?\s*")
_NOT = re.compile(
    r"(?:\bnot|n't|\bnever|\brather than|\binstead of)\s+(?:(?!but\b)\w+\s+){0,2}$", re.I
)
_REFUSED = re.compile(
    r"\b(?:wrong|incorrect)\b|"
    r"(?:\bnot|n't)\s+(?:\w+\s+)?(?:right|correct|the (?:right |correct )?answer)\b",
    re.IGNORECASE,
)
_OPERATOR = re.compile(r"\s*(?:[+×*·^÷]|times\b|plus\b|minus\b)\s*[(]?[$]?\.?[0-9]")
_OPERATED = re.compile(r"[0-9)]\s*(?:[+×*·^÷]|times|plus|minus)\s*[(]?$")
_DOWNWARD = re.compile(
    r"\b(?:loss(?:es)?|decreas\w*|declin\w*|fell|fall\w*|drop\w*|down|negative|minus|outflow|"
    r"shrank|shrunk|reduc\w*|lower|less|deficit)\b",
    re.IGNORECASE,
)

_BEGINS = re.compile(
    rf"(?:\A|{_LINK.pattern})[\s*_\"']*(?:(?:about|only|exactly|just|a total of|minus)\s+)?$",
    re.IGNORECASE,
)
_PRONOUN = re.compile(r"one\s+(?:of|that|which|who|thing|way|can|could|cannot)\b", re.IGNORECASE)


class _Known(NamedTuple):
    """The right number, in whole units: millions and percent are resolved."""

    value: Fraction
    factor: Fraction
    """What a bare number is multiplied with: the reference's own scale, or 1/100."""
    half: Fraction
    """Half a unit of the last place that is given; 0 for a whole number."""
    percent: bool
    unitless: bool
    currency: str | None


class _Stated(NamedTuple):
    """What a text states: one number, or several alternatives."""

    numbers: tuple[Quantity, ...]
    shown: str
    downward: bool


def judge_number(answer: str, reference: Reference, *, cut: bool = False) -> Judgement:
    """Whether the number that an answer states is the known one, exactly or as it was rounded."""
    return _judge(answer, reference, cut, Fraction(0))


def judge_amount(answer: str, reference: Reference, *, cut: bool = False) -> Judgement:
    """Whether the amount that an answer states is the known one within 0.5 %."""
    return _judge(answer, reference, cut, AMOUNT_TOLERANCE)


def _judge(answer: str, reference: Reference, cut: bool, tolerance: Fraction) -> Judgement:
    known = [
        one
        for text in (reference.value, *reference.aliases)
        if (one := _known(text, reference.unit)) is not None
    ]
    if not known:
        return impossible(NOT_A_NUMBER)
    for final in finals(answer, cut=cut):
        stated = _stated(final)
        if stated is not None:
            several = len(stated.numbers) > 1
            right = all(
                any(_same(number, stated.downward, one, tolerance) for one in known)
                for number in stated.numbers
            )
            return decided(right, stated.shown, "several numbers are stated" if several else None)
    return unread(NO_NUMBER)


def _known(text: str, unit: str | None) -> _Known | None:
    decimal = as_decimal(text)
    if decimal is None:
        return None
    scale, percent, currency = _unit(unit)
    factor = Fraction(1, 100) if percent else Fraction(scale)
    places = len(decimal.partition(".")[2])
    half = Fraction(1, 2 * 10**places) if places else Fraction(0)
    return _Known(
        value=Fraction(decimal) * factor,
        factor=factor,
        half=half * factor,
        percent=percent,
        unitless=not percent and scale == 1 and currency is None,
        currency=currency,
    )


def _unit(unit: str | None) -> tuple[int, bool, str | None]:
    """Scale, percent and currency of a reference's unit; a unit of things is none of them."""
    scale, percent, currency = 1, False, None
    for word in (unit or "").lower().split():
        single = word.removesuffix("s")
        if word in ("%", "percent"):
            percent = True
        elif single in SCALES and len(single) > 2:
            scale = SCALES[single]
        elif word in CURRENCIES:
            currency = CURRENCIES[word]
    return scale, percent, currency


def _same(number: Quantity, downward: bool, known: _Known, tolerance: Fraction) -> bool:
    if known.currency and number.currency and known.currency != number.currency:
        return False
    allowed = max(known.half, abs(known.value) * tolerance)
    return any(
        abs(reading - known.value) <= allowed
        or (downward and known.value < 0 < reading and abs(-reading - known.value) <= allowed)
        for reading in _readings(number, known)
    )


def _readings(number: Quantity, known: _Known) -> Iterator[Fraction]:
    """What a number can mean beside a reference.

    A bare number has the reference's own scale, or is written out in full; beside a percentage it
    is one, or the same as a fraction. Beside a reference without any unit `65%` is 0.65, or 65
    where the reference is not below 1. A scale word counts where it stands.
    """
    value = number.value * (number.scale or 1)
    if number.percent:
        if known.percent or known.unitless:
            yield value / 100
        if known.unitless and abs(known.value) >= 1:
            yield value
    elif number.scale is not None:
        if not known.percent:
            yield value
    else:
        yield value * known.factor
        yield value


def _stated(final: Final) -> _Stated | None:
    """The number that a stretch of an answer states; None where none can be read."""
    text = flat(final.text)
    if final.mark != "none":
        pieces = sentences(text)
        return _claimed(pieces[0], True) or _claimed(text, True) if pieces else None
    for sentence in reversed(sentences(text)):
        stated = _claimed(sentence, False)
        if stated is not None:
            return stated
    return None


def _claimed(sentence: str, marked: bool) -> _Stated | None:
    """The number that a sentence states.

    It is the first one after the last link (`=`, `:`, is, was …) that a number follows. Without a
    link it is the first of a marked answer and the last of any other sentence. Numbers that look
    like years count only where there are no others.
    """
    if _REFUSED.search(sentence):
        return None
    text = _ASIDE.sub(lambda aside: " " * len(aside[0]), sentence)
    shorter, found = sentence, []
    for shorter in (_REASONS.sub("", text), text, sentence):
        found = _candidates(shorter)
        if found:
            break
    else:
        return _in_words(shorter)
    links = [link.end() for link in _LINK.finditer(shorter)]
    after = [n for link in links for n in (_first_from(found, link),) if n is not None]
    chosen = after[-1] if after else 0 if marked else len(found) - 1
    first, last = _group(found, chosen, shorter)
    group = tuple(found[first : last + 1])
    if _OPERATOR.match(shorter, group[-1].end) or _OPERATED.search(
        _before(shorter, group[0].start)
    ):
        return None
    start, end = group[0].start, group[-1].end
    return _Stated(group, shorter[start:end].strip(), _DOWNWARD.search(shorter[:end]) is not None)


def _candidates(text: str) -> list[Quantity]:
    found = [n for n in quantities(text) if not _NOT.search(_before(text, n.start))]
    return [n for n in found if not n.is_year] or found


def _before(text: str, place: int) -> str:
    """The words that stand directly before a place."""
    return text[max(0, place - NEAR) : place]


def _first_from(found: Sequence[Quantity], place: int) -> int | None:
    return next((at for at, number in enumerate(found) if number.start >= place), None)


def _group(found: Sequence[Quantity], chosen: int, text: str) -> tuple[int, int]:
    """The first and last of the numbers joined with the chosen one: `4 or 5`, `4-5`, `4, 5`."""
    first = last = chosen
    while last + 1 < len(found) and _joins(text, found[last], found[last + 1]):
        last += 1
    while first > 0 and _joins(text, found[first - 1], found[first]):
        first -= 1
    return first, last


def _joins(text: str, one: Quantity, other: Quantity) -> bool:
    return _JOINED.fullmatch(text, one.end, other.start) is not None


def _in_words(text: str) -> _Stated | None:
    """The number that a sentence without digits states in words: at its begin or after a link."""
    for place, value in reversed(spelled(text)):
        if _BEGINS.search(_before(text, place)) and not _PRONOUN.match(text, place):
            number = Quantity(value, None, False, None, False, place, len(text))
            return _Stated((number,), str(value), _DOWNWARD.search(text) is not None)
    return None
