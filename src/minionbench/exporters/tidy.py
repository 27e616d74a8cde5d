"""Tidy tables of a run: one row per cell, or one per measured request, as CSV or Parquet.

Every factor of a cell has a column. A metric of a cell has four: its value, the ends of its
interval, and why it is missing where it is. A request has its durations, its tokens and its
outcome, and no text of prompt or answer. What is not known is empty (CSV) or null (Parquet).
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from minionbench.errors import SetupError
from minionbench.exchange import CUT_OFF
from minionbench.metrics import record as whole
from minionbench.metrics.request import NegativeInterval
from minionbench.metrics.table import METRICS
from minionbench.quality.grading.accuracy import Fate, Judged, judge_record
from minionbench.schema import write_atomically
from minionbench.store import read_all_records
from minionbench.units import seconds

if TYPE_CHECKING:
    from minionbench.records import RequestRecord
    from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult

Kind: TypeAlias = Literal["text", "number", "count", "truth"]
Form: TypeAlias = Literal["csv", "parquet"]
SQL = {"text": "VARCHAR", "number": "DOUBLE", "count": "BIGINT", "truth": "BOOLEAN"}
"""Type of a column in a Parquet file."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With one of these a text begins that a spreadsheet would carry out."""

Row: TypeAlias = dict[str, Any]


class Table(NamedTuple):
    """Columns with their kinds, and rows that have a value or None for each."""

    name: str
    columns: dict[str, Kind]
    rows: Callable[[], Iterator[Row]]
    """Makes the rows anew each time."""


FACTORS: dict[str, Kind] = {
    "run_id": "text",
    "cell_id": "text",
    "workload": "text",
    "deployment": "text",
    "model": "text",
    "quantization": "text",
    "reasoning": "truth",
    "remote_model": "text",
    "protocol": "text",
    "engine": "text",
    "load": "text",
    "concurrency": "count",
    "rate_per_s": "number",
    "burstiness": "number",
}
"""Columns that both tables have: where in the factorial a row stands."""

OF_A_CELL: dict[str, Kind] = {
    "items": "count",
    "repeats": "count",
    "repeat_unit": "text",
    "requests": "count",
    "failed": "count",
    "verdict": "text",
}

OF_A_REQUEST: dict[str, Kind] = {
    "repeat": "count",
    "index": "count",
    "item_id": "text",
    "outcome": "text",
    "failure": "text",
    "http_status": "count",
    "planned_s": "number",
    "sent_s": "number",
    "ttft_s": "number",
    "ttfo_s": "number",
    "total_latency_s": "number",
    "response_time_s": "number",
    "tpot_s": "number",
    "tokens_per_sec": "number",
    "calls": "count",
    "input_tokens": "count",
    "prompt_tokens": "count",
    "cached_tokens": "count",
    "output_tokens": "count",
    "reasoning_tokens": "count",
    "right": "truth",
}

_DURATIONS = {
    "ttft_s": whole.ttft_s,
    "ttfo_s": whole.ttfo_s,
    "total_latency_s": whole.total_latency_s,
    "response_time_s": whole.response_time_s,
    "tpot_s": whole.tpot_s,
    "tokens_per_sec": whole.decode_tokens_per_s,
}


def tidy_cells(run: BenchmarkRun) -> Table:
    """A row per cell: its factors, how it was measured, and its metrics."""
    there = {name for _, cell in _cells(run) for name in cell.metrics}
    names = [name for name in METRICS if name in there] + sorted(there - METRICS.keys())
    columns: dict[str, Kind] = {**FACTORS, **OF_A_CELL}
    for name in names:
        columns |= {name: "number", f"{name}_low": "number", f"{name}_high": "number"}
        columns[f"{name}_missing"] = "text"

    def rows() -> Iterator[Row]:
        for candidate, cell in _cells(run):
            yield _factors(run, candidate, cell) | _cell(cell, names)

    return Table("cells", columns, rows)


def tidy_requests(run: BenchmarkRun, path: Path) -> Table:
    """A row per measured request, those that failed included; `path` is where the document lies.

    Instants are in seconds after the first request of the run was planned. Requests that were cut
    off by the end of the run are left out.
    """

    def rows() -> Iterator[Row]:
        records = read_all_records(path, (cell for _, cell in _cells(run)))
        planned = [record.planned_ns for of in records.values() for record in of]
        zero_ns = min(planned, default=0)
        for candidate, cell in _cells(run):
            factors = _factors(run, candidate, cell)
            for record in _counting(records[cell.cell_id]):
                yield factors | _request(record, zero_ns)

    return Table("requests", {**FACTORS, **OF_A_REQUEST}, rows)


def write_tables(run: BenchmarkRun, path: Path, folder: Path, form: Form) -> tuple[Path, ...]:
    """Writes both tables of a run into a folder, as `cells` and `requests`; returns the files.

    `path` is where the run's document lies.

    Raises UsageError or SchemaError where the records are not there or were changed, SetupError
    where a file cannot be written, or DuckDB is missing for Parquet.
    """
    write = write_csv if form == "csv" else write_parquet
    written = []
    for table in (tidy_cells(run), tidy_requests(run, path)):
        file = folder / f"{table.name}.{form}"
        write(table, file)
        written.append(file)
    return tuple(written)


def write_csv(table: Table, file: Path) -> None:
    """Writes a table as CSV with a heading, atomically.

    A text that a spreadsheet would take for a formula gets an apostrophe before it. Raises
    SetupError when the file cannot be written.
    """
    write_atomically(file, _csv(table))


