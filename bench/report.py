"""What a report of a large run costs: its time, and its size.

    python -m bench.report [--requests N] [--check]

A run of 100,000 requests is generated, three workloads under four loads, every answer with 16
tokens; a few requests fail. `minionbench report` makes a page of it in a process of its own, as a
user would. Time is wall time and CPU time of that process, from exec to exit, the median of a few.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from bench.machine import describe_machine
from bench.startup import run_process
from minionbench.exchange import Arrival, Failure, Outcome, Reply, Usage
from minionbench.metrics.cell import cell_metrics
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
from minionbench.units import NS_PER_MS, NS_PER_S

REQUESTS = 100_000
REPEATS = 3
TARGET_S = 10.0
TARGET_MB = 8.0
RUN_ID = "benchmark_20260101_000000"
WORKLOADS = ("prefill", "balanced", "decode")
STREAMS = (1, 4, 16, 64)
TOKENS = 16
FAILED = 0.002
"""Share of requests that fail."""


def _reply(draw: random.Random, at_ns: int, streams: int) -> Reply:
    """An answer that takes the longer, the more streams there are."""
    sent = at_ns + int(draw.expovariate(1 / 50_000))
    if draw.random() < FAILED:
        return Reply(
            outcome=Outcome.HTTP_ERROR,
            failure=Failure(message="HTTP 503: overloaded", http_status=503),
            planned_ns=at_ns,
            admitted_ns=at_ns,
            sent_ns=sent,
            sent_end_ns=sent,
            end_ns=sent + NS_PER_MS,
        )
    first = sent + int(draw.lognormvariate(0, 0.3) * 40 * NS_PER_MS * (1 + streams / 8))
    gap = int(draw.lognormvariate(0, 0.1) * 5 * NS_PER_MS)
    events = tuple(first + gap * k for k in range(TOKENS))
    return Reply(
        outcome=Outcome.OK,
        text="It is forty-two, and this is why. " * 4,
        usage=Usage(completion_tokens=TOKENS, prompt_tokens=300),
        planned_ns=at_ns,
        admitted_ns=at_ns,
        sent_ns=sent,
        sent_end_ns=sent + 20_000,
        first_event_ns=first,
        first_visible_ns=first,
        event_ns=events,
        end_ns=events[-1] + 30_000,
        arrival=Arrival(
            reads=TOKENS,
            kernel_reads=TOKENS,
            merged_events=0,
            first_merged=False,
            lateness_max_ns=10_000,
        ),
    )


def _records(cell: str, streams: int, count: int, seed: int) -> Iterator[RequestRecord]:
    """The requests of one cell: so many streams, each asking again when it was answered."""
    draw = random.Random(seed)
    free = [NS_PER_S] * streams
    for index in range(count):
        stream = min(range(streams), key=free.__getitem__)
        reply = _reply(draw, free[stream], streams)
        assert reply.end_ns is not None
        free[stream] = reply.end_ns
        ok = reply.outcome is Outcome.OK
        yield RequestRecord(
            cell=cell,
            index=index,
            item_id=f"item-{index % 500}",
            phase="measured",
            repeat=0,
            planned_ns=reply.planned_ns,
            outcome=reply.outcome,
            failure=reply.failure,
            calls=(
                CallRecord(
                    side="local",
                    role="assistant",
                    round=0,
                    job=None,
                    prompt=(("user", f"Question {index}: what is it? " * 8),),
                    reply=reply,
                ),
            ),
            answer=reply.text,
            answer_call=0 if ok else None,
            input_tokens=300,
        )


def write_run(folder: Path, requests: int = REQUESTS) -> Path:
    """Writes a document of so many requests with its records; returns the document's path."""
    records = folder / "data" / RUN_ID / "records.jsonl"
    records.parent.mkdir(parents=True)
    digest = hashlib.sha256()
    measured: list[tuple[str, str, int, int, dict[str, MetricResult]]] = []
    places = [(workload, streams) for workload in WORKLOADS for streams in STREAMS]
    with records.open("wb") as file:
        for number, (workload, streams) in enumerate(places):
            count = requests // len(places) + (number < requests % len(places))
            cell = f"{workload}.c{streams}"
            made = list(_records(cell, streams, count, number))
            for record in made:
                line = encode_record(record)
                digest.update(line)
                file.write(line)
            values = cell_metrics(made, streams=streams)
            metrics = {
                name: msgspec.convert(msgspec.to_builtins(value), MetricResult)
                for name, value in values.items()
            }
            measured.append((cell, workload, streams, count, metrics))
    reference = f"data/{RUN_ID}/records.jsonl"
    cells = tuple(
        CellResult(
            cell_id=cell,
            workload=WorkloadDocument(
                name=workload, version=1, source=f"builtin:{workload}@1", seed=0, items=500
            ),
            load=LoadDocument(kind="closed", concurrency=streams),
            repeats=1,
            metrics=metrics,
            verdict=VerdictDocument(status="valid"),
            records=RecordsReference(path=reference, sha256=digest.hexdigest(), rows=count),
        )
        for cell, workload, streams, count, metrics in measured
    )
    candidate = BenchmarkCandidate(
        version="generated",
        metrics=registry_metrics(MetricResult.skipped("nothing was measured")),
        factors=Factors(deployment="local", model="generated"),
        cells=cells,
    )
    run = BenchmarkRun(
        metadata=RunMetadata(
            run_id=RUN_ID, timestamp="2026-01-01T00:00:00+00:00", command_line="", dry_run=False
        ),
        system_info=SystemInfo(),
        candidates=(candidate,),
    )
    path = folder / f"{RUN_ID}.json"
    run.save(path)
    return path


def measure(requests: int = REQUESTS, repeats: int = REPEATS) -> dict[str, Any]:
    """Measures time and size; the object that the command prints."""
    program = str(Path(sys.executable).with_name("minionbench"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        document = write_run(folder, requests)
        page = folder / "report.html"
        times: list[tuple[float, float]] = []
        for _ in range(repeats):
            start_s = perf_counter()
            cpu_s, _ = run_process([program, "report", str(document), "-o", str(page)])
            times.append((perf_counter() - start_s, cpu_s))
        wall_s, cpu_s = sorted(times)[repeats // 2]
        page_mb = page.stat().st_size / 2**20
        records_mb = (folder / "data" / RUN_ID / "records.jsonl").stat().st_size / 2**20
    return {
        "machine": describe_machine(),
        "requests": requests,
        "records_mb": records_mb,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "page_mb": page_mb,
        "met": {"wall_s": wall_s <= TARGET_S, "page_mb": page_mb <= TARGET_MB},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where `--check` is given and a target was missed."""
    parser = argparse.ArgumentParser(description="Measure what a report of a large run costs.")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    options = parser.parse_args(arguments)
    result = measure(options.requests)
    print(json.dumps(result, indent=2))
    return 1 if options.check and not all(result["met"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
