"""From documents and their records to what a comparison needs of them.

The values are the document's own. The records are read for what only they tell: each item's values,
and the sessions apart. Where they are gone, or are not those of the document, the comparison goes
without and says so.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from minionbench.assembly import objective_of
from minionbench.compare.conditions import conditions
from minionbench.compare.measurement import Measurement, Observation, Replicate
from minionbench.errors import UsageError
from minionbench.metrics import record as whole
from minionbench.metrics.cell import cell_metrics
from minionbench.metrics.request import Absence, NegativeInterval, Quantity
from minionbench.metrics.value import MetricValue
from minionbench.quality.grading.accuracy import accuracy
from minionbench.records import RequestRecord
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult, MetricResult
from minionbench.stats import median
from minionbench.store import read_all_records, read_records

ACCURACY = "accuracy_pct"

BY_ITEM: dict[str, Quantity[RequestRecord, float]] = {
    "ttft_s": whole.ttft_s,
    "ttfo_s": whole.ttfo_s,
    "total_latency_s": whole.total_latency_s,
    "response_time_s": whole.response_time_s,
    "tpot_s": whole.tpot_s,
    "tokens_per_sec": whole.decode_tokens_per_s,
}
"""Metrics that each request has one value of, so that items can be paired."""

OF_THE_HARNESS = frozenset(
    (
        "instants",
        "start_lag",
        "own_cpu",
        "lateness",
        "clock_step",
        "stamp_source",
        "shared_cores",
        "first_merged",
        "merged_reads",
    )
)
"""Rules of validity that say how well was measured, not how what was measured did: a run that is
invalid by its failures says a lot about what failed."""

MOST_PAIRED = 20_000
"""Records of a cell up to which items are paired. With more, a run's median is known so much better
than runs lie apart that to pair its items tells nothing more."""

REPEAT_UNIT = "repeat_unit"
SESSION = "session"
"""A cell's settings say so where each of its repeats was a session of its own."""


class Document:
    """A run document and where it lies."""

    def __init__(self, path: Path, run: BenchmarkRun) -> None:
        self.path = path
        self.run = run
        self._records: dict[str, list[RequestRecord]] = {}

    def records_of(self, cell: CellResult) -> list[RequestRecord]:
        """The records of a cell. Those of all cells in the same journal are read at once.

        Raises UsageError when there are none, SchemaError when they are not the document's.
        """
        if cell.records is None:
            return read_records(self.path, cell)
        if cell.cell_id not in self._records:
            same = [
                one
                for candidate in self.run.candidates
                for one in candidate.cells
                if one.records is not None and one.records.path == cell.records.path
            ]
            self._records |= read_all_records(self.path, same)
        return self._records.pop(cell.cell_id)


class Wanted(NamedTuple):
    """What to read of a cell's records."""

    metrics: tuple[str, ...] = ()
    """The metrics whose items are to be read; empty for the usual."""
    records: bool = True
    """Whether to read records at all."""

    def items(self, cell: CellResult) -> list[str]:
        """The metrics of a cell whose items are to be read: as few as are needed, since each
        takes its time where there are many requests."""
        names = self.metrics or (
            "ttft_s" if _has_value(cell, "ttft_s") else "ttfo_s",
            "total_latency_s" if cell.load.kind == "closed" else "response_time_s",
            "tpot_s",
        )
        return [name for name in names if name in BY_ITEM and _has_value(cell, name)]


def _has_value(cell: CellResult, name: str) -> bool:
    metric = cell.metrics.get(name)
    return metric is not None and metric.status != "skipped"


def measurements(
    document: Document, candidate: BenchmarkCandidate, wanted: Wanted
) -> Iterator[Measurement]:
    """A candidate's cells, and the candidate as a whole where it has figures of its own."""
    run = document.run
    about: dict[str, Any] = {
        "run_id": run.metadata.run_id,
        "candidate": title(candidate),
        "factors": factors(candidate),
    }
    placed: dict[tuple[str, str], int] = {}
    for cell in candidate.cells:
        load = load_words(cell)
        key = (cell.workload.name, load)
        placed[key] = placed.get(key, -1) + 1
        replicates, notes = _replicates(document, cell, wanted)
        yield Measurement(
            **about,
            cell_id=cell.cell_id,
            workload=cell.workload.name,
            load=load,
            place=placed[key],
            conditions=conditions(run, candidate, cell),
            replicates=replicates,
            doubts=tuple(r.rule for r in cell.verdict.reasons if r.severity != "note"),
            invalid=tuple(
                r.rule
                for r in cell.verdict.reasons
                if r.severity == "invalid" and r.rule in OF_THE_HARNESS
            ),
            notes=notes,
        )
    broken = _broken(candidate)
    own = _own_metrics(candidate)
    if own or broken:
        replicate = Replicate(
            run_id=run.metadata.run_id,
            session=None,
            requests=None,
            failed=None,
            metrics=own,
        )
        yield Measurement(
            **about,
            cell_id=None,
            workload=None,
            load=None,
            conditions=conditions(run, candidate, None),
            replicates=(replicate,),
            broken=broken,
        )


