"""How wrong minionbench is, and what it costs: its own measured path against the true times.

The runner, transport, OpenAI dialect and journal, as `minionbench run` uses them, ask the
ground-truth server; each request's TTFT and gaps between tokens are held against the server's
log. The CPU time of the phase, reading and recording included, is held against the loop of the C
reference client, which asks the same in the same minute: pairs are interleaved, and the median of
the pairs' ratios counts. The C client's own error shows what the machine allowed just then.

    python -m bench.accuracy            # about five minutes; prints one JSON object
    python -m bench.accuracy --check    # exit code 1 where a target was missed

Errors are absolute differences in milliseconds. TTFT error = |client's (first token − sent) −
server's (first token's write − the request's arrival by the kernel)|; ITL error is that of each
gap between successive tokens.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

from bench.ground_truth import GroundTruthServer, TrueRequest, build, ground_truth_server
from bench.machine import describe_machine, stolen_cpu_s
from minionbench.deployments.single import Local
from minionbench.exchange import Endpoint, Limits, Message, Outcome, Request
from minionbench.load import ClosedLoop
from minionbench.records import Phase as RunPhase
from minionbench.records import RequestRecord
from minionbench.runner import Phased, Runner, StopSwitch
from minionbench.stats import median, quantile
from minionbench.store.journal import Journal
from minionbench.transport.loop import Transport
from minionbench.units import NS_PER_MS

TOKENS = 128
TTFT_MS = 50.0
ITL_MS = 10.0


@dataclass(frozen=True)
class Load:
    """One load under which the clients are measured, and what minionbench has to reach there."""

    connections: int
    requests: int
    pairs: int
    """Runs of each client, interleaved; the median of each figure counts."""
    ttft_p50_target_ms: float
    ttft_p99_target_ms: float
    cpu_ratio_target: float | None = None
    """Own CPU ÷ CPU of the C client's loop; None where it is not asked."""
    tokens: int = TOKENS
    """Tokens of each answer."""


SINGLE = Load(1, 100, 1, ttft_p50_target_ms=0.1, ttft_p99_target_ms=0.5)
MANY = Load(256, 1024, 3, ttft_p50_target_ms=0.05, ttft_p99_target_ms=0.2, cpu_ratio_target=2.2)


@dataclass
class Client:
    """What a client said of one run, request by request, before it is held against the log."""

    name: str
    cpu_s: float
    reads: int
    merged: int
    """Token-bearing events that shared a read with another, counted once per event beyond one."""
    kernel_reads: int
    failures: list[str] = field(default_factory=list)
    sent_ns: dict[int, int] = field(default_factory=dict)
    token_ns: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Both by the server's request id."""
    counted_tokens: dict[int, int | None] = field(default_factory=dict)
    """Tokens of the request by the client's own reckoning; None where it has none."""


def ask_requests(count: int, tokens: int = TOKENS) -> tuple[Request, ...]:
    """The requests, each a little different, as the reference client asks them too."""
    return tuple(
        Request(
            item_id=f"accuracy-{index}",
            messages=(Message("user", f"Please answer request number {index}."),),
            limits=Limits(max_output_tokens=tokens),
            source="bench",
            input_tokens=5,
        )
        for index in range(count)
    )


