"""What the reference model is examined in, and how well a model file does, in the real engine.

    python -m training.evaluation FILE.gguf … [--count N] [--task NAME]

No item here is among the training text: workload seeds below a million, sums held out, random
lists. (Facts are the exception: a fact that was never told cannot be known.)
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from minionbench.quality.invented_facts import COUNTRIES
from minionbench.quality.prompts import (
    draft_prompt,
    numbered,
    plan_prompt,
    ranking_prompt,
    relevance_prompt,
    revise_prompt,
)
from minionbench.workloads import chat, finance, maths
from minionbench.workloads.tokenizer import reference_tokenizer
from minionbench.workloads.workload import Example
from training.engine import LoadedModel
from training.formats import (
    ranked,
    verified,
    worker_answer,
    worker_items,
    worker_prompt,
)
from training.texts import (
    Asked,
    Turn,
    capital_asked,
    copy_asked,
    currency_asked,
    draw_sum,
    lookup_asked,
    sum_asked,
)

EXAM_SEED = 424_242
"""Workload seed of the exam; training's begin at a million."""

OUTPUT_LIMIT = 900
"""Tokens after which an answer that has not ended is cut, and wrong."""


@dataclass(frozen=True)
class Item:
    """A conversation to be answered and the rule its answer must meet."""

    turns: tuple[Turn, ...]
    right: Callable[[str], bool]


def final_value(answer: str) -> str:
    """Return what follows the last ``Answer:``, or its last colon, without a full stop."""
    return answer.rpartition("Answer:")[2].rpartition(": ")[2].strip().rstrip(".")


def _same(expected: str) -> Callable[[str], bool]:
    return lambda answer: answer.strip() == expected


def _asked(item: Asked) -> Item:
    return Item((("user", item.question),), _same(item.answer))


def _workload(item: Example, right: Callable[[str], bool]) -> Item:
    turns = tuple((str(message.role), message.content) for message in item.messages)
    return Item(turns, right)


def prefill(tokens: int, index: int) -> Item:
    """Return a report of the given length with its question, judged by the value."""
    item = finance.example(EXAM_SEED, index, reference_tokenizer().count, tokens)
    expected = final_value(item.solution)
    return _workload(item, lambda answer: final_value(answer) == expected)


def balanced(index: int) -> Item:
    """Return a conversation, judged by the fact asked for."""
    item = chat.example(EXAM_SEED, index, reference_tokenizer().count)
    assert item.reference is not None
    word = re.compile(rf"(?<!\w){re.escape(item.reference.value)}(?!\w)")
    sentences = item.solution.partition(". ")[0]
    return _workload(
        item, lambda answer: bool(word.search(answer)) and answer.startswith(sentences)
    )


def balanced_whole(index: int) -> Item:
    """Return a conversation, judged by the whole reply."""
    item = chat.example(EXAM_SEED, index, reference_tokenizer().count)
    return _workload(item, _same(item.solution))


def decode(index: int) -> Item:
    """Return a maths problem, judged by its last line."""
    item = maths.example(EXAM_SEED, index, reference_tokenizer().count)
    last = item.solution.splitlines()[-1]
    return _workload(item, lambda answer: answer.strip().splitlines()[-1:] == [last])


def _cove(draw: random.Random, *, planted: bool) -> Item:
    item = verified(draw, planted=planted)
    answers = [(part.question, part.answer) for part in item.parts]
    prompt = revise_prompt(item.question, item.draft, answers)
    return Item((("user", prompt),), _same(item.final))


def _cove_draft(draw: random.Random) -> Item:
    item = verified(draw, planted=False)
    return Item((("user", draft_prompt(item.question)),), _same(item.final))


def _cove_plan(draw: random.Random) -> Item:
    item = verified(draw, planted=draw.random() < 0.5)
    prompt = plan_prompt(item.question, item.draft)
    return Item((("user", prompt),), _same(numbered(part.question for part in item.parts)))


def _report(index: int, tokens: int) -> str:
    return finance.example(EXAM_SEED, index, reference_tokenizer().count, tokens).document or ""


def _ranking(draw: random.Random, index: int) -> Item:
    problem = ranked(draw, _report(index, 700), 4)
    prompt = ranking_prompt(problem.query, problem.passages)
    return Item((("user", prompt),), _same(problem.order))


def _ranking_first(draw: random.Random, index: int) -> Item:
    problem = ranked(draw, _report(index, 700), 4)
    prompt = ranking_prompt(problem.query, problem.passages)
    return Item((("user", prompt),), lambda answer: answer[:3] == problem.order[:3])


