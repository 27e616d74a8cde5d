from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from minionbench.errors import SchemaError, SetupError
from minionbench.exchange import Message, Request
from minionbench.exporters import tidy
from minionbench.exporters.tidy import (
    Table,
    tidy_cells,
    tidy_requests,
    write_csv,
    write_parquet,
    write_tables,
)
from minionbench.metrics import record as whole
from minionbench.schema import BenchmarkRun
from minionbench.store import read_records
from tests.documents import candidate, cell, full_run, run
from tests.study import Questions
from tests.sweep.support import cells_of, simulated, swept


class Failing(Questions):
    """Of its items the second always fails."""

    def requests(self, n: int, seed: int) -> Iterator[Request]:
        for index, request in enumerate(super().requests(n, seed)):
            asked = request.messages[0].content + " [[simulate:server_error]]" * (index == 1)
            yield msgspec.structs.replace(request, messages=(Message("user", asked),))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[BenchmarkRun, Path]:
    folder = tmp_path_factory.mktemp("runs")
    with simulated() as servers:
        workloads = [Questions("balanced"), Failing("decode")]
        outcome = swept(servers, folder, workload=workloads)
    return outcome.run, outcome.path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_cell_is_a_row_with_its_factors_and_metrics() -> None:
    (row,) = tidy_cells(full_run()).rows()
    assert row["cell_id"] == "decode"
    assert (row["deployment"], row["model"], row["remote_model"]) == (
        "local",
        "reference/q8_0",
        "remote/model",
    )
    assert (row["quantization"], row["reasoning"], row["protocol"]) == ("Q8_0", False, "minion")
    assert (row["load"], row["concurrency"], row["rate_per_s"]) == ("closed", 1, None)
    assert (row["repeats"], row["repeat_unit"], row["verdict"]) == (3, "pass", "suspect")
    assert (row["ttft_s"], row["ttft_s_low"], row["ttft_s_high"]) == (0.25, 0.2, 0.3)
    assert "ttft_s_missing" not in row


def test_what_is_missing_says_why_and_is_no_number() -> None:
    from minionbench.schema import MetricResult

    made = run(
        candidate(
            cells=(
                cell("a", metrics={"ttft_s": MetricResult.error("no server")}),
                cell("b", metrics={"ttft_s": MetricResult.skipped("hidden")}),
                cell("c", metrics={}),
            )
        )
    )
    rows = list(tidy_cells(made).rows())
    assert [row.get("ttft_s") for row in rows] == [None] * 3
    assert [row["ttft_s_missing"] for row in rows] == [
        "error: no server",
        "skipped: hidden",
        "not among the cell's metrics",
    ]


def test_a_request_is_a_row_that_failed_ones_have_too(
    measured: tuple[BenchmarkRun, Path],
) -> None:
    document, path = measured
    table = tidy_requests(document, path)
    rows = list(table.rows())
    assert len(rows) == 4 * 2 * 2
    assert {row["outcome"] for row in rows} == {"ok", "http_error"}
    assert all(set(row) == set(table.columns) for row in rows)
    by_place = {(row["cell_id"], row["repeat"], row["index"]): row for row in rows}
    for cell_id, of_cell in cells_of(document).items():
        for record in read_records(path, of_cell):
            if record.phase != "measured":
                continue
            row = by_place[cell_id, record.repeat, record.index]
            assert row["outcome"] == record.outcome.value
            assert row["total_latency_s"] == whole.total_latency_s(record)
            assert row["item_id"] == record.item_id
            if not record.ok:
                assert row["http_status"] == 500 and row["ttft_s"] is None and row["failure"]
    assert min(row["planned_s"] for row in rows) >= 0
    assert {row["deployment"] for row in rows} == {"local", "remote"}


def test_csv_and_parquet_hold_the_same(measured: tuple[BenchmarkRun, Path], tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    document, path = measured
    written = write_tables(document, path, tmp_path, "csv")
    assert [file.name for file in written] == ["cells.csv", "requests.csv"]
    write_tables(document, path, tmp_path, "parquet")
    for name in ("cells", "requests"):
        plain = rows_of(tmp_path / f"{name}.csv")
        with duckdb.connect(":memory:") as database:
            found = database.execute(f"FROM '{tmp_path / name}.parquet'")
            columns = [one[0] for one in found.description]
            exact = [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
        assert columns == list(plain[0])
        assert len(exact) == len(plain)
        for one, two in zip(plain, exact, strict=True):
            assert {k: v for k, v in one.items() if v} == {
                k: tidy._plain(v) for k, v in two.items() if tidy._plain(v)
            }
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def hostile(text: str) -> Table:
    return Table("t", {"said": "text", "n": "count"}, lambda: iter([{"said": text, "n": None}]))


@pytest.mark.parametrize("text", ["=1+1", "+1", "@a", "-1", "\t=1"])
def test_a_text_that_a_spreadsheet_would_carry_out_is_kept_from_it(
    text: str, tmp_path: Path
) -> None:
    write_csv(hostile(text), tmp_path / "t.csv")
    assert rows_of(tmp_path / "t.csv") == [{"said": f"'{text}", "n": ""}]


@pytest.mark.parametrize("text", ['a "b", c\nd', "", "\\N", "é\u2028", "'; DROP TABLE t; --"])
def test_any_text_comes_through(text: str, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    odd = tmp_path / "it's"
    write_parquet(hostile(text), odd / "t.parquet")
    with duckdb.connect(":memory:") as database:
        path = str(odd / "t.parquet").replace("'", "''")
        assert database.execute(f"FROM '{path}'").fetchall() == [(text, None)]
    write_csv(hostile(text), tmp_path / "t.csv")
    expected = f"'{text}" if text.startswith(tidy.FORMULA) else text
    assert [row["said"] for row in rows_of(tmp_path / "t.csv")] == [expected]


def test_without_duckdb_parquet_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec

    def without(name: str, *more: Any) -> Any:
        return None if name == "duckdb" else found(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(SetupError, match=r"minionbench\[report\]"):
        write_parquet(hostile("x"), tmp_path / "t.parquet")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (write_csv, write_parquet):
        with pytest.raises(SetupError, match=r"file/t\.x"):
            write(hostile("x"), tmp_path / "file" / "t.x")


def test_records_that_were_changed_are_not_exported(
    measured: tuple[BenchmarkRun, Path], tmp_path: Path
) -> None:
    document, path = measured
    journal = tmp_path / "data" / document.metadata.run_id / "records.jsonl"
    journal.parent.mkdir(parents=True)
    original = path.parent / "data" / document.metadata.run_id / "records.jsonl"
    journal.write_bytes(original.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(SchemaError, match="was changed"):
        list(tidy_requests(document, tmp_path / path.name).rows())
