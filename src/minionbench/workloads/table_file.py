"""Reading the rows of a data set that is a table: CSV, or Parquet by DuckDB.

Whatever a cell holds is text or a plain value; nothing is executed, and nothing but the one file is
opened.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from minionbench.errors import SchemaError, UsageError
from minionbench.workloads.jsonl import (
    LARGEST_BYTES,
    UTF8_MARK,
    File,
    Line,
    Lines,
    json_line,
    json_lines,
    read_file,
    shown,
    too_large,
)

PARQUET_MAGIC = b"PAR1"
SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""What parts the cells of a file, by its name's ending; a `.gz` after it is looked past."""
ROWS_AT_ONCE = 256


def read_rows(path: str | PathLike[str]) -> Lines:
    """Read a data set's file: Parquet by its first bytes, CSV by its name, else JSON Lines.

    Raises:
        UsageError: the file cannot be read, or Parquet cannot without DuckDB.
        SchemaError: it is not what it claims to be, or holds no row.
    """
    file = read_file(path)
    if file.content.startswith(PARQUET_MAGIC):
        return _lines(file, _parquet_rows(file))
    name = str(path).lower().removesuffix(".gz")
    for ending, separator in SEPARATORS.items():
        if name.endswith(ending):
            return _lines(file, _csv_rows(file, separator))
    return json_lines(file)


def _lines(file: File, rows: Iterator[Line]) -> Lines:
    lines = tuple(rows)
    if not lines:
        raise SchemaError(f"{file.name} holds no row.")
    return Lines(file.name, file.sha256, lines)


def _csv_rows(file: File, separator: str) -> Iterator[Line]:
    """The rows under the heading; an empty cell is one that is not there."""
    try:
        text = file.content.removeprefix(UTF8_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise SchemaError(f"{file.name} is not UTF-8: {error}.") from error
    before = csv.field_size_limit(max(len(text), 1))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        names = _names(file, next(reader, []))
        first = reader.line_num + 1
        for cells in reader:
            line = Line(
                file.name,
                first,
                {n: cell for n, cell in zip(names, cells, strict=False) if cell != ""},
            )
            first = reader.line_num + 1
            if not cells:
                continue
            if len(cells) != len(names):
                raise line.error(f"{len(names)} cells were expected, but there are {len(cells)}.")
            yield line
    except csv.Error as error:
        raise SchemaError(f"{file.name}, line {reader.line_num}: {error}.") from error
    finally:
        csv.field_size_limit(before)


def _names(file: File, heading: Sequence[str]) -> list[str]:
    names = [name.strip() for name in heading]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise SchemaError(f"{file.name}, line 1: two columns are called {shown(twice)}.")
    return names


def _parquet_rows(file: File) -> Iterator[Line]:
    try:
        import duckdb
    except ImportError:
        raise UsageError(
            f"{file.name} is a Parquet file, which is read by DuckDB: pip install "
            "'minionbench[report]'; or convert it to JSON Lines"
        ) from None
    # A copy has a name without the signs that DuckDB would take for a pattern or a protocol, and
    # nobody changes it after its checksum was taken.
    with tempfile.TemporaryDirectory(prefix="minionbench-") as folder:
        copy = Path(folder).resolve() / "rows.parquet"
        copy.write_bytes(file.content)
        try:
            with duckdb.connect(":memory:") as database:
                _shut_in(database, copy)
                # As JSON every row has the plain values that a line of JSON has.
                found = database.execute(
                    f"SELECT CAST(to_json(one) AS VARCHAR) FROM ({_finite(database, copy)}) one",
                    [str(copy)],
                )
                held = number = 0
                while rows := found.fetchmany(ROWS_AT_ONCE):
                    for (row,) in rows:
                        number += 1
                        held += len(row)
                        if held > LARGEST_BYTES:
                            raise too_large(file.name)
                        yield json_line(file.name, number, row, kind="row")
        except duckdb.Error as error:
            said = shown(str(error).partition("\n")[0].replace(str(copy), "it"))
            raise SchemaError(f"{file.name} cannot be read as Parquet: {said}") from error


def _finite(database: Any, file: Path) -> str:
    """The query of all columns, numbers that JSON has no word for left out of their cells."""
    columns = database.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(file)]).fetchall()
    quoted = ['"' + column[0].replace('"', '""') + '"' for column in columns]
    floating = [
        f"CASE WHEN isfinite({name}) THEN {name} END AS {name}"
        for name, column in zip(quoted, columns, strict=True)
        if column[1] in ("DOUBLE", "FLOAT")
    ]
    replaced = f" REPLACE ({', '.join(floating)})" if floating else ""
    return f"SELECT *{replaced} FROM read_parquet(?)"


def _shut_in(database: Any, file: Path) -> None:
    """Leaves a database nothing to read but the file: no other path, no network, no extension."""
    database.execute("SET autoinstall_known_extensions = false")
    database.execute("SET autoload_known_extensions = false")
    database.execute("SET threads = 1")
    database.execute(f"SET memory_limit = '{LARGEST_BYTES // 2**20} MiB'")
    quoted = str(file).replace("'", "''")
    database.execute(f"SET allowed_paths = ['{quoted}']")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
