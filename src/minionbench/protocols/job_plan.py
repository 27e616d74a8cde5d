"""The supervisor's plan of jobs: data that is checked, never code that is run.

The published protocol lets the supervisor write Python that is executed in the harness. Here it
returns tasks with a choice of chunks; what the choice can say is little, and cannot do harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from minionbench.bm25 import Bm25
from minionbench.protocols.json_answer import NotTheForm

MOST_TASK_CHARACTERS = 4_000


class All(msgspec.Struct, tag_field="kind", tag="all"):
    """Every chunk."""


class ByWords(msgspec.Struct, tag_field="kind", tag="bm25"):
    """The chunks that share the most telling words with a query."""

    query: str
    most: int = 8


class Places(msgspec.Struct, tag_field="kind", tag="places"):
    """Chunks by their numbers, from 0."""

    places: list[int]


Selector: TypeAlias = All | ByWords | Places


class Task(msgspec.Struct):
    """One small task, and the chunks that it is put to."""

    task: str
    chunks: Selector = msgspec.field(default_factory=All)
    advice: str | None = None


class JobPlan(msgspec.Struct):
    """What the supervisor wants done in a round."""

    tasks: list[Task]


class Job(msgspec.Struct, frozen=True):
    """One task over one chunk, asked once."""

    task: int
    chunk: int
    sample: int


_CHUNKS = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"kind": {"const": "all"}},
            "required": ["kind"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "kind": {"const": "bm25"},
                "query": {"type": "string"},
                "most": {"type": "integer"},
            },
            "required": ["kind", "query", "most"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "kind": {"const": "places"},
                "places": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["kind", "places"],
            "additionalProperties": False,
        },
    ]
}
PLAN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "tasks": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "task": {"type": "string"},
                    "advice": {"type": ["string", "null"]},
                    "chunks": _CHUNKS,
                },
                "required": ["task", "advice", "chunks"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["tasks"],
    "additionalProperties": False,
}


def jobs_of(
    plan: JobPlan,
    index: Bm25,
    *,
    most_tasks: int,
    most_jobs: int,
    samples: int,
) -> tuple[Job, ...]:
    """The jobs that a plan means over the chunks of an index, task by task, chunk by chunk.

    Raises NotTheForm, with words for the supervisor, for a plan that is empty, too large, or asks
    for chunks that are not there.
    """
    if not plan.tasks:
        raise NotTheForm("there is no task")
    if len(plan.tasks) > most_tasks:
        raise NotTheForm(f"there are {len(plan.tasks)} tasks; at most {most_tasks} are allowed")
    jobs: list[Job] = []
    for number, task in enumerate(plan.tasks):
        if not task.task.strip():
            raise NotTheForm(f"task {number + 1} says nothing")
        if len(task.task) + len(task.advice or "") > MOST_TASK_CHARACTERS:
            raise NotTheForm(
                f"task {number + 1} with its advice is longer than {MOST_TASK_CHARACTERS} "
                "characters"
            )
        places = _chosen(task.chunks, index, number + 1)
        if len(jobs) + len(places) * samples > most_jobs:
            raise NotTheForm(f"these tasks times their chunks are more than {most_jobs} jobs")
        jobs += [Job(number, place, sample) for place in places for sample in range(samples)]
    if not jobs:
        raise NotTheForm("no chunk fits any of the tasks")
    return tuple(jobs)


def _chosen(selector: Selector, index: Bm25, number: int) -> Sequence[int]:
    match selector:
        case All():
            return range(len(index))
        case ByWords(query, most):
            if most < 1:
                raise NotTheForm(f"task {number} wants {most} chunks")
            return sorted(index.top(query, min(most, len(index))))
        case Places(places):
            missing = [place for place in places if not 0 <= place < len(index)]
            if missing:
                raise NotTheForm(
                    f"task {number} names chunk {missing[0]}; there are 0 to {len(index) - 1}"
                )
            return sorted(set(places))
