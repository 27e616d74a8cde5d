"""Reading a mathematical expression, in LaTeX or plain, and computing its value.

A small language of its own: numbers, letters, + − × ÷ ^, fractions, roots, factorials, absolute
values, binomials and the usual functions. It is parsed by descent and computed by walking the
tree; nothing is ever executed. Rational values are exact; what is not rational is computed in
floating point. Sizes are bounded, so that `9^{9^9}` is refused instead of computed.
"""

from __future__ import annotations

import cmath
import re
import unicodedata
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from minionbench.quality.grading.arithmetic import (
    CONSTANTS,
    Meaning,
    Unreadable,
    Value,
    absolute,
    added,
    applied,
    binomial,
    constant,
    divided,
    factorial,
    multiplied,
    named_function,
    nth_root,
    paired,
    raised,
    square_root,
)

LONGEST = 400
"""Characters of an expression that is read."""
DEEPEST = 40
MOST_SIDE_BY_SIDE = 3
"""Letters that a product without signs may have."""


class Expression(NamedTuple):
    """An expression that was read."""

    meaning: Meaning
    letters: frozenset[str]
    """Its unknowns."""
    decimals: int | None
    """Decimal places, where it is nothing but a decimal number; else None."""

    def at(self, values: Mapping[str, Value]) -> Value:
        """Its value.

        Raises Unreadable where it has none, or none that can be computed.
        """
        try:
            value = self.meaning(values)
        except (ArithmeticError, ValueError, RecursionError) as error:
            raise Unreadable(f"it cannot be computed: {error}") from error
        if isinstance(value, complex) and not cmath.isfinite(value):
            raise Unreadable("its value is not finite")
        return value


_GREEK = frozenset(
    ("alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta",
     "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi", "chi",
     "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Sigma", "Phi", "Psi", "Omega")
)  # fmt: skip
_FUNCTIONS = frozenset(
    ("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
     "ln", "log", "exp", "sqrt")
)  # fmt: skip
_IGNORED = frozenset(
    ("left", "right", "displaystyle", "limits", "bigl", "bigr", "big", "Big", "quad", "qquad", ",",
     ";", ":", "!", " ", "mathrm", "mathbf", "mathit", "rm", "bf")
)  # fmt: skip
_SIGNS = {
    "cdot": "*", "times": "*", "ast": "*", "div": "/", "lbrace": "{", "rbrace": "}", "vert": "|",
    "lvert": "|", "rvert": "|",
}  # fmt: skip
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)|\\(?P<command>[A-Za-z]+|[,;:! %$])|"
    r"(?P<word>[A-Za-z]+)|(?P<sign>\*\*|[-+*/^_(){}\[\]|!]))"
)
_RAISED = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_UNICODE = str.maketrans(
    {
        **dict.fromkeys("−–‐‑", "-"),
        **dict.fromkeys("×·⋅∙*", "*"),
        **dict.fromkeys("÷⁄∕", "/"),
        **dict.fromkeys("\u00a0\u202f\u2009", " "),
        **{"π": r"\pi ", "√": r"\sqrt ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta "},
    }
)
_VULGAR = re.compile(r"[¼-¾⅐-⅞]")


def plain_signs(text: str) -> str:
    """The text with signs, superscripts and written fractions in one form each."""
    text = _RAISED.sub(lambda match: f"^{{{match[0].translate(_DIGITS)}}}", text)
    text = _VULGAR.sub(lambda match: f" {unicodedata.normalize('NFKC', match[0])}", text)
    return text.translate(_UNICODE)


def read(text: str, letters: frozenset[str] | None = None) -> Expression:
    """The expression that a text is.

    Letters side by side are a product where all of them are among `letters`, so that `5 cm` is no
    product of three; None allows products of up to three.

    Raises Unreadable when it is none.
    """
    if len(text) > LONGEST:
        raise Unreadable("it is too long")
    return _Reader(plain_signs(text), letters).whole()


