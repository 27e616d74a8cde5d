"""What a chat template says of reasoning: whether there is a switch, and whether it opens a
thought."""

from __future__ import annotations

import re
from typing import NamedTuple

from minionbench.errors import DeploymentError
from minionbench.exchange import Reasoning, ReasoningSwitch

_VARIABLE = re.compile(r"(?<![\w.'\"])(enable_thinking|thinking)(?![\w'\"(])")
_MARK = re.compile(r"</?think(ing)?>")


class TemplateReasoning(NamedTuple):
    """How a model's chat template has to do with reasoning."""

    switch: ReasoningSwitch
    """`none` where the template asks for no variable that switches it."""
    marks: bool
    """Whether it knows thoughts at all, by their marks."""

    def wish(self, reasoning: Reasoning, model: str) -> Reasoning | None:
        """What is to be sent for a wish; None where nothing has to be.

        A template without a switch does one thing only: what it does may be wished for.

        Raises:
            DeploymentError: the model does the other thing.
        """
        if self.switch != "none":
            return reasoning
        if reasoning.on and not self.marks:
            raise DeploymentError(
                f"{model} cannot be told to reason: its chat template knows no thoughts; leave out "
                "--reasoning, or take a model that reasons"
            )
        if not reasoning.on and self.marks:
            raise DeploymentError(
                f"{model} cannot be told not to reason: its chat template has no switch for it; "
                "leave out --no-reasoning, or take another model"
            )
        return None


def template_reasoning(template: str | None) -> TemplateReasoning:
    """What a chat template says; None for no template."""
    if template is None:
        return TemplateReasoning("none", False)
    names = {found[1] for found in _VARIABLE.finditer(template)}
    marks = _MARK.search(template) is not None
    if "enable_thinking" in names:
        return TemplateReasoning("enable_thinking", marks)
    if "thinking" in names and marks:
        return TemplateReasoning("template_thinking", marks)
    return TemplateReasoning("none", marks)
