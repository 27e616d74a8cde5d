"""Experiments: a deployment measured over workloads, from the settings to the saved document."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from minionbench.assembly import (
    engine_flags,
    engine_name,
    measured_candidate,
    metadata,
    stamp_source,
    unmeasured_candidate,
)
from minionbench.deployments.single import Local
from minionbench.engines.catalog import ModelSpec, open_engine
from minionbench.engines.engine import Engine, EngineFacts, EngineSettings
from minionbench.engines.families import LocalQuant, pick
from minionbench.engines.llamacpp import DEFAULT_CONTEXT_TOKENS
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Request
from minionbench.load import ClosedLoop, Load
from minionbench.measuring import (
    INTERRUPTED,
    Cell,
    Measured,
    Observer,
    Silent,
    measure,
    stopped_by_signals,
)
from minionbench.runner import StopSwitch
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, Factors, MetricResult
from minionbench.store import RunFolder, reserve, runs_dir
from minionbench.system import git_facts, redact, redact_text, system_info
from minionbench.workloads.workload import Workload

DEFAULT_REQUESTS = 10
DEFAULT_WARMUP = 2
DEFAULT_REPEATS = 3
TEMPLATE_TOKENS = 16
"""What a chat template adds to each message, generously."""


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides what a run does.

    Raises UsageError for a count that makes no run.
    """

    workloads: tuple[Workload, ...]
    deployment: Local
    quant: LocalQuant | None = None
    reasoning: bool | None = None
    """Whether the model is to reason; None leaves it to the model's own default."""
    num_requests: int = DEFAULT_REQUESTS
    """Different items of each workload."""
    warmup: int = DEFAULT_WARMUP
    """Items of each workload that are asked beforehand; none of them is measured."""
    repeats: int = DEFAULT_REPEATS
    """How often each item is asked."""
    seed: int = 0
    load: Load = ClosedLoop()
    engine: EngineSettings = EngineSettings()
    keep_text: bool = True
    output_dir: Path | None = None
    dry_run: bool = False
    """Draw the requests, write down the plan, measure nothing."""

    def __post_init__(self) -> None:
        for name, value, least in (
            ("number of requests", self.num_requests, 1),
            ("number of warm-up requests", self.warmup, 0),
            ("number of repeats", self.repeats, 1),
        ):
            if value < least:
                raise UsageError(f"The {name} is {value}; it must be at least {least}")
        if not self.workloads:
            raise UsageError("No workload is named")


class RunOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has ended, and where its document is."""

    run: BenchmarkRun
    path: Path
    interrupted: bool

    @property
    def failed(self) -> bool:
        """Whether something that should have been measured was not, or is not to be believed."""
        return (
            self.run.metadata.finished is False
            or any(
                metric.status == "error"
                for candidate in self.run.candidates
                for metrics in (candidate.metrics, *(cell.metrics for cell in candidate.cells))
                for metric in metrics.values()
            )
            or any(
                cell.verdict.status == "invalid"
                for candidate in self.run.candidates
                for cell in candidate.cells
            )
        )

    @property
    def exit_code(self) -> int:
        """0 fine; 1 measured, but not all of it or not to be believed; 130 interrupted."""
        return 130 if self.interrupted else int(self.failed)


class Experiment:
    """One deployment measured over one workload or several.

    As in `Experiment(workload=Prefill(), deployment=Local("llama3.2"), reasoning=False,
    quant=Q3B()).run()`, which returns the run's document and saves it in the state directory.
    """

    def __init__(
        self,
        workload: Workload | Sequence[Workload],
        deployment: Local | None = None,
        reasoning: bool | None = None,
        quant: LocalQuant | None = None,
        **settings: Any,
    ) -> None:
        """The further `settings` are fields of `RunSettings`.

        Raises UsageError for settings that make no run.
        """
        workloads = tuple(workload) if isinstance(workload, Sequence) else (workload,)
        known = {field.name for field in msgspec.structs.fields(RunSettings)}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise UsageError(
                f"An experiment has no setting {', '.join(unknown)}; it has "
                f"{', '.join(sorted(known))}"
            )
        self.settings = RunSettings(
            workloads=workloads,
            deployment=deployment or Local(),
            reasoning=reasoning,
            quant=quant,
            **settings,
        )
        self.path: Path | None = None
        """Where the document of the last run is; None before the first."""

    def run(self, observer: Observer | None = None) -> BenchmarkRun:
        """Measures, saves the document, and returns it.

        A server that cannot be reached gives a document whose metrics are errors that say so.

        Raises KeyboardInterrupt after Ctrl-C, when the document with what was measured is saved.
        """
        outcome = run_experiment(self.settings, observer)
        self.path = outcome.path
        if outcome.interrupted:
            raise KeyboardInterrupt
        return outcome.run


def run_experiment(
    settings: RunSettings, observer: Observer | None = None, *, argv: Sequence[str] | None = None
) -> RunOutcome:
    """Measures what the settings say and saves the document.

    `argv` is the command that the document shows; None takes this process's own.

    Raises UsageError for settings that contradict each other, SetupError when the results cannot
    be kept.
    """
    observer = observer or Silent()
    spec = _model(settings)
    cells = _cells(settings)
    with reserve(runs_dir(settings.output_dir)) as folder:
        try:
            run, interrupted = _run(settings, spec, cells, folder, observer, argv)
            path = folder.write(run)
        finally:
            observer.done()
        return RunOutcome(run=run, path=path, interrupted=interrupted)


def _run(
    settings: RunSettings,
    spec: ModelSpec,
    cells: Sequence[Cell],
    folder: RunFolder,
    observer: Observer,
    argv: Sequence[str] | None,
) -> tuple[BenchmarkRun, bool]:
    stop = StopSwitch()
    observer.plan(folder.run_id, spec.text, cells)
    system = system_info()
    git = git_facts()
    notes: list[str] = []
    if settings.dry_run:
        candidate = unmeasured_candidate(
            _factors(settings, spec, None), MetricResult.skipped("dry run: nothing was measured")
        )
        notes.extend(f"planned: {_describe(cell)}" for cell in cells)
    else:
        candidate, source = _measure(settings, spec, cells, folder, observer, stop)
        system = system.model_copy(update={"stamp_source": source})
    interrupted = stop.why is not None
    if interrupted:
        notes.append(f"{INTERRUPTED} before all its requests were sent")
    document = BenchmarkRun(
        metadata=metadata(
            folder,
            git,
            command_line=redact(sys.argv if argv is None else argv),
            dry_run=settings.dry_run,
            seed=settings.seed,
            finished=not interrupted and not _ended_early(candidate),
            notes=notes,
        ),
        system_info=system,
        candidates=(candidate,),
    )
    return document, interrupted


def _measure(
    settings: RunSettings,
    spec: ModelSpec,
    cells: Sequence[Cell],
    folder: RunFolder,
    observer: Observer,
    stop: StopSwitch,
) -> tuple[BenchmarkCandidate, str | None]:
    """The candidate, and where its receive stamps came from."""
    observer.stage(f"starting {spec.text or redact_text(settings.deployment.url or '')}")
    cold = None if settings.engine.cache_prompt else True
    stop.heeded = False
    try:
        with (
            stopped_by_signals(stop),
            open_engine(
                spec, _engine_settings(settings, cells), log_folder=folder.log_folder()
            ) as engine,
        ):
            _set_reasoning(engine, settings.reasoning)
            journal = folder.journal()
            stop.heeded = True
            measured = measure(
                cells,
                settings.deployment,
                {"local": engine},
                journal,
                stop=stop,
                observer=observer,
                keep_text=settings.keep_text,
                cold=cold,
            )
            facts = engine.facts
    except DeploymentError as error:
        failed = MetricResult.error(str(error))
        return unmeasured_candidate(_factors(settings, spec, None), failed), None
    observer.stage("computing the metrics")
    candidate = measured_candidate(
        measured,
        _factors(settings, spec, facts),
        facts,
        journal.finish(),
        _cell_settings(settings, measured),
        cold=cold,
    )
    return candidate, stamp_source(measured)


def _ended_early(candidate: BenchmarkCandidate) -> bool:
    """Whether a cell was given up: its engine had ended, or failure followed failure."""
    reasons = (reason for cell in candidate.cells for reason in cell.verdict.reasons)
    return any(r.rule == "incomplete" and r.severity != "note" for r in reasons)


def _model(settings: RunSettings) -> ModelSpec:
    deployment = settings.deployment
    if deployment.url is None:
        return pick(deployment.model or "", settings.quant)
    if settings.quant is not None:
        raise UsageError(
            f"{settings.quant.label} cannot be chosen at a server given by its URL: it serves what "
            "it was started with"
        )
    return ModelSpec.parse(deployment.model, url=deployment.url)


def _cells(settings: RunSettings) -> list[Cell]:
    """The cells, their requests drawn: the first n items are measured, those after warm up."""
    cells: list[Cell] = []
    n = settings.num_requests
    for workload in settings.workloads:
        drawn = list(islice(workload.requests(n + settings.warmup, settings.seed), None))
        cells.append(
            Cell(
                cell_id=_cell_id(workload.name, [cell.cell_id for cell in cells]),
                workload=workload.name,
                version=workload.version,
                source=workload.source,
                seed=settings.seed,
                load=settings.load,
                repeats=settings.repeats,
                warmup=tuple(drawn[n:]),
                requests=tuple(drawn[:n]),
            )
        )
    return cells


def _cell_id(name: str, taken: Sequence[str]) -> str:
    """The workload's name, made fit for an id, and numbered where it is there already."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name)
    plain = plain.lstrip("._-")[:100] or "workload"
    number = 1
    while (cell_id := plain if number == 1 else f"{plain}-{number}") in taken:
        number += 1
    return cell_id


