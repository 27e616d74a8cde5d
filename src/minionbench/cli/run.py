"""`minionbench run`: one deployment measured over the workloads."""

from __future__ import annotations

import json
import math
import tomllib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minionbench.cli.groups import GroupedOption
from minionbench.cli.load_options import load_of_flags, load_options
from minionbench.cli.metering_options import metering_options, power_settings
from minionbench.cli.money_options import money_options, money_settings
from minionbench.cli.output import FORMATS, progress_for, show, show_end
from minionbench.cli.slo_options import GoodputCommand, goodput_option, objective_of_flags
from minionbench.cli.text import printable
from minionbench.errors import UsageError

if TYPE_CHECKING:
    from minionbench.cli.progress import Progress
    from minionbench.deployments.single import Local, Remote
    from minionbench.engines.families import LocalQuant
    from minionbench.experiment import RunOutcome
    from minionbench.protocols.chunking import Chunking
    from minionbench.protocols.hybrid import Hybrid, Protocols
    from minionbench.run_settings import Measurable, RunSettings

WORKLOADS = ("prefill", "balanced", "decode")
"""What is measured when nothing else is asked for."""
DEFAULT_MODEL = "reference/q8_0"
TIERS = ("Q1_5B", "Q3B", "Q8B")


class Seconds(click.FloatRange):
    """A time longer than nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As a range does, which lets NaN pass: no time-out would ever come."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no time", param, ctx)
        return number


SECONDS = Seconds(min=0, min_open=True)
COUNT = click.IntRange(min=1)


def read_config(ctx: click.Context, option: click.Parameter, path: Path | None) -> None:
    """Takes the settings of a TOML file for defaults, which flags override."""
    if path is None:
        return
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"The settings {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The settings {path} are not TOML: {error}") from error
    flags = {
        long.removeprefix("--"): other
        for other in ctx.command.params
        if isinstance(other, click.Option) and other is not option
        for long in (*other.opts, *other.secondary_opts)
        if long.startswith("--") and not long.startswith("--no-reasoning")
    }
    defaults: dict[str, Any] = {}
    for key, value in settings.items():
        flag = flags.get(key.replace("_", "-"))
        if flag is None:
            known = ", ".join(sorted(flags))
            raise UsageError(f"{path}: there is no setting {key!r}; there are {known}")
        assert flag.name is not None
        if isinstance(flag.type, click.types.IntParamType) and type(value) is not int:
            # click would make 1 of 1.5 and of true.
            raise UsageError(f"{path}: {key} has to be a whole number, not {json.dumps(value)}")
        if flag.multiple and isinstance(value, str):
            value = [value]
        defaults[flag.name] = json.dumps(value) if isinstance(value, dict) else value
    ctx.default_map = defaults


def split_commas(
    ctx: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """`-w prefill,decode -w balanced` as three names."""
    names = (name.strip() for value in values for name in value.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def parse_header(text: str) -> tuple[str, str]:
    """`Name: value` as a pair."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        # The text itself is not repeated: it may hold a key.
        raise UsageError("--header takes NAME:VALUE")
    return name.strip(), value.strip()


def parse_body(text: str | None) -> dict[str, Any]:
    """A JSON object to be merged into each request."""
    if text is None:
        return {}
    try:
        body = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--extra-body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise UsageError("--extra-body takes a JSON object, as in '{\"top_k\": 1}'")
    return body


def parse_quant(text: str | None) -> LocalQuant | None:
    """A size tier (`Q3B`, or with a format `Q3B:q4_K_M`), or a weight format alone."""
    if text is None:
        return None
    from minionbench.engines import families

    tier, colon, form = text.partition(":")
    for name in TIERS:
        if tier.lower() == name.lower():
            chosen: LocalQuant = getattr(families, name)(form if colon else None)
            return chosen
    return families.Quant(text)


