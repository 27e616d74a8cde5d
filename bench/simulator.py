"""How much the simulator can serve, and how late it is.

    python -m bench.simulator [--tokens 200000] [--check]

A child process is the simulator; this process is a client that sends requests and counts what
comes back, without parsing it.

* `flat_out`: tokens per second of wall time and per second of the simulator's CPU, with no delay
  in its model of time and 16 tokens in each write, over 16 connections, in each protocol.
* `paced`: 64 streams of one token each 10 ms; how long after its due instant each write left, by
  the simulator's own log.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from bench.ground_truth import BenchError
from bench.machine import describe_machine
from minionbench.clock import monotonic_ns
from minionbench.simulator.log import Entry, read_line
from minionbench.stats import quantile
from minionbench.units import NS_PER_MS, NS_PER_S

CONNECTIONS = 16
TOKENS_PER_WRITE = 16
TOKENS_PER_ANSWER = 4_096
TARGET_TOKENS_PER_S = 100_000
PACED_STREAMS = 64
PACED_TOKENS = 128
PACED_GAP_MS = 10
END_OF_BODY = b"\r\n0\r\n\r\n"


class Protocol(NamedTuple):
    """How one protocol asks for a long answer, and what each of its token events holds once."""

    path: str
    body: dict[str, Any]
    mark: bytes


_MESSAGES = [{"role": "user", "content": "Tell me about ships."}]
PROTOCOLS = {
    "openai_chat": Protocol(
        "/v1/chat/completions",
        {"messages": _MESSAGES, "stream": True, "max_tokens": TOKENS_PER_ANSWER},
        b'"delta":{"content":"',
    ),
    "openai_responses": Protocol(
        "/v1/responses",
        {"input": "Tell me.", "stream": True, "max_output_tokens": TOKENS_PER_ANSWER},
        b'{"type":"response.output_text.delta"',
    ),
    "anthropic": Protocol(
        "/v1/messages",
        {"messages": _MESSAGES, "stream": True, "max_tokens": TOKENS_PER_ANSWER},
        b'"type":"text_delta"',
    ),
    "ollama": Protocol(
        "/api/chat",
        {"messages": _MESSAGES, "options": {"num_predict": TOKENS_PER_ANSWER, "num_ctx": 16_384}},
        b'"done":false',
    ),
}


class Simulated(NamedTuple):
    """A simulator in a process of its own."""

    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        """CPU that it has used, user and system together."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def simulator(*flags: str) -> Iterator[Simulated]:
    """Starts `minionbench simulate` with these flags and ends it afterwards.

    Raises: BenchError when it does not start.
    """
    command = [sys.executable, "-m", "minionbench", "simulate", "--model", "simulated", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            words = child.stdout.readline().split()
            if len(words) < 3:
                raise BenchError("the simulator did not start")
            yield Simulated(int(words[2].rpartition(":")[2]), psutil.Process(child.pid))
        finally:
            child.terminate()


class Drained(NamedTuple):
    """What the client received."""

    seconds: float
    tokens: int


def request(protocol: Protocol) -> bytes:
    """The request's bytes."""
    body = json.dumps({"model": "simulated", **protocol.body}).encode()
    head = f"POST {protocol.path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def drain(port: int, protocol: Protocol, requests: int, connections: int) -> Drained:
    """Sends so many requests over so many connections and reads the answers to their end."""
    selector = selectors.DefaultSelector()
    data, left, open_ = request(protocol), requests, 0
    tails: dict[int, bytes] = {}
    tokens = 0
    start_ns = monotonic_ns()
    for _ in range(min(connections, requests)):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(data)
        left -= 1
        open_ += 1
        tails[sock.fileno()] = b""
        selector.register(sock, selectors.EVENT_READ, sock)
    keep = max(len(protocol.mark), len(END_OF_BODY)) - 1
    while open_:
        for key, _ in selector.select():
            sock = key.data
            received = sock.recv(262_144)
            if not received:
                raise BenchError("the simulator closed a connection")
            tail = tails[key.fd]
            joined = tail + received
            tokens += joined.count(protocol.mark) - tail.count(protocol.mark)
            tails[key.fd] = joined[-keep:]
            if not joined.endswith(END_OF_BODY):
                continue
            if left:
                left -= 1
                sock.sendall(data)
            else:
                open_ -= 1
                selector.unregister(sock)
                sock.close()
    return Drained((monotonic_ns() - start_ns) / NS_PER_S, tokens)


def flat_out(name: str, tokens: int) -> dict[str, Any]:
    """One protocol, as fast as it goes."""
    protocol = PROTOCOLS[name]
    requests = max(1, tokens // TOKENS_PER_ANSWER)
    flags = ["--tokens-per-write", str(TOKENS_PER_WRITE), "--answer-tokens", "1000000"]
    with simulator(*flags) as server:
        drain(server.port, protocol, 1, 1)
        before_s = server.cpu_s()
        drained = drain(server.port, protocol, requests, CONNECTIONS)
        cpu_s = server.cpu_s() - before_s
    if drained.tokens != requests * TOKENS_PER_ANSWER:
        raise BenchError(
            f"{name}: {drained.tokens} tokens came, not {requests * TOKENS_PER_ANSWER}"
        )
    return {
        "tokens": drained.tokens,
        "seconds": drained.seconds,
        "cpu_s": cpu_s,
        "tokens_per_s": drained.tokens / drained.seconds,
        "tokens_per_cpu_s": drained.tokens / cpu_s,
    }


def paced() -> dict[str, Any]:
    """Lateness of each write at 6,400 tokens per second."""
    protocol = PROTOCOLS["openai_chat"]._replace(
        body={**PROTOCOLS["openai_chat"].body, "max_tokens": PACED_TOKENS}
    )
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        flags = ["--ttft-ms", "50", "--itl-ms", str(PACED_GAP_MS), "--log", str(log)]
        with simulator(*flags, "--answer-tokens", str(PACED_TOKENS + 1)) as server:
            drain(server.port, protocol, PACED_STREAMS, PACED_STREAMS)
        entries = [read_line(line) for line in log.read_bytes().splitlines()]
    return {"streams": PACED_STREAMS, "gap_ms": PACED_GAP_MS, **lateness(entries)}


def lateness(entries: Sequence[Entry]) -> dict[str, Any]:
    """Quantiles of how late the writes were, in ms."""
    late_ms = sorted(
        (write.written_ns - write.due_ns) / NS_PER_MS for entry in entries for write in entry.writes
    )
    return {
        "writes": len(late_ms),
        "lateness_ms_p50": quantile(late_ms, 0.5),
        "lateness_ms_p99": quantile(late_ms, 0.99),
        "lateness_ms_max": late_ms[-1],
    }


def measure(tokens: int = 400_000) -> dict[str, Any]:
    """Measures all of it; the object that the command prints."""
    fast = {name: flat_out(name, tokens) for name in PROTOCOLS}
    return {
        "machine": describe_machine(),
        "tokens_per_write": TOKENS_PER_WRITE,
        "connections": CONNECTIONS,
        "flat_out": fast,
        "paced": paced(),
        "met": {
            name: figures["tokens_per_s"] >= TARGET_TOKENS_PER_S for name, figures in fast.items()
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where `--check` is given and a target was missed."""
    parser = argparse.ArgumentParser(description="Measure the simulator.")
    parser.add_argument("--tokens", type=int, default=400_000, help="tokens per protocol")
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    options = parser.parse_args(arguments)
    result = measure(options.tokens)
    print(json.dumps(result, indent=2))
    return 1 if options.check and not all(result["met"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
