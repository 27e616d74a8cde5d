"""The retrieval score of an embedding model: every document ranked by its vector's cosine.

Nothing is reranked: the model itself finds the documents, so that there is no first stage and no
ceiling but 100. This is another measurement than reranking, and never compared with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import mul
from typing import Any

from minionbench.metrics.value import MetricValue, estimated, interval
from minionbench.quality.bootstrap import mean_estimate, percent
from minionbench.quality.ranking import by_score
from minionbench.quality.retrieval_score import MEASURES, METRIC
from minionbench.quality.retrieval_task import RetrievalTask
from minionbench.stats import LEVEL

MODE = "embedding"
DEEPEST = 100
"""Ranks that the measures look at."""


def unit_vector(vector: Sequence[float]) -> list[float]:
    """A vector brought to length 1, so that a product of two is their cosine.

    Raises ValueError for one without a direction: of length 0, or not of finite numbers.
    """
    length = math.hypot(*vector)
    if not 0 < length < math.inf:
        raise ValueError("a vector without a direction")
    return [value / length for value in vector]


def embedding_score(
    task: RetrievalTask,
    documents: Mapping[str, Sequence[float]],
    queries: Mapping[str, Sequence[float]],
    *,
    spent: Mapping[str, Any],
    seed: int = 0,
    level: float = LEVEL,
) -> MetricValue:
    """100 × the mean nDCG@10 over queries, each ranking all documents by cosine.

    `documents` and `queries` are vectors of length 1 by id; `spent` is what they took. Of equal
    cosines the document's id decides, as `by_score` says.

    Raises ValueError when a vector is lacking, or their lengths differ.
    """
    corpus = task.corpus
    asked = [candidates.query_id for candidates in task.queries]
    if documents.keys() != corpus.documents.keys() or not queries.keys() >= set(asked):
        raise ValueError("each document and each query needs a vector")
    if len({len(vector) for vector in (*documents.values(), *queries.values())}) != 1:
        raise ValueError("they are not all of the same length")
    rankings = {
        query: by_score(
            {name: math.fsum(map(mul, queries[query], v)) for name, v in documents.items()}
        )[:DEEPEST]
        for query in asked
    }
    estimates = {
        name: percent(
            mean_estimate(
                [measure(rankings[query], corpus.judgements[query]) for query in asked],
                "queries",
                seed=seed,
                level=level,
            )
        )
        for name, measure in MEASURES.items()
    }
    return estimated(
        METRIC,
        estimates["ndcg_at_10"],
        method="mean over queries of nDCG@10, linear gain, ideal of all judged documents",
        settings={"mode": MODE, "ranked": "all documents, by cosine"},
        corpus=corpus.source,
        documents=len(corpus.documents),
        left_out=dict(corpus.left_out),
        measures={
            name: {"value": estimate.point, "interval": interval(estimate)}
            for name, estimate in estimates.items()
        },
        dimensions=len(next(iter(documents.values()))),
        spent=dict(spent),
    )
