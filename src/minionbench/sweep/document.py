"""The document of a sweep, from what lies on disk: its plan, its sessions and its journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from minionbench.assembly import (
    document,
    measured_candidates,
    measured_cell,
    metric_result,
    stamp_source,
    streams_of,
    unmeasured_candidate,
)
from minionbench.exchange import CUT_OFF
from minionbench.measuring import Cell, Measured
from minionbench.meters.memory import MemoryReading
from minionbench.meters.vram import VramReading
from minionbench.metrics.candidate import CellSummary, candidate_metrics
from minionbench.metrics.cell import CELL_METRICS
from minionbench.metrics.value import MetricValue
from minionbench.quality.grading.accuracy import METRIC as ACCURACY
from minionbench.records import RequestRecord
from minionbench.run_plan import PlannedCandidate
from minionbench.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    CellResult,
    MetricResult,
    ReasonDocument,
    VerdictDocument,
)
from minionbench.store import FinishedRecords
from minionbench.sweep.plan import SweepPlan
from minionbench.sweep.sessions import Session
from minionbench.traces import Fact, Trace, trace_of_cells
from minionbench.units import number_of
from minionbench.verdict import RunFacts, Verdict

T = TypeVar("T")
SESSION = "session"
"""The unit that the repeats of a sweep's cells are of."""
OF_A_CELL = (*CELL_METRICS, ACCURACY, "peak_ram_mb", "peak_vram_mb")
"""Metrics that a cell has which was not measured, each with the reason."""
RESTARTED = (
    "the machine was restarted in the course of the sweep: readings of meters and instants of "
    "requests are on different clocks"
)
NOT_REACHED = "the sweep ended before this cell's turn came; --resume goes on with it"


class Outcomes(NamedTuple):
    """All that a sweep has left on disk."""

    plan: SweepPlan
    sessions: Mapping[tuple[int, int], Session]
    """The latest that is known of each session, by the place of its cell and its repeat."""
    records: Mapping[str, Sequence[RequestRecord]]
    """Of each cell, the measured ones."""
    finished: FinishedRecords | None
    """None where nothing was measured."""
    facts: Sequence[Fact] = ()
    """What the meters said in all sessions."""


def counting(records: Iterable[RequestRecord]) -> dict[str, list[RequestRecord]]:
    """The measured records of each cell that count.

    A request that was cut off and asked again in a resumed sweep stands there with its last record.
    """
    found: dict[str, dict[tuple[int, int], RequestRecord]] = {}
    for record in records:
        if record.phase == "measured":
            found.setdefault(record.cell, {})[record.repeat, record.index] = record
    return {cell: list(of_cell.values()) for cell, of_cell in found.items()}


def taken_over(records: Iterable[RequestRecord]) -> dict[tuple[str, int], list[RequestRecord]]:
    """The records of each session, by cell and repeat, that a resumed sweep does not ask again."""
    kept: dict[tuple[str, int], list[RequestRecord]] = {}
    for cell, of_cell in counting(records).items():
        for record in of_cell:
            if record.outcome not in CUT_OFF:
                kept.setdefault((cell, record.repeat), []).append(record)
    return kept


def sweep_document(
    outcomes: Outcomes, *, finished: bool, ended: str = NOT_REACHED, notes: Sequence[str] = ()
) -> BenchmarkRun:
    """The document of a sweep; `ended` is why what was not reached was not."""
    plan = outcomes.plan
    measured: list[Measured] = []
    candidates = [
        _candidate(outcomes, candidate, ended, measured) for candidate in plan.run.candidates
    ]
    return document(
        plan.run,
        candidates,
        finished=finished,
        stamps=stamp_source(measured),
        notes=[*plan.notes, *notes],
    )


def dry_document(plan: SweepPlan, notes: Sequence[str]) -> BenchmarkRun:
    """The document of a sweep of which nothing was to be measured."""
    skipped = MetricResult.skipped("dry run: nothing was measured")
    candidates = [unmeasured_candidate(one.factors, skipped) for one in plan.run.candidates]
    whole = [*plan.notes, *notes]
    return document(plan.run, candidates, finished=True, dry_run=True, notes=whole)


