"""Folders in BEIR's layout."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from minionbench.errors import SchemaError, UsageError
from minionbench.quality.beir import read_beir

DOCUMENTS = [
    {"_id": "1", "title": "Foxes", "text": "A fox is\nred.", "metadata": {"url": "x"}},
    {"_id": "2", "title": "", "text": "Dogs bark."},
    {"_id": 3, "text": ""},
]
QUERIES = [
    {"_id": "1", "text": "red animal"},
    {"_id": "2", "text": "never judged"},
    {"_id": "3", "text": "nothing relevant"},
]
QRELS = "query-id\tcorpus-id\tscore\n1\t1\t2\n1\t2\t0\n1\t9\t1\n3\t2\t0\n"


def folder(path: Path, *, qrels: str = QRELS, split: str = "test") -> Path:
    """A small data set."""
    (path / "corpus.jsonl").write_text("".join(json.dumps(d) + "\n" for d in DOCUMENTS))
    (path / "queries.jsonl").write_text("".join(json.dumps(q) + "\n" for q in QUERIES))
    (path / "qrels").mkdir(exist_ok=True)
    (path / "qrels" / f"{split}.tsv").write_text(qrels)
    return path


def test_documents_queries_and_grades_are_read_and_their_ids_told_apart(tmp_path: Path) -> None:
    corpus = read_beir(folder(tmp_path))
    assert corpus.documents == {"d:1": "Foxes A fox is red.", "d:2": "Dogs bark.", "d:3": ""}
    assert corpus.queries == {"q:1": "red animal"}
    assert corpus.judgements == {"q:1": {"d:1": 2, "d:2": 0, "d:9": 1}}
    assert corpus.left_out == {
        "queries without a judgement": 1,
        "queries without a relevant document": 1,
        "relevant documents that the corpus lacks": 1,
    }
    assert corpus.name == tmp_path.name
    assert corpus.source.startswith("beir-test@")


def test_the_source_changes_with_any_of_the_three_files(tmp_path: Path) -> None:
    before = read_beir(folder(tmp_path)).source
    (tmp_path / "qrels" / "test.tsv").write_text(QRELS + "1\t3\t1\n")
    assert read_beir(tmp_path).source != before


def test_gzipped_files_are_read_too(tmp_path: Path) -> None:
    plain = read_beir(folder(tmp_path))
    text = (tmp_path / "corpus.jsonl").read_bytes()
    (tmp_path / "corpus.jsonl").unlink()
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(text))
    assert read_beir(tmp_path).documents == plain.documents


def test_the_split_is_named_or_the_only_one_or_test(tmp_path: Path) -> None:
    assert read_beir(folder(tmp_path, split="dev")).source.startswith("beir-dev@")
    folder(tmp_path, split="test")
    assert read_beir(tmp_path).source.startswith("beir-test@")
    assert read_beir(tmp_path, "dev").source.startswith("beir-dev@")
    with pytest.raises(UsageError, match=r"named train: qrels/ holds dev, test\."):
        read_beir(tmp_path, "train")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1\t1", "there are 2 fields"),
        ("1 1 1", "there is 1 field"),
        ("1\t1\tx", "the grade 'x' is not a whole number"),
        ("1\t1\t1.5", "is not a whole number"),
        ("1\t1\t1_0", "is not a whole number"),
        ("7\t1\t1", "the query '7' is not in"),
    ],
)
def test_a_broken_judgement_is_named_by_file_and_line(
    tmp_path: Path, line: str, words: str
) -> None:
    folder(tmp_path, qrels=f"query-id\tcorpus-id\tscore\n1\t1\t1\n{line}\n")
    with pytest.raises(SchemaError, match=words) as raised:
        read_beir(tmp_path)
    assert f"{tmp_path / 'qrels' / 'test.tsv'}, line 3: " in str(raised.value)


def test_judgements_without_a_header_lose_no_line(tmp_path: Path) -> None:
    folder(tmp_path, qrels="1\t1\t1\r\n1\t2\t1\r\n")
    assert read_beir(tmp_path).judgements == {"q:1": {"d:1": 1, "d:2": 1}}


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("corpus.jsonl", '{"text": "x"}\n', "line 1: the field _id is missing"),
        ("corpus.jsonl", '{"_id": "1"}\n', "line 1: text was expected"),
        ("corpus.jsonl", '{"_id": "1", "text": "x", "title": 3}\n', "line 1: title was"),
        ("corpus.jsonl", '{"_id": "1", "text": " "}\n', "no document has any text"),
        ("corpus.jsonl", '{"_id":"1","text":"a"}\n{"_id":"1","text":"b"}\n', "line 2: _id '1'"),
        ("queries.jsonl", '{"_id": "1"}\n', "line 1: the field text is missing"),
        ("queries.jsonl", "not json\n", "line 1: one JSON object"),
    ],
)
def test_a_broken_line_is_named_by_file_and_line(
    tmp_path: Path, file: str, text: str, words: str
) -> None:
    (folder(tmp_path) / file).write_text(text)
    with pytest.raises(SchemaError, match=words) as raised:
        read_beir(tmp_path)
    assert str(tmp_path / file) in str(raised.value)


def test_judgements_that_find_nothing_relevant_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="no query has a relevant document"):
        read_beir(folder(tmp_path, qrels="1\t1\t0\n"))


def test_what_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        read_beir(tmp_path / "none")
    with pytest.raises(UsageError, match="does not exist"):
        read_beir(tmp_path)
    folder(tmp_path)
    (tmp_path / "qrels" / "test.tsv").write_bytes(b"1\t1\t\xff\n")
    with pytest.raises(UsageError, match="cannot be read"):
        read_beir(tmp_path)
    (tmp_path / "qrels" / "test.tsv").unlink()
    with pytest.raises(UsageError, match="holds none"):
        read_beir(tmp_path)
