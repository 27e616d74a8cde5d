"""The tokenizer loses nothing, and counts as it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.simulator.tokens import VOCABULARY, prompt_tokens, token_id, tokens


@given(st.text())
def test_the_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("the ship", ["the", " ship"]),
        ("lighthouse", ["lighth", "ouse"]),
        (" 12345, 6", [" 123", "45", ",", " 6"]),
        ("a_b  c\n", ["a", "_", "b", " ", " c", "\n"]),
    ],
)
def test_words_numbers_and_signs_are_split_as_stated(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def test_the_template_costs_two_tokens_per_turn_and_one_per_prompt() -> None:
    assert prompt_tokens([("system", "be"), ("user", "a b")]) == [
        "<|system|>",
        "be",
        "<|end|>",
        "<|user|>",
        "a",
        " b",
        "<|end|>",
        "<|assistant|>",
    ]


@given(st.text())
def test_a_tokens_number_is_in_the_vocabulary(token: str) -> None:
    assert 0 <= token_id(token) < VOCABULARY
