"""Recovery: the document of a run that was killed, from its journal and its plan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from minionbench.assembly import (
    document,
    measured_candidates,
    stamp_source,
    unmeasured_candidate,
)
from minionbench.errors import MinionbenchError, SchemaError, UsageError
from minionbench.exchange import Outcome
from minionbench.measuring import NOT_OURS, Cell, Measured
from minionbench.meters.memory import MemoryReading
from minionbench.meters.vram import VramReading
from minionbench.records import RequestRecord
from minionbench.run_plan import PlannedCandidate, RunPlan, read_plan
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, MetricResult
from minionbench.store import (
    AUTOBENCH_PLAN,
    DATA,
    RECORDS,
    RUN_ID,
    RUN_PLAN,
    SWEEP_PLAN,
    RunFolder,
    is_running,
    read_journal,
    reopen,
    runs_dir,
    was_abandoned,
)
from minionbench.units import number_of
from minionbench.verdict import RunFacts

NO_MEMORY = "the run ended before the engine's peak memory was written down"
_NO_END = (Outcome.CUT, Outcome.NOT_SENT)
"""Outcomes of requests that did not come to an end of their own."""


class Recovered(NamedTuple):
    """The document of a run that had ended without one."""

    run: BenchmarkRun
    path: Path
    made: bool
    """Whether it was made now; False where it was there already."""


def recover_run(which: str, output_dir: str | os.PathLike[str] | None = None) -> Recovered:
    """Makes the document of a run that ended without one, of the requests that it finished.

    `which` is the run's id, with or without its `benchmark_`. The same functions as at a normal
    end compute the document, so that it says the same of the same records. A document that is
    there stays as it is.

    Raises:
        UsageError: there is no such run, it is still going on, it is one of the registry
            benchmark, or it has no plan.
        SchemaError: its plan, its journal or the document that is there is damaged.
        SetupError: the document cannot be written.
    """
    documents = runs_dir(output_dir).absolute()
    run_id = which if which.startswith("benchmark_") else f"benchmark_{which}"
    folder = documents / DATA / run_id
    if RUN_ID.fullmatch(run_id) is None:
        raise UsageError(f"{which!r} is no id of a run; `minionbench runs list` shows them.")
    if is_running(folder):
        raise UsageError(f"Run {run_id} is still going on; it writes its document at its end.")
    there = _document_there(documents / f"{run_id}.json")
    if there is not None:
        return there
    if not folder.is_dir():
        raise UsageError(
            f"There is no run {run_id} in {documents}; `minionbench runs list` shows those there "
            "are."
        )
    if (folder / AUTOBENCH_PLAN).exists() and not (folder / RUN_PLAN).exists():
        raise UsageError(
            f"Run {run_id} is one of the registry benchmark: `minionbench autobench --resume "
            f"{run_id}` goes on with it and makes its document."
        )
    if (folder / SWEEP_PLAN).exists() and not (folder / RUN_PLAN).exists():
        raise UsageError(
            f"Run {run_id} is a sweep: `minionbench sweep --resume {run_id}` goes on with it and "
            "makes its document; ended with Ctrl-C, of what had been measured."
        )
    plan = read_plan(folder)
    # Looked at before the run's folder is taken again, which leaves the same marks as a run does.
    abandoned = was_abandoned(folder)
    records, torn = _records(folder, plan)
    with reopen(documents, run_id, plan.started) as again:
        # Another process may have been quicker.
        there = _document_there(again.document_path)
        if there is not None:
            return there
        run = _document(plan, records, again, _how_it_ended(plan, records, torn, abandoned))
        return Recovered(run, again.write(run), made=True)


def _document_there(path: Path) -> Recovered | None:
    if not os.path.lexists(path):
        return None
    try:
        return Recovered(BenchmarkRun.load(path), path, made=False)
    except MinionbenchError as error:
        raise SchemaError(
            f"{path} is there, but is no valid document, and is not overwritten; move it away "
            f"first. {error}"
        ) from error


def _records(folder: Path, plan: RunPlan) -> tuple[list[RequestRecord], bool]:
    """The journal's records, and whether its last line is torn.

    Raises SchemaError when they are not those of the plan.
    """
    path = folder / RECORDS
    if not path.exists():
        return [], False
    planned = {
        (cell.cell_id, index): item.item_id
        for cell in plan.cells
        for index, item in enumerate([*cell.warmup, *cell.items * cell.repeats])
    }
    records = list(read_journal(path))
    for record in records:
        # Taken out, since a request that stands there twice is not of this run either.
        if planned.pop((record.cell, record.index), None) != record.item_id:
            raise SchemaError(
                f"{path} is not the journal of {RUN_PLAN} beside it: request {record.index} of "
                f"cell {record.cell} is not in the plan, or is there twice"
            )
    asked = {side for candidate in plan.candidates for side in candidate.sides}
    if records and asked - plan.engines.keys():
        raise SchemaError(f"{folder / RUN_PLAN} names no engine, but requests were answered")
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        torn = size > 0 and file.read(1) != b"\n"
    return records, torn


def _document(
    plan: RunPlan, records: Sequence[RequestRecord], folder: RunFolder, how: str
) -> BenchmarkRun:
    candidates, stamps = _candidates(plan, records, folder)
    return document(plan, candidates, finished=False, stamps=stamps, notes=[how])


def _candidates(
    plan: RunPlan, records: Sequence[RequestRecord], folder: RunFolder
) -> tuple[list[BenchmarkCandidate], str | None]:
    """The candidates, and where their receive stamps came from."""
    if not records:
        failed = MetricResult.error("the run ended before a request had finished")
        return [unmeasured_candidate(one.factors, failed) for one in plan.candidates], None
    of_cell: dict[str, list[RequestRecord]] = {cell.cell_id: [] for cell in plan.cells}
    for record in records:
        of_cell[record.cell].append(record)
    planned = {cell.cell_id: cell.cell() for cell in plan.cells}
    measured = [
        _measured(planned[cell_id], of_cell[cell_id], plan, candidate)
        for candidate in plan.candidates
        for cell_id in candidate.cells
    ]
    finished, trace = folder.journal().finish(), folder.trace()
    return measured_candidates(measured, plan, finished, trace), stamp_source(measured)


def _measured(
    cell: Cell,
    records: Sequence[RequestRecord],
    plan: RunPlan,
    candidate: PlannedCandidate,
) -> Measured:
    embedded = [one for one in candidate.engines(plan.engines).values() if one.embedded]
    no_memory = NO_MEMORY if embedded else NOT_OURS
    whole = _finished(records) == cell.repeats * len(cell.requests)
    return Measured(
        cell=cell,
        records=tuple(records),
        facts=RunFacts(
            engine_local=True if embedded else None,
            pinned=all(one.free_cpus is not None for one in embedded) if embedded else None,
            interrupted=True,
            planned_requests=cell.repeats * len(cell.requests),
            cold_expected=plan.cold,
            asked_as_it_stands=candidate.factors.protocol is None,
            reasoning_asked=candidate.factors.reasoning if len(candidate.sides) == 1 else None,
        ),
        memory=MemoryReading(peak_bytes=None, reason=no_memory),
        vram=VramReading(peak_bytes=None, reason=no_memory),
        given_up=None if whole else "the run ended without a document",
    )


def _finished(records: Sequence[RequestRecord]) -> int:
    """Measured requests that came to an end of their own."""
    return sum(r.phase == "measured" and r.outcome not in _NO_END for r in records)


def _how_it_ended(
    plan: RunPlan, records: Sequence[RequestRecord], torn: bool, abandoned: bool
) -> str:
    planned = sum(cell.repeats * len(cell.items) for cell in plan.cells)
    missing = planned - _finished(records)
    how = (
        "its process was killed, or the machine went down"
        if abandoned
        else "it was broken off before its document could be written"
    )
    of_them = "is" if missing == 1 else "are"
    note = (
        f"Recovered from its journal: the run ended without a document ({how}). Of "
        f"{number_of(planned, 'request')} {missing:,} {of_them} missing."
    )
    return f"{note} A torn last line of the journal was left out." if torn else note
