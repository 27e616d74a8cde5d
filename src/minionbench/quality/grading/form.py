"""The forms of a mathematical answer: values, equations, tuples, sets, intervals, matrices, words.

Two forms are the same when they are of one kind and their parts are the same: a set in any order, a
tuple and an interval in theirs and with their brackets. Values are the same when they are equal;
where the known one is a decimal, when the other rounds to it. An expression with letters is
computed at several points: equal at all of them is equal. `x = 5` is the value 5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from minionbench.quality.grading.arithmetic import Unreadable, Value
from minionbench.quality.grading.expression import LONGEST, Expression, plain_signs, read
from minionbench.quality.grading.words import tokens

MOST_PARTS = 30
CLOSENESS = 1e-9
"""Relative difference up to which values that are not rational count as equal: rounding."""
_POINTS = 4
"""Points at which expressions with letters are compared."""
_FEWEST_POINTS = 2

Kind = Literal["value", "text", "tuple", "set", "union", "relation", "matrix"]


class Form(NamedTuple):
    """A mathematical answer as it was read."""

    kind: Kind
    text: str
    """As it was written."""
    parts: tuple[Form, ...] = ()
    """Members, sides, or entries row by row."""
    sign: str = ""
    """The brackets of a tuple, the relation, or the number of columns."""
    expression: Expression | None = None
    percent: bool = False

    @property
    def letters(self) -> frozenset[str]:
        """All unknowns in it."""
        own = self.expression.letters if self.expression else frozenset()
        return own.union(*(part.letters for part in self.parts))


_CLEANED = (
    (re.compile(r"\\(?:left|right|[Bb]igg?[lr]?|displaystyle|textstyle|limits)(?![A-Za-z])"), ""),
    (re.compile(r"\\(?:dfrac|tfrac|cfrac)"), r"\\frac"),
    (re.compile(r"\^\s*(?:\\circ|\{\s*\\circ\s*\})|\\degree|\\circ|°"), ""),
    (re.compile(r"(?<=\\frac)\s*([0-9])\s*(?=[0-9{])"), r"{\1}"),
    (re.compile(r"(\\frac\s*\{[^{}]*\})\s*([0-9])"), r"\1{\2}"),
    (re.compile(r"\{,\}|\\!,|,\\!|(?<=[0-9])\\,(?=[0-9]{3}(?![0-9]))"), ","),
    (re.compile(r"\\(?:[,;:!]|quad|qquad|q?quad|hspace\{[^{}]*\})|~"), " "),
    (re.compile(r"\\text\s*\{\s*(?:and|or)\s*\}|\\(?:lor|land|vee|wedge)(?![A-Za-z])"), ","),
    (re.compile(r"\\(?:mbox|textrm|mathrm|textbf|mathbf|operatorname|textit)\s*\{"), r"\\text{"),
    (re.compile(r"\\leq?(?:slant)?(?![A-Za-z])|≤|<="), "≤"),
    (re.compile(r"\\geq?(?:slant)?(?![A-Za-z])|≥|>="), "≥"),
    (re.compile(r"\\neq?(?![A-Za-z])|≠|!="), "≠"),
    (re.compile(r"\\[lg]t(?![A-Za-z])"), lambda match: "<" if match[0] == r"\lt" else ">"),
    (re.compile(r"\\pm|\\mp|±"), "±"),
    (re.compile(r"\\cup|∪"), "∪"),
    (re.compile(r"\\infty|∞|\binfinity\b"), "∞"),
    (re.compile(r"\\\{|\\lbrace"), "⦃"),
    (re.compile(r"\\\}|\\rbrace"), "⦄"),
    (re.compile(r"\\emptyset|\\varnothing|∅"), "⦃⦄"),
    (re.compile(r"\\\$|\\textdollar|\$"), ""),
    (re.compile(r"\\%"), "%"),
)  # fmt: skip
_UNIT = re.compile(r"\\text\s*\{[^{}]*\}(?:\s*\^\s*\{?[0-9]\}?)?")
_ONLY_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_MATRIX = re.compile(r"\\begin\{[pbvBV]?matrix\}(.*)\\end\{[pbvBV]?matrix\}", re.DOTALL)
_RELATIONS = "=<>≤≥≠"
_FLIPPED = {"<": ">", ">": "<", "≤": "≥", "≥": "≤"}
_OPENING, _CLOSING = "([{⦃", ")]}⦄"
_THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_UNKNOWN = re.compile(r"[A-Za-z](?:_\{?\w+\}?)?|[a-z]\([a-z]\)|\\[a-z]+")
_TRAILING = re.compile(
    r"(?:\s+(?![xyzn]\b)|(?<=[0-9])(?=[A-Za-z]{2}))[A-Za-z]+\.?"
    r"(?:\^\{?[0-9]\}?|\s+[A-Za-z]+)*\s*$"
)
"""A unit or words after a value; a lone letter beside a number is an unknown."""


_SIGNS = re.compile(r"[0-9^_=+*/\\∞-]")
"""Signs that make more of a text than words."""


def form(text: str, letters: frozenset[str] | None = None) -> Form:
    """The form that a text is; words where it is no mathematics.

    `letters` are those of the known answer: other letters after a number are its unit.
    """
    if len(text) > 2 * LONGEST:
        return Form("text", text)
    return _form(_cleaned(text), letters, 0)


def _cleaned(text: str) -> str:
    text = plain_signs(text.strip())
    for pattern, replacement in _CLEANED:
        text = pattern.sub(replacement, text)
    return text.strip().rstrip(".;,").strip()


def _form(text: str, letters: frozenset[str] | None, depth: int) -> Form:
    text = text.strip()
    words = Form("text", text)
    only = _ONLY_TEXT.fullmatch(text)
    if only:
        return Form("text", only[1])
    if depth > 5 or not text:
        return words
    matrix = _MATRIX.fullmatch(text)
    if matrix:
        return _matrix(text, matrix[1], letters, depth)
    text = _UNIT.sub("", text).strip() or text

    def inner(part: str) -> Form:
        return _form(part, letters, depth + 1)

    union = _split(text, "∪")
    if len(union) > 1:
        return Form("union", text, tuple(map(inner, union)))
    members = _members(text)
    if len(members) > 1:
        return Form("set", text, tuple(map(inner, members)))
    related = _related(text, inner)
    if related is not None:
        return related
    if "±" in text:
        both = (text.replace("±", sign, 1) for sign in ("+", "-"))
        return Form("set", text, tuple(map(inner, both)))
    if text[0] in _OPENING and _closes(text):
        enclosed = _split(text[1:-1], ",")
        if text[0] == "⦃" or (text[0] == "{" and len(enclosed) > 1):
            return Form("set", text, tuple(map(inner, filter(None, enclosed))))
        if len(enclosed) > 1:
            return Form("tuple", text, tuple(map(inner, enclosed)), text[0] + text[-1])
    return _value(text, letters) or words


def _value(text: str, letters: frozenset[str] | None) -> Form | None:
    percent = text.endswith("%")
    bare = text.removesuffix("%").strip()
    if _THOUSANDS.fullmatch(bare):
        bare = bare.replace(",", "")
    if bare.replace("+", "").replace("-", "", 1).strip() == "∞":
        return Form("text", "-∞" if "-" in bare else "∞")
    for candidate in dict.fromkeys((bare, _TRAILING.sub("", bare).strip())):
        try:
            expression = read(candidate, letters)
        except Unreadable:
            continue
        if letters is None or expression.letters <= letters:
            return Form("value", text, (), "", expression, percent)
    try:
        return Form("value", text, (), "", read(bare, letters), percent)
    except Unreadable:
        return None


def _matrix(text: str, inside: str, letters: frozenset[str] | None, depth: int) -> Form:
    rows = [row.split("&") for row in inside.split("\\\\") if row.strip()]
    if not rows or len({len(row) for row in rows}) != 1 or len(rows) * len(rows[0]) > MOST_PARTS:
        return Form("text", text)
    entries = tuple(_form(entry, letters, depth + 1) for row in rows for entry in row)
    return Form("matrix", text, entries, str(len(rows[0])))


def _members(text: str) -> list[str]:
    """The members of a list without brackets: `1, 2`, `3 or 4`."""
    if _THOUSANDS.fullmatch(text.removesuffix("%").strip()):
        return [text]
    listed = re.sub(r"\s*,?\s+(?:or|and)\s+", ",", re.sub(r"^(?:either|both)\s+", "", text))
    return [part for part in _split(listed, ",") if part]


def _related(text: str, inner: Callable[[str], Form]) -> Form | None:
    """An equation or inequality; of a chain of equations the two ends."""
    at = [place for place, sign in _outside(text) if sign in _RELATIONS]
    if not at:
        return None
    sides = [text[start + 1 : end] for start, end in zip([-1, *at], [*at, len(text)], strict=True)]
    signs = [text[place] for place in at]
    if set(signs) == {"="}:
        sides, signs = [sides[0], sides[-1]], ["="]
    if len(sides) > 3 or not all(side.strip() for side in sides):
        return None
    if set(signs) <= {">", "≥"}:
        sides, signs = sides[::-1], [_FLIPPED[sign] for sign in reversed(signs)]
    return Form("relation", text, tuple(map(inner, sides)), "".join(signs))


def _outside(text: str) -> Iterator[tuple[int, str]]:
    """The characters of a text that stand in no brackets, with their places."""
    depth = 0
    for place, character in enumerate(text):
        if character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        elif depth == 0:
            yield place, character


def _split(text: str, separator: str) -> list[str]:
    at = [place for place, character in _outside(text) if character == separator]
    pairs = zip([-1, *at], [*at, len(text)], strict=True)
    return [text[start + 1 : end].strip() for start, end in pairs][: MOST_PARTS + 1]


def _closes(text: str) -> bool:
    """Whether the bracket that begins a text is closed by its last character."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth == 0:
            return place == len(text) - 1
    return False


