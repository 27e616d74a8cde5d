from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minionbench.history.index import History
from minionbench.history.trend import Series, trends
from minionbench.schema import Factors, LoadDocument, MetricResult, SystemInfo, VerdictDocument
from tests import documents

pytest.importorskip("duckdb")


def save(folder: Path, number: int, value: float | None, **of_cell: Any) -> None:
    """The run of that number; `value` is its TTFT, None where it was skipped."""
    minute, hour = number % 60, number // 60
    run_id = f"benchmark_20261121_{hour:02}{minute:02}00"
    ttft = MetricResult.skipped("hidden") if value is None else MetricResult.ok(value, unit="s")
    of_run = {name: of_cell.pop(name) for name in ("git_sha", "dry_run") if name in of_cell}
    host = of_cell.pop("hostname", "host")
    engine = of_cell.pop("engine", "llama.cpp b1")
    cell = documents.cell(metrics={"ttft_s": ttft}, **of_cell)
    run = documents.run(
        documents.candidate(
            "reference/q8_0",
            cells=(cell,),
            factors=Factors(deployment="local", model="reference/q8_0", engine=engine),
        ),
        run_id=run_id,
        timestamp=f"2026-11-21T{hour:02}:{minute:02}:00+00:00",
        **of_run,
    ).but(system_info=SystemInfo(hostname=host))
    run.save(folder / f"{run_id}.json")


def found(folder: Path, **asked: Any) -> list[Series]:
    with History.open(folder) as history:
        return trends(history, **({"metric": "ttft_s"} | asked))


def test_a_slowdown_is_found_in_the_run_where_it_begins_with_what_else_changed(
    tmp_path: Path,
) -> None:
    for number in range(8):
        save(tmp_path, number, 0.010 + number * 1e-5, git_sha="a" * 40)
    for number in range(8, 16):
        save(tmp_path, number, 0.012 + number * 1e-5, git_sha="b" * 40, engine="llama.cpp b2")
    (series,) = found(tmp_path)
    assert series.candidate == "reference/q8_0"
    assert series.load == "one stream"
    assert len(series.points) == 16
    (change,) = series.changes
    assert change.run_id == "benchmark_20261121_000800"
    assert change.last_before == "benchmark_20261121_000700"
    assert change.direction == "worse"
    assert change.also == (
        "commit aaaaaaaaaa → bbbbbbbbbb",
        "engine llama.cpp b1 → llama.cpp b2",
    )


def test_what_was_measured_otherwise_is_another_series(tmp_path: Path) -> None:
    save(tmp_path, 0, 1.0)
    save(tmp_path, 1, 2.0, hostname="other")
    save(tmp_path, 2, 3.0, load=LoadDocument(kind="closed", concurrency=8))
    save(tmp_path, 3, 4.0, settings={"input_tokens": [4000, 4000], "prefix_cache": "warm"})
    workload = documents.cell().workload.but(seed=7)
    save(tmp_path, 4, 5.0, workload=workload)
    series = sorted(found(tmp_path), key=lambda one: one.points[0].value)
    assert [[point.value for point in one.points] for one in series] == [
        [1.0],
        [2.0],
        [3.0],
        [4.0],
        [5.0],
    ]
    assert series[3].workload == "decode@1, 2 items, 4000 tokens, warm"
    assert series[4].workload == "decode@1, 2 items, seed 7"


def test_runs_without_a_value_to_be_believed_are_counted_and_left_out(tmp_path: Path) -> None:
    reason = documents.full_run().candidates[0].cells[0].verdict.reasons[0].but(severity="invalid")
    save(tmp_path, 0, 1.0)
    save(tmp_path, 1, None)
    save(tmp_path, 2, 9.0, verdict=VerdictDocument(status="invalid", reasons=(reason,)))
    save(tmp_path, 3, 7.0, dry_run=True)
    (series,) = found(tmp_path)
    assert [point.value for point in series.points] == [1.0]
    assert series.left_out == 2


def test_a_metric_of_which_more_is_better_gets_better_by_rising(tmp_path: Path) -> None:
    for number in range(16):
        value = 40.0 if number < 8 else 60.0
        cell = documents.cell(metrics={"tokens_per_sec": MetricResult.ok(value, unit="1/s")})
        run_id = f"benchmark_20261121_00{number:02}00"
        documents.run(
            documents.candidate(cells=(cell,)),
            run_id=run_id,
            timestamp=f"2026-11-21T00:{number:02}:00Z",
        ).save(tmp_path / f"{run_id}.json")
    (series,) = found(tmp_path, metric="tokens_per_sec")
    assert [change.direction for change in series.changes] == ["better"]
    assert series.changes[0].ratio == pytest.approx(1.5)


def test_the_metrics_of_candidates_as_a_whole_are_series_of_their_own(tmp_path: Path) -> None:
    metrics = documents.candidate().metrics | {"latency_ms": MetricResult.ok(120.0, unit="ms")}
    run = documents.run(documents.candidate("v7", metrics=metrics))
    run.save(tmp_path / f"{documents.RUN_ID}.json")
    assert found(tmp_path, metric="latency_ms") == []
    (series,) = found(tmp_path, metric="latency_ms", of_cells=False, model="V7")
    assert (series.candidate, series.workload, series.load) == ("v7", None, None)
    assert found(tmp_path, metric="latency_ms", of_cells=False, model="v8") == []
