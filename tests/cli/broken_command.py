"""A subcommand with a bug."""

from __future__ import annotations

import click


@click.command()
@click.option("--how", default="bug")
def command(how: str) -> None:
    """Fails as it is told."""
    if how == "interrupt":
        raise KeyboardInterrupt
    raise ZeroDivisionError("one over nothing")
