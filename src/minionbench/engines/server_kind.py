"""Kinds of servers with OpenAI's API: how each is told from the others, and what it takes.

One table, dated. A server that none of its rows fits is `openai-compatible`, and is asked nothing
that is not in that API.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from minionbench import clock, units
from minionbench.engines.foreign import one_line
from minionbench.engines.probe import ProbeAnswer, ProbeError, ask, ask_lines
from minionbench.exchange import Manners, ReasoningSwitch, Secret
from minionbench.transport.http import Url

TABLE_DATE = "2026-11"
"""When the table was last looked through."""
PROBE_S = 5.0
"""For one question to a server."""
GONE_S = 30.0
"""Silence after which a server that has nothing else to do is taken for gone."""
MAX_VERSION = 100
UNIQUE_PREFIX = "a unique beginning of each prompt"
"""How a cache is kept cold that has no switch."""

Flush: TypeAlias = Literal["/flush_cache", "/reset_prefix_cache"]


TOKENIZE_ROUTE = "/tokenize"


class Tokenizes(NamedTuple):
    """How a kind of server is asked for the tokens of a text, by POST /tokenize."""

    text: str
    """Field that holds the text."""
    marks: str
    """Field that says whether the marks of a text's beginning and end are to be added."""


class ServerKind(NamedTuple):
    """What is known of a kind of server, as of `TABLE_DATE`."""

    name: str
    label: str
    """As its makers write it."""
    source: str
    """Where its routes and fields were read."""
    owners: tuple[str, ...] = ()
    """What it writes as `owned_by` in its list of models."""
    header: str | None = None
    """How its `Server` header begins."""
    mark: tuple[str, str] | None = None
    """(route, field): a JSON object with that field is answered there, and by no other kind. A
    field within others is written as a path."""
    version: tuple[tuple[str, str], ...] = ()
    """(route, field) of its version, newer ones first."""
    metrics: str | None = None
    """How the names of its Prometheus metrics begin; None where it has none."""
    cold_body: Mapping[str, Any] = {}
    """Field of a request that keeps its prompt out of the prefix cache."""
    flush: Flush | None = None
    """Route whose POST empties the prefix cache."""
    manners: Manners = Manners()
    tokenizes: Tokenizes | None = None
    """How its tokenizer is asked; None where that is not known of it."""


LLAMA_CPP = ServerKind(
    "llama.cpp",
    "llama.cpp's server",
    "github.com/ggml-org/llama.cpp, tools/server/README.md",
    owners=("llamacpp",),
    header="llama.cpp",
    mark=("/props", "build_info"),
    version=(("/props", "build_info"),),
    metrics="llamacpp:",
    cold_body={"cache_prompt": False},
    manners=Manners(switch="enable_thinking", logprobs=True),
    tokenizes=Tokenizes("content", "add_special"),
)
OLLAMA = ServerKind(
    "ollama",
    "Ollama, by its OpenAI routes",
    "docs.ollama.com/api/openai-compatibility",
    owners=("library",),
    mark=("/api/version", "version"),
    version=(("/api/version", "version"),),
    manners=Manners(ignores_end=False, switch="reasoning_effort"),
)
GENERIC = ServerKind(
    "openai-compatible", "a server with OpenAI's API", "platform.openai.com/docs/api-reference"
)
MLX = ServerKind(
    "mlx",
    "mlx_lm.server",
    "github.com/ml-explore/mlx-lm, mlx_lm/server.py",
    manners=Manners(ignores_end=False, schema=False, switch="enable_thinking"),
)

