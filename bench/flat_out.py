"""What minionbench's client costs when answers come as fast as they can be read.

The ground-truth server writes 16 tokens at a time without a pause, over 64 connections; the CPU
time of minionbench's own path (runner, transport, OpenAI dialect, journal) is held against that of
the C reference client's loop, which asks the same in the same minute. Pairs are interleaved; the
median of the pairs' ratios counts.

    python -m bench.flat_out            # a minute; prints one JSON object
    python -m bench.flat_out --check    # exit code 1 where the target was missed
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.accuracy import Client, Load, run_minionbench, run_reference_client
from bench.ground_truth import GroundTruthServer, TrueRequest, ground_truth_server
from bench.machine import describe_machine
from minionbench.stats import median

TOKENS_PER_WRITE = 16
CPU_RATIO_TARGET = 8.0
FLAT_OUT = Load(
    connections=64,
    requests=1_024,
    pairs=5,
    ttft_p50_target_ms=float("inf"),
    ttft_p99_target_ms=float("inf"),
    cpu_ratio_target=CPU_RATIO_TARGET,
    tokens=512,
)


def figures(client: Client, log: Sequence[TrueRequest]) -> dict[str, Any]:
    """What one run took, and whether it counted every token that was written."""
    written = sum(request.tokens_written for request in log)
    counted = sum(count or 0 for count in client.counted_tokens.values())
    start_ns = min(request.arrival_ns for request in log)
    end_ns = max(request.end_ns or request.arrival_ns for request in log)
    return {
        "requests": len(log),
        "failures": len(client.failures),
        "first_failure": client.failures[0] if client.failures else None,
        "tokens_written": written,
        "tokens_exact": counted == written and not client.failures,
        "tokens_per_read": written / client.reads if client.reads else None,
        "tokens_per_s": written / ((end_ns - start_ns) / 1e9),
        "cpu_s": client.cpu_s,
        "cpu_us_per_token": client.cpu_s * 1e6 / written,
    }


def measure_load(server: GroundTruthServer, load: Load = FLAT_OUT) -> dict[str, Any]:
    """Runs both clients in turn and judges the median of the ratios."""
    runs: dict[str, list[dict[str, Any]]] = {"minionbench": [], "reference_client": []}
    for pair in range(load.pairs):
        clients = [run_minionbench, run_reference_client]
        for run in clients if pair % 2 == 0 else reversed(clients):
            client = run(server, load)
            told = figures(client, server.dump())
            runs[client.name].append(told)
            print(
                f"C={load.connections} {client.name}: {told['cpu_us_per_token']:.3f} µs of CPU "
                f"per token, {told['tokens_per_s']:,.0f} tokens/s",
                file=sys.stderr,
                flush=True,
            )
    ratios = [
        own["cpu_s"] / reference["cpu_s"]
        for own, reference in zip(runs["minionbench"], runs["reference_client"], strict=True)
    ]
    ratio = median(ratios)
    return {
        "connections": load.connections,
        "tokens_per_write": TOKENS_PER_WRITE,
        "runs": runs,
        "cpu_ratios": ratios,
        "cpu_ratio": ratio,
        "met": {
            "cpu_ratio": load.cpu_ratio_target is None or ratio <= load.cpu_ratio_target,
            "tokens_exact": all(run["tokens_exact"] for run in runs["minionbench"]),
        },
    }


def measure(load: Load = FLAT_OUT) -> dict[str, Any]:
    """Measures; the object that the command prints."""
    with ground_truth_server(
        ttft_ms=0, itl_ms=0, tokens=load.tokens, per_write=TOKENS_PER_WRITE
    ) as server:
        return {"machine": describe_machine(), **measure_load(server, load)}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where `--check` is given and the target was missed."""
    parser = argparse.ArgumentParser(description="Measure the client's CPU at full speed.")
    parser.add_argument("--check", action="store_true", help="exit 1 where the target is missed")
    parser.add_argument("--pairs", type=int, help="runs of each client, interleaved")
    options = parser.parse_args(arguments)
    load = FLAT_OUT if options.pairs is None else replace(FLAT_OUT, pairs=options.pairs)
    result = measure(load)
    print(json.dumps(result, indent=2))
    return 1 if options.check and not all(result["met"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
