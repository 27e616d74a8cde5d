"""Assembly: what was measured, put into the form of the run document."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from minionbench import __version__
from minionbench.billing import money_metrics
from minionbench.clock import ClockAnchor
from minionbench.engines.engine import EngineFacts, HeldMemory
from minionbench.exchange import Side
from minionbench.load import ClosedLoop, Load
from minionbench.measuring import Cell, Measured
from minionbench.meters.memory import MemoryReading
from minionbench.meters.vram import VramReading
from minionbench.metrics.candidate import CellSummary, candidate_metrics
from minionbench.metrics.cell import cell_metrics
from minionbench.metrics.energy import energy_metrics, no_energy
from minionbench.metrics.peak import peak_moment
from minionbench.metrics.protocol import account
from minionbench.metrics.slo import Objective
from minionbench.metrics.value import MetricValue, ok, skipped
from minionbench.protocols.comparison import comparisons
from minionbench.quality.grading.accuracy import METRIC as ACCURACY
from minionbench.quality.grading.accuracy import accuracy
from minionbench.run_plan import PlannedCandidate, RunPlan
from minionbench.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    CellResult,
    Factors,
    LoadDocument,
    MetricResult,
    ReasonDocument,
    RecordsReference,
    RunMetadata,
    VerdictDocument,
    WorkloadDocument,
    registry_metrics,
)
from minionbench.store import FinishedRecords, RunFolder
from minionbench.system import GitFacts
from minionbench.traces import Trace
from minionbench.units import BYTES_PER_MB
from minionbench.verdict import Verdict, judge

LOCAL_SIDE: tuple[Side, ...] = ("local",)
MOST_DEVICES = 3
"""Devices of an engine that a reason names."""
THROUGHPUT = ("output_tokens_per_sec", "requests_per_sec", "goodput_per_sec")
OBJECTIVE = "objective"
"""Name of the service-level objective in the settings of a cell."""
REMOTE_MEMORY = "the model runs on somebody else's machine, whose memory cannot be seen"
REMOTE_ENERGY = (
    "the model ran on somebody else's machine, whose energy cannot be measured from here"
)
RESUMED = "the cell was measured in parts, with a pause between them"


def metadata(
    begun: RunFolder | RunPlan,
    git: GitFacts,
    *,
    command_line: str,
    dry_run: bool,
    seed: int | None,
    finished: bool,
    notes: Sequence[str] = (),
    program_version: str = __version__,
) -> RunMetadata:
    """The document's head; `begun` says which run it is and when it began."""
    return RunMetadata(
        run_id=begun.run_id,
        timestamp=begun.timestamp,
        git_sha=git.sha,
        git_branch=git.branch,
        git_dirty=git.dirty,
        command_line=command_line,
        dry_run=dry_run,
        program_version=program_version,
        seed=seed,
        finished=finished,
        notes=tuple(notes),
    )


def document(
    plan: RunPlan,
    candidates: Sequence[BenchmarkCandidate],
    *,
    finished: bool,
    dry_run: bool = False,
    stamps: str | None = None,
    notes: Sequence[str] = (),
) -> BenchmarkRun:
    """The document of a run by its plan, however the run came to its end.

    `stamps` is where the receive stamps came from; None where there were none.
    """
    return BenchmarkRun(
        metadata=metadata(
            plan,
            plan.git,
            command_line=plan.command_line,
            dry_run=dry_run,
            seed=plan.seed,
            finished=finished and not any(map(_ended_early, candidates)),
            notes=notes,
            program_version=plan.program_version,
        ),
        system_info=plan.system.but(stamp_source=stamps),
        candidates=tuple(candidates),
    )


def _ended_early(candidate: BenchmarkCandidate) -> bool:
    """Whether a cell was given up: its engine had ended, or failure followed failure."""
    reasons = (reason for cell in candidate.cells for reason in cell.verdict.reasons)
    return any(r.rule == "incomplete" and r.severity != "note" for r in reasons)


