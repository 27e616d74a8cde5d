"""Experiments: a deployment measured over workloads, from the settings to the saved document."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from minionbench.assembly import (
    document,
    engine_flags,
    engine_name,
    measured_candidate,
    stamp_source,
    unmeasured_candidate,
)
from minionbench.deployments.single import Local, Remote
from minionbench.engines.catalog import ModelSpec, open_engine
from minionbench.engines.engine import EngineFacts, EngineSettings
from minionbench.engines.families import LocalQuant, pick
from minionbench.engines.keys import look_up
from minionbench.engines.providers import providers
from minionbench.engines.remote import RemoteModel
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Reasoning, Request
from minionbench.load import ClosedLoop, Load
from minionbench.measuring import (
    INTERRUPTED,
    Cell,
    Observer,
    Silent,
    measure,
    stopped_by_signals,
)
from minionbench.run_plan import RunPlan
from minionbench.runner import StopSwitch
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, Factors, MetricResult
from minionbench.store import RunFolder, reserve, runs_dir
from minionbench.system import git_facts, redact, redact_text, system_info
from minionbench.units import number_of
from minionbench.wire.reasoning import reasoning_fields, reasoning_tokens
from minionbench.workloads.items import named_requests, other_requests
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
    deployment: Local | Remote
    quant: LocalQuant | None = None
    reasoning: bool | None = None
    """Whether the model is to reason; None leaves it to the model's own default."""
    reasoning_effort: str | None = None
    """How hard, in the server's own word; None for the server's default."""
    reasoning_budget: int | None = None
    """Most tokens of reasoning, apart from those of the answer; None for the server's default."""
    remote_model: RemoteModel | str | None = None
    """The model of a remote deployment, where the deployment itself names none."""
    max_total_tokens: int | None = None
    """Most tokens of prompts and answers together, warm-up included; None for no limit."""
    num_requests: int = DEFAULT_REQUESTS
    """Different items of each workload."""
    warmup: int = DEFAULT_WARMUP
    """Items of each workload that are asked beforehand; none of them is measured."""
    items: tuple[str, ...] | None = None
    """Ids of the items to be asked, in this order, in place of so many drawn by the seed."""
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
        if self.items is not None and not self.items:
            raise UsageError("The list of items is empty")
        for name, limit in (
            ("budget of reasoning", self.reasoning_budget),
            ("budget of tokens", self.max_total_tokens),
        ):
            if limit is not None and limit < 1:
                raise UsageError(f"The {name} is {limit}; it must be at least 1")
        if self.reasoning is False and (self.reasoning_effort or self.reasoning_budget):
            raise UsageError("Reasoning is switched off: it has neither effort nor budget")

    @property
    def reasoning_wish(self) -> Reasoning | None:
        """Whether and how the model is to reason; None leaves it to the model.

        To name an effort or a budget is to ask for reasoning.
        """
        named = self.reasoning_effort is not None or self.reasoning_budget is not None
        if self.reasoning is None and not named:
            return None
        return Reasoning(
            on=self.reasoning is not False,
            effort=self.reasoning_effort,
            budget_tokens=self.reasoning_budget,
        )

    @property
    def remote(self) -> bool:
        """Whether the model runs on somebody else's machine."""
        return isinstance(self.deployment, Remote)


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
    quant=Q3B()).run()`, or with `deployment=Remote(), remote_model=OpenAI("gpt-…")`; `run` returns
    the run's document and saves it in the state directory.
    """

    def __init__(
        self,
        workload: Workload | Sequence[Workload],
        deployment: Local | Remote | None = None,
        reasoning: bool | None = None,
        quant: LocalQuant | None = None,
        remote_model: RemoteModel | str | None = None,
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
            deployment=deployment or (Local() if remote_model is None else Remote()),
            reasoning=reasoning,
            quant=quant,
            remote_model=remote_model,
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

    Raises UsageError for settings that contradict each other or name a key that is not there,
    SetupError when the results cannot be kept.
    """
    observer = observer or Silent()
    spec = _model(settings)
    _check_dialect(spec, settings.engine.dialect)
    cells = _cells(settings)
    if not settings.dry_run:
        _require_named_key(settings.engine)
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
    plan = RunPlan.drawn(
        cells,
        system_info(),
        _factors(settings, spec, None),
        run_id=folder.run_id,
        timestamp=folder.timestamp,
        command_line=redact(sys.argv if argv is None else argv),
        seed=settings.seed,
        git=git_facts(),
        settings=_cell_settings(settings, cells),
        cold=None if settings.engine.cache_prompt else True,
    )
    stamps = None
    notes: list[str] = []
    if settings.dry_run:
        candidate = unmeasured_candidate(
            plan.factors, MetricResult.skipped("dry run: nothing was measured")
        )
        notes.extend(f"planned: {_describe(cell)}" for cell in cells)
    else:
        folder.keep_plan(plan.encoded())
        candidate, stamps = _measure(settings, spec, cells, plan, folder, observer, stop)
    interrupted = stop.why is not None
    if interrupted:
        notes.append(f"{INTERRUPTED} before all its requests were sent")
    run = document(
        plan,
        candidate,
        finished=not interrupted,
        dry_run=settings.dry_run,
        stamps=stamps,
        notes=notes,
    )
    return run, interrupted


def _measure(
    settings: RunSettings,
    spec: ModelSpec,
    cells: Sequence[Cell],
    plan: RunPlan,
    folder: RunFolder,
    observer: Observer,
    stop: StopSwitch,
) -> tuple[BenchmarkCandidate, str | None]:
    """The candidate, and where its receive stamps came from."""
    doing = "asking for" if settings.remote else "starting"
    observer.stage(f"{doing} {spec.text or redact_text(settings.deployment.url or '')}")
    stop.heeded = False
    try:
        with (
            stopped_by_signals(stop),
            open_engine(
                spec,
                _engine_settings(settings, cells),
                log_folder=folder.log_folder(),
                say=observer.stage,
            ) as engine,
        ):
            wish = settings.reasoning_wish
            if wish is not None:
                engine.set_reasoning(wish)
                # What cannot be said to the server is found out before anything is sent.
                reasoning_fields(engine.endpoint.reasoning, engine.endpoint.manners.switch)
            facts = engine.facts
            plan = plan.with_engine(facts, _factors(settings, spec, facts))
            if not engine.endpoint.manners.temperature:
                plan = msgspec.structs.replace(plan, settings=plan.settings | {"temperature": None})
            folder.keep_plan(plan.encoded())
            journal = folder.journal()
            stop.heeded = True
            measured = measure(
                cells,
                settings.deployment,
                {settings.deployment.sides[0]: engine},
                journal,
                stop=stop,
                observer=observer,
                keep_text=settings.keep_text,
                cold=plan.cold,
                reasoning=plan.factors.reasoning,
                max_total_tokens=settings.max_total_tokens,
            )
    except DeploymentError as error:
        failed = MetricResult.error(str(error))
        return unmeasured_candidate(_factors(settings, spec, None), failed), None
    observer.stage("computing the metrics")
    candidate = measured_candidate(
        measured, plan.factors, facts, journal.finish(), plan.settings, cold=plan.cold
    )
    return candidate, stamp_source(measured)


def _require_named_key(settings: EngineSettings) -> None:
    """Refuses a run whose user says where the server's key is, and it is not there.

    Nothing is written then: it is no result of a server, but a slip on the command line.
    """
    reference = settings.key_reference
    if reference is not None:
        try:
            look_up(reference)
        except DeploymentError as error:
            raise UsageError(str(error)) from error


def _model(settings: RunSettings) -> ModelSpec:
    deployment = settings.deployment
    if isinstance(deployment, Remote):
        return _remote_model(settings, deployment)
    if settings.remote_model is not None:
        raise UsageError("A remote model goes with a remote deployment: Remote(), or -d remote")
    if deployment.url is None:
        spec = pick(deployment.model or "", settings.quant)
        if spec.remote:
            raise UsageError(
                f"{spec.text} runs on somebody else's machine, so that prompts leave this one; if "
                f'that is what you want, take Remote("{spec.text}"), or -d remote'
            )
        return spec
    if settings.quant is not None:
        raise UsageError(
            f"{settings.quant.label} cannot be chosen at a server given by its URL: it serves what "
            "it was started with"
        )
    return ModelSpec.parse(deployment.model, url=deployment.url)


def _remote_model(settings: RunSettings, deployment: Remote) -> ModelSpec:
    named = settings.remote_model
    text = named.text if isinstance(named, RemoteModel) else named
    if text is not None and deployment.model not in (None, text):
        raise UsageError(f"Both {deployment.model} and {text} are named; one is measured at a time")
    text = text or deployment.model
    if settings.quant is not None:
        raise UsageError(
            f"{settings.quant.label} cannot be chosen for a remote model: it is what its provider "
            "serves"
        )
    if deployment.url is not None:
        provider, slash, _ = (text or "").partition("/")
        if not slash or provider not in providers().by_name:
            return ModelSpec.parse(text, url=deployment.url)
    if text is None:
        raise UsageError(
            'A remote deployment needs a model, as Remote("openai/NAME"), remote_model=OpenAI(), '
            "or -m openai/NAME; or a server with --url"
        )
    spec = ModelSpec.parse(text)
    if not spec.remote:
        raise UsageError(
            f"{spec.text} is no provider's model: leave out -d remote, or name its server with "
            f"--url; providers are {', '.join(providers().by_name)}"
        )
    return spec


def _check_dialect(spec: ModelSpec, dialect: str | None) -> None:
    """Raises UsageError for a wire protocol of an engine that has no choice."""
    if dialect is not None and not spec.remote and spec.provider != "url":
        raise UsageError(
            f"{spec.text} is spoken to in one way; a dialect can be chosen for providers of "
            "several and for servers by --url"
        )


def _cells(settings: RunSettings) -> list[Cell]:
    """The cells with their requests: those that are named, or drawn by the seed.

    Of the drawn ones the first n items are measured and those after warm up; beside named ones
    the first that are not among them.
    """
    cells: list[Cell] = []
    for workload, (requests, warmup) in zip(settings.workloads, _requests(settings), strict=True):
        cells.append(
            Cell(
                cell_id=_cell_id(workload.name, [cell.cell_id for cell in cells]),
                workload=workload.name,
                version=workload.version,
                source=workload.source,
                seed=settings.seed,
                load=settings.load,
                repeats=settings.repeats,
                warmup=warmup,
                requests=requests,
            )
        )
    return cells


def _requests(settings: RunSettings) -> Iterator[tuple[tuple[Request, ...], tuple[Request, ...]]]:
    """The requests of each workload, and those that warm it up."""
    n, warmup, seed = settings.num_requests, settings.warmup, settings.seed
    if settings.items is None:
        for workload in settings.workloads:
            drawn = tuple(workload.requests(n + warmup, seed))
            yield drawn[:n], drawn[n:]
        return
    named = named_requests(settings.workloads, settings.items, seed)
    for workload, requests in zip(settings.workloads, named, strict=True):
        yield requests, other_requests(workload, requests, warmup, seed)


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

    What the user chose stays.
    """
    needed = _reasoning_tokens(settings) + max(
        _context_tokens(request) for cell in cells for request in (*cell.requests, *cell.warmup)
    )
    named = settings.remote_model
    engine = msgspec.structs.replace(
        settings.engine,
        url=settings.deployment.url,
        remote=settings.remote,
        dialect=settings.engine.dialect
        or (named.dialect if isinstance(named, RemoteModel) else None),
        needed_tokens=needed,
    )
    if settings.remote:
        return engine
    if engine.slots is None and isinstance(settings.load, ClosedLoop):
        engine = msgspec.structs.replace(engine, slots=settings.load.concurrency)
    return engine


def _reasoning_tokens(settings: RunSettings) -> int:
    """Tokens that one answer's reasoning may take; 0 where none was asked for."""
    wish = settings.reasoning_wish
    if wish is None or not wish.on:
        return 0
    return reasoning_tokens(wish)


def _context_tokens(request: Request) -> int:
    """Context that a request may take: its prompt, its chat template and its longest answer.

    The prompt is counted by the reference tokenizer, whose vocabulary is a small one: other
    models need fewer tokens for the same text.
    """
    limits = request.limits
    answer = limits.forced_output_tokens or limits.max_output_tokens or 0
    template = TEMPLATE_TOKENS * (len(request.messages) + 1)
    return request.input_tokens + template + answer


def _factors(settings: RunSettings, spec: ModelSpec, engine: EngineFacts | None) -> Factors:
    model = spec.text or (engine.model if engine is not None else "unknown")
    wish = settings.reasoning_wish
    flags = engine_flags(engine) if engine is not None else {}
    if wish is not None and wish.effort is not None:
        flags["reasoning_effort"] = wish.effort
    if wish is not None and wish.budget_tokens is not None:
        flags["reasoning_budget_tokens"] = wish.budget_tokens
    return Factors(
        deployment="remote" if settings.remote else "local",
        model=model,
        engine=engine_name(engine) if engine is not None else None,
        reasoning=wish.on if wish is not None else None,
        quantization=settings.quant.label if settings.quant is not None else None,
        remote_model=model if settings.remote else None,
        flags=flags,
    )


def _cell_settings(settings: RunSettings, cells: Sequence[Cell]) -> dict[str, Any]:
    limits = [request.limits for cell in cells for request in cell.requests]
    return {
        "temperature": max((limit.temperature for limit in limits), default=None),
        "prefix_cache": "warm" if settings.engine.cache_prompt else "cold",
        "text_kept": settings.keep_text,
        "items": "drawn" if settings.items is None else "named",
        "max_total_tokens": settings.max_total_tokens,
    }


def _describe(cell: Cell) -> str:
    tokens = [request.input_tokens for request in cell.requests]
    return (
        f"{cell.cell_id}: {number_of(len(cell.requests), 'item')} of {min(tokens)} to "
        f"{max(tokens)} tokens, asked {number_of(cell.repeats, 'time')}, {len(cell.warmup)} more "
        "to warm up"
    )
