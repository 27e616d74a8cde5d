"""The metrics of a candidate: what its cells say about it, as the registry benchmark asks.

`latency_ms` is the median total latency of Balanced, `tokens_per_sec` the median decode rate of
Decode, both of the cell with one stream and a cold prefix; a candidate with a single cell has
that cell's, whatever its workload, and `metadata` names it. Memory is the largest of all cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from minionbench.metrics.value import MetricValue, rescaled, skipped
from minionbench.names import REGISTRY_METRICS
from minionbench.units import MS_PER_S


class CellSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate's metrics need to know of a cell."""

    workload: str
    """The workload's name: `prefill`, `balanced`, `decode` or a data set's."""
    streams: int | None
    """Streams of a closed loop; None for another load."""
    cold: bool | None
    """Whether the prefix cache was kept cold; None where that is not known."""
    metrics: Mapping[str, MetricValue]


_DERIVED = {
    # name: (cell metric, workload, factor)
    "latency_ms": ("total_latency_s", "balanced", float(MS_PER_S)),
    "tokens_per_sec": ("tokens_per_sec", "decode", 1.0),
}

_LARGEST = ("peak_ram_mb", "peak_vram_mb")

_NOT_MEASURED = {
    "peak_ram_mb": "the memory of the engine was not measured",
    "peak_vram_mb": "no accelerator memory was measured",
    "cove_pass_rate": "Chain-of-Verification was not run",
    "retrieval_score": "retrieval was not run",
}


def candidate_metrics(
    cells: Sequence[CellSummary], *, without_cells: str = "no cell was measured"
) -> dict[str, MetricValue]:
    """The metrics of a candidate from its cells.

    The six of the registry benchmark are always there. With a single cell the candidate also has
    all of the cell's own. `without_cells` is the reason given when there is none.
    """
    if not cells:
        return {name: skipped(name, without_cells) for name in REGISTRY_METRICS}
    metrics: dict[str, MetricValue] = {}
    for name in REGISTRY_METRICS:
        if name in _DERIVED:
            metrics[name] = _derived(name, cells)
        elif name in _LARGEST:
            metrics[name] = _largest(name, cells)
        else:
            metrics[name] = _only(name, cells)
    if len(cells) == 1:
        metrics |= {name: v for name, v in cells[0].metrics.items() if name not in metrics}
    return metrics


def _derived(name: str, cells: Sequence[CellSummary]) -> MetricValue:
    source, workload, factor = _DERIVED[name]
    if len(cells) == 1:
        chosen = cells[0]
    else:
        fitting = [
            cell
            for cell in cells
            if cell.workload == workload and cell.streams == 1 and cell.cold is not False
        ]
        asked = f"{workload} with one stream and a cold prefix"
        if not fitting:
            return skipped(name, f"no cell measured {asked}")
        if len(fitting) > 1:
            return skipped(name, f"{len(fitting)} cells measured {asked}; see each of them")
        chosen = fitting[0]
    value = chosen.metrics.get(source)
    if value is None:
        return skipped(name, f"the cell has no {source}", workload=chosen.workload)
    where = {"workload": chosen.workload, "streams": chosen.streams, "cold": chosen.cold}
    return rescaled(name, value, factor, **where)


def _largest(name: str, cells: Sequence[CellSummary]) -> MetricValue:
    """The largest of the cells' peaks.

    It is no workload's own: a peak counts from the engine's start, so that the cell which shows it
    first need not be the one that caused it.
    """
    values = [cell.metrics[name] for cell in cells if name in cell.metrics]
    known = [(value.value, value) for value in values if value.value is not None]
    if not known:
        # An error says more than a skip, and either more than that nothing was there.
        values.sort(key=lambda value: value.status != "error")
        return values[0] if values else skipped(name, _NOT_MEASURED[name])
    _, largest = max(known, key=lambda entry: entry[0])
    return rescaled(name, largest, 1.0, cells=len(known), of_cells=len(cells))


def _only(name: str, cells: Sequence[CellSummary]) -> MetricValue:
    values = [cell.metrics[name] for cell in cells if name in cell.metrics]
    if len(values) == 1:
        return values[0]
    if values:
        return skipped(name, f"{len(values)} cells measured it; see each of them")
    return skipped(name, _NOT_MEASURED[name])
