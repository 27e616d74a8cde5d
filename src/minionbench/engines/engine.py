"""What an engine is to the rest of the program: an endpoint, facts about it, and an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from minionbench.engines.gguf import GgufInfo
from minionbench.engines.keys import KeyReference
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Endpoint, Reasoning, Timeouts

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
    key_from: str | None = None
    """Reference to the server's key, as `engines.keys` reads it: `env:NAME`, `file:PATH`,
    `keyring:SERVICE/USER`."""
    dialect: str | None = None
    """Wire protocol to speak where a provider speaks several; None for the provider's first."""
    remote: bool = False
    """Whether the server is somebody else's machine."""
    insecure: bool = False
    """Whether a certificate that cannot be verified is taken."""
    memory_limit_bytes: int | None = None
    """Memory of its own that an embedded engine may take; None for no limit. The model's file,
    which the kernel can drop from memory at any time, is not part of it."""
    adapter: Path | None = None
    """LoRA adapter, a GGUF file, that an embedded engine puts over the model."""
    embeddings: bool = False
    """Whether an embedded engine is to give vectors of texts."""
    start_timeout_s: float = 300.0
    """How long an embedded engine may take until it answers."""
    timeouts: Timeouts | None = None
    """Of the measured calls; None for the defaults."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every measured request."""
    extra_body: dict[str, Any] = {}
    """Merged into the JSON of every measured request."""
    needed_tokens: int | None = None
    """What the longest request takes with its answer, by the reference tokenizer; None where that
    is not known. Other tokenizers need fewer."""
    useful_tokens: int | None = None
    """What a request may take in the course of a protocol, where that is more than it needs: an
    embedded engine gives as much of it as the model has."""
    raw: bool = False
    """Whether prompts go as plain text, without the chat template of the model."""
    pull: bool = False
    """Whether a model that Ollama lacks is fetched."""
    fresh: bool = False
    """Whether Ollama is to load the model anew."""
    ollama_host: str | None = None
    """Address of the Ollama server; None for the one that `OLLAMA_HOST` names."""

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
        if self.key_from is not None and self.api_key_env is not None:
            raise UsageError("--key-from and --api-key-env both say where the key is; give one")
        self.key_reference  # noqa: B018 - what is no reference, perhaps a key, goes no further

    @property
    def key_reference(self) -> KeyReference | None:
        """Where the server's key is; None where the user did not say.

        Raises UsageError for what is no reference; the message does not repeat it.
        """
        if self.key_from is not None:
            return KeyReference.parse(self.key_from)
        if self.api_key_env is not None:
            return KeyReference.of_variable(self.api_key_env)
        return None


def _check_range(name: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise UsageError(f"{name} is {value}; it has to be from {low} to {high}")


class HeldMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of an accelerator that a model takes at a server, as the server itself reckons."""

    vram_bytes: int
    total_bytes: int | None = None
    """With what is held in main memory; None where the server does not say."""
    method: str
    """How it is known, as a reader of the result is told."""


class EngineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an engine that serves; None where it cannot be known."""

    name: str
    """`xllamacpp`, `ollama`, `vllm`, … or `openai-compatible` where the server does not say."""
    version: str | None = None
    """As `2026.10.11549 (llama.cpp b11549)`."""
    embedded: bool
    """Whether the harness started it."""
    remote: bool = False
    """Whether it is somebody else's machine, of which nothing can be measured but its answers."""
    base_url: str | None = None
    """Address of a remote server."""
    dialect: str | None = None
    """Wire protocol that a remote server is spoken to in."""
    insecure: bool = False
    """Whether its certificate is taken unverified."""
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
    cold_by: str | None = None
    """How each prompt is kept from finding itself in a cache; None where it is not."""
    template_tokens: int | None = None
    """Tokens of a prompt of one word: no more than those are added by the chat template."""
    quantization: str | None = None
    """Weight format as a server says it, where there is no local file."""
    parameter_count: int | None = None
    """Weights as a server counts them, where there is no local file."""
    file_size_bytes: int | None = None
    """Of the model at a server, where there is no local file."""
    load_s: float | None = None
    """Loading the model, as seen from inside the engine."""
    start_s: float | None = None
    """From the start of the process to the end of the warm-up request."""
    notes: tuple[str, ...] = ()
    """What a reader of the result has to know about this engine, one sentence each."""


class Engine:
    """A server with the model loaded, reached through `endpoint`.

    What a kind of engine cannot do, or does not know, is as it stands here: it does nothing, and
    says that it does not know.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        facts: EngineFacts,
        *,
        pid: int | None = None,
        log_path: Path | None = None,
    ) -> None:
        self.endpoint = endpoint
        """Where and how to send calls."""
        self.facts = facts
        """What the run document says of the engine."""
        self.pid = pid
        """Root of the engine's process tree; None when it was not started here."""
        self.log_path = log_path
        """What the engine wrote; None when it was not started here."""

    @property
    def name(self) -> str:
        """`facts.name`."""
        return self.facts.name

    @property
    def version(self) -> str | None:
        """`facts.version`."""
        return self.facts.version

    def ended(self) -> str | None:
        """None while the engine serves; else one sentence how it ended, and its last words."""
        return None

    def stop(self) -> None:
        """Ends what was started here; a second call does nothing."""

    def set_reasoning(self, reasoning: Reasoning) -> None:
        """Has the model reason, or not, in every call from now on.

        Where there is no switch, "off" is taken: the replies show whether it held.

        Raises:
            DeploymentError: the model is to reason, and cannot be told to.
        """
        if reasoning.on and self.endpoint.manners.switch == "none":
            raise DeploymentError(
                f"Reasoning cannot be switched on for {self.facts.model} at {self.facts.name}; "
                "leave out --reasoning to take the model's own default"
            )
        self.endpoint.reasoning = reasoning

    def forget_prompts(self) -> str | None:
        """Empties the prefix cache, where that is how it is kept cold; called before each phase.

        Why it could not be emptied; None when it was, or did not have to be.
        """
        return None

    def metrics_page(self) -> str | None:
        """The server's own account of its work so far, in Prometheus' form; None without one."""
        return None

    def count_tokens(self, text: str) -> int | None:
        """How many tokens a text has by the model's own tokenizer, without marks of beginning or
        end; None where the server cannot be asked."""
        return None

    def held_memory(self) -> HeldMemory | None:
        """What the server says that it holds in an accelerator; None where it does not say."""
        return None
