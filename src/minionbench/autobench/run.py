"""A run of the registry benchmark: from the registry to the document, in one go or resumed."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from minionbench.assembly import metadata, metric_result
from minionbench.autobench.distance import with_distance
from minionbench.autobench.done import Finished, keep, read_done
from minionbench.autobench.listing import Listed, listed, shown
from minionbench.autobench.model_run import Bench, measure_model
from minionbench.autobench.outcome import skipped_metrics
from minionbench.autobench.plan import Plan, digest_of, order_of, read_plan, slugs
from minionbench.autobench.procedure import Procedure
from minionbench.autobench.resuming import (
    earlier_records,
    is_complete,
    latest_interrupted,
)
from minionbench.autobench.task import Tasks
from minionbench.autobench.turn import machine_to_itself
from minionbench.clock import utc_now
from minionbench.errors import UsageError
from minionbench.measuring import INTERRUPTED, Observer, Silent, stopped_by_signals
from minionbench.metering import Metering
from minionbench.meters.power.meter import PowerSettings
from minionbench.records import RequestRecord
from minionbench.registry import read_registry
from minionbench.registry.reading import MOST_LISTED
from minionbench.runner import StopSwitch, collector_relieved
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, MetricResult
from minionbench.schema.run import collector_paused
from minionbench.store import (
    DATA,
    LATEST,
    FinishedRecords,
    RunFolder,
    registry_path,
    reopen,
    reserve,
    run_id_of,
    runs_dir,
)
from minionbench.system import git_facts, redact, system_info
from minionbench.units import number_of

DRY_RUN = "dry run: the model was listed, not measured"
NOT_REACHED = f"{INTERRUPTED} before this model's turn came; --resume goes on with it"
REFERENCE_NAME = "minionbench-reference"
"""What the files of the reference model call it."""


class AutobenchOutcome(NamedTuple):
    """A registry benchmark that has ended, and where its document is."""

    run: BenchmarkRun
    path: Path
    interrupted: bool = False

    @property
    def failed(self) -> bool:
        """Whether something that should have been measured was not, or is not to be believed."""
        return any(
            any(metric.status == "error" for metric in candidate.metrics.values())
            or any(cell.verdict.status == "invalid" for cell in candidate.cells)
            for candidate in self.run.candidates
        )

    @property
    def exit_code(self) -> int:
        """0 when all was measured, or left out for a good reason, and for a dry run; 1 when
        something failed or is not to be believed; 130 when it was interrupted."""
        if self.interrupted:
            return 130
        return int(self.failed and not self.run.metadata.dry_run)


def run_benchmark(
    registry_path: str | os.PathLike[str] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
    **options: Any,
) -> Path:
    """Measures the models of a registry and returns the document's path; see `run_autobench`.

    Raises KeyboardInterrupt after Ctrl-C, when the document with what was measured is saved.
    """
    outcome = run_autobench(registry_path, output_dir, dry_run, **options)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return outcome.path


def run_autobench(
    registry: str | os.PathLike[str] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
    *,
    procedure: Procedure | None = None,
    only: Sequence[str] = (),
    resume: str | None = None,
    observer: Observer | None = None,
    argv: Sequence[str] | None = None,
    meters: PowerSettings | None = None,
) -> AutobenchOutcome:
    """Measures every model of a registry, one after the other, into one document.

    Each model is started in an engine of its own, measured and stopped. What goes wrong with one
    is written into its metrics, and the others are measured as if nothing had been.

    Args:
        registry: the registry's file; None for the state directory's, which a dry run may do
            without.
        output_dir: the folder of the document; None for the state directory's.
        dry_run: only list the models.
        procedure: what is measured and how; None for the default.
        only: versions to measure; the others are left out of the document. Empty for all.
        resume: id of an interrupted run to go on with by its own plan, or `latest`. Registry,
            procedure and `only` are those of the plan.
        observer: whom to tell how it goes on.
        argv: the command that the document shows; None takes this process's own.
        meters: which meters of power are looked at; None for those that are there.

    Raises:
        UsageError: the registry is not there or cannot be read, a version is not in it, or there
            is nothing to resume.
        SchemaError: the registry is not a JSON list. It is never written to.
        SetupError: another run has the machine, or the document cannot be written.
    """
    observer = observer or Silent()
    documents = runs_dir(output_dir)
    command = redact(sys.argv if argv is None else argv)
    if dry_run:
        if resume is not None:
            raise UsageError("A dry run measures nothing, so that there is nothing to resume.")
        # Looking for cycles again and again while the list grows takes a tenth of the time.
        with collector_paused():
            return _list_only(registry, documents, only, procedure or Procedure(), command)
    if resume is not None:
        with machine_to_itself(f"resuming {resume}"):
            return _resumed(documents, resume, observer, command, meters)
    drawn = _drawn(registry, only, procedure or Procedure())
    tasks = Tasks(drawn.procedure)
    with machine_to_itself(f"measuring {drawn.registry}"), reserve(documents) as folder:
        plan = msgspec.structs.replace(
            drawn, run_id=folder.run_id, started=folder.started, sources=tasks.sources
        )
        plan.save(folder.folder)
        return _measure(plan, tasks, folder, {}, {}, [], observer, command, meters)


def _list_only(
    registry: str | os.PathLike[str] | None,
    documents: Path,
    only: Sequence[str],
    procedure: Procedure,
    command: str,
) -> AutobenchOutcome:
    _, notes, models = _models(registry, only, may_be_absent=True)
    with reserve(documents) as folder:
        result = MetricResult.skipped(DRY_RUN)
        run = BenchmarkRun(
            metadata=metadata(
                folder,
                git_facts(),
                command_line=command,
                dry_run=True,
                seed=procedure.seed,
                finished=True,
                notes=notes,
            ),
            system_info=system_info(),
            candidates=tuple(model.unmeasured(result) for model in models),
        )
        return AutobenchOutcome(run, folder.write(run))


def _models(
    named: str | os.PathLike[str] | None, only: Sequence[str], *, may_be_absent: bool
) -> tuple[Path, list[str], list[Listed]]:
    """The registry's path, what the document should note about it, and its models."""
    if named is not None:
        if not os.fspath(named):
            raise UsageError("The registry has no name; give --registry a path.")
        path = Path(named).absolute()
    else:
        path = registry_path()
        if not os.path.lexists(path):
            expected = f"There is no registry yet: it is expected at {shown(path)}."
            if may_be_absent:
                return path, [expected], []
            raise UsageError(f"{expected} Put a JSON list of models there, or name one.")
    entries = read_registry(path)
    notes = [f"The registry is {shown(path)}."]
    versions = Counter(entry.version for entry in entries)
    repeated = sum(count > 1 for count in versions.values())
    if repeated:
        notes.append(f"Versions that stand in the registry more than once: {repeated}.")
    if only:
        unknown = [version for version in only if version not in versions]
        if unknown:
            there = list(versions)[:MOST_LISTED]
            more = f" and {len(versions) - MOST_LISTED} more" if len(versions) > MOST_LISTED else ""
            raise UsageError(
                f"The registry has no version {', '.join(unknown)}; it has "
                f"{', '.join(there) or 'none'}{more}."
            )
        entries = [entry for entry in entries if entry.version in only]
        notes.append(
            f"Only {', '.join(dict.fromkeys(only))} of its {number_of(versions.total(), 'model')}."
        )
    return path, notes, listed(entries, path.parent)


