"""Ollama, by its own API: what it has, what a model can do, and a model loaded as it should be.

Nothing is cut silently: the context is set to what the longest request needs, and the dialect
has the server refuse a prompt that does not fit all the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from minionbench import clock, units
from minionbench.engines import ollama_server as server
from minionbench.engines.engine import Engine, EngineFacts, EngineSettings, HeldMemory
from minionbench.engines.foreign import listed
from minionbench.engines.keys import look_up
from minionbench.engines.ollama_server import Loaded, Shown
from minionbench.engines.server_kind import UNIQUE_PREFIX, Asker
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Endpoint, Manners, Reasoning
from minionbench.transport.http import Url
from minionbench.wire.asking import merged, with_one_token

LEAST_CONTEXT_TOKENS = 4_096
"""Context that is asked for when less is needed: Ollama's own default."""
CONTEXT_STEP_TOKENS = 1_024
"""A context is a multiple of this, so that a little more of a workload does not load anew."""
REASONING_TOKENS = 4_096
"""Room in the context for the reasoning of a model that can reason."""
KEEP_ALIVE = "15m"
"""How long a model stays loaded after each request: longer than any pause of a run."""
UNLOAD_S = 60.0
"""How long a model may take to be gone from memory."""


class OllamaEngine(Engine):
    """A model at an Ollama server, loaded with the context that a run needs."""

    def __init__(self, endpoint: Endpoint, facts: EngineFacts, asker: Asker, shown: Shown) -> None:
        super().__init__(endpoint, facts)
        self._asker = asker
        self._shown = shown

    def ended(self) -> str | None:
        """None while the server answers (it is asked for its version); else one sentence."""
        why = self._asker.gone("/api/version")
        return None if why is None else f"Ollama at {self.endpoint.base_url} is gone: {why}."

    def set_reasoning(self, reasoning: Reasoning) -> None:
        """Has the model reason, or not, in every call from now on.

        Raises:
            DeploymentError: the model cannot do as asked; the message says what it can.
        """
        self.endpoint.reasoning = _reasoning(self.facts.model, self._shown, reasoning)

    def held_memory(self) -> HeldMemory | None:
        """What Ollama says that the model takes in an accelerator, now."""
        loaded = server.loaded(self._asker, self.facts.model)
        if loaded is None or loaded.vram_bytes is None:
            return None
        return HeldMemory(
            vram_bytes=loaded.vram_bytes,
            total_bytes=loaded.size_bytes,
            method="size_vram of Ollama's /api/ps after the requests",
        )


def attach_ollama(
    model: str,
    settings: EngineSettings,
    environment: Mapping[str, str] = os.environ,
    say: Callable[[str], None] = lambda text: None,
) -> OllamaEngine:
    """Finds the Ollama server that `OLLAMA_HOST` names and has it load the model.

    A model that is not there is fetched where the settings say so; `say` is told how that goes.

    Raises:
        UsageError: a context longer than the model's own, or a raw prompt.
        DeploymentError: no server, no such model, or the model does not load; the message has the
            command that helps.
    """
    if settings.raw:
        raise UsageError(
            "--raw needs a server with OpenAI's completions route; Ollama has it below --url, as "
            f"in --url {server.ollama_address(environment)}/v1"
        )
    reference = settings.key_reference
    key = look_up(reference).secret if reference is not None else None
    asker = Asker(
        Url(server.ollama_address(environment)),
        key=key,
        headers=settings.headers,
        insecure=settings.insecure,
    )
    version = server.version(asker, model)
    sizes = server.installed(asker)
    if server.model_at(model, sizes) is None and settings.pull:
        server.pull(asker, model, say)
        sizes = server.installed(asker)
    there = server.model_at(model, sizes)
    if there is None:
        raise DeploymentError(
            f"The Ollama server at {server.address(asker)} does not have {model}; it has "
            f"{listed(list(sizes)) if sizes else 'no models'}. Get it with `ollama pull {model}`, "
            "or with --pull"
        )
    shown = server.show(asker, model)
    if shown.capabilities is not None and "completion" not in shown.capabilities:
        raise DeploymentError(
            f"{model} does not answer: Ollama lists {', '.join(shown.capabilities) or 'nothing'} "
            "as its capabilities, not completion"
        )
    context_tokens = _context(model, shown, settings)
    extra_body = _extra_body(context_tokens, settings.extra_body)
    if settings.fresh:
        say(f"unloading {model}")
        _unload(asker, model)
    before = server.loaded(asker, model)
    say(f"loading {model}")
    load_s, template_tokens = _load(asker, model, extra_body, shown, settings)
    after = server.loaded(asker, model)
    was_there = before is not None and (
        before.context_tokens is None or before.context_tokens == context_tokens
    )
    facts = EngineFacts(
        name="ollama",
        version=version,
        embedded=False,
        insecure=settings.insecure,
        model=model,
        context_tokens=after.context_tokens if after and after.context_tokens else context_tokens,
        slots=settings.slots,
        cold_by=None if settings.cache_prompt else UNIQUE_PREFIX,
        cache_prompt=None,
        template_tokens=template_tokens,
        quantization=shown.quantization,
        parameter_count=shown.parameter_count,
        file_size_bytes=sizes[there],
        load_s=None if was_there else load_s,
        notes=_notes(settings, after, context_tokens, None if was_there else load_s),
    )
    endpoint = Endpoint(
        server.address(asker),
        model,
        dialect="ollama",
        key=key,
        slots=settings.slots,
        headers=settings.headers,
        extra_body=extra_body,
        timeouts=settings.timeouts,
        manners=Manners(ignores_end=False, switch="think" if shown.can_reason else "none"),
        insecure=settings.insecure,
        unique_prefix=not settings.cache_prompt,
    )
    return OllamaEngine(endpoint, facts, asker, shown)