VLLM = ServerKind(
    "vllm",
    "vLLM",
    "docs.vllm.ai, OpenAI-compatible server and production metrics",
    owners=("vllm",),
    version=(("/version", "version"),),
    metrics="vllm:",
    flush="/reset_prefix_cache",
    manners=Manners(min_tokens_field="min_tokens", switch="enable_thinking", logprobs=True),
    tokenizes=Tokenizes("prompt", "add_special_tokens"),
)
SGLANG = ServerKind(
    "sglang",
    "SGLang",
    "docs.sglang.io, native APIs and production metrics",
    owners=("sglang",),
    mark=("/get_model_info", "model_path"),
    version=(("/server_info", "version"), ("/get_server_info", "version")),
    metrics="sglang:",
    flush="/flush_cache",
    manners=Manners(min_tokens_field="min_tokens", switch="enable_thinking"),
    tokenizes=Tokenizes("prompt", "add_special_tokens"),
)
LM_STUDIO = ServerKind(
    "lm-studio",
    "LM Studio",
    "lmstudio.ai/docs/api/rest-api",
    owners=("organization_owner",),
    mark=("/api/v0/models", "data/0/state"),
    manners=Manners(ignores_end=False),
)
TGI = ServerKind(
    "tgi",
    "Text Generation Inference",
    "huggingface.co/docs/text-generation-inference",
    mark=("/info", "max_total_tokens"),
    version=(("/info", "version"),),
    metrics="tgi_",
    manners=Manners(ignores_end=False),
)
TENSORRT_LLM = ServerKind(
    "tensorrt-llm",
    "TensorRT-LLM's trtllm-serve",
    "nvidia.github.io/TensorRT-LLM, trtllm-serve",
    owners=("tensorrt_llm",),
    version=(("/version", "version"),),
    manners=Manners(min_tokens_field="min_tokens", switch="enable_thinking"),
)

KINDS: tuple[ServerKind, ...] = (
    VLLM,
    SGLANG,
    LLAMA_CPP,
    LM_STUDIO,
    TGI,
    TENSORRT_LLM,
    OLLAMA,
    MLX,
)
"""Every kind that is told from the others, the likeliest first."""

METRICS_ROUTE = "/metrics"
_SWITCH_BY_MODEL: tuple[tuple[tuple[str, ...], ReasoningSwitch], ...] = (
    (("gpt-oss", "gpt_oss"), "reasoning_effort"),
    (("deepseek-v3.1", "deepseek-v3.2", "granite"), "template_thinking"),
)
"""Models whose chat template takes the wish to reason otherwise than Qwen3's and most do."""


class Asker:
    """Asks a server short questions, each route once, and remembers what it said."""

    def __init__(
        self,
        root: Url,
        *,
        key: Secret | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        insecure: bool = False,
    ) -> None:
        self.root = root
        self._key = key
        self._headers = headers
        self._insecure = insecure
        self._answers: dict[str, ProbeAnswer | None] = {}
        self._slow = False

    def ask(self, target: str, body: Any = None, *, timeout_s: float | None = None) -> ProbeAnswer:
        """The answer to a question that is asked anew; POST where there is a body.

        It may take `timeout_s`, or as long as a short question may. Raises ProbeError when there
        is none.
        """
        return ask(
            self.root,
            target,
            key=self._key,
            body=body,
            headers=self._headers,
            insecure=self._insecure,
            timeout_s=PROBE_S if timeout_s is None else timeout_s,
        )

    def lines(self, target: str, body: Any, *, idle_s: float) -> Iterator[bytes]:
        """The lines of the answer to a POST, as they come.

        Raises ProbeError when it ends too soon, or keeps silent for too long.
        """
        return ask_lines(
            self.root,
            target,
            body,
            key=self._key,
            headers=self._headers,
            insecure=self._insecure,
            idle_s=idle_s,
        )

    def gone(self, target: str) -> str | None:
        """Why the server answers no more; None when it does, whatever it says."""
        try:
            self.ask(target, timeout_s=GONE_S)
        except ProbeError as error:
            return str(error)
        return None

    def answer(self, route: str) -> ProbeAnswer | None:
        """The answer of a route; None where there is none of status 200.

        A server that has kept us waiting once is asked for nothing further.
        """
        if route not in self._answers:
            found = None
            if not self._slow:
                begun_ns = clock.monotonic_ns()
                with contextlib.suppress(ProbeError):
                    found = self.ask(route)
                took_s = units.seconds(clock.monotonic_ns() - begun_ns)
                self._slow = found is None and took_s >= PROBE_S
            self._answers[route] = found if found is not None and found.status == 200 else None
        return self._answers[route]

    def document(self, route: str) -> dict[str, Any]:
        """The JSON object at a route; an empty one where there is none."""
        answer = self.answer(route)
        found = answer.json() if answer is not None else None
        return found if isinstance(found, dict) else {}

    def text(self, route: str) -> str:
        """The text at a route; an empty one where there is none."""
        answer = self.answer(route)
        return "" if answer is None else answer.body.decode("utf-8", "replace")


