"""`minionbench runs sql` and `runs trend`: all runs of a folder asked at once."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minionbench.cli.output import folder_option
from minionbench.cli.text import aligned, escaped, in_one_line, printable
from minionbench.units import number_of, significant

if TYPE_CHECKING:
    from minionbench.history.index import History
    from minionbench.history.trend import Change, Series

BARS = "▁▂▃▄▅▆▇█"
SPARKS = 40
"""Most characters of a course: neighbouring runs share one, by their median."""


@click.command(name="sql")
@click.argument("query")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "jsonl", "csv"]),
    default="table",
    show_default=True,
    help="table for people, the others for programs.",
)
@folder_option
def sql_command(query: str, form: str, output_dir: Path | None) -> None:
    """Ask all runs of a folder in SQL.

    There are three tables, runs, cells and metrics, joined by run_id, candidate and cell_id;
    `DESCRIBE metrics` shows the columns of one. A metric of a candidate as a whole has no cell_id.
    Times are in UTC. The query can read these tables, no file and no network.
    """
    with opened(output_dir) as history:
        columns, rows = history.ask(query)
    click.echo("".join(table_of(columns, rows, form)), nl=False)


@click.command(name="trend")
@click.argument("metric", required=False)
@click.option("-m", "--model", metavar="NAME", help="Of models with this in their name only.")
@click.option("-w", "--workload", metavar="NAME", help="Of this workload only.")
@click.option(
    "--candidates",
    is_flag=True,
    help="The metrics of candidates as a whole, as a registry's, in place of their cells'.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="table for people, json for programs.",
)
@folder_option
def trend_command(
    metric: str | None,
    model: str | None,
    workload: str | None,
    candidates: bool,
    form: str,
    output_dir: Path | None,
) -> None:
    """Show how METRIC went over all runs, and the runs where it changed.

    METRIC is a name as ttft_s, or left out for TTFT, decode rate and accuracy. Runs make one series
    where they asked one model the same items under the same load on one machine. A change is told
    where the ranks of the runs before and after it differ more than in 99 of 100 other orders of
    the same runs; that takes at least 5 runs on each side or thereabouts.
    """
    from minionbench.errors import UsageError
    from minionbench.history.trend import trends
    from minionbench.metrics.table import METRICS

    if metric is not None and metric not in METRICS:
        raise UsageError(f"There is no metric {metric!r}; there are {', '.join(METRICS)}")
    default = ("latency_ms", "tokens_per_sec") if candidates else DEFAULT
    with opened(output_dir) as history:
        found = [
            series
            for name in ((metric,) if metric else default)
            for series in trends(
                history, metric=name, model=model, workload=workload, of_cells=not candidates
            )
            if series.points
        ]
    if form == "json":
        click.echo(json.dumps([as_json(series) for series in found], indent=2))
    elif found:
        click.echo("\n".join(line for series in found for line in lines(series)))
    else:
        click.echo("No run has measured that; `minionbench runs list` shows the runs there are.")


DEFAULT = ("ttft_s", "tokens_per_sec", "accuracy_pct")
"""Metrics that are shown where none is named."""


def opened(output_dir: Path | None) -> History:
    """The history of a folder; says on standard error what was left out."""
    from minionbench.history.index import History
    from minionbench.store import runs_dir

    history = History.open(runs_dir(output_dir))
    if history.refused:
        name, why = next(iter(history.refused.items()))
        left = number_of(len(history.refused), "document is", "documents are")
        click.echo(
            f"minionbench: {left} not valid and left out, as {name}: {printable(why)}", err=True
        )
    return history


def table_of(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: str) -> Iterator[str]:
    """An answer in one of the forms, in pieces."""
    if form == "json":
        yield dumped([_object(columns, row) for row in rows], indent=2) + "\n"
    elif form == "jsonl":
        for row in rows:
            yield dumped(_object(columns, row)) + "\n"
    elif form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([columns, *([plain(value) for value in row] for row in rows)])
        yield escaped(out.getvalue()).replace("\\u000a", "\n")
    elif columns:
        numeric = [
            all(isinstance(row[i], (int, float)) for row in rows) for i in range(len(columns))
        ]
        shown = [list(columns), *([in_one_line(shortly(value)) for value in row] for row in rows)]
        for line in aligned(shown, numeric):
            yield line + "\n"
        yield f"{number_of(len(rows), 'row')}\n"


def _object(columns: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in zip(columns, row, strict=True)}


def dumped(value: Any, indent: int | None = None) -> str:
    """JSON, with control characters escaped."""
    return escaped(json.dumps(value, indent=indent, ensure_ascii=False, default=plain))


def plain(value: Any) -> Any:
    """A value of the database as JSON and CSV can have it."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no number for it
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def shortly(value: Any) -> str:
    """A value for a person."""
    if isinstance(value, float):
        return significant(value, 6) if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return "" if value is None else str(value)


def lines(series: Series) -> Iterator[str]:
    """A series for a person: what it is, its course, and where it changed."""
    what = [series.candidate, *series.factors, series.workload or "", series.load or ""]
    yield in_one_line(" · ".join([series.metric, *filter(None, what)]))
    values = [point.value for point in series.points]
    runs = number_of(len(values), "run")
    about = f"  {course(values)}  {runs}, latest {significant(values[-1])} {series.unit}"
    if series.left_out:
        about += f"; {number_of(series.left_out, 'run has', 'runs have')} no value to be believed"
    yield about
    for change in series.changes:
        yield in_one_line("  " + told(change, series.unit))
    yield ""


def told(change: Change, unit: str) -> str:
    """A change in a sentence."""
    by = "" if change.ratio is None else f" ({change.ratio - 1:+.1%})"
    also = f"; with it: {', '.join(change.also)}" if change.also else ""
    return (
        f"{change.direction} from {change.run_id} on: {significant(change.before)} → "
        f"{significant(change.after)} {unit}{by}, p = {change.p_value:.2g}{also}"
    )


def course(values: Sequence[float]) -> str:
    """The course of the values as a row of bars, from the lowest to the highest."""
    from minionbench.stats import median

    if len(values) > SPARKS:
        edges = [len(values) * i // SPARKS for i in range(SPARKS + 1)]
        values = [median(values[a:b]) for a, b in pairwise(edges)]
    low, high = min(values), max(values)
    if low == high:
        return BARS[0] * len(values)
    return "".join(BARS[round((v - low) / (high - low) * (len(BARS) - 1))] for v in values)


def as_json(series: Series) -> dict[str, Any]:
    """A series for a program."""
    import msgspec

    about: dict[str, Any] = msgspec.to_builtins(series)
    return {**about, "unit": series.unit, "points": [point_json(p) for p in series.points]}


def point_json(point: Any) -> dict[str, Any]:
    """A run's figures by their names."""
    return {name: plain(value) for name, value in point._asdict().items()}
