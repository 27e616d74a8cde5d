"""Candidates: the first stage's, in an order that hides the first stage's."""

from __future__ import annotations

import pytest

from minionbench.errors import UsageError
from minionbench.quality.corpus import Corpus
from minionbench.quality.corpus_drawn import built_in_corpus
from minionbench.quality.retrieval_task import DEPTH, passage, retrieval_task

CORPUS = built_in_corpus()
SMALL = Corpus(
    name="small",
    source="test",
    key="small@1",
    version=1,
    documents={"d:a": "red fox", "d:b": "red red dog", "d:c": "blue", "d:d": ""},
    queries={"q:1": "red", "q:2": "green"},
    judgements={"q:1": {"d:a": 1}, "q:2": {"d:c": 1}},
)


def test_the_candidates_are_the_first_stages_best_shuffled() -> None:
    task = retrieval_task(SMALL, depth=2)
    assert task.queries[0].first_stage == ("d:b", "d:a")
    assert sorted(task.queries[0].shown) == ["d:a", "d:b"]


def test_documents_that_share_no_word_fill_up_the_candidates() -> None:
    first, second = retrieval_task(SMALL, depth=3).queries
    assert first.first_stage[:2] == ("d:b", "d:a")
    assert first.first_stage[2] in ("d:c", "d:d")
    assert len(set(second.first_stage)) == 3
    (everything, _) = retrieval_task(SMALL, depth=9).queries
    assert sorted(everything.shown) == sorted(SMALL.documents)


def test_a_request_brings_query_and_passages_in_the_order_shown() -> None:
    task = retrieval_task(SMALL, depth=2, seed=3)
    first, _ = task.requests(max_output_tokens=40)
    shown = [SMALL.documents[document] for document in task.queries[0].shown]
    assert first.item_id == "small@1/2/3/q:1"
    assert first.question == "red"
    assert first.document == "\n".join(shown)
    assert f"[1] {shown[0]}\n[2] {shown[1]}\n\nQuery: red\n" in first.messages[0].content
    assert (first.limits.max_output_tokens, first.limits.seed) == (40, 3)
    assert first.input_tokens > 10


def test_the_shuffle_hides_the_order_of_the_first_stage() -> None:
    # A document's place in the shown order says nothing of its place in the first stage's: over
    # 63 queries the mean of Kendall's tau is near 0, and its spread that of random orders.
    taus = []
    for one in retrieval_task(CORPUS).queries:
        place = {document: number for number, document in enumerate(one.first_stage)}
        order = [place[document] for document in one.shown]
        assert sorted(order) == list(range(DEPTH))
        pairs = [(a, b) for number, a in enumerate(order) for b in order[number + 1 :]]
        taus.append(sum(1 if a < b else -1 for a, b in pairs) / len(pairs))
    mean = sum(taus) / len(taus)
    # Of a random order of 12 the variance of tau is 2(2·12 + 5)/(9·12·11).
    deviation = (2 * 29 / (9 * 12 * 11)) ** 0.5
    assert abs(mean) < 3 * deviation / len(taus) ** 0.5
    spread = (sum((tau - mean) ** 2 for tau in taus) / len(taus)) ** 0.5
    assert deviation / 1.5 < spread < deviation * 1.5


def test_every_place_is_shown_first_about_as_often() -> None:
    firsts = [
        one.first_stage.index(one.shown[0])
        for seed in range(10)
        for one in retrieval_task(CORPUS, seed=seed).queries
    ]
    counts = [firsts.count(place) for place in range(DEPTH)]
    assert sum(counts) == 630
    assert min(counts) > 20
    assert max(counts) < 95


def test_another_seed_shuffles_anew_and_the_same_seed_does_not() -> None:
    assert retrieval_task(CORPUS, seed=1) == retrieval_task(CORPUS, seed=1)
    one, other = retrieval_task(CORPUS, seed=1), retrieval_task(CORPUS, seed=2)
    assert [q.first_stage for q in one.queries] == [q.first_stage for q in other.queries]
    assert [q.shown for q in one.queries] != [q.shown for q in other.queries]


def test_fewer_queries_are_drawn_by_the_seed_and_keep_their_candidates() -> None:
    whole = {one.query_id: one for one in retrieval_task(CORPUS).queries}
    some = retrieval_task(CORPUS, queries=10).queries
    assert len(some) == 10
    assert all(whole[one.query_id] == one for one in some)
    assert [one.query_id for one in some] == sorted(one.query_id for one in some)
    assert retrieval_task(CORPUS, queries=1000).queries == tuple(whole.values())


@pytest.mark.parametrize(("depth", "queries"), [(1, None), (5, 0)])
def test_what_cannot_be_ranked_is_refused(depth: int, queries: int | None) -> None:
    with pytest.raises(UsageError):
        retrieval_task(CORPUS, depth=depth, queries=queries)


def test_a_passage_is_one_line_of_at_most_300_words() -> None:
    assert passage("a\n b\u2028c\x85d\te") == "a b c d e"
    assert len(passage("word " * 1000).split()) == 300