def same(known: Form, given: Form) -> bool:
    """Whether a form states the same as the known one."""
    if known.kind == "set" and len(known.parts) == 1 and given.kind != "set":
        return same(known.parts[0], given)
    if given.kind == "set" and len(given.parts) == 1 and known.kind != "set":
        return same(known, given.parts[0])
    if known.kind == "set" and given.kind == "set":
        return _same_members(known.parts, given.parts)
    if known.kind != "relation" and given.kind == "relation" and (value := _solved(given, known)):
        return same(known, value)
    if known.kind == "relation" and given.kind != "relation" and (value := _solved(known, None)):
        return same(value, given)
    if "text" in (known.kind, given.kind):
        return _same_words(known.text, given.text)
    if known.kind != given.kind:
        return _compact(known.text) == _compact(given.text)
    if known.kind == "value":
        return _same_value(known, given)
    if known.kind == "union":
        return _same_members(known.parts, given.parts)
    if known.kind == "relation" and known.sign == given.sign == "=":
        return _proportional(known, given)
    alike = known.sign == given.sign and len(known.parts) == len(given.parts)
    return alike and all(map(same, known.parts, given.parts))


def _solved(relation: Form, known: Form | None) -> Form | None:
    """The value that an equation gives: `x = 5`, `5 = x`; with a known number also `a + b = 5`."""
    if relation.sign != "=":
        return None
    left, right = relation.parts
    if _UNKNOWN.fullmatch(left.text) or (known and not known.letters and not right.letters):
        return right
    return left if _UNKNOWN.fullmatch(right.text) else None


