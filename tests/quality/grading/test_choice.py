"""Choices in answers: letters, texts of options, and answers that choose nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.exchange import Reference
from minionbench.quality.grading.choice import judge_choice, letter_of
from tests.quality.grading.labelled import disagreements


def choice(value: str, *aliases: str) -> Reference:
    return Reference(kind="choice", value=value, aliases=aliases)


LABELLED = [
    (
        choice("B", "Paris"),
        ("B", "b", "(B)", "[B]", "B.", "B)", "**B**", "B) Paris", "B. Paris", "B: Paris",
         "(b) Paris", "\\boxed{B}", "\\boxed{\\text{B}}", "\\boxed{(B)}",
         "$\\boxed{\\textbf{(B)}}$",
         "Answer: B", "Answer: (B) Paris", "**Answer:** B", "The answer is B.",
         "The correct answer is (B) Paris.", "The answer is option B, not option C.",
         "Answer: B, not C", "Answer: B because A is too small", "I think it is B)",
         "The correct option is (B) because (A) is wrong.", "Option B is right.",
         "B. Paris\n\nExplanation: A is wrong because it is in England.",
         "A) London\nB) Paris\nC) Rome\nSo it is Paris.", "Paris", "It is Paris.",
         "Answer: Paris", "<think>A? C?</think>B", "Final answer:\nB", "B, since it is in France",
         "The answer is: B. Paris"),
        ("A", "C", "(C)", "A) Paris", "London", "Answer: A", "either A or B", "Answer: A or B",
         "B or C", "Answer: A and B", "Answer: B/C", "The answer is A, not B.",
         "<think>B</think>A", "Answer: London", "It is not Paris.", "Paris or London",
         "A dog in Paris", "I cannot choose", "Both (A) and (B)", "The answer is not B.",
         "All of the above", "A) London\nB) Paris\nC) Rome", ""),
    ),
    (choice("A"), ("A", "(a)", "Answer: A", "A) London", "The answer is A.", "A, because B is not",
                   "Option A"),
     ("A dog barks.", "a dog", "An answer", "B", "I", "A or B")),
    (choice("(D)"), ("D", "The answer is: D. 42", "(D)", "answer: d"), ("C", "Do it", "d'accord")),
    (
        choice("Research and development"),
        ("Research and development", "Answer: Research and development",
         "Answer: Research and development 2015", "Answer: Research & development",
         "Research and development was larger than Interest expense.",
         "Interest expense 2015: 45. Research and development 2015: 120. "
         "Answer: Research and development", "The larger is Research and development.",
         "The larger one was Research and development (120).",
         "Answer: Research and development 2015: 120", "**Research and development**"),
        ("Interest expense", "Answer: Interest expense", "Research", "Development",
         "Answer: Interest expense or Research and development",
         "Answer: Research and development or Interest expense",
         "Interest expense was larger than Research and development.",
         "Interest expense 2015: 45. Research and development 2015: 120. Answer: Interest expense",
         "Research and development tax credits", "not Research and development", ""),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "right", "wrong"), LABELLED, ids=[r.value for r, *_ in LABELLED]
)
def test_it_agrees_with_a_careful_person(
    reference: Reference, right: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    found = disagreements(judge_choice, reference, right)
    # What chooses something else, several things or nothing is not right; which is a nicety.
    found += [text for text in wrong if judge_choice(text, reference).grade == "right"]
    assert found == []


def test_there_are_enough_labelled_pairs() -> None:
    assert sum(len(right) + len(wrong) for _, right, wrong in LABELLED) >= 80


def test_two_letters_are_wrong_and_none_is_unread() -> None:
    assert judge_choice("Answer: A or B", choice("A")).grade == "wrong"
    assert judge_choice("I do not know", choice("A")).grade == "unread"


def test_without_the_options_text_only_the_letter_can_be_read() -> None:
    assert judge_choice("Paris", choice("B")).grade == "unread"


def test_a_letter_is_a_choice_and_a_word_is_not() -> None:
    assert [letter_of(value) for value in ("b", "(C)", "AB", "Z", "5")] == ["B", "C", None, None,
                                                                         None]  # fmt: skip


def test_a_reference_without_a_word_cannot_be_judged() -> None:
    assert judge_choice("A", choice("?")).grade is None


@given(
    letter=st.sampled_from("ABCDEFGHIJ"),
    style=st.sampled_from(
        ("{}", "({})", "{}.", "**{}**", "Answer: {}", "The answer is ({}).", "\\boxed{{{}}}",
         "Option {}", "Answer: {}) something else", "<think>(A) or (B)</think>{}")
    ),
)  # fmt: skip
@settings(max_examples=60)
def test_a_letter_is_right_however_it_is_set_and_no_other_is(letter: str, style: str) -> None:
    answer = style.format(letter)
    assert judge_choice(answer, choice(letter)).grade == "right"
    other = "A" if letter != "A" else "B"
    assert judge_choice(answer, choice(other)).grade == "wrong"


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_any_text_can_be_judged(answer: str) -> None:
    for reference in (choice("B", "Paris"), choice("Net income")):
        assert judge_choice(answer, reference).grade in ("right", "wrong", "unread")


def test_two_letters_are_told_as_no_choice() -> None:
    judged = judge_choice("Answer: A or B", choice("B"))
    assert (judged.read, judged.why) == ("A, B", "several options are named")
