"""What has changed since the last time, on documents by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minionbench.autobench.last_time import Change, SinceLastTime, since_last_time
from minionbench.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    Factors,
    MetricResult,
    WorkloadDocument,
    registry_metrics,
)
from tests.documents import candidate, cell, run

NOW = "benchmark_20261122_000000"


def ok(value: float, low: float | None = None, high: float | None = None) -> MetricResult:
    about = {} if low is None else {"interval": {"low": low, "high": high}}
    return MetricResult.ok(value, **about)


def model(
    latency: MetricResult, items: int = 10, threads: int = 1, size: float = 3.0, **more: Any
) -> BenchmarkCandidate:
    """A candidate of one cell with this latency."""
    metrics = registry_metrics(MetricResult.skipped("not asked for"))
    workload = WorkloadDocument(
        name="balanced", version=1, source="builtin:balanced@1", seed=0, items=items
    )
    fields: dict[str, Any] = {
        "file_size_mb": size,
        "factors": Factors(
            deployment="local", model="v1", engine="engine 1", flags={"threads": threads}
        ),
        "cells": (cell("v1.balanced", workload=workload),),
    }
    return candidate("v1", metrics=metrics | {"latency_ms": latency}, **(fields | more))


def held(folder: Path, now: BenchmarkCandidate, *earlier: BenchmarkCandidate) -> SinceLastTime:
    """What is said of a candidate after these earlier ones, the oldest first."""
    for day, old in enumerate(earlier, 1):
        run_id = f"benchmark_202611{day:02}_000000"
        run(old, run_id=run_id).save(folder / f"{run_id}.json")
    (found,) = since_last_time(run(now, run_id=NOW), folder)
    return found


def only(found: SinceLastTime) -> Change:
    (change,) = found.changes
    return change


def test_a_change_counts_only_where_the_intervals_do_not_meet(tmp_path: Path) -> None:
    for now, state in (
        (ok(90, 85, 94), "better"),
        (ok(96, 91, 101), "within the intervals"),
        (ok(110, 106, 114), "worse"),
        (ok(110), "no interval"),
    ):
        found = held(tmp_path, model(now), model(ok(100, 95, 105)))
        assert only(found).state == state
        assert found.run_id == "benchmark_20261101_000000"


def test_the_direction_is_the_metrics_own(tmp_path: Path) -> None:
    def rate(value: float) -> BenchmarkCandidate:
        made = model(MetricResult.skipped("not asked for"))
        metric = ok(value, value - 1, value + 1)
        return made.but(metrics={**made.metrics, "cove_pass_rate": metric})

    assert only(held(tmp_path, rate(60), rate(50))).state == "better"
    change = only(held(tmp_path, rate(40), rate(50)))
    assert change.state == "worse"
    assert change.share is not None and round(change.share, 6) == -0.2


def test_the_latest_comparable_measurement_is_taken(tmp_path: Path) -> None:
    now = model(ok(100, 95, 105))
    found = held(tmp_path, now, model(ok(1)), model(ok(2)), model(ok(3), threads=7))
    assert found.run_id == "benchmark_20261102_000000"
    assert only(found).before.value == 2


def test_two_different_things_are_not_compared(tmp_path: Path) -> None:
    now = model(ok(100))
    for old, why in (
        (model(ok(1), size=4.0), "the file was another one"),
        (model(ok(1), threads=7), "threads was 7"),
        (model(ok(1), items=3), "other items were asked"),
    ):
        found = held(tmp_path, now, old)
        assert found.run_id is None and found.changes == ()
        assert found.why_not is not None and found.why_not.startswith(why)


def test_a_metric_without_a_cell_is_compared_only_over_the_same_items(tmp_path: Path) -> None:
    def distant(value: float, **about: Any) -> BenchmarkCandidate:
        made = model(MetricResult.skipped("not asked for"))
        bounds = {"low": value * 0.9, "high": value * 1.1}
        metric = MetricResult.ok(value, interval=bounds, **about)
        return made.but(metrics={**made.metrics, "kl_to_base": metric})

    now = distant(0.1, tokens="abc", n=48)
    assert only(held(tmp_path, now, distant(0.2, tokens="abc", n=48))).state == "better"
    for other in ({"tokens": "xyz", "n": 48}, {"tokens": "abc", "n": 24}):
        found = held(tmp_path, now, distant(0.2, **other))
        assert found.why_not is not None and found.why_not.startswith("other items were asked")


def test_a_model_without_a_past_says_so(tmp_path: Path) -> None:
    assert held(tmp_path, model(ok(1))).why_not == "it was not measured before"
    (tmp_path / "benchmark_20261101_000000.json").write_text("{}")
    assert held(tmp_path, model(ok(1))).why_not == "it was not measured before"


def test_a_model_that_was_not_measured_now_is_not_mentioned(tmp_path: Path) -> None:
    now: BenchmarkRun = run(candidate("v1"), run_id=NOW)
    assert since_last_time(now, tmp_path) == []
