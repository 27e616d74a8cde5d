"""Reading numbers with their signs, scales, currencies and percent signs out of prose.

Numbers are written as in the United States: `1,234.5`. What is written otherwise (`1.234,5`,
`12,34`) is no number here, since nobody can tell what it means. Values are exact fractions.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from minionbench.quality.grading.words import plain

NUMBER = r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?(?!,?[0-9])|[0-9]+(?:\.[0-9]+)?"
"""A number as prose writes it, without its sign."""
LONGEST_NUMBER = 60
"""Digits of a number that is read; longer ones are noise."""

SCALES = {
    "hundred": 100,
    **dict.fromkeys(("thousand", "k"), 10**3),
    **dict.fromkeys(("million", "mn", "mm", "mio", "m"), 10**6),
    **dict.fromkeys(("billion", "bn", "b"), 10**9),
    **dict.fromkeys(("trillion", "tn", "t"), 10**12),
}
_LETTERS = frozenset(("k", "m", "mm", "b", "t"))
"""Scales that are also units, or nothing: they count beside a currency or as a capital."""

CURRENCIES = {
    **dict.fromkeys(("$", "us$", "usd", "dollar", "dollars"), "USD"),
    **dict.fromkeys(("€", "eur", "euro", "euros"), "EUR"),
    **dict.fromkeys(("£", "gbp"), "GBP"),
    **dict.fromkeys(("chf",), "CHF"),
    **dict.fromkeys(("c$", "ca$", "cad"), "CAD"),
    **dict.fromkeys(("¥", "jpy", "yen"), "JPY"),
}

_LATEX = (
    (re.compile(r"\\(?:text|mathrm|mathbf|mbox)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\[dt]?frac\s*\{([0-9,.]+)\}\s*\{([0-9,.]+)\}"), r" \1/\2"),
    (re.compile(r"\\[dt]?frac\s*([0-9])\s*([0-9])"), r" \1/\2"),
    (re.compile(r"\{,\}|\\!|\\,(?=[0-9]{3})"), ","),
    (re.compile(r"\\(?:times|cdot)"), "×"),
    (re.compile(r"\\[$%]"), lambda match: match[0][1]),
    (re.compile(r"\\[()\[\]]|\\[,;: ]|\\approx|\$\$"), " "),
    # `$5$` is mathematics, `$5 and $6` is money.
    (re.compile(r"\$([^$\n]{1,200})\$(?![0-9])"), r"\1"),
    (re.compile(r"(?<=[0-9])[\u00a0\u2007\u2009\u202f'](?=[0-9]{3}(?![0-9]))"), ","),
)  # fmt: skip

_CURRENCY = r"US\$|CA\$|C\$|[$€£¥]|\b(?:USD|EUR|GBP|CHF|CAD|JPY)\b"
_SCALE = r"hundred|thousand|million|billion|trillion|mio|mn|bn|tn|mm|[kmbt]"
_QUANTITY = re.compile(
    rf"""
    (?<![\w.,:/^\\])
    (?P<open>\()?
    (?P<sign>[-+](?=\S))?
    (?P<currency>{_CURRENCY})?\s?
    (?P<inner>[-(])?\s?
    (?:(?P<whole>[0-9]{{1,9}})\s+(?=[0-9]{{1,9}}\s?/\s?[0-9]))?
    (?P<figure>{NUMBER}|\.[0-9]+)
    (?:\s?/\s?(?P<below>[0-9]{{1,9}}(?:\.[0-9]+)?))?
    (?:e(?P<e>[-+]?[0-9]{{1,2}})\b|\s?[×x*]\s?10\s?(?:\^|\*\*)\s?[{{(]?(?P<ten>[-+]?[0-9]{{1,2}})[}})]?)?
    (?![0-9]|[.,:/][0-9]|[a-z]+[0-9]|(?:st|nd|rd|th)\b)
    (?P<close>\))?
    (?:\s?-?(?P<scale>(?:{_SCALE}))s?(?![\w]))?
    (?:\s?(?P<percent>%|per\s?cent\b|pct\b|percentage\spoints?\b|pp\b)|
       \s?(?P<points>bps\b|basis\spoints?\b))?
    (?P<late>\))?
    (?:\s?(?P<after>USD|EUR|GBP|CHF|CAD|JPY|dollars?|euros?|yen|[€£¥])(?![\w]))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_YEAR = re.compile(r"(?:19|20)[0-9]{2}(?![0-9])")
_BEFORE_YEAR = re.compile(
    r"\b(?:in|of|for|from|to|and|by|since|until|during|end|years?|fiscal|fy|year-end|annual|"
    r"january|february|march|april|may|june|july|august|september|october|november|december)\s+$",
    re.IGNORECASE,
)


