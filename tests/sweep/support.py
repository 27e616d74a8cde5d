"""Sweeps of small questions against a simulator that takes no time."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minionbench.deployments.single import Local, Remote
from minionbench.measuring import Observer, Silent
from minionbench.records import RequestRecord
from minionbench.schema import BenchmarkRun, CellResult
from minionbench.simulator import SimulatedModel, Simulator, SimulatorSettings
from minionbench.store import read_journal
from minionbench.sweep import Definition, SweepOutcome, run_sweep
from tests.study import Questions

MODELS = ("qwen3:1.7b", "qwen3:8b", "gpt-5.5", "claude-sonnet-5")


@contextmanager
def simulated(**settings: Any) -> Iterator[dict[str, str]]:
    """Where the servers of a sweep are to be found, each the same simulator."""
    models = tuple(SimulatedModel(name=name) for name in MODELS)
    plain: dict[str, Any] = {"models": models, "answer_tokens": 6, "reasoning_tokens": 4}
    with Simulator(SimulatorSettings(**(plain | settings))) as simulator:
        yield servers_of(simulator.base_url)


def servers_of(base_url: str) -> dict[str, str]:
    return {
        "ollama": base_url,
        "openai": f"{base_url}/v1",
        "anthropic": base_url,
        "deepseek": f"{base_url}/v1",
    }


def definition(servers: dict[str, str], folder: Path, **levels: Any) -> Definition:
    """Two workloads on a local and a remote model, twice two requests each."""
    fields: dict[str, Any] = {
        "workload": [Questions("balanced"), Questions("decode")],
        "deployment": [Local("ollama/qwen3:8b"), Remote("openai/gpt-5.5")],
        "repeats": 2,
        "num_requests": 2,
        "warmup": 1,
        "servers": servers,
        "output_dir": folder,
    }
    return Definition.of(**(fields | levels))


def swept(
    servers: dict[str, str],
    folder: Path,
    observer: Observer | None = None,
    resume: str | None = None,
    **levels: Any,
) -> SweepOutcome:
    made = definition(servers, folder, **levels)
    return run_sweep(made, observer, resume=resume, argv=["test"])


def cells_of(run: BenchmarkRun) -> dict[str, CellResult]:
    return {cell.cell_id: cell for candidate in run.candidates for cell in candidate.cells}


def measured_records(folder: Path, run_id: str) -> list[RequestRecord]:
    """The measured records of a sweep, those cut off by an interruption left out."""
    journal = folder / "data" / run_id / "records.jsonl"
    return [r for r in read_journal(journal) if r.phase == "measured" and r.outcome.value != "cut"]


def times_measured(records: list[RequestRecord]) -> Counter[tuple[str, int, int]]:
    return Counter((record.cell, record.repeat, record.index) for record in records)


class Killing(Silent):
    """Sends this process a signal when so many measured requests have ended."""

    def __init__(self, after: int, signum: int = signal.SIGKILL) -> None:
        self.left = after
        self.signum = signum

    def record(self, record: RequestRecord) -> None:
        if record.phase == "measured":
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self.signum)
