"""The simulated model: from what is asked to the tokens of the answer, without a clock."""

from __future__ import annotations

from itertools import islice
from typing import Literal, TypeAlias

import msgspec

from minionbench.simulator.answers import Answers, made_up
from minionbench.simulator.asked import Asked, Refused
from minionbench.simulator.prefix_cache import PrefixCache
from minionbench.simulator.server_kind import ServerKind
from minionbench.simulator.settings import SimulatedModel, SimulatorSettings
from minionbench.simulator.tokens import prompt_tokens, tokens

Finish: TypeAlias = Literal["stop", "length", "filter", "context", "load", "unload"]

_EFFORTS = {"minimal": 0.25, "low": 0.5, "medium": 1.0, "high": 2.0, "xhigh": 3.0, "max": 4.0}
"""Reasoning at each effort, relative to medium."""
_CHECKS_LIMIT = ("openai", "vllm", "sglang")
"""Servers that refuse a limit which does not fit into the context; others end where it is full."""
_UNSHOWN = ("openai",)
"""Servers that never stream their reasoning in chat completions."""


class Generated(msgspec.Struct, kw_only=True):
    """What the model made of a request, and what it cost."""

    reasoning: list[str] = msgspec.field(default_factory=list)
    text: list[str] = msgspec.field(default_factory=list)
    shown: bool = True
    """Whether the reasoning is streamed."""
    finish: Finish = "stop"
    stop_sequence: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cacheable_tokens: int = 0
    """Tokens of the prompt that may be read from or written to the cache, the cached included."""
    extra_tokens: int = 0
    """Generated tokens reported beyond those that were: a server that counts wrongly."""
    reports_usage: bool = True
    queue_ns: int = 0
    load_ns: int = 0
    pace: float = 1.0
    """Of the model: how many times the stated delays it takes."""
    prefill_ns: int = 0
    decode_ns: int = 0

    @property
    def output_tokens(self) -> int:
        """Generated tokens as the server reports them, reasoning included."""
        return len(self.reasoning) + len(self.text) + self.extra_tokens

    @property
    def shown_reasoning(self) -> str:
        """The reasoning as the client gets to see it."""
        return "".join(self.reasoning) if self.shown else ""

    @property
    def answer(self) -> str:
        """The visible text."""
        return "".join(self.text)


class Model:
    """Answers requests with the settings' model of text; keeps the prefix cache."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._answers = Answers(settings)
        self.cache = PrefixCache(settings.cache_block_tokens)

    def generate(self, asked: Asked, model: SimulatedModel) -> Generated:
        """The tokens of the answer.

        Raises Refused when the prompt is too long, or reasoning is asked of a model that cannot.
        """
        context = min(asked.context_tokens or model.context_tokens, model.context_tokens)
        prompt = self._prompt(asked)
        if asked.truncate:
            prompt = prompt[-context:]
        elif len(prompt) >= context:
            raise too_long(asked, len(prompt), context, self._settings.server)
        limit, full = self._limit(asked, model, len(prompt), context)
        cached, cacheable = self._cached(asked, prompt)
        known, thoughts = self._answers.scripted(asked) or (self._answers.otherwise(asked), None)
        reasoning = self._reasoning(asked, model, thoughts)[:limit]
        left = limit - len(reasoning)
        text, ended, stop_sequence = self._text(asked, known, left)
        finish: Finish = "stop"
        if not ended:
            finish = "context" if full else "length"
        generated = Generated(
            reasoning=reasoning,
            text=text,
            shown=self._shown(asked, model),
            finish=finish,
            stop_sequence=stop_sequence,
            prompt_tokens=len(prompt),
            cached_tokens=cached,
            cacheable_tokens=cacheable,
            reports_usage=self._settings.usage,
        )
        if model.shown == "inline" and reasoning:
            generated.text = [
                *tokens("<think>\n"),
                *reasoning,
                *tokens("\n</think>\n\n"),
                *text,
            ][:limit]
            generated.reasoning = []
        return generated

    def _prompt(self, asked: Asked) -> list[str]:
        if asked.raw:
            return tokens("".join(turn.text for turn in asked.turns)) or [""]
        return prompt_tokens(asked.turns)

    def _cached(self, asked: Asked, prompt: list[str]) -> tuple[int, int]:
        if not (self._settings.cache and asked.cache):
            return 0, 0
        reusable = prompt
        if asked.cache_turns is not None:
            reusable = prompt_tokens(asked.turns[: asked.cache_turns])[:-1]
        known = self.cache.match(reusable, asked.cache_salt)
        self.cache.add(reusable, asked.cache_salt)
        cacheable = min(len(reusable), len(prompt) - 1)
        return min(known, cacheable), cacheable

    def _limit(
        self, asked: Asked, model: SimulatedModel, prompt: int, context: int
    ) -> tuple[int, bool]:
        """Most tokens to generate, and whether it is the context that sets the limit."""
        room = context - prompt
        wanted = asked.max_tokens
        if asked.truncate:  # it drops the oldest tokens and goes on
            return (model.max_output_tokens if wanted is None else wanted), False
        if wanted is None:
            return min(model.max_output_tokens, room), room < model.max_output_tokens
        if wanted > room and self._settings.server in _CHECKS_LIMIT:
            raise Refused(
                "context_length",
                f"This model's maximum context length is {context} tokens. However, you requested "
                f"{prompt + wanted} tokens ({prompt} in the messages, {wanted} in the completion). "
                "Please reduce the length of the messages or completion.",
                param="messages",
            )
        return min(wanted, room), room < wanted

    def _reasoning(self, asked: Asked, model: SimulatedModel, scripted: str | None) -> list[str]:
        if not reasons(asked, model):
            return []
        most = asked.reasoning_tokens
        if scripted is not None:
            return tokens(scripted)[:most]
        share = _EFFORTS.get(asked.effort or "medium", 1.0)
        count = max(1, round(self._settings.reasoning_tokens * share))
        if self._settings.reasoning_tokens == 0:
            count = 0
        if most is not None:
            count = min(count, most)
        return list(islice(made_up(self._answers.seed_of(asked, "reasoning")), count))

    def _text(
        self, asked: Asked, known: str | None, most: int
    ) -> tuple[list[str], bool, str | None]:
        """The answer's tokens, whether it came to its end, and the stop sequence that ended it."""
        endless = made_up(self._answers.seed_of(asked, "answer"))
        if known is None:
            text = list(islice(endless, min(self._settings.answer_tokens, most + 1)))
        else:
            text = tokens(known)
        wanted = most if asked.ignore_eos else min(asked.min_tokens, most)
        if len(text) < wanted:
            text += islice(endless, wanted - len(text))
        ended = len(text) <= most and not asked.ignore_eos
        text = text[:most]
        found = _stop_at("".join(text), asked.stop) if asked.stop else None
        if found is not None:
            kept, sequence = found
            return tokens(kept), True, sequence
        return text, ended, None

    def _shown(self, asked: Asked, model: SimulatedModel) -> bool:
        if self._settings.server in _UNSHOWN and asked.route == "chat":
            return False
        return model.shown != "hidden" and asked.reasoning_shown


