"""`minionbench schema`: the JSON Schema of the run document."""

from __future__ import annotations

import click


@click.command(name="schema")
def command() -> None:
    """Print the JSON Schema of the run document.

    Draft 2020-12; what it cannot express, `minionbench` checks when it reads a document.
    """
    from minionbench.schema import json_schema_text

    click.echo(json_schema_text(), nl=False)
