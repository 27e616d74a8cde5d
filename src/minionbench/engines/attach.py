"""Servers that somebody else started: found, asked what they are, and used as they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from minionbench.engines.engine import Engine, EngineFacts, EngineSettings
from minionbench.engines.keys import look_up
from minionbench.engines.probe import ProbeAnswer, ProbeError
from minionbench.engines.server_kind import (
    LLAMA_CPP,
    METRICS_ROUTE,
    OLLAMA,
    TOKENIZE_ROUTE,
    UNIQUE_PREFIX,
    Asker,
    Flush,
    ServerKind,
    Tokenizes,
    context_tokens,
    has_metrics,
    look,
    manners_for,
    version,
)
from minionbench.engines.server_list import (
    Server,
    asker_for,
    choose_model,
    find_server,
    refuse_without_key,
)
from minionbench.engines.thinking import TemplateReasoning, template_reasoning
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Endpoint, Manners, Reasoning
from minionbench.wire.asking import with_one_token

DIALECTS = ("openai", "completions", "responses")

_REFUSALS = (400, 401, 402, 403, 404, 422)
"""Statuses of a trial request after which the measured ones would fare no better."""
_NEWER_LIMIT = "max_completion_tokens"
"""OpenAI's newer name of the limit; its models that reason refuse the older one."""


class AttachedEngine(Engine):
    """A server that was running before, and will be afterwards."""

    def __init__(
        self,
        endpoint: Endpoint,
        facts: EngineFacts,
        *,
        asker: Asker | None = None,
        flush: Flush | None = None,
        has_metrics: bool = False,
        template: TemplateReasoning | None = None,
        tokenizes: Tokenizes | None = None,
    ) -> None:
        """`flush` is the route that empties its prefix cache, where that is how it is kept cold.
        `tokenizes` is how its tokenizer is asked, where it has one to ask.

        `template` is what the model's chat template says of reasoning, where the server shows it.
        """
        super().__init__(endpoint, facts)
        self._template = template
        self._asker = asker
        self._flush = flush
        self._has_metrics = has_metrics
        self._tokenizes = tokenizes

    def set_reasoning(self, reasoning: Reasoning) -> None:
        """Has the model reason, or not, as far as it is known how it is told to.

        Raises:
            DeploymentError: it cannot be told, and is known to do the other thing.
        """
        if self._template is None:
            super().set_reasoning(reasoning)
        else:
            self.endpoint.reasoning = self._template.wish(reasoning, self.facts.model)

    def ended(self) -> str | None:
        """None while the server answers (it is asked for its models); else one sentence."""
        why = self._asker.gone("/v1/models") if self._asker is not None else None
        return None if why is None else f"The server at {self.endpoint.base_url} is gone: {why}."

    def forget_prompts(self) -> str | None:
        """Has the server empty its prefix cache; why it did not, or None when it did."""
        if self._flush is None or self._asker is None:
            return None
        why = _flushed(self._asker, self._flush)
        return None if why is None else f"the server did not empty its prefix cache: {why}"

    def metrics_page(self) -> str | None:
        """The server's own account of its work so far; None where it gives none."""
        if self._asker is None or not self._has_metrics:
            return None
        try:
            answer = self._asker.ask(METRICS_ROUTE)
        except ProbeError:
            return None
        return answer.body.decode("utf-8", "replace") if answer.status == 200 else None

    def count_tokens(self, text: str) -> int | None:
        """How many tokens a text has by `/tokenize`; None where the server does not say."""
        if self._tokenizes is None or self._asker is None:
            return None
        body = {
            "model": self.facts.model,
            self._tokenizes.text: text,
            self._tokenizes.marks: False,
        }
        try:
            answer = self._asker.ask(TOKENIZE_ROUTE, body)
        except ProbeError:
            return None
        document = answer.json() if answer.status == 200 else None
        tokens = document.get("tokens") if isinstance(document, dict) else None
        return len(tokens) if isinstance(tokens, list) else None


