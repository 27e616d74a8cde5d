"""A run document as flat rows: one of the run, one of each cell, one of each metric."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from minionbench.metrics.table import METRICS
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult, MetricResult

RUNS = {
    "run_id": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "finished": "BOOLEAN",
    "dry_run": "BOOLEAN",
    "program_version": "VARCHAR",
    "git_sha": "VARCHAR",
    "git_branch": "VARCHAR",
    "git_dirty": "BOOLEAN",
    "command_line": "VARCHAR",
    "seed": "BIGINT",
    "hostname": "VARCHAR",
    "cpu": "VARCHAR",
    "cpu_count": "BIGINT",
    "gpu": "VARCHAR",
    "kernel": "VARCHAR",
    "document": "VARCHAR",
}
CELLS = {
    "run_id": "VARCHAR",
    "candidate": "VARCHAR",
    "cell_id": "VARCHAR",
    "deployment": "VARCHAR",
    "model": "VARCHAR",
    "engine": "VARCHAR",
    "quantization": "VARCHAR",
    "reasoning": "BOOLEAN",
    "remote_model": "VARCHAR",
    "protocol": "VARCHAR",
    "workload": "VARCHAR",
    "workload_version": "BIGINT",
    "workload_source": "VARCHAR",
    "items": "BIGINT",
    "seed": "BIGINT",
    "settings": "VARCHAR",
    "load": "VARCHAR",
    "concurrency": "BIGINT",
    "rate_per_s": "DOUBLE",
    "repeats": "BIGINT",
    "verdict": "VARCHAR",
    "reasons": "VARCHAR",
}
METRIC_ROWS = {
    "run_id": "VARCHAR",
    "candidate": "VARCHAR",
    "cell_id": "VARCHAR",
    "metric": "VARCHAR",
    "status": "VARCHAR",
    "value": "DOUBLE",
    "unit": "VARCHAR",
    "better": "VARCHAR",
    "low": "DOUBLE",
    "high": "DOUBLE",
    "level": "DOUBLE",
    "n": "BIGINT",
    "why": "VARCHAR",
}
ASKED_FOR = (
    "temperature",
    "prefix_cache",
    "input_tokens",
    "max_output_tokens",
    "forced_output_tokens",
    "objective",
)
"""Settings of a cell with which a figure is another one."""
TABLES: dict[str, dict[str, str]] = {"runs": RUNS, "cells": CELLS, "metrics": METRIC_ROWS}
"""Each table's columns with their types in SQL. A metric of a candidate as a whole has no cell."""

Row = tuple[Any, ...]


class Rows(NamedTuple):
    """What one document adds to each table."""

    runs: list[Row]
    cells: list[Row]
    metrics: list[Row]


def rows_of(run: BenchmarkRun, document: str) -> Rows:
    """The document's rows; `document` is the name of its file. What is unknown is None."""
    rows = Rows([_run(run, document)], [], [])
    run_id = run.metadata.run_id
    for candidate in run.candidates:
        name = candidate_name(candidate)
        rows.metrics.extend(_metrics(run_id, name, None, candidate.metrics.items()))
        for cell in candidate.cells:
            rows.cells.append(_cell(run_id, candidate, cell))
            rows.metrics.extend(_metrics(run_id, name, cell.cell_id, cell.metrics.items()))
    return rows


def candidate_name(candidate: BenchmarkCandidate) -> str:
    """A candidate by its version in a registry, which without one is its model's name."""
    return candidate.version


def _run(run: BenchmarkRun, document: str) -> Row:
    about, system = run.metadata, run.system_info
    return (
        about.run_id,
        _in_utc(about.timestamp),
        about.finished,
        about.dry_run,
        about.program_version,
        about.git_sha,
        about.git_branch,
        about.git_dirty,
        about.command_line,
        about.seed,
        system.hostname,
        system.cpu_info,
        system.cpu_count,
        system.gpu_info,
        system.kernel,
        document,
    )


def _cell(run_id: str, candidate: BenchmarkCandidate, cell: CellResult) -> Row:
    factors = candidate.factors
    return (
        run_id,
        candidate_name(candidate),
        cell.cell_id,
        None if factors is None else factors.deployment,
        None if factors is None else factors.model,
        None if factors is None else factors.engine,
        candidate.quantization,
        None if factors is None else factors.reasoning,
        None if factors is None else factors.remote_model,
        None if factors is None else factors.protocol,
        cell.workload.name,
        cell.workload.version,
        cell.workload.source,
        cell.workload.items,
        cell.workload.seed,
        _settings(cell),
        cell.load.kind,
        cell.load.concurrency,
        cell.load.rate_per_s,
        cell.repeats,
        cell.verdict.status,
        ", ".join(reason.rule for reason in cell.verdict.reasons) or None,
    )


def _settings(cell: CellResult) -> str:
    """What was asked for beside the items, as JSON that is the same where that is."""
    known = {name: cell.settings[name] for name in ASKED_FOR if name in cell.settings}
    return msgspec.json.encode(known, order="sorted").decode()


def _metrics(run_id: str, candidate: str, cell_id: str | None, metrics: Any) -> Iterator[Row]:
    for name, metric in metrics:
        yield _metric(run_id, candidate, cell_id, name, metric)


def _metric(
    run_id: str, candidate: str, cell_id: str | None, name: str, metric: MetricResult
) -> Row:
    about = metric.metadata
    bounds = about.get("interval")
    bounds = bounds if isinstance(bounds, dict) else {}
    known = METRICS.get(name)
    return (
        run_id,
        candidate,
        cell_id,
        name,
        str(metric.status),
        metric.value,
        about.get("unit") if known is None else known.unit,
        None if known is None else known.better,
        _number(bounds.get("low")),
        _number(bounds.get("high")),
        _number(bounds.get("level")),
        _number(about.get("n")),
        metric.error_message or about.get("reason"),
    )


def _in_utc(timestamp: str) -> str:
    """An instant in UTC, without saying so; one without an offset is taken for one in UTC."""
    at = datetime.fromisoformat(timestamp)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.replace(tzinfo=None).isoformat(sep=" ")


def _number(value: Any) -> float | int | None:
    """A number of the metadata, which may hold anything; None for what is none."""
    kind = type(value)
    return value if kind is float or kind is int else None
