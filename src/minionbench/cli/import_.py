"""`minionbench import`: results of other programs as run documents."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from minionbench.cli.output import folder_option
from minionbench.cli.text import printable

KINDS = ("vllm", "aiperf", "guidellm", "llama-bench", "lm-eval")


@click.command(name="import")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option(
    "--from",
    "kind",
    type=click.Choice(KINDS),
    help="The program that wrote the files.  [default: recognised by what they hold]",
)
@folder_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="table for people, json for programs.",
)
def command(files: tuple[Path, ...], kind: str | None, output_dir: Path | None, form: str) -> None:
    """Make run documents of what other programs measured.

    FILE is a JSON result of vLLM (bench serve), aiperf, guidellm, llama-bench or
    lm-evaluation-harness. The documents can be shown, compared and reported like those of
    minionbench. A figure has our name only where its definition is ours; the others, and whatever
    else a file says, are kept beside. What is missing says why.
    """
    from minionbench.importers import import_files
    from minionbench.store import runs_dir
    from minionbench.system import redact

    made = import_files(files, runs_dir(output_dir), command_line=redact(sys.argv), kind=kind)
    if form == "json":
        told = [
            {
                "source": str(one.source),
                "from": one.kind,
                "run_id": one.run.metadata.run_id,
                "document": str(one.path),
            }
            for one in made
        ]
        click.echo(json.dumps(told, indent=2))
        return
    for one in made:
        cells = [cell for candidate in one.run.candidates for cell in candidate.cells]
        figures = sum(m.value is not None for cell in cells for m in cell.metrics.values())
        click.echo(
            printable(
                f"{one.source} ({one.kind}): {figures} figures of {len(cells)} cells → {one.path}"
            )
        )
