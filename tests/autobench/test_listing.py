"""The registry benchmark: from the registry to the document."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from minionbench.autobench import AutobenchOutcome, run_autobench, run_benchmark
from minionbench.errors import SchemaError, SetupError, UsageError
from minionbench.names import REGISTRY_METRICS
from minionbench.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    MetricResult,
    registry_metrics,
)
from minionbench.store import list_runs, registry_path
from tests.documents import candidate, run


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory without a registry for each test."""
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "state"))


def dry_run(folder: Path, entries: object) -> AutobenchOutcome:
    """A dry run over a registry of these entries in `folder`."""
    path = folder / "registry.json"
    path.write_text(json.dumps(entries))
    return run_autobench(path, folder / "runs", dry_run=True, argv=["autobench"])


def only(outcome: AutobenchOutcome) -> BenchmarkCandidate:
    (candidate,) = outcome.run.candidates
    return candidate


def entry(**fields: Any) -> dict[str, Any]:
    return {"version": "v1", "model_path": "model"} | fields


def test_a_model_that_is_there_is_skipped_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(bytes(3 * 2**19))
    model = only(
        dry_run(
            tmp_path,
            [entry(base_model="llama", quantization="Q4_0", distilled_from="adapter")],
        )
    )
    assert (model.version, model.model_type) == ("v1", "quantized+distilled")
    assert (model.model_path, model.base_model) == ("model", "llama")
    assert (model.quantization, model.distilled_from) == ("Q4_0", "adapter")
    assert model.file_size_mb == 1.5
    assert model.parameter_count is None
    assert model.notes == ()
    assert set(model.metrics) == set(REGISTRY_METRICS)
    for metric in model.metrics.values():
        assert metric.status == "skipped"
        assert metric.metadata["reason"].startswith("dry run")


def test_a_model_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    absent = ["/no/such/model", "model", "file/below"]
    outcome = dry_run(tmp_path, [entry(model_path=path) for path in absent])
    messages = [
        "Model path does not exist: /no/such/model",
        f"Model path does not exist: {tmp_path}/model",
        f"Model path does not exist: {tmp_path}/file/below",
    ]
    for model, message in zip(outcome.run.candidates, messages, strict=True):
        assert model.metrics == registry_metrics(MetricResult.error(message))
        assert model.file_size_mb is None


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "~nobody-of-that-name/model", "", None])
def test_a_path_that_cannot_be_one_is_an_error(tmp_path: Path, path: str | None) -> None:
    model = only(dry_run(tmp_path, [entry(model_path=path)]))
    assert {metric.status for metric in model.metrics.values()} == {"error"}


def test_a_home_directory_in_a_path_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "model").write_bytes(b"x")
    model = only(dry_run(tmp_path, [entry(model_path="~/model")]))
    assert model.latency_ms.status == "skipped"


def test_a_bad_entry_becomes_a_candidate_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"x")
    outcome = dry_run(
        tmp_path, [entry(), entry(version="v2", model_path=3), 7, entry(version="v4")]
    )
    assert [c.version for c in outcome.run.candidates] == ["v1", "v2", "registry[2]", "v4"]
    statuses = [c.latency_ms.status for c in outcome.run.candidates]
    assert statuses == ["skipped", "error", "error", "skipped"]
    bad = outcome.run.candidates[1]
    assert len({metric.error_message for metric in bad.metrics.values()}) == 1
    assert bad.latency_ms.error_message == (
        "The registry's entry cannot be used: registry[1]: "
        "Expected `str | null`, got `int` - at `$.model_path`"
    )


def test_versions_that_stand_twice_are_both_kept_and_noted(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"x")
    outcome = dry_run(tmp_path, [entry(), entry(version="v2"), entry(quantization="Q4_0")])
    first, other, again = outcome.run.candidates
    assert (first.model_type, again.model_type) == ("base", "quantized")
    assert first.notes == again.notes == ("This version stands in the registry 2 times.",)
    assert other.notes == ()
    assert "Versions that stand in the registry more than once: 1." in outcome.run.metadata.notes


