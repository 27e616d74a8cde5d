"""The flags that say what things cost, and what a run may cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from minionbench.cli.groups import GroupedOption

MONEY = partial(click.option, cls=GroupedOption, group="Money")

Command = TypeVar("Command", bound=Callable[..., Any])


def money_options(command: Command) -> Command:
    """Adds the flags to a command; `money_settings` says what they mean."""
    options = (
        MONEY(
            "--remote-price",
            metavar="IN[,CACHED],OUT",
            help="Of the remote model, in dollars per million tokens.  [default: as listed]",
        ),
        MONEY(
            "--prices",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Prices of your own, TOML or JSON; they go before the listed ones.",
        ),
        MONEY(
            "--max-cost",
            type=float,
            metavar="USD",
            help="Stop before the remote calls cost more together.  [default: no limit]",
        ),
        MONEY(
            "--electricity-price",
            type=float,
            metavar="USD",
            help="Of a kWh, for what the measured energy costs.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def money_settings(
    *,
    remote_price: str | None,
    prices: Path | None,
    max_cost: float | None,
    electricity_price: float | None,
) -> dict[str, Any]:
    """What the flags mean, as fields of `RunSettings`.

    Raises UsageError for a price that is none.
    """
    from minionbench.prices import Price

    return {
        "remote_price": None if remote_price is None else Price.parse(remote_price),
        "prices": prices,
        "max_cost_usd": max_cost,
        "electricity_usd_per_kwh": electricity_price,
    }
