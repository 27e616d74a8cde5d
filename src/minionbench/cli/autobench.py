"""`minionbench autobench`: every model of the registry, in one document."""

from __future__ import annotations

from pathlib import Path

import click

from minionbench.cli.output import format_option, show
from minionbench.cli.table import details
from minionbench.cli.text import width


@click.command(name="autobench")
@click.option(
    "--registry",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON list of models.  [default: in the state directory]",
)
@click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Of the documents.  [default: in the state directory]",
)
@format_option
@click.option("--dry-run", is_flag=True, help="List the models, measure nothing.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Say of each model what is missing, on standard error."
)
def command(
    registry: Path | None, output_dir: Path | None, form: str, dry_run: bool, verbose: bool
) -> int:
    """Measure every model of the registry.

    This version lists: which models there are, of which type and size, and which are missing.
    """
    from minionbench.autobench import run_autobench

    outcome = run_autobench(registry, output_dir, dry_run)
    if verbose:
        for candidate in outcome.run.candidates:
            click.echo("\n".join(details(candidate, width())), err=True)
    show(outcome.run, outcome.path, form)
    return outcome.exit_code
