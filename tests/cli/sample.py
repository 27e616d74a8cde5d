"""A run document of hand-sized numbers."""

from __future__ import annotations

import re
from typing import Any

from minionbench.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    CellResult,
    Factors,
    LoadDocument,
    MetricResult,
    ReasonDocument,
    RunMetadata,
    SystemInfo,
    VerdictDocument,
    WorkloadDocument,
    registry_metrics,
)

RUN_ID = "benchmark_20261121_201100"


def measured(value: float, low: float | None, high: float | None, **more: Any) -> MetricResult:
    """A value with its interval."""
    bounds = {"low": low, "high": high, "level": 0.95, "method": "order statistics"}
    return MetricResult.ok(value, unit="s", n=10, interval=bounds, requests=30, failed=0, **more)


def reason(severity: Any = "suspect", rule: str = "start_lag", **more: Any) -> ReasonDocument:
    """A reason of a verdict."""
    words = {"message": "Requests left 3 ms late.", "advice": "Free a core."}
    return ReasonDocument(
        rule=rule, severity=severity, measured=3.0, limit=1.0, unit="ms", **{**words, **more}
    )


def cell(name: str = "prefill", *reasons: ReasonDocument, **metrics: MetricResult) -> CellResult:
    """A cell; its metrics are those of a good one unless named."""
    worst = {r.severity for r in reasons}
    status: Any = "invalid" if "invalid" in worst else "suspect" if "suspect" in worst else "valid"
    return CellResult(
        cell_id=re.sub(r"\W", "-", name),
        workload=WorkloadDocument(
            name=name, version=1, source=f"builtin:{name}@1", seed=0, items=10
        ),
        load=LoadDocument(kind="closed", concurrency=1),
        repeats=3,
        settings={},
        metrics={
            "ttft_s": measured(0.0162, 0.0159, 0.0168),
            "total_latency_s": measured(0.0421, 0.0402, 0.044),
            "tokens_per_sec": measured(3800.0, 3750.0, 3860.0),
            "tpot_s": measured(0.000263, 0.000261, 0.000266),
            **metrics,
        },
        verdict=VerdictDocument(status=status, reasons=reasons),
    )


def candidate(*cells: CellResult, **fields: Any) -> BenchmarkCandidate:
    """The reference model with these cells."""
    metrics = registry_metrics(MetricResult.skipped("not looked at"))
    metrics["peak_ram_mb"] = MetricResult.ok(42.5, unit="MB")
    defaults: dict[str, Any] = {
        "version": "reference/q8_0",
        "model_type": "quantized",
        "quantization": "Q8_0",
        "file_size_mb": 1.25,
        "parameter_count": 1_234_567,
        "metrics": metrics,
        "factors": Factors(deployment="local", model="reference/q8_0", engine="xllamacpp 1"),
    }
    return BenchmarkCandidate(**{**defaults, **fields}, cells=cells)


def run(*candidates: BenchmarkCandidate, **about: Any) -> BenchmarkRun:
    """A run with these candidates."""
    defaults: dict[str, Any] = {
        "run_id": RUN_ID,
        "timestamp": "2026-11-21T20:11:00+00:00",
        "command_line": "minionbench run",
        "dry_run": False,
        "finished": True,
    }
    return BenchmarkRun(
        metadata=RunMetadata(**{**defaults, **about}),
        system_info=SystemInfo(cpu_info="Test CPU, 2 cores"),
        candidates=candidates,
    )
