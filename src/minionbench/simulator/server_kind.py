"""The servers that a simulator can pose as."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

ServerKind: TypeAlias = Literal[
    "any",
    "openai",
    "deepseek",
    "anthropic",
    "ollama",
    "vllm",
    "sglang",
    "llamacpp",
    "lmstudio",
]
"""`any` is no real one: it answers every route and takes every switch."""

SERVER_KINDS: tuple[ServerKind, ...] = get_args(ServerKind)