def _engine_settings(settings: RunSettings, cells: Sequence[Cell]) -> EngineSettings:
    """The engine's settings: slots for the load's streams and room for the longest request.

    What the user chose stays. A context is asked for only where the engine's own default may be
    too short, so that a model that has no more says so before anything is measured.
    """
    engine = msgspec.structs.replace(settings.engine, url=settings.deployment.url)
    needed = max(
        _context_tokens(request) for cell in cells for request in (*cell.requests, *cell.warmup)
    )
    if engine.context_tokens is None and engine.url is None and needed > DEFAULT_CONTEXT_TOKENS:
        engine = msgspec.structs.replace(engine, context_tokens=needed)
    if engine.slots is None and isinstance(settings.load, ClosedLoop):
        engine = msgspec.structs.replace(engine, slots=settings.load.concurrency)
    return engine


def _context_tokens(request: Request) -> int:
    """Context that a request may take: its prompt, its chat template and its longest answer.

    The prompt is counted by the reference tokenizer, whose vocabulary is a small one: other
    models need fewer tokens for the same text.
    """
    limits = request.limits
    answer = limits.forced_output_tokens or limits.max_output_tokens or 0
    template = TEMPLATE_TOKENS * (len(request.messages) + 1)
    return request.input_tokens + template + answer


def _set_reasoning(engine: Engine, reasoning: bool | None) -> None:
    """Switches reasoning on or off where this version can, and refuses where it cannot.

    llama.cpp's templates take the switch; of other servers only "off" is accepted, and the
    replies show whether it held.
    """
    if reasoning is None:
        return
    if engine.facts.embedded:
        engine.endpoint.extra_body["chat_template_kwargs"] = {"enable_thinking": reasoning}
    elif reasoning:
        raise DeploymentError(
            f"Reasoning cannot be switched on at {engine.facts.name} by this version; leave out "
            "--reasoning to take the model's own default"
        )


def _factors(settings: RunSettings, spec: ModelSpec, engine: EngineFacts | None) -> Factors:
    return Factors(
        deployment="local",
        model=spec.text or (engine.model if engine is not None else "unknown"),
        engine=engine_name(engine) if engine is not None else None,
        reasoning=settings.reasoning,
        quantization=settings.quant.label if settings.quant is not None else None,
        flags=engine_flags(engine) if engine is not None else {},
    )


def _cell_settings(settings: RunSettings, measured: Sequence[Measured]) -> dict[str, Any]:
    limits = [request.limits for outcome in measured for request in outcome.cell.requests]
    return {
        "temperature": max((limit.temperature for limit in limits), default=None),
        "prefix_cache": "warm" if settings.engine.cache_prompt else "cold",
        "text_kept": settings.keep_text,
    }


def _describe(cell: Cell) -> str:
    tokens = [request.input_tokens for request in cell.requests]
    return (
        f"{cell.cell_id}: {len(cell.requests)} items of {min(tokens)} to {max(tokens)} tokens, "
        f"asked {cell.repeats} times, {len(cell.warmup)} more to warm up"
    )
