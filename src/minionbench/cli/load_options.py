"""The flags that say how requests are sent: by streams that wait, or by a plan of arrivals."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from minionbench.cli.groups import GroupedOption
from minionbench.errors import UsageError

if TYPE_CHECKING:
    from minionbench.load import Load

LOAD = partial(click.option, cls=GroupedOption, group="Load")
FLAGS = ("concurrency", "request_rate", "burstiness", "duration")
"""Names of the flags' values."""

SECONDS_OF = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
MOST_REQUESTS = 1_000_000
"""Requests that a plan of a length of time may come to; each is drawn before the first is sent."""

_DURATION = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h)?\s*", re.ASCII)

Command = TypeVar("Command", bound=Callable[..., Any])


def _refuse_list(value: Any, flag: str, fail: Callable[[str], Any]) -> None:
    """Of several loads a sweep is made."""
    several = value if isinstance(value, list | tuple) else str(value).split(",")
    if len(several) > 1:
        text = ",".join(map(str, several))
        fail(f"a run has one load; `minionbench sweep {flag} {text}` measures each of them")


class Streams(click.IntRange):
    """A number of streams."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As a range does; a list is told where it belongs."""
        _refuse_list(value, "-c", lambda text: self.fail(text, param, ctx))
        return super().convert(value, param, ctx)


class Rate(click.ParamType[float]):
    """Requests per second, or infinity for all at once."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number above 0."""
        _refuse_list(value, "--request-rate", lambda text: self.fail(text, param, ctx))
        return _above_zero(
            value,
            "rate: say requests per second, above 0, or inf",
            lambda text: self.fail(text, param, ctx),
        )


class Burstiness(click.ParamType[float]):
    """The shape of the gaps between arrivals."""

    name = "burstiness"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number above 0."""
        return _above_zero(
            value,
            "shape of gaps: say a number above 0, or inf",
            lambda text: self.fail(text, param, ctx),
        )


class Duration(click.ParamType[float]):
    """A length of time."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The seconds in it."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self.fail(f"{value!r} is no time; say 30s, 5m or 1h", param, ctx)
        match = _DURATION.fullmatch(str(value))
        seconds = 0.0 if match is None else float(match[1]) * SECONDS_OF[match[2] or "s"]
        if not 0 < seconds < math.inf:
            self.fail(f"{value} is no time; say 30s, 5m or 1h", param, ctx)
        return seconds


def _above_zero(value: Any, what: str, fail: Callable[[str], Any]) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number > 0:
        fail(f"{value} is no {what}")
    return number


def load_options(command: Command) -> Command:
    """Adds the flags to a command; `load_of_flags` says what they mean."""
    options = (
        LOAD(
            "-c",
            "--concurrency",
            type=Streams(min=1),
            metavar="N",
            help="Streams, each of which waits for its answer.  [default: 1]",
        ),
        LOAD(
            "--request-rate",
            type=Rate(),
            metavar="R",
            help="Requests per second by a plan, whatever the answers do; inf: all at once.",
        ),
        LOAD(
            "--burstiness",
            type=Burstiness(),
            metavar="B",
            help="Of that plan: 1 is Poisson, less is burstier, inf is even.  [default: 1]",
        ),
        LOAD(
            "--duration",
            type=Duration(),
            metavar="TIME",
            help="As many requests as that rate has in 30s, 5m or 1h, in each repeat; in place of "
            "-n.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def load_of_flags(
    *,
    concurrency: int | None,
    request_rate: float | None,
    burstiness: float | None,
    duration: float | None,
    requests: int | None,
    listed: int | None,
    default_requests: int,
) -> tuple[Load, int | None]:
    """What the flags mean: the load, and the number of requests of each repeat.

    `requests` is what -n says and `listed` the number of items of a list, None where there is none;
    so is the number that is returned.

    Raises UsageError for flags that contradict each other.
    """
    from minionbench.load import ClosedLoop
    from minionbench.load import request_rate as arriving

    if request_rate is None:
        for flag, value in (("--burstiness", burstiness), ("--duration", duration)):
            if value is not None:
                raise UsageError(
                    f"{flag} goes with --request-rate: streams that wait for their answers have "
                    "no plan of arrivals. How long they take is a matter of -n and --repeats"
                )
        return ClosedLoop(concurrency=concurrency or 1), requests
    if concurrency is not None:
        raise UsageError(
            "-c and --request-rate are two kinds of load: streams that wait for their answers, or "
            "arrivals that do not. Leave one out; `minionbench sweep` measures both"
        )
    if math.isinf(request_rate):
        for flag, value in (("--burstiness", burstiness), ("--duration", duration)):
            if value is not None:
                raise UsageError(f"With --request-rate inf all are sent at once: leave out {flag}")
        return arriving(request_rate, listed or requests or default_requests), requests
    if duration is not None:
        if requests is not None or listed is not None:
            other = "-n" if listed is None else "--items"
            raise UsageError(
                f"--duration and {other} both say how many requests there are: leave one out"
            )
        requests = _requests_of(request_rate, duration)
    return arriving(request_rate, requests or default_requests, burstiness or 1.0), requests


def _requests_of(rate_per_s: float, duration_s: float) -> int:
    """The requests that a rate has in a time on average; at least one."""
    requests = rate_per_s * duration_s
    if not requests <= MOST_REQUESTS:
        raise UsageError(
            f"{requests:,.0f} requests are more than the {MOST_REQUESTS:,} that a plan may have: "
            "shorten --duration, or lower --request-rate"
        )
    return max(1, round(requests))
