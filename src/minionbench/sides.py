"""The two sides of a run: which model serves each, and how its engine is to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from minionbench.clock import ClockAnchor
from minionbench.deployments.deployment import Deployment
from minionbench.deployments.single import Local, Remote
from minionbench.engines.catalog import ModelSpec, refuse_key
from minionbench.engines.engine import MAX_SLOTS, EngineFacts, EngineSettings
from minionbench.engines.families import pick
from minionbench.engines.keys import look_up
from minionbench.engines.providers import providers
from minionbench.engines.remote import RemoteModel
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Request, Side
from minionbench.load import ClosedLoop
from minionbench.measuring import Cell
from minionbench.prices import Charges, RemoteName
from minionbench.prices.finding import find_charges
from minionbench.prices.limit import CostLimit
from minionbench.prices.table import read_prices
from minionbench.protocols.catalog import protocol_name
from minionbench.protocols.hybrid import TwoModels
from minionbench.run_settings import RunSettings
from minionbench.wire.reasoning import reasoning_tokens

TEMPLATE_TOKENS = 16
"""What a chat template adds to each message, generously."""
JOB_SLOTS = 4
"""Jobs that a local server does at once for each stream, where nothing else is asked for."""


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """The model of one side."""

    side: Side
    spec: ModelSpec
    url: str | None
    """Of the server that has the model; None where it is found or started otherwise."""
    elsewhere: bool
    """Whether it runs on somebody else's machine."""
    dialect: str | None = None
    """Wire protocol that was named with the model."""

    @property
    def embedded(self) -> bool:
        """Whether the model is served by an engine of our own."""
        return self.url is None and self.spec.file is not None


def served_models(settings: RunSettings) -> dict[Side, ServedModel]:
    """The model of each side that the run asks.

    Raises UsageError for a model that is not named, or not fit for its side.
    """
    deployment = settings.deployment
    if isinstance(deployment, Local):
        if settings.remote_model is not None:
            raise UsageError(
                "A remote model goes with a remote deployment, Remote() or -d remote, or with a "
                "hybrid one"
            )
        return {"local": _local(settings, deployment)}
    if isinstance(deployment, Remote):
        if settings.quant is not None:
            raise UsageError(
                f"{settings.quant.label} cannot be chosen for a remote model: it is what its "
                "provider serves"
            )
        return {"remote": _remote(settings, deployment, settings.remote_model)}
    sides = {side for member in settings.members for side in member.sides}
    found: dict[Side, ServedModel] = {}
    if "local" in sides:
        found["local"] = _local(settings, deployment.local)
    if "remote" in sides:
        found["remote"] = _far_side(settings, deployment)
    return found


def check_dialects(settings: RunSettings, models: Mapping[Side, ServedModel]) -> None:
    """Raises UsageError for a wire protocol of an engine that has no choice."""
    for model in models.values():
        spec = model.spec
        named = _settings_of(settings, model).dialect
        if named is not None and not spec.remote and model.url is None:
            raise UsageError(
                f"{spec.text} is spoken to in one way; a dialect can be chosen for providers of "
                "several and for servers by --url"
            )


def require_named_keys(settings: RunSettings, models: Mapping[Side, ServedModel]) -> None:
    """Refuses a run whose user says where a server's key is, and it is not there.

    Nothing is written then: it is no result of a server, but a slip on the command line.
    """
    for model in models.values():
        reference = _settings_of(settings, model).key_reference
        if reference is not None:
            try:
                look_up(reference)
            except DeploymentError as error:
                raise UsageError(str(error)) from error


