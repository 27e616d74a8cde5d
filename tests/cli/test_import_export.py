"""`minionbench import` and `export` as a user calls them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from minionbench.cli import import_
from minionbench.importers import KINDS
from tests.cli.calling import call
from tests.exporters.measured_run import written
from tests.exporters.stub_mlflow import MlflowStub
from tests.exporters.stub_server import serving
from tests.importers import foreign_results as foreign

Capture = pytest.CaptureFixture[str]


def test_the_kinds_of_the_flag_are_those_that_can_be_read() -> None:
    assert tuple(KINDS) == import_.KINDS


@pytest.mark.parametrize(
    ("tree", "shown"),
    [
        (foreign.vllm(), "vLLM bench serve states: medians"),
        (foreign.aiperf(), "aiperf 0.13.0 states: medians"),
        (foreign.guidellm(), "guidellm 0.8.0"),
        ([foreign.llama_bench(0, 8, 5.0)], "Q4_K_M"),
        (foreign.lm_eval(), "arc_easy 75.0%"),
    ],
)
def test_what_was_imported_can_be_shown_compared_and_reported(
    tree: object, shown: str, tmp_path: Path, capsys: Capture
) -> None:
    path, folder = tmp_path / "result.json", str(tmp_path / "runs")
    path.write_text(json.dumps(tree))
    called = call(capsys, "import", str(path), str(path), "-o", folder, "--format", "json")
    assert called.code == 0
    base, new = (one["run_id"] for one in json.loads(called.out))
    called = call(capsys, "runs", "show", base, "-o", folder)
    assert called.code == 0
    assert shown in " ".join(called.out.split())
    called = call(capsys, "compare", base, new, "-o", folder)
    assert called.code == 0, called.err
    page = tmp_path / "report.html"
    called = call(capsys, "report", base, "-o", str(page), "--output-dir", folder, "--no-plots")
    assert called.code == 0
    assert page.stat().st_size > 1_000


def test_figures_of_another_program_are_not_compared_with_ours(
    tmp_path: Path, capsys: Capture
) -> None:
    path, folder = tmp_path / "result.json", str(tmp_path / "runs")
    trees = [foreign.vllm(), foreign.vllm(date="20261121-000000")]
    del trees[1]["median_ttft_ms"]
    for tree in trees:
        path.write_text(json.dumps(tree))
        assert call(capsys, "import", str(path), "-o", folder).code == 0
    called = call(capsys, "compare", "latest~1", "latest", "-o", folder)
    assert called.code == 2
    assert "statistic" in called.err


def test_a_file_that_cannot_be_imported_is_an_error_of_two_words_more(
    tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a\\u001b[31m": 1}')
    called = call(capsys, "import", str(path), "-o", str(tmp_path))
    assert called.code == 2
    assert "no result that can be imported" in called.err


def test_prometheus_text_goes_to_the_terminal_or_a_file(tmp_path: Path, capsys: Capture) -> None:
    document, _ = written(tmp_path)
    called = call(capsys, "export", str(document), "--to", "prometheus")
    assert called.code == 0
    assert "\nminionbench_ttft_seconds{" in called.out
    file = tmp_path / "run.prom"
    assert call(capsys, "export", str(document), "--to", "prometheus", "-o", str(file)).code == 0
    assert file.read_text() == called.out


def test_tables_go_into_a_folder(tmp_path: Path, capsys: Capture) -> None:
    document, _ = written(tmp_path)
    called = call(capsys, "export", str(document), "--to", "csv", "-o", str(tmp_path / "t"))
    assert called.code == 0
    with (tmp_path / "t" / "requests.csv").open(newline="") as file:
        assert [row["outcome"] for row in csv.DictReader(file)] == ["ok", "ok", "http_error"]


def test_a_run_goes_to_mlflow_with_a_key_by_reference(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    document, _ = written(tmp_path)
    monkeypatch.setenv("MY_KEY", "topsecrettoken")
    with serving(MlflowStub("topsecrettoken")) as stub:
        arguments = ("export", str(document), "--to", "mlflow", "--url", stub.url)
        called = call(capsys, *arguments, "--api-key-env", "MY_KEY")
        assert called.code == 0, called.err
        assert "2 runs below it" in called.out
        refused = call(capsys, *arguments)
        assert refused.code == 3
    assert "topsecrettoken" not in called.out + called.err + refused.err


def test_a_run_goes_to_a_collector_that_the_environment_names(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    document, _ = written(tmp_path)
    with serving(lambda _: (200, b"", {})) as stub:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", stub.url)
        called = call(capsys, "export", str(document), "--to", "otel")
    assert called.code == 0, called.err
    assert "6 histograms of 3 calls" in called.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "csv", "--url", "http://h"), "--url says nothing to --to csv"),
        (("--to", "otel", "-o", "x"), "--output says nothing"),
        (("--to", "mlflow", "--timestamps"), "--timestamps says nothing"),
        (("--to", "mlflow"), "Name its address by --url"),
        (("--to", "mlflow", "--url", "nowhere"), "takes an address"),
        (("--to", "mlflow", "--url", "http://u:hunter2@h"), "no user and password"),
        (("--to", "mlflow", "--url", "http://h", "--api-key-env", "sk-1 2"), "not the key"),
        (("--to", "otel", "--url", "http://h", "--api-key-env", "UNSET_KEY"), "is empty"),
        (("--to", "mlflow", "--url", "http://h", "--experiment", " "), "--experiment"),
        (
            (
                "--to",
                "paper",
            ),
            "is not one of",
        ),
    ],
)
def test_wrong_flags_are_named(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "OTEL_EXPORTER_OTLP_ENDPOINT", "UNSET_KEY"):
        monkeypatch.delenv(name, raising=False)
    document, _ = written(tmp_path)
    called = call(capsys, "export", str(document), *arguments)
    assert called.code in (2, 3)
    assert said in called.err
    assert "hunter2" not in called.err
    assert "sk-1 2" not in called.err