WHAT = partial(click.option, cls=GroupedOption, group="What is measured")
HYBRID = partial(click.option, cls=GroupedOption, group="A local and a remote model together")
LENGTH = partial(click.option, cls=GroupedOption, group="Requests")
SERVER = partial(click.option, cls=GroupedOption, group="A server that runs already")
ENGINE = partial(click.option, cls=GroupedOption, group="The embedded engine")
TIMEOUT = partial(
    click.option, cls=GroupedOption, group="Time-outs, in seconds", type=SECONDS, metavar="S"
)
OUTPUT = partial(click.option, cls=GroupedOption, group="Results")


@click.command(name="run", cls=GoodputCommand)
@WHAT(
    "-w",
    "--workload",
    "workloads",
    multiple=True,
    default=WORKLOADS,
    callback=split_commas,
    metavar="NAME[,NAME]",
    help="prefill, balanced or decode; several with commas.  [default: all three]",
)
@WHAT(
    "-m",
    "--model",
    metavar="MODEL",
    help="reference/q8_0 (also f16, q4_0), llamacpp/PATH.gguf, ollama/NAME, openai/NAME, "
    "anthropic/NAME, deepseek/NAME; with --url the name there.  "
    f"[default: {DEFAULT_MODEL}]",
)
@WHAT(
    "-d",
    "--deployment",
    metavar="KIND",
    help="local; remote: prompts leave this machine; or hybrid.  [default: what the model's name "
    "says]",
)
@WHAT("--remote-model", metavar="MODEL", help="The remote model, or a hybrid's, as with -m.")
@WHAT(
    "--quant",
    metavar="WHICH",
    help="A size of the model's family (Q1_5B, Q3B, Q8B; with a weight format Q3B:q4_K_M), or a "
    "weight format alone (q4_0).",
)
@WHAT(
    "--reasoning/--no-reasoning",
    default=None,
    help="Let the model reason or not.  [default: up to the model]",
)
@WHAT("--reasoning-effort", metavar="WORD", help="How hard, as the server has it: low, high …")
@WHAT(
    "--reasoning-budget",
    type=COUNT,
    metavar="TOKENS",
    help="For reasoning, apart from the answer's.",
)
@WHAT(
    "--dataset",
    metavar="PATH|hub[:NAME]",
    help="Take the items of a workload from a data set: a file (JSON Lines, CSV, Parquet), or hub "
    "for the real data behind it, out of Hugging Face's cache.",
)
@WHAT("--download", is_flag=True, help="Fetch what that cache lacks from Hugging Face's hub.")
@HYBRID("--protocol", metavar="NAME", help="minion or minions.  [default: minion]")
@HYBRID(
    "--protocols",
    multiple=True,
    callback=split_commas,
    metavar="NAME[,NAME]",
    help="Compare local, remote, minion, minions, rag on the same items; all for all of them.",
)
@HYBRID("--remote-url", metavar="URL", help="Of a server for the remote side.")
@HYBRID("--max-rounds", type=COUNT, metavar="N", help="Of a protocol.  [default: 3]")
@HYBRID("--samples", type=COUNT, metavar="N", help="MinionS: per job.  [default: 1]")
@HYBRID(
    "--chunk-by",
    type=click.Choice(["section", "page", "paragraph", "characters"]),
    help="MinionS: how a document is cut.  [default: section]",
)
@HYBRID("--chunk-size", type=COUNT, metavar="N", help="In characters.  [default: 3000]")
@HYBRID("--preselect", type=COUNT, metavar="K", help="MinionS: use the best K chunks by BM25.")
@HYBRID(
    "--embedding-model",
    metavar="MODEL",
    help="Choose them by the vectors of this model: llamacpp/PATH.gguf, ollama/NAME.",
)
@HYBRID("--embedding-url", metavar="URL", help="Of a server with OpenAI's API for that.")
@HYBRID("--retrieve", type=COUNT, metavar="K", help="rag: chunks that are sent.  [default: 5]")
@HYBRID(
    "--slots",
    type=COUNT,
    metavar="N",
    help="Requests that the local server does at once.  [default: 4 per stream for MinionS]",
)
@LENGTH(
    "-n",
    "--num-requests",
    "--num-prompts",
    "num_requests",
    type=COUNT,
    metavar="N",
    help="Different items per workload.  [default: 10]",
)
@LENGTH(
    "--items",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Exactly these, in this order: JSON or JSON Lines of ids, or a run's document or journal.",
)
@LENGTH(
    "--repeats",
    "--num-runs",
    "repeats",
    type=COUNT,
    metavar="N",
    help="How often each is asked.  [default: 3]",
)
@LENGTH(
    "--warmup",
    type=click.IntRange(min=0),
    metavar="N",
    help="More items that do not count.  [default: 2]",
)
@LENGTH(
    "--max-tokens-total",
    type=COUNT,
    metavar="N",
    help="Stop before prompts and answers take more together.  [default: no limit]",
)
@load_options
@goodput_option
@LENGTH("--seed", type=int, default=0, metavar="N", help="Decides the items.  [default: 0]")
@LENGTH(
    "--input-tokens",
    "--isl",
    "--input-len",
    "input_tokens",
    type=COUNT,
    metavar="N",
    help="Length of the prompts.  [default: the workload's]",
)
@LENGTH(
    "--output-tokens",
    "--osl",
    "--output-len",
    "output_tokens",
    type=COUNT,
    metavar="N",
    help="Force answers to this length.  [default: they end by themselves]",
)
@LENGTH("--raw", is_flag=True, help="Send prompts as plain text, without a chat template.")
@LENGTH(
    "--warm-prefix",
    is_flag=True,
    help="Let a cache serve what prompts have in common.  [default: kept cold]",
)
@SERVER("-u", "--url", "--base-url", "url", metavar="URL", help="Of any server with OpenAI's API.")
@SERVER("--api-key-env", metavar="NAME", help="Environment variable that holds its key.")
@SERVER(
    "--key-from",
    metavar="WHERE",
    help="Where its key is: env:NAME, file:PATH or keyring:SERVICE/USER.",
)
@SERVER("--dialect", metavar="NAME", help="For a provider of several: openai (chat), responses.")
@SERVER("--insecure", is_flag=True, help="Take a certificate that cannot be verified.")
@SERVER("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Sent with each request.")
@SERVER("--extra-body", metavar="JSON", help="Merged into the JSON of each request.")
@SERVER("--pull", is_flag=True, help="Have Ollama fetch a model that it lacks.")
@SERVER("--fresh", is_flag=True, help="Have Ollama unload the model first, and load it anew.")
@ENGINE("--threads", type=COUNT, metavar="N", help="That compute.  [default: cores − 1]")
@ENGINE("--context", type=COUNT, metavar="TOKENS", help="Of each stream.  [default: the model's]")
@ENGINE("--gpu-layers", type=click.IntRange(min=0), metavar="N", help="[default: all]")
@TIMEOUT("--timeout-start", help="Until the engine answers.  [default: 300]")
@TIMEOUT("--timeout-connect", help="Until connected.  [default: 10]")
@TIMEOUT("--timeout-first-byte", help="Until an answer begins.  [default: 300]")
@TIMEOUT("--timeout-idle", help="Silence within an answer.  [default: 60]")
@TIMEOUT("--timeout-total", help="For a whole answer.  [default: 900]")
@money_options
@metering_options
@OUTPUT(
    "-o",
    "--output-dir",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Of the documents.  [default: in the state directory]",
)
@OUTPUT(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="table",
    help="For people: table, md; for programs the others.  [default: table]",
)
@OUTPUT("--no-text", is_flag=True, help="Keep no prompts and answers in the records.")
@OUTPUT("--dry-run", is_flag=True, help="Draw the requests, measure nothing.")
@OUTPUT(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=read_config,
    metavar="FILE",
    help="TOML file of settings, named as the long flags; flags override it.",
)
def command(form: str, output_dir: Path | None, **flags: Any) -> int:
    """Measure a model over the workloads.

    With no flags: the model that comes with the program, in the embedded engine, over all three
    workloads. Prints the result and writes it as a run document.

    Leaves with 0 when all is well; 1 when something could not be measured or is not to be
    believed; 2 for wrong usage; 3 when nothing could be set up; 130 after Ctrl-C.
    """
    from minionbench.experiment import run_experiment

    settings = run_settings(output_dir=output_dir, **flags)
    progress = progress_for(form)
    try:
        outcome = run_experiment(settings, progress)
    except KeyboardInterrupt:
        progress.done()
        click.echo(f"minionbench: interrupted; {kept(settings, progress)}", err=True)
        return 130
    show(outcome.run, outcome.path, form)
    show_end(progress, outcome.path, outcome.exit_code)
    explain(outcome)
    return outcome.exit_code


