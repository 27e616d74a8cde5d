"""What a collector receives: conventional names, the run's own instants, counts that add up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.schemas import Schemas

from minionbench.errors import SetupError, UsageError
from minionbench.exporters import otel
from minionbench.exporters.otel import INSTRUMENTS, SCHEMA_URL, export_run
from minionbench.exporters.posting import Server
from minionbench.schema import BenchmarkRun
from tests.cli import sample
from tests.exporters.measured_run import written
from tests.exporters.stub_server import Stub, serving


def exported(run: BenchmarkRun, path: Path) -> tuple[dict[str, Any], Stub, Any]:
    """The metrics that arrived by their names, the stub, and their resource."""
    with serving(lambda _: (200, b"", {})) as stub:
        export_run(run, path, Server(stub.url, "The collector"))
    request = ExportMetricsServiceRequest()
    request.ParseFromString(stub.asked[0].body)
    [resource] = request.resource_metrics
    [scope] = resource.scope_metrics
    assert scope.schema_url == SCHEMA_URL
    return {metric.name: metric for metric in scope.metrics}, stub, resource.resource


def attributes(point: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in point.attributes}


def test_calls_are_histograms_under_the_names_of_the_conventions(tmp_path: Path) -> None:
    path, run = written(tmp_path)
    metrics, stub, resource = exported(run, path)
    assert stub.asked[0].path == "/v1/metrics"
    assert stub.asked[0].headers["content-type"] == "application/x-protobuf"
    durations = metrics["gen_ai.client.operation.duration"]
    assert durations.unit == "s"
    by_error = {attributes(p).get("error.type"): p for p in durations.histogram.data_points}
    assert by_error[None].count == 2
    assert by_error[None].sum == pytest.approx(0.14 + 0.07)
    assert by_error["http_error"].count == 1
    point = by_error[None]
    assert sum(point.bucket_counts) == point.count
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert attributes(point)["gen_ai.provider.name"] == "reference"
    assert attributes(point)["gen_ai.request.model"] == "q8_0"
    [first] = metrics["gen_ai.server.time_to_first_token"].histogram.data_points
    assert (first.count, first.min, first.max) == (2, 0.05, 0.1)
    assert attributes(first)["minionbench.measured_at"] == "client"
    tokens = metrics["gen_ai.client.token.usage"].histogram.data_points
    assert {attributes(p)["gen_ai.token.type"]: p.sum for p in tokens} == {
        "input": 200,
        "output": 6,
    }
    assert (
        metrics["gen_ai.client.operation.time_per_output_chunk"].histogram.data_points[0].count == 3
    )
    began = 1_795_291_860 * 10**9
    assert point.start_time_unix_nano == began
    assert point.time_unix_nano == began + 2_000_000_000
    told = {one.key: one.value.string_value for one in resource.attributes}
    assert told["service.name"] == "minionbench"


def test_a_value_on_a_bound_belongs_to_the_bucket_below(tmp_path: Path) -> None:
    path, run = written(tmp_path)
    metrics, _, _ = exported(run, path)
    [first] = metrics["gen_ai.server.time_to_first_token"].histogram.data_points
    at = list(first.explicit_bounds).index(0.1)
    assert first.bucket_counts[at] == 1


def test_figures_of_the_document_are_gauges(tmp_path: Path) -> None:
    path, run = written(tmp_path)
    metrics, _, _ = exported(run, path)
    [point] = metrics["minionbench.ttft_s"].gauge.data_points
    assert point.as_double == 0.0162
    assert attributes(point)["minionbench.verdict"] == "valid"
    assert metrics["minionbench.peak_ram_mb"].unit == "MiBy"


def test_a_document_without_records_has_gauges_only(tmp_path: Path) -> None:
    run = sample.run(sample.candidate(sample.cell()))
    metrics, _, _ = exported(run, tmp_path / "absent.json")
    assert not any(name.startswith("gen_ai") for name in metrics)
    assert "minionbench.ttft_s" in metrics


def test_records_that_are_gone_are_said_to_be(tmp_path: Path) -> None:
    path, run = written(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        exported(run, tmp_path / "elsewhere" / path.name)


def test_the_names_are_those_of_the_conventions() -> None:
    known = {value for name, value in vars(gen_ai_metrics).items() if name.startswith("GEN_AI_")}
    assert {instrument.name for instrument in INSTRUMENTS} <= known
    assert SCHEMA_URL in {one.value for one in Schemas}


def test_an_address_may_name_the_path_itself(tmp_path: Path) -> None:
    with serving(lambda _: (200, b"", {})) as stub:
        server = Server(f"{stub.url}/v1/metrics", "The collector")
        export_run(sample.run(sample.candidate(sample.cell())), tmp_path / "x", server)
    assert stub.asked[0].path == "/v1/metrics"


def test_points_that_the_collector_rejects_are_an_error(tmp_path: Path) -> None:
    refusal = ExportMetricsServiceResponse()
    refusal.partial_success.rejected_data_points = 4
    refusal.partial_success.error_message = "too old"
    body = refusal.SerializeToString()
    with serving(lambda _: (200, body, {})) as stub, pytest.raises(SetupError, match="too old"):
        export_run(
            sample.run(sample.candidate(sample.cell())),
            tmp_path / "x",
            Server(stub.url, "The collector"),
        )


def test_without_the_packages_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"minionbench\[otel\]"):
        otel.require_opentelemetry()