def _same_words(known: str, given: str) -> bool:
    if _SIGNS.search(known) or _SIGNS.search(given):
        return _compact(known) == _compact(given)
    return tokens(known) == tokens(given)


def _compact(text: str) -> str:
    return "".join(text.split())


def _same_members(known: Sequence[Form], given: Sequence[Form]) -> bool:
    """Whether two lists hold the same in any order; a member given twice counts once."""
    if max(len(known), len(given)) > MOST_PARTS:
        return False
    return all(any(same(one, other) for other in given) for one in known) and all(
        any(same(one, other) for one in known) for other in given
    )


def _same_value(known: Form, given: Form) -> bool:
    one, other = known.expression, given.expression
    if one is None or other is None:
        return False
    if known.percent == given.percent:
        return _equal(one, other)
    # 50 % is one half; beside a known number of at least 1 it may also be 50 of them.
    hundredth = read("1/100")
    if known.percent:
        return _equal(one, other) or _equal(one, other, given_times=100)
    size = _at(one, {})
    bare = isinstance(size, Fraction) and abs(size) >= 1
    return _equal(one, other, given_times=hundredth.at({})) or (bare and _equal(one, other))


def _equal(known: Expression, given: Expression, given_times: Value | int = 1) -> bool:
    half = Fraction(1, 2 * 10**known.decimals) if known.decimals else None
    letters = sorted(known.letters | given.letters)
    compared = 0
    for point in range(_POINTS if letters else 1):
        values: dict[str, Value] = {
            letter: _coordinate(at, point) for at, letter in enumerate(letters)
        }
        one, other = _at(known, values), _at(given, values)
        if one is None:
            continue
        if other is None or not _close(one, other * given_times, half):
            return False
        compared += 1
    return compared >= (_FEWEST_POINTS if letters else 1)


def _proportional(known: Form, given: Form) -> bool:
    """Whether two equations are the same up to a factor and the order of their sides."""
    sides = [part.expression for part in (*known.parts, *given.parts)]
    letters = sorted(known.letters | given.letters)
    ratios: list[Value] = []
    for point in range(_POINTS):
        values: dict[str, Value] = {
            letter: _coordinate(at, point) for at, letter in enumerate(letters)
        }
        found = [at for side in sides if side is not None and (at := _at(side, values)) is not None]
        if len(found) == len(sides) and found[0] != found[1]:
            ratios.append((found[2] - found[3]) / (found[0] - found[1]))
    close = len(ratios) >= _FEWEST_POINTS and abs(complex(ratios[0])) > CLOSENESS
    return close and all(_close(ratios[0], ratio, None) for ratio in ratios)


def _at(expression: Expression, values: dict[str, Value]) -> Value | None:
    try:
        return expression.at(values)
    except (Unreadable, KeyError):
        return None


def _coordinate(letter: int, point: int) -> Fraction:
    """Rational points of no special position, two of four on the negative side."""
    size = Fraction(31 + 17 * letter + 5 * point * point, 13 + 6 * point)
    return -size if point % 2 else size


def _close(one: Value, other: Value, half: Fraction | None) -> bool:
    if half is not None and isinstance(one, Fraction):
        if isinstance(other, Fraction):
            return abs(one - other) <= half
        return abs(other.imag) < CLOSENESS and abs(complex(one) - other) <= float(half)
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return one == other
    try:
        one, other = complex(one), complex(other)
    except OverflowError:
        return False
    return abs(one - other) <= max(CLOSENESS * max(abs(one), abs(other)), 1e-12)