def title(candidate: BenchmarkCandidate) -> str:
    """What was measured, in one line."""
    given = candidate.factors
    if given is None:
        return candidate.version
    parts = [given.model]
    if given.protocol and given.deployment == "hybrid":
        parts[0] += f" with {given.remote_model} by {given.protocol}"
    if candidate.quantization and candidate.quantization.lower() not in given.model.lower():
        parts.append(candidate.quantization)
    if given.reasoning is not None:
        parts.append("reasoning" if given.reasoning else "no reasoning")
    return ", ".join(parts)


def factors(candidate: BenchmarkCandidate) -> dict[str, Any]:
    """What an experiment varies, as plain values: the name by which candidates are matched."""
    given = candidate.factors
    if given is None:
        return {"version": candidate.version}
    return {
        "deployment": given.deployment,
        "model": given.model,
        "reasoning": given.reasoning,
        "quantization": candidate.quantization or given.quantization,
        "remote_model": given.remote_model,
        "protocol": given.protocol,
    }


def load_words(cell: CellResult) -> str:
    """A cell's load in words."""
    load = cell.load
    if load.kind == "closed":
        return f"{load.concurrency} stream{'' if load.concurrency == 1 else 's'}"
    if load.kind == "open":
        return f"{load.rate_per_s:g} requests/s, {load.arrivals}"
    return f"replay of {load.trace}"


def _broken(candidate: BenchmarkCandidate) -> str | None:
    """Why nothing of a candidate was measured; None where something was."""
    if candidate.cells:
        return None
    errors = [m.error_message for m in candidate.metrics.values() if m.status == "error"]
    if errors and all(metric.value is None for metric in candidate.metrics.values()):
        return errors[0]
    return None


def _own_metrics(candidate: BenchmarkCandidate) -> dict[str, Observation]:
    """The figures that are the candidate's and no cell's."""
    in_cells = {name for cell in candidate.cells for name in cell.metrics}
    derived = {"latency_ms", "tokens_per_sec"} if candidate.cells else set()
    return {
        name: observation(metric)
        for name, metric in candidate.metrics.items()
        if name not in in_cells
        and name not in derived
        and (metric.value is not None or metric.status == "error")
    }


def observation(metric: MetricResult | MetricValue) -> Observation:
    """One metric as a replicate has it."""
    about = metric.metadata
    percentiles = about.get("percentiles")
    n = about.get("n")
    not_right = about.get("not_right")
    bounds = about.get("interval") or {}
    return Observation(
        value=metric.value,
        failed=metric.status == "error",
        why=metric.error_message or about.get("reason"),
        items=n if type(n) is int and n > 0 else None,
        low=bounds.get("low"),
        high=bounds.get("high"),
        level=level if isinstance(level := bounds.get("level"), float) and 0 < level < 1 else None,
        percentiles={
            label: float(entry["value"])
            for label, entry in (percentiles or {}).items()
            if isinstance(entry, dict) and isinstance(entry.get("value"), int | float)
        },
        not_right=_shares(not_right),
    )


def _shares(told: object) -> dict[str, float] | None:
    """Each item's share of right answers; None where that is not what was told."""
    if not isinstance(told, dict):
        return None
    if not all(type(share) in (int, float) and 0 <= share <= 1 for share in told.values()):
        return None
    return {item: float(share) for item, share in told.items()}


# --- records -----------------------------------------------------------------------------------


def _replicates(
    document: Document, cell: CellResult, wanted: Wanted
) -> tuple[tuple[Replicate, ...], tuple[str, ...]]:
    """The replicates of a cell, and what should be known of them."""
    run_id = document.run.metadata.run_id
    sessions = cell.settings.get(REPEAT_UNIT) == SESSION and cell.repeats > 1
    names = wanted.items(cell)
    records: list[RequestRecord] = []
    items: dict[str, dict[str, float | None]] = {}
    notes: list[str] = []
    asked: tuple[str, ...] = ()
    if _worth_reading(cell, wanted, names, sessions):
        try:
            with _collector_paused():
                records = document.records_of(cell)
                if not sessions:
                    items, asked = by_item(records, names)
        except NegativeInterval as fault:
            notes.append(f"The items of {run_id} were not paired: {fault}")
        except UsageError as error:
            if sessions:
                raise
            notes.append(f"The items of {run_id} were not paired: {error}")
    if sessions and records:
        return tuple(_session_replicates(run_id, cell, records, names)), tuple(notes)
    metrics = {name: observation(metric) for name, metric in cell.metrics.items()}
    requests, failed = _counts(cell.metrics)
    one = Replicate(
        run_id=run_id,
        session=0 if sessions else None,
        requests=requests,
        failed=failed,
        metrics=metrics,
        items=items,
        asked=asked,
    )
    return (one,), tuple(notes)


