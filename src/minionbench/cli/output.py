"""A run in each of the forms that `--format` offers."""

from __future__ import annotations

import csv
import errno
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minionbench.cli import text
from minionbench.cli.sweep_table import is_sweep, swept
from minionbench.cli.table import (
    columns_of,
    has_own_figures,
    interval,
    reason_of,
    report,
    requests,
    unit_of,
    value,
)
from minionbench.errors import SetupError

if TYPE_CHECKING:
    from minionbench.cli.progress import Progress
    from minionbench.schema import BenchmarkCandidate, BenchmarkRun, MetricResult

FIELDS = (
    "run_id",
    "candidate",
    "cell",
    "workload",
    "metric",
    "status",
    "value",
    "unit",
    "low",
    "high",
    "level",
    "n",
    "why",
)
"""Columns of the flat forms, `jsonl` and `csv`: one row per metric of a cell or candidate."""


def rows(run: BenchmarkRun) -> Iterator[dict[str, Any]]:
    """Each metric as one flat row; of a candidate as a whole, `cell` and `workload` are None."""
    for candidate in run.candidates:
        name = candidate.factors.model if candidate.factors else candidate.version
        for metric_name, metric in candidate.metrics.items():
            yield row(run.metadata.run_id, name, None, None, metric_name, metric)
        for cell in candidate.cells:
            for metric_name, metric in cell.metrics.items():
                place = (cell.cell_id, cell.workload.name)
                yield row(run.metadata.run_id, name, *place, metric_name, metric)


def row(
    run_id: str,
    candidate: str,
    cell: str | None,
    workload: str | None,
    name: str,
    metric: MetricResult,
) -> dict[str, Any]:
    """One metric as a flat row; what it does not have is None."""
    about = metric.metadata
    bounds = about.get("interval") or {}
    return {
        "run_id": run_id,
        "candidate": candidate,
        "cell": cell,
        "workload": workload,
        "metric": name,
        "status": str(metric.status),
        "value": metric.value,
        "unit": about.get("unit"),
        "low": bounds.get("low"),
        "high": bounds.get("high"),
        "level": bounds.get("level"),
        "n": about.get("n"),
        "why": metric.error_message or about.get("reason"),
    }


def as_table(run: BenchmarkRun, path: Path | None) -> str:
    """For a person at a terminal."""
    lines = swept if is_sweep(run) else report
    return "\n".join(lines(run, path, text.width())) + "\n"


def as_json(run: BenchmarkRun, path: Path | None) -> str:
    """The document itself."""
    return text.escaped(run.to_json())


def as_jsonl(run: BenchmarkRun, path: Path | None) -> str:
    """One JSON object per metric and line."""
    return "".join(
        text.escaped(json.dumps({"event": "metric", **row}, ensure_ascii=False)) + "\n"
        for row in rows(run)
    )


def as_csv(run: BenchmarkRun, path: Path | None) -> str:
    """One line per metric, with a heading; what is None is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    for fields in rows(run):
        writer.writerow(
            {k: text.escaped(v) if isinstance(v, str) else v for k, v in fields.items()}
        )
    return out.getvalue()


def as_markdown(run: BenchmarkRun, path: Path | None) -> str:
    """A table to paste into an issue or a page."""
    lines = []
    for candidate in run.candidates:
        name = candidate.factors.model if candidate.factors else candidate.version
        lines += [f"**{cell_text(name)}** ({run.metadata.run_id})", ""]
        if not candidate.cells or has_own_figures(candidate):
            lines += [*own_figures(candidate), ""]
        if not candidate.cells:
            continue
        columns = columns_of(candidate.cells)
        units = [unit_of(column, candidate.cells) for column in columns]
        heads = [f"{c.title}, {unit}" for c, (unit, _) in zip(columns, units, strict=True)]
        lines.append(markdown_row(["workload", "requests", *heads, "right, %", "verdict"]))
        lines.append(markdown_row(["---", *["---:"] * (2 + len(columns)), "---"]))
        for cell in candidate.cells:
            cells = [cell.workload.name, requests(cell)]
            shown = [
                (column.metric, factor) for column, (_, factor) in zip(columns, units, strict=True)
            ]
            for metric_name, factor in [*shown, ("accuracy_pct", 1.0)]:
                metric = cell.metrics.get(metric_name)
                bounds = interval(metric, factor)
                cells.append(value(metric, factor) + (f" ({bounds})" if bounds else ""))
            lines.append(markdown_row([*cells, cell.verdict.status]))
        lines.append("")
    return "\n".join(lines)


def own_figures(candidate: BenchmarkCandidate) -> Iterator[str]:
    """The metrics of a candidate as a whole, and why one has no value."""
    yield markdown_row(["metric", "value", "unit", "why not"])
    yield markdown_row(["---", "---:", "---", "---"])
    for name, metric in candidate.metrics.items():
        bounds = interval(metric, 1.0) if metric.metadata.get("interval") else ""
        said = value(metric, 1.0) + (f" ({bounds})" if bounds else "")
        unit = "" if metric.value is None else str(metric.metadata.get("unit") or "")
        yield markdown_row([name, said, unit, reason_of(metric) or ""])


def markdown_row(cells: list[str]) -> str:
    """One row of a Markdown table."""
    return "| " + " | ".join(cell_text(cell) for cell in cells) + " |"


def cell_text(text_: str) -> str:
    """A text that cannot end the cell that it stands in."""
    return text.printable(text_).replace("|", "\\|").replace("\n", " ")


FORMATS: dict[str, Callable[[BenchmarkRun, Path | None], str]] = {
    "table": as_table,
    "json": as_json,
    "jsonl": as_jsonl,
    "csv": as_csv,
    "md": as_markdown,
}

format_option = click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="table",
    show_default=True,
    help="How to print the result: for people (table, md) or for programs.",
)


folder_option = click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path),
    help="Folder of the documents.  [default: that of the state directory]",
)


def progress_for(form: str) -> Progress:
    """Who watches a run whose result is printed in that form."""
    if form == "jsonl":
        from minionbench.cli.progress_lines import ProgressLines

        return ProgressLines()
    from minionbench.cli.progress import Progress

    return Progress()


def show_end(progress: Progress, path: Path, exit_code: int) -> None:
    """The last line for a program that was told of the progress; nothing for people."""
    last = getattr(progress, "last", None)
    if last is not None:
        click.echo(last(document=str(path), exit_code=exit_code), nl=False)


def show(run: BenchmarkRun, path: Path | None, form: str) -> None:
    """Prints a run in one of the forms.

    Raises SetupError when it cannot be written, as on a full disk; click sees to readers that go.
    """
    try:
        click.echo(FORMATS[form](run, path), nl=False)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        kept = "" if path is None else f"; the document is complete: {path}"
        raise SetupError(f"The result could not be printed: {error.strerror}{kept}") from error
