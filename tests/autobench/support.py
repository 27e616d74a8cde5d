"""Registries of tiny models, and procedures that take them no time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minionbench.autobench import AutobenchOutcome, Procedure, run_autobench
from minionbench.measuring import Silent
from minionbench.records import RequestRecord
from minionbench.schema import BenchmarkCandidate
from minionbench.store import read_journal

QUICK = Procedure(metrics=("latency_ms",), num_requests=2, warmup=1, repeats=2)
"""Six requests to each model."""


def registry(folder: Path, *entries: object) -> Path:
    """A registry of these entries."""
    path = folder / "registry.json"
    path.write_text(json.dumps(entries))
    return path


def entry(version: str, path: Path | str, **fields: Any) -> dict[str, Any]:
    return {"version": version, "model_path": str(path)} | fields


def measured(
    registry: Path | None, folder: Path, procedure: Procedure = QUICK, **options: Any
) -> AutobenchOutcome:
    return run_autobench(registry, folder / "runs", procedure=procedure, argv=["test"], **options)


def by_version(outcome: AutobenchOutcome) -> dict[str, BenchmarkCandidate]:
    return {candidate.version: candidate for candidate in outcome.run.candidates}


def statuses(candidate: BenchmarkCandidate) -> set[str]:
    return {str(metric.status) for metric in candidate.metrics.values()}


def why(candidate: BenchmarkCandidate, metric: str = "latency_ms") -> str:
    """Why a metric has no value."""
    found = candidate.metrics[metric]
    return found.error_message or str(found.metadata.get("reason"))


class Acting(Silent):
    """Does something once, when so many measured requests have ended."""

    def __init__(self, after: int, act: Any) -> None:
        self.left = after
        self.act = act

    def record(self, record: RequestRecord) -> None:
        if record.phase == "measured":
            self.left -= 1
            if self.left == 0:
                self.act()


def kept(folder: Path, run_id: str) -> list[RequestRecord]:
    """The measured records of a run, those cut off by an interruption left out."""
    path = folder / "runs" / "data" / run_id / "records.jsonl"
    return [
        record
        for record in read_journal(path)
        if record.phase == "measured" and record.outcome.value != "cut"
    ]


def times_measured(records: Iterable[RequestRecord]) -> Counter[tuple[str, int]]:
    """How often each request of each cell stands in a journal."""
    return Counter((record.cell, record.index) for record in records)
