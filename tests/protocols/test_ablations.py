"""With models of set accuracy, accuracy and cost move as the published ablations say they do.

Directions only, from arXiv 2502.15964, section 6: more rounds, tasks and samples and smaller
chunks give better answers, and each of them costs more remote tokens.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from minionbench.exchange import Call, Plan, Reply
from minionbench.protocols.chunking import Chunking
from minionbench.protocols.minion import Minion
from minionbench.protocols.minions import MinionS
from tests.protocols.driving import drive, request, said

QUESTIONS = 150
PAGES = 12
PAGE_CHARACTERS = 200


class Result(NamedTuple):
    accuracy: float
    remote_characters: float


def document(right: str, page: int) -> str:
    pages = [f"Page {n}." + " x" * 90 for n in range(PAGES)]
    pages[page] += f" The figure is {right}."
    return "\f".join(pages)


class SmallModel:
    """Finds the figure less often the longer the text, and sometimes sees what is not there."""

    def __init__(self, draw: random.Random, right: str) -> None:
        self.draw = draw
        self.right = right

    def finds(self, text: str) -> str | None:
        if f"The figure is {self.right}." in text:
            skill = 0.75 - 0.4 * min(1.0, len(text) / (PAGES * PAGE_CHARACTERS))
            if self.draw.random() < skill:
                return self.right
            return str(self.draw.randrange(1_000)) if self.draw.random() < 0.4 else None
        return str(self.draw.randrange(1_000)) if self.draw.random() < 0.01 else None

    def job(self, call: Call) -> Reply:
        answer = self.finds(call.messages[0].content)
        return said({"explanation": "", "citation": None, "answer": answer})

    def chat(self, call: Call) -> Reply:
        found = self.finds(call.messages[0].content)
        return said(f"It is {found}." if found else "The text does not tell.")


class LargeModel:
    """Takes the answer named most often, and asks again while none is named twice."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self.heard: Counter[str] = Counter()

    def __call__(self, call: Call) -> Reply:
        prompt = call.messages[-1].content
        if call.schema is None:
            self.heard.update(re.findall(r"- chunk \d+: (\d+)", prompt))
            self.heard.update(re.findall(r"It is (\d+)", prompt))
            return said("thought")
        fields = call.schema["properties"]
        if "tasks" in fields:
            task = {"task": "Which figure?", "advice": None, "chunks": {"kind": "all"}}
            return said({"tasks": [task] * self.tasks})
        if "reasoning" in fields:
            return said({"reasoning": "", "message": "Which figure?"})
        last = "No more questions" in prompt or "no further round" in prompt
        if last:
            self.heard.update(re.findall(r"- chunk \d+: (\d+)", prompt))
            self.heard.update(re.findall(r"It is (\d+)", prompt))
        (answer, times), *others = [*self.heard.most_common(2), ("", 0)]
        sure = times >= 2 and (not others or times > others[0][1])
        if last or sure:
            return said(self.decision("provide_final_answer", answer or None))
        return said(self.decision("request_additional_info", None))

    @staticmethod
    def decision(decision: str, answer: str | None) -> dict[str, Any]:
        return {
            "explanation": "",
            "decision": decision,
            "answer": answer,
            "message": "Look again. Which figure?",
            "feedback": "look again",
            "scratchpad": None,
        }


def result(protocol: Minion | MinionS, *, tasks: int = 1) -> Result:
    right_answers, characters = 0, 0
    for number in range(QUESTIONS):
        draw = random.Random(number)
        right = str(draw.randrange(1_000, 10_000))
        worker = SmallModel(draw, right)
        plan: Plan = protocol.plan(request("Which figure?", document(right, number % PAGES)))
        works = worker.chat if isinstance(protocol, Minion) else worker.job
        answer, batches = drive(plan, LargeModel(tasks), works)
        right_answers += answer.text == right
        characters += remote_characters(batches)
    return Result(right_answers / QUESTIONS, characters / QUESTIONS)


def remote_characters(batches: Sequence[tuple[Call, ...]]) -> int:
    return sum(
        len(message.content)
        for batch in batches
        for call in batch
        if call.side == "remote"
        for message in call.messages
    )


def better_and_dearer(less: Result, more: Result) -> None:
    assert more.accuracy > less.accuracy
    assert more.remote_characters > less.remote_characters


@pytest.mark.parametrize(
    "protocol",
    [Minion, lambda max_rounds: MinionS(max_rounds=max_rounds, chunking=Chunking("page"))],
)
def test_more_rounds_answer_better_and_cost_more(protocol: Any) -> None:
    better_and_dearer(result(protocol(max_rounds=1)), result(protocol(max_rounds=5)))


def test_more_tasks_answer_better_and_cost_more() -> None:
    protocol = MinionS(max_rounds=1, chunking=Chunking("page"))
    better_and_dearer(result(protocol), result(protocol, tasks=8))


def test_more_samples_answer_better_and_cost_more() -> None:
    one, many = (MinionS(max_rounds=1, chunking=Chunking("page"), samples=n) for n in (1, 8))
    better_and_dearer(result(one), result(many))


def test_smaller_chunks_answer_better_and_cost_more() -> None:
    whole = MinionS(max_rounds=1, chunking=Chunking("characters", PAGES * PAGE_CHARACTERS * 2))
    pages = MinionS(max_rounds=1, chunking=Chunking("page"))
    better_and_dearer(result(whole), result(pages))


def test_a_simulated_answer_is_what_the_models_said() -> None:
    """The simulation itself: a model that always finds the figure is always right."""

    class Sure(SmallModel):
        def finds(self, text: str) -> str | None:
            return self.right if self.right in text else None

    right = "4711"
    plan = MinionS(chunking=Chunking("page")).plan(request("Which?", document(right, 3)))
    answer, batches = drive(plan, LargeModel(2), Sure(random.Random(0), right).job)
    assert answer.text == right
    assert json.loads(json.dumps(answer.tally)) == {
        "rounds": 1,
        "jobs": 2 * PAGES,
        "abstained_jobs": 2 * (PAGES - 1),
    }
    assert remote_characters(batches) > 0
