"""The documents of the registry benchmark, by the import path and the words of its description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import benchmarks
from benchmarks.schema import (
    REGISTRY_METRICS,
    BenchmarkCandidate,
    BenchmarkRun,
    MetricResult,
    MetricStatus,
    RunMetadata,
    SchemaError,
    SystemInfo,
    registry_metrics,
)
from minionbench.schema import PartError
from tests.documents import full_run

METADATA = {
    "run_id": "benchmark_20261121_201100",
    "timestamp": "2026-11-21T20:11:00+00:00",
    "git_sha": "0123456",
    "git_branch": "main",
    "git_dirty": False,
    "command_line": "scripts/run_autobench.py --dry-run",
    "dry_run": True,
}
SYSTEM = {
    "hostname": "host",
    "platform": "Linux",
    "platform_version": "#1 SMP",
    "python_version": "3.11.7",
    "cpu_info": "a processor",
    "cpu_count": 8,
    "total_ram_gb": 31.2,
    "gpu_info": None,
    "cuda_version": None,
}
CANDIDATE = {
    "version": "v1.0",
    "model_type": "quantized",
    "model_path": "/models/v1.0",
    "base_model": "llama",
    "quantization": "4bit",
    "distilled_from": None,
    "file_size_mb": 1890.4,
    "parameter_count": None,
}
MISSING = MetricResult(
    status=MetricStatus.ERROR, error_message="Model path does not exist: /path/to/model"
)


def made(**metrics: MetricResult) -> BenchmarkRun:
    """A run of one candidate, whose other metrics are errors."""
    candidate = BenchmarkCandidate(**CANDIDATE, metrics=registry_metrics(MISSING) | metrics)
    return BenchmarkRun(
        metadata=RunMetadata(**METADATA),
        system_info=SystemInfo(**SYSTEM),
        candidates=[candidate],  # type: ignore[arg-type]
    )


def test_a_run_is_made_of_the_fields_of_the_description(tmp_path: Path) -> None:
    run = made()
    document = json.loads(run.to_json())
    assert METADATA.items() <= document["metadata"].items()
    assert SYSTEM.items() <= document["system_info"].items()
    assert CANDIDATE.items() <= document["candidates"][0].items()
    run.save(tmp_path / "benchmark.json")
    assert BenchmarkRun.load(tmp_path / "benchmark.json") == run


def test_the_example_of_the_description_is_how_an_error_is_written() -> None:
    metrics = json.loads(made().to_json())["candidates"][0]["metrics"]
    assert list(metrics) == [
        "latency_ms",
        "tokens_per_sec",
        "peak_vram_mb",
        "peak_ram_mb",
        "cove_pass_rate",
        "retrieval_score",
    ]
    assert metrics["latency_ms"] == {
        "status": "error",
        "value": None,
        "error_message": "Model path does not exist: /path/to/model",
        "metadata": {},
    }


@pytest.mark.parametrize("name", REGISTRY_METRICS)
def test_a_metric_is_read_as_an_attribute(name: str) -> None:
    candidate = made(**{name: MetricResult.ok(12.5, unit="ms")}).candidates[0]
    metric = getattr(candidate, name)
    assert metric.status == "ok"
    assert metric.status == MetricStatus.OK
    assert metric.value == 12.5
    assert [status.value for status in MetricStatus] == ["ok", "skipped", "error"]


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "ok"},
        {"status": "ok", "value": 1.0, "error_message": "broken"},
        {"status": "ok", "value": float("nan")},
        {"status": "ok", "value": float("inf")},
        {"status": "ok", "value": "fast"},
        {"status": "skipped"},
        {"status": "skipped", "metadata": {"reason": ""}},
        {"status": "skipped", "value": 0.0, "metadata": {"reason": "no backend"}},
        {"status": "error"},
        {"status": "error", "error_message": ""},
        {"status": "error", "value": 0.0, "error_message": "broken"},
        {"status": "failed"},
        {"value": 1.0},
        {"status": "ok", "value": 1.0, "unit": "ms"},
    ],
)
def test_no_metric_fails_silently(fields: dict[str, Any]) -> None:
    with pytest.raises(PartError):
        MetricResult(**fields)


@pytest.mark.parametrize("model_type", ["base", "quantized", "distilled", "quantized+distilled"])
def test_the_types_of_models_are_those_of_the_description(model_type: str) -> None:
    fields = CANDIDATE | {"model_type": model_type, "metrics": registry_metrics(MISSING)}
    assert BenchmarkCandidate(**fields).model_type == model_type


@pytest.mark.parametrize("name", REGISTRY_METRICS)
def test_a_candidate_without_one_of_its_metrics_is_refused(name: str) -> None:
    metrics = registry_metrics(MISSING)
    del metrics[name]
    with pytest.raises(PartError, match=name):
        BenchmarkCandidate(**CANDIDATE, metrics=metrics)


def test_what_is_wrong_with_a_file_is_named_with_its_path(tmp_path: Path) -> None:
    document = json.loads(made().to_json())
    document["candidates"][0]["metrics"]["latency_ms"]["status"] = "ok"
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(document))
    with pytest.raises(SchemaError) as caught:
        BenchmarkRun.load(path)
    assert caught.value.path == "candidates.0.metrics.latency_ms.value"
    assert str(path) in str(caught.value)


def test_a_run_with_measured_cells_is_the_same_kind_of_document(tmp_path: Path) -> None:
    full_run().save(tmp_path / "benchmark.json")
    assert BenchmarkRun.load(tmp_path / "benchmark.json") == full_run()


def test_the_package_offers_what_its_schema_does() -> None:
    for name in benchmarks.__all__:
        assert getattr(benchmarks, name) is getattr(benchmarks.schema, name)