def run_settings(
    *,
    workloads: tuple[str, ...],
    model: str | None,
    deployment: str | None,
    remote_model: str | None,
    protocol: str | None,
    protocols: tuple[str, ...],
    remote_url: str | None,
    max_rounds: int | None,
    samples: int | None,
    chunk_by: str | None,
    chunk_size: int | None,
    preselect: int | None,
    embedding_model: str | None,
    embedding_url: str | None,
    retrieve: int | None,
    slots: int | None,
    quant: str | None,
    reasoning: bool | None,
    reasoning_effort: str | None,
    reasoning_budget: int | None,
    url: str | None,
    api_key_env: str | None,
    key_from: str | None,
    dialect: str | None,
    insecure: bool,
    headers: tuple[str, ...],
    extra_body: str | None,
    raw: bool,
    warm_prefix: bool,
    pull: bool,
    fresh: bool,
    num_requests: int | None,
    items: Path | None,
    repeats: int | None,
    warmup: int | None,
    max_tokens_total: int | None,
    seed: int,
    concurrency: int | None,
    request_rate: float | None,
    burstiness: float | None,
    duration: float | None,
    goodput: tuple[str, ...],
    input_tokens: int | None,
    output_tokens: int | None,
    dataset: str | None,
    download: bool,
    threads: int | None,
    context: int | None,
    gpu_layers: int | None,
    timeout_connect: float | None,
    timeout_first_byte: float | None,
    timeout_idle: float | None,
    timeout_total: float | None,
    timeout_start: float | None,
    no_text: bool,
    output_dir: Path | None,
    dry_run: bool,
    remote_price: str | None,
    prices: Path | None,
    max_cost: float | None,
    electricity_price: float | None,
    meter_command: str | None,
    meter_file: Path | None,
    tdp: float | None,
    no_meters: bool,
) -> RunSettings:
    """What the flags mean.

    Raises UsageError for flags that contradict each other or name what is not there.
    """
    from minionbench.engines.engine import EngineSettings
    from minionbench.exchange import Timeouts
    from minionbench.experiment import DEFAULT_REQUESTS, RunSettings
    from minionbench.store import read_item_ids
    from minionbench.workloads.catalog import workload
    from minionbench.workloads.items import has_any

    if dataset not in (None, "hub") and len(workloads) != 1:
        raise UsageError("--dataset goes with one workload: name it, as in -w prefill")
    timeouts = {
        "connect_s": timeout_connect,
        "first_byte_s": timeout_first_byte,
        "idle_s": timeout_idle,
        "total_s": timeout_total,
    }
    both: dict[str, Any] = {
        "raw": raw,
        "cache_prompt": warm_prefix,
        "timeouts": Timeouts(**given(timeouts)),
        **given({"start_timeout_s": timeout_start}),
    }
    here: dict[str, Any] = {
        "threads": threads,
        "context_tokens": context,
        "gpu_layers": gpu_layers,
        "slots": slots,
        "pull": pull,
        "fresh": fresh,
    }
    reached: dict[str, Any] = {
        "api_key_env": api_key_env,
        "key_from": key_from,
        "dialect": dialect,
        "insecure": insecure,
        "headers": tuple(map(parse_header, headers)),
        "extra_body": parse_body(extra_body),
    }
    of_protocols = given(
        {
            "max_rounds": max_rounds,
            "samples": samples,
            "chunking": chunking(chunk_by, chunk_size),
            "preselect": preselect,
            "embedding_model": embedding_model,
            "embedding_url": embedding_url,
            "k": retrieve,
        }
    )
    two = deployment == "hybrid" or bool(protocols)
    if two:
        chosen_deployment: Measurable = hybrid(
            deployment, model, remote_model, protocol, protocols, url, remote_url, of_protocols
        )
        # How a server is reached is said of the one that is far away.
        engine = EngineSettings(**both, **here)
        remote_engine = EngineSettings(**both, **reached)
        if workloads == WORKLOADS:
            # Of the three only this one has documents.
            workloads = WORKLOADS[:1]
    else:
        for flag, value in (
            ("--protocol", protocol),
            ("--remote-url", remote_url),
            *((f"--{name.replace('_', '-')}", value) for name, value in of_protocols.items()),
        ):
            if value is not None:
                raise UsageError(f"{HYBRID_FLAGS.get(flag, flag)} goes with -d hybrid")
        chosen_deployment = where(deployment, model, remote_model, url, quant)
        engine, remote_engine = EngineSettings(**both, **here, **reached), None
    chosen = tuple(
        workload(
            name,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            dataset=dataset,
            download=download,
            say=fetching,
        )
        for name in workloads
    )
    if items is not None:
        for flag, value in (("-n", num_requests), ("--input-tokens", input_tokens)):
            if value is not None:
                raise UsageError(
                    f"{flag} does not go with --items, which says which items are asked"
                )
    item_ids = None if items is None else read_item_ids(items)
    if item_ids is not None and workloads == WORKLOADS:
        # All three are the default: those that the list has items of are meant.
        chosen = tuple(one for one in chosen if has_any(one, item_ids)) or chosen
    load, num_requests = load_of_flags(
        concurrency=concurrency,
        request_rate=request_rate,
        burstiness=burstiness,
        duration=duration,
        requests=num_requests,
        listed=None if item_ids is None else len(item_ids),
        default_requests=DEFAULT_REQUESTS,
    )
    counts = {"num_requests": num_requests, "repeats": repeats, "warmup": warmup}
    return RunSettings(
        workloads=chosen,
        items=item_ids,
        deployment=chosen_deployment,
        quant=parse_quant(quant),
        reasoning=reasoning,
        reasoning_effort=reasoning_effort,
        reasoning_budget=reasoning_budget,
        max_total_tokens=max_tokens_total,
        seed=seed,
        load=load,
        objective=objective_of_flags(goodput),
        engine=engine,
        remote_engine=remote_engine,
        meters=power_settings(
            meter_command=meter_command, meter_file=meter_file, tdp=tdp, no_meters=no_meters
        ),
        keep_text=not no_text,
        output_dir=output_dir,
        dry_run=dry_run,
        **given(counts),
        **money_settings(
            remote_price=remote_price,
            prices=prices,
            max_cost=max_cost,
            electricity_price=electricity_price,
        ),
    )


