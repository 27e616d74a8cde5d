"""What all workloads share: filling a gap with sentences, limits, refused sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.exchange import Message, Reference
from minionbench.workloads.draws import Draws
from minionbench.workloads.workload import (
    Item,
    answer_limits,
    as_request,
    check_number,
    check_size,
    fill_gap,
    measured,
)

PIECES = ((3, "Be careful."), (5, "It is a long way."), (8, "Nobody knows what it means."))


@given(st.integers(-5, 400), st.text(max_size=4))
def test_a_gap_is_never_overfilled_and_what_stays_open_is_shorter_than_any_sentence(
    gap: int, name: str
) -> None:
    tokens = {text: length for length, text in PIECES}
    filled = sum(tokens[text] for text in fill_gap(gap, PIECES, Draws(name)))
    assert filled <= max(0, gap)
    assert gap - filled < 3


def test_no_sentence_comes_twice_before_all_came_once() -> None:
    chosen = fill_gap(16, PIECES, Draws("x"))
    assert sorted(chosen) == sorted(text for _, text in PIECES)


def test_without_sentences_a_gap_stays_open() -> None:
    assert fill_gap(100, (), Draws("x")) == []


def test_a_sentence_is_measured_as_it_stands_after_another() -> None:
    assert measured(len, ("ab", "c")) == ((3, "ab"), (2, "c"))


def test_a_size_below_the_smallest_is_refused_and_the_smallest_is_named() -> None:
    check_size("prefill", 200)
    with pytest.raises(UsageError, match=r"prefill cannot be made with 199 .* --input-tokens 200"):
        check_size("prefill", 199)


def test_answers_are_greedy_and_end_naturally_by_default() -> None:
    limits = answer_limits(128, None, 7)
    assert (limits.max_output_tokens, limits.forced_output_tokens) == (128, None)
    assert (limits.temperature, limits.seed) == (0.0, 7)


def test_a_forced_length_is_also_the_limit() -> None:
    limits = answer_limits(128, 300, 7)
    assert (limits.max_output_tokens, limits.forced_output_tokens) == (300, 300)


@pytest.mark.parametrize("seed", [-1, 2**31, 2**80])
def test_any_seed_becomes_one_that_an_engine_takes(seed: int) -> None:
    sent = answer_limits(1, None, seed).seed
    assert sent is not None and 0 <= sent < 2**31


@pytest.mark.parametrize(("cap", "forced"), [(0, None), (128, 0), (128, -4)])
def test_an_answer_without_a_token_is_refused(cap: int, forced: int | None) -> None:
    with pytest.raises(UsageError, match="at least 1 token"):
        answer_limits(cap, forced, 0)


def test_a_negative_number_of_requests_is_refused() -> None:
    check_number(0)
    with pytest.raises(UsageError, match="-1 requests"):
        check_number(-1)


def test_a_request_carries_all_that_its_item_knows() -> None:
    item = Item(
        item_id="x/1",
        messages=(Message("user", "D\n\nQ"),),
        input_tokens=4,
        reference=Reference(kind="text", value="A"),
        document="D",
        question="Q",
    )
    limits = answer_limits(5, None, 1)
    request = as_request(item, "builtin:x@1", limits)
    assert request.item_id == "x/1" and request.source == "builtin:x@1"
    assert request.messages == item.messages and request.limits == limits
    assert request.input_tokens == 4 and request.reference == item.reference
    assert (request.document, request.question) == ("D", "Q")