class _Reader:
    """A descent through the tokens of one expression."""

    def __init__(self, text: str, letters: frozenset[str] | None) -> None:
        self._tokens = _lexed(text, letters)
        self._at = 0
        self._depth = 0
        self._letters: set[str] = set()

    def whole(self) -> Expression:
        if not self._tokens:
            raise Unreadable("it is empty")
        decimals = self._decimals()
        meaning = self._sum()
        if self._at < len(self._tokens):
            raise Unreadable(f"{self._tokens[self._at]!r} was not expected")
        return Expression(meaning, frozenset(self._letters), decimals)

    def _decimals(self) -> int | None:
        tokens = [token for token in self._tokens if token not in ("-", "+")]
        if len(tokens) != 1 or not _is_number(tokens[0]):
            return None
        return len(tokens[0].partition(".")[2])

    def _peek(self, ahead: int = 0) -> str | None:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else None

    def _take(self) -> str:
        token = self._peek()
        if token is None:
            raise Unreadable("it breaks off")
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise Unreadable(f"{token!r} was expected")

    def _sum(self) -> Meaning:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Unreadable("it is nested too deeply")
        meaning = self._product()
        while self._peek() in ("+", "-"):
            sign = 1 if self._take() == "+" else -1
            meaning = added(meaning, self._product(), sign)
        self._depth -= 1
        return meaning

    def _product(self) -> Meaning:
        if self._peek() in ("+", "-"):
            sign = self._take()
            inner = self._product()
            return inner if sign == "+" else added(constant(Fraction(0)), inner, -1)
        mixed = self._mixed()
        meaning = self._power() if mixed is None else mixed
        while True:
            token = self._peek()
            if token == "*":
                self._take()
                meaning = multiplied(meaning, self._signed_power())
            elif token == "/":
                self._take()
                meaning = divided(meaning, self._signed_power())
            elif token is not None and self._begins_factor(token):
                meaning = multiplied(meaning, self._power())
            else:
                return meaning

    def _signed_power(self) -> Meaning:
        """A factor that may carry its own sign, as in `2*-3`."""
        if self._peek() == "-":
            self._take()
            return added(constant(Fraction(0)), self._power(), -1)
        return self._power()

    def _mixed(self) -> Meaning | None:
        """A mixed number: `1 1/2`, `1\\frac{1}{2}`; None where none begins."""
        whole = self._peek()
        if whole is None or not whole.isdigit():
            return None
        above, slash, below = self._peek(1), self._peek(2), self._peek(3)
        if slash == "/" and above is not None and above.isdigit() and below and below.isdigit():
            self._at += 4
            return constant(_mixed_number(whole, above, below))
        shape = [self._peek(ahead) for ahead in range(1, 8)]
        frac, open_, top, close, open2, bottom, close2 = shape
        braces = (open_, close, open2, close2) == ("{", "}", "{", "}")
        if frac == "\\frac" and braces and top and bottom and top.isdigit() and bottom.isdigit():
            self._at += 8
            return constant(_mixed_number(whole, top, bottom))
        return None

    def _begins_factor(self, token: str) -> bool:
        return _is_number(token) or token[0] == "\\" or token in ("(", "{", "[") or token.isalpha()

    def _power(self) -> Meaning:
        start = self._at
        meaning = self._atom()
        while self._peek() == "!":
            self._take()
            meaning = applied(factorial, meaning)
        if self._peek() == "^":
            self._take()
            exponent = self._exponent()
            if self._tokens[start] == "e" and self._at - start >= 3:
                return applied(lambda value: cmath.exp(complex(value)), exponent)
            return raised(meaning, exponent)
        return meaning

    def _exponent(self) -> Meaning:
        token = self._peek()
        if token == "-":
            self._take()
            return added(constant(Fraction(0)), self._exponent(), -1)
        if token == "{":
            return self._atom()
        return self._power()

    def _atom(self) -> Meaning:
        token = self._take()
        if _is_number(token):
            return constant(Fraction(token if token[0] != "." else f"0{token}"))
        if token in ("(", "{", "["):
            meaning = self._sum()
            self._expect({"(": ")", "{": "}", "[": "]"}[token])
            return meaning
        if token == "|":
            meaning = self._sum()
            self._expect("|")
            return applied(absolute, meaning)
        name = token.removeprefix("\\")
        if name in ("frac", "dfrac", "tfrac"):
            return divided(self._argument(), self._argument())
        if name in ("binom", "dbinom", "tbinom"):
            return paired(binomial, self._argument(), self._argument())
        if name == "sqrt":
            return self._root()
        if name in _FUNCTIONS:
            return self._function(name)
        return self._letter(token, name)

    def _letter(self, token: str, name: str) -> Meaning:
        if name in CONSTANTS:
            return constant(CONSTANTS[name])
        if (token[0] == "\\" and name in _GREEK) or (len(token) == 1 and token.isalpha()):
            if self._peek() == "_":
                self._take()
                name += "_" + self._index()
            self._letters.add(name)
            return lambda values: values[name]
        raise Unreadable(f"{token!r} is not known")

    def _index(self) -> str:
        if self._peek() != "{":
            return self._take()
        self._take()
        index = self._take()
        self._expect("}")
        return index

    def _argument(self) -> Meaning:
        """What a command applies to: braces, or a single digit or letter as in `\\frac12`."""
        token = self._peek()
        if token is not None and token.isdigit() and len(token) > 1:
            self._tokens[self._at : self._at + 1] = list(token)
        return self._atom()

    def _root(self) -> Meaning:
        degree = None
        if self._peek() == "[":
            self._take()
            degree = self._sum()
            self._expect("]")
        token = self._peek()
        inner = self._argument() if token in ("{", "(") else self._power()
        return applied(square_root, inner) if degree is None else paired(nth_root, inner, degree)

    def _function(self, name: str) -> Meaning:
        base: Meaning | None = None
        exponent: Meaning | None = None
        if self._peek() == "_":
            self._take()
            base = self._argument()
        if self._peek() == "^":
            self._take()
            exponent = self._exponent()
        inner = self._atom() if self._peek() in ("(", "{") else self._product_of_function()
        if name == "log" and base is not None:
            meaning = paired(
                lambda value, to: cmath.log(complex(value)) / cmath.log(complex(to)), inner, base
            )
        else:
            meaning = applied(lambda value: named_function(name, value), inner)
        return meaning if exponent is None else raised(meaning, exponent)

    def _product_of_function(self) -> Meaning:
        """What a function without brackets applies to: `\\sin 2x`, `\\sin \\frac{x}{2}`."""
        meaning = self._power()
        while (token := self._peek()) is not None and self._begins_factor(token):
            if token.removeprefix("\\") in _FUNCTIONS:
                break
            meaning = multiplied(meaning, self._power())
        return meaning