def _drawn(
    registry: str | os.PathLike[str] | None, only: Sequence[str], procedure: Procedure
) -> Plan:
    """The plan, but for the run that is to follow it."""
    path, notes, models = _models(registry, only, may_be_absent=False)
    if procedure.cove_kinds is None and procedure.cove_file is None:
        kinds = _known_to_all(models)
        procedure = msgspec.structs.replace(procedure, cove_kinds=kinds)
    # Whoever resumes the run may do so from another folder.
    places = {"cove_file": procedure.cove_file, "corpus": procedure.corpus}
    found = {name: str(Path(place).absolute()) for name, place in places.items() if place}
    procedure = msgspec.structs.replace(procedure, **found)
    return Plan(
        run_id="",
        started=utc_now(),
        registry=str(path),
        registry_sha256=digest_of(path),
        notes=tuple(notes),
        models=tuple(models),
        slugs=slugs([model.version for model in models]),
        order=order_of(len(models), procedure.seed),
        procedure=procedure,
        sources=(),
    )


def _known_to_all(models: Sequence[Listed]) -> tuple[str, ...]:
    """The kinds of pairs that all models can know: the reference model's own facts only when no
    other model is among them."""
    from minionbench.quality.cove_drawn import GENERAL_KINDS, KINDS

    there = [model for model in models if model.problem is None and model.path is not None]
    own = bool(there) and all(_is_reference(Path(model.path or "")) for model in there)
    return tuple(KINDS) if own else tuple(GENERAL_KINDS)


def _is_reference(path: Path) -> bool:
    from minionbench.engines.gguf import read_gguf

    try:
        return read_gguf(path).name == REFERENCE_NAME
    except UsageError:
        return False


