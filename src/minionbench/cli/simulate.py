"""`minionbench simulate`: a server on loopback that speaks the providers' languages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minionbench.cli.groups import GroupedCommand, GroupedOption
from minionbench.errors import UsageError

if TYPE_CHECKING:
    from minionbench.simulator import SimulatedModel, Simulator, SimulatorSettings

KINDS = (
    "any",
    "openai",
    "deepseek",
    "anthropic",
    "ollama",
    "vllm",
    "sglang",
    "llamacpp",
    "lmstudio",
)
COUNT = click.IntRange(min=1)
AMOUNT = click.FloatRange(min=0)
WORDS = {"true": True, "yes": True, "false": False, "no": False}
MODEL_FIELDS = {
    "reasoning": "reasoning",
    "default": "reasons_by_default",
    "shown": "shown",
    "thinking": "thinking",
    "context": "context_tokens",
    "output": "max_output_tokens",
    "installed": "installed",
    "pace": "pace",
}
"""Words of `--model NAME,word=value` → fields of the model."""


def read_model(text: str) -> SimulatedModel:
    """`NAME[,word=value…]` as a model."""
    import msgspec

    from minionbench.simulator import SimulatedModel

    name, *parts = text.split(",")
    fields: dict[str, Any] = {"name": name}
    number: Any
    for part in parts:
        word, equals, value = part.partition("=")
        if word not in MODEL_FIELDS or not equals:
            known = ", ".join(MODEL_FIELDS)
            raise UsageError(f"--model {text}: {part!r} is no WORD=VALUE; words are {known}")
        number = int(value) if value.isdigit() else value
        if word == "pace":
            number = _number(value)
        fields[MODEL_FIELDS[word]] = WORDS.get(value, number)
    try:
        return msgspec.convert(fields, SimulatedModel)
    except msgspec.ValidationError as error:
        raise UsageError(f"--model {text}: {error}") from error


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def read_chance(text: str) -> tuple[str, float]:
    """`FAULT[=ARG][@PROBABILITY]` as a fault of every request with its probability."""
    fault, at, chance = text.rpartition("@")
    if not at:
        return text, 1.0
    try:
        return fault, float(chance)
    except ValueError as error:
        raise UsageError(f"--fault {text}: {chance!r} is no probability") from error


def print_faults(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Lists the faults and ends the program."""
    if not wanted:
        return
    from minionbench.simulator.faults import FAULTS

    for name, meaning in FAULTS.items():
        click.echo(f"{name:15} {meaning}")
    ctx.exit()


@click.command(name="simulate", cls=GroupedCommand)
@click.option(
    "--server",
    type=click.Choice(KINDS),
    default="any",
    show_default=True,
    cls=GroupedOption,
    group="Server",
    help="The server to pose as.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    cls=GroupedOption,
    group="Server",
    help="Port on 127.0.0.1; 0, the default, for any free one.",
)
@click.option(
    "--ipv6",
    type=click.Choice(["no", "also", "only"]),
    default="no",
    show_default=True,
    cls=GroupedOption,
    group="Server",
    help="Whether to listen on ::1.",
)
@click.option(
    "--api-key-env",
    metavar="NAME",
    cls=GroupedOption,
    group="Server",
    help="Variable with the key that every request has to carry.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME[,WORD=VALUE…]",
    cls=GroupedOption,
    group="Models and answers",
    help="A model to serve; words: reasoning=switch|always|never|none, default=true, "
    "shown=apart|inline|hidden, thinking=both|budget|adaptive, context=N, output=N, "
    "installed=false, pace=N (2: half as fast). More than once for more.",
)
@click.option(
    "--any-model",
    is_flag=True,
    cls=GroupedOption,
    group="Models and answers",
    help="Answer models of any name.",
)
@click.option(
    "--answer",
    default="markov",
    show_default=True,
    metavar="markov|echo|TEXT",
    cls=GroupedOption,
    group="Models and answers",
    help="Made-up text, the last message, or this text.",
)
@click.option(
    "--answers",
    type=click.Path(path_type=Path, dir_okay=False),
    cls=GroupedOption,
    group="Models and answers",
    help='JSON file of known answers: [{"match": REGEX, "answer": TEXT}, …].',
)
@click.option(
    "--answer-tokens",
    type=COUNT,
    default=64,
    show_default=True,
    cls=GroupedOption,
    group="Models and answers",
    help="Length of made-up text.",
)
@click.option(
    "--reasoning-tokens",
    type=click.IntRange(min=0),
    default=24,
    show_default=True,
    cls=GroupedOption,
    group="Models and answers",
    help="Length of made-up reasoning.",
)
@click.option(
    "--ttft-ms", type=AMOUNT, cls=GroupedOption, group="Time", help="Arrival to first token."
)
@click.option("--itl-ms", type=AMOUNT, cls=GroupedOption, group="Time", help="Token to token.")
@click.option(
    "--prefill-speed",
    type=click.FloatRange(min=0, min_open=True),
    metavar="TOKENS_PER_S",
    cls=GroupedOption,
    group="Time",
    help="Prompt tokens per second, instead of --ttft-ms.",
)
@click.option(
    "--decode-speed",
    type=click.FloatRange(min=0, min_open=True),
    metavar="TOKENS_PER_S",
    cls=GroupedOption,
    group="Time",
    help="Tokens per second of one answer, instead of --itl-ms.",
)
@click.option(
    "--noise",
    type=AMOUNT,
    default=0.0,
    cls=GroupedOption,
    group="Time",
    help="σ of the lognormal that each delay is multiplied by.",
)
@click.option(
    "--load-ms",
    type=AMOUNT,
    default=0.0,
    cls=GroupedOption,
    group="Time",
    help="Loading a model that is not in memory (Ollama).",
)
@click.option(
    "--slots",
    type=COUNT,
    cls=GroupedOption,
    group="Time",
    help="Answers under way at once; without it any number.",
)
@click.option(
    "--tokens-per-write",
    type=COUNT,
    default=1,
    cls=GroupedOption,
    group="Time",
    help="Events in one write.",
)
@click.option(
    "--tokens-per-event",
    type=COUNT,
    default=1,
    cls=GroupedOption,
    group="Time",
    help="Tokens in one event.",
)
@click.option(
    "--spin-us",
    type=AMOUNT,
    default=150.0,
    show_default=True,
    cls=GroupedOption,
    group="Time",
    help="Time before each write spent looking at the clock.",
)
@click.option(
    "--no-cache", is_flag=True, cls=GroupedOption, group="Tokens", help="No prefix cache."
)
@click.option(
    "--no-usage", is_flag=True, cls=GroupedOption, group="Tokens", help="Report no tokens."
)
@click.option(
    "--requests-per-minute", type=COUNT, cls=GroupedOption, group="Limits", help="Then 429."
)
@click.option(
    "--tokens-per-minute", type=COUNT, cls=GroupedOption, group="Limits", help="Then 429."
)
@click.option(
    "--quota-tokens",
    type=COUNT,
    cls=GroupedOption,
    group="Limits",
    help="Tokens in all; then insufficient_quota.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="FAULT[=ARG][@P]",
    cls=GroupedOption,
    group="Faults",
    help="A fault of every request, or with probability P.",
)
@click.option(
    "--list-faults",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_faults,
    cls=GroupedOption,
    group="Faults",
    help="Print what faults there are.",
)
@click.option(
    "--seed", type=int, default=0, cls=GroupedOption, group="Other", help="Of all chance."
)
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    cls=GroupedOption,
    group="Other",
    help="Write the true times there, a JSON object per request and line.",
)
def command(**options: Any) -> None:
    """Pose as a provider with known answers and times.

    Speaks OpenAI's chat completions, completions, responses and embeddings, Anthropic's messages
    and Ollama's own routes from one port. Prints one line with its addresses and serves until
    Ctrl-C, which is a clean end (exit 0). A request asks for a fault in the header
    `x-simulate: FAULT` or in a prompt with `[[simulate:FAULT]]`.
    """
    from minionbench.simulator import Simulator

    simulator = Simulator(read_settings(options))
    click.echo(addresses(simulator))
    serve(simulator)


