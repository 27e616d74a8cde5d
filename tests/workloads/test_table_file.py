"""Tables as data sets: CSV and Parquet are read as text, and what is broken says where."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import SchemaError, UsageError
from minionbench.workloads.data_set import open_data_set
from minionbench.workloads.jsonl import Line
from minionbench.workloads.table_file import read_rows
from minionbench.workloads.tokenizer import reference_tokenizer

COUNT = reference_tokenizer().count


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def fields(path: Path) -> list[dict[str, Any]]:
    return [line.fields for line in read_rows(path).lines]


def parquet(path: Path, query: str) -> Path:
    duckdb = pytest.importorskip("duckdb")
    escaped = str(path).replace("'", "''")
    with duckdb.connect(":memory:") as database:
        database.execute(f"COPY ({query}) TO '{escaped}' (FORMAT parquet)")
    return path


# --- CSV


@pytest.mark.parametrize(("name", "sign"), [("set.csv", ","), ("set.tsv", "\t"), ("SET.CSV", ",")])
def test_the_first_line_names_the_columns(tmp_path: Path, name: str, sign: str) -> None:
    rows = [["prompt", "answer", "id"], ['Say "yes",\nplease.', "4", "a"], ["And no?", "", "b"]]
    text = io.StringIO()
    csv.writer(text, delimiter=sign).writerows(rows)
    read = read_rows(written(tmp_path, name, text.getvalue()))
    assert [line.fields for line in read.lines] == [
        {"prompt": 'Say "yes",\nplease.', "answer": "4", "id": "a"},
        {"prompt": "And no?", "id": "b"},
    ]
    assert [line.number for line in read.lines] == [2, 4], "where a row begins"


def test_a_gzipped_table_and_one_with_a_mark_are_read(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbfprompt\nSay yes.\n\nSay no.\n"
    for name, data in (("a.csv", content), ("b.csv.gz", gzip.compress(content))):
        assert fields(written(tmp_path, name, data)) == [
            {"prompt": "Say yes."},
            {"prompt": "Say no."},
        ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n3\n", "line 3: 2 cells were expected, but there are 1"),
        ("a,b\n1,2,3\n", "line 2: 2 cells were expected, but there are 3"),
        ("a,b,a\n1,2,3\n", "line 1: two columns are called 'a'"),
        ('a,b\n"1"x,2\n', "line 2: .*expected"),
        ('a,b\n"1,2\n', "unexpected end of data"),
        ("a,b\n", "holds no row"),
        ("", "holds no row"),
        (b"a\n\xff\n", "is not UTF-8"),
    ],
)
def test_a_broken_table_says_where(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        read_rows(written(tmp_path, "set.csv", content))


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2),
        min_size=1,
        max_size=5,
    )
)
def test_what_a_csv_writer_wrote_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    rows = [row for row in rows if any(row)] or [["x", "y"]]
    text = io.StringIO()
    csv.writer(text).writerows([["a", "b"], *rows])
    path = written(tmp_path_factory.mktemp("csv"), "set.csv", text.getvalue())
    assert fields(path) == [
        {name: cell for name, cell in zip("ab", row, strict=True) if cell} for row in rows
    ]


def test_a_cell_may_be_longer_than_csv_allows_by_itself(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    long = "x" * (before + 1)
    assert fields(written(tmp_path, "set.csv", f"prompt\n{long}\n")) == [{"prompt": long}]
    assert csv.field_size_limit() == before


def test_a_table_of_questions_is_a_data_set(tmp_path: Path) -> None:
    path = written(tmp_path, "set.csv", "question,answer\n1+1?,so 1+1=2\n#### 2\n")
    with pytest.raises(SchemaError, match="line 3: 2 cells"):
        open_data_set(path)
    path = written(tmp_path, "set.csv", 'question,answer\n1+1?,"so 1+1=2\n#### 2"\n')
    (item,) = open_data_set(path).items(1, 0, None, COUNT)
    assert item.reference is not None and item.reference.value == "2"
    assert item.item_id.endswith("/2")


def test_text_of_a_table_is_never_a_formula_nor_a_name(tmp_path: Path) -> None:
    hostile = '=cmd|"/c calc"!A1,${HOME},`id`'
    quoted = hostile.replace('"', '""')
    path = written(tmp_path, "set.csv", f'prompt,id\n"{quoted}","../../etc"\n')
    (item,) = open_data_set(path).items(1, 0, None, COUNT)
    assert item.messages[0].content == hostile


# --- Parquet

ROWS = (
    "SELECT 'What is ' || i || '?' AS problem, '\\boxed{' || i || '}' AS solution, "
    "[{'page': i}] AS more, NULL::VARCHAR AS none, 'nan'::DOUBLE AS odd, 1.5::DOUBLE AS half, "
    "now() AS at FROM range(3) r(i)"
)


@pytest.mark.parametrize(
    "name", ["set.parquet", "a[1]*?.parquet", "it's.parquet", "no-ending", "http:__x.parquet"]
)
def test_parquet_is_known_by_its_first_bytes(tmp_path: Path, name: str) -> None:
    path = parquet(tmp_path / "made", ROWS).rename(tmp_path / name)
    (tmp_path / "a1other.parquet").write_bytes(b"another file that the name could stand for")
    lines = read_rows(path).lines
    assert [line.fields["problem"] for line in lines] == [f"What is {n}?" for n in range(3)]
    first = lines[0].fields
    assert (first["more"], first["none"], first["odd"], first["half"]) == (
        [{"page": 0}],
        None,
        None,
        1.5,
    )
    assert isinstance(first["at"], str)
    found = open_data_set(path)
    assert (found.name, len(found)) == ("math", 3)
    (item,) = found.items(1, 0, None, COUNT)
    assert item.reference is not None and item.reference.value in ("0", "1", "2")


def test_an_error_in_a_parquet_file_names_the_row(tmp_path: Path) -> None:
    path = parquet(tmp_path / "set.parquet", "SELECT 1 AS problem, 'x' AS solution")
    with pytest.raises(
        SchemaError, match=r"set\.parquet, row 1: problem was expected to be a text"
    ):
        open_data_set(path)


def test_what_only_begins_like_parquet_is_broken(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    for content in (b"PAR1", b"PAR1 junk PAR1", b"PAR1" + b"\xff" * 64 + b"PAR1"):
        with pytest.raises(SchemaError, match="cannot be read as Parquet"):
            read_rows(written(tmp_path, "set.parquet", content))
    empty = parquet(tmp_path / "empty.parquet", "SELECT 1 AS problem WHERE false")
    with pytest.raises(SchemaError, match="holds no row"):
        read_rows(empty)


def test_columns_with_names_of_commands_are_names(tmp_path: Path) -> None:
    name = "x\" FROM read_text('/etc/passwd') --"
    quoted = name.replace('"', '""')
    path = parquet(tmp_path / "set.parquet", f"""SELECT 1.5::DOUBLE AS "{quoted}" """)
    assert fields(path) == [{name: 1.5}]


def test_a_row_knows_that_it_is_a_row() -> None:
    assert "row 7: no" in str(Line("f", 7, {}, "row").error("no"))


def test_a_file_that_unpacks_to_more_than_fits_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minionbench.workloads import jsonl, table_file

    for module in (jsonl, table_file):
        monkeypatch.setattr(module, "LARGEST_BYTES", 100_000_000)
    bomb = gzip.compress(b"x" * 100_000_001)
    assert len(bomb) < 200_000
    with pytest.raises(UsageError, match="name a part of the data set"):
        read_rows(written(tmp_path, "set.jsonl.gz", bomb))
    rows = parquet(
        tmp_path / "set.parquet", "SELECT repeat('x', 100_000) AS prompt FROM range(1_001)"
    )
    assert rows.stat().st_size < 200_000
    with pytest.raises((UsageError, SchemaError)):
        read_rows(rows)
