"""What a model is given to rank: for each query the first stage's candidates, in shuffled order.

The first stage is BM25 over the corpus. Its order is hidden by a shuffle, since a model that just
keeps the order it is shown would otherwise be paid for the first stage's work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from minionbench.bm25 import Bm25
from minionbench.errors import UsageError
from minionbench.exchange import Message, Request
from minionbench.quality.corpus import Corpus
from minionbench.quality.prompts import ranking_prompt
from minionbench.units import number_of
from minionbench.workloads.draws import Draws
from minionbench.workloads.tokenizer import reference_tokenizer
from minionbench.workloads.workload import answer_limits

DEPTH = 12
"""Candidates per query. The built-in corpus needs no more: all that is relevant is among them."""

PASSAGE_WORDS = 300
"""Words of a document that a model is shown, as in RankGPT."""

MAX_OUTPUT_TOKENS = 256
"""Generous for an order of 20 passages."""


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """One query with the documents that a model is to rank."""

    query_id: str
    query: str
    first_stage: tuple[str, ...]
    """Document ids in BM25's order, best first."""
    shown: tuple[str, ...]
    """The same ids in the order in which the model is shown them."""


class RetrievalTask(msgspec.Struct, frozen=True, kw_only=True):
    """A corpus with the candidates of each of its queries."""

    corpus: Corpus
    depth: int
    seed: int
    """Seed of the shuffle, and of the choice of queries where not all are asked."""
    queries: tuple[Candidates, ...]

    def item_id(self, candidates: Candidates) -> str:
        """Id of a query's request: the same id is the same passages in the same order."""
        return f"{self.corpus.key}/{self.depth}/{self.seed}/{candidates.query_id}"

    def requests(self, *, max_output_tokens: int = MAX_OUTPUT_TOKENS) -> Iterator[Request]:
        """One request per query, for a `ListwiseReranker` or a `PointwiseReranker`.

        Its `question` is the query, its `document` the passages in the order shown, one per line.
        """
        limits = answer_limits(max_output_tokens, None, self.seed)
        count = reference_tokenizer().count
        for candidates in self.queries:
            passages = [passage(self.corpus.documents[shown]) for shown in candidates.shown]
            prompt = ranking_prompt(candidates.query, passages)
            yield Request(
                item_id=self.item_id(candidates),
                messages=(Message("user", prompt),),
                limits=limits,
                source=self.corpus.source,
                input_tokens=count(prompt),
                document="\n".join(passages),
                question=candidates.query,
            )


def retrieval_task(
    corpus: Corpus, *, depth: int = DEPTH, seed: int = 0, queries: int | None = None
) -> RetrievalTask:
    """The candidates of a corpus's queries; `queries` asks so many of them, drawn by the seed.

    Every query has `depth` candidates, or all documents where there are fewer: documents that
    share no word with the query follow those that do, in random order.

    Raises:
        UsageError: fewer than 2 candidates, or no query.
    """
    if min(depth, len(corpus.documents)) < 2:
        raise UsageError(
            f"{number_of(min(depth, len(corpus.documents)), 'candidate')} per query cannot be "
            "ranked; the depth and the number of documents must be 2 or more."
        )
    if queries is not None and queries < 1:
        raise UsageError(f"{queries} queries were asked for; the number must be 1 or more.")
    ids = list(corpus.documents)
    index = Bm25(corpus.documents.values())
    asked: Sequence[str] = list(corpus.queries)
    if queries is not None and queries < len(asked):
        chosen = set(Draws(f"queries/{seed}").some(asked, queries))
        asked = [query for query in asked if query in chosen]
    return RetrievalTask(
        corpus=corpus,
        depth=depth,
        seed=seed,
        queries=tuple(
            _candidates(query, corpus.queries[query], index, ids, depth, seed) for query in asked
        ),
    )


def _candidates(
    query_id: str, query: str, index: Bm25, ids: Sequence[str], depth: int, seed: int
) -> Candidates:
    draws = Draws(f"candidates/{seed}/{query_id}")
    found = [ids[place] for place in index.top(query, depth)]
    if len(found) < min(depth, len(ids)):
        known = set(found)
        others = [document for document in ids if document not in known]
        found += draws.some(others, depth - len(found))
    return Candidates(
        query_id=query_id,
        query=query,
        first_stage=tuple(found),
        shown=tuple(draws.shuffled(found)),
    )


def passage(text: str) -> str:
    """A document as a model is shown it: one line of at most so many words."""
    return " ".join(text.split()[:PASSAGE_WORDS])
