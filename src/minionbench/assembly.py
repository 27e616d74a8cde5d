"""Assembly: what was measured, put into the form of the run document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from minionbench import __version__
from minionbench.engines.engine import EngineFacts
from minionbench.load import ClosedLoop, Load
from minionbench.measuring import Measured
from minionbench.meters.memory import MemoryReading
from minionbench.metrics.candidate import CellSummary, candidate_metrics
from minionbench.metrics.cell import cell_metrics
from minionbench.metrics.value import MetricValue, ok, skipped
from minionbench.schema import (
    BenchmarkCandidate,
    CellResult,
    Factors,
    LoadDocument,
    MetricResult,
    ReasonDocument,
    RunMetadata,
    VerdictDocument,
    WorkloadDocument,
    registry_metrics,
)
from minionbench.store import FinishedRecords, RunFolder
from minionbench.system import GitFacts
from minionbench.units import BYTES_PER_MB
from minionbench.verdict import Verdict, judge

NO_GPU_METER = "no accelerator memory was measured: this version reads none"


def metadata(
    folder: RunFolder,
    git: GitFacts,
    *,
    command_line: str,
    dry_run: bool,
    seed: int | None,
    finished: bool,
    notes: Sequence[str] = (),
) -> RunMetadata:
    """The document's head."""
    return RunMetadata(
        run_id=folder.run_id,
        timestamp=folder.timestamp,
        git_sha=git.sha,
        git_branch=git.branch,
        git_dirty=git.dirty,
        command_line=command_line,
        dry_run=dry_run,
        program_version=__version__,
        seed=seed,
        finished=finished,
        notes=tuple(notes),
    )


def measured_candidate(
    measured: Sequence[Measured],
    factors: Factors,
    engine: EngineFacts,
    records: FinishedRecords,
    settings: dict[str, Any],
    *,
    cold: bool | None,
) -> BenchmarkCandidate:
    """The candidate that was measured, with its cells."""
    cells: list[CellResult] = []
    summaries: list[CellSummary] = []
    notes = list(engine.notes)
    for outcome in measured:
        cell = outcome.cell
        streams = cell.load.concurrency if isinstance(cell.load, ClosedLoop) else None
        metrics = cell_metrics(outcome.records, streams=streams)
        metrics |= memory_metrics(outcome.memory)
        verdict = judge(outcome.records, outcome.facts)
        cells.append(
            CellResult(
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
                settings={**settings, "warmup_requests": len(cell.warmup)},
                metrics={name: metric_result(value) for name, value in metrics.items()},
                verdict=verdict_document(verdict),
                records=records.reference(cell.cell_id),
            )
        )
        if outcome.given_up is not None:
            notes.append(f"{cell.cell_id} ended early: {outcome.given_up}")
        summaries.append(
            CellSummary(workload=cell.workload, streams=streams, cold=cold, metrics=metrics)
        )
    metrics = candidate_metrics(summaries)
    return _candidate(
        factors,
        engine,
        {name: metric_result(value) for name, value in metrics.items()},
        tuple(cells),
        notes,
    )


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
    quantization = file.quantization if file is not None else None
    return BenchmarkCandidate(
        version=factors.model,
        model_type=_model_type(quantization),
        model_path=engine.model_path,
        base_model=file.name if file is not None else None,
        quantization=quantization,
        file_size_mb=file.file_size_bytes / BYTES_PER_MB if file is not None else None,
        parameter_count=file.parameter_count if file is not None else None,
        metrics=metrics,
        factors=factors,
        cells=cells,
        notes=tuple(dict.fromkeys(notes)),
    )


def _model_type(quantization: str | None) -> Literal["base", "quantized"] | None:
    if quantization is None:
        return None
    return "base" if quantization.upper() in ("F32", "F16", "BF16") else "quantized"


def memory_metrics(reading: MemoryReading) -> dict[str, MetricValue]:
    """`peak_ram_mb` and `peak_vram_mb` of a cell.

    The peak counts from the engine's start: loading the model belongs to what it needs.
    """
    if reading.peak_mb is None:
        ram = skipped("peak_ram_mb", reading.reason or "the memory was not measured")
    else:
        ram = ok(
            "peak_ram_mb",
            reading.peak_mb,
            method=f"{reading.method} of the resident set",
            since="start of the engine",
            processes=reading.processes,
            samples=reading.samples,
        )
    return {"peak_ram_mb": ram, "peak_vram_mb": skipped("peak_vram_mb", NO_GPU_METER)}


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
