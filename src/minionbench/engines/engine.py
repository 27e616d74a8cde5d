"""What an engine is to the rest of the program: an endpoint, facts about it, and an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import msgspec

from minionbench.engines.gguf import GgufInfo
from minionbench.errors import UsageError
from minionbench.exchange import Endpoint, Timeouts

MAX_THREADS = 512
"""llama.cpp's own limit."""
MAX_SLOTS = 256
"""llama.cpp's own limit of sequences in one context."""


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How an engine is to run the model; None leaves a choice to the engine's own default.

    Raises UsageError for a value that no engine can have.
    """

    threads: int | None = None
    """Threads that compute; None for one less than the cores, at least one."""
    context_tokens: int | None = None
    """Context of each slot; None for the model's own, at most 8,192."""
    gpu_layers: int | None = None
    """Layers held by a GPU; None for all of them where there is a GPU, 0 for none."""
    slots: int | None = None
    """Requests served at once; None for one in an embedded engine, for no limit elsewhere."""
    cache_prompt: bool = False
    """Whether a prompt may reuse what an earlier one left in the cache."""
    pin: bool = True
    """Whether an embedded engine is kept off one core, which stays free for the harness."""
    url: str | None = None
    """Address of an OpenAI-compatible server to attach to, as http://127.0.0.1:8000/v1."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the server's key."""
    memory_limit_bytes: int | None = None
    """Memory of its own that an embedded engine may take; None for no limit. The model's file,
    which the kernel can drop from memory at any time, is not part of it."""
    adapter: Path | None = None
    """LoRA adapter, a GGUF file, that an embedded engine puts over the model."""
    start_timeout_s: float = 300.0
    """How long an embedded engine may take until it answers."""
    timeouts: Timeouts | None = None
    """Of the measured calls; None for the defaults."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every measured request."""
    extra_body: dict[str, Any] = {}
    """Merged into the JSON of every measured request."""

    def __post_init__(self) -> None:
        _check_range("threads", self.threads, 1, MAX_THREADS)
        _check_range("context_tokens", self.context_tokens, 1, 2**31 - 1)
        _check_range("gpu_layers", self.gpu_layers, 0, 2**31 - 1)
        _check_range("slots", self.slots, 1, MAX_SLOTS)
        _check_range("memory_limit_bytes", self.memory_limit_bytes, 1, 2**62)
        if not 0 < self.start_timeout_s < float("inf"):
            raise UsageError(
                f"start_timeout_s is {self.start_timeout_s}; it has to be a number of seconds > 0"
            )


def _check_range(name: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise UsageError(f"{name} is {value}; it has to be from {low} to {high}")


class EngineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an engine that serves; None where it cannot be known."""

    name: str
    """`xllamacpp`, `ollama`, `vllm`, … or `openai-compatible` where the server does not say."""
    version: str | None = None
    """As `2026.10.11549 (llama.cpp b11549)`."""
    embedded: bool
    """Whether the harness started it."""
    model: str
    """Name of the model at the endpoint."""
    model_path: str | None = None
    model_file: GgufInfo | None = None
    """None where there is no local file, or where its header is of a form not understood here."""
    threads: int | None = None
    context_tokens: int | None = None
    """Context of each slot, as the engine itself reports it."""
    slots: int | None = None
    gpu_layers: int | None = None
    """As asked for; None when the choice was left to the engine."""
    devices: tuple[str, ...] | None = None
    """Devices that the engine can compute on, as it names them."""
    has_gpu: bool | None = None
    """Whether one of them is a GPU."""
    engine_cpus: tuple[int, ...] | None = None
    """Cores that the engine is pinned to; None when it is not pinned."""
    free_cpus: tuple[int, ...] | None = None
    """Cores that the engine leaves to the harness; None when it is not pinned."""
    cache_prompt: bool | None = None
    load_s: float | None = None
    """Loading the model, as seen from inside the engine."""
    start_s: float | None = None
    """From the start of the process to the end of the warm-up request."""
    notes: tuple[str, ...] = ()
    """What a reader of the result has to know about this engine, one sentence each."""


class Engine(Protocol):
    """A server with the model loaded, reached through `endpoint`."""

    @property
    def endpoint(self) -> Endpoint:
        """Where and how to send calls."""

    @property
    def facts(self) -> EngineFacts:
        """What the run document says of the engine."""

    @property
    def name(self) -> str:
        """`facts.name`."""

    @property
    def version(self) -> str | None:
        """`facts.version`."""

    @property
    def pid(self) -> int | None:
        """Root of the engine's process tree; None when it was not started here."""

    @property
    def log_path(self) -> Path | None:
        """What the engine wrote; None when it was not started here."""

    def ended(self) -> str | None:
        """None while the engine serves; else one sentence how it ended, and its last words."""

    def stop(self) -> None:
        """Ends an engine that was started here; a second call does nothing."""
