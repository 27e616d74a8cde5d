"""`minionbench ab`: two things measured in turn, and compared."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from minionbench.cli.gate import failing, verdict_code
from minionbench.cli.groups import GroupedCommand, GroupedOption
from minionbench.cli.judging_options import criteria_of, judging_options, output_options, writing
from minionbench.errors import DeploymentError, UsageError
from minionbench.units import number_of

if TYPE_CHECKING:
    from minionbench.compare import Criteria, Side, Wanted

WHAT = partial(click.option, cls=GroupedOption, group="What is measured")
PILOT = 5
"""Pairs after which it is known how many are needed."""
MOST_PAIRS = 20
FEWEST_SPARE = 3
"""Pairs that may be made up for, where they were measured wrongly."""
SURE = 0.999
"""Level at which a change that shows in the first pairs ends the measuring: so strict that to look
early costs next to nothing of the level of the whole (Haybittle and Peto)."""
BETWEEN_ENDPOINTS = ("engine", "flags", "tokens")
"""Conditions that differ between two endpoints or models: they are what is compared."""


@click.command(name="ab", cls=GroupedCommand)
@WHAT(
    "--base",
    "base",
    required=True,
    metavar="FLAGS",
    help="Flags of `minionbench run`, or a command.",
)
@WHAT("--new", "new", required=True, metavar="FLAGS", help="Those of the other side.")
@WHAT(
    "--both", "both", default="", metavar="FLAGS", help="Flags of both sides, as '-w decode -n 20'."
)
@WHAT(
    "--repeats",
    type=click.IntRange(min=2),
    metavar="N",
    help="Sessions of each side.  [default: as many as the power needs, known after 5]",
)
@WHAT(
    "--max-repeats",
    type=click.IntRange(min=2),
    default=MOST_PAIRS,
    metavar="N",
    help=f"The most of them, where the power decides.  [default: {MOST_PAIRS}]",
)
@WHAT("--seed", type=int, default=0, metavar="N", help="Decides who begins.  [default: 0]")
@WHAT("--allow-unclear", is_flag=True, help='Let "cannot tell" pass.')
@judging_options
@output_options
def command(
    base: str,
    new: str,
    both: str,
    repeats: int | None,
    max_repeats: int,
    seed: int,
    allow_unclear: bool,
    output_dir: Path | None,
    form: str,
    written: tuple[str, ...],
    **judging: Any,
) -> int:
    """Measure two things in turn, and compare them.

    Two endpoints: --base '-u http://localhost:8001/v1' --new '-u http://localhost:8002/v1'. Two
    models: --base '-m ollama/a' --new '-m ollama/b'. Or two commands of your own that print a run
    document. Each session is a process and a document of its own; the sides take turns, A B B A,
    so that what else the machine does meets both alike.

    Leaves as `gate` does: 0 when nothing is worse; 1 when something is, or nobody can tell of a
    headline metric; 2 for wrong usage; 3 when nothing could be set up; 130 after Ctrl-C.
    """
    from minionbench.cli.comparison_output import publish
    from minionbench.compare import Wanted, compare
    from minionbench.store import runs_dir

    criteria = criteria_of(paired=True, **judging)
    criteria = msgspec.structs.replace(criteria, varied=(*BETWEEN_ENDPOINTS, *criteria.varied))
    files = writing(written)
    folder = runs_dir(output_dir)
    wanted = Wanted(metrics=criteria.metrics)
    sides = InTurn(base, new, both, folder, wanted, seed)
    if repeats is not None:
        sides.measure(repeats)
    else:
        sides.measure(min(PILOT, max_repeats))
        sides.measure(enough(sides.base, sides.new, criteria, sides.pairs, max_repeats))
    ids = [",".join(side.run_ids) for side in (sides.base, sides.new)]
    click.echo(
        f"minionbench: again: minionbench compare --paired --vary {','.join(criteria.varied)} "
        f"-o {shlex.quote(str(folder))} {ids[0]} {ids[1]}",
        err=True,
    )
    comparisons = compare(sides.base, [sides.new], criteria)
    fails = failing(allow_unclear)
    publish(comparisons, form, files, fails)
    return verdict_code(comparisons, fails)


class InTurn:
    """Two sides that are measured in turn."""

    def __init__(
        self, base: str, new: str, both: str, folder: Path, wanted: Wanted, seed: int
    ) -> None:
        from minionbench.compare import arm, turns

        try:
            more = shlex.split(both)
        except ValueError as error:
            raise UsageError(f"--both {both!r} cannot be read: {error}") from error
        self._arms = {
            name: arm(name, text, more, folder) for name, text in (("base", base), ("new", new))
        }
        self._documents: dict[str, list[Any]] = {"base": [], "new": []}
        self._folder = folder
        self._wanted = wanted
        self._turns = turns(seed)
        self._over = False
        self._pairs = 0

    @property
    def pairs(self) -> int:
        """Pairs that were measured, and are to be believed."""
        return self._pairs

    @property
    def base(self) -> Side:
        """What the base's sessions measured."""
        return self._side("base", self._wanted)

    @property
    def new(self) -> Side:
        """What the other side's sessions measured."""
        return self._side("new", self._wanted)

    def _side(self, name: str, wanted: Wanted) -> Side:
        from minionbench.compare import side_of

        return side_of(self._arms[name].text, self._documents[name], wanted)

    def measure(self, pairs: int) -> None:
        """Measures until there are so many pairs; one pair is enough where a side cannot serve.

        A pair in which the harness measured wrongly is made up for, within reason.

        Raises DeploymentError where neither can.
        """
        from minionbench.compare import Wanted, believable_pairs, nothing_measured, run_session

        bare = Wanted(records=False)
        spare = max(FEWEST_SPARE, pairs // 2)
        while self.pairs < pairs and len(self._documents["new"]) < pairs + spare:
            if self._over:
                break
            for name in next(self._turns):
                click.echo(f"minionbench: pair {self.pairs + 1} of {pairs}: {name}", err=True)
                self._documents[name].append(run_session(self._arms[name], self._folder))
            sides = [self._side(name, bare) for name in ("base", "new")]
            why = list(map(nothing_measured, sides))
            if all(why):
                raise DeploymentError(f"Neither side could be measured: {why[0]}")
            self._over = any(why)
            before, self._pairs = self._pairs, believable_pairs(*sides)
            if self._pairs == before and not self._over:
                click.echo("minionbench: the harness was held up: one pair more", err=True)


def enough(base: Side, new: Side, criteria: Criteria, pairs: int, most: int) -> int:
    """How many pairs there should be, by those that there are; says why."""
    from minionbench.compare import Verdict, compare, nothing_measured, pairs_wanted

    if nothing_measured(base) or nothing_measured(new):
        return pairs
    strict = msgspec.structs.replace(criteria, level=SURE)
    already = compare(base, [new], strict)
    if any(Verdict.WORSE in one.verdicts(headline=True) for one in already):
        click.echo(f"minionbench: {number_of(pairs, 'pair')} show it already", err=True)
        return pairs
    wanting = pairs_wanted(base, new, criteria)
    if wanting is None:
        return pairs
    needed = most if wanting.pairs is None else max(wanting.pairs, pairs)
    limit = f", the most is {most}" if needed > most or wanting.pairs is None else ""
    count = "more" if wanting.pairs is None else str(wanting.pairs)
    click.echo(
        f"minionbench: the sessions of a pair lie {spread(wanting.metric, wanting.deviation)} "
        f"apart in {wanting.metric}, a change included: to find {criteria.detect:.0%} with power "
        f"{criteria.power:.0%} takes {count} pairs{limit}; there are {pairs}",
        err=True,
    )
    return min(needed, most)


def spread(metric: str, deviation: float) -> str:
    """A standard deviation in words."""
    from minionbench.compare import amount, scale_of

    return amount(deviation, scale_of(metric), sign=False)
