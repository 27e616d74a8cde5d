"""A foreign result on its way to a run document: cells, figures, and what is missing and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from minionbench.importers.foreign import kept
from minionbench.metrics.table import METRICS
from minionbench.schema import (
    BenchmarkCandidate,
    CellResult,
    Factors,
    LoadDocument,
    MetricResult,
    ReasonDocument,
    SystemInfo,
    VerdictDocument,
    WorkloadDocument,
    registry_metrics,
)

OF_A_CELL = (
    "ttft_s",
    "ttfo_s",
    "total_latency_s",
    "response_time_s",
    "tpot_s",
    "itl_s",
    "icl_s",
    "tokens_per_sec",
    "output_tokens_per_sec",
    "requests_per_sec",
    "goodput_per_sec",
    "accuracy_pct",
)
"""Metrics that every imported cell has: with a value, or with the reason why not."""

WHOLE_RUN = (
    "over the whole run, its beginning and end included; minionbench's own is over the steady state"
)
ALLOWED_FAILED_SHARE = 0.0
MEASURED_BY = "measured_by"
IMPORTED = "imported"
"""Name of what else the file says, in the settings of a cell."""

Statistic = Literal["median", "mean", "total", "share"]


class Figure(NamedTuple):
    """A metric's value as another program states it, brought to our unit."""

    value: float
    statistic: Statistic
    """What the value is of the requests: `total` of all of them together, as a throughput, `share`
    of those that are right."""
    stated_as: str
    """What it is called there."""
    n: int | None = None
    more: Mapping[str, Any] = {}
    """Percentiles, what to know of the definition, and the like."""


