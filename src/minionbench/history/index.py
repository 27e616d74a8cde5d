"""All documents of a folder as tables that answer SQL.

Reading thousands of documents takes seconds; so their rows are kept beside the runs, as Parquet
files, and only documents that are new or have changed are read again. What is kept is a copy: a
damaged one, or one of another version, is made anew, and where it cannot be written the tables are
there all the same.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from minionbench import __version__
from minionbench.errors import MinionbenchError, SetupError, UsageError
from minionbench.history.rows import TABLES, rows_of
from minionbench.schema import BenchmarkRun
from minionbench.schema.atomic import write_atomically
from minionbench.schema.run import collector_paused
from minionbench.store import DATA, document_paths

if TYPE_CHECKING:
    import duckdb

FOLDER = "history"
INDEX = "index.json"
NEEDS_DUCKDB = (
    "The history is asked in SQL, which needs DuckDB: `pip install 'minionbench[report]'`, or "
    "`pip install duckdb`"
)


class _Index(msgspec.Struct, frozen=True):
    """Which documents the kept rows are of."""

    form: str
    generation: str
    """Part of the names of the files that belong to this index."""
    read: dict[str, tuple[int, int]]
    """Name → (nanoseconds of its last change, bytes) of each document that was read."""
    refused: dict[str, str]
    """Name → why, of documents that are not valid."""


FORM = f"1 {__version__} " + " ".join(
    f"{table}({','.join(columns)})" for table, columns in TABLES.items()
)
"""Rows of another form, or made by another version, are made anew."""


class History:
    """The runs of a folder as the tables `runs`, `cells` and `metrics`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, refused: Mapping[str, str]) -> None:
        self._connection = connection
        self.refused = dict(refused)
        """Why documents were left out, by the name of their file."""

    @classmethod
    def open(cls, runs_dir: Path) -> Self:
        """The history of a folder of documents; one that is not there yet has no runs.

        Raises SetupError where DuckDB is not installed, UsageError for a folder that cannot be
        read.
        """
        connection = _connected()
        try:
            refused = _fill(connection, runs_dir)
            # From here on somebody's SQL is run: it may read the tables, and no file.
            connection.execute("SET temp_directory = ''")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
        except BaseException:  # Ctrl-C too: nobody else could close it
            connection.close()
            raise
        return cls(connection, refused)

    def ask(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The columns and rows that a query gives; its `$name`s stand for the parameters.

        Raises UsageError with DuckDB's own words for one that it refuses.
        """
        import duckdb

        try:
            answer = self._connection.execute(sql, parameters)
            if answer is None:
                raise UsageError(
                    "The query is empty; ask for something, as in `SELECT * FROM runs`"
                )
            return _apart([column[0] for column in answer.description or ()]), answer.fetchall()
        except duckdb.Error as error:
            if isinstance(error.__cause__, ImportError) or "'pytz'" in str(error):
                raise UsageError(
                    "A time with its zone cannot be shown; make it one in UTC, as in "
                    "`SELECT now()::TIMESTAMP`"
                ) from error
            raise UsageError(f"The query was refused: {error}") from error

    def close(self) -> None:
        """Gives up the tables."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _apart(names: Sequence[str]) -> list[str]:
    """The names of columns with a number behind each that was there before, so that no column
    takes another one's place in an object."""
    apart: dict[str, None] = {}
    for name in names:
        free, count = name, 0
        while free in apart:
            count += 1
            free = f"{name}_{count}"
        apart[free] = None
    return list(apart)


def _connected() -> duckdb.DuckDBPyConnection:
    try:
        import duckdb
    except ImportError as error:
        raise SetupError(NEEDS_DUCKDB) from error
    # Extensions would be fetched from the network when a query asks for one.
    return duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    )


def _fill(connection: duckdb.DuckDBPyConnection, runs_dir: Path) -> dict[str, str]:
    """Makes the tables, from what is kept and from the documents; why some were left out."""
    import duckdb

    there = _documents(runs_dir)
    kept_in = runs_dir / DATA / FOLDER
    index = _kept_index(kept_in)
    if index is not None:
        try:
            _load(connection, kept_in, index.generation)
        except duckdb.Error:
            index = None
    if index is None:
        _make(connection)
        index = _Index(FORM, "", {}, {})
    known = index.read
    gone = [name for name in known if there.get(name) != known[name]]
    new = [name for name in there if known.get(name) != there[name]]
    refused = {name: why for name, why in index.refused.items() if name not in gone}
    if not gone and not new:
        return refused
    if gone:
        _drop(connection, gone)
    with collector_paused():
        refused |= _read(connection, runs_dir, new)
    with contextlib.suppress(MinionbenchError, OSError, duckdb.Error):
        _keep(connection, kept_in, _Index(FORM, secrets.token_hex(8), there, refused))
    return refused