def attach(url: str, model: str | None, settings: EngineSettings) -> AttachedEngine:
    """Finds an OpenAI-compatible server and the model to ask there, and asks it once.

    `url` is its address with or without `/v1`. Without a model, the server has to serve exactly
    one. A model `provider/name` that the server does not list is looked for as `name` as well.

    Raises:
        UsageError: `url` is no server's address.
        DeploymentError: no such server, model or key, or the server refuses the trial request; the
            message says what was tried.
    """
    dialect = "completions" if settings.raw else settings.dialect or "openai"
    if dialect not in DIALECTS:
        raise UsageError(
            f"A server given by its URL is not spoken to in {dialect!r}; it takes "
            f"{', '.join(DIALECTS)}"
        )
    raw = dialect == "completions"
    reference = settings.key_reference
    found = look_up(reference) if reference is not None else None
    key = found.secret if found is not None else None
    server = find_server(url, key, settings)
    chosen = choose_model(server, model)
    asker = asker_for(server.base_url.removesuffix("/v1"), key, settings)
    kind = look(asker, server.listing)
    cold_by, flush = _cold(kind, asker, settings)
    manners = manners_for(kind, chosen, raw=raw)
    template = None if raw else _template(kind, asker, manners)
    if template is not None:
        manners = msgspec.structs.replace(manners, switch=template.switch)
    notes = (*(found.notes if found is not None else ()), *_notes(server, kind, settings))
    endpoint = Endpoint(
        server.base_url,
        chosen,
        dialect=dialect,
        key=key,
        slots=settings.slots,
        headers=settings.headers,
        extra_body={
            **dict.fromkeys(kind.cold_body, settings.cache_prompt),
            **settings.extra_body,
        },
        timeouts=settings.timeouts,
        manners=manners,
        insecure=settings.insecure,
        unique_prefix=cold_by is not None and not kind.cold_body,
    )
    template_tokens, doubt = _try(endpoint, settings)
    context = context_tokens(asker, kind, chosen) or server.context_tokens
    facts = EngineFacts(
        name=kind.name,
        version=version(asker, kind),
        embedded=False,
        remote=settings.remote,
        base_url=server.base_url if settings.remote else None,
        dialect=endpoint.dialect if settings.remote else None,
        insecure=settings.insecure,
        model=chosen,
        context_tokens=context,
        slots=settings.slots,
        cache_prompt=settings.cache_prompt if kind.cold_body else None,
        cold_by=cold_by,
        template_tokens=template_tokens,
        notes=notes + doubt + _too_long(settings.needed_tokens, context),
    )
    return AttachedEngine(
        endpoint,
        facts,
        asker=asker,
        flush=flush,
        has_metrics=has_metrics(asker, kind),
        template=template,
        tokenizes=kind.tokenizes,
    )


class Described(NamedTuple):
    """What a server is, as far as it says without being made to work."""

    base_url: str
    kind: ServerKind
    version: str | None
    models: tuple[str, ...] | None
    """None when it does not list them."""
    has_metrics: bool
    cold_by: str
    """How a run would keep its prefix cache cold."""


def describe(url: str, settings: EngineSettings) -> Described:
    """Looks at a server without sending a prompt, or changing anything.

    Raises:
        UsageError: `url` is no server's address.
        DeploymentError: no such server, or no key; the message says what was tried.
    """
    reference = settings.key_reference
    key = look_up(reference).secret if reference is not None else None
    server = find_server(url, key, settings)
    asker = asker_for(server.base_url.removesuffix("/v1"), key, settings)
    kind = look(asker, server.listing)
    cold_by = _cold_in_request(kind) or UNIQUE_PREFIX
    if kind.flush is not None:
        cold_by = f"{UNIQUE_PREFIX}, and POST {kind.flush} where it has that"
    return Described(
        server.base_url,
        kind,
        version(asker, kind),
        server.models,
        has_metrics(asker, kind),
        cold_by,
    )


def _template(kind: ServerKind, asker: Asker, manners: Manners) -> TemplateReasoning | None:
    """What the model's chat template says of reasoning; None where another sign is better."""
    if kind is not LLAMA_CPP:
        return None
    text = asker.document("/props").get("chat_template")
    if not isinstance(text, str) or not text:
        return None
    found = template_reasoning(text)
    by_name = manners.switch not in ("none", "enable_thinking")
    return None if found.switch == "none" and by_name else found


def _cold(
    kind: ServerKind, asker: Asker, settings: EngineSettings
) -> tuple[str | None, Flush | None]:
    """How prompts are kept out of the prefix cache, and the route to be called for that.

    An emptied cache knows nothing of the repeat before; what the requests of one repeat have in
    common, such as a document, only unique beginnings keep out of it.
    """
    if settings.cache_prompt:
        return None, None
    in_request = _cold_in_request(kind)
    if in_request is not None:
        return in_request, None
    if kind.flush is not None and _flushed(asker, kind.flush) is None:
        return f"{UNIQUE_PREFIX}, and POST {kind.flush} before each repeat", kind.flush
    return UNIQUE_PREFIX, None


