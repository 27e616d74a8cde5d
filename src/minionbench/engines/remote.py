"""Models of a provider, on somebody else's machine: named, checked once, and reached through an
endpoint."""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Mapping
from typing import ClassVar, NamedTuple
from urllib.parse import quote

import msgspec

from minionbench.engines.engine import Engine, EngineFacts, EngineSettings
from minionbench.engines.foreign import one_line
from minionbench.engines.keys import FoundKey, KeyReference, look_up
from minionbench.engines.probe import ProbeAnswer, ProbeError, ask
from minionbench.engines.providers import ProviderInfo, RemoteTraits, providers
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Endpoint, Reasoning, Secret
from minionbench.transport.http import Url
from minionbench.wire.asking import merged
from minionbench.wire.secrecy import hide

PROBE_S = 20.0
"""For one question to a provider, over TLS and perhaps a proxy."""
MODELS_IN_MESSAGE = 5
NO_TEMPERATURE = (
    "No temperature was sent, since the model takes none: answers may differ from repeat to repeat"
)
SUMMARISED = (
    "What is shown of its reasoning, if anything, is a summary: it is kept as text, but its own "
    "tokens come unseen, so that ttft_s and rates per token are skipped"
)
ANTHROPIC_VERSION = "2023-06-01"


class RemoteModel(msgspec.Struct, frozen=True):
    """A model of a provider: its name there, or None for the provider's default in the table.

    `dialect` is the wire protocol to speak where the provider speaks several.
    """

    provider: ClassVar[str]

    model: str | None = None
    dialect: str | None = None

    @property
    def text(self) -> str:
        """`provider/model`, as the command line names it.

        Raises UsageError where no model is named and the table has no default.
        """
        model = self.model or _provider(self.provider).default_model
        if model is None:
            raise UsageError(f"{self.provider} has no default model; name one")
        return f"{self.provider}/{model}"


class OpenAI(RemoteModel, frozen=True):
    """A model of OpenAI, over Chat Completions, or over Responses with `dialect="responses"`."""

    provider: ClassVar[str] = "openai"


class DeepSeek(RemoteModel, frozen=True):
    """A model of DeepSeek."""

    provider: ClassVar[str] = "deepseek"


class Claude(RemoteModel, frozen=True):
    """A model of Anthropic, over its Messages API."""

    provider: ClassVar[str] = "anthropic"


class RemoteEngine(Engine):
    """A provider's model. It can be neither watched nor stopped; its answers are all there is."""

    def __init__(
        self, endpoint: Endpoint, facts: EngineFacts, title: str, traits: RemoteTraits
    ) -> None:
        super().__init__(endpoint, facts)
        self._title = title
        self._traits = traits
        self._notes = facts.notes
        self._say_how()

    def set_reasoning(self, reasoning: Reasoning) -> None:
        """Has the model reason, or not, as the table says that it is told to.

        Raises:
            DeploymentError: the model does not reason, or cannot be kept from it.
        """
        traits, endpoint = self._traits, self.endpoint
        name = f"{endpoint.model} of {self._title}"
        check_reasoning(name, traits, reasoning)
        endpoint.manners = traits.manners(reasoning)
        if reasoning.on:
            effort = reasoning.effort or traits.on_effort
            wish: Reasoning | None = msgspec.structs.replace(reasoning, effort=effort)
        elif traits.off_body:
            endpoint.extra_body = merged(traits.off_body, endpoint.extra_body)
            wish = None
        else:
            wish = Reasoning(on=False, effort=traits.off_effort)
        if traits.switch == "none":
            wish = None
        endpoint.reasoning = wish
        self._say_how()

    def _say_how(self) -> None:
        """Notes what a reader has to know of the way in which the model is asked now."""
        notes = self._notes
        reasoning = self.endpoint.reasoning
        if self._traits.summarised and reasoning is not None and reasoning.on:
            notes += (SUMMARISED,)
        if not self.endpoint.manners.temperature:
            notes += (NO_TEMPERATURE,)
        self.facts = msgspec.structs.replace(self.facts, notes=notes)


def check_reasoning(name: str, traits: RemoteTraits, reasoning: Reasoning) -> None:
    """Refuses a wish that a remote model cannot follow; `name` is what messages call it.

    Raises:
        DeploymentError: it does not reason, cannot be kept from it, or nobody knows how to ask.
    """
    if reasoning.on and traits.reasoning == "never":
        raise DeploymentError(
            f"{name} does not reason; leave out --reasoning, or take another model"
        )
    if not reasoning.on and traits.reasoning == "always":
        raise DeploymentError(
            f"{name} always reasons and cannot be told not to; leave out --no-reasoning, or take "
            "another model"
        )
    if traits.switch == "none" and traits.reasoning == "unknown":
        raise DeploymentError(f"How {name} is told to reason or not is not known")


