"""The flag that says what a good request is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from minionbench.cli.groups import GroupedCommand, GroupedOption

if TYPE_CHECKING:
    from minionbench.metrics.slo import Objective

GOODPUT = "--goodput"
_LIMIT = re.compile(r"[A-Za-z0-9]+:\S*")

Command = TypeVar("Command", bound=Callable[..., Any])


class GoodputCommand(GroupedCommand):
    """A command with `--goodput`, which takes as many limits as follow it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the command line."""
        return super().parse_args(ctx, spread(args))


def spread(args: Sequence[str]) -> list[str]:
    """The arguments with the flag before each of its limits: `--goodput ttft:200 tpot:50`."""
    spread_out: list[str] = []
    within = False
    for place, argument in enumerate(args):
        if argument == "--":
            return [*spread_out, *args[place:]]
        first = bool(spread_out) and spread_out[-1] == GOODPUT
        if within and not first and _LIMIT.fullmatch(argument):
            spread_out.append(GOODPUT)
        elif not first:
            within = argument == GOODPUT
        spread_out.append(argument)
    return spread_out


def goodput_option(command: Command) -> Command:
    """Adds the flag to a command; `objective_of_flags` says what it means."""
    option = partial(click.option, cls=GroupedOption, group="Requests")
    added: Command = option(
        GOODPUT,
        "goodput",
        multiple=True,
        metavar="NAME:MS …",
        help="What a good request takes at most: ttft:200 tpot:50, also ttfo and latency; counts "
        "those that meet all of it.",
    )(command)
    return added


def objective_of_flags(goodput: Sequence[str]) -> Objective | None:
    """The objective; None where none is given.

    Raises UsageError for what is no limit.
    """
    from minionbench.metrics.slo import parse_objective

    return parse_objective([limit for text in goodput for limit in text.split(",") if limit])
