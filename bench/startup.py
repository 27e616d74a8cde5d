"""What starting costs: CPU seconds of whole processes, from exec to exit.

    python -m bench.startup [--check]

Each figure is the median over several processes of user and system time together, so that a busy
machine disturbs it little: the overview of the commands; a dry run over a generated registry of
10,000 models; loading and validating the document that came of it (`load`: that alone, without
the interpreter's start and the imports; `load_process`: with them), and one whose candidates have
a cell each (`load_cells`).
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

from bench.ground_truth import BenchError
from bench.machine import describe_machine
from minionbench.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    CellResult,
    LoadDocument,
    MetricResult,
    RecordsReference,
    RunMetadata,
    SystemInfo,
    VerdictDocument,
    WorkloadDocument,
    registry_metrics,
)

ROOT = Path(__file__).resolve().parents[1]
ENTRIES = 10_000
REPEATS = 5
TARGETS_S = {"help": 0.15, "dry_run": 2.0, "load": 0.5, "load_cells": 0.5}

LOAD_DOCUMENT = """
import sys, time
from benchmarks.schema import BenchmarkRun
start_s = time.process_time()
BenchmarkRun.load(sys.argv[1])
print(time.process_time() - start_s)
"""

_GGUF_STRING = 8
_F32 = 0


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def tiny_gguf() -> bytes:
    """A whole GGUF file of one tensor of 64 weights."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
    head += _text("general.architecture") + struct.pack("<I", _GGUF_STRING) + _text("llama")
    head += _text("token_embd.weight") + struct.pack("<IQIQ", 1, 64, _F32, 0)
    return head + bytes(-len(head) % 32) + bytes(64 * 4)


def write_registry(folder: Path, entries: int = ENTRIES) -> Path:
    """Writes a registry of as many files as folders as models that are not there."""
    models: list[dict[str, object]] = []
    for index in range(entries):
        path = folder / f"model-{index}"
        if index % 3 == 0:
            path = path.with_suffix(".gguf")
            path.write_bytes(tiny_gguf())
        elif index % 3 == 1:
            path.mkdir()
            (path / "config.json").write_text("{}")
            (path / "model.safetensors").write_bytes(bytes(64))
        models.append(
            {
                "version": f"v{index}",
                "base_model": "meta-llama/Llama-3.2-3B",
                "distilled_from": None if index % 2 else "v0",
                "quantization": (None, "Q4_K_M", "Q8_0")[index % 3],
                "model_path": str(path),
                "timestamp": "2026-01-01T00:00:00",
                "metrics": {},
                "active": index == 0,
                "last_good": False,
                "commit_hash": None,
            }
        )
    registry = folder / "registry.json"
    registry.write_text(json.dumps(models))
    return registry


def write_document(folder: Path, candidates: int = ENTRIES) -> Path:
    """Writes a document whose candidates have all metrics, and a cell of three more each."""

    def metric(value: float, unit: str) -> MetricResult:
        interval = {"low": 0.9 * value, "high": 1.1 * value, "level": 0.95}
        return MetricResult.ok(value, unit=unit, n=30, interval=interval, failed=0)

    cell = CellResult(
        cell_id="v0.balanced",
        workload=WorkloadDocument(
            name="balanced", version=1, source="builtin:balanced@1", seed=0, items=30
        ),
        load=LoadDocument(kind="closed", concurrency=1),
        repeats=3,
        settings={"temperature": 0.0, "max_output_tokens": 128},
        metrics={
            "ttft_s": metric(0.1, "s"),
            "total_latency_s": metric(1.5, "s"),
            "tokens_per_sec": metric(90.0, "1/s"),
        },
        verdict=VerdictDocument(status="valid"),
        records=RecordsReference(path="data/records.jsonl", sha256="0" * 64, rows=90),
    )
    one = BenchmarkCandidate(
        version="v0", metrics=registry_metrics(metric(12.5, "ms")), cells=(cell,)
    )
    run_id = "benchmark_20260101_000000"
    run = BenchmarkRun(
        metadata=RunMetadata(
            run_id=run_id, timestamp="2026-01-01T00:00:00+00:00", command_line="", dry_run=False
        ),
        system_info=SystemInfo(),
        candidates=tuple(
            one.but(version=f"v{i}", cells=(cell.but(cell_id=f"v{i}.balanced"),))
            for i in range(candidates)
        ),
    )
    path = folder / f"{run_id}.json"
    run.save(path)
    return path


def run_process(command: Sequence[str]) -> tuple[float, str]:
    """CPU seconds of a process and its children, user and system together, and what it printed.

    Raises: BenchError with its last words when it fails.
    """
    before = getrusage(RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    after = getrusage(RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu_s, done.stdout


def cpu_of_process_s(command: Sequence[str]) -> float:
    """CPU seconds of a process and its children."""
    return run_process(command)[0]


def _median_of(measured: Callable[[], float], repeats: int) -> dict[str, float]:
    measured()  # the first one compiles what the others find compiled
    seconds = sorted(measured() for _ in range(repeats))
    return {"median": seconds[repeats // 2], "min": seconds[0], "max": seconds[-1]}


def measure(entries: int = ENTRIES, repeats: int = REPEATS) -> dict[str, Any]:
    """Measures all three; the object that the command prints."""
    program = str(Path(sys.executable).with_name("minionbench"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        models, runs = folder / "models", folder / "runs"
        models.mkdir()
        registry = str(write_registry(models, entries))
        dry_run = [sys.executable, "scripts/run_autobench.py", "--dry-run"]
        dry_run += ["--registry", registry, "--output-dir", str(runs)]
        cpu_s = {
            "help": _median_of(lambda: cpu_of_process_s([program, "--help"]), repeats),
            "dry_run": _median_of(lambda: cpu_of_process_s(dry_run), repeats),
        }
        document = max(runs.glob("benchmark_*.json"))
        load = [sys.executable, "-c", LOAD_DOCUMENT, str(document)]
        cpu_s["load"] = _median_of(lambda: float(run_process(load)[1]), repeats)
        cpu_s["load_process"] = _median_of(lambda: cpu_of_process_s(load), repeats)
        document_mb = document.stat().st_size / 2**20
        with_cells = write_document(folder, entries)
        load = [sys.executable, "-c", LOAD_DOCUMENT, str(with_cells)]
        cpu_s["load_cells"] = _median_of(lambda: float(run_process(load)[1]), repeats)
        cells_document_mb = with_cells.stat().st_size / 2**20
    return {
        "machine": describe_machine(),
        "registry_entries": entries,
        "document_mb": document_mb,
        "cells_document_mb": cells_document_mb,
        "cpu_s": cpu_s,
        "met": {name: cpu_s[name]["median"] <= target for name, target in TARGETS_S.items()},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where `--check` is given and a target was missed."""
    parser = argparse.ArgumentParser(description="Measure the CPU time of starting.")
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    options = parser.parse_args(arguments)
    result = measure()
    print(json.dumps(result, indent=2))
    return 1 if options.check and not all(result["met"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
