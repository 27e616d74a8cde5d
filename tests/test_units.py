"""Numbers and durations as a person reads them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench import units
from minionbench.units import duration, number_of, seconds, significant


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (0.001234, "0.00123"),
        (1.0, "1.00"),
        (1.005, "1.00"),  # 1.005 has no exact binary form; the nearest one is below
        (9.995, "9.99"),
        (9.999, "10.0"),
        (99.96, "100"),
        (999.5, "1,000"),
        (123_456, "123,000"),
        (1_234_567.0, "1,230,000"),
        (-0.05678, "-0.0568"),
        (-42.0, "-42.0"),
    ],
)
def test_a_number_has_three_significant_digits_and_no_exponent(value: float, written: str) -> None:
    assert significant(value) == written


def test_the_number_of_digits_can_be_chosen() -> None:
    assert significant(3.14159, 5) == "3.1416"
    assert significant(3.14159, 1) == "3"
    assert significant(0.000_098_7, 2) == "0.000099"


@given(st.floats(1e-9, 1e12), st.integers(1, 6))
def test_what_is_written_is_within_half_a_digit(value: float, digits: int) -> None:
    written = float(significant(value, digits).replace(",", ""))
    assert abs(written - value) <= value * 0.5000001 * 10 ** (1 - digits)


@given(st.floats(1e-9, 1e12), st.integers(1, 6))
def test_a_negative_number_is_its_opposite_with_a_sign(value: float, digits: int) -> None:
    assert significant(-value, digits) == f"-{significant(value, digits)}"


@pytest.mark.parametrize(
    ("value_s", "written"),
    [
        (0, "0 µs"),
        (0.00085, "850 µs"),
        (0.0123, "12.3 ms"),
        (1.25, "1.25 s"),
        (99.4, "99.4 s"),
        (200, "3 min 20 s"),
        (3_599.7, "60 min 0 s"),
        (-0.0123, "-12.3 ms"),
        (-200, "-3 min 20 s"),
        (0.999_9, "1.00 s"),
        (0.000_999_9, "1.00 ms"),
        (99.96, "1 min 40 s"),
    ],
)
def test_a_duration_has_the_unit_that_suits_it(value_s: float, written: str) -> None:
    assert duration(value_s) == written


@given(st.floats(1e-6, 1e6))
def test_no_duration_is_written_with_a_thousand_of_a_unit_that_has_a_larger_one(
    value_s: float,
) -> None:
    written = duration(value_s)
    number = re.fullmatch(r"([0-9.]+) (µs|ms|s)|(\d+) min (\d+) s", written)
    assert number, written
    if number[1]:
        assert 1 <= float(number[1]) < (100 if number[2] == "s" else 1_000)
    else:
        assert int(number[4]) < 60


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_longer_duration_never_reads_shorter(one_s: float, other_s: float) -> None:
    def read(written: str) -> float:
        factor = {"µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
        parts = written.split()
        return sum(float(n) * factor[unit] for n, unit in zip(parts[::2], parts[1::2], strict=True))

    shorter, longer = sorted((one_s, other_s))
    assert read(duration(shorter)) <= read(duration(longer)) * (1 + 1e-12)


def test_seconds_of_nanoseconds() -> None:
    assert seconds(1_500_000_000) == 1.5


def test_the_factors_agree_with_each_other() -> None:
    assert units.NS_PER_US * 1_000 == units.NS_PER_MS
    assert units.NS_PER_MS * units.MS_PER_S == units.NS_PER_S == 10**9
    assert units.BYTES_PER_GB == units.BYTES_PER_MB * 1_024 == 2**30
    assert units.J_PER_WH == 60 * 60


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 requests"), (1, "1 request"), (2, "2 requests"), (1_500, "1,500 requests")],
)
def test_a_count_has_its_noun_in_the_right_number(count: int, words: str) -> None:
    assert number_of(count, "request") == words


def test_a_plural_that_is_more_than_an_s_is_given() -> None:
    assert number_of(1, "request was", "requests were") == "1 request was"
    assert number_of(2, "request was", "requests were") == "2 requests were"
