"""What asking 10,000 runs at once costs: seconds of whole processes, from exec to exit.

    python -m bench.history [--runs N] [--check]

The documents are generated: each has one candidate with three cells of fourteen metrics. `first`
is the first question ever, which reads every document; `again` the next one, and `after_a_run`
the one after another run has come. `trend` draws the courses of three metrics and looks for
changes. Medians over several processes, but of the first, which happens once.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from bench.machine import describe_machine
from minionbench.clock import monotonic_ns
from minionbench.metrics.table import METRICS
from minionbench.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    CellResult,
    Factors,
    LoadDocument,
    MetricResult,
    RunMetadata,
    SystemInfo,
    VerdictDocument,
    WorkloadDocument,
    registry_metrics,
)

RUNS = 10_000
REPEATS = 3
TARGET_S = 3.0
"""Of every question but the first."""
WORKLOADS = ("prefill", "balanced", "decode")
MEASURED = tuple(METRICS)[:14]
QUERY = (
    "SELECT c.workload, count(*), median(m.value) FROM metrics m JOIN cells c "
    "USING (run_id, candidate, cell_id) WHERE m.metric = 'ttft_s' GROUP BY 1 ORDER BY 1"
)


def write_runs(folder: Path, runs: int, *, first: int = 0, seed: int = 0) -> None:
    """Writes documents whose figures vary by a few percent; the last third is 20 % slower."""
    drawn = random.Random(seed)
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(first, first + runs):
        at = begun + timedelta(minutes=30 * number)
        slower = 1.2 if number > 2 * RUNS // 3 else 1.0
        run_id = f"benchmark_{at:%Y%m%d_%H%M%S}"
        cells = tuple(
            CellResult(
                cell_id=name,
                workload=WorkloadDocument(
                    name=name, version=1, source=f"builtin:{name}@1", seed=0, items=10
                ),
                load=LoadDocument(kind="closed", concurrency=1),
                repeats=3,
                settings={"temperature": 0.0},
                metrics={
                    metric: MetricResult.ok(
                        slower * drawn.gauss(1, 0.03),
                        unit=METRICS[metric].unit,
                        n=10,
                        interval={"low": 0.9, "high": 1.3, "level": 0.95},
                    )
                    for metric in MEASURED
                },
                verdict=VerdictDocument(status="valid"),
            )
            for name in WORKLOADS
        )
        BenchmarkRun(
            metadata=RunMetadata(
                run_id=run_id,
                timestamp=at.isoformat(),
                git_sha=f"{number:040x}",
                command_line="minionbench run",
                dry_run=False,
            ),
            system_info=SystemInfo(hostname="host"),
            candidates=(
                BenchmarkCandidate(
                    version="reference/q8_0",
                    metrics=registry_metrics(MetricResult.skipped("not part of it")),
                    factors=Factors(deployment="local", model="reference/q8_0"),
                    cells=cells,
                ),
            ),
        ).save(folder / f"{run_id}.json")


def seconds_of(*command: str) -> float:
    """Seconds that a `minionbench` command takes."""
    start_ns = monotonic_ns()
    subprocess.run(
        [sys.executable, "-m", "minionbench", "runs", *command],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return (monotonic_ns() - start_ns) / 1e9


def measure(runs: int = RUNS) -> dict[str, Any]:
    """Asks a folder of generated runs; seconds of each question, and which targets are met."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_runs(folder, runs)
        where = ("-o", name)
        figures = {"first_s": seconds_of("sql", QUERY, *where)}
        figures["again_s"] = median(seconds_of("sql", QUERY, *where) for _ in range(REPEATS))
        later = []
        for number in range(REPEATS):
            write_runs(folder, 1, first=runs + number)
            later.append(seconds_of("sql", QUERY, *where))
        figures["after_a_run_s"] = median(later)
        figures["trend_s"] = median(seconds_of("trend", *where) for _ in range(REPEATS))
    return {
        "machine": describe_machine(),
        "runs": runs,
        **figures,
        "target_s": TARGET_S,
        "met": {name: figures[name] <= TARGET_S for name in figures if name != "first_s"},
    }


def main() -> int:
    """Prints the figures as JSON; with --check, 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    flags = parser.parse_args()
    result = measure(flags.runs)
    print(json.dumps(result, indent=2))
    return 1 if flags.check and not all(result["met"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
