"""Building a longer plan out of a deployment's own plans, step after step or side by side.

A quality procedure asks a deployment several things in the course of one request. Each thing
asked is a plan of the deployment itself, so that a procedure runs over a local model, a remote
one or a hybrid protocol alike, and every call stays a call of the request.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeAlias

import msgspec

from minionbench.deployments.deployment import Deployment
from minionbench.exchange import Answer, Call, Message, Plan, Reply, Request, Side
from minionbench.quality.prompts import about

Step: TypeAlias = Generator[tuple[Call, ...], tuple[Reply, ...], tuple[Answer, ...]]
"""Part of a plan that ends with one answer for each thing that was asked."""


class OverDeployment:
    """A procedure over a deployment: it runs where that runs, and is no other place."""

    asks_once = False

    def __init__(self, inner: Deployment) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        """The inner deployment's."""
        return self.inner.name

    @property
    def prepares(self) -> bool:
        """The inner deployment's."""
        return self.inner.prepares

    @property
    def sides(self) -> tuple[Side, ...]:
        """The inner deployment's."""
        return self.inner.sides


def given_up(step: str, answer: Answer) -> Answer:
    """No answer, because a step had none."""
    return Answer(text=None, call=None, abstained=f"{step} failed: {answer.abstained}")


class Composition:
    """The steps that one request has taken so far, over one deployment.

    It numbers rounds and calls through: the first round of a step follows the last of the step
    before, and an answer names its call by its place in the whole request.
    """

    def __init__(
        self,
        inner: Deployment,
        request: Request,
        *,
        document: str | None = None,
        first_round: int = 0,
    ) -> None:
        """`document` is put before every prompt, and is what a hybrid protocol keeps at home."""
        self._inner = inner
        self._request = request
        self._document = document
        self._round = first_round
        self._calls = 0

    def ask(self, prompts: Sequence[str], *, jobs: bool = False) -> Step:
        """Asks each prompt by itself, all side by side, with the request's own limits.

        With `jobs` the calls of prompt i are given the job i where the deployment gave them none.
        """
        return self._side_by_side([self._inner.plan(self._asking(p)) for p in prompts], jobs)

    def answer(self) -> Step:
        """Lets the deployment answer the request as it stands."""
        return self._side_by_side([self._inner.plan(self._request)], jobs=False)

    def _side_by_side(self, plans: Sequence[Plan], jobs: bool) -> Step:
        live = [_Live(plan, job if jobs else None) for job, plan in enumerate(plans)]
        first_round = self._round
        try:
            for one in live:
                one.start()
            while waiting := [one for one in live if one.calls]:
                batch = tuple(
                    one.numbered(call, first_round) for one in waiting for call in one.calls
                )
                self._round = max(self._round, 1 + max(call.round for call in batch))
                start, self._calls = self._calls, self._calls + len(batch)
                replies = yield batch
                at = 0
                for one in waiting:
                    size = len(one.calls)
                    one.resume(replies[at : at + size], range(start + at, start + at + size))
                    at += size
        finally:
            for plan in plans:
                plan.close()
        return tuple(one.answer for one in live)

    def _asking(self, prompt: str) -> Request:
        system = tuple(m for m in self._request.messages if m.role == "system")
        return msgspec.structs.replace(
            self._request,
            messages=(*system, Message("user", about(self._document, prompt))),
            document=self._document,
            question=prompt,
        )


class _Live:
    """One plan under way among others."""

    def __init__(self, plan: Plan, job: int | None) -> None:
        self.calls: tuple[Call, ...] = ()
        """The calls whose replies it waits for; empty when it has ended."""
        self.answer = Answer(text=None, call=None, abstained="the plan has not ended")
        self._plan = plan
        self._job = job
        self._places: list[int] = []
        """Where each call of this plan stands among all calls of the request."""

    def start(self) -> None:
        try:
            self.calls = next(self._plan)
        except StopIteration as stop:
            self._end(stop.value)

    def resume(self, replies: tuple[Reply, ...], places: Sequence[int]) -> None:
        self._places += places
        try:
            self.calls = self._plan.send(replies)
        except StopIteration as stop:
            self._end(stop.value)

    def numbered(self, call: Call, first_round: int) -> Call:
        return msgspec.structs.replace(
            call,
            round=first_round + call.round,
            job=self._job if call.job is None else call.job,
        )

    def _end(self, answer: Answer) -> None:
        self.calls = ()
        place = None if answer.call is None else self._places[answer.call]
        self.answer = msgspec.structs.replace(answer, call=place)
