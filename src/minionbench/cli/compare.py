"""`minionbench compare`: what changed between runs, and how surely."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from minionbench.cli.groups import GroupedCommand, GroupedOption
from minionbench.cli.judging_options import criteria_of, judging_options, output_options, writing
from minionbench.errors import UsageError

WHAT = partial(click.option, cls=GroupedOption, group="What is compared")


@click.command(name="compare", cls=GroupedCommand)
@click.argument("sides", nargs=-1, metavar="[BASE NEW [MORE]...]")
@WHAT(
    "--base", "bases", multiple=True, metavar="RUN", help="A run of the base; may be given again."
)
@WHAT("--new", "news", multiple=True, metavar="RUN", help="A run of the other side, likewise.")
@WHAT(
    "--paired",
    is_flag=True,
    help="The k-th runs of both sides were made side by side, as `ab` makes them.",
)
@WHAT("--no-history", is_flag=True, help="Ask no earlier runs how far runs lie apart.")
@judging_options
@output_options
def command(
    sides: tuple[str, ...],
    bases: tuple[str, ...],
    news: tuple[str, ...],
    paired: bool,
    no_history: bool,
    output_dir: Path | None,
    form: str,
    written: tuple[str, ...],
    **judging: Any,
) -> int:
    """Say what changed between runs, and how surely.

    A side is a run or several with commas between them: ids, paths, 'glob*s', folders, `latest`,
    `latest~1`; RUN#CANDIDATE takes one candidate of it. Several runs of the same thing make one
    side: with a single run on each, the answer is "cannot tell", unless earlier runs tell how far
    runs lie apart. With one run of several candidates these are compared with its first.

    Leaves with 0 when the sides were compared, whatever came out (`minionbench gate` minds that),
    and 2 when they cannot be.
    """
    from minionbench.cli.comparison_output import publish
    from minionbench.compare import Wanted, check_apart, compare, earlier_runs, read_side
    from minionbench.store import runs_dir

    criteria = criteria_of(paired=paired, **judging)
    files = writing(written)
    folder = runs_dir(output_dir)
    wanted = Wanted(metrics=criteria.metrics)
    base, *others = (
        read_side(specs, folder, wanted) for specs in named(sides, bases, news, folder)
    )
    for other in others:
        check_apart(base, other)
    history = None
    if not no_history:
        history = earlier_runs(folder, {r for side in (base, *others) for r in side.run_ids})
    publish(compare(base, others, criteria, history), form, files)
    return 0


def named(
    sides: tuple[str, ...], bases: tuple[str, ...], news: tuple[str, ...], folder: Path
) -> list[list[str]]:
    """The runs of each side, the base first.

    Raises UsageError where there are not two.
    """
    from minionbench.compare import candidates_of

    if bases or news:
        if sides or not (bases and news):
            raise UsageError("Give both --base and --new, or both sides without these flags.")
        return [list(bases), list(news)]
    if len(sides) == 1:
        return [[one] for one in candidates_of(sides[0], folder)]
    if not sides:
        raise UsageError(
            "Name two sides, as in `minionbench compare latest~1 latest`; several runs of a side "
            "have commas between them."
        )
    return [[side] for side in sides]
