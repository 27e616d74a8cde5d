"""Where the final answer is looked for, and what never counts as one."""

from __future__ import annotations

import pytest

from minionbench.quality.grading.final import Final, finals, visible
from minionbench.quality.grading.words import plain, sentences, tokens


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ("a<think>b</think>c", "ac"),
        ("b</think>c", "c"),
        ("a<think>b", "a"),
        ("<think>b</think>", ""),
        ("<THINK>b</THINK>c", "c"),
        ("<thinking>b</thinking>c", "c"),
        ("<think>it says </think> here</think>c", "c"),
        ("<think>a</think>b<think>c</think>d", "bd"),
        ("[THINK]b[/THINK]c", "c"),
        (
            "<|channel|>analysis<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>c",
            "c",
        ),
        ("<|channel>thought\nb<channel|>c", "c"),
        ("I think <b>c</b>", "I think <b>c</b>"),
        ("", ""),
    ],
)
def test_reasoning_is_no_part_of_the_answer(answer: str, seen: str) -> None:
    assert visible(answer) == seen


def test_the_last_mark_comes_first_and_a_strong_one_ends_the_search() -> None:
    assert finals("Answer: 1\nThe answer is 2.\n\\boxed{3}") == (Final("3", "boxed"),)
    assert finals("\\boxed{3}\nAnswer: **1**") == (Final("1", "named"),)
    assert finals("Answer: 1\nSo the answer is 2.") == (Final("2.", "said"), Final("1", "named"))
    text = "The answer is not clear. It is 5"
    assert finals(text) == (Final("not clear. It is 5", "said"), Final(text, "none"))


def test_a_mark_without_anything_after_it_is_none() -> None:
    assert [final.mark for final in finals("It is 5.\nAnswer:")] == ["none"]


def test_a_heading_is_no_gsm8k_mark() -> None:
    assert [final.mark for final in finals("#### Step 3\ntext")] == ["none"]
    assert finals("#### 1,234")[0] == Final("1,234", "named")


def test_of_a_cut_answer_the_last_word_is_left_out() -> None:
    assert finals("Answer: 12 apples and 1", cut=True) == (Final("12 apples and", "named"),)
    assert finals("It is 12", cut=True) == ()


def test_sentences_end_where_a_person_sees_their_end() -> None:
    assert sentences("It is 5.5 m. So J. Smith of St. Louis vs. Mr. X wins! Yes\nNo") == [
        "It is 5.5 m.",
        "So J. Smith of St. Louis vs. Mr. X wins!",
        "Yes",
        "No",
    ]


def test_tokens_have_one_form_each() -> None:
    assert tokens("The Café’s “C++”, 1,234.5 at 8:05 – R&D's") == (
        "cafe", "c++", "1234.5", "at", "8:05", "r", "and", "d",
    )  # fmt: skip
    assert tokens("the") == ("the",)


def test_signs_have_one_form_each() -> None:
    assert plain("−5 ‑ 1½ “x” ５") == '-5 - 1 1/2 "x" 5'