def _documents(runs_dir: Path) -> dict[str, tuple[int, int]]:
    """Each document's (last change, size) by the name of its file."""
    try:
        found = {}
        for path in document_paths(runs_dir):
            with contextlib.suppress(FileNotFoundError):  # pruned meanwhile
                about = path.stat()
                found[path.name] = (about.st_mtime_ns, about.st_size)
        return found
    except OSError as error:
        raise UsageError(f"The folder {runs_dir} cannot be read: {error.strerror}") from error


def _kept_index(folder: Path) -> _Index | None:
    try:
        index = msgspec.json.decode((folder / INDEX).read_bytes(), type=_Index)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return index if index.form == FORM and index.generation.isalnum() else None


def _make(connection: duckdb.DuckDBPyConnection) -> None:
    for table, columns in TABLES.items():
        fields = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        connection.execute(f"CREATE OR REPLACE TABLE {table} ({fields})")


def _load(connection: duckdb.DuckDBPyConnection, folder: Path, generation: str) -> None:
    for table in TABLES:
        connection.execute(
            f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM read_parquet(?)",
            [str(folder / _file(table, generation))],
        )


def _file(table: str, generation: str) -> str:
    return f"{table}-{generation}.parquet"


def _drop(connection: duckdb.DuckDBPyConnection, documents: Sequence[str]) -> None:
    run_ids = [name.removesuffix(".json") for name in documents]
    for table in TABLES:
        connection.execute(f"DELETE FROM {table} WHERE run_id IN (SELECT unnest(?))", [run_ids])


def _read(
    connection: duckdb.DuckDBPyConnection, runs_dir: Path, names: Iterable[str]
) -> dict[str, str]:
    """Reads documents into the tables; why some could not be."""
    refused: dict[str, str] = {}
    encoder = msgspec.json.Encoder()
    pieces: dict[str, list[bytes]] = {table: [] for table in TABLES}
    for name in names:
        try:
            run = BenchmarkRun.load(runs_dir / name)
        except MinionbenchError as error:
            refused[name] = str(error)
            continue
        if f"{run.metadata.run_id}.json" != name:
            refused[name] = f"it is run {run.metadata.run_id} under another name"
            continue
        for table, rows in rows_of(run, name)._asdict().items():
            columns = tuple(TABLES[table])
            objects = [dict(zip(columns, row, strict=True)) for row in rows]
            pieces[table].append(encoder.encode_lines(objects))
    for table, content in pieces.items():
        _insert(connection, table, content)
    return refused


def _insert(connection: duckdb.DuckDBPyConnection, table: str, content: Sequence[bytes]) -> None:
    """Adds rows, each one line of JSON: DuckDB reads them a hundred times faster than it takes
    them one by one."""
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in TABLES[table].items())
    with _beside(content) as path:
        connection.execute(
            f"INSERT INTO {table} SELECT * FROM read_json(?, format = 'newline_delimited', "
            f"columns = {{{columns}}}, maximum_object_size = 268435456)",
            [str(path)],
        )


@contextlib.contextmanager
def _beside(content: Sequence[bytes]) -> Iterator[Path]:
    """A file of that content for as long as the block takes."""
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile(prefix="minionbench-history-", suffix=".jsonl") as file:
        file.writelines(content)
        file.flush()
        yield Path(file.name)


def _keep(connection: duckdb.DuckDBPyConnection, folder: Path, index: _Index) -> None:
    """Keeps the tables for the next time; the index last, so that it never names what is not."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        path = folder / _file(table, index.generation)
        connection.execute(
            f"COPY {table} TO '{str(path).replace(chr(39), chr(39) * 2)}' (FORMAT parquet)"
        )
    write_atomically(folder / INDEX, msgspec.json.encode(index))
    current = {INDEX, *(_file(table, index.generation) for table in TABLES)}
    for entry in os.scandir(folder):
        if entry.name not in current and entry.name.endswith(".parquet"):
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
