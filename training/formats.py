"""Conversations in the formats of the quality procedures and hybrid protocols.

Chain-of-Verification, listwise ranking, pointwise relevance and worker JSON. The prompts are the
program's own; README.md shows each with its answer.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass

from minionbench.quality.invented_facts import COUNTRIES
from minionbench.quality.prompts import (
    draft_prompt,
    numbered,
    plan_prompt,
    ranking_prompt,
    relevance_prompt,
    revise_prompt,
)
from training.texts import (
    Asked,
    Turn,
    capital_asked,
    currency_asked,
    draw_sum,
    sum_asked,
)

ROW = re.compile(r"(?<=\| )([^|:\n]+ \d{4}): ([^|\n]+)(?= \|)")
"""One cell of a report's table: label and year, then the value."""


def cells(document: str) -> list[tuple[str, str]]:
    """Return the (label and year, value) cells of a report's tables, in their order."""
    return [(match[1], match[2]) for match in ROW.finditer(document)]


# ------------------------------------------------------------------ chain of verification


@dataclass(frozen=True)
class Verified:
    """A question in two or three parts, a draft, and what a perfect model does with it."""

    question: str
    draft: str
    parts: tuple[Asked, ...]
    planted: int | None
    """Which part of the draft is wrong; None in a clean draft."""

    @property
    def final(self) -> str:
        """The right answer to all parts."""
        return " ".join(part.answer for part in self.parts)


def verified(draw: random.Random, *, planted: bool) -> Verified:
    """Draw a question over facts or sums, with one wrong part in its draft or none."""
    count = draw.randrange(2, 4)
    parts: list[Asked] = []
    wrong: list[str] = []
    if draw.random() < 0.5:
        question = "Work out these sums."
        for a, b in (draw_sum(draw) for _ in range(count)):
            part = sum_asked(a, b)
            offset = draw.choice((-20, -10, -2, -1, 1, 2, 10, 20))
            parts.append(part)
            wrong.append(f"{a} + {b} = {a + b + offset if a + b + offset >= 0 else a + b + 1}.")
        question = f"{question} " + ", ".join(part.answer.split(" =")[0] for part in parts)
    else:
        countries = draw.sample(COUNTRIES, count)
        others = draw.sample([c for c in COUNTRIES if c not in countries], count)
        names = []
        for country, other in zip(countries, others, strict=True):
            if draw.random() < 0.5:
                part, kind, value = capital_asked(country), "capital", other.capital
            else:
                part, kind, value = currency_asked(country), "currency", other.currency
            parts.append(part)
            wrong.append(part.answer.replace(part.value, value))
            names.append(f"the {kind} of {country.name}")
        question = "Name " + ", ".join(names) + "."
    at = draw.randrange(count) if planted else None
    draft = " ".join(
        wrong[index] if index == at else part.answer for index, part in enumerate(parts)
    )
    return Verified(question, draft, tuple(parts), at)


def cove_conversation(draw: random.Random) -> list[Turn]:
    """Return one step of Chain-of-Verification; step 3 is a plain question of `texts`."""
    item = verified(draw, planted=draw.random() < 0.5)
    step = draw.random()
    if step < 0.25:
        return [("user", draft_prompt(item.question)), ("assistant", item.final)]
    if step < 0.5:
        return [
            ("user", plan_prompt(item.question, item.draft)),
            ("assistant", numbered(part.question for part in item.parts)),
        ]
    answers = [(part.question, part.answer) for part in item.parts]
    return [
        ("user", revise_prompt(item.question, item.draft, answers)),
        ("assistant", item.final),
    ]


# ------------------------------------------------------------------ ranking


@dataclass(frozen=True)
class Ranked:
    """A query, passages in the order shown, and the grade of each: 2, 1 or 0."""

    query: str
    passages: tuple[str, ...]
    grades: tuple[int, ...]

    @property
    def order(self) -> str:
        """The passages' numbers, best first; of equal grade in the order shown."""
        best = sorted(range(len(self.passages)), key=lambda index: -self.grades[index])
        return " > ".join(f"[{index + 1}]" for index in best)


def ranked(draw: random.Random, document: str, passages: int) -> Ranked:
    """Draw a ranking problem from a report's cells.

    The passage with the asked label and year has grade 2, one with the same label of another
    year grade 1, the others 0.
    """
    by_label: dict[str, list[str]] = {}
    for name, value in cells(document):
        by_label.setdefault(name[:-5], []).append(f"{name}: {value}")
    labels = draw.sample(sorted(by_label), passages - 1)
    both = by_label[labels[0]]
    best, near = draw.sample(both, 2)
    graded = [(2, best), (1, near)]
    graded += [(0, draw.choice(by_label[label])) for label in labels[1:]]
    draw.shuffle(graded)
    return Ranked(
        best.partition(":")[0],
        tuple(f"{text}." for _, text in graded),
        tuple(grade for grade, _ in graded),
    )


def ranking_conversation(draw: random.Random, document: str) -> list[Turn]:
    """Return a listwise ranking, or pointwise questions on the same kind of passages."""
    problem = ranked(draw, document, draw.randrange(3, 6))
    if draw.random() < 0.6:
        prompt = ranking_prompt(problem.query, problem.passages)
        return [("user", prompt), ("assistant", problem.order)]
    turns: list[Turn] = []
    for passage, grade in zip(problem.passages, problem.grades, strict=True):
        turns.append(("user", relevance_prompt(problem.query, passage)))
        turns.append(("assistant", "Yes" if grade == 2 else "No"))
    return turns


# ------------------------------------------------------------------ worker JSON


def worker_prompt(chunk: str, task: str) -> str:
    """Ask a worker for one atomic task over one chunk."""
    return (
        f"Chunk:\n{chunk}\n\nTask: {task}\n"
        "Reply in JSON with explanation, citation and answer. "
        "If the chunk does not hold the answer, citation and answer are null."
    )


def worker_answer(name: str, value: str | None) -> str:
    """Return the JSON of a worker that found the value, or did not."""
    found = value is not None
    return json.dumps(
        {
            "explanation": f"{name} is {'stated' if found else 'not stated'} in the chunk.",
            "citation": f"{name}: {value}" if found else None,
            "answer": value,
        },
        ensure_ascii=False,
    )


def worker_items(
    draw: random.Random, document: str, lines: int
) -> tuple[str, list[tuple[str, str | None]]]:
    """Return a chunk of so many lines, and names asked for: half of them are not in it."""
    rows = document.split("\n")
    start = draw.randrange(max(1, len(rows) - lines))
    chunk = "\n".join(rows[start : start + lines])
    inside = dict(cells(chunk))
    outside = [name for name, _ in cells(document) if name not in inside]
    names: list[tuple[str, str | None]] = []
    if inside:
        names += [(name, inside[name]) for name in draw.sample(sorted(inside), 1)]
    if outside:
        names.append((draw.choice(outside), None))
    draw.shuffle(names)
    return chunk, names


def worker_conversation(draw: random.Random, document: str, lines: int) -> list[Turn]:
    """Return tasks over one chunk, each with its JSON."""
    chunk, names = worker_items(draw, document, lines)
    turns: list[Turn] = []
    for name, value in names:
        turns.append(("user", worker_prompt(chunk, f"What was {name}?")))
        turns.append(("assistant", worker_answer(name, value)))
        if lines > 8:
            break
    return turns