def open_remote(
    provider: str,
    model: str,
    settings: EngineSettings,
    environment: Mapping[str, str] = os.environ,
) -> RemoteEngine:
    """The provider's model, after one question whether it is there and takes the key.

    Raises:
        UsageError: an address or reference to a key that is none, or a dialect that the provider
            does not speak.
        DeploymentError: no key, no such model, or no answer; the message says what to do.
    """
    info = _provider(provider)
    if not model.isprintable():
        raise UsageError(f"A model's name has no such characters: {model!a}")
    traits, listed = info.traits(model)
    dialect = settings.dialect or info.dialects[0]
    if dialect not in info.dialects:
        raise UsageError(
            f"{info.title} is not spoken to in {dialect!r}; it takes {', '.join(info.dialects)}"
        )
    text = (settings.url or info.url(environment)).strip().rstrip("/")
    elsewhere = text != info.base_url
    key, notes = _key(info, text, settings, environment)
    asked = _Asked(provider, info, dialect, key.secret if key else None, settings)
    base_url, names, name = asked.find(text, model, elsewhere=elsewhere)
    notes += key.notes if key else ()
    notes += _notes(info, model, traits, listed, settings)
    if names is None:
        notes += (f"{info.title} did not list its models: the name is as given",)
    endpoint = Endpoint(
        base_url,
        name,
        dialect=dialect,
        key=asked.key,
        slots=settings.slots,
        headers=settings.headers,
        extra_body=dict(settings.extra_body),
        timeouts=settings.timeouts,
        manners=traits.manners(None),
        insecure=settings.insecure,
        unique_prefix=not settings.cache_prompt,
    )
    facts = EngineFacts(
        name=info.title,
        embedded=False,
        remote=True,
        base_url=base_url,
        dialect=dialect,
        insecure=settings.insecure,
        model=name,
        context_tokens=traits.context_tokens,
        slots=settings.slots,
        cache_prompt=settings.cache_prompt,
        cold_by=None if settings.cache_prompt else "a unique beginning of each prompt",
        notes=notes,
    )
    return RemoteEngine(endpoint, facts, info.title, traits)


def _provider(name: str) -> ProviderInfo:
    known = providers().by_name
    if name not in known:
        raise UsageError(f"There is no provider {name!r}; there are {', '.join(known)}")
    return known[name]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _key(
    info: ProviderInfo, text: str, settings: EngineSettings, environment: Mapping[str, str]
) -> tuple[FoundKey | None, tuple[str, ...]]:
    """The key, with what is to be said about where it goes.

    The provider's own key is not sent to another server that the user has only named with --url,
    unless that is this machine.
    """
    url = Url(text)
    loopback = _is_loopback(url.host)
    reference = settings.key_reference
    notes: tuple[str, ...] = ()
    if reference is None:
        foreign = settings.url is not None and url.host != Url(info.base_url).host
        if foreign and not loopback:
            return None, (
                f"No key was sent: {info.key_variable} is for {info.title} itself. For another "
                f"server name it, as --api-key-env {info.key_variable}",
            )
        if loopback and not environment.get(info.key_variable, "").strip():
            return None, ()
        reference = KeyReference.of_variable(info.key_variable)
    found = look_up(reference, of=f"the key of {info.title}", environment=environment)
    if not url.tls and not loopback:
        notes = (f"The key went to {url.host} unencrypted",)
    return found, notes


def _notes(
    info: ProviderInfo, model: str, traits: RemoteTraits, listed: bool, settings: EngineSettings
) -> tuple[str, ...]:
    """What a reader of the result has to know of the table's part in it."""
    table = providers()
    notes = []
    if not listed:
        notes.append(
            f"{model} is not in the table of {info.title}'s models (of {table.date}): it was asked "
            "as most of them are"
        )
    elif not traits.confirmed:
        notes.append(
            f"What {model} takes was not read in {info.title}'s own documentation: "
            f"{traits.source or 'no source is named'}"
        )
    if table.own_file is not None:
        notes.append(f"The table of providers was changed by {table.own_file}")
    if traits.shutdown is not None:
        notes.append(f"{info.title} has announced to shut {model} down on {traits.shutdown}")
    if settings.insecure:
        notes.append("The server's certificate was not verified (--insecure)")
    ignored = [
        what
        for what, value in (
            ("threads", settings.threads),
            ("context", settings.context_tokens),
            ("GPU layers", settings.gpu_layers),
        )
        if value is not None
    ]
    if ignored:
        notes.append(f"Not applied, since the model runs elsewhere: {', '.join(ignored)}")
    needed, most = settings.needed_tokens, traits.context_tokens
    if needed is not None and most is not None and needed > most:
        notes.append(
            f"The longest request takes up to {needed:,} tokens; {model} has a context of {most:,}"
        )
    return tuple(notes)


