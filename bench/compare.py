"""What it takes to compare two runs with 100,000 requests each.

    python -m bench.compare [--check] [--quick]

The runs are written by hand: 100,000 items, asked once, with 32 tokens each. The figure is the CPU
time of the whole command, as a user calls it, from its start to its end. Beside it stands that of
the longest runs whose items are still paired, for which all records are read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.machine import describe_machine
from minionbench.clock import monotonic_ns
from minionbench.compare.reading import MOST_PAIRED
from minionbench.exchange import Arrival, Outcome, Reply, Usage
from minionbench.records import CallRecord, RequestRecord, encode_record
from minionbench.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    CellResult,
    Factors,
    LoadDocument,
    MetricResult,
    RecordsReference,
    RunMetadata,
    SystemInfo,
    VerdictDocument,
    WorkloadDocument,
    registry_metrics,
)
from minionbench.stats import median
from minionbench.units import NS_PER_MS, seconds

REQUESTS = 100_000
TOKENS = 32
TARGET_CPU_S = 5.0


def write_run(folder: Path, run_id: str, requests: int, slower: float, seed: int) -> None:
    """A run whose answers take `slower` times as long as they should."""
    rng = random.Random(seed)
    path = folder / "data" / run_id / "records.jsonl"
    path.parent.mkdir(parents=True)
    digest = hashlib.sha256()
    now_ns = 0
    ttft, total = [], []
    with path.open("wb") as file:
        for index in range(requests):
            first_ns = round(50 * NS_PER_MS * slower * rng.lognormvariate(0, 0.1))
            gap_ns = round(5 * NS_PER_MS * slower * rng.lognormvariate(0, 0.05))
            events = tuple(now_ns + first_ns + gap_ns * k for k in range(TOKENS))
            line = encode_record(record(index, now_ns, events))
            digest.update(line)
            file.write(line)
            ttft.append(seconds(first_ns))
            total.append(seconds(events[-1] - now_ns))
            now_ns = events[-1]
    tpot = [(b - a) / (TOKENS - 1) for a, b in zip(ttft, total, strict=True)]
    values = {"ttft_s": median(ttft), "total_latency_s": median(total), "tpot_s": median(tpot)}
    cell = CellResult(
        cell_id="cell",
        workload=WorkloadDocument(
            name="decode", version=1, source="builtin:decode@1", seed=0, items=requests
        ),
        load=LoadDocument(kind="closed", concurrency=1),
        repeats=1,
        metrics={
            name: MetricResult.ok(value, unit="s", n=requests, requests=requests, failed=0)
            for name, value in values.items()
        },
        verdict=VerdictDocument(status="valid"),
        records=RecordsReference(
            path=f"data/{run_id}/records.jsonl", sha256=digest.hexdigest(), rows=requests
        ),
    )
    BenchmarkRun(
        metadata=RunMetadata(
            run_id=run_id,
            timestamp="2026-01-01T00:00:00+00:00",
            command_line="bench.compare",
            dry_run=False,
        ),
        system_info=SystemInfo(hostname="host"),
        candidates=(
            BenchmarkCandidate(
                version="v",
                metrics=registry_metrics(MetricResult.skipped("not measured")),
                factors=Factors(deployment="local", model="m", engine="e"),
                cells=(cell,),
            ),
        ),
    ).save(folder / f"{run_id}.json")


def record(index: int, sent_ns: int, events: tuple[int, ...]) -> RequestRecord:
    """An answered request of one call."""
    reply = Reply(
        outcome=Outcome.OK,
        usage=Usage(completion_tokens=len(events)),
        planned_ns=sent_ns,
        admitted_ns=sent_ns,
        sent_ns=sent_ns,
        sent_end_ns=sent_ns,
        first_event_ns=events[0],
        first_visible_ns=events[0],
        event_ns=events,
        end_ns=events[-1],
        arrival=Arrival(
            reads=len(events),
            kernel_reads=len(events),
            merged_events=0,
            first_merged=False,
            lateness_max_ns=0,
        ),
    )
    call = CallRecord(side="local", role="assistant", round=0, job=None, prompt=None, reply=reply)
    return RequestRecord(
        cell="cell",
        index=index,
        item_id=f"decode-{index}",
        phase="measured",
        repeat=0,
        planned_ns=sent_ns,
        outcome=Outcome.OK,
        calls=(call,),
        answer_call=0,
        input_tokens=100,
    )


def measure(requests: int = REQUESTS) -> dict[str, Any]:
    """Writes runs and compares them; the object that the command prints."""
    found = [compared(count) for count in (requests, min(requests, MOST_PAIRED))]
    return {
        "machine": describe_machine(),
        "compared": found,
        "met": all(one["cpu_s"] <= TARGET_CPU_S for one in found),
    }


def compared(requests: int) -> dict[str, Any]:
    """Writes two runs, compares them, and says what that took."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        runs = ["benchmark_20260101_000000", "benchmark_20260101_000001"]
        for number, run_id in enumerate(runs):
            write_run(folder, run_id, requests, 1 + 0.2 * number, seed=number)
        command = [sys.executable, "-m", "minionbench", "compare", "-o", scratch]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start_ns = monotonic_ns()
        done = subprocess.run(
            [*command, "--format", "json", *runs], capture_output=True, check=True
        )
        wall_s = seconds(monotonic_ns() - start_ns)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = json.loads(done.stdout)[0]["cells"][0]["metrics"]
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {
        "requests_of_each": requests,
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "change": {name: entry["change"] for name, entry in said.items()},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where `--check` is given and the target was missed."""
    parser = argparse.ArgumentParser(description="Time the comparison of two long runs.")
    parser.add_argument("--quick", action="store_true", help="few requests: not for the target")
    parser.add_argument("--check", action="store_true", help="exit 1 where the target is missed")
    options = parser.parse_args(arguments)
    result = measure(1_000 if options.quick else REQUESTS)
    print(json.dumps(result, indent=2))
    return 1 if options.check and not result["met"] else 0


if __name__ == "__main__":
    sys.exit(main())
