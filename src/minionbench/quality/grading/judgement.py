"""What a grader says about an answer."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from minionbench.exchange import Reference


class Grade(StrEnum):
    """Whether an answer is right. Only `RIGHT` is."""

    RIGHT = "right"
    WRONG = "wrong"
    """What the answer states is not the known answer, or it states several things."""
    UNREAD = "unread"
    """Nothing in the answer could be read as what was asked for."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A grader's word on one answer.

    `grade` is None where the grader cannot judge, whatever the answer is; `why` then says so.
    """

    grade: Grade | None
    read: str | None = None
    """What was taken for the answer; None where nothing was."""
    why: str | None = None
    """Why the answer cannot be judged, or why it is not right where that is not plain."""


class Judge(Protocol):
    """A pure function from an answer and what is right to a judgement."""

    def __call__(self, answer: str, reference: Reference, *, cut: bool = False) -> Judgement:
        """Judges an answer; `cut` says that it was broken off at its limit of tokens."""
        ...


class Grader(NamedTuple):
    """A judge with its name and its version, which is raised whenever a judgement may change."""

    name: str
    version: int
    judge: Judge
    summary: str
    """What it takes for right, in one line."""

    @property
    def label(self) -> str:
        """`number@1`."""
        return f"{self.name}@{self.version}"


def decided(right: bool, read: str, why: str | None = None) -> Judgement:
    """The judgement on something that could be read."""
    return Judgement(
        grade=Grade.RIGHT if right else Grade.WRONG, read=read, why=None if right else why
    )


def unread(why: str) -> Judgement:
    """Nothing could be read."""
    return Judgement(grade=Grade.UNREAD, why=why)


def impossible(why: str) -> Judgement:
    """No answer at all could be judged."""
    return Judgement(grade=None, why=why)
