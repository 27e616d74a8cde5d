"""Texts in answers: what counts as the same, and what is stated, denied or offered."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.exchange import Reference
from minionbench.quality.grading.text import EXPLANATION, judge_text
from minionbench.quality.grading.words import DENIALS
from tests.quality.grading.labelled import disagreements


def text(value: str, *aliases: str) -> Reference:
    return Reference(kind="text", value=value, aliases=aliases)


LABELLED = [
    (
        text("Porto"),
        ("Porto", "porto.", "PORTO", "**Porto**", '"Porto"', "Pôrto", "Porto!",
         "You are going to Porto. About watering: water in the morning.",
         "Sure. You are going to Porto.", "Answer: Porto", "The answer is Porto.",
         "It is not Bergen but Porto.", "Is it Bergen? It's Porto.", "Porto, not Bergen",
         "Porto's where you are going.", "Porto rather than Bergen.",
         "<think>Bergen?</think>Porto", "Final answer:\nPorto", "Ｐｏｒｔｏ", "Por\u00adto"),
        ("Bergen", "Portofino", "Puerto", "not Porto", "It isn't Porto.", "Porto is wrong.",
         "Porto or Bergen", "Bergen or Porto", "either Porto or Bergen", "Is it Porto?",
         "<think>Porto</think>Bergen", "Answer: Bergen. I first thought of Porto",
         "Bergen, rather than Porto", "Porto is not it.", "anywhere except Porto",
         "It is no longer Porto.", "P o r t o"),
        ("", "…", "<think>Porto", "**"),
    ),
    (
        text("New York City", "NYC"),
        ("NYC", "N.Y.C. is short for it: NYC", "New York City", "new york city, of course",
         "NYC or New York City", "the New York City"),
        ("New York", "York City", "City of New York", "NYC or Boston"),
        (),
    ),
    (text("8:05"), ("8:05", "Your train leaves at 8:05.", "at 8:05 sharp"),
     ("18:05", "8:050", "8:15", "805", "8.05", "8"), ()),
    (text("51"), ("51", "You pay 51 a month.", "$51"), ("151", "51.5", "5.1", "fifty"), ()),
    (text("1,234"), ("1234", "It is 1,234 m long."), ("1.234", "12,34", "234"), ()),
    (text("yes"), ("Yes", "Yes, it does.", "yes!", "True"), ("No", "No. Yes would be wrong.",
                                                            "false"), ("It does.", "Maybe")),
    (text("No"), ("No", "no, it is not.", "Answer: No"), ("Yes", "Yes. No doubt."), ()),
    (text("C"), ("C", "c."), ("C++", "C#", "Objective C++"), ()),
    (text("C++"), ("C++", "It is C++."), ("C", "C#"), ()),
    (text("St. Louis"), ("St. Louis", "Answer: St. Louis", "St Louis"), ("Louis", "Saint Louis"),
     ()),
    (text("The The"), ("The The", "the the"), ("the",), ()),
    (text("Research and development"), ("Research & development", "Research and Development"),
     ("research", "development and research"), ()),
    (text("Carver Audit"), ("Answer: Outside counsel 2015: Carver Audit", "Carver Audit's"),
     ("Carver", "Answer: Outside counsel 2015: Meridian Advisers"), ()),
    (text("naïve Bayes"), ("naive bayes", "Naïve Bayes", "nai\u0308ve Bayes"), ("Bayes",), ()),
    (text("O'Brien"), ("O’Brien", "o'brien"), ("Brien",), ()),
    (text("Ελλάδα"), ("ελλαδα", "Η χώρα είναι Ελλάδα."), ("Ελβετία",), ()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "right", "wrong", "unread"), LABELLED, ids=[r.value for r, *_ in LABELLED]
)
def test_it_agrees_with_a_careful_person(
    reference: Reference, right: tuple[str, ...], wrong: tuple[str, ...], unread: tuple[str, ...]
) -> None:
    assert disagreements(judge_text, reference, right, wrong, unread) == []


def test_there_are_enough_labelled_pairs() -> None:
    assert sum(len(right) + len(wrong) + len(unread) for _, right, wrong, unread in LABELLED) >= 80


@pytest.mark.parametrize(
    "value",
    [
        "No, the company is managing its CAPEX and Fixed Assets pretty efficiently, which is "
        "evident from the key metrics below",
        "The first. And then the second.",
        "Two notes:\n- one\n- two",
        "The consumer segment shrunk by 0.9% organically.",
    ],
)
def test_an_explanation_is_judged_by_nobody(value: str) -> None:
    judged = judge_text("No", text(value))
    assert (judged.grade, judged.why) == (None, EXPLANATION)


def test_a_reference_without_a_word_cannot_be_judged() -> None:
    assert judge_text("?", text("…")).grade is None


def test_why_a_denied_text_is_wrong_is_said() -> None:
    assert judge_text("not Porto", text("Porto")).why == "the known text is denied"
    assert judge_text("Porto or Bergen", text("Porto")).why == "several texts are offered"


def test_what_a_cut_answer_had_stated_stays_stated() -> None:
    assert judge_text("You are going to Porto. About wat", text("Porto"), cut=True).grade == "right"
    assert judge_text("You are going to Port", text("Port"), cut=True).grade == "wrong"


SPECIAL = {"yes", "no", "true", "false", "the", "an", "or", *DENIALS}
words = st.text(alphabet="abcdefghijklmnopqrstuvwxyzäöüß", min_size=2, max_size=12).filter(
    lambda word: word not in SPECIAL
)


@given(
    value=st.lists(words, min_size=1, max_size=4).map(" ".join),
    style=st.sampled_from(
        ("{}", "{}.", "**{}**", "Answer: {}", "The answer is {}.", "It was {} then.", "“{}”")
    ),
    shout=st.booleans(),
)
@settings(max_examples=80)
def test_a_text_is_right_however_it_is_dressed(value: str, style: str, shout: bool) -> None:
    stated = style.format(value)
    assert judge_text(stated.upper() if shout else stated, text(value)).grade == "right"


@given(value=words, tail=st.text(alphabet="abcdefgh", min_size=1, max_size=5))
@settings(max_examples=60)
def test_part_of_a_longer_word_is_not_the_word(value: str, tail: str) -> None:
    assert judge_text(f"It is {value}{tail} there.", text(value)).grade == "wrong"


@given(st.text(max_size=200), words)
@settings(max_examples=100)
def test_any_text_can_be_judged(answer: str, value: str) -> None:
    assert judge_text(answer, text(value)).grade in ("right", "wrong", "unread")


def test_of_names_that_begin_alike_the_longest_is_the_one_that_stands_there() -> None:
    known = Reference(kind="text", value="New York", aliases=("New York City",))
    assert judge_text("It is New York City.", known).grade == "right"
    judged = judge_text("It is New York City or Boston.", known)
    assert (judged.grade, judged.why) == ("wrong", "several texts are offered")
