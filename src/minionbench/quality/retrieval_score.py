"""The retrieval score: a pure function of a retrieval task and records.

Each query's ranking is measured against all its judgements. A query whose request failed or
abstained counts 0 in every measure; only what the end of the run cut off is left out. Beside the
score stand the first stage's own, what the order shown would have scored, and the ceiling: what a
perfect ranking of the same candidates scores.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from minionbench.exchange import Outcome
from minionbench.metrics.cell import all_failed
from minionbench.metrics.value import MetricValue, error, estimated, interval, skipped
from minionbench.quality.bootstrap import mean_estimate, percent
from minionbench.quality.ranking import average_precision, ndcg, recall, reciprocal_rank
from minionbench.quality.retrieval import ranking_of
from minionbench.quality.retrieval_task import Candidates, RetrievalTask
from minionbench.quality.spending import spending
from minionbench.records import RequestRecord
from minionbench.stats import LEVEL

METRIC = "retrieval_score"

Measure: TypeAlias = Callable[[Sequence[str], Mapping[str, int]], float]

MEASURES: dict[str, Measure] = {
    "ndcg_at_10": lambda ranking, grades: ndcg(ranking, grades, 10),
    "recall_at_10": lambda ranking, grades: recall(ranking, grades, 10),
    "mrr_at_10": lambda ranking, grades: reciprocal_rank(ranking, grades, 10),
    "map_at_100": lambda ranking, grades: average_precision(ranking, grades, 100),
}
"""Every measure that is given, the first of which is the score."""

BY_ODDS = "log-probabilities of Yes and No"
BY_WORDS = "the word Yes or No"
"""What a pointwise reranker orders by."""

REPAIRS = ("missing", "repeated", "out_of_range", "unread")

_CENSORED = (Outcome.CUT, Outcome.NOT_SENT)


def retrieval_score(
    task: RetrievalTask,
    records: Sequence[RequestRecord],
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    level: float = LEVEL,
) -> MetricValue:
    """100 × the mean nDCG@10 over queries, and in its metadata what goes with it.

    `settings` is the reranker's own: which mode, window and step. `seed` is that of the bootstrap.

    Raises:
        ValueError: a record of a query that is not the task's, or an answer that is no ranking.
    """
    corpus = task.corpus
    context: dict[str, Any] = {
        "settings": {} if settings is None else dict(settings),
        "corpus": corpus.source,
        "documents": len(corpus.documents),
        "depth": task.depth,
        "shuffle_seed": task.seed,
    }
    of_query = {task.item_id(candidates): candidates for candidates in task.queries}
    rankings: dict[str, list[tuple[str, ...]]] = {}
    used: list[RequestRecord] = []
    repairs: Counter[str] = Counter(dict.fromkeys(REPAIRS, 0))
    by_odds: list[bool] = []
    cut = 0
    for record in records:
        if record.phase != "measured":
            continue
        if record.item_id not in of_query:
            raise ValueError(f"{record.item_id} is not a query of this task")
        if record.outcome in _CENSORED:
            cut += 1
            continue
        candidates = of_query[record.item_id]
        ranking: tuple[str, ...] = ()
        if record.ok and record.abstained is None:
            if record.answer is None:
                return skipped(METRIC, "the texts were not kept, so there is no ranking", **context)
            read = ranking_of(record.answer, len(candidates.shown))
            repairs.update({name: getattr(read, name) for name in REPAIRS})
            repairs["answers"] += read.answers
            by_odds.append(read.log_odds is not None)
            ranking = tuple(candidates.shown[place] for place in read.order)
        used.append(record)
        rankings.setdefault(candidates.query_id, []).append(ranking)
    failed = [record for record in used if not record.ok]
    if context["settings"].get("mode") == "pointwise" and by_odds:
        context["settings"]["relevance"] = _relevance(by_odds)
    context |= {
        "requests": len(used),
        "failed": len(failed),
        "abstained": sum(record.ok and record.abstained is not None for record in used),
        "left_out": {
            **corpus.left_out,
            **({"requests cut off by the end of the run": cut} if cut else {}),
        },
    }
    if not used:
        return skipped(METRIC, "no query was measured", **context)
    if len(failed) == len(used):
        return error(METRIC, all_failed(failed), **context)
    measured = [candidates for candidates in task.queries if candidates.query_id in rankings]
    return _value(task, measured, rankings, used, dict(repairs), context, seed, level)


def _relevance(by_odds: Sequence[bool]) -> str:
    """By what the passages were ordered."""
    if all(by_odds):
        return BY_ODDS
    if not any(by_odds):
        return BY_WORDS
    return f"{BY_ODDS} in {sum(by_odds)} of {len(by_odds)} rankings, {BY_WORDS} in the others"


def _value(
    task: RetrievalTask,
    measured: Sequence[Candidates],
    rankings: Mapping[str, Sequence[tuple[str, ...]]],
    used: Sequence[RequestRecord],
    repairs: dict[str, int],
    context: dict[str, Any],
    seed: int,
    level: float,
) -> MetricValue:
    judgements = task.corpus.judgements

    def scores(measure: Measure, queries: Sequence[Candidates]) -> list[float]:
        """Each query's mean over its repeats."""
        return [
            math.fsum(
                measure(ranking, judgements[one.query_id]) for ranking in rankings[one.query_id]
            )
            / len(rankings[one.query_id])
            for one in queries
        ]

    def over(
        order: Callable[[Candidates], Sequence[str]], queries: Sequence[Candidates]
    ) -> dict[str, float]:
        """Every measure of a ranking that is not the model's."""
        return {
            name: 100 * _mean([measure(order(one), judgements[one.query_id]) for one in queries])
            for name, measure in MEASURES.items()
        }

    def perfect(one: Candidates) -> list[str]:
        grades = judgements[one.query_id]
        return sorted(one.shown, key=lambda document: -grades.get(document, 0))

    estimates = {
        name: percent(mean_estimate(scores(measure, measured), "queries", seed=seed, level=level))
        for name, measure in MEASURES.items()
    }
    parts: dict[str, list[Candidates]] = {}
    for one in measured:
        if one.query_id in task.corpus.part_of:
            parts.setdefault(task.corpus.part_of[one.query_id], []).append(one)
    return estimated(
        METRIC,
        estimates["ndcg_at_10"],
        method="mean over queries of nDCG@10, linear gain, ideal of all judged documents",
        **context,
        measures={
            name: {"value": estimate.point, "interval": interval(estimate)}
            for name, estimate in estimates.items()
        },
        first_stage={"name": "BM25", **over(lambda one: one.first_stage, measured)},
        as_shown=over(lambda one: one.shown, measured),
        ceiling=over(perfect, measured),
        parts={
            part: {
                "queries": len(queries),
                "ndcg_at_10": 100 * _mean(scores(MEASURES["ndcg_at_10"], queries)),
                "first_stage": over(lambda one: one.first_stage, queries)["ndcg_at_10"],
                "ceiling": over(perfect, queries)["ndcg_at_10"],
            }
            for part, queries in parts.items()
        },
        repairs=repairs,
        spent=spending(used),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
