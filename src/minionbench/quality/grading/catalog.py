"""The graders by name, and which of them judges which reference."""

from __future__ import annotations

from minionbench.errors import UsageError
from minionbench.exchange import Reference
from minionbench.quality.grading.choice import judge_choice, letter_of
from minionbench.quality.grading.judgement import Grader
from minionbench.quality.grading.maths import judge_maths
from minionbench.quality.grading.number import judge_amount, judge_number
from minionbench.quality.grading.text import judge_text

GRADERS: dict[str, Grader] = {
    grader.name: grader
    for grader in (
        Grader("number", 1, judge_number, "equal, or as the known number was rounded"),
        Grader("amount", 1, judge_amount, "as number, or within 0.5 % of the known amount"),
        Grader("maths", 1, judge_maths, "an expression equal to the known one"),
        Grader("choice", 1, judge_choice, "the right option and no other"),
        Grader("text", 1, judge_text, "the known text, stated and not denied"),
    )
}
"""All graders by name."""

_MATHS = ("math",)
"""Data sets whose answers are expressions."""
_AMOUNTS = ("financebench",)
"""Data sets whose gold figures were rounded at will."""


def grader(name: str) -> Grader:
    """The grader of a name.

    Raises UsageError when there is none.
    """
    found = GRADERS.get(name)
    if found is None:
        raise UsageError(f"There is no grader {name!r}; there are {', '.join(GRADERS)}")
    return found


def grader_of(reference: Reference, item_id: str) -> Grader:
    """The grader that judges answers to an item, by its reference's kind and by its source.

    Numbers go to `number`, texts to `text` and choices to `choice`; a text that is a letter of an
    option is a choice. Answers of MATH go to `maths`, numbers of FinanceBench to `amount`.
    """
    source = item_id.partition("@")[0]
    if source in _MATHS:
        return GRADERS["maths"]
    if reference.kind == "number":
        return GRADERS["amount" if source in _AMOUNTS else "number"]
    value = reference.value.strip("() ")
    is_letter = value.isupper() and letter_of(reference.value) is not None
    if reference.kind == "choice" or is_letter:
        return GRADERS["choice"]
    return GRADERS["text"]
