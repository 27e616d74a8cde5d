"""Balanced: a conversation whose last turn asks for what was said in it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.workloads.chat import OPENING, example
from minionbench.workloads.chat_text import TOPICS, VALUES
from minionbench.workloads.tokenizer import reference_tokenizer

COUNT = reference_tokenizer().count
FACTS = [kind for topic in TOPICS for kind in topic.facts]


def test_turns_alternate_and_the_last_is_the_users() -> None:
    item = example(0, 0, COUNT)
    roles = [message.role for message in item.messages]
    assert roles[0] == "system" and roles[-1] == "user"
    assert roles[1:] == ["user", "assistant"] * (len(roles) // 2 - 1) + ["user"]


def test_the_fact_asked_for_was_told_by_the_user() -> None:
    for index in range(300):
        item = example(1, index, COUNT)
        assert item.reference is not None and item.reference.kind == "text"
        asked = item.messages[-1].content
        (kind,) = [kind for kind in FACTS if f" {kind.question} " in asked]
        told = kind.statement.format(value=item.reference.value)
        assert sum(told in turn.content for turn in item.messages if turn.role == "user") == 1
        assert kind.answer.format(value=item.reference.value) in item.solution
        assert item.reference.value in VALUES[kind.values]


def test_the_advice_asked_for_was_given_and_is_repeated_word_for_word() -> None:
    for index in range(300):
        item = example(2, index, COUNT)
        given_advice = [turn.content for turn in item.messages if turn.role == "assistant"]
        labels = item.messages[-1].content.partition("your advice about ")[2].rstrip("?")
        recalled = labels.split(" and about ")
        assert 1 <= len(recalled) == len(set(recalled)) <= 3
        for label in recalled:
            (turn,) = [text for text in given_advice if f" About {label}: " in text]
            sentences = turn.partition(f" About {label}: ")[2]
            assert f" About {label}: {sentences}" in item.solution


def test_a_reply_has_the_length_of_a_natural_answer() -> None:
    lengths = sorted(COUNT(example(3, index, COUNT).solution) for index in range(300))
    assert lengths[0] >= 50 and lengths[-1] <= 220


def test_every_answer_of_the_assistant_begins_alike() -> None:
    item = example(4, 0, COUNT)
    answers = [turn.content for turn in item.messages if turn.role == "assistant"]
    assert all(answer.startswith(f"{OPENING} ") for answer in (*answers, item.solution))


@given(st.integers(-(2**40), 2**40), st.integers(0, 10**6), st.integers(200, 3000))
def test_the_length_is_within_two_percent_of_the_one_asked_for(
    seed: int, index: int, size: int
) -> None:
    item = example(seed, index, COUNT, size)
    assert abs(item.input_tokens - size) <= 0.02 * size
    assert item.input_tokens == sum(COUNT(message.content) for message in item.messages)


def test_a_very_long_conversation_tells_every_fact_once() -> None:
    item = example(0, 0, COUNT, 30_000)
    assert abs(item.input_tokens - 30_000) <= 600
    lockers = [
        found
        for turn in item.messages
        if turn.role == "user"
        for found in re.findall(r"(Locker \d+) has", turn.content)
    ]
    assert len(lockers) == len(set(lockers)) > 100


def test_labels_questions_and_advice_are_distinct_over_all_topics() -> None:
    subjects = [subject for topic in TOPICS for subject in topic.subjects]
    for texts in (
        [subject.label for subject in subjects],
        [kind.question for kind in FACTS],
        [sentence for subject in subjects for sentence in subject.advice],
    ):
        assert len(texts) == len(set(texts))


def test_the_text_depends_on_seed_index_and_size_only() -> None:
    one = example(8, 3, COUNT, 750)
    example(9, 4, COUNT, 500)
    assert example(8, 3, COUNT, 750) == one
    others = [example(8, 4, COUNT), example(9, 3, COUNT), example(8, 3, COUNT, 800)]
    assert len({one.messages, *(other.messages for other in others)}) == 4


def test_two_items_are_clearly_different() -> None:
    items = [example(0, index, COUNT) for index in range(200)]
    assert len({item.messages for item in items}) == 200
    assert len({item.messages[-1] for item in items}) > 190
    openings = {item.messages[1].content for item in items}
    assert len(openings) > 190


def test_a_size_that_holds_no_conversation_is_refused() -> None:
    with pytest.raises(UsageError, match="199"):
        example(0, 0, COUNT, 199)
