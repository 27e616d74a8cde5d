"""From what was measured of a model to its candidate: values, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from minionbench.assembly import (
    answer_metrics,
    cell_summary,
    device_energy,
    engine_flags,
    engine_name,
    measured_cell,
    memory_metrics,
    metric_result,
    speed_metrics,
)
from minionbench.autobench.listing import Listed
from minionbench.autobench.peaks import PEAKS, Before
from minionbench.autobench.procedure import LIKELIHOOD_METRICS, WORKLOADS_OF, Procedure
from minionbench.autobench.task import Task, Tasks
from minionbench.engines.engine import EngineFacts
from minionbench.measuring import Measured
from minionbench.metrics.candidate import candidate_metrics
from minionbench.metrics.value import MetricValue, error, skipped
from minionbench.names import REGISTRY_METRICS
from minionbench.prices.electricity import electricity_metrics
from minionbench.quality.cove_score import cove_pass_rate
from minionbench.quality.retrieval_score import retrieval_score
from minionbench.records import RequestRecord
from minionbench.schema import BenchmarkCandidate, CellResult, Factors
from minionbench.traces import Trace
from minionbench.units import number_of
from minionbench.verdict import Verdict, judge

NOT_ASKED = "not asked for: --metrics names others"
RULES_OF_QUALITY = (
    "engine_ended",
    "failures",
    "too_few",
    "incomplete",
    "token_count",
    "empty_answers",
)
"""Rules that say something about answers; the others are about how exactly instants are known,
which is nothing to a score."""


class Outcome(NamedTuple):
    """One cell of a task, measured as far as it got."""

    task: Task
    measured: Measured

    @property
    def records(self) -> list[RequestRecord]:
        """The records that count."""
        return [record for record in self.measured.records if record.phase == "measured"]


def candidate_of(
    model: Listed,
    slug: str,
    outcomes: Sequence[Outcome],
    engine: EngineFacts,
    tasks: Tasks,
    *,
    extra: Mapping[str, MetricValue],
    before: Before,
    trace: Trace | None = None,
    notes: Sequence[str] = (),
) -> BenchmarkCandidate:
    """The candidate with its cells, whose records are referred to later.

    `extra` are metrics of the candidate that no cell has, `before` what engines of an interrupted
    run took, `trace` what the meters said while this model was measured.
    """
    base = [record for o in outcomes if o.task.kind == "cove-base" for record in o.records]
    cells: list[CellResult] = []
    summaries = []
    said = [*engine.notes]
    for outcome in outcomes:
        measured = outcome.measured
        if measured.given_up is not None:
            said.append(f"{measured.cell.cell_id} ended early: {_first_line(measured.given_up)}")
        if measured.taken_over:
            said.append(
                f"{measured.cell.cell_id} was measured in parts: "
                f"{number_of(measured.taken_over, 'request')} before the run was interrupted, the "
                "others after it was resumed."
            )
        if not outcome.records:
            continue
        metrics = _metrics(outcome, base, tasks)
        if outcome.task.kind == "speed":
            metrics |= device_energy(measured, engine, trace)
            metrics |= electricity_metrics(metrics, tasks.procedure.electricity_usd_per_kwh)
        metrics |= before.joined(memory_metrics(measured, engine, trace))
        verdict = judge(measured.records, measured.facts)
        if outcome.task.kind != "speed":
            verdict = _about_answers(verdict)
        settings = {**_settings(outcome), **outcome.task.settings}
        cells.append(measured_cell(measured.cell, metrics, verdict, settings, None))
        summaries.append(cell_summary(measured.cell, metrics, cold=True))
    values = candidate_metrics(summaries)
    asked = tasks.procedure.metrics
    final = {
        name: _final(name, values[name], outcomes) if name in asked else skipped(name, NOT_ASKED)
        for name in REGISTRY_METRICS
    }
    final |= {name: value for name, value in extra.items() if name in asked}
    return model.candidate(
        {name: metric_result(value) for name, value in final.items()},
        factors=Factors(
            deployment="local",
            model=model.version,
            engine=engine_name(engine),
            quantization=None,
            flags=engine_flags(engine),
        ),
        cells=cells,
        notes=tuple(dict.fromkeys([*said, *notes])),
    )


def failed_metrics(procedure: Procedure, message: str) -> dict[str, MetricValue]:
    """Every metric that is asked for as an error, the others as not asked for."""
    return {name: error(name, message) for name in _named(procedure)} | _unasked(procedure)


def skipped_metrics(procedure: Procedure, reason: str) -> dict[str, MetricValue]:
    """Every metric that is asked for as skipped with this reason."""
    return {name: skipped(name, reason) for name in _named(procedure)} | _unasked(procedure)


def _named(procedure: Procedure) -> list[str]:
    return [n for n in (*REGISTRY_METRICS, *LIKELIHOOD_METRICS) if n in procedure.metrics]


def _unasked(procedure: Procedure) -> dict[str, MetricValue]:
    others = [name for name in REGISTRY_METRICS if name not in procedure.metrics]
    return {name: skipped(name, NOT_ASKED) for name in others}


def _metrics(
    outcome: Outcome, base: Sequence[RequestRecord], tasks: Tasks
) -> dict[str, MetricValue]:
    """A cell's metrics, but for memory."""
    measured, settings = outcome.measured, outcome.task.settings
    if outcome.task.kind == "cove" and tasks.cove is not None:
        score = cove_pass_rate(
            tasks.cove.pairs, outcome.records, base, settings=settings, seed=tasks.procedure.seed
        )
        return {"cove_pass_rate": score}
    if outcome.task.kind == "retrieval" and tasks.retrieval is not None:
        score = retrieval_score(
            tasks.retrieval, outcome.records, settings=settings, seed=tasks.procedure.seed
        )
        return {"retrieval_score": score}
    if outcome.task.kind == "cove-base":
        return {}
    return speed_metrics(measured) | answer_metrics(measured)


