"""Old runs are removed down to a number, with all that is theirs and nothing else."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from minionbench.errors import UsageError
from minionbench.store import list_runs, prune_runs, reserve
from tests.documents import run
from tests.making import record

START = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)


def runs(folder: Path) -> list[str]:
    """The minutes at which the runs of a folder began."""
    return [entry.run_id[-4:-2] for entry in list_runs(folder)]


def made(folder: Path, minute: int, *, finished: bool = True) -> None:
    with reserve(folder, START + timedelta(minutes=minute)) as place:
        place.journal().append(record())
        place.log_folder().joinpath("engine.log").write_text("words")
        if finished:
            place.write(run(run_id=place.run_id))


def test_the_newest_runs_stay_and_the_others_go_with_their_folders(tmp_path: Path) -> None:
    for minute in range(4):
        made(tmp_path, minute)
    first = tmp_path / "benchmark_20261121_200000.json"
    bytes_of_first = first.stat().st_size + sum(
        path.stat().st_size
        for path in (tmp_path / "data" / first.stem).rglob("*")
        if path.is_file()
    )
    pruned = prune_runs(tmp_path, 2)
    assert [one.run_id[-4:-2] for one in pruned] == ["00", "01"]
    assert pruned[0].bytes == bytes_of_first
    assert runs(tmp_path) == ["02", "03"]
    assert sorted(path.name[-4:-2] for path in (tmp_path / "data").iterdir()) == ["02", "03"]
    assert prune_runs(tmp_path, 2) == []


def test_a_dry_run_removes_nothing(tmp_path: Path) -> None:
    for minute in range(3):
        made(tmp_path, minute)
    assert [one.run_id[-4:-2] for one in prune_runs(tmp_path, 1, dry_run=True)] == ["00", "01"]
    assert runs(tmp_path) == ["00", "01", "02"]


def test_interrupted_and_invalid_runs_are_runs_like_any_other(tmp_path: Path) -> None:
    made(tmp_path, 0, finished=False)
    (tmp_path / "benchmark_20261121_200100.json").write_text("{}")
    made(tmp_path, 2)
    prune_runs(tmp_path, 2)
    assert runs(tmp_path) == ["01", "02"]
    prune_runs(tmp_path, 1)
    assert runs(tmp_path) == ["02"]


def test_a_run_under_way_is_never_removed_and_does_not_count(tmp_path: Path) -> None:
    with reserve(tmp_path, START) as under_way:
        under_way.journal().append(record())
        made(tmp_path, 1)
        made(tmp_path, 2)
        prune_runs(tmp_path, 1)
        assert runs(tmp_path) == ["00", "02"]
        under_way.write(run(run_id=under_way.run_id))


def test_files_that_are_no_runs_are_left_alone(tmp_path: Path) -> None:
    made(tmp_path, 0)
    made(tmp_path, 1)
    others = ["benchmark_of_mine.json", "notes.txt", "data/keep", "benchmark_20261121_200000.txt"]
    for name in others:
        (tmp_path / name).write_text("mine")
    prune_runs(tmp_path, 1)
    assert all((tmp_path / name).read_text() == "mine" for name in others)


def test_what_a_link_leads_to_is_not_removed(tmp_path: Path) -> None:
    made(tmp_path / "runs", 0)
    made(tmp_path / "runs", 1)
    folder = tmp_path / "runs" / "data" / "benchmark_20261121_200000"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    prune_runs(tmp_path / "runs", 1)
    assert not os.path.lexists(folder)
    assert (tmp_path / "elsewhere" / "records.jsonl").exists()


def test_what_an_interrupted_call_began_is_finished_by_the_next(tmp_path: Path) -> None:
    made(tmp_path, 0)
    made(tmp_path, 1)
    data = tmp_path / "data"
    (data / "benchmark_20261121_200000").rename(data / ".pruned-benchmark_20261121_200000")
    prune_runs(tmp_path, 1)
    assert runs(tmp_path) == ["01"]
    assert [path.name for path in data.iterdir()] == ["benchmark_20261121_200100"]


def test_at_least_one_run_stays_and_no_folder_is_no_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="At least 1"):
        prune_runs(tmp_path, 0)
    assert prune_runs(tmp_path / "none", 1) == []
    assert not (tmp_path / "none").exists()
