"""Measures of a ranking against graded judgements, as trec_eval defines them.

A ranking is document ids, best first; judgements map document ids to grades, and a grade of 1 or
more is relevant. A document that was not judged counts as not relevant. Every measure is between
0 and 1, and 0 for a query without a relevant document or with an empty ranking.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

RELEVANT = 1
"""The lowest grade of a relevant document."""


def by_score(scores: Mapping[str, float]) -> list[str]:
    """Document ids by falling score; of equal score the id that sorts last comes first.

    That order of ties is trec_eval's. It says nothing of relevance, and is the same everywhere.
    """
    return sorted(sorted(scores, reverse=True), key=lambda document: -scores[document])


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """Normalised discounted cumulative gain of the first k.

    Formula: DCG = Σ gradeᵢ/log₂(i + 1) over ranks i = 1 … k, divided by the DCG of the best
    ranking of all judged documents, whether they could be found or not. The gain is linear.

    Source: Järvelin and Kekäläinen, ACM TOIS 20 (2002); trec_eval's `ndcg_cut`.
    """
    ideal = _dcg(sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:k])
    if not ideal:
        return 0.0
    return _dcg([max(0, grades.get(document, 0)) for document in ranking[:k]]) / ideal


def recall(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """Share of all relevant documents that is among the first k."""
    relevant = _relevant(grades)
    if not relevant:
        return 0.0
    return sum(document in relevant for document in ranking[:k]) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """1/rank of the first relevant document among the first k; 0 where there is none."""
    relevant = _relevant(grades)
    for rank, document in enumerate(ranking[:k], 1):
        if document in relevant:
            return 1 / rank
    return 0.0


def average_precision(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """Mean over all relevant documents of the precision at the rank of each.

    Formula: Σ (relevant among the first i)/i over the ranks i ≤ k of relevant documents, divided
    by the number of all relevant documents, found or not.
    """
    relevant = _relevant(grades)
    if not relevant:
        return 0.0
    found = 0
    precisions = []
    for rank, document in enumerate(ranking[:k], 1):
        if document in relevant:
            found += 1
            precisions.append(found / rank)
    return math.fsum(precisions) / len(relevant)


def _relevant(grades: Mapping[str, int]) -> set[str]:
    return {document for document, grade in grades.items() if grade >= RELEVANT}


def _dcg(gains: Sequence[int]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
