"""The run document under the name that the registry benchmark's users import it by."""

from __future__ import annotations

from minionbench.errors import SchemaError
from minionbench.names import REGISTRY_METRICS
from minionbench.schema import (
    SCHEMA_VERSION,
    BenchmarkCandidate,
    BenchmarkRun,
    CellResult,
    MetricResult,
    MetricStatus,
    RunMetadata,
    SystemInfo,
    registry_metrics,
)

__all__ = [
    "REGISTRY_METRICS",
    "SCHEMA_VERSION",
    "BenchmarkCandidate",
    "BenchmarkRun",
    "CellResult",
    "MetricResult",
    "MetricStatus",
    "RunMetadata",
    "SchemaError",
    "SystemInfo",
    "registry_metrics",
]
