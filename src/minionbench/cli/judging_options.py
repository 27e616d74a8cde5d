"""The flags by which a comparison is judged, as `compare`, `gate` and `ab` share them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from minionbench.cli.groups import GroupedOption
from minionbench.errors import UsageError

if TYPE_CHECKING:
    from minionbench.compare import Criteria

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_JUDGING = "How it is judged"
_OUTPUT = "Results"

FORMS = ("table", "json", "md", "junit", "github")
WRITABLE = (*FORMS[1:], "bmf", "smaller-is-better", "bigger-is-better")


def judging_options(command: CommandT) -> CommandT:
    """Adds the flags that say what a change is."""
    for option in reversed(
        (
            click.option(
                "--threshold",
                "thresholds",
                multiple=True,
                cls=GroupedOption,
                group=_JUDGING,
                metavar="[METRIC=]X",
                help="Change that matters, as 5%; of one metric, as ttft_s=10%, or in points, as "
                "accuracy_pct=2. May be given again.  [default: 5%; 2 points]",
            ),
            click.option(
                "--metric",
                "metrics",
                multiple=True,
                cls=GroupedOption,
                group=_JUDGING,
                metavar="NAME[,NAME]",
                help="Compare only these; ttft_s:p95 is a percentile.  [default: the usual ones]",
            ),
            click.option(
                "--level",
                default="95%",
                cls=GroupedOption,
                group=_JUDGING,
                metavar="P%",
                help="Of the intervals; the rest is the chance of any false alarm.  [default: 95%]",
            ),
            click.option(
                "--power",
                default="80%",
                cls=GroupedOption,
                group=_JUDGING,
                metavar="P%",
                help="Chance with which a change is to be found.  [default: 80%]",
            ),
            click.option(
                "--detect",
                default="10%",
                cls=GroupedOption,
                group=_JUDGING,
                metavar="X%",
                help="The change that is to be found with it.  [default: 10%]",
            ),
            click.option(
                "--vary",
                "varied",
                multiple=True,
                cls=GroupedOption,
                group=_JUDGING,
                metavar="NAME[,NAME]",
                help="Conditions that differ on purpose: engine, machine, flags.threads …",
            ),
            click.option(
                "--force",
                is_flag=True,
                cls=GroupedOption,
                group=_JUDGING,
                help="Compare what cannot be compared or is not to be believed; marks the result.",
            ),
        )
    ):
        command = option(command)
    return command


def output_options(command: CommandT) -> CommandT:
    """Adds the flags that say where the documents are and where the result goes."""
    for option in reversed(
        (
            click.option(
                "-o",
                "--output-dir",
                type=click.Path(path_type=Path),
                cls=GroupedOption,
                group=_OUTPUT,
                metavar="FOLDER",
                help="Of the documents.  [default: in the state directory]",
            ),
            click.option(
                "--format",
                "form",
                type=click.Choice(FORMS),
                default="table",
                cls=GroupedOption,
                group=_OUTPUT,
                help="How to print it.  [default: table]",
            ),
            click.option(
                "--write",
                "written",
                multiple=True,
                cls=GroupedOption,
                group=_OUTPUT,
                metavar="FORMAT=FILE",
                help="Write it to a file, too: json, md, junit, github, bmf (Bencher), "
                "smaller-is-better or bigger-is-better (github-action-benchmark).",
            ),
        )
    ):
        command = option(command)
    return command


def criteria_of(
    *,
    thresholds: tuple[str, ...],
    metrics: tuple[str, ...],
    level: str,
    power: str,
    detect: str,
    varied: tuple[str, ...],
    force: bool,
    paired: bool = False,
) -> Criteria:
    """What the flags mean; raises UsageError for values that mean nothing."""
    from minionbench.compare import Criteria, check_metric, parse_thresholds, share

    general, special = parse_thresholds(thresholds)
    names = _names(metrics)
    for name in names:
        check_metric(name, "--metric")
    given: dict[str, Any] = {} if general is None else {"threshold": general}
    return Criteria(
        level=_probability(level, "--level"),
        power=_probability(power, "--power"),
        detect=share(detect, "--detect"),
        thresholds=special,
        metrics=names,
        varied=_names(varied),
        force=force,
        paired=paired,
        **given,
    )


def _names(values: tuple[str, ...]) -> tuple[str, ...]:
    names = (name.strip() for value in values for name in value.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def _probability(text: str, flag: str) -> float:
    from minionbench.compare import share

    value = share(text, flag)
    if not 0.5 <= value < 1:
        raise UsageError(f"{flag} is between 50% and 100%, not {text}")
    return value


def writing(texts: tuple[str, ...]) -> list[tuple[str, Path]]:
    """`md=result.md` as a form and a file; raises UsageError for others."""
    found = []
    for text in texts:
        form, equals, path = text.partition("=")
        if not equals or not path or form not in WRITABLE:
            raise UsageError(
                f"--write takes FORMAT=FILE, with one of {', '.join(WRITABLE)}; not {text!r}"
            )
        found.append((form, Path(path)))
    return found
