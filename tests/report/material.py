"""Runs for reports, of hand-sized numbers: documents with their records and traces on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from minionbench.exchange import Outcome
from minionbench.metrics.cell import cell_metrics
from minionbench.records import RequestRecord, encode_record
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
    SystemInfo,
    VerdictDocument,
    WorkloadDocument,
    registry_metrics,
)
from minionbench.traces import Fact, encode_fact
from tests.making import record

RUN_ID = "benchmark_20261121_201100"


def requests(
    latencies_ms: Sequence[float], *, ttft_ms: float = 50, failed: Sequence[int] = (), **more: Any
) -> list[RequestRecord]:
    """Requests one after the other with these total latencies; those at `failed` fail."""
    made = []
    now = 1_000.0
    for index, latency in enumerate(latencies_ms):
        sent = now + 1
        events = [sent + ttft_ms, sent + (ttft_ms + latency) / 2, sent + latency]
        fields: dict[str, Any] = {"item": f"item-{index}", "index": index, **more}
        if index in failed:
            fields["outcome"] = Outcome.HTTP_ERROR
            events = []
        made.append(record(now, sent, events, **fields))
        now = sent + latency + 5
    return made


def metric(value: float, low: float | None = None, high: float | None = None) -> MetricResult:
    """A value with its interval; 5 % around it where none is given."""
    bounds = {
        "low": 0.95 * value if low is None else low,
        "high": 1.05 * value if high is None else high,
        "level": 0.95,
    }
    return MetricResult.ok(value, n=30, interval=bounds)


def cell(
    cell_id: str,
    workload: str = "balanced",
    *,
    streams: int = 1,
    status: str = "valid",
    **metrics: float | MetricResult,
) -> CellResult:
    """A cell of these metrics; a number has an interval of 5 % around it."""
    reasons: tuple[ReasonDocument, ...] = ()
    if status != "valid":
        reasons = (
            ReasonDocument(
                rule="start_lag",
                severity=status,  # type: ignore[arg-type]
                measured=9.0,
                limit=1.0,
                unit="ms",
                message="requests were sent late",
                advice="Use a machine of its own.",
            ),
        )
    return CellResult(
        cell_id=cell_id,
        workload=WorkloadDocument(
            name=workload, version=1, source=f"builtin:{workload}@1", seed=0, items=30
        ),
        load=LoadDocument(kind="closed", concurrency=streams),
        repeats=1,
        metrics={
            name: value if isinstance(value, MetricResult) else metric(value)
            for name, value in metrics.items()
        },
        verdict=VerdictDocument(status=status, reasons=reasons),  # type: ignore[arg-type]
    )


def candidate(
    model: str, *cells: CellResult, version: str | None = None, **factors: Any
) -> BenchmarkCandidate:
    """A candidate of these cells."""
    return BenchmarkCandidate(
        version=version or model,
        metrics=registry_metrics(MetricResult.skipped("nothing was measured")),
        factors=Factors(**{"deployment": "local", "model": model, **factors}),
        cells=cells,
    )


def run(*candidates: BenchmarkCandidate, run_id: str = RUN_ID, **metadata: Any) -> BenchmarkRun:
    """A run of these candidates."""
    fields: dict[str, Any] = {
        "run_id": run_id,
        "timestamp": "2026-11-21T20:11:00+00:00",
        "command_line": "minionbench run",
        "dry_run": False,
    }
    return BenchmarkRun(
        metadata=RunMetadata(**(fields | metadata)),
        system_info=SystemInfo(cpu_info="Abacus", cpu_count=2, total_ram_gb=4.0),
        candidates=candidates,
    )


def with_records(
    folder: Path,
    made: BenchmarkRun,
    records: Mapping[str, Sequence[RequestRecord]],
    trace: Sequence[Fact] = (),
) -> Path:
    """Writes a run with the records of its cells, whose metrics they become; returns its path."""
    run_id = made.metadata.run_id
    data = folder / "data" / run_id
    data.mkdir(parents=True, exist_ok=True)
    lines = b"".join(
        encode_record(msgspec.structs.replace(one, cell=cell_id))
        for cell_id, some in records.items()
        for one in some
    )
    (data / "records.jsonl").write_bytes(lines)
    if trace:
        (data / "traces.jsonl").write_bytes(b"".join(map(encode_fact, trace)))
    digest = hashlib.sha256(lines).hexdigest()

    def held(one: CellResult) -> CellResult:
        own = records.get(one.cell_id)
        if own is None:
            return one
        computed = {
            name: msgspec.convert(msgspec.to_builtins(value), MetricResult)
            for name, value in cell_metrics(list(own), streams=1).items()
        }
        return one.but(
            metrics={**computed, **one.metrics},
            records=RecordsReference(
                path=f"data/{run_id}/records.jsonl", sha256=digest, rows=len(own)
            ),
        )

    whole = made.but(
        candidates=tuple(one.but(cells=tuple(map(held, one.cells))) for one in made.candidates)
    )
    path = folder / f"{run_id}.json"
    whole.save(path)
    return path


def sweep() -> BenchmarkRun:
    """A factorial: 8 models by 3 workloads by 2 loads, with cells that failed or are invalid."""
    candidates = []
    for number in range(8):
        deployment = ("local", "remote", "hybrid")[number % 3]
        cells = []
        for workload in ("prefill", "balanced", "decode"):
            for streams in (1, 8):
                broken = number == 3 and workload == "decode"
                latency: float | MetricResult = 0.1 * (number + 1) * (1 + streams / 4)
                if broken:
                    latency = MetricResult.error("every request failed")
                status = "invalid" if number == 5 and workload == "prefill" else "valid"
                cells.append(
                    cell(
                        f"m{number}.{workload}.c{streams}",
                        workload,
                        streams=streams,
                        status=status,
                        total_latency_s=latency,
                        ttft_s=0.02 * (number + 1),
                        output_tokens_per_sec=100.0 * streams / (number + 1),
                        accuracy_pct=metric(10.0 * (number + 2), 8.0 * number, 100.0),
                        cost_usd=0.001 * number,
                        energy_wh_per_request=0.002 * (8 - number),
                    )
                )
        candidates.append(
            candidate(
                f"maker/model-{number}",
                *cells,
                deployment=deployment,
                protocol="minion" if deployment == "hybrid" else None,
            )
        )
    return run(*candidates)