def fetching(text: str) -> None:
    """Says that something is fetched from elsewhere."""
    click.echo(f"minionbench: {text}", err=True)


HYBRID_FLAGS = {"--chunking": "--chunk-by", "--k": "--retrieve"}
"""Flags whose settings are called otherwise."""


def chunking(by: str | None, size: int | None) -> Chunking | None:
    """How documents are to be cut; None where nothing was said of it."""
    if by is None and size is None:
        return None
    from minionbench.protocols.chunking import Chunking

    return Chunking(**given({"by": by, "size": size}))


def hybrid(
    deployment: str | None,
    model: str | None,
    remote_model: str | None,
    protocol: str | None,
    protocols: tuple[str, ...],
    url: str | None,
    remote_url: str | None,
    settings: dict[str, Any],
) -> Hybrid | Protocols:
    """A local and a remote model together, by one protocol or compared over several.

    Raises UsageError for flags that contradict each other.
    """
    from minionbench.protocols.catalog import ALL
    from minionbench.protocols.hybrid import Hybrid, Protocols

    if deployment not in (None, "hybrid"):
        raise UsageError(f"--protocols compares deployments: leave out -d {deployment}")
    if not protocols:
        return Hybrid(
            model,
            remote_model,
            protocol or "minion",
            url=url,
            remote_url=remote_url,
            **settings,
        )
    if protocol is not None:
        raise UsageError("--protocol names one, --protocols several: give one of the two")
    names = ALL if protocols == ("all",) else protocols
    return Protocols(model, remote_model, names, url=url, remote_url=remote_url, **settings)


