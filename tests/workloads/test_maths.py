"""Decode: every step of a solution is right, and so is the answer."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.workloads.maths import Problem, example, worked
from minionbench.workloads.tokenizer import reference_tokenizer

COUNT = reference_tokenizer().count
STEP = re.compile(r"(\d+) ([-+*]) (\d+) = (-?\d+)")


def recomputed(problem: Problem) -> int:
    """The answer from the numbers that the problem was made from."""
    numbers = problem.numbers
    if problem.kind == "table":
        return sum(a * b for a, b in zip(numbers[::2], numbers[1::2], strict=True))
    if problem.kind == "sequence":
        first, more, terms = numbers
        return terms * (2 * first + (terms - 1) * more) // 2
    return sum(numbers)


def from_the_text(problem: Problem) -> int:
    """The answer from what a reader sees."""
    if problem.kind == "table":
        rows = re.findall(r"\| [A-Za-z]+ \| (\d+) \| (\d+) \|", problem.text)
        return sum(int(a) * int(b) for a, b in rows)
    if problem.kind == "schedule":
        return sum(map(int, re.findall(r"\| (\d+) \|", problem.text)))
    if problem.kind == "sequence":
        _, first, more, terms = map(int, re.findall(r"\d+", problem.text))
        return sum(first + more * number for number in range(terms))
    start, *events = re.split(r" [A-Z][a-z]+ \d+: ", problem.text)
    gain = re.compile(
        r"get on|come out of the oven|brought in|returned|donated|flow in|are added|put in"
        r"|earned|arrive|delivered|packed|land|won|bonus|come back|repaired|planted|bought"
        r"|climbed|run up"
    )
    total = int(re.findall(r"\d+", start)[0])
    for event in events:
        amount = int(re.findall(r"\d+", event)[0])
        total += amount if gain.search(event.split(".")[0]) else -amount
    return total


def test_the_answer_follows_from_the_numbers_and_from_the_text() -> None:
    for index in range(200):
        item, problem = worked(6, index, COUNT)
        assert problem.answer == recomputed(problem) == from_the_text(problem)
        assert item.reference is not None
        assert (item.reference.kind, item.reference.value) == ("number", str(problem.answer))
        assert item.messages[-1].content.endswith(f"Problem: {problem.text}")


def test_every_step_is_right_and_starts_from_a_number_known_before() -> None:
    for index in range(150):
        item, problem = worked(7, index, COUNT)
        steps = STEP.findall(item.solution)
        assert len(steps) >= 8
        running = None
        for left, sign, right, result in steps:
            a, b = int(left), int(right)
            assert int(result) == {"+": a + b, "-": a - b, "*": a * b}[sign]
            if problem.kind in ("ledger", "schedule"):
                assert running in (None, a)
                running = int(result)
        assert int(steps[-1][3]) == problem.answer


def test_a_solution_ends_in_the_answer_and_is_long() -> None:
    for index in range(150):
        item = example(8, index, COUNT)
        assert item.reference is not None
        assert item.solution.splitlines()[-1] == f"Answer: {item.reference.value}"
        assert 200 <= COUNT(item.solution) <= 600


def test_numbers_stay_small_and_nothing_gets_negative() -> None:
    for index in range(150):
        _, problem = worked(9, index, COUNT)
        assert 0 < problem.answer < 400
        if problem.kind == "ledger":
            assert all(0 <= int(step[3]) <= 99 for step in STEP.findall(problem.solution))


@given(st.integers(-(2**40), 2**40), st.integers(0, 10**6), st.integers(200, 3000))
def test_the_length_is_within_two_percent_of_the_one_asked_for(
    seed: int, index: int, size: int
) -> None:
    item = example(seed, index, COUNT, size)
    assert abs(item.input_tokens - size) <= 0.02 * size
    assert item.input_tokens == sum(COUNT(message.content) for message in item.messages)


def test_a_longer_item_has_solved_problems_whose_answers_are_right() -> None:
    item = example(1, 1, COUNT, 6000)
    content = item.messages[0].content
    solved = content.split("Solved problem: ")[1:]
    assert len(solved) >= 10
    for left, sign, right, result in STEP.findall(content):
        a, b = int(left), int(right)
        assert int(result) == {"+": a + b, "-": a - b, "*": a * b}[sign]
    assert COUNT(item.solution) <= 600


def test_the_text_depends_on_seed_index_and_size_only() -> None:
    one = example(8, 3, COUNT, 300)
    example(9, 4, COUNT, 500)
    assert example(8, 3, COUNT, 300) == one
    others = [example(8, 4, COUNT), example(9, 3, COUNT), example(8, 3, COUNT, 330)]
    assert len({one.messages, *(other.messages for other in others)}) == 4


def test_items_are_distinct_and_of_every_kind() -> None:
    made = [worked(0, index, COUNT) for index in range(200)]
    assert len({item.messages for item, _ in made}) == 200
    assert {problem.kind for _, problem in made} == {"ledger", "table", "sequence", "schedule"}


def test_a_size_that_holds_no_problem_is_refused() -> None:
    with pytest.raises(UsageError, match="199"):
        example(0, 0, COUNT, 199)
