"""An embedding model in the registry: its vectors are asked for, and nothing else can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from minionbench.engines.embedding import BATCH, Embedder, embed
from minionbench.engines.embedding import NoEmbeddings as NoEmbeddings
from minionbench.engines.engine import Engine
from minionbench.metrics.value import MetricValue
from minionbench.quality.embedding import embedding_score, unit_vector
from minionbench.quality.retrieval_task import RetrievalTask, passage
from minionbench.units import seconds

NO_TEXT = "it is an embedding model, which writes no text"
NOT_ONE = "its file does not declare it an embedding model: there is no pooling type in it"
OTHER_WAY = (
    "it is an embedding model, and this run has models rerank; `--reranking embedding` is for it"
)


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


class _Asked:
    """An engine that is asked for vectors."""

    def __init__(self, engine: Engine, why_end: Callable[[], str | None]) -> None:
        self.embedder = Embedder.of(engine.endpoint, engine.name)
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
        told = embed(self.embedder, texts)
        self.ns += told.asked_ns
        self.requests += 1
        self.tokens.append(told.prompt_tokens)
        try:
            return [unit_vector(vector) for vector in told.vectors]
        except ValueError as odd:
            raise NoEmbeddings(f"the engine's vectors are not understood: {odd}") from odd
