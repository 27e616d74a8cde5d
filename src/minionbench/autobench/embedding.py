"""An embedding model in the registry: its vectors are asked for, and nothing else can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from minionbench.clock import monotonic_ns
from minionbench.engines.engine import Engine
from minionbench.engines.probe import ask
from minionbench.metrics.value import MetricValue
from minionbench.quality.embedding import embedding_score, unit_vector
from minionbench.quality.retrieval_task import RetrievalTask, passage
from minionbench.transport.http import Url
from minionbench.units import seconds

BATCH = 16
"""Texts in one question."""
ANSWER_S = 120.0
NO_TEXT = "it is an embedding model, which writes no text"
NOT_ONE = "its file does not declare it an embedding model: there is no pooling type in it"
OTHER_WAY = (
    "it is an embedding model, and this run has models rerank; `--reranking embedding` is for it"
)


class NoEmbeddings(Exception):
    """The engine gives no usable vectors; the message says why."""


class OutOfTime(Exception):
    """The model's time was up; the message says why."""


def retrieval_by_embeddings(
    engine: Engine, task: RetrievalTask, seed: int, why_end: Callable[[], str | None]
) -> MetricValue:
    """The retrieval score of a model whose engine gives vectors of texts.

    Queries and documents are embedded as they are, without words of instruction.

    Raises NoEmbeddings when the engine gives none, OutOfTime when `why_end` says so, ProbeError
    when it does not answer.
    """
    asked = _Asked(engine, why_end)
    documents = asked.vectors({n: passage(text) for n, text in task.corpus.documents.items()})
    queries = asked.vectors({one.query_id: one.query for one in task.queries})
    spent = {
        "requests": asked.requests,
        "prompt_tokens": None if None in asked.tokens else sum(n or 0 for n in asked.tokens),
        "seconds": seconds(asked.ns),
    }
    try:
        return embedding_score(task, documents, queries, spent=spent, seed=seed)
    except ValueError as odd:
        raise NoEmbeddings(f"the engine's vectors cannot be compared: {odd}") from odd


class _Embedding(msgspec.Struct):
    index: int
    embedding: list[float]


class _Embeddings(msgspec.Struct):
    """The answer of `/embeddings`."""

    data: list[_Embedding]
    usage: dict[str, Any] = {}


_decode = msgspec.json.Decoder(_Embeddings).decode


class _Asked:
    """An engine that is asked for vectors."""

    def __init__(self, engine: Engine, why_end: Callable[[], str | None]) -> None:
        self.engine = engine
        self.requests = 0
        self.tokens: list[int | None] = []
        """Of each request; None where it came without a count."""
        self.ns = 0
        self._why_end = why_end

    def vectors(self, texts: Mapping[str, str]) -> dict[str, list[float]]:
        """The vector of each text, of length 1."""
        found: dict[str, list[float]] = {}
        names = list(texts)
        for start in range(0, len(names), BATCH):
            batch = names[start : start + BATCH]
            found.update(zip(batch, self._batch([texts[n] for n in batch]), strict=True))
        return found

    def _batch(self, texts: Sequence[str]) -> list[list[float]]:
        why = self._why_end()
        if why is not None:
            raise OutOfTime(why)
        endpoint = self.engine.endpoint
        body = {"model": endpoint.model, "input": list(texts)}
        start_ns = monotonic_ns()
        url = Url(endpoint.base_url)
        answer = ask(url, "/embeddings", key=endpoint.key, body=body, timeout_s=ANSWER_S)
        self.ns += monotonic_ns() - start_ns
        self.requests += 1
        if answer.status != 200:
            raise NoEmbeddings(f"the engine gives no vectors: {answer.complaint()}")
        try:
            told = _decode(answer.body)
            data = sorted(told.data, key=lambda one: one.index)
            vectors = [unit_vector(one.embedding) for one in data]
        except (msgspec.MsgspecError, ValueError) as odd:
            raise NoEmbeddings(f"the engine's vectors are not understood: {odd}") from odd
        if [one.index for one in data] != list(range(len(texts))):
            raise NoEmbeddings(f"{len(data)} vectors came for {len(texts)} texts")
        count = told.usage.get("prompt_tokens")
        self.tokens.append(count if isinstance(count, int) else None)
        return vectors
