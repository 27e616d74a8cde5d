"""Text of a report: what documents, prompts and answers hold is hostile, and stays text."""

from __future__ import annotations

import html
import re

from minionbench.units import significant

ABSENT = "–"
REPLACED = "\N{REPLACEMENT CHARACTER}"

# What no XML may hold, and what would reorder the text around it.
_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_LINE_ENDS = re.compile(r"[\r\n\t\u2028\u2029]+")


def clean(text: str) -> str:
    """The text without characters that command a terminal, reorder a line or break XML.

    Line ends and tabs stay.
    """
    return _ODD.sub(REPLACED, text.replace("\r\n", "\n"))


def in_one_line(text: str) -> str:
    """The text as `clean` has it, with its line ends and tabs as spaces."""
    return _LINE_ENDS.sub(" ", clean(_LINE_ENDS.sub(" ", text)))


def markup(text: str) -> str:
    """The text as HTML that shows it and nothing else, inside an attribute too."""
    return html.escape(clean(text), quote=True)


def shortened(text: str, most: int) -> str:
    """The text in one line of at most so many characters, an ellipsis in its middle.

    Names of models differ at both ends: the family at one, the format at the other.
    """
    line = in_one_line(text)
    if len(line) <= most:
        return line
    kept = most - 1
    return f"{line[: kept - kept // 2]}…{line[len(line) - kept // 2 :]}"


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits; a dash where there is none."""
    if value is None:
        return ABSENT
    # Beyond these a number without exponent is a row of zeros.
    if value and not 1e-9 <= abs(value) < 1e15:
        return f"{value:.{digits - 1}e}"
    return significant(value, digits)


def bounds(low: float | None, high: float | None) -> str:
    """An interval's ends; what the data cannot bound stays open."""
    if low is None or high is None:
        if low is high:
            return "no interval"
        return f"≤ {number(high)}" if low is None else f"≥ {number(low)}"
    return f"{number(low)}–{number(high)}"


def listed(names: list[str], most: int | None = None) -> str:
    """Names as a sentence has them: a, b and c; beyond `most` the rest as a count."""
    if most is not None and len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def sentence(text: str) -> str:
    """The text with a capital at its beginning; everything else stays as it is."""
    return text[:1].upper() + text[1:]