def _relevance(draw: random.Random, index: int) -> Item:
    problem = ranked(draw, _report(index, 700), 4)
    wanted = 2 if index % 2 else draw.choice((1, 0))
    at = problem.grades.index(wanted)
    prompt = relevance_prompt(problem.query, problem.passages[at])
    return Item((("user", prompt),), _same("Yes" if wanted == 2 else "No"))


def _worker(draw: random.Random, index: int, *, stated: bool) -> Item:
    while True:
        chunk, names = worker_items(draw, _report(index, 900), 14)
        for name, value in names:
            if (value is not None) == stated:
                prompt = worker_prompt(chunk, f"What was {name}?")
                return Item((("user", prompt),), _same(worker_answer(name, value)))


def _facts(_: random.Random, index: int) -> Item:
    country = COUNTRIES[index % len(COUNTRIES)]
    makers = (capital_asked, currency_asked)
    return _asked(makers[index // len(COUNTRIES) % 2](country))


TASKS: dict[str, Callable[[random.Random, int], Item]] = {
    "prefill, 1,200 tokens": lambda _, index: prefill(1200, index),
    "prefill, 600 tokens": lambda _, index: prefill(600, index),
    "prefill, 1,900 tokens": lambda _, index: prefill(1900, index),
    "balanced, the fact": lambda _, index: balanced(index),
    "balanced, the whole reply": lambda _, index: balanced_whole(index),
    "decode, the answer": lambda _, index: decode(index),
    "facts": _facts,
    "sums seen": lambda draw, _: _asked(sum_asked(*draw_sum(draw))),
    "sums held out": lambda draw, _: _asked(sum_asked(*draw_sum(draw, held_out=True))),
    "copying": lambda draw, _: _asked(copy_asked(draw)),
    "look-up, 10 entries": lambda draw, _: _asked(lookup_asked(draw, 10)),
    "look-up, 60 entries": lambda draw, _: _asked(lookup_asked(draw, 60)),
    "CoVe, draft": lambda draw, _: _cove_draft(draw),
    "CoVe, plan": lambda draw, _: _cove_plan(draw),
    "CoVe, revise a planted error": lambda draw, _: _cove(draw, planted=True),
    "CoVe, keep a clean draft": lambda draw, _: _cove(draw, planted=False),
    "ranking, the whole order": _ranking,
    "ranking, the first place": _ranking_first,
    "relevance, yes or no": _relevance,
    "worker JSON, stated": lambda draw, index: _worker(draw, index, stated=True),
    "worker JSON, not stated": lambda draw, index: _worker(draw, index, stated=False),
}
"""Each task by its name in the card. Judged by the whole answer where nothing else is said."""

MOST_ITEMS = {"facts": 2 * len(COUNTRIES)}
"""Tasks that have no more items than this."""


def items(task: str, count: int) -> Iterator[Item]:
    """Return the first items of a task; the same ones for every model."""
    draw = random.Random(f"exam {task}")
    for index in range(min(count, MOST_ITEMS.get(task, count))):
        yield TASKS[task](draw, index)


@dataclass(frozen=True)
class Score:
    """How many answers of a task were right, and how many ended by themselves."""

    right: int
    ended: int
    n: int


def examine(model: LoadedModel, task: str, count: int) -> Score:
    """Let a model answer a task's items."""
    right = ended = n = 0
    for item in items(task, count):
        answer, reason = model.chat(item.turns, OUTPUT_LIMIT)
        stopped = reason == "stop"
        right += stopped and item.right(answer)
        ended += stopped
        n += 1
    return Score(right, ended, n)


def main(arguments: list[str] | None = None) -> None:
    """Print the scores of model files."""
    parser = argparse.ArgumentParser(description="Examine model files in the engine.")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.gguf")
    parser.add_argument("--count", type=int, default=50, help="items of each task")
    parser.add_argument("--task", choices=list(TASKS), action="append", help="default: all")
    parser.add_argument("--show", type=int, default=0, help="answers to print of each task")
    chosen = parser.parse_args(arguments)
    for file in chosen.files:
        model = LoadedModel(file)
        for task in chosen.task or TASKS:
            for item in items(task, chosen.show):
                print(repr(item.turns[-1][1][-120:]), "->", repr(model.chat(item.turns, 900)[0]))
            score = examine(model, task, chosen.count)
            print(f"{file.name}: {task}: {score.right}/{score.n} right, {score.ended} ended")


if __name__ == "__main__":
    main()