def peak_metrics(outcomes: Sequence[Outcome], engine: EngineFacts) -> dict[str, MetricValue]:
    """The largest peaks of memory that any of the cells saw."""
    cells = [
        cell_summary(one.measured.cell, memory_metrics(one.measured, engine), cold=True)
        for one in outcomes
    ]
    values = candidate_metrics(cells)
    return {name: values[name] for name in PEAKS}


def _settings(outcome: Outcome) -> dict[str, Any]:
    limits = [request.limits for request in outcome.measured.cell.requests]
    return {
        "temperature": max((limit.temperature for limit in limits), default=None),
        "prefix_cache": "cold",
        "text_kept": True,
    }


def _about_answers(verdict: Verdict) -> Verdict:
    """The verdict by those rules that say something about answers."""
    reasons = tuple(r for r in verdict.reasons if r.rule in RULES_OF_QUALITY)
    worst = "invalid" if any(r.severity == "invalid" for r in reasons) else "suspect"
    return msgspec.structs.replace(
        verdict,
        status=worst if reasons else "valid",
        reasons=reasons,
        passed=tuple(p for p in verdict.passed if p.rule in RULES_OF_QUALITY),
        not_checked=tuple(n for n in verdict.not_checked if n.rule in RULES_OF_QUALITY),
    )


def _final(name: str, value: MetricValue, outcomes: Sequence[Outcome]) -> MetricValue:
    """A candidate's metric in the light of what became of the cells that it rests on."""
    resting_on = [outcome.measured for outcome in outcomes if _rests_on(name, outcome)]
    ended = next((m.facts.engine_ended for m in resting_on if m.facts.engine_ended), None)
    if ended is not None:
        return error(name, ended, **_before(value))
    given_up = next((m.given_up for m in resting_on if m.given_up), None)
    if given_up is None:
        return value
    if value.status == "skipped":
        return skipped(name, _sentence(given_up, resting_on))
    return msgspec.structs.replace(value, metadata={**value.metadata, "cut_short": given_up})


def _rests_on(name: str, outcome: Outcome) -> bool:
    workload = outcome.measured.cell.workload
    if name in PEAKS:
        return True
    if name == "cove_pass_rate":
        return workload in ("cove", "cove-base")
    if name == "retrieval_score":
        return workload == "retrieval"
    return workload in WORKLOADS_OF[name]


def _before(value: MetricValue) -> dict[str, Any]:
    """What the requests before the end amounted to."""
    return {} if value.value is None else {"value_before_the_end": value.value}


def _sentence(given_up: str, measured: Sequence[Measured]) -> str:
    asked = sum(m.cell.repeats * len(m.cell.requests) for m in measured)
    answered = sum(record.phase == "measured" for m in measured for record in m.records)
    return f"{given_up} after {answered} of {number_of(asked, 'request')}"


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
