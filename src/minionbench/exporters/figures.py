"""The figures of a run, one by one, with the words that tell them apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult, MetricResult


class Subject(NamedTuple):
    """What figures are of: a cell, or a candidate as a whole."""

    candidate: BenchmarkCandidate
    name: str
    """What was measured, in one line; no two candidates of a run have the same."""
    cell: CellResult | None
    """None for the candidate as a whole."""
    metrics: dict[str, MetricResult]
    """Those of the subject itself: of a candidate, what none of its cells has."""


def subjects(run: BenchmarkRun) -> Iterator[Subject]:
    """Every candidate with figures of its own, and every cell, in the document's order."""
    names = candidate_names(run)
    for candidate, name in zip(run.candidates, names, strict=True):
        in_cells = {metric for cell in candidate.cells for metric in cell.metrics}
        own = {k: m for k, m in candidate.metrics.items() if k not in in_cells}
        if own:
            yield Subject(candidate, name, None, own)
        for cell in candidate.cells:
            yield Subject(candidate, name, cell, dict(cell.metrics))


def candidate_names(run: BenchmarkRun) -> list[str]:
    """A name for each candidate; where two would be alike, a number makes the difference."""
    seen: dict[str, int] = {}
    names = []
    for candidate in run.candidates:
        name = _title(candidate)
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _title(candidate: BenchmarkCandidate) -> str:
    factors = candidate.factors
    parts = [factors.model if factors else candidate.version]
    if factors and factors.protocol:
        parts.append(factors.protocol)
        if factors.remote_model and factors.remote_model != factors.model:
            parts.append(factors.remote_model)
    if candidate.quantization and candidate.quantization.lower() not in parts[0].lower():
        parts.append(candidate.quantization)
    if factors and factors.reasoning is not None:
        parts.append("reasoning" if factors.reasoning else "no reasoning")
    return ", ".join(parts)


def load_words(cell: CellResult) -> str:
    """A cell's load in one word or two."""
    load = cell.load
    if load.kind == "closed":
        return f"closed {load.concurrency}"
    if load.kind == "open":
        return f"open {load.rate_per_s:g}/s {load.arrivals}"
    return "replay"


def bounds(metric: MetricResult) -> tuple[float | None, float | None]:
    """The ends of a metric's interval; None where one is not known or open."""
    about: Any = metric.metadata.get("interval") or {}
    return about.get("low"), about.get("high")


def percentiles(metric: MetricResult) -> dict[str, float]:
    """A metric's percentiles by their labels, as p99."""
    about: Any = metric.metadata.get("percentiles")
    if not isinstance(about, dict):
        return {}
    return {
        str(label): float(entry["value"])
        for label, entry in about.items()
        if isinstance(entry, dict)
        and isinstance(entry.get("value"), int | float)
        and not isinstance(entry["value"], bool)
    }


def requests(subject: Subject) -> tuple[int | None, int | None]:
    """Measured requests of a cell and how many of them failed; None where no metric says."""
    for name in ("total_latency_s", "ttfo_s", "response_time_s", "ttft_s"):
        metric = subject.metrics.get(name)
        if metric is None:
            continue
        asked, failed = metric.metadata.get("requests"), metric.metadata.get("failed")
        if isinstance(asked, int):
            return asked, failed if isinstance(failed, int) else None
    return None, None
