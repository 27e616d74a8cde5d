"""How many requests were good ones, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minionbench.schema import CellResult, MetricResult
from minionbench.units import MS_PER_S, significant

WORDS = {"ttft_s": "TTFT", "ttfo_s": "TTFO", "tpot_s": "TPOT", "latency_s": "latency"}


def goodput(cells: Sequence[CellResult]) -> str:
    """The attainment and the goodput of each cell; nothing where there was no objective."""
    known = [
        (cell, metric)
        for cell in cells
        if (metric := cell.metrics.get("slo_attainment_pct")) is not None
        and metric.value is not None
    ]
    if not known:
        return ""
    said = [f"{cell.workload.name} {_one(cell, metric)}" for cell, metric in known]
    return f"Good requests ({_objective(known[0][1].metadata)}): {'; '.join(said)}"


def _objective(about: Mapping[str, Any]) -> str:
    limits = ", ".join(
        f"{WORDS.get(name, name)} ≤ {MS_PER_S * limit:g} ms"
        for name, limit in about["objective"].items()
    )
    return f"{limits}, {about['clock']}"


def _one(cell: CellResult, attainment: MetricResult) -> str:
    bounds = attainment.metadata.get("interval") or {}
    said = f"{significant(attainment.value or 0.0)} %"
    if bounds.get("low") is not None and bounds.get("high") is not None:
        said += f" ({significant(bounds['low'])}–{significant(bounds['high'])})"
    rate = cell.metrics.get("goodput_per_sec")
    if rate is not None and rate.value is not None:
        said += f", {significant(rate.value)}/s"
    return said
