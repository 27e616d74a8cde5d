"""The order of chunks by vectors: worked out by hand, and held to its definition."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.protocols.chunking import Chunking
from minionbench.protocols.minions import MinionS
from minionbench.protocols.nearness import ByNearness, Nearness, Texts
from minionbench.protocols.retrieval_augmented import RetrievalAugmented
from tests.protocols.driving import request

VECTORS = st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=3, max_size=3).filter(
    lambda v: math.hypot(*v) > 1e-3
)


def learned(query: list[float], *chunks: list[float]) -> Nearness:
    nearest = Nearness("m", None)
    nearest.learn("item/0", query, chunks)
    return nearest


def test_the_nearest_by_angle_comes_first_whatever_its_length() -> None:
    nearest = learned([1, 0], [0, 9], [5, 5], [0.1, 0.01], [-1, 0])
    assert nearest.top("item/0", 9) == [2, 1, 0, 3]
    assert nearest.top("item/0", 2) == [2, 1]


def test_of_equally_near_ones_the_earlier_comes_first() -> None:
    assert learned([1, 0], [0, 1], [2, 0], [3, 0]).top("item/0", 3) == [1, 2, 0]


@given(VECTORS, st.lists(VECTORS, min_size=1, max_size=6), st.integers(1, 8))
def test_an_order_has_each_place_once_with_falling_cosines(
    query: list[float], chunks: list[list[float]], k: int
) -> None:
    order = learned(query, *chunks).top("item/0", len(chunks))
    assert sorted(order) == list(range(len(chunks)))
    cosines = [
        sum(a * b for a, b in zip(query, chunk, strict=True))
        / math.hypot(*query)
        / math.hypot(*chunk)
        for chunk in (chunks[place] for place in order)
    ]
    assert all(a >= b - 1e-9 for a, b in pairwise(cosines))
    assert learned(query, *chunks).top("item/0", k) == order[:k]


@pytest.mark.parametrize(
    "chunks", [[[1.0]], [[1.0, 2.0, 3.0]], [[0.0, 0.0]], [[math.nan, 1.0]], [[math.inf, 1.0]]]
)
def test_vectors_that_cannot_be_compared_are_refused(chunks: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="vector"):
        learned([1.0, 1.0], *chunks)


def test_an_item_whose_vectors_were_not_made_is_told_of() -> None:
    nearest = learned([1, 0], [1, 0])
    assert nearest.knows("item/0") and not nearest.knows("item/1")
    with pytest.raises(UsageError, match="'item/1' were not made"):
        nearest.top("item/1", 1)


DOCUMENT = "".join(f"Chunk {place}: {'x' * 120}\n\n" for place in range(4))


@pytest.mark.parametrize("protocol", [MinionS, RetrievalAugmented])
def test_a_protocol_says_what_is_to_be_embedded(protocol: type[MinionS]) -> None:
    settings = {"preselect": 2} if protocol is MinionS else {"k": 2}
    one = protocol(chunking=Chunking("paragraph", 150), embedding_model="m", **settings)  # type: ignore[arg-type]
    assert isinstance(one, ByNearness) and one.nearest is not None
    found = one.to_embed(request("What is it?", DOCUMENT))
    assert isinstance(found, Texts)
    assert "What is it?" in found.query
    assert [chunk[:8] for chunk in found.chunks] == [f"Chunk {n}:" for n in range(4)]
    assert one.to_embed(request("What is it?", None)) is None
    assert one.settings["chosen_by"] == "embedding"
    assert one.settings["embedding"] == {"model": "m"}


def test_minions_gives_the_nearest_chunks_to_its_workers_in_the_documents_order() -> None:
    protocol = MinionS(
        chunking=Chunking("paragraph", 150), preselect=2, embedding_model="m", max_rounds=1
    )
    assert protocol.nearest is not None
    protocol.nearest.learn("item/0", [1, 0], [[0, 1], [1, 0.5], [0, 1], [1, 0]])
    prompts = minions_prompts(protocol)
    assert [place for place in range(4) if f"Chunk {place}:" in prompts] == [1, 3]
    assert prompts.index("Chunk 1:") < prompts.index("Chunk 3:")


def minions_prompts(protocol: MinionS) -> str:
    """What the workers are shown, one after the other."""
    from tests.protocols.driving import drive, said, scripted

    plan = {"tasks": [{"task": "look", "advice": None, "chunks": {"kind": "all"}}]}
    settled = {
        "explanation": "",
        "decision": "provide_final_answer",
        "answer": "7",
        "feedback": None,
        "scratchpad": None,
    }
    nothing = said({"explanation": "", "citation": None, "answer": "7"})
    _, batches = drive(
        protocol.plan(request("What is it?", DOCUMENT)),
        scripted("look well", plan, settled),
        lambda call: nothing,
    )
    return "\n".join(
        message.content
        for batch in batches
        for call in batch
        if call.role == "worker"
        for message in call.messages
    )


def test_the_remote_model_sees_the_nearest_chunks() -> None:
    protocol = RetrievalAugmented(k=1, chunking=Chunking("paragraph", 150), embedding_model="m")
    assert protocol.nearest is not None
    protocol.nearest.learn("item/0", [1, 0], [[0, 1], [0, 1], [1, 0], [0, 1]])
    (call,) = next(protocol.plan(request("What is it?", DOCUMENT)))
    shown = "".join(message.content for message in call.messages)
    assert [place for place in range(4) if f"Chunk {place}:" in shown] == [2]


def test_without_an_embedding_model_chunks_are_chosen_by_words() -> None:
    assert MinionS(preselect=3).settings["chosen_by"] == "bm25"
    assert RetrievalAugmented().settings["chosen_by"] == "bm25"
    assert "chosen_by" not in MinionS().settings


def test_an_embedding_model_without_a_number_of_chunks_does_nothing_and_is_refused() -> None:
    with pytest.raises(UsageError, match="--preselect K"):
        MinionS(embedding_model="ollama/nomic-embed-text")