class _Asked(NamedTuple):
    """A provider that is asked what it has, before anything is measured."""

    provider: str
    info: ProviderInfo
    dialect: str
    key: Secret | None
    settings: EngineSettings

    def find(self, text: str, model: str, *, elsewhere: bool) -> tuple[str, list[str] | None, str]:
        """(base URL, names of its models, the model's name there).

        The names are None where the server does not list them. A server that is not the provider's
        own may know the model as `provider/model`, and have its routes under `/v1`.
        """
        if self.dialect == "anthropic":
            text = text.removesuffix("/v1")
        candidates = [text]
        if elsewhere and self.dialect != "anthropic" and not Url(text).path:
            candidates = [f"{text}/v1", text]
        names = None
        for base_url in candidates:
            answer = self._ask(base_url, self._models)
            names = self._names(base_url, answer)
            if names is not None:
                break
        else:
            base_url = candidates[0]
        if names is None or model in names:
            return base_url, names, model
        full = f"{self.provider}/{model}"
        if elsewhere and full in names:
            return base_url, names, full
        route = f"{self._models.partition('?')[0]}/{quote(model, safe='')}"
        if self._ask(base_url, route).status == 404:
            near = difflib.get_close_matches(model, names, MODELS_IN_MESSAGE, 0.5) or names
            shown = ", ".join(one_line(name, 80) for name in near[:MODELS_IN_MESSAGE])
            raise DeploymentError(
                f"{self.info.title} has no model {model}; it has {shown or 'none'}"
                f"{' and others' if len(names) > MODELS_IN_MESSAGE else ''}"
            )
        return base_url, names, model

    @property
    def _models(self) -> str:
        return "/v1/models?limit=1000" if self.dialect == "anthropic" else "/models"

    def _ask(self, base_url: str, route: str) -> ProbeAnswer:
        key, headers = self.key, self.settings.headers
        if self.dialect == "anthropic":
            headers = (("anthropic-version", ANTHROPIC_VERSION), *headers)
            if key is not None:
                headers = (("x-api-key", key.reveal()), *headers)
            key = None
        try:
            return ask(
                Url(base_url),
                route,
                key=key,
                headers=headers,
                insecure=self.settings.insecure,
                timeout_s=PROBE_S,
            )
        except ProbeError as error:
            if error.distrusted:
                raise DeploymentError(f"No prompt goes to {base_url}: {error}") from error
            raise DeploymentError(
                f"{self.info.title} cannot be reached at {base_url}: {error}. Check the network"
                f"{', or correct the address' if base_url != self.info.base_url else ''}"
            ) from error

    def _names(self, base_url: str, answer: ProbeAnswer) -> list[str] | None:
        status = answer.status
        complaint = hide(answer.complaint(), [] if self.key is None else [self.key.reveal()])
        title = self.info.title
        if status in (401, 403):
            if self.key is None:
                raise DeploymentError(
                    f"{title} at {base_url} wants a key ({complaint}). Name the variable that "
                    f"holds it with --api-key-env, as --api-key-env {self.info.key_variable}"
                )
            reference = self.settings.key_reference
            reference = reference or KeyReference.of_variable(self.info.key_variable)
            words = reference.where if reference.place == "env" else reference.words
            raise DeploymentError(
                f"{title} does not accept the key in {words} ({complaint}). Set {words} to a key "
                "that is valid, or say with --key-from where one is"
            )
        if status == 402:
            raise DeploymentError(
                f"{title} wants to be paid first ({complaint}). Add credit to the account, or take "
                "another key"
            )
        document = answer.json()
        entries = document.get("data") if isinstance(document, dict) else None
        if status == 200 and isinstance(entries, list):
            ids = [entry.get("id") for entry in entries if isinstance(entry, dict)]
            return [name for name in ids if isinstance(name, str) and name]
        if status < 400:
            raise DeploymentError(
                f"What answers at {base_url} is not the API of {title} (HTTP {status}, no list of "
                "models): check the address, and whether a network's sign-in page is in between"
            )
        return None
