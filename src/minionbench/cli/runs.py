"""`minionbench runs`: the finished, running and interrupted runs of a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minionbench.cli.history import sql_command, trend_command
from minionbench.cli.output import folder_option, format_option, show
from minionbench.cli.regrade import items_command, regrade_command
from minionbench.cli.text import aligned, printable
from minionbench.units import BYTES_PER_MB, number_of, significant

if TYPE_CHECKING:
    from minionbench.store import RunEntry


@click.group(name="runs")
def command() -> None:
    """List, show, ask, recover, regrade and prune runs."""


@command.command(name="list")
@folder_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="table for people, json for programs.",
)
def list_command(output_dir: Path | None, form: str) -> None:
    """List the runs of a folder, the oldest first.

    Interrupted runs are listed too: the records of their finished requests are kept, and
    `minionbench runs recover` makes a document of them.
    """
    from minionbench.store import list_runs, runs_dir

    folder = runs_dir(output_dir)
    entries = list_runs(folder)
    if form == "json":
        click.echo(json.dumps([facts(entry) for entry in entries], indent=2))
    elif entries:
        click.echo("\n".join(lines(entries)))
    else:
        click.echo(f"No runs in {folder}; `minionbench run` makes the first.")


@command.command(name="show")
@click.argument("run", default="latest")
@folder_option
@format_option
def show_command(run: str, output_dir: Path | None, form: str) -> None:
    """Show a finished run.

    RUN is a run id, the path of a document, or `latest`.
    """
    from minionbench.store import load_run, runs_dir

    path, document = load_run(run, runs_dir(output_dir))
    show(document, path, form)


@command.command(name="recover")
@click.argument("run", metavar="RUN_ID")
@folder_option
@format_option
def recover_command(run: str, output_dir: Path | None, form: str) -> None:
    """Make the document of a run that was killed.

    It is computed from the requests that had finished, as at a normal end, and marked as cut
    short. A document that is there already stays as it is.
    """
    from minionbench.recovery import recover_run

    recovered = recover_run(run, output_dir)
    if not recovered.made:
        there = f"has its document already: {recovered.path}"
        click.echo(f"minionbench: {recovered.run.metadata.run_id} {there}", err=True)
    show(recovered.run, recovered.path, form)


@command.command(name="prune")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    required=True,
    metavar="N",
    help="How many runs stay, the newest ones.",
)
@folder_option
@click.option("--dry-run", is_flag=True, help="Say what would be removed, remove nothing.")
def prune_command(keep: int, output_dir: Path | None, dry_run: bool) -> None:
    """Remove old runs: their documents, records and logs.

    Interrupted runs count like finished ones. A run under way is left alone.
    """
    from minionbench.store import prune_runs, runs_dir

    folder = runs_dir(output_dir)
    pruned = prune_runs(folder, keep, dry_run=dry_run)
    for run in pruned:
        click.echo(run.run_id)
    size = significant(sum(run.bytes for run in pruned) / BYTES_PER_MB)
    verb = "Would remove" if dry_run else "Removed"
    click.echo(f"{verb} {number_of(len(pruned), 'run')}, {size} MB, from {folder}.")


command.add_command(regrade_command)
command.add_command(items_command)
command.add_command(sql_command)
command.add_command(trend_command)


def models(entry: RunEntry) -> list[str]:
    """The candidates of a complete run by name."""
    if entry.run is None:
        return []
    return [c.factors.model if c.factors else c.version for c in entry.run.candidates]


def facts(entry: RunEntry) -> dict[str, Any]:
    """A run for a program."""
    return {
        "run_id": entry.run_id,
        "state": entry.state,
        "document": None if entry.document_path is None else str(entry.document_path),
        "records": None if entry.records_path is None else str(entry.records_path),
        "finished_requests": entry.kept(),
        "way_on": entry.way_on,
        "models": models(entry),
        "problem": entry.problem,
    }


def lines(entries: list[RunEntry]) -> Iterator[str]:
    """The runs for a person: what each is, and what became of it."""
    rows = [["run", "state", "what"]]
    rows += [[entry.run_id, entry.state, printable(what(entry))] for entry in entries]
    yield from aligned(rows, [False, False, False])


def what(entry: RunEntry) -> str:
    """What a run measured, or what is left of it."""
    if entry.run is not None:
        names = models(entry)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        about = entry.run.metadata
        cut = "cut short: " if about.finished is False else ""
        kind = "dry run: " if about.dry_run else cut
        return kind + (", ".join(names[:3]) or "no candidates") + more
    if entry.problem is not None:
        return entry.problem
    kept = number_of(entry.kept(), "finished request")
    where = f"in {entry.records_path}" if entry.records_path else "and no journal"
    return f"{kept} {where}" + (f"; go on with: {entry.way_on}" if entry.way_on else "")
