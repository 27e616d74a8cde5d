"""Judging: every rule is asked, and the worst reason is the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from minionbench.metrics import record as whole
from minionbench.records import RequestRecord
from minionbench.stats import LEVEL
from minionbench.verdict import answers, course, harness, prompt, reasoning
from minionbench.verdict.evidence import Evidence, RunFacts
from minionbench.verdict.finding import Finding, NotChecked, Passed, Reason, Status

Rule: TypeAlias = Callable[[Evidence], Finding]

RULES: tuple[Rule, ...] = (
    harness.instants,
    course.engine_ended,
    answers.failures,
    course.too_few,
    course.incomplete,
    reasoning.reasoning,
    prompt.truncated_prompt,
    prompt.warm_prefix,
    harness.start_lag,
    harness.own_cpu,
    harness.shared_cores,
    harness.stamp_source,
    harness.lateness,
    harness.clock_step,
    harness.first_merged,
    harness.merged_reads,
    answers.buffered,
    answers.token_count,
    answers.reasoning_count,
    reasoning.inline_reasoning,
    answers.lumped_events,
    answers.forced_length,
    answers.empty_answers,
    course.drift_of("drift_ttft", "Time to first token", whole.ttft_s),
    course.drift_of("drift_tpot", "Time per output token", whole.tpot_s),
    course.repeat_spread,
)
"""Every rule, the gravest first; each gives exactly one finding."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Valid, suspect or invalid, with the reasons, the worst first, and what was looked at."""

    status: Status
    reasons: tuple[Reason, ...]
    passed: tuple[Passed, ...]
    not_checked: tuple[NotChecked, ...]


def judge(
    records: Sequence[RequestRecord], facts: RunFacts | None = None, *, level: float = LEVEL
) -> Verdict:
    """Judges one cell by its records and by what is known of its run.

    Only the measured phase counts. `level` is that of the cell's intervals.
    """
    evidence = Evidence(records, facts or RunFacts(), level)
    findings = [rule(evidence) for rule in RULES]
    reasons = [finding for finding in findings if isinstance(finding, Reason)]
    reasons.sort(key=lambda reason: reason.severity != "invalid")
    return Verdict(
        status=reasons[0].severity if reasons else "valid",
        reasons=tuple(reasons),
        passed=tuple(finding for finding in findings if isinstance(finding, Passed)),
        not_checked=tuple(finding for finding in findings if isinstance(finding, NotChecked)),
    )


def worst(verdicts: Sequence[Verdict]) -> Status | None:
    """The status of several cells together: that of the worst; None when there is none."""
    order: tuple[Status, ...] = ("valid", "suspect", "invalid")
    return max((verdict.status for verdict in verdicts), key=order.index, default=None)
