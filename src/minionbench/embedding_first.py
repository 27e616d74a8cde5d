"""Before a run: the vectors by which protocols choose chunks, made by an embedding model.

It is served, asked and ended before the engines of the run are there, so that none of it is in what
is measured; how long it took is in the document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from minionbench.deployments.deployment import Deployment
from minionbench.engines.embedding import (
    BATCH,
    Embedder,
    NoEmbeddings,
    embed,
    embedding_spec,
    open_embedder,
)
from minionbench.engines.probe import ProbeError
from minionbench.errors import DeploymentError
from minionbench.exchange import Request
from minionbench.measuring import Cell
from minionbench.protocols.nearness import ByNearness, Nearness
from minionbench.units import number_of, seconds


def check_embedders(deployments: Iterable[Deployment]) -> None:
    """Raises UsageError for an embedding model that there is not, or that runs elsewhere."""
    for protocol in map(_protocol, deployments):
        if protocol is not None and protocol.nearest is not None:
            embedding_spec(protocol.nearest.model, protocol.nearest.url)


def embed_first(
    cells: Sequence[Cell],
    deployments: Mapping[str, Deployment],
    *,
    log_folder: Path,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Has every protocol that chooses by vectors know the order of its items' chunks.

    `deployments` are those of the cells by their ids. Items whose vectors are known are left out.

    Raises DeploymentError where the embedding model cannot be served or gives no vectors.
    """
    wanted: dict[tuple[str | None, str | None], dict[int, _Wanted]] = {}
    for cell in cells:
        protocol = _protocol(deployments[cell.cell_id])
        if protocol is None or protocol.nearest is None:
            continue
        nearest = protocol.nearest
        of_model = wanted.setdefault((nearest.model, nearest.url), {})
        one = of_model.setdefault(id(protocol), _Wanted(protocol, nearest))
        one.add((*cell.requests, *cell.warmup))
    for (model, url), protocols in wanted.items():
        todo = [one for one in protocols.values() if one.requests]
        if not todo:
            continue
        items = sum(len(one.requests) for one in todo)
        say(f"embedding the documents of {number_of(items, 'item')}")
        with open_embedder(model, url, log_folder=log_folder) as embedder:
            for one in todo:
                one.embed(embedder)


class _Wanted:
    """The items of one protocol whose vectors are to be made."""

    def __init__(self, protocol: ByNearness, nearest: Nearness) -> None:
        self.requests: dict[str, Request] = {}
        self._protocol = protocol
        self._nearest = nearest

    def add(self, requests: Iterable[Request]) -> None:
        for request in requests:
            if not self._nearest.knows(request.item_id):
                self.requests.setdefault(request.item_id, request)

    def embed(self, embedder: Embedder) -> None:
        asked_ns = texts = dimensions = 0
        tokens: int | None = 0
        for request in self.requests.values():
            found = self._protocol.to_embed(request)
            if found is None:
                continue
            vectors: list[list[float]] = []
            everything = (found.query, *found.chunks)
            try:
                for start in range(0, len(everything), BATCH):
                    told = embed(embedder, everything[start : start + BATCH])
                    vectors += told.vectors
                    asked_ns += told.asked_ns
                    counted = tokens is not None and told.prompt_tokens is not None
                    tokens = (tokens or 0) + (told.prompt_tokens or 0) if counted else None
                self._nearest.learn(request.item_id, vectors[0], vectors[1:])
            except ProbeError as error:
                raise DeploymentError(
                    f"The embedding model {embedder.model} cannot be asked at "
                    f"{embedder.url.authority}: {error}. Start its server, or name another with "
                    "--embedding-url"
                ) from error
            except (NoEmbeddings, ValueError) as error:
                raise DeploymentError(
                    f"The embedding model {embedder.model} cannot be used: {error}. Take one that "
                    "is made for embeddings, or smaller chunks with --chunk-size"
                ) from error
            texts += len(everything)
            dimensions = len(vectors[0])
        self._nearest.about = {
            "model": embedder.model,
            "engine": embedder.engine,
            "measure": "cosine",
            "when": "before the run",
            "texts": texts,
            "dimensions": dimensions,
            "prompt_tokens": tokens,
            "seconds": seconds(asked_ns),
        }


def _protocol(deployment: Deployment) -> ByNearness | None:
    follows = getattr(deployment, "follows", deployment)
    return follows if isinstance(follows, ByNearness) else None
