"""Experiments: a deployment measured over workloads, from the settings to the saved document."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from minionbench.allowance import Allowance
from minionbench.assembly import (
    OBJECTIVE,
    document,
    engine_flags,
    engine_name,
    measured_candidates,
    stamp_source,
    unmeasured_candidate,
)
from minionbench.counting import count_afterwards
from minionbench.deployments.deployment import Deployment
from minionbench.deployments.single import Local, Remote
from minionbench.embedding_first import check_embedders, embed_first
from minionbench.engines.catalog import open_engine
from minionbench.engines.engine import Engine, EngineFacts
from minionbench.engines.families import LocalQuant
from minionbench.engines.remote import RemoteModel
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Reasoning, Request, Side
from minionbench.measuring import (
    INTERRUPTED,
    Cell,
    Observer,
    Silent,
    measure,
    stopped_by_signals,
)
from minionbench.metering import Metering
from minionbench.protocols.catalog import LOCAL, REMOTE, protocol_name, told
from minionbench.protocols.hybrid import TwoModels
from minionbench.run_plan import PlannedCandidate, RunPlan
from minionbench.run_settings import (
    DEFAULT_REPEATS,
    DEFAULT_REQUESTS,
    DEFAULT_WARMUP,
    Measurable,
    RunSettings,
)
from minionbench.runner import StopSwitch
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, Factors, MetricResult
from minionbench.sides import (
    ServedModel,
    charges_of,
    check_dialects,
    cost_limit,
    engine_settings,
    named,
    require_named_keys,
    served_models,
)
from minionbench.store import RunFolder, reserve, runs_dir
from minionbench.system import git_facts, redact, redact_text, system_info
from minionbench.units import number_of
from minionbench.wire.reasoning import reasoning_fields
from minionbench.workloads.items import named_requests, other_requests
from minionbench.workloads.workload import Workload

__all__ = [
    "DEFAULT_REPEATS",
    "DEFAULT_REQUESTS",
    "DEFAULT_WARMUP",
    "Experiment",
    "RunOutcome",
    "RunSettings",
    "asked_cells",
    "planned_candidates",
    "reasoning_to_find",
    "run_experiment",
    "serving",
]

Asked = dict[Deployment, list[Cell]]
"""The cells of each deployment, in the order of measuring."""


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
    quant=Q3B()).run()`, or with `deployment=Remote(), remote_model=OpenAI("gpt-…")`, or with
    `deployment=Hybrid("ollama/llama3.2", OpenAI("gpt-…"), protocol="minions")`; `run` returns the
    run's document and saves it in the state directory.
    """

    def __init__(
        self,
        workload: Workload | Sequence[Workload],
        deployment: Measurable | None = None,
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
    models = served_models(settings)
    check_dialects(settings, models)
    check_embedders(settings.members)
    asked = asked_cells(settings)
    if not settings.dry_run:
        require_named_keys(settings, models)
    if settings.max_cost_usd is not None and models["remote"].spec.name is not None:
        cost_limit(settings, charges_of(settings, models, {}))
    with reserve(runs_dir(settings.output_dir)) as folder:
        try:
            run, interrupted = _run(settings, models, asked, folder, observer, argv)
            path = folder.write(run)
        finally:
            observer.done()
        return RunOutcome(run=run, path=path, interrupted=interrupted)


def _run(
    settings: RunSettings,
    models: Mapping[Side, ServedModel],
    asked: Asked,
    folder: RunFolder,
    observer: Observer,
    argv: Sequence[str] | None,
) -> tuple[BenchmarkRun, bool]:
    stop = StopSwitch()
    cells = _flat(asked)
    observer.plan(folder.run_id, named(models), cells)
    plan = RunPlan.drawn(
        cells,
        system_info(),
        candidates=planned_candidates(settings, models, asked, {}),
        run_id=folder.run_id,
        timestamp=folder.timestamp,
        command_line=redact(sys.argv if argv is None else argv),
        seed=settings.seed,
        git=git_facts(),
        cold=None if settings.engine.cache_prompt else True,
    )
    stamps = None
    notes: list[str] = []
    if settings.dry_run:
        skipped = MetricResult.skipped("dry run: nothing was measured")
        candidates = _unmeasured(plan, skipped)
        notes.extend(f"planned: {_describe(cell)}" for cell in cells)
    else:
        folder.keep_plan(plan.encoded())
        candidates, stamps, said = _measure(settings, models, asked, plan, folder, observer, stop)
        notes.extend(said)
    interrupted = stop.why is not None
    if interrupted:
        notes.append(f"{INTERRUPTED} before all its requests were sent")
    run = document(
        plan,
        candidates,
        finished=not interrupted,
        dry_run=settings.dry_run,
        stamps=stamps,
        notes=notes,
    )
    return run, interrupted


def _measure(
    settings: RunSettings,
    models: Mapping[Side, ServedModel],
    asked: Asked,
    plan: RunPlan,
    folder: RunFolder,
    observer: Observer,
    stop: StopSwitch,
) -> tuple[list[BenchmarkCandidate], str | None, list[str]]:
    """The candidates, where their receive stamps came from, and what is to be said of the run."""
    cells = _flat(asked)
    deployments = {cell.cell_id: member for member in asked for cell in asked[member]}
    stop.heeded = False
    try:
        with (
            stopped_by_signals(stop),
            Metering(settings.meters, folder.traces()) as metering,
            serving(
                settings, models, cells, deployments, folder.log_folder(), observer.stage
            ) as engines,
        ):
            facts = {side: engine.facts for side, engine in engines.items()}
            plan = plan.with_engines(facts, planned_candidates(settings, models, asked, engines))
            folder.keep_plan(plan.encoded())
            limit = cost_limit(settings, plan.candidates[0].charges, plan.clock)
            allowance = Allowance(settings.max_total_tokens, limit)
            pricing = plan.candidates[0].charges.pricing(plan.clock)
            if pricing is not None:
                observer.costs(pricing.request_usd, settings.max_cost_usd)
            journal = folder.journal()
            stop.heeded = True
            measured = measure(
                cells,
                deployments,
                engines,
                journal,
                stop=stop,
                observer=observer,
                keep_text=settings.keep_text,
                cold=plan.cold,
                reasoning=reasoning_to_find(settings.reasoning_wish, engines),
                allowance=allowance,
                metering=metering,
            )
            measured = count_afterwards(measured, engines, journal, stop=stop)
    except DeploymentError as error:
        return _unmeasured(plan, MetricResult.error(str(error))), None, []
    observer.stage("computing the metrics")
    finished = journal.finish()
    candidates = measured_candidates(measured, plan, finished, folder.trace())
    return candidates, stamp_source(measured), [] if limit is None else [limit.told()]


@contextmanager
def serving(
    settings: RunSettings,
    models: Mapping[Side, ServedModel],
    cells: Sequence[Cell],
    deployments: Mapping[str, Deployment],
    log_folder: Path,
    say: Callable[[str], None],
) -> Iterator[dict[Side, Engine]]:
    """The engines of all sides, ready for the cells; what was started here ends with the block.

    `deployments` are those of the cells by their ids. `say` is told what is being done.

    Raises DeploymentError where one cannot serve its model, or cannot do as the settings wish.
    """
    embed_first(cells, deployments, log_folder=log_folder, say=say)
    with ExitStack() as stack:
        engines: dict[Side, Engine] = {}
        for side, model in models.items():
            doing = "asking for" if model.elsewhere else "starting"
            say(f"{doing} {model.spec.text or redact_text(model.url or '')}")
            own = engine_settings(settings, model, cells, deployments)
            engines[side] = stack.enter_context(
                open_engine(model.spec, own, log_folder=log_folder, say=say)
            )
        _tell_to_reason(settings.reasoning_wish, engines)
        if isinstance(settings.deployment, TwoModels) and "remote" in engines:
            engines["remote"].endpoint.visible_ends = True
        yield engines


def _unmeasured(plan: RunPlan, why: MetricResult) -> list[BenchmarkCandidate]:
    return [unmeasured_candidate(candidate.factors, why) for candidate in plan.candidates]


def _tell_to_reason(wish: Reasoning | None, engines: Mapping[Side, Engine]) -> None:
    """Has the models reason or not.

    In a hybrid the wish to reason is the remote model's, and the local one's where it can; the wish
    not to is both models'.
    """
    if wish is None:
        return
    for side, engine in engines.items():
        switch = engine.endpoint.manners.switch
        if side == "local" and wish.on and len(engines) > 1 and switch == "none":
            continue
        engine.set_reasoning(wish)
        # What cannot be said to the server is found out before anything is sent.
        reasoning_fields(engine.endpoint.reasoning, engine.endpoint.manners.switch)


def reasoning_to_find(wish: Reasoning | None, engines: Mapping[Side, Engine]) -> bool | None:
    """What the answers are to be held against: of two models one may have been told nothing."""
    if wish is None or (wish.on and len(engines) > 1):
        return None
    return wish.on


def asked_cells(settings: RunSettings) -> Asked:
    """The cells of each deployment with their requests: those that are named, or drawn by the seed.

    Of the drawn ones the first n items are measured and those after warm up; beside named ones
    the first that are not among them. All deployments have the same.
    """
    drawn = list(zip(settings.workloads, _requests(settings), strict=True))
    members = settings.members
    asked: Asked = {}
    taken: list[str] = []
    for member in members:
        asked[member] = []
        for workload, (requests, warmup) in drawn:
            _check_requests(settings, member, workload, (*requests, *warmup))
            name = workload.name
            if len(members) > 1:
                name = f"{name}.{protocol_name(member) or member.name}"
            taken.append(_cell_id(name, taken))
            asked[member].append(
                Cell(
                    cell_id=taken[-1],
                    workload=workload.name,
                    version=workload.version,
                    source=workload.source,
                    seed=settings.seed,
                    load=settings.load,
                    repeats=settings.repeats,
                    warmup=warmup,
                    requests=requests,
                    calls=_likely_calls(member, requests),
                )
            )
    return asked


def _flat(asked: Asked) -> list[Cell]:
    return [cell for cells in asked.values() for cell in cells]


def _likely_calls(member: Deployment, requests: Sequence[Request]) -> int:
    likely = getattr(getattr(member, "follows", member), "likely_calls", None)
    if likely is None:
        return 1
    return int(sum(map(likely, requests)) // len(requests))


def _check_requests(
    settings: RunSettings, member: Deployment, workload: Workload, requests: Sequence[Request]
) -> None:
    """Raises UsageError for requests that a hybrid protocol can do nothing with."""
    if not isinstance(settings.deployment, TwoModels):
        return
    if any(request.limits.forced_output_tokens is not None for request in requests):
        raise UsageError(
            "The length of the answers cannot be forced (--output-tokens) in a hybrid protocol: "
            "its models answer each other in JSON, which would be cut"
        )
    if protocol_name(member) == "minions" and any(r.document is None for r in requests):
        raise UsageError(
            f"MinionS cuts a document into chunks, and items of {workload.name} have none apart "
            "from their question: take -w prefill, or --protocol minion"
        )


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


def planned_candidates(
    settings: RunSettings,
    models: Mapping[Side, ServedModel],
    asked: Asked,
    engines: Mapping[Side, Engine],
) -> list[PlannedCandidate]:
    """The plan of each deployment; what an engine says of itself is in it once it serves."""
    facts = {side: engine.facts for side, engine in engines.items()}
    charges = charges_of(settings, models, facts)
    return [
        PlannedCandidate.of(
            _factors(settings, member, models, facts),
            cells=tuple(cell.cell_id for cell in cells),
            sides=member.sides,
            settings=_cell_settings(settings, member, cells, engines),
            charges=charges,
        )
        for member, cells in asked.items()
    ]


def _factors(
    settings: RunSettings,
    member: Deployment,
    models: Mapping[Side, ServedModel],
    facts: Mapping[Side, EngineFacts],
) -> Factors:
    names = {
        side: models[side].spec.text
        or (facts[side].model if side in facts else "the model of the server")
        for side in member.sides
    }
    first: Side = "local" if "local" in names else "remote"
    engine = facts.get(first)
    wish = settings.reasoning_wish
    flags = engine_flags(engine) if engine is not None else {}
    if first == "local" and "remote" in facts and "remote" in names:
        flags["remote"] = {"engine": engine_name(facts["remote"]), **engine_flags(facts["remote"])}
    if wish is not None and wish.effort is not None:
        flags["reasoning_effort"] = wish.effort
    if wish is not None and wish.budget_tokens is not None:
        flags["reasoning_budget_tokens"] = wish.budget_tokens
    kinds: dict[str, Literal["local", "remote", "hybrid"]] = {
        LOCAL: "local",
        REMOTE: "remote",
    }
    return Factors(
        deployment=kinds.get(member.name, "hybrid"),
        model=names[first],
        engine=engine_name(engine) if engine is not None else None,
        reasoning=wish.on if wish is not None else None,
        quantization=settings.quant.label
        if settings.quant is not None and first == "local"
        else None,
        remote_model=names.get("remote"),
        protocol=protocol_name(member),
        flags=flags,
    )


def _cell_settings(
    settings: RunSettings,
    member: Deployment,
    cells: Sequence[Cell],
    engines: Mapping[Side, Engine],
) -> dict[str, Any]:
    limits = [request.limits for cell in cells for request in cell.requests]
    temperature = max((limit.temperature for limit in limits), default=None)
    if any(not e.endpoint.manners.temperature for s, e in engines.items() if s in member.sides):
        temperature = None
    protocol = told(member)
    return {
        "temperature": temperature,
        "prefix_cache": "warm" if settings.engine.cache_prompt else "cold",
        "text_kept": settings.keep_text,
        "items": "drawn" if settings.items is None else "named",
        "max_total_tokens": settings.max_total_tokens,
        **({} if settings.max_cost_usd is None else {"max_cost_usd": settings.max_cost_usd}),
        **({"protocol": protocol} if protocol is not None else {}),
        **({} if settings.objective is None else {OBJECTIVE: settings.objective.limits}),
    }


def _describe(cell: Cell) -> str:
    tokens = [request.input_tokens for request in cell.requests]
    return (
        f"{cell.cell_id}: {number_of(len(cell.requests), 'item')} of {min(tokens)} to "
        f"{max(tokens)} tokens, asked {number_of(cell.repeats, 'time')}, {len(cell.warmup)} more "
        "to warm up"
    )
