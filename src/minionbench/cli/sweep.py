"""`minionbench sweep`: a factorial of workloads, deployments, models and loads, from a file."""

from __future__ import annotations

import contextlib
import json
import math
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minionbench.cli.groups import GroupedOption
from minionbench.cli.load_options import FLAGS as OF_A_LOAD
from minionbench.cli.output import progress_for, show, show_end
from minionbench.cli.run import (
    COUNT,
    DEFAULT_MODEL,
    WORKLOADS,
    chunking,
    given,
    is_remote,
    parse_quant,
    run_settings,
    split_commas,
)
from minionbench.cli.run import command as run_command
from minionbench.cli.slo_options import GoodputCommand
from minionbench.cli.sweep_table import planned
from minionbench.cli.text import printable, width
from minionbench.errors import SetupError, UsageError

if TYPE_CHECKING:
    from minionbench.load import Load
    from minionbench.run_settings import Measurable
    from minionbench.sweep import Definition, SweepOutcome

NOT_OF_A_SWEEP = (
    *("workloads", "model", "deployment", "remote_model", "protocol", "protocols", "quant"),
    *("reasoning", *OF_A_LOAD, "repeats", "items", "config"),
)
"""Flags of a run that a sweep has in a form of its own, or not at all."""
OF_A_PROTOCOL = (
    *("max_rounds", "samples", "chunk_by", "chunk_size", "preselect", "retrieve"),
    *("embedding_model", "embedding_url"),
)
ARGUMENTS = "minionbench.arguments"
TABLES = {"servers": "server", "prices": "price", "assume": "assume"}
"""Tables of a sweep's file, and the flags that say the same."""
REASONING = {
    **dict.fromkeys(("on", "true", "yes"), True),
    **dict.fromkeys(("off", "false", "no"), False),
    "default": None,
}
DEPLOYMENTS = ("local", "remote", "hybrid")


class SweepCommand(GoodputCommand):
    """A command that remembers what it was called with, so that `--resume` alone can go on."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As other commands do."""
        ctx.meta[ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, args)


def read_file(ctx: click.Context, argument: click.Parameter, path: Path | None) -> Path | None:
    """Takes what a sweep's file says for defaults, which flags override."""
    if path is None:
        return None
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"The sweep {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The sweep {path} is not TOML: {error}") from error
    for table, flag in TABLES.items():
        entries = said.get(table, {})
        if not isinstance(entries, dict):
            continue
        if any(isinstance(value, dict | list) for value in entries.values()):
            raise UsageError(f"{path}: [{table}] has to be a table of NAME = VALUE")
        said.pop(table, None)
        if entries:
            said[flag] = [f"{name}={value}" for name, value in entries.items()]
    ctx.default_map = dict(_defaults(ctx, path, said))
    return path


