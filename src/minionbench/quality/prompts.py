"""The instructions that the quality procedures give to a model, each defined here and nowhere else.

They are plain enough for any model to follow. The reference model was trained on exactly these
words, so that changing one of them changes what is measured: raise the item sets' versions then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def draft_prompt(question: str) -> str:
    """Step 1 of Chain-of-Verification: the first answer."""
    return f"Question: {question}\nAnswer in one short sentence for each part."


def plan_prompt(question: str, draft: str) -> str:
    """Step 2: questions whose answers would verify the draft."""
    return (
        f"Question: {question}\nDraft: {draft}\n"
        "Write one verification question for each statement of the draft, as a numbered list."
    )


def numbered(lines: Iterable[str]) -> str:
    """A numbered list, as step 2 asks for it."""
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def revise_prompt(question: str, draft: str, answers: Iterable[tuple[str, str]]) -> str:
    """Step 4: the final answer, from the draft and the (question, answer) pairs of step 3."""
    verification = numbered(f"{asked} {answer}" for asked, answer in answers)
    return (
        f"Question: {question}\nDraft: {draft}\nVerification:\n{verification}\n"
        "Correct the draft where the verification differs, and write only the final answer."
    )


def about(context: str | None, prompt: str) -> str:
    """A prompt with the text that it is about before it; the prompt alone where there is none."""
    return prompt if context is None else f"{context}\n\n{prompt}"


def ranking_prompt(query: str, passages: Sequence[str]) -> str:
    """Ask for the order of passages by relevance."""
    shown = "\n".join(f"[{number}] {text}" for number, text in enumerate(passages, 1))
    return (
        f"{shown}\n\nQuery: {query}\nRank the {len(passages)} passages by relevance to the query. "
        "Reply with the order only, best first, as in [2] > [1] > [3]."
    )


def relevance_prompt(query: str, passage: str) -> str:
    """Ask whether a passage answers a query."""
    return (
        f"Passage: {passage}\nQuery: {query}\nDoes the passage answer the query? Reply Yes or No."
    )