@dataclass
class DraftCell:
    """One cell of a foreign result."""

    workload: str
    source: str
    load: LoadDocument
    items: int
    requests: int | None = None
    """Requests that were measured, those that failed included; None where that is not told."""
    failed: int | None = None
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Why a metric has no value, where there is more to say than that the file does not tell."""
    stated: dict[str, Any] = field(default_factory=dict)
    """What the file says beside, that has no name here."""
    broken: str | None = None
    """Why there is no figure at all, where something failed."""


@dataclass
class DraftCandidate:
    """What was measured, as far as the file tells."""

    model: str
    cells: list[DraftCell]
    engine: str | None = None
    url: str | None = None
    deployment: Literal["local", "remote"] | None = None
    quantization: str | None = None
    file_size_mb: float | None = None
    parameter_count: int | None = None
    model_path: str | None = None
    flags: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class Draft:
    """One run of another program."""

    tool: str
    version: str | None
    candidates: list[DraftCandidate]
    started: datetime | None = None
    system: SystemInfo = field(default_factory=SystemInfo)
    seed: int | None = None
    finished: bool | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def named(self) -> str:
        """The program with its version, as far as that is told."""
        return self.tool if self.version is None else f"{self.tool} {self.version}"


def percentiles(values: Mapping[str, float | None]) -> dict[str, Any]:
    """Percentiles as a document carries them; those without a value are left out."""
    none = {"low": None, "high": None, "note": "not told"}
    return {
        label: {"value": value, "interval": none}
        for label, value in values.items()
        if value is not None
    }


def candidates(draft: Draft) -> tuple[BenchmarkCandidate, ...]:
    """The candidates of a document. Raises PartError for what cannot stand in one."""
    made = []
    for place, one in enumerate(draft.candidates):
        cells = tuple(
            _cell(draft, cell, f"{place + 1}-{number + 1}-{_slug(cell.workload)}")
            for number, cell in enumerate(one.cells)
        )
        notes = [f"Measured by {draft.named}, not by minionbench.", *one.notes]
        made.append(
            BenchmarkCandidate(
                version=one.model,
                model_path=one.model_path,
                quantization=one.quantization,
                file_size_mb=one.file_size_mb,
                parameter_count=one.parameter_count,
                metrics=registry_metrics(
                    MetricResult.skipped(
                        f"{draft.tool} measured other workloads than the registry benchmark"
                    )
                )
                | dict.fromkeys(
                    ("peak_ram_mb", "peak_vram_mb"),
                    MetricResult.skipped(f"{draft.tool} does not tell the engine's memory"),
                ),
                factors=_factors(one),
                cells=cells,
                notes=tuple(dict.fromkeys(notes)),
            )
        )
    return tuple(made)


def _factors(one: DraftCandidate) -> Factors | None:
    """Where the model ran; None where the file does not say."""
    where = one.deployment or deployment_of(one.url)
    if where is None:
        return None
    return Factors(
        deployment=where,
        model=one.model,
        engine=one.engine,
        quantization=one.quantization,
        flags={**kept(one.flags), **({"base_url": one.url} if one.url else {})},
    )


def deployment_of(url: str | None) -> Literal["local", "remote"] | None:
    """Whether a server was on the machine that asked it; None where no address is told."""
    if url is None:
        return None
    try:
        host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
    except ValueError:
        return None
    if not host:
        return None
    local = host in ("localhost", "::1", "0.0.0.0") or host.startswith("127.")
    return "local" if local else "remote"


def _cell(draft: Draft, cell: DraftCell, cell_id: str) -> CellResult:
    means = {name: f.statistic for name, f in cell.figures.items() if f.statistic == "mean"}
    flags: dict[str, Any] = {MEASURED_BY: draft.tool}
    if means:
        # A condition: a mean is never held against a median.
        flags["statistic"] = means
    return CellResult(
        cell_id=cell_id,
        workload=WorkloadDocument(
            name=cell.workload,
            version=0,
            source=cell.source,
            seed=cell.seed or 0,
            items=cell.items,
        ),
        load=cell.load,
        repeats=1,
        settings={
            **cell.settings,
            "flags": flags,
            "tool_version": draft.version,
            **({} if cell.seed is not None else {"seed_told": False}),
            IMPORTED: kept(cell.stated),
        },
        metrics={name: _metric(name, draft, cell) for name in _names(cell)},
        verdict=_verdict(draft, cell),
    )


def _names(cell: DraftCell) -> list[str]:
    there = (*OF_A_CELL, *cell.figures, *cell.missing)
    return [name for name in METRICS if name in there]


def _metric(name: str, draft: Draft, cell: DraftCell) -> MetricResult:
    unit = METRICS[name].unit
    figure = cell.figures.get(name)
    if figure is None:
        why = cell.missing.get(name)
        if why is None and cell.broken is not None:
            return MetricResult.error(cell.broken, unit=unit, **_counts(name, cell))
        why = why or f"the file of {draft.tool} does not tell it"
        return MetricResult.skipped(why, unit=unit)
    about = {
        "unit": unit,
        "statistic": figure.statistic,
        "stated_as": figure.stated_as,
        "stated_by": draft.named,
        **({} if figure.n is None else {"n": figure.n}),
        **_counts(name, cell),
        **kept(dict(figure.more)),
    }
    return MetricResult.ok(figure.value, **about)


def _counts(name: str, cell: DraftCell) -> dict[str, int]:
    if cell.requests is None or name == "accuracy_pct":
        return {}
    return {"requests": cell.requests, **({} if cell.failed is None else {"failed": cell.failed})}


def _verdict(draft: Draft, cell: DraftCell) -> VerdictDocument:
    reasons = [
        ReasonDocument(
            rule="imported",
            severity="suspect",
            measured=None,
            limit=None,
            unit=None,
            message=f"The figures are those of {draft.named}: how late and how busy it was itself "
            "is not known, and no rule of validity could be checked.",
            advice="Measure with `minionbench run` what matters.",
        )
    ]
    if cell.requests and cell.failed:
        share = cell.failed / cell.requests
        reasons.append(
            ReasonDocument(
                rule="failures",
                severity="suspect",
                measured=100 * share,
                limit=100 * ALLOWED_FAILED_SHARE,
                unit="%",
                message=f"{cell.failed} of {cell.requests} requests failed, and {draft.tool} "
                "leaves them out of its figures, which makes them better than they are.",
                advice="Find out why they failed before you believe the figures.",
            )
        )
    return VerdictDocument(status="suspect", reasons=tuple(reasons))


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "cell"


def closed(concurrency: int) -> LoadDocument:
    """So many streams, each asking again when it was answered."""
    return LoadDocument(kind="closed", concurrency=max(1, concurrency))


def all_at_once(requests: int) -> LoadDocument:
    """Every request sent at the beginning: as many streams as there are requests."""
    return closed(requests)


def rest(value: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """The fields that have no name here."""
    return {name: inner for name, inner in value.items() if name not in known}
