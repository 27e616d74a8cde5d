"""The reference tokenizer: the same ids as the engine's, and back to the text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minionbench.workloads.tokenizer import (
    SPECIAL_TOKENS,
    ReferenceTokenizer,
    reference_tokenizer,
    split_words,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
"""Any text that can be written as UTF-8."""


@given(TEXTS)
def test_decoding_gives_the_text_back(text: str) -> None:
    tokenizer = reference_tokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(TEXTS)
def test_the_count_is_the_number_of_ids(text: str) -> None:
    tokenizer = reference_tokenizer()
    assert tokenizer.count(text) == len(tokenizer.encode(text))


@given(TEXTS)
def test_the_words_joined_are_the_text(text: str) -> None:
    assert "".join(split_words(text)) == text


def test_words_are_split_as_gpt_2_splits_them() -> None:
    assert split_words("I'll  pay 1,234.5 €\n\n now_") == [
        "I", "'ll", " ", " pay", " 1", ",", "234", ".", "5", " €", "\n\n", " now", "_",
    ]  # fmt: skip


def test_letters_and_numbers_of_any_script_make_words() -> None:
    assert split_words("naïve Привет٣½ 日本一") == ["naïve", " Привет", "٣½", " 日本一"]


def test_a_mark_is_neither_letter_nor_number() -> None:
    assert split_words("e\u0301a") == ["e", "\u0301", "a"]


def test_only_a_plain_space_leads_a_word() -> None:
    assert split_words("a\u00a0b\tc") == ["a", "\u00a0", "b", "\t", "c"]


def test_each_digit_is_a_token() -> None:
    tokenizer = reference_tokenizer()
    pieces = [tokenizer.decode([id_]) for id_ in tokenizer.encode("2024: 1,234,567")]
    assert [piece for piece in pieces if piece.isdigit()] == list("20241234567")


def test_no_merge_holds_a_digit() -> None:
    merged = reference_tokenizer().tokens[len(SPECIAL_TOKENS) + 256 :]
    assert not [token for token in merged if any(character.isdigit() for character in token)]


def test_control_tokens_in_a_text_are_plain_text() -> None:
    tokenizer = reference_tokenizer()
    for special in SPECIAL_TOKENS:
        ids = tokenizer.encode(f"a{special}b")
        assert min(ids) >= len(SPECIAL_TOKENS)
        assert tokenizer.decode(ids) == f"a{special}b"


def test_control_tokens_have_the_first_ids() -> None:
    tokenizer = reference_tokenizer()
    assert [tokenizer.id_of(special) for special in SPECIAL_TOKENS] == list(range(7))


def test_the_vocabulary_is_the_models() -> None:
    assert len(reference_tokenizer().tokens) == 2048
    assert len(set(reference_tokenizer().tokens)) == 2048


def test_the_strongest_merge_is_applied_first_and_leftmost() -> None:
    tokenizer = ReferenceTokenizer([("b", "c"), ("a", "b"), ("a", "a")])
    pieces = [tokenizer.decode([id_]) for id_ in tokenizer.encode("abcaaab")]
    assert pieces == ["a", "bc", "aa", "ab"]
    assert [tokenizer.decode([id_]) for id_ in tokenizer.encode("aaa")] == ["aa", "a"]


def test_bytes_that_are_not_text_decode_to_the_replacement_character() -> None:
    tokenizer = reference_tokenizer()
    first_byte_only = tokenizer.encode("é")[:1]
    assert tokenizer.decode([len(SPECIAL_TOKENS) + 0xC3]) == "\ufffd"
    assert tokenizer.decode(first_byte_only) in ("\ufffd", "é")


def test_a_lone_surrogate_counts_as_the_replacement_character() -> None:
    tokenizer = reference_tokenizer()
    assert tokenizer.encode("a\ud800b") == tokenizer.encode("a\ufffdb")


def test_english_has_about_three_characters_in_a_token() -> None:
    text = (
        "Please read the report below and tell me whether the company expects higher sales next "
        "year, and why its managers believe that costs will fall."
    )
    assert 2.5 < len(text) / reference_tokenizer().count(text) < 5