def _candidate(
    outcomes: Outcomes, planned: PlannedCandidate, ended: str, all_measured: list[Measured]
) -> BenchmarkCandidate:
    places = {cell.cell_id: place for place, cell in enumerate(outcomes.plan.run.cells)}
    cells = {cell_id: outcomes.plan.run.cells[places[cell_id]].cell() for cell_id in planned.cells}
    sessions = {
        cell_id: [
            outcomes.sessions.get((places[cell_id], repeat)) for repeat in range(cell.repeats)
        ]
        for cell_id, cell in cells.items()
    }
    trace = trace_of_cells(outcomes.facts, planned.cells)
    merged = {
        cell_id: _merged(cell, sessions[cell_id], outcomes.records.get(cell_id, ()), trace)
        for cell_id, cell in cells.items()
    }
    serving = [one for of in sessions.values() for one in of if one is not None and one.engines]
    known = _with_common_flags(planned, serving)
    measured = [one for one in merged.values() if one is not None]
    results: dict[str, CellResult] = {}
    made: BenchmarkCandidate | None = None
    if measured and outcomes.finished is not None and serving:
        own = msgspec.structs.replace(
            outcomes.plan.run,
            engines=serving[0].engines,
            candidates=(
                msgspec.structs.replace(known, cells=tuple(one.cell.cell_id for one in measured)),
            ),
        )
        (made,) = measured_candidates(measured, own, outcomes.finished, trace)
        results = {cell.cell_id: cell for cell in made.cells}
        all_measured += measured
    common = known.factors.flags
    whole = tuple(
        _told(
            results.get(cell_id) or _unmeasured(cell, planned, sessions[cell_id], ended),
            sessions[cell_id],
            common,
            [place for place, _ in _turns(outcomes.plan, places[cell_id])],
        )
        for cell_id, cell in cells.items()
    )
    if made is None:
        every = [one for of in sessions.values() for one in of]
        return unmeasured_candidate(known.factors, _why(every, ended)).but(cells=whole)
    if len(results) == len(whole):
        return made.but(cells=whole)
    # What is said of the candidate as a whole counts the cells that were not measured, too.
    summaries = [_summary(cell, cells[cell.cell_id], outcomes.plan.run.cold) for cell in whole]
    metrics = {name: metric_result(value) for name, value in candidate_metrics(summaries).items()}
    return made.but(cells=whole, metrics=metrics)


def _turns(plan: SweepPlan, place: int) -> list[tuple[int, int]]:
    """(turn from 1, repeat) of a cell's sessions, in the order of their repeats."""
    turns = [(turn, repeat) for turn, (at, repeat) in enumerate(plan.order, 1) if at == place]
    return sorted(turns, key=lambda pair: pair[1])


def _with_common_flags(planned: PlannedCandidate, serving: Sequence[Session]) -> PlannedCandidate:
    """The candidate as its engines made it known, with the flags that all of them ran with."""
    known = [session.planned for session in serving if session.planned is not None]
    if not known:
        return planned
    flags = dict(known[0].factors.flags)
    for other in known[1:]:
        flags = {
            name: value for name, value in flags.items() if other.factors.flags.get(name) == value
        }
    factors = known[0].factors.but(flags=flags)
    return msgspec.structs.replace(planned, factors=factors, settings=known[0].settings)


def _merged(
    cell: Cell,
    sessions: Sequence[Session | None],
    records: Sequence[RequestRecord],
    trace: Trace | None,
) -> Measured | None:
    """What all sessions of a cell measured together; None where none measured anything."""
    parts: list[Measured] = []
    missing: Counter[str] = Counter()
    for repeat, session in enumerate(sessions):
        own = [record for record in records if record.repeat == repeat]
        if session is None or (session.measured is None and not own):
            missing[session.why if session is not None and session.why else NOT_REACHED] += 1
            continue
        part = session.outcome(cell, own)
        parts.append(part)
        if part.given_up is not None:
            missing[part.given_up] += 1
    if not parts:
        return None
    given_up = [
        f"{count} of {number_of(cell.repeats, 'session')}: {why}" for why, count in missing.items()
    ]
    facts = [part.facts for part in parts]
    return msgspec.structs.replace(
        parts[0],
        cell=cell,
        records=tuple(record for part in parts for record in part.records),
        facts=_facts(cell, facts),
        memory=_largest_memory([part.memory for part in parts]),
        vram=_largest_vram([part.vram for part in parts]),
        given_up="; ".join(given_up) or None,
        taken_over=sum(part.taken_over for part in parts),
        pauses=tuple(pause for part in parts for pause in part.pauses),
        held=max(
            (part.held for part in parts if part.held is not None),
            key=lambda held: held.vram_bytes,
            default=None,
        ),
        servers={},
        clocks=tuple(
            clock for session in sessions if session is not None for clock in session.clocks
        ),
        unmetered=RESTARTED if _restarted(sessions, trace) else None,
    )


def _restarted(sessions: Sequence[Session | None], trace: Trace | None) -> bool:
    """Whether records of these sessions are on another clock than what the meters said."""
    if trace is None or trace.begun is None:
        return False
    known = [session for session in sessions if session is not None and session.clock is not None]
    boots = {session.boot for session in known}
    boots |= {part.boot for session in known for part in session.earlier}
    return bool(boots - {trace.begun.boot})


