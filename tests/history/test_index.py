from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from minionbench.errors import SetupError, UsageError
from minionbench.history.index import History
from minionbench.schema import MetricResult
from tests import documents

pytest.importorskip("duckdb")


def save(folder: Path, minute: int, value: float = 0.012, **metadata: object) -> Path:
    """A run of one cell, started in that minute."""
    run_id = f"benchmark_20261121_20{minute:02}00"
    cell = documents.cell(metrics={"ttft_s": MetricResult.ok(value, unit="s", n=5)})
    run = documents.run(
        documents.candidate("reference/q8_0", cells=(cell,)),
        run_id=run_id,
        timestamp=f"2026-11-21T21:{minute:02}:00+01:00",
        **metadata,
    )
    path = folder / f"{run_id}.json"
    run.save(path)
    return path


def asked(folder: Path, sql: str) -> list[tuple[object, ...]]:
    with History.open(folder) as history:
        return history.ask(sql)[1]


ALL = "SELECT run_id, value FROM metrics WHERE metric = 'ttft_s' ORDER BY run_id"


def test_a_run_is_a_row_of_each_table_with_its_instant_in_utc(tmp_path: Path) -> None:
    save(tmp_path, 11)
    with History.open(tmp_path) as history:
        columns, ((run_id, at),) = history.ask("SELECT run_id, timestamp::VARCHAR FROM runs")
        assert columns[0] == "run_id"
        assert (run_id, at) == ("benchmark_20261121_201100", "2026-11-21 20:11:00")
        ((workload, load, verdict),) = history.ask("SELECT workload, load, verdict FROM cells")[1]
        assert (workload, load, verdict) == ("decode", "closed", "valid")
        row = "SELECT cell_id, status, value, unit, better, n FROM metrics WHERE metric = 'ttft_s'"
        assert history.ask(row)[1] == [("decode", "ok", 0.012, "s", "lower", 5)]
        whole = "SELECT why FROM metrics WHERE metric = 'latency_ms' AND cell_id IS NULL"
        assert history.ask(whole)[1] == [("nothing was measured",)]


def test_what_is_new_changed_or_gone_is_seen_the_next_time(tmp_path: Path) -> None:
    first, second = save(tmp_path, 11, 1.0), save(tmp_path, 12, 2.0)
    assert [value for _, value in asked(tmp_path, ALL)] == [1.0, 2.0]
    save(tmp_path, 13, 3.0)
    assert [value for _, value in asked(tmp_path, ALL)] == [1.0, 2.0, 3.0]
    first.unlink()
    save(tmp_path, 12, 2.5)
    os.utime(second, ns=(1, 1))
    assert [value for _, value in asked(tmp_path, ALL)] == [2.5, 3.0]


def test_documents_that_were_read_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 11)
    before = asked(tmp_path, ALL)
    monkeypatch.setattr("minionbench.history.index.rows_of", None)
    assert asked(tmp_path, ALL) == before


def test_damaged_copies_are_made_anew(tmp_path: Path) -> None:
    save(tmp_path, 11)
    before = asked(tmp_path, ALL)
    kept = tmp_path / "data" / "history"
    for damage in (b"", b"{", b"\xff", b'{"form": 1}'):
        (kept / "index.json").write_bytes(damage)
        assert asked(tmp_path, ALL) == before
    for path in kept.glob("*.parquet"):
        path.write_bytes(b"not a table")
    assert asked(tmp_path, ALL) == before
    for path in kept.glob("*.parquet"):
        path.unlink()
    assert asked(tmp_path, ALL) == before
    assert len(list(kept.glob("*.parquet"))) == 3


def test_where_nothing_can_be_kept_the_tables_are_there_all_the_same(tmp_path: Path) -> None:
    save(tmp_path, 11)
    (tmp_path / "data").write_text("a file is in the way")
    assert len(asked(tmp_path, ALL)) == 1


def test_documents_that_are_not_valid_are_left_out_and_named(tmp_path: Path) -> None:
    save(tmp_path, 11)
    (tmp_path / "benchmark_20261121_201200.json").write_text("{}")
    renamed = tmp_path / "benchmark_20261121_201300.json"
    renamed.write_bytes((tmp_path / "benchmark_20261121_201100.json").read_bytes())
    for _ in range(2):
        with History.open(tmp_path) as history:
            assert sorted(history.refused) == [
                "benchmark_20261121_201200.json",
                "benchmark_20261121_201300.json",
            ]
            assert "under another name" in history.refused[renamed.name]
            assert len(history.ask("SELECT * FROM runs")[1]) == 1


def test_a_folder_that_is_not_there_yet_has_no_runs_and_stays_so(tmp_path: Path) -> None:
    assert asked(tmp_path / "none", ALL) == []
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY runs TO 'stolen.csv'",
        "ATTACH 'other.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELECT * FROM nothing",
        "not a query",
    ],
)
def test_a_query_reads_the_tables_and_nothing_else(tmp_path: Path, sql: str) -> None:
    save(tmp_path, 11)
    with History.open(tmp_path) as history, pytest.raises(UsageError, match="query was refused"):
        history.ask(sql)


def test_hostile_text_is_a_value_like_any_other(tmp_path: Path) -> None:
    hostile = "'; DROP TABLE runs; --\n\x00\x1b[2J\",{"
    save(tmp_path, 11, command_line=hostile)
    ((kept,),) = asked(tmp_path, "SELECT command_line FROM runs")
    assert kept == hostile


def test_without_the_database_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(SetupError, match=r"pip install 'minionbench\[report\]'"):
        History.open(tmp_path)