def reasons(asked: Asked, model: SimulatedModel) -> bool:
    """Whether the model reasons when asked so."""
    match model.reasoning:
        case "always":
            return True
        case "never" | "none":
            return False
        case _:
            return model.reasons_by_default if asked.reasoning is None else asked.reasoning


def check_reasoning(asked: Asked, model: SimulatedModel, server: ServerKind) -> None:
    """Raises Refused where the model does not take the request's wish to reason, or not with it."""
    if asked.thinking == "enabled" and model.thinking == "adaptive":
        raise Refused(
            "bad_request",
            '"thinking.type.enabled" is not supported for this model. '
            'Use "thinking.type.adaptive" and "output_config.effort".',
        )
    if asked.thinking == "adaptive" and model.thinking == "budget":
        raise Refused("bad_request", "adaptive thinking is not supported on this model")
    if server == "openai" and asked.route == "chat" and model.reasoning != "none":
        _check_as_openai(asked, model)
    if model.reasoning != "none" or not asked.reasoning:
        return
    if asked.route in ("ollama_chat", "generate"):
        raise Refused("bad_request", f'"{asked.model}" does not support thinking')
    if asked.route == "messages":
        raise Refused("bad_request", "thinking is not supported by this model")
    if server == "openai":
        raise _unsupported("reasoning_effort", "")


def _check_as_openai(asked: Asked, model: SimulatedModel) -> None:
    if asked.max_tokens_deprecated:
        raise _unsupported("max_tokens", " Use 'max_completion_tokens' instead.")
    if asked.sampling not in (None, 1.0) and reasons(asked, model):
        raise _unsupported("temperature", "")


def _unsupported(field: str, advice: str) -> Refused:
    return Refused(
        "unsupported",
        f"Unsupported parameter: '{field}' is not supported with this model.{advice}",
        param=field,
    )


def too_long(asked: Asked, prompt: int, context: int, server: ServerKind) -> Refused:
    """The refusal of a prompt that does not fit into the context."""
    facts = {"n_prompt_tokens": prompt, "n_ctx": context}
    if asked.route == "messages":
        message = f"prompt is too long: {prompt} tokens > {context} maximum"
    elif asked.route in ("ollama_chat", "generate"):
        message = "the input length exceeds the context length"
        facts = {}
    elif server == "llamacpp":
        message = (
            f"request ({prompt} tokens) exceeds the available context size ({context} tokens), "
            "try increasing it"
        )
    else:
        message = (
            f"This model's maximum context length is {context} tokens. However, your messages "
            f"resulted in {prompt} tokens. Please reduce the length of the messages."
        )
    return Refused("context_length", message, param="messages", facts=facts)


def _stop_at(text: str, sequences: tuple[str, ...]) -> tuple[str, str] | None:
    """The text before the first stop sequence in it, and which one; None where there is none."""
    places = [(text.find(sequence), sequence) for sequence in sequences if sequence in text]
    if not places:
        return None
    place, sequence = min(places)
    return text[:place], sequence