def measured_candidates(
    measured: Sequence[Measured],
    plan: RunPlan,
    records: FinishedRecords,
    trace: Trace | None = None,
) -> list[BenchmarkCandidate]:
    """The candidates that were measured, with their cells, as the plan has them.

    `trace` is what the meters said meanwhile; None where none was looked at.
    """
    by_cell = {outcome.cell.cell_id: outcome for outcome in measured}
    beside = _held_against_remote(plan, by_cell) if len(plan.candidates) > 1 else {}
    return [
        _measured_candidate(
            [by_cell[cell_id] for cell_id in candidate.cells],
            candidate,
            candidate.engines(plan.engines),
            records,
            beside,
            trace,
            cold=plan.cold,
            clock=plan.clock,
        )
        for candidate in plan.candidates
    ]


def _held_against_remote(
    plan: RunPlan, measured: Mapping[str, Measured]
) -> dict[str, dict[str, Any]]:
    """What each cell's records say against remote-only's of the same workload."""
    found: dict[str, dict[str, Any]] = {}
    # All candidates have the same workloads in the same order.
    for same in zip(*(candidate.cells for candidate in plan.candidates), strict=True):
        pairs = list(zip(plan.candidates, same, strict=True))
        cell_of = {c.factors.protocol or c.factors.deployment: cell_id for c, cell_id in pairs}
        rows = {name: measured[cell_id].records for name, cell_id in cell_of.items()}
        compared = comparisons(rows, plan.candidates[0].charges.pricing(plan.clock))
        found |= {cell_of[name]: about for name, about in compared.items()}
    return found


def _measured_candidate(
    measured: Sequence[Measured],
    planned: PlannedCandidate,
    engines: Mapping[Side, EngineFacts],
    records: FinishedRecords,
    beside: Mapping[str, dict[str, Any]],
    trace: Trace | None,
    *,
    cold: bool | None,
    clock: ClockAnchor | None,
) -> BenchmarkCandidate:
    cells: list[CellResult] = []
    summaries: list[CellSummary] = []
    # What is said of the candidate's file and memory is that of the model on this machine.
    engine = engines["local"] if "local" in engines else engines["remote"]
    notes = [note for facts in engines.values() for note in facts.notes]
    if "remote" in engines and not engines["remote"].remote:
        notes.append("The remote side was served on this machine")
    for outcome in measured:
        cell = outcome.cell
        objective = objective_of(planned.settings)
        metrics = speed_metrics(outcome, objective) | answer_metrics(outcome)
        metrics |= memory_metrics(outcome, engine, trace, engines.keys())
        metrics |= device_energy(outcome, engine, trace, objective)
        verdict = judge(outcome.records, outcome.facts)
        reference = records.reference(cell.cell_id)
        settings = dict(planned.settings)
        several = len(beside) > 0
        metrics |= money_metrics(
            outcome.records,
            planned.charges,
            clock,
            sides=planned.sides,
            metrics=metrics,
            sessions=outcome.clocks,
            compared=several,
        )
        if planned.factors.protocol is not None or several or "remote" in planned.sides:
            settings["account"] = account(outcome.records)
        if cell.cell_id in beside:
            settings["compared"] = beside[cell.cell_id]
        cells.append(measured_cell(cell, metrics, verdict, settings, reference, outcome.servers))
        if outcome.given_up is not None:
            notes.append(f"{cell.cell_id} ended early: {outcome.given_up}")
        summaries.append(cell_summary(cell, metrics, cold=cold))
    metrics = candidate_metrics(summaries)
    return _candidate(
        planned.factors,
        engine,
        {name: metric_result(value) for name, value in metrics.items()},
        tuple(cells),
        notes,
    )


def objective_of(settings: Mapping[str, Any]) -> Objective | None:
    """The service-level objective in the settings of a cell; None where there is none."""
    limits = settings.get(OBJECTIVE)
    return None if limits is None else Objective(**limits)