def _resumed(
    documents: Path, which: str, observer: Observer, command: str, meters: PowerSettings | None
) -> AutobenchOutcome:
    run_id = latest_interrupted(documents) if which == LATEST else run_id_of(which)
    if is_complete(documents, run_id):
        raise UsageError(f"Run {run_id} is complete: there is nothing left to measure.")
    plan = read_plan(documents.absolute() / DATA / run_id)
    tasks = Tasks(plan.procedure)
    if tasks.sources != plan.sources:
        raise UsageError(
            f"Run {run_id} cannot go on: the items are no longer those that it began with "
            f"({', '.join(sorted(set(plan.sources) - set(tasks.sources)))})."
        )
    with reopen(documents, run_id, plan.started) as folder:
        done = read_done(folder.folder)
        earlier = earlier_records(plan, tasks, folder, done)
        kept = sum(len(records) for records in earlier.values())
        notes = [
            f"Resumed at {utc_now().isoformat(timespec='seconds')}, with {len(done)} of "
            f"{number_of(len(plan.models), 'model')} done and {number_of(kept, 'request')} of "
            "others kept."
        ]
        return _measure(plan, tasks, folder, done, earlier, notes, observer, command, meters)


def _measure(
    plan: Plan,
    tasks: Tasks,
    folder: RunFolder,
    done: dict[int, Finished],
    earlier: Mapping[str, Sequence[RequestRecord]],
    notes: list[str],
    observer: Observer,
    command: str,
    meters: PowerSettings | None,
) -> AutobenchOutcome:
    """Measures what the plan still asks for, and writes the document."""
    stop = StopSwitch()
    system, git = system_info(), git_facts()
    journal = folder.journal()
    left = [place for place in plan.order if place not in done]
    observer.plan(
        folder.run_id,
        f"{len(left)} of {number_of(len(plan.models), 'model')}",
        [
            cell
            for place in left
            if plan.models[place].problem is None
            for task in tasks.of(plan.slugs[place])
            for cell in task.cells
        ],
    )
    partial: dict[int, Finished] = {}
    try:
        with (
            stopped_by_signals(stop),
            collector_relieved(),
            Metering(meters or PowerSettings(), folder.traces()) as metering,
        ):
            bench = Bench(tasks, folder, journal, stop, observer, metering)
            for place in left:
                if _thrown(stop):
                    break
                slug = plan.slugs[place]
                own = {
                    cell: earlier[cell]
                    for name in tasks.cell_ids
                    if (cell := f"{slug}.{name}") in earlier
                }
                finished = measure_model(bench, plan.models[place], slug, _base(plan, place), own)
                if _thrown(stop):
                    partial[place] = finished
                else:
                    keep(folder.folder, place, finished)
                    done[place] = finished
    finally:
        observer.done()
    interrupted = _thrown(stop)
    if interrupted:
        notes.append(f"{INTERRUPTED}; `minionbench autobench --resume {folder.run_id}` goes on")
    if digest_of(Path(plan.registry)) != plan.registry_sha256:
        notes.append(
            "The registry was changed while it was being measured; this is of the models that "
            "stood in it when the run began."
        )
    records = journal.finish()
    reached = {**done, **partial}
    run = BenchmarkRun(
        metadata=metadata(
            folder,
            git,
            command_line=command,
            dry_run=False,
            seed=plan.procedure.seed,
            finished=not interrupted,
            notes=[*plan.notes, *notes],
        ),
        system_info=system.but(stamp_source=_stamp_source(reached)),
        candidates=tuple(
            with_distance(plan, place, folder, _referring(reached[place].candidate, records))
            if place in reached
            else _not_reached(model, plan.procedure)
            for place, model in enumerate(plan.models)
        ),
    )
    return AutobenchOutcome(run, folder.write(run), interrupted)


def _thrown(stop: StopSwitch) -> bool:
    """Whether the run is to end; asked anew each time, since a signal may throw the switch."""
    return stop.why is not None


def _base(plan: Plan, place: int) -> Path | None:
    """The file that an entry's `base_model` names, or that of the version that it names."""
    named = plan.models[place].base_model
    if not named or plan.models[place].problem is not None:
        return None
    for model in plan.models:
        if model.version == named and model.path is not None:
            return Path(model.path)
    try:
        path = Path(plan.registry).parent / Path(named).expanduser()
        return path if path.exists() else None
    except (RuntimeError, OSError, ValueError):
        return None


def _stamp_source(reached: Mapping[int, Finished]) -> str | None:
    sources = [finished.stamp_source for finished in reached.values()]
    return "kernel" if "kernel" in sources else "user" if "user" in sources else None


def _referring(candidate: BenchmarkCandidate, records: FinishedRecords) -> BenchmarkCandidate:
    """The candidate with its cells referring to their records."""
    cells = tuple(cell.but(records=records.reference(cell.cell_id)) for cell in candidate.cells)
    return candidate.but(cells=cells)


def _not_reached(model: Listed, procedure: Procedure) -> BenchmarkCandidate:
    metrics = skipped_metrics(procedure, NOT_REACHED)
    return model.candidate({name: metric_result(value) for name, value in metrics.items()})
