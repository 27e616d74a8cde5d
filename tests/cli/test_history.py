from __future__ import annotations

import json
from pathlib import Path

import pytest

from minionbench.cli.history import course
from tests.cli import sample
from tests.cli.calling import call

pytest.importorskip("duckdb")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sample.run(sample.candidate(sample.cell())).save(tmp_path / f"{sample.RUN_ID}.json")
    return tmp_path


def test_a_query_is_answered_as_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT cell_id, value FROM metrics WHERE metric = 'ttft_s'"
    result = call(capsys, "runs", "sql", sql, "-o", str(folder))
    assert result.code == 0
    assert [line.split() for line in result.out.splitlines()] == [
        ["cell_id", "value"],
        ["prefill", "0.0162000"],
        ["1", "row"],
    ]


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_programs_get_what_they_can_read(
    folder: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    sql = "SELECT run_id, finished, timestamp FROM runs"
    out = call(capsys, "runs", "sql", sql, "--format", form, "-o", str(folder)).out
    if form == "csv":
        assert out.splitlines()[0] == "run_id,finished,timestamp"
        assert out.splitlines()[1].startswith(f"{sample.RUN_ID},")
    else:
        read = json.loads(out)
        row = read[0] if form == "json" else read
        assert row["run_id"] == sample.RUN_ID
        assert row["timestamp"].startswith("2026-11-21T")


def test_a_wrong_query_is_wrong_usage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "runs", "sql", "SELECT oops FROM runs", "-o", str(folder))
    assert result.code == 2
    assert "oops" in result.err


@pytest.mark.parametrize("query", ["", "  ", ";", "SELECT now()"])
def test_a_query_without_an_answer_that_can_be_shown_is_wrong_usage(
    folder: Path, capsys: pytest.CaptureFixture[str], query: str
) -> None:
    result = call(capsys, "runs", "sql", query, "-o", str(folder))
    assert result.code == 2
    assert "`SELECT " in result.err


def test_what_is_no_finite_number_is_shown_as_a_word(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sql = "SELECT 'nan'::DOUBLE AS a, '-inf'::DOUBLE AS b, 1 AS a"
    table = call(capsys, "runs", "sql", sql, "-o", str(folder))
    assert table.out.splitlines()[1].split() == ["nan", "-inf", "1"]
    told = call(capsys, "runs", "sql", sql, "-o", str(folder), "--format", "json").out
    assert json.loads(told) == [{"a": "nan", "b": "-inf", "a_1": 1}]


def test_documents_that_are_not_valid_are_told_of(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "benchmark_20261121_201300.json").write_text("{}")
    result = call(capsys, "runs", "sql", "SELECT count(*) FROM runs", "-o", str(folder))
    assert result.code == 0
    assert "1 document is not valid and left out, as benchmark_20261121_201300.json" in result.err


def test_a_trend_shows_each_series_and_its_latest_value(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "runs", "trend", "ttft_s", "-w", "prefill", "-o", str(folder))
    assert result.code == 0
    first, second = result.out.splitlines()[:2]
    assert first.startswith("ttft_s · reference/q8_0")
    assert "1 run, latest 0.0162 s" in second
    told = call(capsys, "runs", "trend", "ttft_s", "--format", "json", "-o", str(folder)).out
    (series,) = json.loads(told)
    assert series["points"][0]["run_id"] == sample.RUN_ID


def test_an_unknown_metric_is_answered_with_those_there_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "runs", "trend", "speed", "-o", str(folder))
    assert result.code == 2
    assert "ttft_s" in result.err


def test_a_folder_without_runs_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "runs", "trend", "-o", str(tmp_path))
    assert result.code == 0
    assert "No run has measured that" in result.out


def test_a_course_goes_from_the_lowest_to_the_highest_bar() -> None:
    assert course([1.0, 2.0, 8.0]) == "▁▂█"
    assert course([5.0, 5.0]) == "▁▁"
    assert len(course([float(i) for i in range(1_000)])) == 40