def _cpu_s() -> float:
    usage = getrusage(RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run_minionbench(server: GroundTruthServer, load: Load) -> Client:
    """Measures the load with minionbench's own path; the connections are open beforehand."""
    endpoint = Endpoint(server.base_url, "ground-truth")
    with tempfile.TemporaryDirectory() as folder, Transport() as transport:
        journal = Journal(Path(folder) / "records.jsonl", "records.jsonl")
        runner = Runner(
            Local("ground-truth/server"),
            {"local": endpoint},
            transport,
            journal,
            stop=StopSwitch(),
        )
        server.set(ttft_ms=200, itl_ms=0)  # all answers at once: every connection is opened
        runner.run(_phase("warmup", load.connections, load))
        server.reset()
        phase = _phase("measured", load.requests, load)
        start_s = _cpu_s()
        records, _ = runner.run(phase)
        cpu_s = _cpu_s() - start_s
        journal.close()
    return _client_of(records, cpu_s)


def _phase(phase: RunPhase, requests: int, load: Load) -> Phased:
    return Phased(
        cell="accuracy",
        phase=phase,
        repeat=0,
        requests=tuple(enumerate(ask_requests(requests, load.tokens))),
        load=ClosedLoop(concurrency=load.connections),
    )


def _client_of(records: Sequence[RequestRecord], cpu_s: float) -> Client:
    client = Client("minionbench", cpu_s, 0, 0, 0)
    for record in records:
        reply = record.calls[0].reply
        if reply.outcome is not Outcome.OK or reply.sent_ns is None or reply.arrival is None:
            why = reply.failure.message if reply.failure else "no arrival was recorded"
            client.failures.append(f"{reply.outcome}: {why}")
            continue
        number = int((reply.text or "r-1")[1:8])
        client.reads += reply.arrival.reads
        client.kernel_reads += reply.arrival.kernel_reads
        client.merged += reply.arrival.merged_events
        client.sent_ns[number] = reply.sent_ns
        client.token_ns[number] = reply.event_ns
        client.counted_tokens[number] = reply.usage.completion_tokens if reply.usage else None
    return client


def run_reference_client(server: GroundTruthServer, load: Load) -> Client:
    """Measures the load with the C reference client."""
    server.reset()
    with tempfile.TemporaryDirectory() as folder:
        stamps = Path(folder) / "stamps.jsonl"
        command = [str(build("reference_client")), "--stamps", str(stamps)]
        for name, value in (
            ("port", server.port),
            ("connections", load.connections),
            ("requests", load.requests),
            ("tokens", load.tokens),
        ):
            command += [f"--{name}", str(value)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        lines = [json.loads(line) for line in stamps.read_text().splitlines()]
    told = json.loads(done.stdout)
    client = Client(
        "reference_client",
        told["cpu_s"],
        told["reads"],
        told["merged_tokens"],
        told["reads"] - told["unstamped_reads"],
    )
    for line in lines:
        client.sent_ns[line["id"]] = line["sent_ns"]
        client.token_ns[line["id"]] = tuple(line["token_ns"])
        client.counted_tokens[line["id"]] = len(line["token_ns"])
    return client


def ttft_errors_ms(client: Client, log: Sequence[TrueRequest]) -> Iterator[float]:
    """One value per request that both sides saw a first token of."""
    for request in log:
        stamps = client.token_ns.get(request.id)
        if stamps and request.ttft_ns is not None:
            told_ns = stamps[0] - client.sent_ns[request.id]
            yield abs(told_ns - request.ttft_ns) / NS_PER_MS


def itl_errors_ms(client: Client, log: Sequence[TrueRequest]) -> Iterator[float]:
    """One value per gap, of the requests whose every token has a stamp of its own event."""
    for request in log:
        stamps = client.token_ns.get(request.id, ())
        if len(stamps) != request.tokens_written:
            continue
        told_ns = (b - a for a, b in itertools.pairwise(stamps))
        for told, true in zip(told_ns, request.itl_ns, strict=True):
            yield abs(told - true) / NS_PER_MS


def figures(client: Client, log: Sequence[TrueRequest]) -> dict[str, Any]:
    """What one run amounts to; a percentile of nothing is None."""
    written = sum(request.tokens_written for request in log)
    wrong = [
        request.id
        for request in log
        if client.counted_tokens.get(request.id) != request.tokens_written
        or len(client.token_ns.get(request.id, ())) != request.tokens_written
    ]
    return {
        "requests": len(log),
        "failures": len(client.failures),
        "first_failure": client.failures[0] if client.failures else None,
        "tokens_written": written,
        "requests_miscounted": len(wrong),
        "arrivals_without_kernel_stamp": sum(not request.stamped for request in log),
        "kernel_read_share": client.kernel_reads / client.reads if client.reads else None,
        "merged_share": client.merged / written if written else None,
        "ttft_error_ms": _percentiles(ttft_errors_ms(client, log)),
        "itl_error_ms": _percentiles(itl_errors_ms(client, log)),
        "cpu_s": client.cpu_s,
        "cpu_us_per_token": client.cpu_s * 1e6 / written if written else None,
    }


def _percentiles(values: Iterator[float]) -> dict[str, float] | None:
    numbers = list(values)
    if not numbers:
        return None
    return {"p50": quantile(numbers, 0.5), "p99": quantile(numbers, 0.99), "max": max(numbers)}


def measure_load(server: GroundTruthServer, load: Load) -> dict[str, Any]:
    """Runs both clients in turn and judges the median of each figure."""
    runs: dict[str, list[dict[str, Any]]] = {"minionbench": [], "reference_client": []}
    clients: list[Callable[[GroundTruthServer, Load], Client]] = [
        run_minionbench,
        run_reference_client,
    ]
    for pair in range(load.pairs):
        for run in clients if pair % 2 == 0 else reversed(clients):
            stolen_before_s = stolen_cpu_s()
            client = run(server, load)
            stolen_after_s = stolen_cpu_s()
            told = figures(client, server.dump())
            if stolen_before_s is not None and stolen_after_s is not None:
                told["stolen_cpu_s"] = stolen_after_s - stolen_before_s
            runs[client.name].append(told)
            _report_progress(load, client.name, told)
    ratios = [
        own["cpu_s"] / reference["cpu_s"]
        for own, reference in zip(runs["minionbench"], runs["reference_client"], strict=True)
    ]
    return {
        "connections": load.connections,
        "runs": runs,
        "cpu_ratios": ratios,
        "summary": _summary(load, runs["minionbench"], ratios),
    }


def _report_progress(load: Load, name: str, told: dict[str, Any]) -> None:
    error = told["ttft_error_ms"] or {"p50": float("nan"), "p99": float("nan")}
    print(
        f"C={load.connections} {name}: TTFT error p50 {error['p50']:.3f} ms, "
        f"p99 {error['p99']:.3f} ms, CPU {told['cpu_s']:.2f} s, "
        f"stolen {told.get('stolen_cpu_s', float('nan')):.2f} s",
        file=sys.stderr,
        flush=True,
    )


def _summary(load: Load, runs: list[dict[str, Any]], ratios: list[float]) -> dict[str, Any]:
    def middle(name: str, percentile: str) -> float:
        return median(run[name][percentile] if run[name] else float("inf") for run in runs)

    summary: dict[str, Any] = {
        "ttft_error_p50_ms": middle("ttft_error_ms", "p50"),
        "ttft_error_p99_ms": middle("ttft_error_ms", "p99"),
        "itl_error_p50_ms": middle("itl_error_ms", "p50"),
        "itl_error_p99_ms": middle("itl_error_ms", "p99"),
        "merged_share": median(run["merged_share"] for run in runs),
        "cpu_ratio": median(ratios),
        "tokens_exact": all(
            run["requests_miscounted"] == 0 and run["failures"] == 0 for run in runs
        ),
    }
    summary["met"] = {
        "ttft_error_p50_ms": summary["ttft_error_p50_ms"] <= load.ttft_p50_target_ms,
        "ttft_error_p99_ms": summary["ttft_error_p99_ms"] <= load.ttft_p99_target_ms,
        "tokens_exact": summary["tokens_exact"],
    }
    if load.cpu_ratio_target is not None:
        summary["met"]["cpu_ratio"] = summary["cpu_ratio"] <= load.cpu_ratio_target
    return summary


def measure(loads: Sequence[Load] = (MANY, SINGLE)) -> dict[str, Any]:
    """Measures every load; the object that the command prints."""
    with ground_truth_server(ttft_ms=TTFT_MS, itl_ms=ITL_MS, tokens=TOKENS) as server:
        results = [measure_load(server, load) for load in loads]
    return {
        "machine": describe_machine(),
        "server": {"ttft_ms": TTFT_MS, "itl_ms": ITL_MS, "tokens": TOKENS},
        "loads": results,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where `--check` is given and a target was missed."""
    parser = argparse.ArgumentParser(description="Measure minionbench's own error and CPU.")
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    parser.add_argument("--pairs", type=int, help="runs of each client, interleaved")
    parser.add_argument("--only", choices=("single", "many"), help="one of the two loads")
    options = parser.parse_args(arguments)
    loads = {"many": MANY, "single": SINGLE}
    chosen = [loads[options.only]] if options.only else list(loads.values())
    if options.pairs is not None:
        chosen = [replace(load, pairs=options.pairs) for load in chosen]
    result = measure(chosen)
    print(json.dumps(result, indent=2))
    missed = [load for load in result["loads"] if not all(load["summary"]["met"].values())]
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