def read_settings(options: dict[str, Any]) -> SimulatorSettings:
    """The flags as settings."""
    from minionbench.simulator import Fixed, RateLimits, SimulatedModel, SimulatorSettings, Speeds
    from minionbench.simulator.answers import read_rules
    from minionbench.simulator.settings import LOOPBACK, key_of_variable

    speeds = (options["prefill_speed"], options["decode_speed"])
    delays = (options["ttft_ms"], options["itl_ms"])
    timing: Fixed | Speeds
    if any(speeds):
        if not all(speeds) or options["itl_ms"] is not None:
            raise UsageError(
                "--prefill-speed and --decode-speed belong together, and exclude --itl-ms"
            )
        timing = Speeds(
            prefill_tokens_per_s=speeds[0],
            decode_tokens_per_s=speeds[1],
            start_ms=options["ttft_ms"] or 0.0,
            noise=options["noise"],
        )
    else:
        timing = Fixed(ttft_ms=delays[0] or 0.0, itl_ms=delays[1] or 0.0, noise=options["noise"])
    names = {"no": LOOPBACK[:1], "also": LOOPBACK, "only": LOOPBACK[1:]}
    variable, answers, log = options["api_key_env"], options["answers"], options["log"]
    same = (
        *("server", "port", "any_model", "answer", "answer_tokens", "reasoning_tokens"),
        *("load_ms", "slots", "tokens_per_write", "tokens_per_event", "spin_us", "seed"),
    )
    return SimulatorSettings(
        models=tuple(map(read_model, options["models"])) or (SimulatedModel(),),
        hosts=names[options["ipv6"]],
        api_key=None if variable is None else key_of_variable(variable),
        rules=() if answers is None else read_rules(answers),
        timing=timing,
        keep_log=False,
        cache=not options["no_cache"],
        usage=not options["no_usage"],
        limits=RateLimits(
            requests_per_minute=options["requests_per_minute"],
            tokens_per_minute=options["tokens_per_minute"],
            quota_tokens=options["quota_tokens"],
        ),
        faults=tuple(map(read_chance, options["faults"])),
        log_file=None if log is None else str(log),
        **{name: options[name] for name in same},
    )


def addresses(simulator: Simulator) -> str:
    """The line that says where the simulator is to be found, and by which protocols."""
    from minionbench.simulator.routes import ANSWER_ROUTES

    spoken = (
        ("OpenAI", "/v1/chat/completions", simulator.openai_url),
        ("Anthropic", "/v1/messages", simulator.anthropic_url),
        ("Ollama", "/api/chat", simulator.ollama_url),
    )
    urls = "; ".join(
        f"{name}: {url}"
        for name, route, url in spoken
        if simulator.settings.server in ANSWER_ROUTES[route].servers
    )
    return f"listening on {simulator.base_url} ({urls})"


def serve(simulator: Simulator) -> None:
    """Serves until Ctrl-C or SIGTERM."""
    import signal

    def end(number: int, frame: object) -> None:
        simulator.ask_to_stop()

    before = {one: signal.signal(one, end) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        simulator.serve()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
