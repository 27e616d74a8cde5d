"""The metrics of a candidate from those of its cells."""

from __future__ import annotations

import pytest

from minionbench.metrics.candidate import CellSummary, candidate_metrics
from minionbench.metrics.value import MetricValue, error, ok, skipped
from minionbench.names import REGISTRY_METRICS


def cell(
    workload: str,
    *,
    streams: int | None = 1,
    cold: bool | None = True,
    **metrics: MetricValue,
) -> CellSummary:
    return CellSummary(workload=workload, streams=streams, cold=cold, metrics=metrics)


def three() -> list[CellSummary]:
    """Prefill, Balanced and Decode with one stream and a cold prefix."""
    return [
        cell(
            workload,
            total_latency_s=ok("total_latency_s", latency),
            tokens_per_sec=ok("tokens_per_sec", rate),
            peak_ram_mb=ok("peak_ram_mb", ram),
        )
        for workload, latency, rate, ram in (
            ("prefill", 1.0, 10.0, 300.0),
            ("balanced", 2.0, 20.0, 500.0),
            ("decode", 3.0, 30.0, 400.0),
        )
    ]


def test_latency_is_that_of_balanced_and_the_rate_that_of_decode() -> None:
    metrics = candidate_metrics(three())
    assert metrics["latency_ms"].value == 2000
    assert metrics["latency_ms"].metadata["unit"] == "ms"
    assert metrics["latency_ms"].metadata["workload"] == "balanced"
    assert metrics["tokens_per_sec"].value == 30
    assert metrics["tokens_per_sec"].metadata["workload"] == "decode"


def test_the_peak_is_the_largest_of_all_cells() -> None:
    made = candidate_metrics(three())["peak_ram_mb"]
    assert made.value == 500
    # It counts from the engine's start: no workload can be said to have caused it.
    assert "workload" not in made.metadata
    assert (made.metadata["cells"], made.metadata["of_cells"]) == (3, 3)


def test_a_peak_that_some_cells_lack_says_how_many_have_it() -> None:
    cells = [*three(), cell("more", peak_ram_mb=error("peak_ram_mb", "gone")), cell("most")]
    made = candidate_metrics(cells)["peak_ram_mb"]
    assert made.value == 500
    assert (made.metadata["cells"], made.metadata["of_cells"]) == (3, 5)


def test_a_peak_that_no_cell_has_gives_the_gravest_reason() -> None:
    cells = [
        cell("prefill", peak_ram_mb=skipped("peak_ram_mb", "remote")),
        cell("decode", peak_ram_mb=error("peak_ram_mb", "meter broke")),
    ]
    assert candidate_metrics(cells)["peak_ram_mb"].error_message == "meter broke"


def test_with_one_cell_they_are_that_cells_whatever_it_measured() -> None:
    only = cell(
        "prefill",
        streams=8,
        cold=False,
        total_latency_s=ok("total_latency_s", 0.5, n=9),
        tokens_per_sec=ok("tokens_per_sec", 40.0),
        ttft_s=ok("ttft_s", 0.1),
    )
    metrics = candidate_metrics([only])
    assert metrics["latency_ms"].value == 500
    assert metrics["latency_ms"].metadata == {
        "unit": "ms",
        "n": 9,
        "workload": "prefill",
        "streams": 8,
        "cold": False,
    }
    assert metrics["tokens_per_sec"].value == 40
    assert metrics["ttft_s"].value == 0.1


def test_with_several_cells_the_rest_stays_with_them() -> None:
    assert set(candidate_metrics(three())) == set(REGISTRY_METRICS)


@pytest.mark.parametrize("cells", [three(), three()[:1], []])
def test_the_six_of_the_registry_are_always_there(cells: list[CellSummary]) -> None:
    metrics = candidate_metrics(cells)
    for name in REGISTRY_METRICS:
        assert metrics[name].status == "ok" or metrics[name].reason
    assert metrics["cove_pass_rate"].reason


def test_without_cells_the_reason_is_the_callers() -> None:
    metrics = candidate_metrics([], without_cells="a dry run measures nothing")
    assert {made.reason for made in metrics.values()} == {"a dry run measures nothing"}


@pytest.mark.parametrize(
    "unfit",
    [
        {"workload": "prefill"},
        {"workload": "balanced", "streams": 4},
        {"workload": "balanced", "streams": None},
        {"workload": "balanced", "cold": False},
    ],
)
def test_a_cell_of_another_kind_gives_no_latency(unfit: dict[str, str]) -> None:
    latency = ok("total_latency_s", 1.0)
    cells = [cell(**unfit, total_latency_s=latency), cell("other")]  # type: ignore[arg-type]
    made = candidate_metrics(cells)["latency_ms"]
    assert made.reason == "no cell measured balanced with one stream and a cold prefix"


def test_two_cells_of_the_right_kind_are_not_one_number() -> None:
    latency = ok("total_latency_s", 1.0)
    cells = [cell("balanced", total_latency_s=latency) for _ in range(2)]
    assert "2 cells measured balanced" in str(candidate_metrics(cells)["latency_ms"].reason)


def test_an_error_of_the_cell_is_the_candidates() -> None:
    cells = [cell("balanced", total_latency_s=error("total_latency_s", "all failed")), cell("x")]
    made = candidate_metrics(cells)["latency_ms"]
    assert (made.status, made.error_message) == ("error", "all failed")
    assert made.metadata["workload"] == "balanced"


def test_a_cell_without_the_metric_says_so() -> None:
    made = candidate_metrics([cell("balanced")])["latency_ms"]
    assert made.reason == "the cell has no total_latency_s"


def test_quality_comes_from_the_cell_that_measured_it() -> None:
    passed = ok("cove_pass_rate", 80.0)
    cells = [*three(), cell("cove", cove_pass_rate=passed)]
    assert candidate_metrics(cells)["cove_pass_rate"] == passed
    twice = [*cells, cell("cove", cove_pass_rate=passed)]
    assert "2 cells" in str(candidate_metrics(twice)["cove_pass_rate"].reason)
