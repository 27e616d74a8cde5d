"""Candidates of hand-sized figures."""

from __future__ import annotations

from typing import Any

from minionbench.schema import (
    BenchmarkCandidate,
    CellResult,
    MetricResult,
    ReasonDocument,
    VerdictDocument,
    registry_metrics,
)
from tests.documents import candidate, cell

NOT_RUN = MetricResult.skipped("it was not run")


def between(value: float, low: float | None, high: float | None, **more: Any) -> MetricResult:
    """A value with its interval."""
    return MetricResult.ok(value, interval={"low": low, "high": high}, **more)


def near(value: float) -> MetricResult:
    """A value with an interval of 1 % to each side."""
    return between(value, value * 0.99, value * 1.01)


def made(version: str, size_mb: float | None = 1.0, **metrics: Any) -> BenchmarkCandidate:
    """A candidate with these metrics; a number gets an interval of 1 % to each side.

    `cells` are the statuses of its cells' verdicts, none unless they are named.
    """
    statuses = metrics.pop("cells", ())
    path = metrics.pop("model_path", None)
    results = {
        name: near(value) if isinstance(value, int | float) else value
        for name, value in metrics.items()
    }
    return candidate(
        version,
        file_size_mb=size_mb,
        model_path=path,
        metrics=registry_metrics(NOT_RUN) | results,
        cells=tuple(judged(f"{version}.{i}", status) for i, status in enumerate(statuses)),
    )


def judged(cell_id: str, status: Any) -> CellResult:
    """A cell with this verdict."""
    if status == "valid":
        return cell(cell_id)
    reason = ReasonDocument(
        rule="start_lag",
        severity=status,
        measured=3.0,
        limit=1.0,
        unit="ms",
        message="Requests left late.",
        advice=None,
    )
    return cell(cell_id, verdict=VerdictDocument(status=status, reasons=(reason,)))
