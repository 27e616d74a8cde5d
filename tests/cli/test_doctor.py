from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from minionbench.cli import doctor
from tests.cli.calling import call
from tests.engines.support import http_server


def look(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    """What the doctor finds, by name."""
    result = call(capsys, "doctor", "--format", "json")
    return {finding["name"]: finding for finding in json.loads(result.out)}


def test_a_machine_that_runs_the_tests_has_all_that_is_needed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = call(capsys, "doctor")
    assert result.code == 0
    assert "MISSING" not in result.out
    assert "embedded engine" in result.out


def test_arrival_stamps_are_really_tried() -> None:
    stamped, reads = doctor.stamped_reads()
    assert reads == 5
    assert stamped == (5 if sys.platform == "linux" else 0)


def test_keys_are_never_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-value")
    result = call(capsys, "doctor", "--format", "json")
    assert "sk-secret-value" not in result.out + result.err
    found = look(capsys)
    assert found["OPENAI_API_KEY"]["found"] == "set"
    assert found["ANTHROPIC_API_KEY"]["found"] == "not set"


def test_a_folder_that_cannot_be_written_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "file"))
    result = call(capsys, "doctor")
    assert result.code == 1
    assert "--output-dir" in result.out
    assert look(capsys)["folder of runs"]["state"] == "missing"


def test_an_engine_that_cannot_be_loaded_is_missing_with_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A package of that name, found first, that fails as one without its library does."""
    (tmp_path / "xllamacpp.py").write_text(
        "raise ImportError('libgomp.so.1: cannot open shared object file')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engine = look(capsys)["embedded engine"]
    assert engine["state"] == "missing"
    assert engine["advice"] == "apt-get install -y libgomp1"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_an_engine_that_crashes_does_not_take_the_doctor_with_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "xllamacpp.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engine = look(capsys)["embedded engine"]
    assert (engine["state"], engine["found"]) == (
        "missing",
        "xllamacpp died with SIGILL when loaded",
    )


def test_tools_are_looked_for_on_the_path(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = look(capsys)
    assert found["nvidia-smi"]["found"] == str(tool)
    assert found["gcc"]["state"] == "note"
    assert "apt-get install" in found["gcc"]["advice"]


def test_an_ollama_server_is_found_where_the_environment_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_server({"/api/version": (200, b'{"version": "0.99.1"}')}) as (url, _):
        monkeypatch.setenv("OLLAMA_HOST", url)
        assert look(capsys)["Ollama"]["found"] == f"0.99.1 at {url}"
    with http_server({"/api/version": (200, b"<html>")}) as (url, _):
        monkeypatch.setitem(os.environ, "OLLAMA_HOST", url)
        assert look(capsys)["Ollama"]["state"] == "note"