def _context(model: str, shown: Shown, settings: EngineSettings) -> int:
    """Context to load the model with."""
    own = shown.context_tokens
    asked = settings.context_tokens
    if asked is not None:
        if own is not None and asked > own:
            raise UsageError(
                f"A context of {asked:,} tokens was asked for, but {model} was made for {own:,} at "
                "most; ask for no more, or for none to get what the requests need"
            )
        return asked
    needed = (settings.needed_tokens or 0) + (REASONING_TOKENS if shown.can_reason else 0)
    steps = -(-max(needed, LEAST_CONTEXT_TOKENS) // CONTEXT_STEP_TOKENS)
    return min(steps * CONTEXT_STEP_TOKENS, own or steps * CONTEXT_STEP_TOKENS)


def _extra_body(context_tokens: int, own: dict[str, Any]) -> dict[str, Any]:
    """What every request says of context and memory; the user's own has the last word."""
    return merged({"keep_alive": KEEP_ALIVE, "options": {"num_ctx": context_tokens}}, own)


def _unload(asker: Asker, model: str) -> None:
    """Has the server drop the model from memory, and waits until it has."""
    server.asked(asker, "/api/generate", f"unload {model}", {"model": model, "keep_alive": 0})
    deadline_ns = clock.monotonic_ns() + round(UNLOAD_S * units.NS_PER_S)
    while server.loaded(asker, model) is not None:
        if clock.monotonic_ns() > deadline_ns:
            raise DeploymentError(
                f"The Ollama server at {server.address(asker)} still holds {model} in memory "
                f"{UNLOAD_S:g} s after it was told to unload it; somebody else may be using it"
            )
        clock.sleep_s(0.05)


def _load(
    asker: Asker,
    model: str,
    extra_body: dict[str, Any],
    shown: Shown,
    settings: EngineSettings,
) -> tuple[float | None, int | None]:
    """Loads the model by a request of one word: seconds that it took, tokens of the prompt."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": False,
        "options": {"temperature": 0, "num_predict": 1},
    }
    if shown.can_reason and shown.has_off:
        body["think"] = False
    body = merged(body, with_one_token(extra_body))
    answer = server.asked(asker, "/api/chat", f"load {model}", body, settings.start_timeout_s)
    document = server.json_object(answer)
    took_ns = server.count_of(document.get("load_duration"))
    return (
        None if took_ns is None else units.seconds(took_ns),
        server.count_of(document.get("prompt_eval_count")),
    )


def _reasoning(model: str, shown: Shown, wish: Reasoning) -> Reasoning | None:
    """The wish in words that the model takes; None where nothing has to be said."""
    if not wish.on:
        if not shown.can_reason:
            return None
        if not shown.has_off:
            raise DeploymentError(
                f"Reasoning cannot be switched off for {model}: it has levels only "
                f"({', '.join(shown.levels)})"
            )
        return wish
    if not shown.can_reason:
        known = ", ".join(shown.capabilities or ()) or "none at all"
        raise DeploymentError(
            f"{model} cannot reason: thinking is not among the capabilities that Ollama lists for "
            f"it ({known}); leave out --reasoning, or take a model such as qwen3"
        )
    if wish.effort is not None and wish.effort not in shown.levels:
        has = f"it has {', '.join(shown.levels)}" if shown.levels else "it only has on and off"
        raise DeploymentError(f"{model} has no level of reasoning {wish.effort!r}; {has}")
    if wish.effort is None and not shown.has_on:
        default = shown.thinking_default
        effort = default if isinstance(default, str) else shown.levels[len(shown.levels) // 2]
        return msgspec.structs.replace(wish, effort=effort)
    return wish


def _notes(
    settings: EngineSettings, loaded: Loaded | None, context_tokens: int, load_s: float | None
) -> tuple[str, ...]:
    notes = []
    asked = {"threads": settings.threads, "GPU layers": settings.gpu_layers}
    ignored = [what for what, value in asked.items() if value is not None]
    if ignored:
        notes.append(f"Not applied, since the server was started elsewhere: {', '.join(ignored)}")
    if load_s is not None:
        notes.append(f"The model was loaded for this run, which took Ollama {load_s:.3g} s")
    if loaded is not None and loaded.size_bytes and loaded.vram_bytes is not None:
        on_gpu, size = loaded.vram_bytes, loaded.size_bytes
        if 0 < on_gpu < size:
            notes.append(
                f"Of {size / units.BYTES_PER_MB:,.0f} MB the accelerator holds "
                f"{on_gpu / units.BYTES_PER_MB:,.0f} MB: the rest is computed by the processor"
            )
    if loaded is not None and loaded.context_tokens and loaded.context_tokens < context_tokens:
        notes.append(
            f"Ollama loaded the model with a context of {loaded.context_tokens:,} tokens, fewer "
            f"than the {context_tokens:,} that were asked for"
        )
    needed = settings.needed_tokens
    if needed is not None and needed > context_tokens:
        notes.append(
            f"The longest request may need {needed:,} tokens with its answer, more than the "
            f"context of {context_tokens:,}; a prompt that is too long is refused, not cut"
        )
    return tuple(notes)
