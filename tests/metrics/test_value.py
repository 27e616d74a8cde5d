"""The value of a metric: what it may hold, and what becomes of an estimate."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from minionbench.metrics import value
from minionbench.metrics.value import MetricValue
from minionbench.schema import MetricResult
from minionbench.stats import Estimate, median_estimate


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "ok", "value": None, "error_message": None},
        {"status": "ok", "value": math.nan, "error_message": None},
        {"status": "ok", "value": math.inf, "error_message": None},
        {"status": "ok", "value": 1.0, "error_message": "but"},
        {"status": "skipped", "value": None, "error_message": None},
        {"status": "skipped", "value": 0.0, "error_message": None, "metadata": {"reason": "x"}},
        {"status": "skipped", "value": None, "error_message": "x", "metadata": {"reason": "x"}},
        {"status": "error", "value": None, "error_message": None},
        {"status": "error", "value": None, "error_message": ""},
        {"status": "error", "value": 1.0, "error_message": "x"},
    ],
)
def test_a_value_never_contradicts_its_status(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not an"):
        MetricValue(**({"metadata": {}} | fields))


def test_each_status_says_what_it_has_to() -> None:
    assert value.ok("ttft_s", 0.1, n=3).metadata == {"unit": "s", "n": 3}
    assert value.ok("ttft_s", 0.1).reason is None
    assert value.skipped("latency_ms", "why").metadata == {"unit": "ms", "reason": "why"}
    assert value.skipped("latency_ms", "why").reason == "why"
    assert value.error("cost_usd", "broke").reason == "broke"
    assert value.error("cost_usd", "broke").metadata == {"unit": "USD"}


def test_an_unknown_metric_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        value.ok("ttft", 0.1)


def test_an_estimate_becomes_a_value_with_its_interval() -> None:
    made = value.estimated("ttft_s", median_estimate(range(1, 7)), repeats=1)
    assert made.value == 3.5
    assert made.metadata == {
        "unit": "s",
        "n": 6,
        "interval": {"low": 1, "high": 6, "level": 0.95, "method": "order statistics"},
        "repeats": 1,
    }


def test_a_missing_bound_says_why() -> None:
    interval = value.interval(median_estimate([1, 2]))
    assert (interval["low"], interval["high"]) == (None, None)
    assert interval["note"] == "both bounds at 95% need n ≥ 6, there are 2"


def test_an_infinite_bound_never_reaches_a_document() -> None:
    interval = value.interval(median_estimate([1, 2, 3, 4, 5, math.inf]))
    assert (interval["low"], interval["high"]) == (1, None)
    assert interval["note"] == "a bound falls among the failed requests"


def test_a_value_in_another_unit_is_the_same_measurement() -> None:
    entry = {"value": 0.2, "interval": {"low": None, "high": 0.25, "level": 0.95, "method": "m"}}
    seconds = value.ok(
        "total_latency_s",
        0.1,
        n=9,
        interval={"low": 0.05, "high": None, "level": 0.95, "method": "m", "note": "why"},
        percentiles={"p90": entry},
    )
    made = value.rescaled("latency_ms", seconds, 1000.0, workload="balanced")
    assert made.value == pytest.approx(100)
    assert made.metadata["unit"] == "ms"
    assert made.metadata["n"] == 9
    assert made.metadata["workload"] == "balanced"
    assert made.metadata["interval"] == {
        "low": 50,
        "high": None,
        "level": 0.95,
        "method": "m",
        "note": "why",
    }
    percentile = made.metadata["percentiles"]["p90"]
    assert percentile["value"] == pytest.approx(200)
    assert (percentile["interval"]["low"], percentile["interval"]["high"]) == (None, 250)
    assert seconds.metadata["percentiles"]["p90"] == entry  # the original is as it was


def test_a_value_that_is_not_there_keeps_its_reason_under_another_name() -> None:
    made = value.rescaled("latency_ms", value.error("total_latency_s", "broke"), 1000.0)
    assert (made.status, made.error_message) == ("error", "broke")
    assert made.metadata["unit"] == "ms"
    assert value.rescaled("latency_ms", value.ok("total_latency_s", 2.0), 1000.0).value == 2000


@pytest.mark.parametrize(
    "made",
    [
        value.estimated("ttft_s", median_estimate([1, 2, 3, 4, 5, math.inf])),
        value.skipped("ttft_s", "why"),
        value.error("ttft_s", "broke"),
    ],
)
def test_every_value_is_a_metric_of_the_document(made: MetricValue) -> None:
    assert MetricResult(**msgspec.structs.asdict(made)).status == made.status


def test_an_estimate_that_is_infinite_is_no_value() -> None:
    infinite = Estimate(point=math.inf, low=None, high=None, level=0.95, n=1, method="m")
    with pytest.raises(ValueError, match="not an `ok` metric"):
        value.estimated("ttft_s", infinite)
