"""`minionbench runs`: the finished, running and interrupted runs of a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minionbench.cli.output import format_option, show
from minionbench.cli.text import aligned, printable

if TYPE_CHECKING:
    from minionbench.store import RunEntry

folder_option = click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path),
    help="Folder of the documents.  [default: that of the state directory]",
)


@click.group(name="runs")
def command() -> None:
    """List, show and prune runs."""


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

    Interrupted runs are listed too: the records of their finished requests are kept.
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
    from minionbench.units import BYTES_PER_MB, significant

    folder = runs_dir(output_dir)
    pruned = prune_runs(folder, keep, dry_run=dry_run)
    for run in pruned:
        click.echo(run.run_id)
    size = significant(sum(run.bytes for run in pruned) / BYTES_PER_MB)
    verb = "Would remove" if dry_run else "Removed"
    runs = "1 run" if len(pruned) == 1 else f"{len(pruned)} runs"
    click.echo(f"{verb} {runs}, {size} MB, from {folder}.")


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
    return f"{entry.kept()} finished requests in {entry.records_path or 'no journal'}"
