"""Seeded draws: the same for a name, spread over all there is."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from minionbench.workloads.draws import Draws


def test_a_name_gives_the_same_draws_on_every_machine_and_version() -> None:
    draws = Draws("prefill@1/0/0/1200")
    assert [draws.below(1000) for _ in range(6)] == [129, 146, 609, 878, 50, 876]
    assert draws.shuffled("abcdef") == ["d", "f", "b", "c", "a", "e"]


def test_another_name_gives_other_draws() -> None:
    one, other = Draws("a"), Draws("b")
    assert [one.below(1000) for _ in range(5)] != [other.below(1000) for _ in range(5)]


@given(st.text(max_size=8), st.integers(1, 40))
def test_below_and_between_keep_their_bounds(name: str, limit: int) -> None:
    draws = Draws(name)
    assert all(0 <= draws.below(limit) < limit for _ in range(20))
    assert all(-limit <= draws.between(-limit, limit) <= limit for _ in range(20))


def test_both_bounds_of_between_are_reached_about_equally_often() -> None:
    draws = Draws("fair")
    counts = Counter(draws.between(1, 6) for _ in range(6000))
    assert set(counts) == {1, 2, 3, 4, 5, 6}
    assert all(850 < count < 1150 for count in counts.values())


@given(st.text(max_size=8), st.lists(st.integers(), unique=True, max_size=12), st.integers(0, 15))
def test_some_draws_no_item_twice(name: str, items: list[int], number: int) -> None:
    drawn = Draws(name).some(items, number)
    assert len(drawn) == len(set(drawn)) == min(number, len(items))
    assert set(drawn) <= set(items)


@given(st.text(max_size=8), st.lists(st.integers(), max_size=12))
def test_shuffled_keeps_every_item_and_leaves_the_original_alone(
    name: str, items: list[int]
) -> None:
    before = list(items)
    assert sorted(Draws(name).shuffled(items)) == sorted(items)
    assert items == before


def test_each_item_can_come_first_after_shuffling() -> None:
    draws = Draws("first")
    counts = Counter(draws.shuffled("abc")[0] for _ in range(3000))
    assert all(850 < counts[letter] < 1150 for letter in "abc")


def test_chance_follows_its_probability() -> None:
    draws = Draws("chance")
    assert not any(draws.chance(0.0) for _ in range(50))
    assert all(draws.chance(1.0) for _ in range(50))
    assert 800 < sum(draws.chance(0.3) for _ in range(3000)) < 1000
