"""The report bench measures a page of a run that it generates, records and all."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.report import measure, write_run
from minionbench.schema import BenchmarkRun
from minionbench.store import read_records


def test_the_generated_run_has_its_requests_and_what_they_say(tmp_path: Path) -> None:
    path = write_run(tmp_path, 130)
    (candidate,) = BenchmarkRun.load(path).candidates
    assert len(candidate.cells) == 12
    read = [len(read_records(path, cell)) for cell in candidate.cells]
    assert sum(read) == 130 and max(read) - min(read) <= 1
    assert all(cell.metrics["ttft_s"].value for cell in candidate.cells)


def test_time_and_size_of_a_small_report_are_measured() -> None:
    pytest.importorskip("vl_convert")
    result = measure(requests=120, repeats=1)
    assert set(result["met"]) == {"wall_s", "page_mb"}
    assert result["cpu_s"] > 0 and 0.05 < result["page_mb"] < 8
