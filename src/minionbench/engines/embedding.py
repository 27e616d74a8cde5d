"""Vectors of texts: asked of a server with OpenAI's `/embeddings` or Ollama's `/api/embed`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from minionbench.clock import monotonic_ns
from minionbench.engines.catalog import ModelSpec
from minionbench.engines.engine import EngineSettings
from minionbench.engines.ollama_server import ollama_address
from minionbench.engines.probe import ask
from minionbench.engines.server_list import choose_model, find_server
from minionbench.errors import UsageError
from minionbench.exchange import Endpoint, Secret
from minionbench.transport.http import Url

BATCH = 16
"""Texts in one question."""
ANSWER_S = 120.0


class NoEmbeddings(Exception):
    """The server gives no usable vectors; the message says why."""


class Vectors(NamedTuple):
    """The vectors of some texts, in their order, as the server gave them."""

    vectors: list[list[float]]
    prompt_tokens: int | None
    """As the server counted them; None where it did not."""
    asked_ns: int
    """How long the server took."""


class Embedder(NamedTuple):
    """A server that gives vectors."""

    url: Url
    model: str
    """Its name there."""
    engine: str
    """Who serves it: `xllamacpp`, `ollama`, or `openai-compatible`."""
    key: Secret | None = None

    @classmethod
    def of(cls, endpoint: Endpoint, engine: str) -> Embedder:
        """The embedder behind an endpoint with OpenAI's API."""
        return cls(Url(endpoint.base_url), endpoint.model, engine, endpoint.key)


class _Embedding(msgspec.Struct):
    index: int
    embedding: list[float]


class _Embeddings(msgspec.Struct):
    """The answer of `/embeddings`."""

    data: list[_Embedding]
    usage: dict[str, Any] = {}


class _Embedded(msgspec.Struct):
    """The answer of `/api/embed`."""

    embeddings: list[list[float]]
    prompt_eval_count: int | None = None


_decode_openai = msgspec.json.Decoder(_Embeddings).decode
_decode_ollama = msgspec.json.Decoder(_Embedded).decode


def embed(embedder: Embedder, texts: Sequence[str], *, timeout_s: float = ANSWER_S) -> Vectors:
    """The vectors of at most a `BATCH` of texts, by one question.

    Raises NoEmbeddings when they are not given, ProbeError when the server does not answer.
    """
    body: dict[str, Any] = {"model": embedder.model, "input": list(texts)}
    ollama = embedder.engine == "ollama"
    if ollama:
        # A text longer than the context is an error, not one whose end nobody sees.
        body["truncate"] = False
    start_ns = monotonic_ns()
    route = "/api/embed" if ollama else "/embeddings"
    answer = ask(embedder.url, route, key=embedder.key, body=body, timeout_s=timeout_s)
    asked_ns = monotonic_ns() - start_ns
    if answer.status != 200:
        raise NoEmbeddings(f"the engine gives no vectors: {answer.complaint()}")
    try:
        vectors, count = (_read_ollama if ollama else _read_openai)(answer.body, len(texts))
    except msgspec.MsgspecError as odd:
        raise NoEmbeddings(f"the engine's vectors are not understood: {odd}") from odd
    return Vectors(vectors, count, asked_ns)


def _read_openai(body: bytes, texts: int) -> tuple[list[list[float]], int | None]:
    told = _decode_openai(body)
    data = sorted(told.data, key=lambda one: one.index)
    if [one.index for one in data] != list(range(texts)):
        raise NoEmbeddings(f"{len(data)} vectors came for {texts} texts")
    count = told.usage.get("prompt_tokens")
    return [one.embedding for one in data], count if isinstance(count, int) else None


def _read_ollama(body: bytes, texts: int) -> tuple[list[list[float]], int | None]:
    told = _decode_ollama(body)
    if len(told.embeddings) != texts:
        raise NoEmbeddings(f"{len(told.embeddings)} vectors came for {texts} texts")
    return told.embeddings, told.prompt_eval_count


def embedding_spec(model: str | None, url: str | None) -> ModelSpec:
    """The embedding model that a user names, on this machine or at the user's own server.

    Raises UsageError for a provider's model, since texts would leave the machine.
    """
    spec = ModelSpec.parse(model, url=url)
    if spec.remote:
        raise UsageError(
            f"{spec.text} is a provider's model: the document would leave this machine. Take an "
            "embedding model that runs here, as ollama/nomic-embed-text or llamacpp/PATH.gguf"
        )
    return spec


@contextmanager
def open_embedder(
    model: str | None,
    url: str | None,
    *,
    log_folder: Path,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Embedder]:
    """A server of an embedding model; one that was started here ends with the block.

    Raises:
        UsageError: a provider's model, or a file that is not there.
        DeploymentError: no such server or model, or an engine that cannot be started.
    """
    spec = embedding_spec(model, url)
    if url is not None:
        settings = EngineSettings()
        server = find_server(url, None, settings)
        chosen = choose_model(server, spec.name)
        yield Embedder(Url(server.base_url), chosen, "openai-compatible")
        return
    if spec.file is None:
        yield Embedder(Url(ollama_address(environment)), spec.name or "", "ollama")
        return
    from minionbench.engines.llamacpp import start

    name = spec.text if spec.provider == "reference" else spec.file.stem
    engine = start(spec.file, name, EngineSettings(embeddings=True), log_folder=log_folder)
    try:
        yield Embedder.of(engine.endpoint, engine.name)
    finally:
        engine.stop()
