"""Sweeps from their levels to the saved document: in one go, or resumed after a kill."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from minionbench.clock import ClockAnchor, utc_now
from minionbench.engines.families import LocalQuant
from minionbench.engines.remote import RemoteModel
from minionbench.errors import UsageError
from minionbench.experiment import RunOutcome
from minionbench.load import Load
from minionbench.measuring import INTERRUPTED, Cell, Observer, Silent, stopped_by_signals
from minionbench.metering import Metering
from minionbench.prices import Price
from minionbench.records import RequestRecord
from minionbench.run_plan import RunPlan
from minionbench.run_settings import Measurable
from minionbench.runner import StopSwitch
from minionbench.schema import BenchmarkRun
from minionbench.store import (
    DATA,
    LATEST,
    RECORDS,
    SWEEP_PLAN,
    TRACES,
    RunFolder,
    boot_id,
    is_running,
    read_facts,
    read_journal,
    reopen,
    reserve,
    run_id_of,
    runs_dir,
)
from minionbench.sweep.definition import DEFAULT_REPEATS, Definition, Levels
from minionbench.sweep.document import (
    NOT_REACHED,
    Outcomes,
    counting,
    dry_document,
    sweep_document,
    taken_over,
)
from minionbench.sweep.estimate import Assumed, CellEstimate, SweepEstimate, estimate
from minionbench.sweep.grid import Candidate, Grid, blocks, grid
from minionbench.sweep.plan import SweepPlan, read_sweep_plan
from minionbench.sweep.purse import Purse
from minionbench.sweep.session import Bench, run_session
from minionbench.sweep.sessions import Session, keep, read_sessions
from minionbench.system import git_facts, redact, system_info
from minionbench.units import number_of
from minionbench.workloads.workload import Workload

NO_BUDGET = "the budget was used up before this cell's turn came"


class SweepOutcome(RunOutcome, frozen=True, kw_only=True):
    """A sweep that has ended, and where its document is."""

    failed_sessions: int
    """Sessions of which nothing was measured."""
    estimate: SweepEstimate | None = None
    """What the sweep will take; None where it was run."""

    @property
    def failed(self) -> bool:
        """Whether something that should have been measured was not, or is not to be believed."""
        return self.failed_sessions > 0 or super().failed


class Sweep:
    """A factorial of workloads, deployments, models and loads, measured as one designed run.

    As in `Sweep(workload=[Prefill(), Decode()], deployment=[Local("ollama/qwen3"), Remote()],
    reasoning=[True, False], quant=[Q1_5B(), Q8B()], remote_model=[OpenAI(), Claude()],
    load=[1, 4], repeats=5).run()`. Every cell is measured `repeats` times, each time on engines
    started or attached to for it, in blocks of all cells whose order is drawn from the seed.
    """

    def __init__(
        self,
        workload: Workload | Sequence[Workload],
        deployment: Levels[Measurable] = None,
        reasoning: Levels[bool] = None,
        quant: Levels[LocalQuant] = None,
        remote_model: Levels[RemoteModel | str] = None,
        load: Levels[Load | int] = None,
        repeats: int = DEFAULT_REPEATS,
        *,
        servers: Mapping[str, str] | None = None,
        prices: Mapping[str, Price | str] | None = None,
        **settings: Any,
    ) -> None:
        """Each factor is one level or a sequence; further `settings` are those of `RunSettings`.

        `load` takes numbers of streams, `ClosedLoop` and `OpenLoop`. `servers` says where a
        provider, or `ollama`, is to be found in place of its own address, by its name. `prices` are
        those of tokens by `provider/model`, as `"2.5,10"`.

        Raises UsageError for levels or settings that make no sweep.
        """
        self.definition = Definition.of(
            workload,
            deployment,
            reasoning,
            quant,
            remote_model,
            load,
            repeats=repeats,
            servers=servers,
            prices=prices,
            **settings,
        )
        self.path: Path | None = None
        """Where the document of the last run is; None before the first."""

    def run(self, observer: Observer | None = None, *, resume: str | None = None) -> BenchmarkRun:
        """Measures, saves the document, and returns it.

        A cell that cannot be measured is an error in the document, and stops no other. `resume`
        is the id of an interrupted run of the same sweep, or `latest`: it goes on where it ended.

        Raises KeyboardInterrupt after Ctrl-C, when the document with what was measured is saved.
        """
        outcome = run_sweep(self.definition, observer, resume=resume)
        self.path = outcome.path
        if outcome.interrupted:
            raise KeyboardInterrupt
        return outcome.run


def run_sweep(
    definition: Definition,
    observer: Observer | None = None,
    *,
    resume: str | None = None,
    argv: Sequence[str] | None = None,
    arguments: Sequence[str] | None = None,
    assumed: Assumed | None = None,
) -> SweepOutcome:
    """Measures all cells of a sweep and saves the document.

    `resume` is the id of an interrupted run of the same sweep, or `latest`. `argv` is the command
    that the document shows; None takes this process's own. `arguments` are those by which the
    command line can say the same again, None where there are none. `assumed` is
    what a dry run takes for granted where no earlier run tells.

    Raises UsageError for levels that make no cell, or nothing to resume; SetupError when the
    results cannot be kept.
    """
    observer = observer or Silent()
    documents = runs_dir(definition.common.output_dir)
    cells = grid(definition)
    command = redact(sys.argv if argv is None else argv)
    if resume is not None:
        if definition.common.dry_run:
            raise UsageError("A dry run measures nothing, so that there is nothing to resume.")
        run_id = latest_unfinished(documents) if resume == LATEST else run_id_of(resume)
        plan = read_sweep_plan(documents / DATA / run_id)
        with reopen(documents, run_id, plan.run.started) as folder:
            difference = plan.difference(_plan(definition, cells, folder, command, None))
            if difference is not None:
                raise UsageError(
                    f"Run {run_id} cannot go on as this sweep: {difference}. Give the levels and "
                    "settings that it began with, or begin a new one without --resume."
                )
            return _measure(definition, cells, plan, folder, observer, resumed=True)
    with reserve(documents) as folder:
        plan = _plan(definition, cells, folder, command, arguments)
        if definition.common.dry_run:
            expected = estimate(cells, documents, assumed or Assumed())
            run = dry_document(plan, [*expected.notes, *map(_planned, expected.cells)])
            path = folder.write(run)
            return SweepOutcome(
                run=run, path=path, interrupted=False, failed_sessions=0, estimate=expected
            )
        plan.save(folder.folder)
        return _measure(definition, cells, plan, folder, observer, resumed=False)


def latest_unfinished(documents: Path) -> str:
    """Id of the latest sweep that has sessions left which were not measured, or no document of all.

    Raises UsageError where there is none.
    """
    for path in sorted((documents.absolute() / DATA).glob(f"*/{SWEEP_PLAN}"), reverse=True):
        if not is_running(path.parent):
            plan = read_sweep_plan(path.parent)
            document = documents.absolute() / f"{path.parent.name}.json"
            if _left(plan, read_sessions(path.parent)) or not _is_written(document):
                return path.parent.name
    raise UsageError(f"No sweep in {documents} was interrupted: there is nothing to resume.")


def _is_written(document: Path) -> bool:
    """Whether a sweep's document is there and of the whole of it.

    A sweep may be killed when all is measured, and the document is not written yet.
    """
    try:
        return BenchmarkRun.load(document).metadata.finished is True
    except UsageError:
        return False


def _plan(
    definition: Definition,
    cells: Grid,
    folder: RunFolder,
    command: str,
    arguments: Sequence[str] | None,
) -> SweepPlan:
    common = definition.common
    candidates = cells.candidates
    return SweepPlan(
        run=RunPlan.drawn(
            [cell for _, cell in cells.cells],
            system_info(),
            candidates=tuple(candidate.planned for candidate in candidates),
            run_id=folder.run_id,
            timestamp=folder.timestamp,
            command_line=command,
            seed=common.seed,
            git=git_facts(),
            cold=None if common.engine.cache_prompt else True,
        ),
        order=blocks(len(cells.cells), common.repeats, common.seed),
        left_out=cells.left_out,
        notes=tuple(cells.notes),
        arguments=None if arguments is None else tuple(arguments),
        folder=None if arguments is None else str(Path.cwd()),
    )


def _planned(cell: CellEstimate) -> str:
    return (
        f"planned: {cell.cell_id}: {number_of(cell.requests, 'request')} with warm-up; "
        f"time {cell.time} ({cell.time_from}); cost {cell.cost} ({cell.cost_from})"
    )


def _left(plan: SweepPlan, sessions: Mapping[tuple[int, int], Session]) -> list[tuple[int, int]]:
    """The sessions that were not measured to their end, failed ones included, in their order."""
    return [
        turn
        for turn in plan.order
        if (session := sessions.get(turn)) is None or session.measured is None
    ]


def _measure(
    definition: Definition,
    cells: Grid,
    plan: SweepPlan,
    folder: RunFolder,
    observer: Observer,
    *,
    resumed: bool,
) -> SweepOutcome:
    """Measures the sessions that are left, and writes the document."""
    sessions = read_sessions(folder.folder)
    records = _records(folder)
    left = _left(plan, sessions)
    notes: list[str] = []
    if resumed:
        if not left and _is_written(folder.document_path):
            raise UsageError(f"Run {folder.run_id} is complete: there is nothing left to measure.")
        notes.append(
            f"Resumed at {utc_now().isoformat(timespec='seconds')}, with "
            f"{len(plan.order) - len(left)} of {number_of(len(plan.order), 'session')} measured"
        )
    places = cells.cells
    observer.plan(
        folder.run_id,
        f"{number_of(len(places), 'cell')}, {number_of(len(left), 'session')}",
        [msgspec.structs.replace(places[place][1], session=repeat) for place, repeat in left],
    )
    # So that it is there, however little is measured.
    folder.journal()
    stop, purse = StopSwitch(), Purse(definition.common, folder.folder)
    purse.charge(records, places)
    try:
        with (
            stopped_by_signals(stop),
            Metering(definition.common.meters, folder.traces()) as metering,
        ):
            bench = Bench(folder, stop, observer, metering, purse)
            _sessions(places, left, sessions, taken_over(records), bench)
    except KeyboardInterrupt:
        if not _thrown(stop):
            raise
    finally:
        observer.done()
    interrupted = _thrown(stop)
    if interrupted:
        notes.append(f"{INTERRUPTED}; the same command with --resume {folder.run_id} goes on")
    over = purse.empty
    if over is not None:
        notes.append(f"Ended before all sessions were measured: {over}")
    notes += [] if purse.told is None else [purse.told]
    records = _records(folder)
    journal = folder.journal()
    outcomes = Outcomes(
        plan=plan,
        sessions=sessions,
        records=counting(records),
        finished=journal.finish() if journal.rows else None,
        facts=read_facts(folder.folder / TRACES),
    )
    run = sweep_document(
        outcomes,
        finished=not interrupted and over is None,
        ended=NOT_REACHED if over is None else f"{NO_BUDGET}: {over}",
        notes=notes,
    )
    failed = sum(session.why is not None for session in sessions.values())
    return SweepOutcome(
        run=run, path=folder.write(run), interrupted=interrupted, failed_sessions=failed
    )


def _sessions(
    places: Sequence[tuple[Candidate, Cell]],
    left: Sequence[tuple[int, int]],
    sessions: dict[tuple[int, int], Session],
    earlier: Mapping[tuple[str, int], Sequence[RequestRecord]],
    bench: Bench,
) -> None:
    """Measures the sessions, one after the other, until the purse is empty or the sweep is to end;
    what became of each goes to `sessions`."""
    for number, (place, repeat) in enumerate(left, 1):
        if _thrown(bench.stop):
            break
        candidate, cell = places[place]
        if not bench.purse.has_for(candidate):
            now = msgspec.structs.replace(cell, session=repeat)
            bench.observer.left_out(now.total, now.total * now.calls)
            continue
        before, kept = sessions.get((place, repeat)), earlier.get((cell.cell_id, repeat), ())
        begun = Session(
            place=place,
            repeat=repeat,
            started=utc_now().isoformat(timespec="seconds"),
            clock=ClockAnchor.now(),
            boot=boot_id(),
            earlier=() if before is None else before.again(kept),
        )
        session = run_session(
            bench._replace(observer=_Numbered(bench.observer, f"{number}/{len(left)} ")),
            candidate,
            cell,
            begun,
            kept,
        )
        sessions[place, repeat] = session
        if _thrown(bench.stop):
            break
        keep(bench.folder.folder, session)


def _thrown(stop: StopSwitch) -> bool:
    """Whether the sweep is to end; asked anew each time, since a signal may throw the switch."""
    return stop.why is not None


class _Numbered:
    """An observer that is told, with each stage, which session it is of."""

    def __init__(self, observer: Observer, number: str) -> None:
        self._observer = observer
        self._number = number

    def plan(self, run_id: str, model: str, cells: Sequence[Cell]) -> None:
        self._observer.plan(run_id, model, cells)

    def costs(
        self, cost_of: Callable[[RequestRecord], float | None], most_usd: float | None
    ) -> None:
        self._observer.costs(cost_of, most_usd)

    def stage(self, text: str) -> None:
        self._observer.stage(self._number + text)

    def record(self, record: RequestRecord) -> None:
        self._observer.record(record)

    def left_out(self, requests: int, calls: int) -> None:
        self._observer.left_out(requests, calls)

    def done(self) -> None:
        self._observer.done()


def _records(folder: RunFolder) -> list[RequestRecord]:
    path = folder.folder / RECORDS
    return list(read_journal(path)) if path.exists() else []