def speed_metrics(outcome: Measured, objective: Objective | None = None) -> dict[str, MetricValue]:
    """The metrics of a cell that follow from its records.

    Throughput has no meaning over a pause: a cell that was measured in parts has none.
    """
    metrics = cell_metrics(
        outcome.records,
        streams=streams_of(outcome.cell),
        objective=objective,
        open_loop=not isinstance(outcome.cell.load, ClosedLoop),
    )
    if outcome.taken_over:
        metrics |= {name: skipped(name, RESUMED) for name in THROUGHPUT}
    return metrics


def answer_metrics(outcome: Measured) -> dict[str, MetricValue]:
    """The metric of a cell that says how right its answers are."""
    return {ACCURACY: accuracy(outcome.records)}


def streams_of(cell: Cell) -> int | None:
    """Streams of a closed loop; None for another load."""
    return cell.load.concurrency if isinstance(cell.load, ClosedLoop) else None


def cell_summary(
    cell: Cell, metrics: Mapping[str, MetricValue], *, cold: bool | None
) -> CellSummary:
    """What a candidate's metrics need to know of a cell."""
    return CellSummary(
        workload=cell.workload, streams=streams_of(cell), cold=cold, metrics=dict(metrics)
    )


def measured_cell(
    cell: Cell,
    metrics: Mapping[str, MetricValue],
    verdict: Verdict,
    settings: Mapping[str, Any],
    records: RecordsReference | None,
    servers: Mapping[str, Any] = MappingProxyType({}),
) -> CellResult:
    """A cell as the document carries it.

    `servers` is what the servers say of their own work: it stands in the settings under `server`,
    beside what was measured; so do `account`, what a protocol's requests took, and `compared`.
    """
    return CellResult(
        cell_id=cell.cell_id,
        workload=WorkloadDocument(
            name=cell.workload,
            version=cell.version,
            source=cell.source,
            seed=cell.seed,
            items=len(cell.requests),
        ),
        load=load_document(cell.load, cell.seed),
        repeats=cell.repeats,
        settings={
            **settings,
            **asked(cell),
            "warmup_requests": len(cell.warmup),
            **({"server": dict(servers)} if servers else {}),
        },
        metrics={name: metric_result(value) for name, value in metrics.items()},
        verdict=verdict_document(verdict),
        records=records,
    )


def asked(cell: Cell) -> dict[str, Any]:
    """How long the prompts of a cell were, and how long its answers were allowed or made to be.

    Each is the range over the items, [least, most]; None where an item has none. Two cells that
    differ here did not do the same work.
    """
    limits = [request.limits for request in cell.requests]
    return {
        "input_tokens": _range([request.input_tokens for request in cell.requests]),
        "max_output_tokens": _range([limit.max_output_tokens for limit in limits]),
        "forced_output_tokens": _range([limit.forced_output_tokens for limit in limits]),
    }


def _range(values: Sequence[int | None]) -> list[int] | None:
    known = [value for value in values if value is not None]
    return [min(known), max(known)] if known and len(known) == len(values) else None


def engine_name(engine: EngineFacts) -> str:
    """What serves the model, with its version where that is known."""
    return engine.name if engine.version is None else f"{engine.name} {engine.version}"


def engine_flags(engine: EngineFacts) -> dict[str, Any]:
    """How the engine ran, as plain values; what is not known is left out."""
    flags = {
        name: value
        for name in (
            "threads",
            "context_tokens",
            "slots",
            "gpu_layers",
            "cache_prompt",
            "cold_by",
            "base_url",
            "dialect",
        )
        if (value := getattr(engine, name)) is not None
    }
    if engine.insecure:
        flags["insecure"] = True
    if engine.engine_cpus is not None:
        flags["engine_cpus"] = list(engine.engine_cpus)
    return flags


def unmeasured_candidate(factors: Factors, result: MetricResult) -> BenchmarkCandidate:
    """A candidate of which nothing is known but why: every metric is `result`."""
    return BenchmarkCandidate(
        version=factors.model, metrics=registry_metrics(result), factors=factors
    )


