"""Scripted models for Chain-of-Verification: each knows the pairs that it is asked about."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from minionbench.quality.cove_items import CovePair
from minionbench.quality.prompts import numbered
from tests.quality.driving import Model

PLAN_END = "as a numbered list."
REVISE_END = "write only the final answer."


class CoveModel:
    """Plans and answers rightly; how it revises is given, from the pair and the draft it saw."""

    def __init__(self, pairs: Sequence[CovePair], revise: Callable[[CovePair, str], str]) -> None:
        self._by_question = {(pair.context, pair.question): pair for pair in pairs}
        self._answers = {
            (pair.context, question): f"{part.subject} is {part.value}"
            for pair in pairs
            for question, part in zip(pair.questions, pair.parts, strict=True)
        }
        self._revise = revise

    def __call__(self, prompt: str) -> str:
        before, end, after = prompt.rpartition("Question: ")
        context = before.removesuffix("\n\n") or None
        if not end:
            context_text, _, question = prompt.rpartition("\n\n")
            return self._answers[context_text or None, question]
        question, _, rest = after.partition("\n")
        pair = self._by_question[context, question]
        if prompt.endswith(PLAN_END):
            return numbered(pair.questions)
        if prompt.endswith(REVISE_END):
            draft = rest.removeprefix("Draft: ").partition("\n")[0]
            return self._revise(pair, draft)
        return pair.clean


def perfect(pairs: Sequence[CovePair]) -> Model:
    """Corrects every error and leaves right drafts alone."""
    return CoveModel(pairs, lambda pair, draft: pair.clean)


def agreeing(pairs: Sequence[CovePair]) -> Model:
    """Always agrees with the draft."""
    return CoveModel(pairs, lambda pair, draft: draft)


def complaining(pairs: Sequence[CovePair]) -> Model:
    """Always finds fault: it swaps the planted part, whether it was wrong or right."""
    return CoveModel(pairs, lambda pair, draft: pair.planted if draft == pair.clean else pair.clean)


class Gambling:
    """Says the right text, the wrong text or nonsense, by draws; and remembers what it drew."""

    def __init__(self, pairs: Sequence[CovePair], seed: int) -> None:
        self.drawn: dict[tuple[str, str], int] = {}
        self._draw = random.Random(seed)
        self._model = CoveModel(pairs, self._say)

    def __call__(self, prompt: str) -> str:
        return self._model(prompt)

    def _say(self, pair: CovePair, draft: str) -> str:
        kind = self._draw.randrange(3)
        self.drawn[pair.pair_id, "planted" if draft == pair.planted else "clean"] = kind
        return (pair.clean, pair.planted, "I would rather not say.")[kind]
