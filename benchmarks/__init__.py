"""The registry benchmark's import path: a face on minionbench, in the checkout only."""

from __future__ import annotations

from benchmarks.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    MetricResult,
    MetricStatus,
    RunMetadata,
    SystemInfo,
)

__all__ = [
    "BenchmarkCandidate",
    "BenchmarkRun",
    "MetricResult",
    "MetricStatus",
    "RunMetadata",
    "SystemInfo",
]