def _candidate(
    factors: Factors,
    engine: EngineFacts,
    metrics: dict[str, MetricResult],
    cells: tuple[CellResult, ...],
    notes: Sequence[str],
) -> BenchmarkCandidate:
    file = engine.model_file
    quantization = file.quantization if file is not None else engine.quantization
    size = file.file_size_bytes if file is not None else engine.file_size_bytes
    return BenchmarkCandidate(
        version=factors.model,
        model_type=_model_type(quantization),
        model_path=engine.model_path,
        base_model=file.name if file is not None else None,
        quantization=quantization,
        file_size_mb=size / BYTES_PER_MB if size is not None else None,
        parameter_count=file.parameter_count if file is not None else engine.parameter_count,
        metrics=metrics,
        factors=factors,
        cells=cells,
        notes=tuple(dict.fromkeys(notes)),
    )


def _model_type(quantization: str | None) -> Literal["base", "quantized"] | None:
    if quantization is None:
        return None
    return "base" if quantization.upper() in ("F32", "F16", "BF16") else "quantized"


def device_energy(
    outcome: Measured,
    engine: EngineFacts,
    trace: Trace | None,
    objective: Objective | None = None,
) -> dict[str, MetricValue]:
    """The energy of this machine while a cell's requests ran.

    `engine` is the one on this machine, where there is one; `objective` says what a good request
    is, None that it is one that succeeded.
    """
    if engine.remote:
        return no_energy(REMOTE_ENERGY)
    if outcome.unmetered is not None:
        return no_energy(outcome.unmetered)
    if outcome.taken_over:
        return no_energy(RESUMED)
    cell = outcome.cell
    return energy_metrics(
        trace,
        outcome.records,
        cell=cell.cell_id,
        streams=streams_of(cell),
        objective=objective,
        open_loop=not isinstance(cell.load, ClosedLoop),
    )


def memory_metrics(
    outcome: Measured,
    engine: EngineFacts,
    trace: Trace | None = None,
    sides: Collection[Side] = LOCAL_SIDE,
) -> dict[str, MetricValue]:
    """`peak_ram_mb` and `peak_vram_mb` of a cell whose deployment asks these sides."""
    if engine.remote:
        return {name: skipped(name, REMOTE_MEMORY) for name in ("peak_ram_mb", "peak_vram_mb")}
    values = {
        "peak_ram_mb": ram_metric(outcome.memory),
        "peak_vram_mb": vram_metric(outcome.vram, engine)
        if outcome.held is None
        else _held(outcome.held, engine),
    }
    for name, kind in (("peak_ram_mb", "rss"), ("peak_vram_mb", "vram")):
        moments = {
            side: moment.told()
            for side in sorted(sides)
            if trace is not None and (moment := peak_moment(trace, f"{kind}/{side}")) is not None
        }
        if values[name].value is not None and moments:
            # Of several engines each has a moment of its own.
            about = {"moment": moments.popitem()[1]} if len(sides) == 1 else {"moments": moments}
            metadata = {**values[name].metadata, **about}
            values[name] = msgspec.structs.replace(values[name], metadata=metadata)
    return values


def ram_metric(reading: MemoryReading) -> MetricValue:
    """`peak_ram_mb`. The peak counts from the engine's start: loading belongs to what it needs."""
    if reading.peak_mb is None:
        return skipped("peak_ram_mb", reading.reason or "the memory was not measured")
    cross_check = {}
    if reading.proportional_bytes is not None:
        cross_check["proportional_set_mb"] = reading.proportional_bytes / BYTES_PER_MB
    if reading.group_peak_bytes is not None:
        cross_check["control_group_peak_mb"] = reading.group_peak_bytes / BYTES_PER_MB
    return ok(
        "peak_ram_mb",
        reading.peak_mb,
        method=f"{reading.method} of the resident set",
        since="start of the engine",
        processes=reading.processes,
        samples=reading.samples,
        **cross_check,
    )