def where(
    deployment: str | None,
    model: str | None,
    remote_model: str | None,
    url: str | None,
    quant: str | None,
) -> Local | Remote:
    """The deployment that the flags mean.

    A provider's model is remote without more words; a server by its URL is local unless told.
    Raises UsageError for a deployment that there is not.
    """
    from minionbench.deployments.single import Local, Remote

    if deployment not in (None, "local", "remote"):
        raise UsageError(
            f"There is no deployment {deployment!r}; there are local, remote and hybrid"
        )
    if remote_model is not None:
        if deployment == "local":
            raise UsageError("--remote-model goes with -d remote or -d hybrid")
        if model not in (None, remote_model):
            raise UsageError("-m and --remote-model name two models; one is measured at a time")
        return Remote(remote_model, url=url)
    if deployment == "remote" or (deployment is None and url is None and is_remote(model)):
        return Remote(model, url=url)
    if model is None and url is None:
        # With --quant the format is chosen there, so the name leaves it open.
        model = DEFAULT_MODEL if quant is None else "reference"
    return Local(model, url=url)


def is_remote(model: str | None) -> bool:
    """Whether a model's name begins with a provider of remote models."""
    from minionbench.engines.providers import providers

    name, slash, _ = (model or "").strip().partition("/")
    return bool(slash) and name in providers().by_name


