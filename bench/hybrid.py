"""What a hybrid protocol costs beside its models, and whether wide job lists keep slots busy.

    python -m bench.hybrid [--requests 20] [--check]

A child process is the simulator; it plays both sides, with answers known beforehand. This process
runs MinionS against it: one round, 64 jobs, a local side of 4 slots.

* `overhead`: for each call on the critical path, the time from the end of what it waited for to
  its first byte sent, waiting for a slot left out: reading replies, deciding, writing requests.
* `slots`: while jobs are queued, the share of the slots that have a call under way.
* `preparing`: CPU of chunking a document of 120,000 tokens and of its BM25 index with one query.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.machine import describe_machine
from bench.simulator import simulator
from minionbench.bm25 import Bm25
from minionbench.clock import process_cpu_ns
from minionbench.exchange import Endpoint, Limits, Message, Request, Side
from minionbench.load import ClosedLoop
from minionbench.metrics.protocol import critical_calls, time_split
from minionbench.protocols.chunking import Chunking, chunks
from minionbench.protocols.minions import MinionS
from minionbench.records import RequestRecord
from minionbench.runner import Phased, Runner, StopSwitch
from minionbench.stats import median, quantile
from minionbench.transport.loop import Transport
from minionbench.units import NS_PER_MS, seconds
from minionbench.workloads.builtin import Prefill

JOBS = 64
SLOTS = 4
CHUNK_CHARACTERS = 400
LONG_TOKENS = 120_000
TARGET_OVERHEAD_MS = 5.0
TARGET_BUSY = 0.95
TARGET_PREPARING_S = 0.3

QUESTION = "What is the number of the day?"
RULES: list[dict[str, Any]] = [
    {"match": "what is easily mistaken for it", "answer": "Look for a number."},
    {
        "match": "The document is cut into",
        "answer": {
            "tasks": [{"task": "Which number is named?", "advice": None, "chunks": {"kind": "all"}}]
        },
    },
    {
        "match": r"(?s)^Chunk:\n.*the number of the day is (\d+)",
        "expand": True,
        "answer": r'{"explanation": "it says so", "citation": null, "answer": "\1"}',
    },
    {
        "match": r"^Chunk:\n",
        "answer": {"explanation": "not here", "citation": None, "answer": None},
    },
    {
        "match": r"(?s)- chunk \d+: (\d+).*no further round",
        "expand": True,
        "answer": r'{"explanation": "one", "decision": "provide_final_answer", "answer": "\1"}',
    },
]
"""What both models of the simulator say."""


def request(index: int, jobs: int = JOBS) -> Request:
    """A document of so many chunks, one of which tells the number."""
    lines = [f"Line {line} of day {index}, in which nothing was counted. " for line in range(jobs)]
    lines[jobs // 2] = f"In this line the number of the day is {1_000 + index}. "
    document = "".join(line.ljust(CHUNK_CHARACTERS - 1, ".") + "\n" for line in lines)
    return Request(
        item_id=f"hybrid/{index}",
        messages=(Message("user", f"{document}\n\n{QUESTION}"),),
        limits=Limits(max_output_tokens=64),
        source="bench",
        input_tokens=len(document) // 3,
        document=document,
        question=QUESTION,
    )


def run(port: int, requests: int) -> list[RequestRecord]:
    """Runs the requests one after the other; one more warms up."""
    url = f"http://127.0.0.1:{port}/v1"
    endpoints: dict[Side, Endpoint] = {
        "local": Endpoint(url, "simulated", slots=SLOTS),
        "remote": Endpoint(url, "simulated", visible_ends=True),
    }
    protocol = MinionS(
        max_rounds=1, chunking=Chunking("characters", CHUNK_CHARACTERS), most_jobs=JOBS
    )
    kept: list[RequestRecord] = []
    with Transport() as transport:
        runner = Runner(protocol, endpoints, transport, kept, stop=StopSwitch())
        for phase, asked in (("warmup", [0]), ("measured", range(1, requests + 1))):
            runner.run(
                Phased(
                    cell="hybrid",
                    phase="warmup" if phase == "warmup" else "measured",
                    repeat=0,
                    requests=tuple((index, request(index)) for index in asked),
                    load=ClosedLoop(),
                )
            )
    return [record for record in kept if record.phase == "measured"]


def lags_ms(records: Sequence[RequestRecord]) -> list[float]:
    """Of each call on the critical path, the harness's part before it was sent."""
    return [
        (call.reply.sent_ns - call.reply.admitted_ns) / NS_PER_MS
        for record in records
        for call in critical_calls(record)
        if call.reply.sent_ns is not None and call.reply.admitted_ns is not None
    ]


