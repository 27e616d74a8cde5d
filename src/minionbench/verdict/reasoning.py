"""Rules about reasoning: whether the model did what it was told, and where its thoughts went."""

from __future__ import annotations

from minionbench.metrics.request import holds_thought, shows_reasoning
from minionbench.units import number_of
from minionbench.verdict.evidence import Evidence
from minionbench.verdict.finding import (
    SUSPECT_SHARE,
    Finding,
    NotChecked,
    Passed,
    Reason,
    held,
    percent,
)

SELDOM_SHARE = 0.5
"""Share of answers without reasoning above which a model that was told to reason mostly did not.
Up to here it may have judged by itself which questions need none, as adaptive models do."""


def reasoning(evidence: Evidence) -> Finding:
    """Whether the model reasoned exactly if it was told to.

    Told not to, one answer with reasoning is too many: the cell stands for answers without. Told
    to, no answer with reasoning is too few, and few are suspect.
    """
    asked = evidence.facts.reasoning_asked
    if asked is None:
        return NotChecked(rule="reasoning", why="the model was told neither to reason nor not to")
    if not evidence.successes:
        return NotChecked(rule="reasoning", why="no call succeeded")
    answers = len(evidence.successes)
    seen = sum(map(shows_reasoning, evidence.successes))
    if asked:
        return _told_to(answers, seen)
    return held(
        "reasoning",
        seen / answers,
        0.0,
        "share",
        severity="invalid",
        message=f"{seen:,} of {number_of(answers, 'answer')} came with reasoning, although it was "
        "switched off.",
        advice="The server or the model ignores the switch: leave out --no-reasoning and take the "
        "result as one with reasoning, switch it off where the server is started, or take another "
        "model.",
    )


def _told_to(answers: int, seen: int) -> Finding:
    share = (answers - seen) / answers
    if share <= SELDOM_SHARE:
        return Passed(rule="reasoning", measured=share, limit=SELDOM_SHARE, unit="share")
    none = seen == 0
    return Reason(
        rule="reasoning",
        severity="invalid" if none else "suspect",
        measured=share,
        limit=SELDOM_SHARE,
        unit="share",
        message=(
            f"None of {number_of(answers, 'answer')} shows any reasoning, neither text nor a count "
            "of it, although it was switched on."
            if none
            else f"Only {seen:,} of {number_of(answers, 'answer')} show any reasoning, although it "
            "was switched on."
        ),
        advice=(
            "The model does not reason, or the server ignores the switch or hides even the count: "
            "leave out --reasoning, or take a model and server that show it."
            if none
            else "The model decides by itself which questions need it: ask for more with "
            "--reasoning-effort, or read the result as a mixture."
        ),
    )


def inline_reasoning(evidence: Evidence) -> Finding:
    """Answers whose visible text holds a thought between marks, which nobody took out."""
    kept = [reply for reply in evidence.successes if reply.text is not None]
    if not kept:
        return NotChecked(rule="inline_reasoning", why="no text of an answer was kept")
    share = sum(map(holds_thought, kept)) / len(kept)
    return held(
        "inline_reasoning",
        share,
        SUSPECT_SHARE,
        "share",
        message=f"{percent(share)} of the answers hold a thought inside their visible text, so "
        "that ttfo_s is the time to the thought, not to the answer.",
        advice="Have the server take thoughts apart: --reasoning-format for llama.cpp, "
        "--reasoning-parser for vLLM and SGLang.",
    )
