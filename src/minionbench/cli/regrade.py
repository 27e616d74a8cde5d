"""`minionbench runs regrade` and `runs items`: the answers and the items of a finished run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minionbench.cli.output import folder_option
from minionbench.cli.table import ABSENT, interval, reason_of
from minionbench.cli.text import aligned, printable, width, wrapped
from minionbench.units import number_of, significant

if TYPE_CHECKING:
    from minionbench.regrading import Flipped, Regraded
    from minionbench.schema import MetricResult

MOST_FLIPPED = 20
"""Items that changed that are named per cell."""


@click.command(name="regrade")
@click.argument("run", default="latest")
@click.option(
    "--grader",
    "name",
    metavar="NAME",
    help="number, amount, maths, choice or text, for every answer.  [default: as each needs]",
)
@folder_option
def regrade_command(run: str, name: str | None, output_dir: Path | None) -> None:
    """Judge the stored answers of a run again.

    RUN is a run id, the path of a document, or `latest`. The document of the run stays; a new one
    is written beside the run's records, with the graders and their versions in it.
    """
    from minionbench.quality.grading.catalog import grader
    from minionbench.regrading import regrade_run
    from minionbench.store import load_run, runs_dir

    chosen = None if name is None else grader(name)
    path, document = load_run(run, runs_dir(output_dir))
    regraded = regrade_run(path, document, chosen)
    click.echo("\n".join(report(regraded, width())))


@click.command(name="items")
@click.argument("run", default="latest")
@click.option("--cell", metavar="CELL", help="Only the items of this cell.")
@folder_option
def items_command(run: str, cell: str | None, output_dir: Path | None) -> None:
    """Print the ids of the items that a run measured, one JSON string per line.

    RUN is a run id, the path of a document, or `latest`. `minionbench run --items FILE` asks
    exactly these items again.
    """
    from minionbench.store import item_ids_of_run, listed, load_run, runs_dir

    path, document = load_run(run, runs_dir(output_dir))
    click.echo(listed(item_ids_of_run(path, document, cell)), nl=False)


def report(regraded: Regraded, columns: int) -> Iterator[str]:
    """What changed, for a person."""
    yield click.style(f"{regraded.run.metadata.run_id}, judged again", bold=True)
    yield ""
    rows = [["cell", "right before", "right now", "interval, %", "graders"]]
    for cell in regraded.cells:
        graders = cell.after.metadata.get("graders") or []
        bounds = interval(cell.after, 1.0) or ABSENT
        rows.append(
            [cell.cell_id, figure(cell.before), figure(cell.after), bounds, ", ".join(graders)]
        )
    yield from (f"  {line}" for line in aligned(rows, [False, True, True, True, False]))
    for cell in regraded.cells:
        why = reason_of(cell.after)
        if why is not None:
            yield ""
            yield from wrapped(f"{cell.cell_id}: {why}", columns, "  ", "    ")
        yield from changes(cell.cell_id, cell.flipped, columns)
    yield ""
    yield f"Document: {regraded.path}"


def changes(cell_id: str, flipped: tuple[Flipped, ...] | None, columns: int) -> Iterator[str]:
    """The items of a cell whose answers are judged otherwise than before."""
    if flipped is None:
        line = f"{cell_id}: the document does not say which items were right before"
        yield from ("", *wrapped(line, columns, "  ", "    "))
    elif flipped:
        yield ""
        yield f"  {cell_id}: {number_of(len(flipped), 'item')} judged otherwise"
        for item in flipped[:MOST_FLIPPED]:
            yield f"    {printable(item.item_id)}: {word(item.before)} → {word(item.after)}"
        if len(flipped) > MOST_FLIPPED:
            yield f"    … and {len(flipped) - MOST_FLIPPED} more"


def word(share: float) -> str:
    """How right an item is over its repeats."""
    if share in (0, 1):
        return "right" if share else "not right"
    return f"right in {share:.0%} of its repeats"


def figure(metric: MetricResult | None) -> str:
    """Right requests, judged requests and the figure: `27/30  90.0 %`."""
    if metric is None or metric.value is None:
        return ABSENT
    right, requests = metric.metadata.get("right"), metric.metadata.get("requests")
    return f"{right}/{requests}  {significant(metric.value)} %"