def _defaults(ctx: click.Context, path: Path, said: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    options = {
        long.removeprefix("--"): option
        for option in ctx.command.params
        if isinstance(option, click.Option)
        for long in option.opts
        if long.startswith("--")
    }
    for key, value in said.items():
        option = options.get(key.replace("_", "-"))
        if option is None or option.name == "resume":
            known = ", ".join(sorted({*options, *TABLES} - {"resume", *TABLES.values()}))
            raise UsageError(f"{path}: there is no setting {key!r}; there are {known}")
        assert option.name is not None
        if option.multiple:
            levels = value if isinstance(value, list) else [value]
            if not levels:
                raise UsageError(f"{path}: {key} has no level; leave it out, or name one")
            if any(isinstance(level, dict | list) for level in levels):
                raise UsageError(f"{path}: {key} has to be a level or a list of levels")
            yield (
                option.name,
                [level if isinstance(level, str) else json.dumps(level) for level in levels],
            )
            continue
        if isinstance(value, list):
            raise UsageError(f"{path}: {key} is no factor, so that it has one value and no list")
        if isinstance(option.type, click.types.IntParamType) and type(value) is not int:
            # click would make 1 of 1.5 and of true.
            raise UsageError(f"{path}: {key} has to be a whole number, not {json.dumps(value)}")
        yield option.name, json.dumps(value) if isinstance(value, dict) else value


FACTOR = partial(
    GroupedOption, group="Factors: several levels with commas", multiple=True, callback=split_commas
)
KNOWN = partial(GroupedOption, group="Where, and for how much", multiple=True)
RESULT = partial(GroupedOption, group="The sweep")

FACTORS: tuple[click.Parameter, ...] = (
    FACTOR(
        ["-w", "--workload", "workloads"],
        metavar="NAME,…",
        help="prefill, balanced, decode.  [default: all three]",
    ),
    FACTOR(
        ["-d", "--deployment", "deployments"],
        metavar="KIND,…",
        help="local, remote, hybrid.  [default: what the models say]",
    ),
    FACTOR(
        ["-m", "--model", "models"],
        metavar="MODEL,…",
        help=f"Local models, as with run.  [default: {DEFAULT_MODEL}]",
    ),
    FACTOR(
        ["--quant", "quants"],
        metavar="WHICH,…",
        help="Q1_5B, Q3B, Q8B (Q3B:q4_K_M), or weight formats.",
    ),
    FACTOR(["--remote-model", "remote_models"], metavar="MODEL,…", help="Of remote and hybrid."),
    FACTOR(["--protocol", "protocols"], metavar="NAME,…", help="Of hybrid: minion, minions, rag."),
    FACTOR(["--reasoning", "reasoning"], metavar="on,off", help="Also default: up to the model."),
    FACTOR(["-c", "--concurrency", "concurrency"], metavar="N,…", help="Streams.  [default: 1]"),
    FACTOR(
        ["--request-rate", "request_rates"],
        metavar="R,…",
        help="Requests per second, whatever the answers do; inf: all at once.",
    ),
    RESULT(
        ["--burstiness"],
        type=float,
        default=1.0,
        help="Of request rates: 1 is Poisson, less is burstier.  [default: 1]",
    ),
    RESULT(
        ["--repeats", "--num-runs", "repeats"],
        type=COUNT,
        metavar="N",
        help="Sessions of each cell, each on engines started for it.  [default: 5]",
    ),
    RESULT(
        ["--resume"],
        is_flag=False,
        flag_value="latest",
        metavar="[RUN_ID]",
        help="Go on with a sweep that was interrupted, the latest unless one is named; what was "
        "measured stays, what failed is tried again.",
    ),
    RESULT(["--csv"], is_flag=True, help="Write tables of cells and requests beside the records."),
    RESULT(["--parquet"], is_flag=True, help="The same as Parquet (needs duckdb)."),
    KNOWN(
        ["--server", "server"],
        metavar="NAME=URL",
        help="Where ollama, openai, anthropic or deepseek is to be found.  [default: its own "
        "address]",
    ),
    KNOWN(
        ["--price", "price"],
        metavar="MODEL=IN,OUT",
        help="Of a remote model, in dollars per million tokens.",
    ),
    KNOWN(
        ["--assume", "assume"],
        metavar="latency|start=S",
        help="For --dry-run: seconds of a request, or of a start, where nothing is known.",
    ),
)


def command_(file: Path | None, resume: str | None, **flags: Any) -> int:
    """Measure every combination of some factors, as one designed run.

    FILE is TOML: the long flags as keys, lists for levels, and the tables [servers], [prices] and
    [assume]. Flags override it. Every cell is measured --repeats times, each time on engines
    started or attached to for it, in blocks of all cells in an order drawn from the seed. What
    cannot be measured is left out by name, or fails alone.

    Leaves with 0 when all is well; 1 when something could not be measured or is not to be
    believed; 2 for wrong usage; 3 when nothing could be set up; 130 after Ctrl-C.
    """
    context = click.get_current_context()
    arguments = context.meta[ARGUMENTS]
    if resume is None or file is not None:
        return swept(resume, arguments, **flags)
    refuse_other_flags(context)
    return went_on(resume, flags)


def went_on(which: str, flags: dict[str, Any]) -> int:
    """Goes on with a sweep by the command that its plan remembers."""
    from minionbench.store import DATA, LATEST, run_id_of, runs_dir
    from minionbench.sweep.plan import read_sweep_plan
    from minionbench.sweep.run import latest_unfinished

    documents = runs_dir(flags["output_dir"]).absolute()
    run_id = latest_unfinished(documents) if which == LATEST else run_id_of(which)
    plan = read_sweep_plan(documents / DATA / run_id)
    if plan.arguments is None or plan.folder is None:
        raise UsageError(
            f"Run {run_id} does not say by which command it began, since that holds a secret or "
            "was none: give the same file and flags again, with --resume"
        )
    try:
        with contextlib.chdir(plan.folder):
            again = command.make_context("sweep", list(plan.arguments))
            with again:
                params = {**again.params, "output_dir": documents}
                params |= {name: flags[name] or params[name] for name in ("csv", "parquet")}
                params["form"] = flags["form"]
                del params["file"], params["resume"]
                return swept(run_id, None, **params)
    except FileNotFoundError as error:
        raise SetupError(f"The folder {plan.folder} that the sweep began in is gone") from error


def refuse_other_flags(context: click.Context) -> None:
    """Raises UsageError for flags that a sweep which goes on by its own plan would leave aside."""
    for param in context.command.params:
        name = param.name or ""
        named = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if named and name not in ("resume", "output_dir", "form", "csv", "parquet"):
            raise UsageError(
                f"{param.opts[-1]} does not go with --resume alone: the sweep goes on by its own "
                "plan. Give its file and all of its flags, or none"
            )


def swept(
    resume: str | None,
    arguments: tuple[str, ...] | None,
    *,
    form: str,
    csv: bool,
    parquet: bool,
    assume: tuple[str, ...],
    **flags: Any,
) -> int:
    """Runs the sweep that the flags mean, and prints it."""
    from minionbench.sweep import run_sweep
    from minionbench.sweep.estimate import Assumed

    taken = _pairs("--assume", assume)
    if unknown := sorted(taken.keys() - {"latency", "start"}):
        raise UsageError(f"--assume knows latency and start, not {unknown[0]}")
    assumed = Assumed(
        request_s=_seconds("--assume latency", taken.get("latency")),
        start_s=_seconds("--assume start", taken.get("start")),
    )
    if parquet:
        from minionbench.exporters.tidy import require_duckdb

        require_duckdb()
    sweep = definition_of(**flags)
    progress = progress_for(form)
    try:
        outcome = run_sweep(
            sweep,
            progress,
            resume=resume,
            arguments=None if arguments is None else _without_secrets(arguments),
            assumed=assumed,
        )
    except KeyboardInterrupt:
        progress.done()
        again = "" if progress.run_id is None else f"; go on with --resume {progress.run_id}"
        click.echo(f"minionbench: interrupted{again}", err=True)
        return 130
    if outcome.estimate is not None and form == "table":
        click.echo("\n".join(planned(outcome.run, outcome.estimate, outcome.path, width())))
        return 0
    show(outcome.run, outcome.path, form)
    show_end(progress, outcome.path, outcome.exit_code)
    if outcome.estimate is None:
        _write_tables(outcome, csv=csv, parquet=parquet)
    explain(outcome)
    return outcome.exit_code


def _without_secrets(arguments: tuple[str, ...]) -> tuple[str, ...] | None:
    """The arguments, where none of them may be a secret."""
    from minionbench.system.redaction import HIDDEN, redact

    return None if HIDDEN in redact(arguments) else arguments


def _write_tables(outcome: SweepOutcome, *, csv: bool, parquet: bool) -> None:
    from minionbench.exporters.tidy import Form, write_tables
    from minionbench.store import DATA

    folder = outcome.path.parent / DATA / outcome.run.metadata.run_id
    wanted: tuple[tuple[Form, bool], ...] = (("csv", csv), ("parquet", parquet))
    for form in (form for form, asked in wanted if asked):
        for path in write_tables(outcome.run, outcome.path, folder, form):
            click.echo(f"minionbench: written: {path}", err=True)


def explain(outcome: SweepOutcome) -> None:
    """Says on standard error why a sweep does not leave with 0."""
    from minionbench.units import number_of

    run_id = outcome.run.metadata.run_id
    if outcome.interrupted:
        kept = f"partial results kept in {outcome.path}"
        click.echo(f"minionbench: interrupted; {kept}; go on with --resume {run_id}", err=True)
    elif outcome.failed_sessions:
        count = number_of(outcome.failed_sessions, "session")
        click.echo(
            f"minionbench: {count} could not be measured; the result says why. When that is "
            f"mended, --resume {run_id} tries them again",
            err=True,
        )
    elif outcome.failed:
        click.echo(
            "minionbench: something could not be measured or is not to be believed; the result "
            "says what and why",
            err=True,
        )


def definition_of(
    *,
    workloads: tuple[str, ...],
    deployments: tuple[str, ...],
    models: tuple[str, ...],
    quants: tuple[str, ...],
    remote_models: tuple[str, ...],
    protocols: tuple[str, ...],
    reasoning: tuple[str, ...],
    concurrency: tuple[str, ...],
    request_rates: tuple[str, ...],
    burstiness: float,
    repeats: int | None,
    server: tuple[str, ...],
    price: tuple[str, ...],
    url: str | None,
    remote_url: str | None,
    **flags: Any,
) -> Definition:
    """What the flags mean.

    Raises UsageError for flags that contradict each other or name what is not there.
    """
    import msgspec

    from minionbench.prices import Price
    from minionbench.run_settings import DEFAULT_REQUESTS
    from minionbench.sweep.definition import DEFAULT_REPEATS, Definition

    elsewhere = tuple(model for model in models if is_remote(model))
    remote_models += elsewhere
    models = tuple(model for model in models if model not in elsewhere)
    kinds = deployments or (("local",) if models or not remote_models else ()) + (
        ("remote",) if remote_models else ()
    )
    if unknown := [kind for kind in kinds if kind not in DEPLOYMENTS]:
        raise UsageError(
            f"There is no deployment {unknown[0]!r}; there are {', '.join(DEPLOYMENTS)}"
        )
    if protocols and "hybrid" not in kinds:
        raise UsageError("--protocol goes with -d hybrid")
    of_protocols = {name: flags.pop(name) for name in OF_A_PROTOCOL}
    if "hybrid" not in kinds and (idle := given(of_protocols)):
        name = next(iter(idle))
        raise UsageError(f"--{name.replace('_', '-')} goes with -d hybrid")
    # How a server is reached is said of the one that is far away, where there is one.
    whole: dict[str, Any] = {
        **flags,
        **dict.fromkeys((*OF_A_PROTOCOL, *OF_A_LOAD)),
        **dict.fromkeys(("model", "remote_model", "protocol", "quant", "reasoning", "items")),
        # A list, so that naming all three workloads is not taken for the default.
        "workloads": [*(workloads or WORKLOADS)],
        "deployment": "local" if kinds == ("local",) else "hybrid",
        "protocols": (),
        "url": url,
        "remote_url": None,
        "repeats": repeats or DEFAULT_REPEATS,
    }
    common = run_settings(**whole)
    settings = given(
        {
            "max_rounds": of_protocols["max_rounds"],
            "samples": of_protocols["samples"],
            "chunking": chunking(of_protocols["chunk_by"], of_protocols["chunk_size"]),
            "preselect": of_protocols["preselect"],
            "embedding_model": of_protocols["embedding_model"],
            "embedding_url": of_protocols["embedding_url"],
            "k": of_protocols["retrieve"],
        }
    )
    named = models or (
        (None,) if url is not None else ("reference",) if quants else (DEFAULT_MODEL,)
    )
    requests = flags.get("num_requests") or DEFAULT_REQUESTS
    return Definition(
        workloads=common.workloads,
        deployments=tuple(
            _deployments(kinds, named, protocols or ("minion",), url, remote_url, settings)
        ),
        reasoning=tuple(map(_reasoning, reasoning)) or (None,),
        quants=tuple(map(parse_quant, quants)) or (None,),
        remote_models=remote_models or (None,),
        loads=tuple(_loads(concurrency, request_rates, burstiness, requests)),
        servers=_pairs("--server", server),
        prices={model: Price.parse(text) for model, text in _pairs("--price", price).items()},
        common=msgspec.structs.replace(common, remote_model=None),
    )


def _deployments(
    kinds: tuple[str, ...],
    models: tuple[str | None, ...],
    protocols: tuple[str, ...],
    url: str | None,
    remote_url: str | None,
    settings: dict[str, Any],
) -> Iterator[Measurable]:
    from minionbench.deployments.single import Local, Remote
    from minionbench.protocols.hybrid import Protocols

    for kind in kinds:
        if kind == "remote":
            yield Remote(url=remote_url)
            continue
        for model in models:
            if kind == "local":
                yield Local(model, url=url)
                continue
            one_each = Protocols(model, None, protocols, url=url, remote_url=remote_url, **settings)
            yield from map(one_each.of_one, protocols)


def _reasoning(word: str) -> bool | None:
    if word.lower() not in REASONING:
        raise UsageError(f"--reasoning {word}: it is on, off or default")
    return REASONING[word.lower()]


def _loads(
    concurrency: tuple[str, ...], rates: tuple[str, ...], burstiness: float, requests: int
) -> Iterator[Load]:
    from minionbench.load import ClosedLoop, request_rate

    if not concurrency and not rates:
        yield ClosedLoop()
    for word in concurrency:
        if not word.isascii() or not word.isdigit():
            raise UsageError(f"--concurrency {word}: it is a whole number of streams")
        yield ClosedLoop(concurrency=int(word))
    for word in rates:
        rate = _seconds("--request-rate", word)
        assert rate is not None
        yield request_rate(rate, requests, burstiness)


def _pairs(flag: str, texts: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE` as pairs; a later one takes the place of an earlier one."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UsageError(f"{flag} takes NAME=VALUE")
        pairs[name.strip()] = value.strip()
    return pairs


def _seconds(what: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise UsageError(f"{what}: {printable(text)} is no number")
    return value


command = SweepCommand(
    name="sweep",
    callback=command_,
    help=command_.__doc__,
    params=[
        click.Argument(
            ["file"],
            required=False,
            type=click.Path(path_type=Path),
            is_eager=True,
            callback=read_file,
        ),
        *FACTORS,
        *(option for option in run_command.params if option.name not in NOT_OF_A_SWEEP),
    ],
)
