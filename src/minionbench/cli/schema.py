"""`minionbench schema`: the JSON Schema of the run document."""

from __future__ import annotations

import click


@click.command(name="schema")
def command() -> None:
    """Print the JSON Schema (2020-12) of the run document."""
    from minionbench.schema import json_schema_text

    click.echo(json_schema_text(), nl=False)