def busy_share(record: RequestRecord, slots: int = SLOTS) -> float | None:
    """Share of the slots that had a call under way while jobs of the request were queued.

    None where no job had to wait.
    """
    jobs = [call.reply for call in record.calls if call.job is not None]
    spans = [(r.sent_ns, r.end_ns) for r in jobs if r.sent_ns is not None and r.end_ns is not None]
    waited = [r.admitted_ns for r in jobs if r.admitted_ns is not None]
    start_ns, stop_ns = min(sent for sent, _ in spans), max(waited)
    if stop_ns <= start_ns:
        return None
    inside = sum(max(0, min(end, stop_ns) - max(sent, start_ns)) for sent, end in spans)
    return inside / (slots * (stop_ns - start_ns))


def preparing() -> dict[str, Any]:
    """CPU of cutting a long document and of finding the best chunks in it."""
    (long,) = Prefill(input_tokens=LONG_TOKENS).requests(1, 0)
    assert long.document is not None and long.question is not None
    spent = []
    for _ in range(5):
        start_ns = process_cpu_ns()
        found = chunks(long.document, Chunking())
        Bm25(found).top(long.question, 8)
        spent.append(seconds(process_cpu_ns() - start_ns))
    return {"tokens": long.input_tokens, "chunks": len(found), "cpu_s": median(spent)}


def measure(requests: int = 20) -> dict[str, Any]:
    """Measures all of it; the object that the command prints."""
    with tempfile.TemporaryDirectory() as folder:
        answers = Path(folder) / "answers.json"
        answers.write_text(json.dumps(RULES))
        with simulator("--answers", str(answers), "--ttft-ms", "40", "--itl-ms", "2") as server:
            records = run(server.port, requests)
    wrong = [r.item_id for r in records if r.answer != str(1_000 + int(r.item_id.split("/")[1]))]
    lags = lags_ms(records)
    busy = [share for record in records if (share := busy_share(record)) is not None]
    splits = [split for record in records if (split := time_split(record)) is not None]
    overhead = {
        "calls": len(lags),
        "lag_ms_p50": quantile(lags, 0.5),
        "lag_ms_p99": quantile(lags, 0.99),
        "harness_share": median(split.harness_s / split.total_s for split in splits),
    }
    ready = preparing()
    return {
        "machine": describe_machine(),
        "requests": len(records),
        "wrong_answers": wrong,
        "jobs": JOBS,
        "overhead": overhead,
        "slots": {"slots": SLOTS, "busy_p50": median(busy), "busy_min": min(busy)},
        "preparing": ready,
        "met": {
            "answers": not wrong,
            "overhead": overhead["lag_ms_p99"] <= TARGET_OVERHEAD_MS,
            "slots": median(busy) >= TARGET_BUSY,
            "preparing": ready["cpu_s"] <= TARGET_PREPARING_S,
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where `--check` is given and a target was missed."""
    parser = argparse.ArgumentParser(description="Measure a hybrid protocol's own share.")
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    options = parser.parse_args(arguments)
    result = measure(options.requests)
    print(json.dumps(result, indent=2))
    return 1 if options.check and not all(result["met"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
