"""What a candidate's requests cost, and what energy they took elsewhere, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minionbench.cli.text import printable
from minionbench.prices.limit import dollars
from minionbench.units import significant

if TYPE_CHECKING:
    from minionbench.schema import CellResult, MetricResult

FIGURES = (
    ("cost_usd", "per request"),
    ("cost_usd_per_million_tokens", "per million tokens"),
    ("cost_usd_per_correct", "per right answer"),
)
ELECTRICITY = (
    ("electricity_cost_usd", "per request"),
    ("electricity_cost_usd_per_million_tokens", "per million tokens"),
)


def costs(cells: Sequence[CellResult]) -> str:
    """What the remote model charges and the electricity costs; nothing where nothing is known."""
    said = []
    charged = [f"{cell.workload.name} {shown}" for cell in cells if (shown := _amounts(cell))]
    if charged:
        said.append(f"Cost{_source(cells)}: {'; '.join(charged)}.")
    paid = [
        f"{cell.workload.name} {shown}" for cell in cells if (shown := _amounts(cell, ELECTRICITY))
    ]
    if paid:
        said.append(f"Electricity here: {'; '.join(paid)}.")
    modelled = [f"{cell.workload.name} {shown}" for cell in cells if (shown := _elsewhere(cell))]
    if modelled:
        said.append(f"Energy at the provider, modelled: {'; '.join(modelled)}.")
    return " ".join(said)


def _amounts(cell: CellResult, figures: Sequence[tuple[str, str]] = FIGURES) -> str:
    known = [(value, per) for name, per in figures if (value := _value(cell, name)) is not None]
    return ", ".join(f"{dollars(value)} {per}" for value, per in known)


def _value(cell: CellResult, name: str) -> float | None:
    metric = cell.metrics.get(name)
    return None if metric is None else metric.value


def _source(cells: Sequence[CellResult]) -> str:
    """By which prices, where all cells have the same."""
    sources = {source for cell in cells if (source := _prices(cell.metrics.get("cost_usd")))}
    return f" by {sources.pop()}" if len(sources) == 1 else ""


def _prices(metric: MetricResult | None) -> str:
    about = {} if metric is None else metric.metadata.get("price_source", {})
    parts = [printable(str(about[key])) for key in ("name", "version") if about.get(key)]
    return " ".join(parts)


def _elsewhere(cell: CellResult) -> str:
    metric = cell.metrics.get("remote_energy_wh_per_request")
    about = {} if metric is None else metric.metadata.get("range", {})
    low, high = about.get("low"), about.get("high")
    if low is None or high is None:
        return ""
    return f"{significant(low)} to {significant(high)} Wh per request"
