from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from minionbench.schema import BenchmarkRun
from minionbench.store import reserve
from tests import making
from tests.cli import sample
from tests.cli.calling import call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run, one that was interrupted after a request, and a file that is none."""
    sample.run(sample.candidate(sample.cell())).save(tmp_path / f"{sample.RUN_ID}.json")
    with reserve(tmp_path, datetime(2026, 11, 21, 20, 12, tzinfo=UTC)) as run:
        run.journal().append(making.record())
    (tmp_path / "benchmark_20261121_201300.json").write_text("{}")
    return tmp_path


def test_runs_are_listed_with_what_became_of_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "runs", "list", "-o", str(folder))
    rows = [line.split(maxsplit=2) for line in result.out.splitlines()]
    assert result.code == 0
    assert rows[1] == ["benchmark_20261121_201100", "complete", "reference/q8_0"]
    assert rows[2][:2] == ["benchmark_20261121_201200", "interrupted"]
    assert rows[2][2].startswith("1 finished request in ")
    assert rows[3][:2] == ["benchmark_20261121_201300", "invalid"]


def test_a_run_that_was_cut_short_is_listed_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = sample.run(sample.candidate(sample.cell()), finished=False)
    cut.save(tmp_path / f"{sample.RUN_ID}.json")
    result = call(capsys, "runs", "list", "-o", str(tmp_path))
    assert "cut short: reference/q8_0" in result.out


def test_a_program_reads_the_same_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(call(capsys, "runs", "list", "--format", "json", "-o", str(folder)).out)
    assert [entry["state"] for entry in listed] == ["complete", "interrupted", "invalid"]
    assert listed[0]["document"] == str(folder / f"{sample.RUN_ID}.json")
    assert listed[0]["models"] == ["reference/q8_0"]
    assert listed[1]["document"] is None
    assert listed[1]["finished_requests"] == 1
    assert listed[2]["problem"]


def test_no_runs_are_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "runs", "list", "-o", str(tmp_path / "new"))
    assert result.code == 0
    assert "No runs in" in result.out
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("which", [sample.RUN_ID, "20261121_201100", None])
def test_a_run_is_shown_by_id_or_path(
    which: str | None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = which or str(folder / f"{sample.RUN_ID}.json")
    result = call(capsys, "runs", "show", named, "-o", str(folder), "--format", "json")
    assert result.code == 0
    assert BenchmarkRun.from_json(result.out).metadata.run_id == sample.RUN_ID


def test_an_interrupted_run_has_no_document_to_show(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "runs", "show", "20261121_201200", "-o", str(folder))
    assert result.code == 2
    assert "interrupted" in result.err


def test_old_runs_are_pruned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("runs", "prune", "--keep", "2", "-o", str(folder))
    dry = call(capsys, *asked, "--dry-run")
    assert dry.code == 0
    assert dry.out.splitlines()[0] == sample.RUN_ID
    assert dry.out.splitlines()[1].startswith("Would remove 1 run, ")
    assert (folder / f"{sample.RUN_ID}.json").exists()
    done = call(capsys, *asked)
    assert done.out == dry.out.replace("Would remove", "Removed")
    assert not (folder / f"{sample.RUN_ID}.json").exists()
    assert call(capsys, "runs", "prune", "--keep", "0", "-o", str(folder)).code == 2
    assert call(capsys, "runs", "prune", "-o", str(folder)).code == 2
