"""The run document: strict structs, migrations and the JSON Schema."""

from __future__ import annotations

from minionbench.schema.atomic import write_atomically
from minionbench.schema.cell import (
    CellResult,
    LoadDocument,
    ReasonDocument,
    RecordsReference,
    Severity,
    VerdictDocument,
    VerdictStatus,
    WorkloadDocument,
)
from minionbench.schema.json_schema import json_schema, json_schema_text
from minionbench.schema.metric import (
    MetricResult,
    MetricStatus,
    registry_metrics,
)
from minionbench.schema.migration import SCHEMA_VERSION
from minionbench.schema.plain import PartError
from minionbench.schema.run import (
    BenchmarkCandidate,
    BenchmarkRun,
    Factors,
    ModelType,
    RunMetadata,
    SystemInfo,
)

__all__ = [
    "SCHEMA_VERSION",
    "BenchmarkCandidate",
    "BenchmarkRun",
    "CellResult",
    "Factors",
    "LoadDocument",
    "MetricResult",
    "MetricStatus",
    "ModelType",
    "PartError",
    "ReasonDocument",
    "RecordsReference",
    "RunMetadata",
    "Severity",
    "SystemInfo",
    "VerdictDocument",
    "VerdictStatus",
    "WorkloadDocument",
    "json_schema",
    "json_schema_text",
    "registry_metrics",
    "write_atomically",
]
