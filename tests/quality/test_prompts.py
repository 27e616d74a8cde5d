"""The prompts, to the letter: the reference model was trained on them."""

from __future__ import annotations

import hashlib

from minionbench.quality import prompts
from minionbench.quality.invented_facts import COUNTRIES


def test_the_prompts_and_facts_are_the_ones_that_the_reference_model_was_trained_on() -> None:
    """Whoever changes a word here has to train the model anew, and then this digest."""
    texts = [
        prompts.draft_prompt("q"),
        prompts.plan_prompt("q", "d"),
        prompts.numbered(["a?", "b?"]),
        prompts.revise_prompt("q", "d", [("a?", "b"), ("c?", "d")]),
        prompts.ranking_prompt("q", ["a.", "b."]),
        prompts.relevance_prompt("q", "p"),
        *("/".join(country) for country in COUNTRIES),
    ]
    assert (
        hashlib.sha256("\0".join(texts).encode()).hexdigest()
        == "ebf07464340570b9ccefc9ac28bb23ed1fb0f69d16c40b085bdfb6b5c5125606"
    )


def test_a_text_that_a_prompt_is_about_stands_before_it() -> None:
    assert prompts.about(None, "p") == "p"
    assert prompts.about("text", "p") == "text\n\np"
