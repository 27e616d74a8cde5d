from __future__ import annotations

import json
from pathlib import Path

import pytest

from minionbench.schema import BenchmarkRun
from tests.cli.calling import call


def test_a_registry_is_listed_in_one_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = tmp_path / "registry.json"
    entry = {"version": "v1", "base_model": "llama", "model_path": str(tmp_path / "gone")}
    registry.write_text(json.dumps([entry]))
    flags = ("--registry", str(registry), "--output-dir", str(tmp_path / "runs"))
    result = call(capsys, "autobench", "--dry-run", *flags)
    assert result.code == 0
    (path,) = (tmp_path / "runs").glob("benchmark_*.json")
    (candidate,) = BenchmarkRun.load(path).candidates
    assert candidate.version == "v1"
    assert "v1" in result.out and str(path) in result.out
    assert result.err == ""
    result = call(capsys, "autobench", "--dry-run", "--verbose", *flags)
    said = " ".join(result.err.split())
    assert said.startswith(f"v1: {tmp_path / 'gone'} error: latency_ms, ")
    assert f"Model path does not exist: {tmp_path / 'gone'}" in said


def test_no_registry_yet_is_no_error_in_a_dry_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path))
    result = call(capsys, "autobench", "--dry-run")
    assert result.code == 0
    assert "There is no registry yet" in result.out
