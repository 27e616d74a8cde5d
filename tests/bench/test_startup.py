"""The startup bench measures the CPU of whole processes, over a registry of every kind of model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench.ground_truth import BenchError
from bench.startup import (
    cpu_of_process_s,
    measure,
    tiny_gguf,
    write_document,
    write_registry,
)
from minionbench.engines.gguf import read_gguf
from minionbench.schema import BenchmarkRun


def test_a_third_of_the_registry_is_not_there(tmp_path: Path) -> None:
    entries = json.loads(write_registry(tmp_path, 9).read_text())
    assert len({entry["version"] for entry in entries}) == 9
    there = [Path(entry["model_path"]).exists() for entry in entries]
    assert there == [True, True, False] * 3


def test_the_tiny_model_is_a_whole_gguf_file(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    assert read_gguf(tmp_path / "tiny.gguf").parameter_count == 64


def test_work_costs_cpu_and_waiting_does_not() -> None:
    working = cpu_of_process_s([sys.executable, "-c", "sum(range(20_000_000))"])
    waiting = cpu_of_process_s([sys.executable, "-c", "import time; time.sleep(0.3)"])
    assert 0 < waiting < working


def test_a_command_that_fails_is_no_figure() -> None:
    with pytest.raises(BenchError, match="on purpose"):
        cpu_of_process_s([sys.executable, "-c", "raise SystemExit('on purpose')"])


def test_the_document_with_cells_holds_as_many_candidates_as_asked_for(tmp_path: Path) -> None:
    run = BenchmarkRun.load(write_document(tmp_path, 5))
    assert [len(candidate.cells) for candidate in run.candidates] == [1] * 5
    assert len({cell.cell_id for one in run.candidates for cell in one.cells}) == 5


def test_the_figures_are_measured_on_a_small_registry() -> None:
    result = measure(entries=6, repeats=1)
    assert set(result["met"]) == {"help", "dry_run", "load", "load_cells"}
    assert result["cpu_s"]["load"]["median"] < result["cpu_s"]["load_process"]["median"]
    assert all(figure["median"] > 0 for figure in result["cpu_s"].values())
    assert result["registry_entries"] == 6
