"""The built-in corpus keeps what is promised of it."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from minionbench.bm25 import words
from minionbench.quality.corpus_drawn import COMPANIES, VERSION, built_in_corpus
from minionbench.quality.ranking import by_score, ndcg
from minionbench.quality.retrieval_task import retrieval_task

CORPUS = built_in_corpus()


GOLDEN = "10f2685ec3b05a63cf398a9991eefb0a0a5307c8733cd6acd2de0e64710164ea"
"""SHA-256 of the corpus of seed 0: a new one needs a new VERSION."""


def test_the_text_of_a_seed_never_changes_without_a_new_version() -> None:
    assert VERSION == 1
    text = json.dumps([CORPUS.documents, CORPUS.queries, CORPUS.judgements]).encode()
    assert hashlib.sha256(text).hexdigest() == GOLDEN


def test_it_has_over_200_short_documents_and_over_50_queries() -> None:
    assert len(CORPUS.documents) == len(set(CORPUS.documents.values())) == 217
    assert len(CORPUS.queries) == len(set(CORPUS.queries.values())) == 63
    assert all(1 < len(text.split()) <= 40 for text in CORPUS.documents.values())
    assert set(CORPUS.judgements) == set(CORPUS.queries) == set(CORPUS.part_of)


def test_ids_of_queries_and_documents_never_meet() -> None:
    assert all(document.startswith("d:") for document in CORPUS.documents)
    assert all(query.startswith("q:") for query in CORPUS.queries)


def test_a_figure_of_the_asked_year_is_best_and_of_another_year_second() -> None:
    for query, part in CORPUS.part_of.items():
        if part != "figures":
            continue
        label, year = CORPUS.queries[query][:-5], CORPUS.queries[query][-4:]
        for document, text in CORPUS.documents.items():
            stated = re.fullmatch(r"(.+) (\d{4}): [\d,]+\.", text)
            expected = 0
            if stated and stated[1] == label:
                expected = 2 if stated[2] == year else 1
            assert CORPUS.judgements[query].get(document, 0) == expected


def test_every_note_has_one_best_one_second_and_one_trap_that_has_more_of_the_querys_words() -> (
    None
):
    for query, part in CORPUS.part_of.items():
        if part != "notes":
            continue
        grades = CORPUS.judgements[query]
        assert sorted(grades.values()) == [0, 1, 2]
        company = next(name for name in COMPANIES if name in CORPUS.queries[query])
        asked = set(words(CORPUS.queries[query]))
        shared = {}
        for document, grade in grades.items():
            text = CORPUS.documents[document]
            assert company in text
            assert (CORPUS.queries[query][-4:] in text) == (grade != 1)
            shared[grade] = len(asked & set(words(text)))
        assert shared[0] > shared[2] >= shared[1]


@pytest.mark.parametrize("seed", range(5))
def test_word_overlap_alone_does_not_solve_it_and_the_first_stage_finds_all(seed: int) -> None:
    corpus = built_in_corpus(seed)
    first, ceiling = {}, {}
    for one in retrieval_task(corpus).queries:
        grades = corpus.judgements[one.query_id]
        first[one.query_id] = ndcg(one.first_stage, grades, 10)
        best = by_score({document: grades.get(document, 0) for document in one.shown})
        ceiling[one.query_id] = ndcg(best, grades, 10)
    assert sum(ceiling.values()) / 63 >= 0.95
    assert 0.5 < sum(first.values()) / 63 < 0.75
    for part in ("figures", "notes"):
        queries = [query for query in corpus.queries if corpus.part_of[query] == part]
        assert sum(first[query] for query in queries) / len(queries) < 0.96


def test_ids_tell_nothing_of_relevance() -> None:
    backwards = by_score(dict.fromkeys(CORPUS.documents, 0.0))
    for order in (backwards, backwards[::-1]):
        scores = [ndcg(order, CORPUS.judgements[query], 10) for query in CORPUS.queries]
        assert sum(scores) / len(scores) < 0.1


def test_the_seed_decides_everything() -> None:
    assert built_in_corpus(0) == CORPUS
    assert built_in_corpus(1).documents != CORPUS.documents
    assert built_in_corpus(1).key != CORPUS.key
