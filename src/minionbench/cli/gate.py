"""`minionbench gate`: fails when something got worse than a baseline, or when nobody can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minionbench.cli.groups import GroupedCommand, GroupedOption
from minionbench.cli.judging_options import criteria_of, judging_options, output_options, writing
from minionbench.cli.text import printable
from minionbench.errors import UsageError
from minionbench.units import number_of

if TYPE_CHECKING:
    from minionbench.compare import Answer, Baseline, BaselineBranch, Comparison, Side, Wanted

WHAT = partial(click.option, cls=GroupedOption, group="What is held against what")
KEPT_RUNS = 10
"""Runs that a baseline holds, where nothing else is said."""
SESSIONS = 5
"""Sessions that are measured, where nothing else is said."""


@click.command(name="gate", cls=GroupedCommand)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@WHAT(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="FILE|RUN",
    help="A baseline file, or runs as `compare` takes them.",
)
@WHAT("--baseline-branch", metavar="BRANCH", help="Of this repository, which holds the baseline.")
@WHAT(
    "--baseline-name", metavar="NAME", help="Its file there.  [default: minionbench-baseline.json]"
)
@WHAT("--update", is_flag=True, help="Add the runs to the baseline when they pass, or begin it.")
@WHAT("--reset", is_flag=True, help="Begin the baseline anew with the runs; compare nothing.")
@WHAT(
    "--keep",
    type=click.IntRange(min=1),
    default=KEPT_RUNS,
    metavar="N",
    help=f"Latest runs that a baseline holds.  [default: {KEPT_RUNS}]",
)
@WHAT("--push", metavar="REMOTE", help="Push the branch after an update.")
@WHAT(
    "--measure",
    metavar="FLAGS",
    help="Measure now, instead of naming runs: flags of `minionbench run`, or your own command.",
)
@WHAT(
    "--repeats",
    "sessions",
    type=click.IntRange(min=1),
    default=SESSIONS,
    metavar="N",
    help=f"Sessions to measure, each a run of its own.  [default: {SESSIONS}]",
)
@WHAT("--allow-unclear", is_flag=True, help='Let "cannot tell" pass.')
@judging_options
@output_options
def command(
    runs: tuple[str, ...],
    baselines: tuple[str, ...],
    baseline_branch: str | None,
    baseline_name: str | None,
    update: bool,
    reset: bool,
    keep: int,
    push: str | None,
    measure: str | None,
    sessions: int,
    allow_unclear: bool,
    output_dir: Path | None,
    form: str,
    written: tuple[str, ...],
    **judging: Any,
) -> int:
    """Fail when something got worse than a baseline.

    RUN names the runs to judge, as `compare` does; `latest` when there is none.

    Leaves with 0 when nothing is worse; 1 when something is, or when of a headline metric (TTFT,
    latency, TPOT, failures, or those of --metric) nobody can tell; 2 for wrong usage or runs that
    cannot be compared; 3 when nothing could be set up.
    """
    from minionbench.cli.comparison_output import publish
    from minionbench.compare import (
        Side,
        Wanted,
        check_apart,
        compare,
        earlier_runs,
        read_side,
    )
    from minionbench.store import runs_dir

    criteria = criteria_of(**judging)
    files = writing(written)
    folder = runs_dir(output_dir)
    wanted = Wanted(metrics=criteria.metrics)
    if measure is not None and runs:
        raise UsageError("Give runs, or --measure to make some; not both.")
    if reset and update:
        raise UsageError("--reset begins the baseline anew, --update adds to it: give one of them.")
    place = _place(baselines, baseline_branch, baseline_name, changes=update or reset, push=push)
    before = None if reset else place.read()
    base = None
    if before is not None:
        base = Side(name=place.text, measurements=before.measurements)
    elif baselines and not place.changes:
        base = read_side(list(baselines), folder, wanted)
    elif not place.changes:
        raise UsageError(f"There is no baseline in {place.text} yet; --update begins it.")
    if measure is not None:
        new = measured(measure, sessions, folder, wanted)
    else:
        new = read_side(list(runs) or ["latest"], folder, wanted)
    if base is None:
        count = place.add(None, new, keep)
        click.echo(f"The baseline in {place.text} begins with {number_of(count, 'run')}.")
        return 0
    check_apart(base, new)
    ids = {*base.run_ids, *new.run_ids}
    comparisons = compare(base, [new], criteria, earlier_runs(folder, ids))
    fails = failing(allow_unclear)
    publish(comparisons, form, files, fails)
    code = verdict_code(comparisons, fails)
    if update and code == 0:
        count = place.add(before, new, keep)
        click.echo(f"minionbench: {place.text} holds {number_of(count, 'run')} now", err=True)
    return code


def failing(allow_unclear: bool) -> Callable[[Answer], bool]:
    """What fails the gate: what is worse, and headline metrics of which nobody can tell."""

    def fails(one: Answer) -> bool:
        unclear = one.verdict == "cannot tell" and one.headline and not allow_unclear
        return one.verdict == "worse" or unclear

    return fails


def verdict_code(comparisons: Sequence[Comparison], fails: Callable[[Answer], bool]) -> int:
    """The exit code; says on standard error why it is 1."""
    failed = [
        (one, cell)
        for comparison in comparisons
        for cell in comparison.cells
        for one in cell.answers
        if fails(one)
    ]
    if not any(one.headline for c in comparisons for cell in c.cells for one in cell.answers):
        click.echo("minionbench: no headline metric could be compared", err=True)
        return 1
    if not failed:
        return 0
    worse = sum(one.verdict == "worse" for one, _ in failed)
    said = [f"{number_of(worse, 'metric is', 'metrics are')} worse"] if worse else []
    if len(failed) > worse:
        count = number_of(len(failed) - worse, "headline metric")
        said.append(f"of {count} it cannot be told (--allow-unclear lets that pass)")
    click.echo(f"minionbench: failed: {'; '.join(said)}", err=True)
    return 1


def measured(text: str, sessions: int, folder: Path, wanted: Wanted) -> Side:
    """Sessions of one side, one after the other."""
    from minionbench.compare import arm, nothing_measured, run_session, side_of

    one = arm("measure", text, (), folder)
    documents = []
    for number in range(1, sessions + 1):
        click.echo(f"minionbench: session {number} of {sessions}", err=True)
        documents.append(run_session(one, folder))
        side = side_of(text, documents, wanted)
        if why := nothing_measured(side):
            click.echo(f"minionbench: {printable(why)}", err=True)
            break
    return side


class Place:
    """Where a baseline is kept: in a file, on a branch, or nowhere."""

    def __init__(self, file: Path | None, branch: BaselineBranch | None, push: str | None) -> None:
        self.file = file
        self.branch = branch
        self.changes = False
        """Whether it is to be written."""
        self._push = push

    @property
    def text(self) -> str:
        """Where that is, in words."""
        return self.branch.text if self.branch is not None else str(self.file)

    def read(self) -> Baseline | None:
        """The baseline; None where there is none yet."""
        from minionbench.compare import is_baseline, read_baseline

        if self.branch is not None:
            return self.branch.read()
        if self.file is None or not self.file.exists():
            return None
        if not is_baseline(self.file):
            raise UsageError(
                f"{self.file} is no baseline file, so it cannot be updated; name another one"
            )
        return read_baseline(self.file)

    def add(self, before: Baseline | None, new: Side, keep: int) -> int:
        """Writes the baseline with more runs; returns how many it then holds."""
        from minionbench.compare import baseline_of, nothing_measured, write_baseline

        if why := nothing_measured(new):
            raise UsageError(f"These runs make no baseline: {why}")
        baseline = baseline_of(new.measurements)
        if before is not None:
            baseline = before.with_runs(baseline.measurements, keep)
        else:
            baseline = baseline.with_runs((), keep)
        count = len(baseline.run_ids)
        if self.branch is not None:
            self.branch.write(baseline, f"Baseline of {number_of(count, 'run')}")
            if self._push is not None:
                self.branch.push(self._push)
        else:
            assert self.file is not None
            write_baseline(self.file, baseline)
        return count


def _place(
    baselines: tuple[str, ...],
    branch: str | None,
    name: str | None,
    *,
    changes: bool,
    push: str | None,
) -> Place:
    """Where the baseline is; raises UsageError for flags that do not go together."""
    from minionbench.compare import BASELINE_NAME, BaselineBranch, is_baseline

    if bool(baselines) == (branch is not None):
        raise UsageError(
            "Say what to hold the runs against: --baseline FILE (a baseline file, or runs), or "
            "--baseline-branch BRANCH."
        )
    if branch is None and (name is not None or push is not None):
        raise UsageError("--baseline-name and --push go with --baseline-branch")
    if branch is not None:
        place = Place(None, BaselineBranch(branch, name or BASELINE_NAME), push)
    else:
        path = Path(baselines[0])
        lone = len(baselines) == 1
        place = Place(path if lone and (changes or is_baseline(path)) else None, None, None)
        if changes and not lone:
            raise UsageError("A baseline is kept in one file: give --baseline once to change it.")
        if place.file is None and lone and path.suffix == ".json" and not path.exists():
            raise UsageError(f"There is no baseline in {path} yet; --update begins it.")
    place.changes = changes
    return place