def engine_settings(
    settings: RunSettings,
    model: ServedModel,
    cells: Sequence[Cell],
    deployments: Mapping[str, Deployment],
) -> EngineSettings:
    """How the engine of a side is to run: slots for what is under way at once, and room for the
    longest request.

    What the user chose stays.
    """
    room = [
        _context_tokens(deployments[cell.cell_id], model.side, request)
        for cell in cells
        if model.side in deployments[cell.cell_id].sides
        for request in (*cell.requests, *cell.warmup)
    ]
    reasoning = _reasoning_tokens(settings)
    own = _settings_of(settings, model)
    engine = msgspec.structs.replace(
        own,
        url=model.url,
        remote=model.elsewhere,
        dialect=own.dialect or model.dialect,
        needed_tokens=reasoning + max(needed for needed, _ in room),
        useful_tokens=reasoning + max(useful for _, useful in room),
    )
    if model.elsewhere or engine.slots is not None or not isinstance(settings.load, ClosedLoop):
        return engine
    jobs = model.side == "local" and any(
        protocol_name(deployment) == "minions" for deployment in deployments.values()
    )
    slots = settings.load.concurrency * (JOB_SLOTS if jobs else 1)
    if slots > MAX_SLOTS and not jobs and not model.embedded:
        # How much it does at once is the server's own affair: nothing is to be held back here.
        return engine
    return msgspec.structs.replace(engine, slots=min(slots, MAX_SLOTS))


def charges_of(
    settings: RunSettings, models: Mapping[Side, ServedModel], facts: Mapping[Side, EngineFacts]
) -> Charges:
    """By which prices the run is charged.

    `facts` are those of the engines that serve already: a server by its URL may be asked for
    whatever model it has.

    Raises UsageError for a table of prices that cannot be read.
    """
    table = None if settings.prices is None else read_prices(settings.prices)
    charges = Charges()
    model = models.get("remote")
    if model is not None:
        spec = model.spec
        name = spec.name or (facts["remote"].model if "remote" in facts else None)
        own = providers().by_name.get(spec.provider) if spec.remote else None
        if name is None and settings.remote_price is None:
            charges = Charges(why_none="the server has not said which model it has")
        else:
            charges = find_charges(
                RemoteName(spec.provider if spec.remote else None, name or "the server's model"),
                named=spec.text or name or "",
                given=settings.remote_price,
                table=table,
                base_url=model.url,
                elsewhere=model.elsewhere,
                own_address=own is None or (model.url or own.url()) == own.base_url,
            )
    return msgspec.structs.replace(
        charges, electricity_usd_per_kwh=settings.electricity_usd_per_kwh
    )


def cost_limit(
    settings: RunSettings, charges: Charges, clock: ClockAnchor | None = None
) -> CostLimit | None:
    """The limit on what the run may cost; None where there is none.

    Raises UsageError where there is no price to keep it by.
    """
    if settings.max_cost_usd is None:
        return None
    pricing = charges.pricing(clock or ClockAnchor.now())
    if pricing is None:
        raise UsageError(
            f"No limit on the cost (--max-cost) can be kept: {charges.why_none or 'no price'}"
        )
    return CostLimit(settings.max_cost_usd, pricing)


def named(models: Mapping[Side, ServedModel]) -> str:
    """The models of all sides in a few words."""
    return " with ".join(_words(models))


def _words(models: Mapping[Side, ServedModel]) -> Iterator[str]:
    for side in ("local", "remote"):
        if side in models:
            model = models[side]
            yield model.spec.text or "the model of the server"


def _settings_of(settings: RunSettings, model: ServedModel) -> EngineSettings:
    if model.side == "local" or not isinstance(settings.deployment, TwoModels):
        return settings.engine
    if settings.remote_engine is not None and not model.embedded:
        return settings.remote_engine
    # What was said of slots is meant for the side that has jobs.
    return msgspec.structs.replace(settings.engine, slots=None)


