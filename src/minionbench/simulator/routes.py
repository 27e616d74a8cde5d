"""Which server has which route, and who reads and answers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from minionbench.simulator import (
    anthropic,
    ollama,
    openai_chat,
    openai_completions,
    openai_responses,
)
from minionbench.simulator.asked import Asked, Body, Family
from minionbench.simulator.encoding import Encoder
from minionbench.simulator.server_kind import SERVER_KINDS, ServerKind

_OPENAI_LIKE = frozenset(SERVER_KINDS) - {"anthropic"}
_WITHOUT_V1 = ("any", "deepseek", "llamacpp")
"""Servers that have OpenAI's routes without `/v1` as well."""


class AnswerRoute(NamedTuple):
    """A route on which the model answers."""

    family: Family
    read: Callable[[Body, ServerKind], Asked]
    encoder: type[Encoder]
    servers: frozenset[ServerKind]


ANSWER_ROUTES: dict[str, AnswerRoute] = {
    "/v1/chat/completions": AnswerRoute(
        "openai", openai_chat.read, openai_chat.ChatEncoder, _OPENAI_LIKE
    ),
    "/v1/completions": AnswerRoute(
        "openai", openai_completions.read, openai_completions.CompletionsEncoder, _OPENAI_LIKE
    ),
    "/v1/responses": AnswerRoute(
        "openai",
        openai_responses.read,
        openai_responses.ResponsesEncoder,
        _OPENAI_LIKE - {"deepseek", "sglang"},
    ),
    "/v1/messages": AnswerRoute(
        "anthropic",
        anthropic.read,
        anthropic.MessagesEncoder,
        frozenset({"any", "anthropic", "llamacpp", "vllm", "lmstudio", "ollama"}),
    ),
    "/api/chat": AnswerRoute(
        "ollama", ollama.read_chat, ollama.OllamaEncoder, frozenset({"any", "ollama"})
    ),
    "/api/generate": AnswerRoute(
        "ollama", ollama.read_generate, ollama.OllamaEncoder, frozenset({"any", "ollama"})
    ),
}
"""By path."""

INQUIRIES: dict[str, tuple[str, frozenset[ServerKind]]] = {
    "/v1/models": ("GET", frozenset(SERVER_KINDS)),
    "/v1/embeddings": ("POST", _OPENAI_LIKE - {"deepseek"}),
    "/v1/messages/count_tokens": ("POST", frozenset({"any", "anthropic"})),
    "/api/tags": ("GET", frozenset({"any", "ollama"})),
    "/api/ps": ("GET", frozenset({"any", "ollama"})),
    "/api/version": ("GET", frozenset({"any", "ollama"})),
    "/api/show": ("POST", frozenset({"any", "ollama"})),
    "/api/pull": ("POST", frozenset({"any", "ollama"})),
    "/api/embed": ("POST", frozenset({"any", "ollama"})),
    "/api/embeddings": ("POST", frozenset({"any", "ollama"})),
    "/health": ("GET", frozenset({"any", "vllm", "sglang", "llamacpp"})),
    "/metrics": ("GET", frozenset({"any", "vllm", "sglang", "llamacpp"})),
    "/version": ("GET", frozenset({"vllm"})),
    "/props": ("GET", frozenset({"llamacpp"})),
    "/slots": ("GET", frozenset({"llamacpp"})),
    "/tokenize": ("POST", frozenset({"any", "vllm", "sglang", "llamacpp"})),
    "/get_model_info": ("GET", frozenset({"sglang"})),
    "/get_server_info": ("GET", frozenset({"sglang"})),
    "/reset_prefix_cache": ("POST", frozenset({"any", "vllm"})),
    "/flush_cache": ("POST", frozenset({"any", "sglang"})),
    "/api/v0/models": ("GET", frozenset({"lmstudio"})),
    "/": ("GET", frozenset({"any", "ollama"})),
}
"""Routes that are answered at once: method and servers, by path."""

OPEN = frozenset({"/", "/health", "/metrics"})
"""Routes that ask for no key."""


def route_of(path: str, server: ServerKind) -> str:
    """The path under which a request's route stands in the tables."""
    with_v1 = f"/v1{path}"
    if server in _WITHOUT_V1 and (with_v1 in ANSWER_ROUTES or with_v1 in INQUIRIES):
        return with_v1
    return path


def family_of(path: str, headers: dict[str, str]) -> Family:
    """Whose words an error on that path is in."""
    if path.startswith("/api/"):
        return "ollama"
    if path.startswith("/v1/messages") or "anthropic-version" in headers:
        return "anthropic"
    return "openai"