def look(asker: Asker, listing: ProbeAnswer) -> ServerKind:
    """Recognises the kind of a server; `listing` is its answer about its models.

    By the owner that it names in the list, else by its Server header, by routes that only one kind
    has, and last by the names of its metrics.
    """
    owner = _owner(listing)
    for kind in KINDS:
        if owner is not None and owner in kind.owners:
            return kind
    header = listing.headers.get("server", "")
    for kind in KINDS:
        if kind.header is not None and header.startswith(kind.header):
            return kind
    for kind in KINDS:
        if kind.mark is not None and _has(asker.document(kind.mark[0]), kind.mark[1]):
            return kind
    for kind in KINDS:
        if has_metrics(asker, kind):
            return kind
    # mlx_lm.server has no mark of its own: the standard library's server, a bare list, a health.
    bare = owner is None and header.startswith("BaseHTTP/")
    if bare and asker.document("/health") == {"status": "ok"}:
        return MLX
    return GENERIC


def has_metrics(asker: Asker, kind: ServerKind) -> bool:
    """Whether a server gives an account of its work in the names of its kind."""
    return kind.metrics is not None and f"\n{kind.metrics}" in f"\n{asker.text(METRICS_ROUTE)}"


def version(asker: Asker, kind: ServerKind) -> str | None:
    """The server's version; None where it does not say."""
    for route, field in kind.version:
        found = asker.document(route).get(field)
        if isinstance(found, str) and found:
            return one_line(found, MAX_VERSION)
    return None


def context_tokens(asker: Asker, kind: ServerKind, model: str) -> int | None:
    """Context that a request of a model may take; None where the server does not say."""
    found: object = None
    if kind is LLAMA_CPP:
        generation = asker.document("/props").get("default_generation_settings")
        found = generation.get("n_ctx") if isinstance(generation, dict) else None
    elif kind is TGI:
        found = asker.document("/info").get("max_total_tokens")
    elif kind is LM_STUDIO:
        entries = asker.document("/api/v0/models").get("data")
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("id") == model:
                found = entry.get("loaded_context_length")
    return found if type(found) is int else None


def manners_for(kind: ServerKind, model: str, *, raw: bool) -> Manners:
    """What a model at a kind of server takes; raw prompts know no switch for reasoning."""
    return msgspec.structs.replace(
        kind.manners, switch="none" if raw else switch_for(kind, model), raw=raw
    )


def switch_for(kind: ServerKind, model: str) -> ReasoningSwitch:
    """How the wish to reason is sent to a model at a kind of server."""
    if kind.manners.switch != "enable_thinking":
        return kind.manners.switch
    name = model.lower()
    for parts, switch in _SWITCH_BY_MODEL:
        if any(part in name for part in parts):
            return switch
    return "enable_thinking"


def _has(document: object, path: str) -> bool:
    """Whether a JSON document has something at a path of names and places."""
    for step in path.split("/"):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            return False
    return True


def _owner(listing: ProbeAnswer) -> str | None:
    document = listing.json()
    entries = document.get("data") if isinstance(document, dict) else None
    first = entries[0] if isinstance(entries, list) and entries else None
    owner = first.get("owned_by") if isinstance(first, dict) else None
    return owner if isinstance(owner, str) else None
