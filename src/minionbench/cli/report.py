"""`minionbench report`: runs as one page that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from minionbench.cli.text import printable
from minionbench.units import BYTES_PER_MB, number_of, significant

if TYPE_CHECKING:
    from minionbench.schema import BenchmarkRun

runs_folder_option = click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of the documents.  [default: that of the state directory]",
)


@click.command(name="report")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    metavar="FILE",
    help="Where the page is written.",
)
@click.option("--no-text", is_flag=True, help="Leave prompts and answers out.")
@click.option(
    "--no-plots", is_flag=True, help="Tables only; needs nothing beyond what minionbench brings."
)
@runs_folder_option
def command(
    runs: tuple[str, ...], output: Path, no_text: bool, no_plots: bool, output_dir: Path | None
) -> None:
    """Make a page of runs that opens offline.

    RUN is a run id, the path of a document, or `latest`, which is also the default. The page is one
    HTML file that opens offline and loads nothing: a summary in words, plots, and each plot's
    figures as a table. Prompts and answers of a few requests are in it, unless --no-text.

    Plots need the extra `report`: pip install 'minionbench[report]'.
    """
    from minionbench.report import write_report

    made = write_report(
        loaded(runs, output_dir), output, with_text=not no_text, with_plots=not no_plots
    )
    for note in made.notes:
        click.echo(f"minionbench: {printable(note)}", err=True)
    size = significant(made.bytes / BYTES_PER_MB)
    click.echo(f"Report: {made.path} ({number_of(len(made.figures), 'figure')}, {size} MB)")


def loaded(names: tuple[str, ...], output_dir: Path | None) -> list[tuple[Path, BenchmarkRun]]:
    """The documents of these names, each once, in their order; the latest one where none is named.

    Raises UsageError where there is no such run.
    """
    from minionbench.store import LATEST, load_run, runs_dir

    folder = runs_dir(output_dir)
    found = [load_run(name, folder) for name in names or (LATEST,)]
    return list({path.resolve(): (path, run) for path, run in found}.values())