def _local(settings: RunSettings, local: Local) -> ServedModel:
    if local.url is None:
        spec = pick(local.model or "", settings.quant)
        if spec.remote:
            advice = f'take Remote("{spec.text}"), or -d remote'
            if isinstance(settings.deployment, TwoModels):
                advice = "name its server with --url"
            raise UsageError(
                f"{spec.text} runs on somebody else's machine, so that prompts leave this one; if "
                f"that is what you want, {advice}"
            )
        return ServedModel(side="local", spec=spec, url=None, elsewhere=False)
    if settings.quant is not None:
        raise UsageError(
            f"{settings.quant.label} cannot be chosen at a server given by its URL: it serves what "
            "it was started with"
        )
    spec = ModelSpec.parse(local.model, url=local.url)
    return ServedModel(side="local", spec=spec, url=local.url, elsewhere=False)


def _remote(settings: RunSettings, remote: Remote, chosen: RemoteModel | str | None) -> ServedModel:
    """A provider's model, or one of a server that is given by its URL."""
    text = _one_name(remote, chosen)
    dialect = chosen.dialect if isinstance(chosen, RemoteModel) else None
    if remote.url is not None:
        provider, slash, _ = (text or "").partition("/")
        if not slash or provider not in providers().by_name:
            spec = ModelSpec.parse(text, url=remote.url)
            return ServedModel(
                side="remote", spec=spec, url=remote.url, elsewhere=True, dialect=dialect
            )
    if text is None:
        raise UsageError(
            'A remote deployment needs a model, as Remote("openai/NAME"), remote_model=OpenAI(), '
            "or -m openai/NAME; or a server with --url"
        )
    spec = ModelSpec.parse(text)
    if not spec.remote:
        raise UsageError(
            f"{spec.text} is no provider's model: leave out -d remote, or name its server with "
            f"--url; providers are {', '.join(providers().by_name)}"
        )
    return ServedModel(side="remote", spec=spec, url=remote.url, elsewhere=True, dialect=dialect)


def _far_side(settings: RunSettings, deployment: TwoModels) -> ServedModel:
    """The remote side of a hybrid: as a remote deployment's, or served on this machine too."""
    remote = deployment.remote
    chosen = settings.remote_model
    if chosen is None and isinstance(deployment.remote_named, RemoteModel):
        chosen = deployment.remote_named
    text = _one_name(remote, chosen)
    if text is None and remote.url is None:
        raise UsageError(
            'A hybrid needs a remote model, as Hybrid("ollama/llama3.2", "openai/NAME") or '
            "--remote-model NAME; or its server with --remote-url. It may be one of this machine, "
            "as reference/q8_0"
        )
    if remote.url is None:
        spec = ModelSpec.parse(text)
        if not spec.remote:
            return ServedModel(side="remote", spec=spec, url=None, elsewhere=False)
    return _remote(settings, remote, chosen)


def _one_name(remote: Remote, chosen: RemoteModel | str | None) -> str | None:
    text = chosen.text if isinstance(chosen, RemoteModel) else chosen
    if text is not None and remote.model not in (None, text):
        refuse_key(text)
        refuse_key(remote.model)
        raise UsageError(f"Both {remote.model} and {text} are named; one is measured at a time")
    return text or remote.model


def _reasoning_tokens(settings: RunSettings) -> int:
    """Tokens that one answer's reasoning may take; 0 where none was asked for."""
    wish = settings.reasoning_wish
    if wish is None or not wish.on:
        return 0
    return reasoning_tokens(wish)


def _context_tokens(deployment: Deployment, side: Side, request: Request) -> tuple[int, int]:
    """Context that a request needs on a side, and the most that it may come to take.

    The prompt is counted by the reference tokenizer, whose vocabulary is a small one: other
    models need fewer tokens for the same text.
    """
    own = getattr(getattr(deployment, "follows", deployment), "context_tokens", None)
    if own is not None:
        needed, useful = own(side, request)
        return int(needed), int(useful)
    limits = request.limits
    answer = limits.forced_output_tokens or limits.max_output_tokens or 0
    template = TEMPLATE_TOKENS * (len(request.messages) + 1)
    needed = request.input_tokens + template + answer
    return needed, needed