def _cold_in_request(kind: ServerKind) -> str | None:
    """The fields that keep a prompt out of the cache, as a reader is told; None without any."""
    return ", ".join(f"{name}: false" for name in kind.cold_body) or None


def _flushed(asker: Asker, route: Flush) -> str | None:
    """Has a server empty its prefix cache; why it did not, or None when it did."""
    try:
        answer = asker.ask(route, {})
    except ProbeError as error:
        return str(error)
    return None if answer.status == 200 else answer.complaint()


def _try(endpoint: Endpoint, settings: EngineSettings) -> tuple[int | None, tuple[str, ...]]:
    """Tokens of a prompt of one word, by a trial request, and what there is to note about it.

    The first measured request does not pay for what a server does at its first, and a server that
    refuses says so before anything is measured. One that refuses a field is asked without it, then
    and later.
    """
    if endpoint.dialect == "responses":
        return None, ()
    asker = asker_for(endpoint.base_url, endpoint.key, settings)
    while True:
        target, body = _trial(endpoint)
        try:
            answer = asker.ask(target, body, timeout_s=settings.start_timeout_s)
        except ProbeError as error:
            return None, (f"A trial request before the run failed: {error}",)
        manners = _without_what_is_refused(endpoint.manners, answer)
        if manners == endpoint.manners:
            break
        endpoint.manners = manners
    refuse_without_key(endpoint.base_url, [answer], settings)
    if answer.status in _REFUSALS:
        raise DeploymentError(
            f"The server at {endpoint.base_url} refuses a trial request for {endpoint.model}: "
            f"{answer.complaint()}{_other_routes(endpoint) if answer.status == 404 else ''}"
        )
    if answer.status != 200:
        return None, (f"A trial request before the run failed: {answer.complaint()}",)
    document = answer.json()
    usage = document.get("usage") if isinstance(document, dict) else None
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return (tokens if type(tokens) is int and tokens > 0 else None), ()


def _other_routes(endpoint: Endpoint) -> str:
    """What else may be tried where a server does not know the route or the model."""
    other = "leave out --raw" if endpoint.manners.raw else "try --raw for plain completions"
    return (
        f". If it has no such route, {other}, or --dialect responses; a provider's own API is "
        "reached by its model's name, as -m anthropic/NAME"
    )


def _trial(endpoint: Endpoint) -> tuple[str, dict[str, Any]]:
    """Route and body of a request for one token."""
    manners = endpoint.manners
    body: dict[str, Any] = {"model": endpoint.model, manners.max_tokens_field: 1}
    if manners.temperature:
        body["temperature"] = 0
    own = with_one_token(endpoint.extra_body)
    if manners.raw:
        return "/completions", body | {"prompt": "Hello"} | own
    messages = [{"role": "user", "content": "Hello"}]
    return "/chat/completions", body | {"messages": messages} | own


def _without_what_is_refused(manners: Manners, answer: ProbeAnswer) -> Manners:
    """The manners without the field that a refusal names, as models that reason have them."""
    if answer.status != 400:
        return manners
    complaint = answer.complaint()
    if _NEWER_LIMIT in complaint and manners.max_tokens_field != _NEWER_LIMIT:
        return msgspec.structs.replace(manners, max_tokens_field=_NEWER_LIMIT)
    if "temperature" in complaint and manners.temperature:
        return msgspec.structs.replace(manners, temperature=False)
    return manners


def _notes(server: Server, kind: ServerKind, settings: EngineSettings) -> tuple[str, ...]:
    notes = []
    asked = {
        "threads": settings.threads,
        "context": settings.context_tokens,
        "GPU layers": settings.gpu_layers,
        "pull": settings.pull or None,
        "fresh": settings.fresh or None,
    }
    ignored = [what for what, value in asked.items() if value is not None]
    if ignored:
        notes.append(f"Not applied, since the server was started elsewhere: {', '.join(ignored)}")
    if server.models is None:
        notes.append("The server does not list its models: the name is as given")
    if kind is OLLAMA:
        notes.append(
            "Ollama's OpenAI routes cut a prompt longer than its own context without saying so; "
            "as -m ollama/NAME it is measured natively, with a context that is long enough"
        )
    return tuple(notes)


def _too_long(needed_tokens: int | None, context: int | None) -> tuple[str, ...]:
    if needed_tokens is None or context is None or needed_tokens <= context:
        return ()
    return (
        f"The longest request may need {needed_tokens:,} tokens with its answer, more than the "
        f"server's context of {context:,}",
    )