class Quantity(NamedTuple):
    """A number in a text."""

    value: Fraction
    """Without its scale and percent sign."""
    scale: int | None
    """1,000,000 for `million`; None where nothing is said."""
    percent: bool
    currency: str | None
    """ISO code; None where nothing is said."""
    is_year: bool
    """Whether it is said to be one: 1900 to 2099, bare, as in `in 2023` or `2023:`."""
    start: int
    end: int


def flat(text: str) -> str:
    """Prose as the numbers in it are read: plain characters, LaTeX and its dollars taken away."""
    text = text.replace("\u202f", "\u00a0").replace("\u2009", "\u00a0")
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    return plain(text)


def quantities(text: str) -> list[Quantity]:
    """The numbers of a text that went through `flat`, in order.

    Digits inside words (`Q2`, `FY2018`), ordinals, times of day and dates are none.
    """
    found = []
    for match in _QUANTITY.finditer(text):
        quantity = _quantity(match, text)
        if quantity is not None:
            found.append(quantity)
    return found


def _quantity(match: re.Match[str], text: str) -> Quantity | None:
    figure, below = match["figure"], match["below"]
    if len(figure) > LONGEST_NUMBER:
        return None
    value = Fraction(figure.replace(",", "") if figure[0] != "." else f"0{figure}")
    if below is not None:
        if Fraction(below) == 0:
            return None
        value = int(match["whole"] or 0) + value / Fraction(below)
    value *= Fraction(10) ** int(match["e"] or match["ten"] or 0)
    currency = match["currency"] or match["after"]
    scale = _scale(match, currency is not None)
    percent = match["percent"] is not None
    if match["points"] is not None:
        value, percent = value / 100, True
    if match["sign"] == "-" or match["inner"] == "-" or _in_brackets(match, text):
        value = -value
    bare = not (currency or scale or percent or match["sign"] or below or match["e"])
    return Quantity(
        value=value,
        scale=scale,
        percent=percent,
        currency=CURRENCIES[currency.lower()] if currency else None,
        is_year=bare and _says_year(text, match.start("figure"), match.end("figure")),
        start=match.start(),
        end=match.end(),
    )


def _says_year(text: str, start: int, end: int) -> bool:
    if _YEAR.match(text, start) is None or end - start != len("2023"):
        return False
    return (
        text[end : end + 1] == ":"
        or _BEFORE_YEAR.search(text[max(0, start - 20) : start]) is not None
    )


def _scale(match: re.Match[str], money: bool) -> int | None:
    word = match["scale"]
    if word is None:
        return None
    # `5 m` are metres; `$5 m`, `5M`, `5k` and `5 million` are scaled.
    attached = (word.isupper() or word == "k") and match.string[match.start("scale") - 1].isdigit()
    if word.lower() in _LETTERS and not (money or attached):
        return None
    return SCALES[word.lower()]


def _in_brackets(match: re.Match[str], text: str) -> bool:
    """Whether a number is negative as accounts write it: `(1,234)`, `$(5) million`.

    Only where the brackets hold nothing else and do not explain a number or word before them.
    """
    opened = match["open"] or match["inner"] == "("
    if not opened or not (match["close"] or match["late"]):
        return False
    before = text[max(0, match.start() - 20) : match.start()].rstrip(" *_|")
    return before == "" or before[-1] in ":=," or _LINK_BEFORE.search(before) is not None


_LINK_BEFORE = re.compile(r"\b(?:is|was|were|are|of|to|at|by|equals|totals|totalled)$", re.I)

_UNITS = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS = {
    word: 10 * number
    for number, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2
    )
}
_WORDS = re.compile(
    r"\b(?:{0})(?:(?:\s+and)?[\s-]+(?:{0}))*\b".format(
        "|".join((*_UNITS, *_TENS, "hundred", "thousand", "million", "billion"))
    ),
    re.IGNORECASE,
)


def spelled(text: str) -> list[tuple[int, Fraction]]:
    """The numbers written out as words, `twenty-one` or `two hundred and five`, with their places.

    Digits are for `quantities`; this is for texts without any.
    """
    return [(match.start(), _from_words(match[0])) for match in _WORDS.finditer(text)]


def _from_words(text: str) -> Fraction:
    whole = part = 0
    for word in re.split(r"[\s-]+", text.lower()):
        if word == "hundred":
            part = max(part, 1) * 100
        elif word in ("thousand", "million", "billion"):
            whole += max(part, 1) * SCALES[word]
            part = 0
        elif word != "and":
            part += _UNITS.get(word, 0) + _TENS.get(word, 0)
    return Fraction(whole + part)
