"""Runs of MLflow, made by calls that keep to its rules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.errors import SetupError
from minionbench.exchange import Secret
from minionbench.exporters.mlflow import batches, export_run
from minionbench.exporters.posting import Server
from minionbench.schema import BenchmarkRun, MetricResult
from tests import documents
from tests.cli import sample
from tests.exporters.stub_mlflow import KEY, MlflowStub
from tests.exporters.stub_server import serving

TOKEN = "topsecrettoken"


def sent(run: BenchmarkRun, mlflow: MlflowStub) -> None:
    with serving(mlflow) as stub:
        export_run(run, Server(stub.url, "MLflow", Secret(TOKEN)), "speed")


def test_a_document_is_a_run_with_one_below_it_per_cell() -> None:
    cells = (sample.cell("prefill"), sample.cell("decode", sample.reason()))
    mlflow = MlflowStub(TOKEN)
    sent(sample.run(sample.candidate(*cells)), mlflow)
    assert mlflow.experiments == {"speed": "1"}
    parent, own, prefill, decode = mlflow.runs.values()
    assert parent["name"] == sample.RUN_ID
    assert {run["status"] for run in mlflow.runs.values()} == {"FINISHED"}
    assert prefill["tags"]["mlflow.parentRunId"] == "run0"
    assert own["metrics"]["peak_ram_mb"] == 42.5
    assert "cove_pass_rate: not looked at" in own["tags"]["minionbench.missing"]
    assert prefill["metrics"]["ttft_s"] == 0.0162
    assert prefill["metrics"]["ttft_s_low"] == 0.0159
    assert prefill["metrics"]["requests"] == 30
    assert prefill["params"]["load.concurrency"] == "1"
    assert decode["tags"]["minionbench.verdict"] == "suspect"
    assert decode["tags"]["minionbench.doubts"] == "start_lag"


def test_an_experiment_that_is_there_is_used_again() -> None:
    mlflow = MlflowStub(TOKEN)
    run = sample.run(sample.candidate(sample.cell()))
    sent(run, mlflow)
    sent(run, mlflow)
    assert mlflow.experiments == {"speed": "1"}


def test_a_run_that_was_cut_short_is_said_to_be_killed() -> None:
    mlflow = MlflowStub(TOKEN)
    sent(sample.run(sample.candidate(sample.cell()), finished=False), mlflow)
    assert {run["status"] for run in mlflow.runs.values()} == {"KILLED"}


def test_what_was_begun_when_a_call_fails_is_marked_as_failed() -> None:
    mlflow = MlflowStub(TOKEN)
    mlflow.refuse = "runs/log-batch"
    with pytest.raises(SetupError, match="500") as refused:
        sent(sample.run(sample.candidate(sample.cell())), mlflow)
    assert {run["status"] for run in mlflow.runs.values()} == {"FAILED"}
    assert TOKEN not in str(refused.value)


def test_a_wrong_token_is_told_apart_from_a_wrong_address() -> None:
    with pytest.raises(SetupError, match="who are you"):
        sent(sample.run(), MlflowStub("another"))
    page = serving(lambda _: (200, b"<html>", {}))
    with page as stub, pytest.raises(SetupError, match="does not answer as MLflow"):
        export_run(sample.run(), Server(stub.url, "MLflow"))


def test_more_than_a_batch_holds_goes_in_several() -> None:
    metrics = [{"key": f"m{n}", "value": 1.0, "timestamp": 2, "step": 0} for n in range(2_500)]
    params = {f"p{n}": "v" for n in range(250)}
    made = list(batches("r", metrics, params, {"t": "v"}))
    for batch in made:
        assert len(batch["params"]) <= 100
        assert len(batch["metrics"]) + len(batch["params"]) + len(batch["tags"]) <= 1_000
    assert sum(len(batch["metrics"]) for batch in made) == 2_500
    assert sum(len(batch["params"]) for batch in made) == 250


def test_a_cell_of_many_settings_keeps_to_the_rules() -> None:
    settings_ = {f"../odd /näme{n}:{'x' * 300}": "v" * 10_000 for n in range(3)}
    many = {f"s{n}": n for n in range(300)}
    cell = sample.cell("decode", ttft_s=MetricResult.ok(1e-300, unit="s")).but(
        settings={**settings_, **many}
    )
    mlflow = MlflowStub(TOKEN)
    sent(sample.run(sample.candidate(cell)), mlflow)
    assert len(mlflow.runs["run2"]["params"]) > 300


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.text(max_size=300), st.text(max_size=20), max_size=5))
def test_any_name_becomes_one_that_mlflow_takes(params: dict[str, str]) -> None:
    mlflow = MlflowStub()
    mlflow.runs["r"] = {"params": {}, "metrics": {}}
    for batch in batches("r", [], params, {}):
        mlflow.log_batch(batch)
    assert all(KEY.fullmatch(name) for name in mlflow.runs["r"]["params"])


def test_a_full_document_keeps_to_the_rules() -> None:
    mlflow = MlflowStub(TOKEN)
    sent(documents.full_run(), mlflow)
    assert len(mlflow.runs) == 3
