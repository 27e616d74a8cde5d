"""Which chunks of a document are nearest to a task, by the vectors of an embedding model.

A protocol asks nobody: the vectors are made before the run, and what a protocol has of them are the
places of the chunks, nearest first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul
from typing import Any, NamedTuple, Protocol, runtime_checkable

from minionbench.errors import UsageError
from minionbench.exchange import Request
from minionbench.quality.embedding import unit_vector

BM25, EMBEDDING = "bm25", "embedding"
"""By what chunks are chosen, as a document names it."""


class Texts(NamedTuple):
    """What is to be embedded for a request."""

    query: str
    chunks: tuple[str, ...]


class Nearness:
    """The order of every document's chunks by an embedding model."""

    def __init__(self, model: str | None, url: str | None) -> None:
        """`model` is `provider/model`, or the name at the server whose `url` is given."""
        self.model = model
        self.url = url
        self.about: dict[str, Any] = {}
        """What a document has to say of the vectors, once they are made."""
        self._orders: dict[str, tuple[int, ...]] = {}

    @classmethod
    def of(cls, model: str | None, url: str | None) -> Nearness | None:
        """The order by a model that was named; None where none was."""
        return None if model is None and url is None else cls(model, url)

    def learn(
        self, item_id: str, query: Sequence[float], chunks: Sequence[Sequence[float]]
    ) -> None:
        """Takes in the vectors of an item; of equal cosines the earlier chunk is the nearer one.

        Raises ValueError for vectors that cannot be compared.
        """
        if any(len(chunk) != len(query) for chunk in chunks):
            raise ValueError("vectors of different lengths")
        direction = unit_vector(query)
        cosines = [math.fsum(map(mul, direction, unit_vector(chunk))) for chunk in chunks]
        self._orders[item_id] = tuple(
            sorted(range(len(cosines)), key=lambda place: (-cosines[place], place))
        )

    def knows(self, item_id: str) -> bool:
        """Whether an item's vectors were taken in."""
        return item_id in self._orders

    def top(self, item_id: str, k: int) -> list[int]:
        """Places of the k nearest chunks of an item's document, nearest first.

        Raises UsageError for an item whose vectors were not made.
        """
        if item_id not in self._orders:
            raise UsageError(
                f"The vectors of {item_id!a} were not made: a run makes them before it begins; "
                "who drives the protocol by hand calls `learn`"
            )
        return list(self._orders[item_id][:k])

    @property
    def settings(self) -> dict[str, Any]:
        """What a document has to say of how chunks are chosen."""
        return {"model": self.model, **self.about}


def chosen_by(nearest: Nearness | None) -> dict[str, Any]:
    """By what chunks are chosen, as a document has it."""
    if nearest is None:
        return {"chosen_by": BM25}
    return {"chosen_by": EMBEDDING, "embedding": nearest.settings}


@runtime_checkable
class ByNearness(Protocol):
    """A protocol that may choose chunks by vectors."""

    nearest: Nearness | None
    """None where it chooses by BM25."""

    def to_embed(self, request: Request) -> Texts | None:
        """What is to be embedded for a request; None for one without a document."""
        ...
