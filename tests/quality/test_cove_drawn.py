"""The built-in pairs: right in their own judgement and in an independent one."""

from __future__ import annotations

import datetime
import hashlib
import re
from operator import add, mul, sub, truediv

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.quality.claims import read_claims
from minionbench.quality.cove_drawn import (
    GENERAL_KINDS,
    KINDS,
    MONTHS,
    UNITS,
    VERSION,
    built_in_pairs,
)
from minionbench.quality.cove_items import by_kind, problem_with
from minionbench.quality.invented_facts import COUNTRIES

GOLDEN = "bee91b7212a2991fa6ad48378b5bfa4e24ac72b7106f20c292a098d406e35cc5"
"""SHA-256 of the pairs of seed 0: a new one needs a new VERSION."""


def test_there_are_more_than_a_hundred_pairs_and_as_many_of_each_kind() -> None:
    pairs = built_in_pairs().pairs
    assert len(pairs) == 112
    assert {kind: len(members) for kind, members in by_kind(pairs).items()} == dict.fromkeys(
        KINDS, 16
    )
    assert len({pair.pair_id for pair in pairs}) == len({pair.question for pair in pairs}) == 112


def test_kinds_can_be_left_out_and_the_source_says_so() -> None:
    general = built_in_pairs(number=12, kinds=GENERAL_KINDS)
    assert [pair.kind for pair in general.pairs[:6]] == list(GENERAL_KINDS)
    assert "facts" not in GENERAL_KINDS
    assert general.source == "builtin:cove@1:sums+arithmetic+units+dates+ordering+context"
    assert built_in_pairs(number=1).source == "builtin:cove@1"


def test_the_text_of_a_seed_never_changes_without_a_new_version() -> None:
    assert VERSION == 1
    text = msgspec.json.encode(built_in_pairs(0).pairs)
    assert hashlib.sha256(text).hexdigest() == GOLDEN


def test_a_pair_depends_on_its_seed_kind_and_place_only() -> None:
    few = built_in_pairs(3, 7).pairs
    many = built_in_pairs(3, 30).pairs
    sums = built_in_pairs(3, 4, ["sums"]).pairs
    assert many[:7] == few
    assert sums[1] == many[7]
    assert built_in_pairs(4, 7).pairs != few


@given(st.integers(), st.sampled_from(sorted(KINDS)))
@settings(max_examples=60)
def test_every_drawn_pair_has_one_error_in_one_draft(seed: int, kind: str) -> None:
    for pair in built_in_pairs(seed, 3, [kind]).pairs:
        assert problem_with(pair) is None
        assert 2 <= len(pair.parts) == len(pair.questions) <= 3
        assert pair.clean != pair.planted
        assert read_claims(pair.parts, pair.clean).all_right
        right = read_claims(pair.parts, pair.planted).right
        assert [number for number, is_right in enumerate(right) if not is_right] == [pair.error]


def test_a_pair_whose_parts_name_one_another_is_drawn_anew() -> None:
    # The first draw of this one is "56 days = 1,344 hours. 8 weeks = 56 days.", in which 56 days
    # stands twice.
    (pair,) = (
        pair
        for pair in built_in_pairs(0, 5200, ["units"]).pairs
        if pair.pair_id == "cove@1/0/units/5199"
    )
    assert problem_with(pair) is None
    assert "8 weeks" not in pair.question


def values(kind: str, seeds: int = 8) -> list[tuple[str, str, str | None]]:
    """(subject, right value, context) of many parts of a kind."""
    return [
        (part.subject, part.value, pair.context)
        for seed in range(seeds)
        for pair in built_in_pairs(seed, 6, [kind]).pairs
        for part in pair.parts
    ]


def test_sums_and_arithmetic_are_worked_out_rightly() -> None:
    seen = set()
    for subject, value, _ in values("sums") + values("arithmetic"):
        a, sign, b = subject.split()
        seen.add(sign)
        work_out = {"+": add, "-": sub, "×": mul, "/": truediv}[sign]
        assert int(value) == work_out(int(a), int(b))
    assert seen == {"+", "-", "×", "/"}


def test_units_are_converted_rightly() -> None:
    factors = {unit: factor for unit, _, factor in UNITS}
    for subject, value, _ in values("units"):
        amount, unit = subject.split(" ")
        assert int(value) == int(amount) * factors[unit]


def test_dates_are_worked_out_rightly() -> None:
    def day(text: str) -> datetime.date:
        number, month, year = text.split()
        return datetime.date(int(year), MONTHS.index(month) + 1, int(number))

    kinds = set()
    for subject, value, _ in values("dates"):
        if match := re.fullmatch(r"date (\d+) days after (.+)", subject):
            kinds.add("date")
            assert (day(value) - day(match[2])).days == int(match[1])
        elif match := re.fullmatch(r"number of days from (.+) to (.+)", subject):
            kinds.add("number")
            assert (day(match[2]) - day(match[1])).days == int(value)
        else:
            kinds.add("weekday")
            assert day(subject.removeprefix("weekday of ")).strftime("%A") == value
    assert kinds == {"date", "number", "weekday"}


def test_the_largest_smallest_first_and_last_are_found_rightly() -> None:
    for subject, value, _ in values("ordering"):
        asked, _, listed = subject.rpartition(" of ")
        members = listed.split(", ")
        assert len(set(members)) == 4
        choose = {"largest": max, "smallest": min}.get(asked)
        if choose is not None:
            assert int(value) == choose(map(int, members))
        else:
            assert value == sorted(members)[0 if "first" in asked else -1]


def test_what_is_asked_about_a_text_stands_in_it() -> None:
    for subject, value, context in values("context"):
        assert context is not None
        if subject.startswith("value of "):
            key = subject.removeprefix("value of ")
            assert re.search(rf"\b{key}: {int(value):,}[;.]", context)
        else:
            town = subject.rpartition(" in ")[2]
            (sentence,) = (s for s in context.split(". ") if town in s)
            assert value in sentence


def test_facts_are_those_of_the_invented_countries() -> None:
    by_name = {country.name: country for country in COUNTRIES}
    for subject, value, _ in values("facts"):
        kind, _, name = subject.partition(" of ")
        country = by_name[name]
        assert value == (country.capital if kind == "capital" else f"the {country.currency}")


def test_the_errors_are_spread_over_all_places() -> None:
    pairs = built_in_pairs(0, 210).pairs
    assert {pair.error for pair in pairs if len(pair.parts) == 3} == {0, 1, 2}
    assert {pair.error for pair in pairs if len(pair.parts) == 2} == {0, 1}


@pytest.mark.parametrize(
    ("number", "kinds", "words"),
    [(0, None, "0 pairs"), (5, ["sum"], "sum. Known: sums"), (5, [], "none. Known: sums")],
)
def test_nonsense_is_refused(number: int, kinds: list[str] | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        built_in_pairs(0, number, kinds)
