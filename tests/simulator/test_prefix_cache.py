"""The prefix cache knows exactly the whole blocks that earlier prompts began with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minionbench.simulator.prefix_cache import PrefixCache

PROMPTS = st.lists(st.sampled_from("ab"), max_size=20)


@given(earlier=st.lists(PROMPTS, max_size=4), prompt=PROMPTS, block=st.integers(1, 4))
def test_the_match_is_the_longest_common_beginning_in_blocks(
    earlier: list[list[str]], prompt: list[str], block: int
) -> None:
    cache = PrefixCache(block)
    for one in earlier:
        cache.add(one)
    longest = 0
    for one in earlier:
        common = 0
        while common < min(len(one), len(prompt)) and one[common] == prompt[common]:
            common += 1
        longest = max(longest, common // block * block)
    if longest >= len(prompt):
        longest = max(0, (len(prompt) - 1) // block * block)
    assert cache.match(prompt) == longest


def test_one_token_of_a_known_prompt_is_always_run() -> None:
    cache = PrefixCache(1)
    cache.add(["a", "b", "c"])
    assert cache.match(["a", "b", "c"]) == 2


def test_another_salt_shares_nothing() -> None:
    cache = PrefixCache(1)
    cache.add(["a", "b"], "mine")
    assert cache.match(["a", "b", "c"], "mine") == 2
    assert cache.match(["a", "b", "c"], "yours") == 0


def test_the_least_recently_used_is_forgotten() -> None:
    cache = PrefixCache(1, capacity_tokens=2)
    cache.add(["a"])
    cache.add(["b"])
    assert cache.match(["a", "x"]) == 1
    cache.add(["c"])
    assert [cache.match([one, "x"]) for one in "abc"] == [1, 0, 1]


def test_clearing_forgets_everything() -> None:
    cache = PrefixCache(1)
    cache.add(["a"])
    cache.clear()
    assert cache.match(["a", "x"]) == 0
