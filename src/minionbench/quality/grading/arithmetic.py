"""The arithmetic of expressions: exact where it is rational, bounded in size, real roots first."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeAlias

Value: TypeAlias = Fraction | complex
Meaning: TypeAlias = Callable[[Mapping[str, Value]], Value]
"""Computes the value of an expression from those of its letters."""

MOST_BITS = 4_000
"""Size of an exact number."""
LARGEST_FACTORIAL = 150


class Unreadable(Exception):
    """The text is no expression of this language, or its value cannot be computed."""


CONSTANTS: dict[str, Value] = {"pi": complex(math.pi), "e": complex(math.e), "i": 1j}


def constant(value: Value) -> Meaning:
    """What does not depend on any letter."""
    return lambda values: value


def _checked(value: Value) -> Value:
    if isinstance(value, Fraction):
        bits = value.numerator.bit_length() + value.denominator.bit_length()
        if bits > MOST_BITS:
            raise Unreadable("its value is too large")
    return value


def added(one: Meaning, other: Meaning, sign: int) -> Meaning:
    """One and, times `sign`, another."""
    return lambda values: _checked(one(values) + sign * other(values))


def multiplied(one: Meaning, other: Meaning) -> Meaning:
    """One times another."""
    return lambda values: _checked(one(values) * other(values))


def divided(one: Meaning, other: Meaning) -> Meaning:
    """One through another."""
    return lambda values: _checked(one(values) / other(values))


def applied(function: Callable[[Value], Value], inner: Meaning) -> Meaning:
    """A function of a meaning's value."""
    return lambda values: _checked(function(inner(values)))


def paired(function: Callable[[Value, Value], Value], one: Meaning, other: Meaning) -> Meaning:
    """A function of two meanings' values."""
    return lambda values: _checked(function(one(values), other(values)))


def raised(base: Meaning, exponent: Meaning) -> Meaning:
    """One to the power of another."""
    return paired(_power_of, base, exponent)


def _power_of(base: Value, exponent: Value) -> Value:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            bits = base.numerator.bit_length() + base.denominator.bit_length()
            if abs(exponent.numerator) * bits > MOST_BITS:
                raise Unreadable("its value is too large")
            return Fraction(base**exponent.numerator)
        if exponent.denominator == 2:
            return _power_of(square_root(base), Fraction(exponent.numerator))
    return complex(base) ** complex(exponent)


def square_root(value: Value) -> Value:
    """The root, exact where it is rational."""
    if isinstance(value, Fraction) and value >= 0:
        above, below = math.isqrt(value.numerator), math.isqrt(value.denominator)
        if above * above == value.numerator and below * below == value.denominator:
            return Fraction(above, below)
    return cmath.sqrt(complex(value))


def nth_root(value: Value, degree: Value) -> Value:
    """The real root where there is one."""
    if isinstance(degree, Fraction) and degree == 2:
        return square_root(value)
    odd = isinstance(degree, Fraction) and degree.denominator == 1 and degree.numerator % 2 == 1
    if odd and isinstance(value, Fraction) and value < 0:
        return -nth_root(-value, degree)
    return complex(value) ** (1 / complex(degree))


def absolute(value: Value) -> Value:
    """The distance from zero."""
    return abs(value) if isinstance(value, Fraction) else complex(abs(value))


def _whole(value: Value) -> int:
    if not isinstance(value, Fraction) or value.denominator != 1:
        raise Unreadable("a whole number was expected")
    return value.numerator


def factorial(value: Value) -> Value:
    """n!"""
    number = _whole(value)
    if not 0 <= number <= LARGEST_FACTORIAL:
        raise Unreadable("the factorial is too large")
    return Fraction(math.factorial(number))


def binomial(above: Value, below: Value) -> Value:
    """n over k."""
    n, k = _whole(above), _whole(below)
    if not 0 <= k <= n <= LARGEST_FACTORIAL:
        raise Unreadable("the binomial is too large")
    return Fraction(math.comb(n, k))


def named_function(name: str, value: Value) -> Value:
    """A function by its name; `log` is the decimal logarithm."""
    number = complex(value)
    match name:
        case "ln":
            return cmath.log(number)
        case "log":
            return cmath.log10(number)
        case "cot":
            return 1 / cmath.tan(number)
        case "sec":
            return 1 / cmath.cos(number)
        case "csc":
            return 1 / cmath.sin(number)
        case "arcsin" | "arccos" | "arctan":
            inverse = {"arcsin": cmath.asin, "arccos": cmath.acos, "arctan": cmath.atan}
            return inverse[name](number)
        case _:
            plain: dict[str, Callable[[complex], complex]] = {
                "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "sinh": cmath.sinh,
                "cosh": cmath.cosh, "tanh": cmath.tanh, "exp": cmath.exp, "sqrt": cmath.sqrt,
            }  # fmt: skip
            return plain[name](number)