def _is_number(token: str) -> bool:
    return token[0].isdigit() or (token[0] == "." and len(token) > 1)


def _lexed(text: str, letters: frozenset[str] | None) -> list[str]:
    found: list[str] = []
    at = 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Unreadable(f"{text[at]!r} is not known")
        at = match.end()
        if match["command"] is not None:
            name = match["command"]
            if name in _IGNORED:
                continue
            found.append(_SIGNS.get(name, f"\\{name}"))
        elif match["word"] is not None:
            found += _word(match["word"], letters)
        else:
            found.append(match["number"] or {"**": "^"}.get(match["sign"], match["sign"]))
    return found


def _word(word: str, letters: frozenset[str] | None) -> list[str]:
    """A run of letters: the name of a function or constant, or a product of single letters."""
    for name in sorted((*_FUNCTIONS, "pi"), key=len, reverse=True):
        before, found, after = word.partition(name)
        if found:
            rest = _word(after, letters) if after else []
            return [*(_word(before, letters) if before else []), f"\\{name}", *rest]
    allowed = len(word) <= MOST_SIDE_BY_SIDE if letters is None else letters.issuperset(word)
    if len(word) > 1 and not allowed:
        raise Unreadable(f"{word!r} is a word")
    return list(word)


def _mixed_number(whole: str, above: str, below: str) -> Fraction:
    if int(below) == 0:
        raise Unreadable("it divides by zero")
    return int(whole) + Fraction(int(above), int(below))