def _worth_reading(cell: CellResult, wanted: Wanted, names: Sequence[str], sessions: bool) -> bool:
    if not wanted.records or cell.records is None:
        return False
    return sessions or (bool(names) and cell.records.rows <= MOST_PAIRED)


def _session_replicates(
    run_id: str, cell: CellResult, records: Sequence[RequestRecord], names: Sequence[str]
) -> Iterator[Replicate]:
    """A replicate per session; what only the cell as a whole has is the first one's."""
    sessions: dict[int, list[RequestRecord]] = {}
    for record in records:
        if record.phase == "measured":
            sessions.setdefault(record.repeat, []).append(record)
    streams = cell.load.concurrency if cell.load.kind == "closed" else None
    for place, (session, group) in enumerate(sorted(sessions.items())):
        values: Mapping[str, MetricValue] = cell_metrics(
            group,
            streams=streams,
            objective=objective_of(cell.settings),
            open_loop=cell.load.kind != "closed",
        )
        metrics = {name: observation(v) for name, v in values.items() if name in cell.metrics}
        if ACCURACY in cell.metrics:
            metrics[ACCURACY] = observation(accuracy(group))
        if place == 0:
            metrics |= {
                name: observation(metric)
                for name, metric in cell.metrics.items()
                if name not in metrics
            }
        requests, failed = _counts(values)
        items, asked = by_item(group, names)
        yield Replicate(
            run_id=run_id,
            session=session,
            requests=requests,
            failed=failed,
            metrics=metrics,
            items=items,
            asked=asked,
        )
    yield from _failed_sessions(run_id, cell)


def _failed_sessions(run_id: str, cell: CellResult) -> Iterator[Replicate]:
    """The sessions that could not be held, each a replicate in which everything failed."""
    sessions = cell.settings.get("sessions")
    for told in sessions if isinstance(sessions, list) else ():
        if not isinstance(told, dict) or told.get("state") != "failed":
            continue
        repeat = told.get("repeat")
        failed = Observation(value=None, failed=True, why=str(told.get("why")))
        yield Replicate(
            run_id=run_id,
            session=repeat if type(repeat) is int else 0,
            requests=None,
            failed=None,
            metrics={
                name: failed for name, metric in cell.metrics.items() if metric.status != "skipped"
            },
        )


def _counts(metrics: Mapping[str, MetricResult | MetricValue]) -> tuple[int | None, int | None]:
    """Requests that count and how many of them failed; None where no metric says."""
    for name in ("total_latency_s", "ttfo_s", "response_time_s", "ttft_s"):
        metric = metrics.get(name)
        if metric is None:
            continue
        requests, failed = metric.metadata.get("requests"), metric.metadata.get("failed")
        if type(requests) is int and type(failed) is int and requests > 0:
            return requests, failed
    return None, None


def by_item(
    records: Sequence[RequestRecord], names: Sequence[str]
) -> tuple[dict[str, dict[str, float | None]], tuple[str, ...]]:
    """Each item's median over its repeats, by metric, and the items that were asked.

    None where the median falls among failures; an item that has no value for another reason is
    left out. Raises NegativeInterval where a record's instants contradict each other.
    """
    measured = [record for record in records if record.phase == "measured"]
    asked = dict.fromkeys(record.item_id for record in measured)
    found: dict[str, dict[str, float | None]] = {}
    for name in names:
        observe = BY_ITEM[name].or_absence
        worst = -math.inf if name == "tokens_per_sec" else math.inf
        seen: dict[str, list[float]] = {}
        for record in measured:
            value = observe(record)
            if value is Absence.FAILED:
                seen.setdefault(record.item_id, []).append(worst)
            elif not isinstance(value, Absence):
                seen.setdefault(record.item_id, []).append(value)
        found[name] = {
            item: None if math.isinf(middle) else middle
            for item, values in seen.items()
            if (middle := values[0] if len(values) == 1 else median(values)) is not None
        }
    return found, tuple(asked)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Holds the cyclic collector off: records are trees, and looking through them takes longer
    than reading them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
