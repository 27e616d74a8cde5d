"""MinionS: a large model plans small jobs over the chunks of a document, small models do them.

Rounds of decompose → execute → aggregate. As published, the supervisor first gives advice; each
round it plans tasks, workers do every task on every chosen chunk side by side, abstentions are
left out, and the supervisor weighs what was found and decides to answer or to go on. Its feedback
and, as `carry` says, its notes go into the next round's plan.

Different from the published code on purpose: the plan is data, not Python; no job is dropped
without being counted; samples are really drawn; feedback is used. docs/hybrid.md has the list.

Source: arXiv 2502.15964, section 5.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from minionbench.bm25 import Bm25
from minionbench.errors import UsageError
from minionbench.exchange import Call, Limits, Message, Plan, Request, Side
from minionbench.protocols import prompts
from minionbench.protocols.asking import Asking, Read, Step
from minionbench.protocols.chunking import Chunking, chunks
from minionbench.protocols.job_plan import (
    MOST_TASK_CHARACTERS,
    PLAN_SCHEMA,
    Job,
    JobPlan,
    jobs_of,
)
from minionbench.protocols.json_answer import NotTheForm, as_text
from minionbench.protocols.minion import MOST_ROUNDS, final_answer, task_of
from minionbench.protocols.nearness import Nearness, Texts, chosen_by

Carry: TypeAlias = Literal["scratchpad", "retries"]

MOST_PLANS = 3
"""How often the supervisor may plan anew in a round when its plan cannot be carried out."""
MOST_JOBS = 2_048
MOST_TASKS = 64
MOST_SAMPLES = 64
FINDINGS_TOKENS = 8_192
"""Room for what the workers found, in the supervisor's prompt, where its context has as much."""
LEFT_OUT_TOKENS = 16
"""Room for the line that says how much of a task's findings is left out."""
SAMPLE_TEMPERATURE = 0.7
"""Of samples after the first: drawn at temperature 0 they would all be the same."""

_TEXT_OR_NULL = {"type": ["string", "null"]}
OUTPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "explanation": {"type": "string"},
        "citation": _TEXT_OR_NULL,
        "answer": _TEXT_OR_NULL,
    },
    "required": ["explanation", "citation", "answer"],
    "additionalProperties": False,
}
SETTLING_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "explanation": {"type": "string"},
        "decision": {"enum": ["provide_final_answer", "request_additional_info"]},
        "answer": _TEXT_OR_NULL,
        "feedback": _TEXT_OR_NULL,
        "scratchpad": _TEXT_OR_NULL,
    },
    "required": ["explanation", "decision", "answer", "feedback", "scratchpad"],
    "additionalProperties": False,
}


class Output(msgspec.Struct):
    """What a worker found."""

    answer: Any
    explanation: Any = None
    citation: Any = None


class Settling(msgspec.Struct):
    """What the supervisor decided on the findings."""

    decision: Literal["provide_final_answer", "request_additional_info"]
    answer: Any = None
    feedback: Any = None
    scratchpad: Any = None


