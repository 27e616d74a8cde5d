"""The retrieval-augmented baseline."""

from __future__ import annotations

import pytest

from minionbench.errors import UsageError
from minionbench.protocols.chunking import Chunking
from minionbench.protocols.retrieval_augmented import RetrievalAugmented
from tests.protocols.driving import drive, request, scripted

DOCUMENT = "\f".join(f"Page {n}: item{n} is {n * 11}." for n in range(5))


def test_the_remote_sees_the_best_chunks_in_the_documents_order() -> None:
    protocol = RetrievalAugmented(k=2, chunking=Chunking("page"))
    answer, batches = drive(
        protocol.plan(request("What are item4 and item1?", DOCUMENT)), scripted(), scripted("44")
    )
    ((call,),) = batches
    assert call.side == "remote"
    content = call.messages[-1].content
    assert content.index("item1 is 11") < content.index("item4 is 44")
    assert "item2" not in content
    assert content.endswith("What are item4 and item1?")
    assert answer.text == "44"


def test_a_question_without_a_document_is_asked_as_it_stands() -> None:
    asked = request("2 + 2?", None)
    _, batches = drive(RetrievalAugmented().plan(asked), scripted(), scripted("4"))
    assert batches[0][0].messages == asked.messages


def test_no_chunk_is_no_retrieval() -> None:
    with pytest.raises(UsageError):
        RetrievalAugmented(k=0)
