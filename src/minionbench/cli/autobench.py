"""`minionbench autobench`: every model of the registry measured, in one document."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minionbench.cli.groups import GroupedCommand, GroupedOption
from minionbench.cli.metering_options import FLAGS, metering_options, power_settings
from minionbench.cli.money_options import MONEY
from minionbench.cli.output import FORMATS, progress_for, show, show_end
from minionbench.cli.text import width
from minionbench.errors import UsageError

if TYPE_CHECKING:
    from minionbench.autobench import AutobenchOutcome, Procedure

COUNT = click.IntRange(min=1)
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", re.IGNORECASE)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
OF_THE_PLAN = (
    "registry",
    "only",
    "metrics",
    "num_requests",
    "warmup",
    "repeats",
    "seed",
    "budget_s",
    "memory_limit_bytes",
    "threads",
    "cove_pairs",
    "cove_file",
    "corpus",
    "queries",
    "reranking",
    "electricity_usd_per_kwh",
    "dry_run",
)
"""Settings that a resumed run takes from its plan."""


def parse_time(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """`10m`, `90s`, `1.5h`, or seconds."""
    if text is None:
        return None
    match = _TIME.fullmatch(text.strip())
    if match is None or float(match[1]) == 0:
        raise click.BadParameter(f"{text!r} is no time; it is one like 10m, 90s or 1.5h")
    return float(match[1]) * {"s": 1, "m": 60, "min": 60, "h": 3_600}[(match[2] or "s").lower()]


def parse_size(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """`8G`, `512M`, or bytes; the letters stand for powers of 1,024."""
    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None or float(match[1]) == 0:
        raise click.BadParameter(f"{text!r} is no size; it is one like 8G or 512M")
    power = " kmgt".index(match[2].lower() or " ")
    return round(float(match[1]) * (1 << 10 * power))


def split_commas(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Names given with several flags, with commas, or both."""
    names = (name.strip() for value in values for name in value.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


WHAT = partial(click.option, cls=GroupedOption, group="What is measured")
HOW = partial(click.option, cls=GroupedOption, group="How")
LIMIT = partial(click.option, cls=GroupedOption, group="Limits of each model")
OUTPUT = partial(click.option, cls=GroupedOption, group="Results")


@click.command(name="autobench", cls=GroupedCommand)
@WHAT(
    "--registry",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON list of models.  [default: in the state directory]",
)
@WHAT(
    "--only",
    multiple=True,
    metavar="VERSION",
    help="Measure this version; several with several flags.  [default: all]",
)
@WHAT(
    "--metrics",
    multiple=True,
    callback=split_commas,
    metavar="NAME[,NAME]",
    help="latency_ms, tokens_per_sec, peak_ram_mb, peak_vram_mb, cove_pass_rate, retrieval_score, "
    "perplexity, kl_to_base.  [default: all]",
)
@WHAT("--dry-run", is_flag=True, help="List the models, measure nothing.")
@WHAT(
    "--resume",
    is_flag=False,
    flag_value="latest",
    metavar="[RUN_ID]",
    help="Go on with a run that was interrupted, the latest unless one is named.",
)
@HOW("-n", "--num-requests", type=COUNT, metavar="N", help="Items per workload.  [default: 10]")
@HOW("--repeats", type=COUNT, metavar="N", help="How often each is asked.  [default: 3]")
@HOW("--warmup", type=click.IntRange(min=0), metavar="N", help="More to warm up.  [default: 2]")
@HOW("--seed", type=int, metavar="N", help="Decides items and order.  [default: 0]")
@HOW("--threads", type=COUNT, metavar="N", help="Of the engine.  [default: cores − 1]")
@HOW("--cove-pairs", type=COUNT, metavar="N", help="Pairs of drafts.  [default: 112]")
@HOW("--cove-file", metavar="PATH", help="Pairs of your own, as JSON Lines.")
@HOW("--corpus", metavar="FOLDER", help="For retrieval, in BEIR's format.  [default: built in]")
@HOW("--queries", type=COUNT, metavar="N", help="Of the corpus.  [default: all]")
@HOW(
    "--reranking",
    type=click.Choice(["listwise", "pointwise", "embedding"]),
    help="How the model retrieves.  [default: listwise]",
)
@LIMIT(
    "--budget",
    "budget_s",
    callback=parse_time,
    metavar="TIME",
    help="Time, its loading included, as 10m.  [default: none]",
)
@LIMIT(
    "--memory-limit",
    "memory_limit_bytes",
    callback=parse_size,
    metavar="SIZE",
    help="Memory, as 8G.  [default: 90 % of what is available]",
)
@metering_options
@MONEY(
    "--electricity-price",
    "electricity_usd_per_kwh",
    type=float,
    metavar="USD",
    help="Of a kWh, for what the measured energy costs.",
)
@OUTPUT(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Of the documents.  [default: in the state directory]",
)
@OUTPUT(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="table",
    help="For people: table, md; for programs the others.  [default: table]",
)
@OUTPUT("-v", "--verbose", is_flag=True, help="Say of each model all there is, on standard error.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    form: str,
    verbose: bool,
    output_dir: Path | None,
    registry: Path | None,
    only: tuple[str, ...],
    dry_run: bool,
    resume: str | None,
    **flags: Any,
) -> int:
    """Measure every model of the registry.

    Each model is started in an engine of its own, asked the same, and stopped: how fast it is,
    what memory it takes, whether it verifies its own claims, how well it retrieves. What goes
    wrong with one model stops no other, and is written into its metrics.

    Leaves with 0 when all was measured or skipped for a reason; 1 when something failed or is not
    to be believed; 2 for wrong usage; 3 when nothing could be set up; 130 after Ctrl-C.
    """
    from minionbench.autobench import run_autobench

    if resume is not None:
        refuse_what_the_plan_says(ctx)
    meters = power_settings(**{name: flags.pop(name) for name in FLAGS})
    progress = progress_for(form)
    try:
        outcome = run_autobench(
            registry,
            output_dir,
            dry_run,
            procedure=procedure_of(flags),
            only=only,
            resume=resume,
            observer=progress,
            meters=meters,
        )
    except KeyboardInterrupt:
        progress.done()
        again = "" if progress.run_id is None else f"; go on with --resume {progress.run_id}"
        click.echo(f"minionbench: interrupted{again}", err=True)
        return 130
    if verbose:
        tell_all(outcome)
    if form == "table" and not outcome.run.metadata.dry_run:
        tell(outcome)
    else:
        show(outcome.run, outcome.path, form)
        show_end(progress, outcome.path, outcome.exit_code)
    if outcome.interrupted:
        name = outcome.run.metadata.run_id
        click.echo(f"minionbench: interrupted; go on with --resume {name}", err=True)
    return outcome.exit_code


def procedure_of(flags: dict[str, Any]) -> Procedure:
    """What the flags mean; those that were not given keep their defaults."""
    from minionbench.autobench import Procedure

    return Procedure(**{name: value for name, value in flags.items() if value not in (None, ())})


def refuse_what_the_plan_says(ctx: click.Context) -> None:
    """Raises UsageError for flags that a resumed run would have to leave aside."""
    for param in ctx.command.params:
        name = param.name or ""
        given = ctx.get_parameter_source(name)
        if name in OF_THE_PLAN and given is click.core.ParameterSource.COMMANDLINE:
            raise UsageError(
                f"{param.opts[-1]} does not go with --resume: the run goes on by its own plan"
            )


def tell(outcome: AutobenchOutcome) -> None:
    """Prints the table, and what has changed since each model was last measured."""
    from minionbench.autobench.last_time import since_last_time
    from minionbench.cli.autobench_table import report

    since = since_last_time(outcome.run, outcome.path.parent)
    click.echo("\n".join(report(outcome.run, outcome.path, since, width())))


def tell_all(outcome: AutobenchOutcome) -> None:
    """Prints all that is known of each model, on standard error."""
    from minionbench.cli.table import details, measured

    for candidate in outcome.run.candidates:
        lines = (measured if candidate.cells else details)(candidate, width())
        click.echo("\n".join(lines), err=True)
