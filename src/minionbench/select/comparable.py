"""Whether values may be held against each other: measured in the same way, over the same items."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from minionbench.errors import NotComparable
from minionbench.schema import BenchmarkCandidate
from minionbench.select.contest import Contest, Option
from minionbench.select.criteria import Gate
from minionbench.select.place import Place

_LARGEST_OF_CELLS = frozenset({"peak_ram_mb", "peak_vram_mb"})
"""Metrics whose `workload` says only where the largest value was seen."""

Loads: TypeAlias = dict[str, set[bytes]]
"""By workload the loads, as JSON, under which any candidate was measured."""


def require_comparable(
    options: Sequence[Option], asked: Mapping[str, tuple[str, Place | None]]
) -> None:
    """Refuses values that were measured in different ways, where the document says so."""
    for name, (metric_name, place) in asked.items():
        ways: dict[str, str] = {}
        for option in options:
            metric = option.metric(metric_name, place)
            if metric is None or metric.value is None:
                continue
            ways.setdefault(_way(metric_name, metric.metadata), option.name)
        if len(ways) > 1:
            shown = "; ".join(f"{version}: {way}" for way, version in sorted(ways.items()))
            raise NotComparable(
                f"{name} was not measured in the same way for all candidates, so that they cannot "
                f"be held against each other. {shown}. Measure them in one run, or give {name} no "
                "weight and no gate."
            )


def loads_of(
    candidates: Sequence[BenchmarkCandidate], gates: Sequence[Gate], held: Contest
) -> Loads:
    """The loads under which any candidate was measured, by the workloads that are asked for.

    Raises NotComparable when a workload's items are not the same for all.
    """
    loads: Loads = {}
    asked = {gate.workload for gate in gates} | {place.workload for place in held.at(None)}
    for workload in asked - {None}:
        cells = [
            (candidate.version, cell)
            for candidate in candidates
            for cell in candidate.cells
            if cell.workload.name == workload
        ]
        items: dict[bytes, str] = {}
        for version, cell in cells:
            items.setdefault(cell.workload.encoded(), version)
        if len(items) > 1:
            raise NotComparable(
                f"{workload} had other items for some candidates than for others "
                f"({', '.join(sorted(items.values()))}), so that they cannot be held against "
                "each other there. Measure them in one run."
            )
        assert workload is not None
        loads[workload] = {cell.load.encoded() for _, cell in cells}
    return loads


def _way(name: str, metadata: Mapping[str, Any]) -> str:
    """How a value was measured, as far as its metadata says."""
    keys = ["corpus", "settings", "tokens"]
    if name not in _LARGEST_OF_CELLS:
        keys.append("workload")
    said = {key: metadata[key] for key in keys if metadata.get(key) is not None}
    if isinstance(tokens := said.get("tokens"), dict):
        del said["tokens"]
        # How many there were is what each model answered, not how they were counted.
        counting = {key: tokens[key] for key in ("by", "counted") if tokens.get(key) is not None}
        said |= {"tokens": counting} if counting else {}
    return json.dumps(said, sort_keys=True)