def _facts(cell: Cell, facts: Sequence[RunFacts]) -> RunFacts:
    """What is known of the sessions together: unknown where it is of one of them."""

    def whole(field: str, together: Callable[[list[Any]], T]) -> T | None:
        values = [getattr(one, field) for one in facts]
        known = [value for value in values if value is not None]
        return together(known) if len(known) == len(values) else None

    ended = [one.engine_ended for one in facts if one.engine_ended is not None]
    return msgspec.structs.replace(
        facts[0],
        own_cpu_ns=whole("own_cpu_ns", sum),
        wall_ns=whole("wall_ns", sum),
        clock_step_ns=whole("clock_step_ns", max),
        pinned=whole("pinned", all),
        engine_watched=whole("engine_watched", all),
        engine_ended=ended[0] if ended else None,
        interrupted=any(one.interrupted for one in facts),
        planned_requests=cell.repeats * len(cell.requests),
        template_tokens=whole("template_tokens", max),
        context_tokens=whole("context_tokens", min),
    )


def _largest_memory(readings: Sequence[MemoryReading]) -> MemoryReading:
    known = [reading for reading in readings if reading.peak_bytes is not None]
    return max(known, key=lambda reading: reading.peak_bytes or 0, default=readings[0])


def _largest_vram(readings: Sequence[VramReading]) -> VramReading:
    known = [reading for reading in readings if reading.peak_bytes is not None]
    return max(known, key=lambda reading: reading.peak_bytes or 0, default=readings[0])


def _told(
    cell: CellResult,
    sessions: Sequence[Session | None],
    common: Mapping[str, Any],
    turns: Sequence[int],
) -> CellResult:
    """The cell with what a reader has to know of its sessions."""
    own_flags: dict[str, Any] = {}
    for session in sessions:
        if session is not None and session.planned is not None:
            flags = session.planned.factors.flags
            own_flags |= {name: value for name, value in flags.items() if name not in common}
    settings = {
        **cell.settings,
        "repeat_unit": SESSION,
        "sessions": [
            _said(session, repeat, turn)
            for repeat, (session, turn) in enumerate(zip(sessions, turns, strict=True))
        ],
        **({"flags": own_flags} if own_flags else {}),
    }
    return cell.but(settings=settings)


def _said(session: Session | None, repeat: int, turn: int) -> dict[str, Any]:
    """A session in plain values; what it does not have is left out."""
    if session is None:
        return {"repeat": repeat, "turn": turn, "state": "not reached"}
    facts = (session.measured or {}).get("facts") or {"interrupted": True}
    state = "failed" if session.why else "broken off" if facts["interrupted"] else "measured"
    told = {
        "repeat": repeat,
        "turn": turn,
        "state": state,
        "started": session.started,
        "start_s": session.start_s,
        "why": session.why,
        "server": (session.measured or {}).get("servers") or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _why(sessions: Sequence[Session | None], ended: str) -> MetricResult:
    """Why nothing of these sessions was measured."""
    reasons = Counter(one.why for one in sessions if one is not None and one.why is not None)
    if not reasons:
        return MetricResult.skipped(ended)
    (why, count), *others = reasons.most_common()
    more = f" ({count} of {number_of(reasons.total(), 'session')}; the others otherwise)"
    return MetricResult.error(f"{why}{more if others else ''}")


def _unmeasured(
    cell: Cell, planned: PlannedCandidate, sessions: Sequence[Session | None], ended: str
) -> CellResult:
    """A cell of which no session was measured: every metric says why."""
    why = _why(sessions, ended)
    message = why.error_message or ended
    reason = ReasonDocument(
        rule="session_failed" if why.error_message else "not_reached",
        severity="invalid",
        measured=0,
        limit=cell.repeats,
        unit="sessions",
        message=f"No session of this cell was measured: {message}",
        advice="Mend what it names, and go on with --resume: what was measured stays.",
    )
    nothing = Verdict(status="valid", reasons=(), passed=(), not_checked=())
    bare = measured_cell(cell, {}, nothing, planned.settings, None)
    return bare.but(
        metrics=dict.fromkeys(OF_A_CELL, why),
        verdict=VerdictDocument(status="invalid", reasons=(reason,)),
    )


def _summary(result: CellResult, cell: Cell, cold: bool | None) -> CellSummary:
    return CellSummary(
        workload=cell.workload,
        streams=streams_of(cell),
        cold=cold,
        metrics={
            name: MetricValue(
                status=metric.status.value,
                value=metric.value,
                error_message=metric.error_message,
                metadata=dict(metric.metadata),
            )
            for name, metric in result.metrics.items()
        },
    )
