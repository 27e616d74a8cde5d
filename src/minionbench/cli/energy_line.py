"""What the device took while the requests ran, in words."""

from __future__ import annotations

from collections.abc import Sequence

from minionbench.cli.text import printable
from minionbench.schema import CellResult, MetricResult
from minionbench.units import significant


def energy(cells: Sequence[CellResult]) -> str:
    """The energy of each cell with how sure it is, and of what; nothing where none is known."""
    known = [
        (cell, metric)
        for cell in cells
        if (metric := cell.metrics.get("energy_wh")) is not None and metric.value is not None
    ]
    if not known:
        return ""
    about = known[0][1].metadata
    device = ", ".join(printable(str(part)) for part in about.get("device", ()))
    said = [f"{cell.workload.name} {_one(cell, metric)}" for cell, metric in known]
    idle = known[0][0].metrics.get("idle_power_w")
    beside = f" Idle: {significant(idle.value)} W." if idle and idle.value is not None else ""
    return f"Energy of the device ({about.get('basis')}: {device}): {'; '.join(said)}.{beside}"


def _one(cell: CellResult, metric: MetricResult) -> str:
    value = significant(metric.value or 0.0)
    uncertainty = metric.metadata.get("uncertainty")
    # Samples of power that are all alike say nothing of what lay between them.
    if isinstance(uncertainty, int | float) and uncertainty > 0:
        value += f" ± {significant(float(uncertainty), 2)}"
    token = cell.metrics.get("energy_j_per_token")
    if token is None or token.value is None:
        return f"{value} Wh"
    return f"{value} Wh, {significant(token.value)} J per token"
