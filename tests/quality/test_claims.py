"""Reading claims: every rule with an answer that keeps it and one that does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.quality.claims import Part, read_claims

SUM = Part(subject="12 + 30", value="42", type="number")
OTHER_SUM = Part(subject="47 + 38", value="85", type="number")
CAPITAL = Part(subject="capital of Zakoland", value="Taville")
CURRENCY = Part(subject="currency of Berguland", value="the moru")
DISTANCE = Part(subject="3.5 km", value="3500", type="number", unit="m")
DAY = Part(subject="day of the launch", value="4 May 2021", aliases=("May 4, 2021", "2021-05-04"))


def right(parts: list[Part], answer: str) -> list[bool | None]:
    """For each part: right, wrong, or unread (None)."""
    claims = read_claims(parts, answer)
    return [
        None if value is None else is_right
        for value, is_right in zip(claims.values, claims.right, strict=True)
    ]


@pytest.mark.parametrize(
    "answer",
    [
        "12 + 30 = 42. 47 + 38 = 85.",
        "12+30=42\n47+38=85",
        "1. 12 + 30 = 42\n2. 47 + 38 = 85",
        "- 12 + 30 is 42\n- 47 + 38 is 85",
        "47 + 38 = 85. 12 + 30 = 42.",
        "Here is the final answer:\n12 + 30 = 42. 47 + 38 = 85.",
        "12 + 30 = 42, 47 + 38 = 85.",
        "12 + 30 = 42 and 47 + 38 = 85",
        "**12 + 30 = 42.** **47 + 38 = 85.**",
        "12 + 30 = 42. 12 + 30 = 42.0. 47 + 38 = 85.",
        "The first sum is 42. The second sum is 85.",
        "42\n85",
        "42, 85",
        "42 and 85.",
        "The sums are 42 and 85.",
        "12 + 30 = 40 + 2 = 42. 47 + 38 = 85.",
        "12 + 30 = 042. 47 + 38 = 85",
    ],
)
def test_right_sums_are_read_in_every_plain_form(answer: str) -> None:
    assert right([SUM, OTHER_SUM], answer) == [True, True]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("12 + 30 = 43. 47 + 38 = 85.", [False, True]),
        ("12 + 30 = -42. 47 + 38 = 85.", [False, True]),
        ("12 + 30 = 42 or 43. 47 + 38 = 85.", [None, True]),
        ("12 + 30 = 42. 12 + 30 = 43. 47 + 38 = 85.", [None, True]),
        ("12 + 30 = 42 is wrong. 47 + 38 = 85.", [None, True]),
        ("12 + 30 is not 41 but 42. 47 + 38 = 85.", [None, True]),
        ("12 + 30 = 42 m. 47 + 38 = 85.", [None, True]),
        ("12 + 30 = 42.", [True, None]),
        ("112 + 30 = 42. 47 + 38 = 85.", [None, True]),
        ("12 + 30 = 42 + 0. 47 + 38 = 85.", [None, True]),
        ("42", [None, None]),
        ("42, 85, 7", [None, None]),
        ("The draft is correct.", [None, None]),
        ("", [None, None]),
    ],
)
def test_hedged_doubled_and_partial_answers_are_not_taken_for_right(
    answer: str, expected: list[bool | None]
) -> None:
    assert right([SUM, OTHER_SUM], answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            "The capital of Zakoland is Taville. The currency of Berguland is the moru.",
            [True, True],
        ),
        ("the CAPITAL of zakoland is TAVILLE; the currency of Berguland is moru", [True, True]),
        ("Taville is the capital of Zakoland. Currency of Berguland: moru", [True, True]),
        (
            "Taville is what is called the capital of Zakoland\nmoru is the currency of Berguland",
            [True, True],
        ),
        ("The capital of Zakoland is Tavilleburg. Currency of Berguland: moru", [False, True]),
        ("The capital of Zakoland is not Taville. Currency of Berguland: moru", [False, True]),
        (
            "The capital of Zakoland is Taville, not Oville. Currency of Berguland: moru",
            [False, True],
        ),
        ("The capital of Berguland is Taville. Currency of Berguland: moru", [None, True]),
    ],
)
def test_names_are_compared_as_a_whole(answer: str, expected: list[bool | None]) -> None:
    assert right([CAPITAL, CURRENCY], answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("3.5 km = 3,500 m.", True),
        ("3.5 km = 3500.0 m", True),
        ("3.5 km are 3500", True),
        ("3.5 km = 3500 cm", None),
        ("3.5 km = 3,50 m", None),
        ("3.5 km = 35,00 m", None),
        ("3.5 km = 350 m", False),
    ],
)
def test_a_number_may_carry_its_unit_and_separators_and_nothing_else(
    answer: str, expected: bool | None
) -> None:
    assert right([DISTANCE], answer) == [expected]


@pytest.mark.parametrize("written", ["4 May 2021", "May 4, 2021", "2021-05-04", "4 MAY 2021"])
def test_aliases_are_as_right_as_the_value(written: str) -> None:
    assert right([DAY], f"The day of the launch is {written}.") == [True]


def test_negative_numbers_keep_their_sign() -> None:
    part = Part(subject="5 - 9", value="-4", type="number")
    assert right([part], "5 - 9 = -4") == [True]
    assert right([part], "5 - 9 = −4.") == [True]
    assert right([part], "5 - 9 = 4.") == [False]
    zero = Part(subject="5 - 5", value="0", type="number")
    assert right([zero], "5 - 5 = -0.") == [True]


def test_what_was_read_is_told_apart_from_what_was_right() -> None:
    claims = read_claims([SUM, CAPITAL], "12 + 30 = 41. Nothing else.")
    assert claims.values == (("41",), None)
    assert claims.right == (False, False)
    assert not claims.read
    assert not claims.all_right
    assert read_claims([SUM], "12 + 30 = 42").all_right


@given(st.text())
def test_any_text_can_be_read_and_reading_it_twice_gives_the_same(text: str) -> None:
    parts = [SUM, CAPITAL, DISTANCE]
    assert read_claims(parts, text) == read_claims(parts, text)


@given(st.lists(st.sampled_from(["12 + 30", "=", "42", "43", ".", "\n", "and", ",", "is", "["])))
def test_a_sum_is_right_only_where_the_right_number_stands(pieces: list[str]) -> None:
    text = " ".join(pieces)
    if read_claims([SUM], text).all_right:
        assert "42" in pieces


def test_an_endless_answer_is_read_quickly_and_only_to_its_limit() -> None:
    assert not read_claims([SUM], "12 + 30 = 42 " * 100_000).all_right
    assert not read_claims([SUM], "9" * 1_000_000).all_right
    assert not read_claims([SUM], "12 + 30 = " + "\u0664\u0662").all_right
