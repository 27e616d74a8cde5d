"""The flags that say which meters of power are looked at."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from minionbench.cli.groups import GroupedOption

if TYPE_CHECKING:
    from minionbench.meters.power.meter import PowerSettings

METER = partial(click.option, cls=GroupedOption, group="Meters of power")
FLAGS = ("meter_command", "meter_file", "tdp", "no_meters")
"""Names of the flags' values."""

Command = TypeVar("Command", bound=Callable[..., Any])


def metering_options(command: Command) -> Command:
    """Adds the flags to a command; `power_settings` says what they mean."""
    options = (
        METER(
            "--meter-command",
            metavar="COMMAND",
            help='A program that prints what a meter at the wall shows: {"watts": 87.3} per line.',
        ),
        METER(
            "--meter-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="A file that another program appends such lines to.",
        ),
        METER(
            "--tdp",
            type=float,
            metavar="WATTS",
            help="Of the processors, for a modelled figure where none is measured.",
        ),
        METER("--no-meters", is_flag=True, help="Look at no meters.  [default: all there are]"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def power_settings(
    *, meter_command: str | None, meter_file: Path | None, tdp: float | None, no_meters: bool
) -> PowerSettings:
    """What the flags mean.

    Raises UsageError for flags that contradict each other.
    """
    from minionbench.meters.power.meter import PowerSettings

    return PowerSettings(off=no_meters, command=meter_command, file=meter_file, tdp_w=tdp)