def write_gguf(path: Path, form: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32) -> int:
    """A GGUF file of two tensors, the larger in this format; returns how many parameters it has."""
    writer = gguf.GGUFWriter(path, "llama")
    weights = gguf.quants.quantize(np.zeros((4, 32), np.float32), form)
    writer.add_tensor("token_embd.weight", weights, raw_dtype=form)
    writer.add_tensor("output_norm.weight", np.zeros(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return 4 * 32 + 32


def test_the_parameters_of_a_gguf_file_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    parameters = write_gguf(path)
    model = only(dry_run(tmp_path, [entry(model_path="model.gguf")]))
    assert model.parameter_count == parameters
    assert model.file_size_mb == path.stat().st_size / 2**20
    assert model.notes == ()


@pytest.mark.parametrize(
    ("quantization", "form", "named"),
    [
        (None, "F32", None),
        ("none", "F32", None),
        ("F32", "F32", None),
        ("F16", "F32", "'F16'"),
        ("4bit", "F32", "'4bit'"),
        (None, "Q8_0", "nothing"),
        ("none", "Q8_0", "'none'"),
        ("8bit", "Q8_0", None),
        ("q8_0", "Q8_0", None),
        ("Q4_0", "Q8_0", "'Q4_0'"),
    ],
)
def test_a_registry_that_contradicts_the_file_is_noted(
    tmp_path: Path, quantization: str | None, form: str, named: str | None
) -> None:
    write_gguf(tmp_path / "model.gguf", gguf.GGMLQuantizationType[form])
    model = only(dry_run(tmp_path, [entry(model_path="model.gguf", quantization=quantization)]))
    expected = f"The registry says {named} of the weight format, and the file {form!r}."
    assert model.notes == (() if named is None else (expected,))


def test_a_damaged_gguf_file_is_listed_without_parameters(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(2**20 - 4))
    model = only(dry_run(tmp_path, [entry(model_path="model.gguf")]))
    assert model.parameter_count is None
    assert model.file_size_mb == 1.0
    (note,) = model.notes
    assert note.startswith("The parameters were not counted: ")
    assert model.latency_ms.status == "skipped"


def test_a_size_that_is_not_known_is_null_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").symlink_to("gone")
    model = only(dry_run(tmp_path, [entry()]))
    assert model.file_size_mb is None
    assert model.notes == (
        f"The size is not known: {tmp_path}/model/weights cannot be looked at: "
        "No such file or directory",
    )


def test_the_document_says_which_run_it_is(tmp_path: Path) -> None:
    outcome = dry_run(tmp_path, [])
    about = outcome.run.metadata
    assert BenchmarkRun.load(outcome.path) == outcome.run
    assert outcome.path == tmp_path / "runs" / f"{about.run_id}.json"
    assert (about.dry_run, about.finished, about.command_line) == (True, True, "autobench")
    assert about.notes == (f"The registry is {tmp_path}/registry.json.",)
    assert outcome.run.system_info.hostname
    assert os.listdir(tmp_path / "runs" / "data") == []


def test_a_key_on_the_command_line_is_not_written_down(tmp_path: Path) -> None:
    path = run_benchmark(None, tmp_path, dry_run=True, argv=["autobench", "--api-key=abcdef"])
    assert "abcdef" not in path.read_text()


def test_without_the_default_registry_a_dry_run_says_where_it_is_expected(tmp_path: Path) -> None:
    assert not registry_path().exists()
    outcome = run_autobench(None, tmp_path, dry_run=True)
    assert outcome.run.candidates == ()
    assert outcome.run.metadata.notes == (
        f"There is no registry yet: it is expected at {registry_path()}.",
    )
    assert outcome.exit_code == 0


def test_the_default_registry_is_that_of_the_state_directory(tmp_path: Path) -> None:
    registry_path().parent.mkdir(parents=True)
    registry_path().write_text(json.dumps([entry(model_path="m")]))
    (registry_path().parent / "m").write_bytes(b"x")
    path = run_benchmark(dry_run=True)
    assert path.parent == tmp_path / "state" / "benchmarks" / "runs"
    (model,) = BenchmarkRun.load(path).candidates
    assert model.latency_ms.status == "skipped"


def test_without_the_default_registry_there_is_nothing_to_measure(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it is expected at"):
        run_autobench(None, tmp_path)
    assert list_runs(tmp_path) == []


@pytest.mark.parametrize("dry", [True, False])
def test_a_registry_that_is_named_must_be_there(tmp_path: Path, dry: bool) -> None:
    for name in (tmp_path / "absent.json", ""):
        with pytest.raises(UsageError) as caught:
            run_autobench(name, tmp_path / "runs", dry_run=dry)
        assert caught.value.exit_code == 2
    assert list_runs(tmp_path / "runs") == []


def test_a_corrupt_registry_makes_no_document(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    path.write_text("[{")
    with pytest.raises(SchemaError):
        run_autobench(path, tmp_path / "runs", dry_run=True)
    assert list_runs(tmp_path / "runs") == []
    assert path.read_text() == "[{"


def test_a_folder_that_cannot_be_written_is_a_set_up_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError):
        run_autobench(None, tmp_path / "file", dry_run=True)


def test_the_exit_code_says_whether_something_failed(tmp_path: Path) -> None:
    measured = candidate(metrics=registry_metrics(MetricResult.ok(1.0)))
    skipped = candidate()
    failed = candidate(metrics=registry_metrics(MetricResult.error("it failed")))
    for candidates, dry, code in (
        ([measured], False, 0),
        ([measured, skipped], False, 0),
        ([measured, failed], False, 1),
        ([failed], True, 0),
        ([], False, 0),
    ):
        outcome = AutobenchOutcome(run(*candidates, dry_run=dry), tmp_path)
        assert outcome.exit_code == code


def test_a_registry_below_a_folder_of_odd_bytes_is_read(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    outcome = dry_run(folder, [entry()])
    assert BenchmarkRun.load(outcome.path) == outcome.run
    message = only(outcome).latency_ms.error_message
    assert message is not None
    assert message.endswith(r"caf\udce9/model")