def _held(held: HeldMemory, engine: EngineFacts) -> MetricValue:
    """What a server of somebody else's says that the model takes."""
    if held.vram_bytes == 0:
        why = f"{engine.name} holds no part of the model in an accelerator"
        return skipped("peak_vram_mb", why, method=held.method)
    total = {} if held.total_bytes is None else {"of_total_mb": held.total_bytes / BYTES_PER_MB}
    return ok("peak_vram_mb", held.vram_bytes / BYTES_PER_MB, method=held.method, **total)


def vram_metric(reading: VramReading, engine: EngineFacts) -> MetricValue:
    """`peak_vram_mb`, or why an engine of ours holds none that can be measured."""
    if reading.peak_mb is None:
        why = _no_accelerator(engine) or reading.reason or "the GPU memory was not measured"
        return skipped("peak_vram_mb", why)
    return ok(
        "peak_vram_mb",
        reading.peak_mb,
        method="largest sample of what the NVIDIA driver accounts to the engine's processes",
        since="the engine was ready",
        devices=list(reading.devices),
        processes=reading.processes,
        samples=reading.samples,
        failed_samples=reading.failed_samples,
    )


def _no_accelerator(engine: EngineFacts) -> str | None:
    """Why an engine of ours holds no accelerator's memory; None where it may hold some."""
    if not engine.embedded or engine.devices is None:
        return None
    if engine.gpu_layers == 0:
        return "the engine was told to hold no layer on an accelerator"
    if engine.has_gpu is False:
        named = ", ".join(engine.devices[:MOST_DEVICES]) or "the processor"
        return f"the engine has no accelerator: it computes on {named}"
    return None


def metric_result(value: MetricValue) -> MetricResult:
    """A metric as the document carries it."""
    if value.status == "ok" and value.value is not None:
        return MetricResult.ok(value.value, **value.metadata)
    if value.status == "skipped":
        return MetricResult.skipped(**value.metadata)
    return MetricResult.error(value.error_message or "", **value.metadata)


def verdict_document(verdict: Verdict) -> VerdictDocument:
    """A verdict as the document carries it; what could not be checked is a note."""
    reasons = [
        ReasonDocument(
            rule=reason.rule,
            severity=reason.severity,
            measured=reason.measured,
            limit=reason.limit,
            unit=reason.unit,
            message=reason.message,
            advice=reason.advice,
        )
        for reason in verdict.reasons
    ]
    notes = [
        ReasonDocument(
            rule=unchecked.rule,
            severity="note",
            measured=None,
            limit=None,
            unit=None,
            message=f"not checked: {unchecked.why}",
            advice=None,
        )
        for unchecked in verdict.not_checked
    ]
    return VerdictDocument(status=verdict.status, reasons=(*reasons, *notes))


def load_document(load: Load, seed: int) -> LoadDocument:
    """A load as the document carries it."""
    if isinstance(load, ClosedLoop):
        return LoadDocument(kind="closed", concurrency=load.concurrency)
    constant = load.burstiness == float("inf")
    arrivals: Literal["constant", "poisson", "gamma"] = (
        "constant" if constant else "poisson" if load.burstiness == 1 else "gamma"
    )
    return LoadDocument(
        kind="open",
        rate_per_s=load.rate_per_s,
        arrivals=arrivals,
        burstiness=None if constant else load.burstiness,
        seed=seed,
    )


def stamp_source(measured: Sequence[Measured]) -> str | None:
    """Where the receive stamps came from: `kernel` when any did, else `user`; None without reads.

    The first packets after a host's first use of kernel stamps carry none; how many did is for
    the verdict.
    """
    arrivals = [
        call.reply.arrival
        for outcome in measured
        for record in outcome.records
        for call in record.calls
        if call.reply.arrival is not None
    ]
    if not arrivals:
        return None
    return "kernel" if any(arrival.kernel_reads for arrival in arrivals) else "user"