def write_parquet(table: Table, file: Path) -> None:
    """Writes a table as Parquet.

    Raises SetupError when it cannot be written, or DuckDB, which writes it, is not installed.
    """
    require_duckdb()
    import duckdb

    columns = ", ".join(f"{_quoted(name)}: '{SQL[kind]}'" for name, kind in table.columns.items())
    beside = file.parent / f".{file.name}.{os.getpid()}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as lines:
            for row in table.rows():
                whole_row = {name: row.get(name) for name in table.columns}
                lines.write(json.dumps(whole_row, ensure_ascii=True) + "\n")
            lines.flush()
            source = (
                f"read_json({_quoted(lines.name)}, format = 'newline_delimited', "
                f"columns = {{{columns}}})"
            )
            with duckdb.connect(":memory:") as database:
                database.execute(f"COPY (FROM {source}) TO {_quoted(str(beside))} (FORMAT parquet)")
        os.replace(beside, file)
    except OSError as error:
        raise SetupError(f"{file} cannot be written: {error.strerror}") from error
    except duckdb.Error as error:
        raise SetupError(f"{file} cannot be written as Parquet: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def require_duckdb() -> None:
    """Raises SetupError where DuckDB, which writes Parquet, is not installed."""
    from importlib.util import find_spec

    if find_spec("duckdb") is None:
        raise SetupError(
            "Parquet is written by DuckDB, which is not installed: pip install "
            "'minionbench[report]'. CSV needs nothing."
        )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _csv(table: Table) -> Iterator[bytes]:
    yield _line(list(table.columns))
    for row in table.rows():
        yield _line([_plain(row.get(name)) for name in table.columns])


def _line(values: Sequence[str]) -> bytes:
    lines: list[str] = []

    class Out:
        """Where the writer of CSV puts its line."""

        def write(self, text: str) -> None:
            """Takes a piece of it."""
            lines.append(text)

    csv.writer(Out(), lineterminator="\n").writerow(values)
    return "".join(lines).encode("utf-8", "replace")


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return repr(value)


def _cells(run: BenchmarkRun) -> Iterator[tuple[BenchmarkCandidate, CellResult]]:
    for candidate in run.candidates:
        for cell in candidate.cells:
            yield candidate, cell


def _factors(run: BenchmarkRun, candidate: BenchmarkCandidate, cell: CellResult) -> Row:
    factors, load = candidate.factors, cell.load
    return {
        "run_id": run.metadata.run_id,
        "cell_id": cell.cell_id,
        "workload": cell.workload.name,
        "deployment": factors.deployment if factors else None,
        "model": factors.model if factors else candidate.version,
        "quantization": (factors.quantization if factors else None) or candidate.quantization,
        "reasoning": factors.reasoning if factors else None,
        "remote_model": factors.remote_model if factors else None,
        "protocol": factors.protocol if factors else None,
        "engine": factors.engine if factors else None,
        "load": load.kind,
        "concurrency": load.concurrency,
        "rate_per_s": load.rate_per_s,
        "burstiness": load.burstiness,
    }


def _cell(cell: CellResult, names: Sequence[str]) -> Row:
    latency = cell.metrics.get("total_latency_s")
    about = latency.metadata if latency is not None else {}
    row: Row = {
        "items": cell.workload.items,
        "repeats": cell.repeats,
        "repeat_unit": cell.settings.get("repeat_unit", "pass"),
        "requests": about.get("requests"),
        "failed": about.get("failed"),
        "verdict": cell.verdict.status,
    }
    for name in names:
        metric = cell.metrics.get(name)
        if metric is None:
            row[f"{name}_missing"] = "not among the cell's metrics"
            continue
        bounds = metric.metadata.get("interval") or {}
        row |= {name: metric.value, f"{name}_low": bounds.get("low")}
        row[f"{name}_high"] = bounds.get("high")
        if metric.value is None:
            why = metric.error_message or metric.metadata.get("reason")
            row[f"{name}_missing"] = f"{metric.status}: {why}"
    return row


def _counting(records: Sequence[RequestRecord]) -> list[RequestRecord]:
    """The measured ones that came to their end, in the order of the plan."""
    ended = [r for r in records if r.phase == "measured" and r.outcome not in CUT_OFF]
    return sorted(ended, key=lambda record: (record.repeat, record.index))


def _request(record: RequestRecord, zero_ns: int) -> Row:
    sent_ns = whole.sent_ns(record)
    judged = judge_record(record)
    row: Row = {
        "repeat": record.repeat,
        "index": record.index,
        "item_id": record.item_id,
        "outcome": record.outcome.value,
        "failure": None if record.failure is None else record.failure.message,
        "http_status": None if record.failure is None else record.failure.http_status,
        "planned_s": seconds(record.planned_ns - zero_ns),
        "sent_s": None if sent_ns is None else seconds(sent_ns - zero_ns),
        "calls": len(record.calls),
        "input_tokens": record.input_tokens,
        "output_tokens": whole.output_tokens(record),
        "right": judged.fate is Fate.RIGHT if isinstance(judged, Judged) else None,
    }
    for name in ("prompt_tokens", "cached_tokens", "reasoning_tokens"):
        row[name] = _summed(record, name)
    for name, quantity in _DURATIONS.items():
        try:
            row[name] = quantity(record)
        except NegativeInterval:
            row[name] = None  # the verdict says that its instants contradict each other
    return row


def _summed(record: RequestRecord, name: str) -> int | None:
    """A count of all calls together; None where one of them was not counted."""
    usages = [call.reply.usage for call in record.calls]
    counts = [None if usage is None else getattr(usage, name) for usage in usages]
    known = [count for count in counts if count is not None]
    return sum(known) if counts and len(known) == len(counts) else None
