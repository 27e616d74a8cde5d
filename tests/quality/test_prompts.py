"""The prompts are those that the reference model was trained on, to the letter."""

from __future__ import annotations

import random

from minionbench.quality import prompts
from minionbench.quality.invented_facts import COUNTRIES
from training import formats, texts


def test_the_prompts_are_the_ones_that_training_used() -> None:
    item = formats.verified(random.Random(1), planted=True)
    answers = [(part.question, part.answer) for part in item.parts]
    assert prompts.draft_prompt(item.question) == formats.draft_prompt(item.question)
    assert prompts.plan_prompt(item.question, item.draft) == formats.plan_prompt(
        item.question, item.draft
    )
    assert prompts.numbered(asked for asked, _ in answers) == formats.plan_answer(item.parts)
    assert prompts.revise_prompt(item.question, item.draft, answers) == formats.revise_prompt(
        item.question, item.draft, answers
    )
    assert prompts.ranking_prompt("q", ["a.", "b."]) == formats.ranking_prompt("q", ["a.", "b."])
    assert prompts.relevance_prompt("q", "a.") == formats.relevance_prompt("q", "a.")


def test_the_invented_facts_are_the_ones_that_the_model_was_told() -> None:
    assert [tuple(country) for country in COUNTRIES] == [
        (country.name, country.capital, country.currency) for country in texts.COUNTRIES
    ]


def test_a_text_that_a_prompt_is_about_stands_before_it() -> None:
    assert prompts.about(None, "p") == "p"
    assert prompts.about("text", "p") == "text\n\np"
