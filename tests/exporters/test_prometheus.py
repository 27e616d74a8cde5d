"""Text that Prometheus's own parser reads back as it was meant."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from prometheus_client.parser import text_string_to_metric_families

from minionbench.exporters.prometheus import FAMILIES, prometheus_text
from minionbench.metrics.table import METRICS
from minionbench.schema import BenchmarkRun, MetricResult
from tests import documents
from tests.cli import sample


def parsed(text: str) -> dict[str, list[tuple[dict[str, str], float, float | None]]]:
    """The samples by their names, as the reference parser has them."""
    found: dict[str, list[tuple[dict[str, str], float, float | None]]] = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for one in family.samples:
            stamp = None if one.timestamp is None else float(one.timestamp)
            found.setdefault(one.name, []).append((dict(one.labels), one.value, stamp))
    return found


def test_figures_are_gauges_in_base_units_with_labels() -> None:
    cell = sample.cell("decode", accuracy_pct=MetricResult.ok(75.0, unit="%"))
    found = parsed(prometheus_text(sample.run(sample.candidate(cell))))
    [(labels, value, stamp)] = found["minionbench_ttft_seconds"]
    assert value == 0.0162
    assert stamp is None
    assert labels == {
        "run_id": sample.RUN_ID,
        "candidate": "reference/q8_0",
        "cell": "decode",
        "workload": "decode",
        "load": "closed 1",
    }
    assert found["minionbench_ttft_low_seconds"][0][1] == 0.0159
    assert found["minionbench_accuracy_ratio"][0][1] == 0.75
    assert found["minionbench_peak_ram_bytes"][0][1] == 42.5 * 2**20
    assert found["minionbench_measured_requests"][0][1] == 30
    verdicts = {labels["verdict"]: value for labels, value, _ in found["minionbench_verdict"]}
    assert verdicts == {"valid": 1, "suspect": 0, "invalid": 0}


def test_percentiles_are_a_family_of_their_own() -> None:
    ranks = {"p99": {"value": 0.5, "interval": {"low": None, "high": None}}}
    cell = sample.cell("decode", ttft_s=MetricResult.ok(0.1, unit="s", percentiles=ranks))
    found = parsed(prometheus_text(sample.run(sample.candidate(cell))))
    [(labels, value, _)] = found["minionbench_ttft_percentile_seconds"]
    assert (labels["percentile"], value) == ("99", 0.5)


def test_a_metric_without_a_value_has_no_sample() -> None:
    cell = sample.cell("decode", ttft_s=MetricResult.error("none was answered"))
    assert "minionbench_ttft_seconds" not in prometheus_text(sample.run(sample.candidate(cell)))


def test_timestamps_are_there_only_where_they_were_asked_for() -> None:
    run = sample.run(sample.candidate(sample.cell()))
    found = parsed(prometheus_text(run, timestamps=True))
    began = found["minionbench_run_start_timestamp_seconds"][0]
    assert began[2] == began[1]


def test_two_candidates_of_one_name_stay_apart() -> None:
    run = sample.run(sample.candidate(sample.cell("a")), sample.candidate(sample.cell("b")))
    found = parsed(prometheus_text(run))["minionbench_peak_ram_bytes"]
    assert len({labels["candidate"] for labels, _, _ in found}) == 2


def test_every_metric_has_its_own_name_there() -> None:
    assert FAMILIES.keys() == METRICS.keys()
    assert len({family.name() for family in FAMILIES.values()}) == len(FAMILIES)


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a\\nb", '"} 1\nevil 2', "ü\x1b[31m"])
def test_hostile_names_stay_inside_their_labels(name: str) -> None:
    cell = sample.cell("decode").but(
        workload=sample.cell("decode").workload.but(name=name, source="s")
    )
    found = parsed(prometheus_text(sample.run(sample.candidate(cell))))
    assert "evil" not in found
    assert found["minionbench_ttft_seconds"][0][0]["workload"] == name.replace("\x1b", "�")


@settings(max_examples=30, deadline=None)
@given(documents.runs())
def test_any_document_gives_text_that_parses_without_a_sample_twice(run: BenchmarkRun) -> None:
    for name, samples in parsed(prometheus_text(run)).items():
        seen = [tuple(sorted(labels.items())) for labels, _, _ in samples]
        assert len(set(seen)) == len(seen), name
        assert not any(math.isnan(value) for _, value, _ in samples)
