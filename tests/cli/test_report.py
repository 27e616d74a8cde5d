"""`minionbench report` and `minionbench plot`, as a user calls them."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from minionbench.schema import MetricResult
from tests.cli.calling import call
from tests.report.material import candidate, cell, requests, run, with_records


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of documents with one run."""
    made = run(
        candidate("one", cell("a", accuracy_pct=50.0)),
        candidate("two", cell("b", accuracy_pct=60.0, peak_ram_mb=MetricResult.skipped("no"))),
    )
    with_records(tmp_path, made, {"a": requests([100.0] * 6), "b": requests([120.0] * 6)})
    return tmp_path


def test_a_report_of_the_latest_run_is_one_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("vl_convert")
    page = folder / "page.html"
    called = call(capsys, "report", "--output-dir", str(folder), "-o", str(page))
    assert (called.code, called.err) == (0, "")
    assert called.out.startswith(f"Report: {page} (7 figures, ")
    assert page.read_text(encoding="utf-8").count("<svg") == 14


def test_a_report_never_takes_the_place_of_a_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (document,) = folder.glob("*.json")
    before = document.read_bytes()
    called = call(capsys, "report", str(document), "--no-plots", "-o", str(document))
    assert called.code == 2
    assert "is the document of a run" in called.err
    assert document.read_bytes() == before


def test_without_the_extra_the_message_says_what_to_install_and_tables_are_made_all_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "vl_convert":
            raise ImportError(name)
        return ours(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    page = folder / "page.html"
    where = ("--output-dir", str(folder), "-o", str(page))
    called = call(capsys, "report", *where)
    assert called.code == 3
    assert "pip install 'minionbench[report]'" in called.err
    assert "--no-plots" in called.err
    assert not page.exists()
    assert call(capsys, "report", "--no-plots", *where).code == 0
    text = page.read_text(encoding="utf-8")
    assert "<svg" not in text and "<table" in text


def test_records_that_are_gone_are_said_on_standard_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (journal,) = folder.glob("data/*/records.jsonl")
    journal.unlink()
    page = folder / "page.html"
    called = call(capsys, "report", "--no-plots", "--output-dir", str(folder), "-o", str(page))
    assert called.code == 0
    assert "cannot be read" in called.err
    assert "cannot be read" in page.read_text(encoding="utf-8")


def test_a_run_that_is_not_there_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called = call(capsys, "report", "--output-dir", str(tmp_path))
    assert called.code == 2
    assert "There is no finished run" in called.err


@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_a_plot_is_a_picture_and_said_in_words(
    folder: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    pytest.importorskip("vl_convert")
    picture = folder / f"x{ending}"
    where = ("--output-dir", str(folder), "-o", str(picture))
    called = call(capsys, "plot", "--what", "latency", "--dark", *where)
    assert called.code == 0
    assert "half of the requests within" in called.out
    start = {".svg": b"<?xml", ".png": b"\x89PNG"}[ending]
    assert picture.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--what", "pie", "-o", "x.svg"), "there is no plot 'pie'. There are: overview,"),
        (("--what", "energy", "-o", "x.svg"), "no meter of energy or power was there"),
        (("--what", "comparison", "-o", "x.svg"), "it needs several runs"),
        (("--what", "latency", "-o", "x.gif"), "ends in neither"),
        (("-o", "x.svg"), "Missing option '--what'"),
    ],
)
def test_what_cannot_be_drawn_is_wrong_usage(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(folder)
    called = call(capsys, "plot", "--output-dir", str(folder), *arguments)
    assert called.code == 2
    assert said in called.err
    assert not (folder / "x.svg").exists()


def test_the_names_in_the_help_are_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    from minionbench.report import PLOTS

    said = " ".join(call(capsys, "plot", "--help").out.split())
    assert all(name in said for name in PLOTS)


def test_runs_are_compared_with_the_first_and_named_where_they_cannot_be(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for time, items in (("201500", 6), ("201900", 6), ("202300", 4)):
        made = run(candidate("one", cell("a")), run_id=f"benchmark_20261121_{time}")
        records = {"a": requests([100.0 + k for k in range(items)])}
        paths.append(str(with_records(folder, made, records)))
    page = folder / "page.html"
    made_of = ("report", "--no-plots", "-o", str(page))
    assert call(capsys, *made_of, *paths[:2]).code == 0
    text = page.read_text(encoding="utf-8")
    assert "Compared with 20:15:00" in text and "cannot tell" in text
    # A run that is named twice is one run.
    assert call(capsys, *made_of, paths[0], paths[0]).code == 0
    assert "Compared with" not in page.read_text(encoding="utf-8")