def given(values: dict[str, Any]) -> dict[str, Any]:
    """The values that were given; the others keep their defaults, which stand in one place."""
    return {name: value for name, value in values.items() if value is not None}


def explain(outcome: RunOutcome) -> None:
    """Says on standard error why a run does not leave with 0."""
    if outcome.interrupted:
        click.echo(f"minionbench: interrupted; partial results kept in {outcome.path}", err=True)
        return
    if not outcome.failed:
        return
    whole = {
        metric.error_message
        for candidate in outcome.run.candidates
        if not candidate.cells
        for metric in candidate.metrics.values()
    }
    why = "something could not be measured or is not to be believed; the result says what and why"
    if len(whole) == 1:
        why = printable(whole.pop() or why)
    click.echo(f"minionbench: {why}", err=True)


def kept(settings: RunSettings, progress: Progress) -> str:
    """Where a run that was broken off left what it had."""
    from minionbench.store import recover_command, runs_dir
    from minionbench.units import number_of

    if progress.run_id is None or not progress.finished:
        return "nothing had been measured"
    folder = runs_dir(settings.output_dir) / "data" / progress.run_id
    return (
        f"partial results kept in {folder} ({number_of(progress.finished, 'finished request')}); "
        f"`{recover_command(progress.run_id)}` makes a document of them"
    )