class MinionS:
    """The MinionS protocol; only tasks and findings leave the local side."""

    name = "hybrid"
    protocol = "minions"
    sides: tuple[Side, ...] = ("local", "remote")
    asks_once = False
    prepares = True

    def __init__(
        self,
        *,
        max_rounds: int = 3,
        chunking: Chunking | None = None,
        most_tasks: int = 8,
        most_jobs: int = MOST_JOBS,
        samples: int = 1,
        preselect: int | None = None,
        carry: Carry = "scratchpad",
        supervisor_tokens: int = 1_024,
        worker_tokens: int = 256,
        findings_tokens: int = FINDINGS_TOKENS,
        embedding_model: str | None = None,
        embedding_url: str | None = None,
    ) -> None:
        """`samples` is how often each job is asked; with `preselect` only so many chunks are used,
        those that share the most telling words with the task; with an embedding model those whose
        vectors are nearest to the task's. `findings_tokens` is the most room that a round's
        findings have in the supervisor's prompt; what has none is left out, and counted.

        Raises UsageError for a setting that leaves nothing to do.
        """
        for what, value, most in (
            ("rounds", max_rounds, MOST_ROUNDS),
            ("tasks per round", most_tasks, MOST_TASKS),
            ("samples per job", samples, MOST_SAMPLES),
            ("jobs per round", most_jobs, 1_000_000),
            ("preselected chunks", 1 if preselect is None else preselect, 1_000_000),
            ("tokens of findings", findings_tokens, 1_000_000_000),
        ):
            if not 1 <= value <= most:
                raise UsageError(f"MinionS has from 1 to {most} {what}, not {value}")
        self.nearest = Nearness.of(embedding_model, embedding_url)
        if self.nearest is not None and preselect is None:
            raise UsageError(
                "An embedding model chooses chunks beforehand in MinionS: say how many with "
                "--preselect K (preselect=K)"
            )
        self.max_rounds = max_rounds
        self.chunking = chunking or Chunking()
        self.most_tasks = most_tasks
        self.most_jobs = most_jobs
        self.samples = samples
        self.preselect = preselect
        self.carry = carry
        self.supervisor_tokens = supervisor_tokens
        self.worker_tokens = worker_tokens
        self.findings_tokens = findings_tokens
        self._remote_context: int | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What a document has to say of how the protocol ran."""
        return {
            "protocol": self.protocol,
            "max_rounds": self.max_rounds,
            "chunking": msgspec.to_builtins(self.chunking),
            "most_tasks": self.most_tasks,
            "most_jobs": self.most_jobs,
            "samples": self.samples,
            "preselect": self.preselect,
            **({} if self.preselect is None else chosen_by(self.nearest)),
            "carry": self.carry,
            "supervisor_tokens": self.supervisor_tokens,
            "worker_tokens": self.worker_tokens,
            "findings_tokens": self.findings_tokens,
        }

    def within(self, contexts: Mapping[Side, int | None]) -> MinionS:
        """The same protocol, heeding the contexts of the models that serve; None where unknown."""
        own = copy.copy(self)
        own._remote_context = contexts.get("remote")
        return own

    def findings_room(self, task: str) -> int:
        """Tokens that findings may take in the supervisor's prompt about a task."""
        if self._remote_context is None:
            return self.findings_tokens
        least, _ = self._remote_tokens()
        left = self._remote_context - least - prompts.most_tokens(len(task))
        return max(0, min(self.findings_tokens, left))

    def _remote_tokens(self) -> tuple[int, int]:
        least = prompts.WORDS_TOKENS + 2 * self.supervisor_tokens
        return least, least + self.findings_tokens

    def context_tokens(self, side: Side, request: Request) -> tuple[int, int]:
        """What a call of this side needs, and the most that a long one can take."""
        if side == "local":
            chunk = prompts.most_tokens(self.chunking.size)
            least = chunk + prompts.WORDS_TOKENS + self.worker_tokens
            # A second asking shows the first answer again.
            return least, least + self.worker_tokens + prompts.most_tokens(MOST_TASK_CHARACTERS)
        return self._remote_tokens()

    def likely_calls(self, request: Request) -> int:
        """Calls of a request of one round that puts one task to each chunk."""
        chunks_ = -(-len(request.document or "") // self.chunking.size)
        used = chunks_ if self.preselect is None else min(chunks_, self.preselect)
        return 4 + used * self.samples

    def to_embed(self, request: Request) -> Texts | None:
        """The task and the chunks of the document."""
        found = chunks(request.document or "", self.chunking)
        return Texts(task_of(request), found) if found else None

    def plan(self, request: Request) -> Plan:
        """The rounds of one request."""
        asking = Asking()
        work = _Work(self, request)
        if not work.chunks:
            return asking.abstain("there is no document to cut into chunks")
        advised = yield from asking.text(work.ask(prompts.advice_prompt(work.task), 0))
        if advised.failed:
            return asking.abstain(f"the supervisor failed: {advised.problem}")
        feedback = scratchpad = None
        for number in range(self.max_rounds):
            asking.count("rounds")
            planned = yield from self._plan_jobs(
                asking, work, number, advised.value, feedback, scratchpad
            )
            if isinstance(planned, str):
                return asking.abstain(planned)
            plan, jobs = planned
            asking.count("jobs", len(jobs))
            outputs = yield from asking.forms(
                [work.job(plan, job, place, number) for place, job in enumerate(jobs)],
                Output,
                repairs=1,
            )
            room = self.findings_room(work.task)
            found, unread = _findings(asking, plan, jobs, outputs, room)
            last = number == self.max_rounds - 1
            settled = yield from self._settle(asking, work, number, found, unread, last=last)
            if isinstance(settled, str):
                return asking.abstain(settled)
            decision = settled.value
            assert decision is not None
            if last or decision.decision == "provide_final_answer":
                return final_answer(asking, settled, decision.answer)
            feedback = as_text(decision.feedback)
            scratchpad = as_text(decision.scratchpad) if self.carry == "scratchpad" else None
        raise AssertionError("the last round ends the request")

    def _plan_jobs(
        self,
        asking: Asking,
        work: _Work,
        number: int,
        advice: str | None,
        feedback: str | None,
        scratchpad: str | None,
    ) -> Step[tuple[JobPlan, tuple[Job, ...]] | str]:
        """The round's plan and its jobs; a sentence where none came about."""
        prompt = prompts.plan_prompt(
            work.task,
            advice=advice,
            chunks=len(work.chunks),
            tasks=self.most_tasks,
            jobs=self.most_jobs,
            feedback=feedback,
            scratchpad=scratchpad,
        )
        messages = [Message("user", prompt)]
        problem: str | None = None
        for _ in range(MOST_PLANS):
            read = yield from asking.form(work.supervisor(messages, number, PLAN_SCHEMA), JobPlan)
            if read.value is None:
                return f"the supervisor made no plan: {read.problem}"
            try:
                jobs = jobs_of(
                    read.value,
                    work.index,
                    most_tasks=self.most_tasks,
                    most_jobs=self.most_jobs,
                    samples=self.samples,
                )
            except NotTheForm as error:
                problem = str(error)
                asking.count("plans_refused")
                messages = [
                    messages[0],
                    Message("assistant", read.text),
                    Message("user", f"This plan cannot be carried out: {problem}. Plan anew."),
                ]
            else:
                return read.value, jobs
        return f"the supervisor made no plan that can be carried out: {problem}"

    def _settle(
        self, asking: Asking, work: _Work, number: int, found: str, unread: int, *, last: bool
    ) -> Step[Read[Settling] | str]:
        """What the supervisor decides on the findings; a sentence where it did not."""
        messages = [Message("user", prompts.weigh_prompt(work.task, found, unread))]
        if not last:
            thought = yield from asking.text(work.supervisor(messages, number))
            if thought.failed:
                return f"the supervisor failed: {thought.problem}"
            messages.append(Message("assistant", thought.text or "(nothing)"))
        messages.append(Message("user", prompts.settle_prompt(last=last)))
        if last:
            # One call, as published: the findings and the demand for an answer together.
            messages = [Message("user", "\n\n".join(m.content for m in messages))]
        settled = yield from asking.form(
            work.supervisor(messages, number, SETTLING_SCHEMA), Settling
        )
        if settled.value is None:
            return f"the supervisor did not decide: {settled.problem}"
        return settled


class _Work:
    """One request's document in chunks, and the calls about it."""

    def __init__(self, protocol: MinionS, request: Request) -> None:
        self.task = task_of(request)
        found = chunks(request.document or "", protocol.chunking)
        if protocol.preselect is not None and found:
            kept = sorted(
                Bm25(found).top(self.task, protocol.preselect)
                if protocol.nearest is None
                else protocol.nearest.top(request.item_id, protocol.preselect)
            )
            found = tuple(found[place] for place in kept)
        self.chunks = found
        self.index = Bm25(found)
        limits = request.limits
        self._supervisor_limits = Limits(
            max_output_tokens=protocol.supervisor_tokens,
            temperature=limits.temperature,
            seed=limits.seed,
        )
        self._worker_limits = Limits(
            max_output_tokens=protocol.worker_tokens,
            temperature=limits.temperature,
            seed=limits.seed,
        )

    def ask(self, prompt: str, number: int) -> Call:
        return self.supervisor([Message("user", prompt)], number)

    def supervisor(
        self, messages: Sequence[Message], number: int, schema: dict[str, Any] | None = None
    ) -> Call:
        return Call(
            side="remote",
            role="supervisor",
            round=number,
            messages=tuple(messages),
            limits=self._supervisor_limits,
            schema=schema,
        )

    def job(self, plan: JobPlan, job: Job, place: int, number: int) -> Call:
        task = plan.tasks[job.task]
        prompt = prompts.job_prompt(self.chunks[job.chunk], task.task, task.advice)
        limits = self._worker_limits
        if job.sample:
            limits = msgspec.structs.replace(
                limits,
                temperature=max(limits.temperature, SAMPLE_TEMPERATURE),
                seed=None if limits.seed is None else limits.seed + job.sample,
            )
        return Call(
            side="local",
            role="worker",
            round=number,
            job=place,
            messages=(Message("user", prompt),),
            limits=limits,
            schema=OUTPUT_SCHEMA,
        )


def _findings(
    asking: Asking,
    plan: JobPlan,
    jobs: Sequence[Job],
    outputs: Sequence[Read[Output]],
    room_tokens: int,
) -> tuple[str, int]:
    """What was found, in words, and how many jobs brought nothing readable; each job is counted."""
    found: list[list[str]] = [[] for _ in plan.tasks]
    unread = 0
    for job, read in zip(jobs, outputs, strict=True):
        if read.value is None:
            asking.count("failed_jobs")
            unread += 1
            continue
        answer = as_text(read.value.answer)
        if answer is None:
            asking.count("abstained_jobs")
            continue
        found[job.task].append(prompts.finding(job.chunk, answer, as_text(read.value.citation)))
    tasks = [task.task for task in plan.tasks]
    kept = _with_room(tasks, found, room_tokens)
    left_out = [len(all_) - len(some) for all_, some in zip(found, kept, strict=True)]
    if any(left_out):
        asking.count("findings_left_out", sum(left_out))
    return prompts.findings(list(zip(tasks, kept, left_out, strict=True))), unread


def _with_room(
    tasks: Sequence[str], found: Sequence[Sequence[str]], room_tokens: int
) -> list[list[str]]:
    """The findings of each task for which there is room: one of each task in turn, in the order of
    the chunks, so that no task's findings crowd out another's."""
    lines = [prompts.task_line(number, task) for number, task in enumerate(tasks, 1)]
    left = room_tokens - sum(prompts.most_tokens(len(line) + 1) for line in lines)
    left -= LEFT_OUT_TOKENS * len(tasks)
    kept: list[list[str]] = [[] for _ in tasks]
    for place in range(max(map(len, found), default=0)):
        for of_task, into in zip(found, kept, strict=True):
            if place < len(of_task):
                tokens = prompts.most_tokens(len(of_task[place]) + 1)
                if tokens <= left:
                    left -= tokens
                    into.append(of_task[place])
    return kept
