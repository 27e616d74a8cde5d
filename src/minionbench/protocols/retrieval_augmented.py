"""Retrieval-augmented generation: the remote model sees the chunks that fit the question best.

The protocol baseline between remote-only, which sends the whole document, and the hybrid ones.
"""

from __future__ import annotations

from typing import Any

import msgspec

from minionbench.bm25 import Bm25
from minionbench.deployments.deployment import ask_once
from minionbench.errors import UsageError
from minionbench.exchange import Message, Plan, Request, Side
from minionbench.protocols import prompts
from minionbench.protocols.chunking import Chunking, chunks
from minionbench.protocols.nearness import Nearness, Texts, chosen_by


class RetrievalAugmented:
    """One call to the remote model, with the `k` best chunks in the document's order, by BM25 or by
    an embedding model.

    A request without a document is asked as it stands.
    """

    name = "remote"
    protocol = "rag"
    sides: tuple[Side, ...] = ("remote",)
    asks_once = True
    prepares = True

    def __init__(
        self,
        *,
        k: int = 5,
        chunking: Chunking | None = None,
        embedding_model: str | None = None,
        embedding_url: str | None = None,
    ) -> None:
        """With an embedding model the chunks are those whose vectors are nearest to the question's.

        Raises UsageError where no chunk would be sent.
        """
        if k < 1:
            raise UsageError(f"Retrieval takes at least 1 chunk, not {k}")
        self.nearest = Nearness.of(embedding_model, embedding_url)
        self.k = k
        self.chunking = chunking or Chunking("paragraph", 1_500)

    @property
    def settings(self) -> dict[str, Any]:
        """What a document has to say of how the protocol ran."""
        return {
            "protocol": self.protocol,
            "k": self.k,
            **chosen_by(self.nearest),
            "chunking": msgspec.to_builtins(self.chunking),
        }

    def context_tokens(self, side: Side, request: Request) -> tuple[int, int]:
        """What its call needs; no call takes more."""
        answer = request.limits.max_output_tokens or 0
        found = min(prompts.most_tokens(self.k * self.chunking.size), request.input_tokens)
        needed = found + prompts.WORDS_TOKENS + answer
        return needed, needed

    def to_embed(self, request: Request) -> Texts | None:
        """The question and the chunks of the document."""
        found = chunks(request.document or "", self.chunking)
        return Texts(request.question, found) if found and request.question is not None else None

    def plan(self, request: Request) -> Plan:
        """Retrieves, then asks once."""
        if request.document is None or request.question is None:
            return ask_once("remote", request)
        found = chunks(request.document, self.chunking)
        if self.nearest is None or not found:
            places = sorted(Bm25(found).top(request.question, self.k))
        else:
            places = sorted(self.nearest.top(request.item_id, self.k))
        prompt = prompts.retrieved_prompt([found[place] for place in places], request.question)
        system = tuple(m for m in request.messages if m.role == "system")
        asked = msgspec.structs.replace(request, messages=(*system, Message("user", prompt)))
        return ask_once("remote", asked)
