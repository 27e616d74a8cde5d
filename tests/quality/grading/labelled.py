"""Answers with the grade that a careful person gives them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from minionbench.exchange import Reference
from minionbench.quality.grading.judgement import Judge

Case: TypeAlias = tuple[str, Sequence[str]]


def disagreements(
    judge: Judge,
    reference: Reference,
    right: Iterable[str] = (),
    wrong: Iterable[str] = (),
    unread: Iterable[str] = (),
) -> list[str]:
    """Where a judge says something else than the person did."""
    expected = [(text, "right") for text in right]
    expected += [(text, "wrong") for text in wrong]
    expected += [(text, "unread") for text in unread]
    found = []
    for text, grade in expected:
        judged = judge(text, reference)
        if judged.grade != grade:
            found.append(f"{text!r} is {grade}, not {judged.grade} (read {judged.read!r})")
    return found
