"""Ranking by cosine, by hand."""

from __future__ import annotations

import math

import pytest

from minionbench.quality.corpus_drawn import built_in_corpus
from minionbench.quality.embedding import embedding_score, unit_vector
from minionbench.quality.retrieval_task import RetrievalTask, retrieval_task


@pytest.fixture(scope="module")
def task() -> RetrievalTask:
    return retrieval_task(built_in_corpus(0), seed=0, queries=8)


def spread(number: int, of: int) -> list[float]:
    """One of so many directions, each at a right angle to the others."""
    return [float(place == number) for place in range(of)]


def test_a_vector_has_length_one_or_is_refused() -> None:
    assert unit_vector([3.0, 4.0]) == [0.6, 0.8]
    assert unit_vector([1e200, 0.0]) == [1.0, 0.0]
    for odd in ([0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0], []):
        with pytest.raises(ValueError):
            unit_vector(odd)


def test_vectors_that_point_at_the_right_document_score_all(task: RetrievalTask) -> None:
    names = list(task.corpus.documents)
    documents = {name: spread(place, len(names)) for place, name in enumerate(names)}
    queries = {}
    for one in task.queries:
        grades = task.corpus.judgements[one.query_id]
        queries[one.query_id] = unit_vector([float(grades.get(name, 0)) for name in names])
    score = embedding_score(task, documents, queries, spent={"requests": 3})
    assert score.value == pytest.approx(100.0)
    assert score.metadata["spent"] == {"requests": 3}
    assert score.metadata["dimensions"] == len(names)
    assert score.metadata["measures"]["map_at_100"]["value"] == pytest.approx(100.0)


def test_vectors_that_say_nothing_score_what_the_ties_give(task: RetrievalTask) -> None:
    documents = dict.fromkeys(task.corpus.documents, (1.0, 0.0))
    queries = {one.query_id: [0.0, 1.0] for one in task.queries}
    score = embedding_score(task, documents, queries, spent={})
    assert score.value is not None and score.value < 20


def test_what_is_lacking_or_of_another_length_is_refused(task: RetrievalTask) -> None:
    documents = dict.fromkeys(task.corpus.documents, (1.0, 0.0))
    queries = {one.query_id: [0.0, 1.0] for one in task.queries}
    with pytest.raises(ValueError, match="needs a vector"):
        embedding_score(task, {}, queries, spent={})
    with pytest.raises(ValueError, match="needs a vector"):
        embedding_score(task, documents, {}, spent={})
    queries[task.queries[0].query_id] = [1.0]
    with pytest.raises(ValueError, match="same length"):
        embedding_score(task, documents, queries, spent={})
