"""What has changed since a model was last measured, by the intervals of both measurements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from minionbench.autobench.procedure import SELECTABLE, WORKLOADS_OF
from minionbench.errors import MinionbenchError
from minionbench.metrics.table import METRICS
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult, MetricResult

MOST_LOOKED_AT = 50
"""Earlier documents that are read in search of a model."""

State: TypeAlias = Literal["better", "worse", "within the intervals", "no interval"]

_QUALITY_WORKLOAD = {"cove_pass_rate": "cove", "retrieval_score": "retrieval"}


class Change(NamedTuple):
    """One metric then and now."""

    metric: str
    before: MetricResult
    now: MetricResult
    state: State
    """`better` and `worse` only where the two intervals do not meet: less is no difference."""

    @property
    def share(self) -> float | None:
        """Relative change: 0.1 is 10 % more; None where it began at 0."""
        if not self.before.value or self.now.value is None:
            return None
        return self.now.value / self.before.value - 1


class SinceLastTime(NamedTuple):
    """One model held against its last measurement."""

    version: str
    run_id: str | None
    """The run that it was last measured in; None when there is none that can be compared."""
    changes: tuple[Change, ...]
    why_not: str | None
    """Why nothing is compared; None where something is."""


def since_last_time(run: BenchmarkRun, runs_dir: Path) -> list[SinceLastTime]:
    """Holds each measured model of a run against its latest earlier measurement, if any.

    Only a measurement of the same file by the same engine on the same machine counts, and of its
    metrics only those that rest on the same items.
    """
    wanted = {
        candidate.version: candidate
        for candidate in run.candidates
        if any(metric.value is not None for metric in candidate.metrics.values())
    }
    found: dict[str, SinceLastTime] = {}
    differing: dict[str, str] = {}
    for earlier in _earlier_runs(run, runs_dir):
        for old in earlier.candidates:
            now = wanted.get(old.version)
            if now is None or old.version in found:
                continue
            if all(metric.value is None for metric in old.metrics.values()):
                continue
            differs = _difference(earlier, old, run, now)
            if differs is not None:
                differing.setdefault(old.version, f"{differs} in {earlier.metadata.run_id}")
                continue
            changes = tuple(_changes(old, now))
            if changes:
                name = earlier.metadata.run_id
                found[old.version] = SinceLastTime(old.version, name, changes, None)
            else:
                reason = f"other items were asked in {earlier.metadata.run_id}"
                differing.setdefault(old.version, reason)
        if len(found) == len(wanted):
            break
    nothing = "it was not measured before"
    return [
        found.get(version) or SinceLastTime(version, None, (), differing.get(version, nothing))
        for version in wanted
    ]


def _earlier_runs(run: BenchmarkRun, runs_dir: Path) -> Iterator[BenchmarkRun]:
    """The documents before this one, the latest first; those that are no valid ones left out."""
    names = sorted((path.name for path in runs_dir.glob("benchmark_*.json")), reverse=True)
    earlier = [name for name in names if name < f"{run.metadata.run_id}.json"]
    for name in earlier[:MOST_LOOKED_AT]:
        try:
            document = BenchmarkRun.load(runs_dir / name)
        except MinionbenchError:
            continue
        if not document.metadata.dry_run:
            yield document


def _difference(
    earlier: BenchmarkRun, old: BenchmarkCandidate, run: BenchmarkRun, now: BenchmarkCandidate
) -> str | None:
    """What makes two measurements of a version two things; None when nothing does."""
    if old.file_size_mb != now.file_size_mb or old.parameter_count != now.parameter_count:
        return "the file was another one"
    engines = [c.factors.engine if c.factors else None for c in (old, now)]
    if engines[0] != engines[1]:
        return f"the engine was {engines[0]}"
    flags = [c.factors.flags if c.factors else {} for c in (old, now)]
    for flag in ("threads", "context_tokens", "gpu_layers"):
        if flags[0].get(flag) != flags[1].get(flag):
            return f"{flag} was {flags[0].get(flag)}"
    machines = [(r.system_info.hostname, r.system_info.cpu_info) for r in (earlier, run)]
    if machines[0] != machines[1]:
        return "the machine was another one"
    return None


def _changes(old: BenchmarkCandidate, now: BenchmarkCandidate) -> Iterator[Change]:
    for name in SELECTABLE:
        before, after = old.metrics.get(name), now.metrics.get(name)
        if before is None or after is None or before.value is None or after.value is None:
            continue
        if _items(name, before, old.cells) == _items(name, after, now.cells):
            yield Change(name, before, after, _state(name, before, after))


def _items(metric: str, result: MetricResult, cells: Sequence[CellResult]) -> Any:
    """What a metric rests on: the items of its cell and how they were asked, or, where it has no
    cell, what its metadata says of them."""
    workloads = WORKLOADS_OF.get(metric, (_QUALITY_WORKLOAD.get(metric, metric),))
    if metric.startswith("peak_"):
        workloads = tuple(cell.workload.name for cell in cells)
    own = sorted(
        (cell.workload.encoded(), cell.load.encoded(), str(cell.settings))
        for cell in cells
        if cell.workload.name in workloads
    )
    if own:
        return own, str(result.metadata.get("settings"))
    return [str(result.metadata.get(key)) for key in ("tokens", "corpus", "settings", "n")]


def _state(name: str, before: MetricResult, now: MetricResult) -> State:
    old, new = (metric.metadata.get("interval") or {} for metric in (before, now))
    ends = [bounds.get(end) for bounds in (old, new) for end in ("low", "high")]
    known = [float(end) for end in ends if end is not None]
    if len(known) < len(ends):
        return "no interval"
    lower, higher = known[3] < known[0], known[2] > known[1]
    if not lower and not higher:
        return "within the intervals"
    return "better" if lower == (METRICS[name].better == "lower") else "worse"
