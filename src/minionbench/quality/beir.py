"""Reading a retrieval data set in BEIR's layout from a folder.

    corpus.jsonl       {"_id": …, "title": … (optional), "text": …}
    queries.jsonl      {"_id": …, "text": …}
    qrels/test.tsv     query-id ⇥ corpus-id ⇥ score, with that header

Both JSONL files may be gzipped (`corpus.jsonl.gz`).

Source: the layout of github.com/beir-cellar/beir.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from minionbench.errors import SchemaError, UsageError
from minionbench.quality.corpus import Corpus
from minionbench.units import number_of
from minionbench.workloads.jsonl import Lines, identities, read_lines, shown

VERSION = 1
"""Raised whenever the corpus that is made of given files changes."""

_GRADE = re.compile(r"-?[0-9]{1,9}")


def read_beir(folder: str | PathLike[str], split: str | None = None) -> Corpus:
    """The corpus in a folder.

    `split` names the file of judgements; None takes the only one there is, or `test`. Queries
    without a relevant document are left out, since no ranking could answer them; so are queries
    without a judgement. Judged documents that are missing from the corpus stay in the judgements:
    they can never be found, and lower the ceiling.

    Raises:
        UsageError: the folder or one of its files cannot be read.
        SchemaError: a line is not what the layout says; it names file and line.
    """
    path = Path(folder)
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder; name the folder that holds corpus.jsonl.")
    corpus_lines = read_lines(_jsonl(path, "corpus"))
    query_lines = read_lines(_jsonl(path, "queries"))
    documents = {
        f"d:{name}": text
        for name, text in zip(_ids(corpus_lines), _texts(corpus_lines), strict=True)
    }
    if not any(documents.values()):
        raise SchemaError(f"{corpus_lines.file}: no document has any text.")
    texts = {
        f"q:{name}": line.text("text")
        for name, line in zip(_ids(query_lines), query_lines.lines, strict=True)
    }
    judgement_file = _judgement_file(path, split)
    judgements: dict[str, dict[str, int]] = {}
    content = _read_text(judgement_file)
    for number, query, document, grade in _judgements(judgement_file, content):
        if query not in texts:
            raise SchemaError(
                f"{judgement_file}, line {number}: the query {shown(query[2:])} is not in "
                f"{query_lines.file}."
            )
        judgements.setdefault(query, {})[document] = grade
    answerable = {query: grades for query, grades in judgements.items() if max(grades.values()) > 0}
    if not answerable:
        raise SchemaError(f"{judgement_file}: no query has a relevant document.")
    missing = {
        document
        for grades in answerable.values()
        for document, grade in grades.items()
        if grade > 0 and document not in documents
    }
    left_out = {
        "queries without a judgement": len(texts) - len(judgements),
        "queries without a relevant document": len(judgements) - len(answerable),
        "relevant documents that the corpus lacks": len(missing),
    }
    digest = hashlib.sha256(
        f"{corpus_lines.sha256} {query_lines.sha256} ".encode() + content.encode()
    )
    source = f"beir-{judgement_file.stem}@{digest.hexdigest()[:12]}"
    return Corpus(
        name=path.resolve().name or "beir",
        source=source,
        key=source,
        version=VERSION,
        documents=documents,
        queries={query: texts[query] for query in texts if query in answerable},
        judgements=answerable,
        left_out={what: count for what, count in left_out.items() if count},
    )


def _jsonl(folder: Path, name: str) -> Path:
    plain = folder / f"{name}.jsonl"
    zipped = folder / f"{name}.jsonl.gz"
    return zipped if zipped.is_file() and not plain.is_file() else plain


def _ids(lines: Lines) -> list[str]:
    for line in lines.lines:
        if line.fields.get("_id") is None:
            raise line.error("the field _id is missing.")
    return identities(lines, "_id")


def _texts(lines: Lines) -> Iterator[str]:
    for line in lines.lines:
        title = line.fields.get("title")
        text = line.fields.get("text")
        if not isinstance(text, str):
            raise line.error("text was expected to be a text; it may be empty.")
        if title is not None and not isinstance(title, str):
            raise line.error("title was expected to be a text, or to be left out.")
        yield " ".join(f"{title or ''} {text}".split())


def _judgement_file(folder: Path, split: str | None) -> Path:
    found = sorted((folder / "qrels").glob("*.tsv"))
    names = [file.stem for file in found]
    if split is None:
        if len(found) == 1:
            return found[0]
        split = "test"
    if split in names:
        return found[names.index(split)]
    known = ", ".join(names) or "none"
    raise UsageError(f"{folder} has no judgements named {split}: qrels/ holds {known}.")


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The judgements {file} cannot be read: {error}.") from error


def _judgements(file: Path, content: str) -> Iterator[tuple[int, str, str, int]]:
    """(line, query id, document id, grade) of each judgement."""
    for number, line in enumerate(content.split("\n"), 1):
        fields = line.rstrip("\r").split("\t")
        if fields == [""] or (number == 1 and fields[0] == "query-id"):
            continue
        where = f"{file}, line {number}"
        if len(fields) != 3:
            raise SchemaError(
                f"{where}: a query's id, a document's id and a grade were expected, separated by "
                f"tabs, but there {'is' if len(fields) == 1 else 'are'} "
                f"{number_of(len(fields), 'field')}."
            )
        if not _GRADE.fullmatch(fields[2]):
            raise SchemaError(f"{where}: the grade {shown(fields[2])} is not a whole number.")
        yield number, f"q:{fields[0]}", f"d:{fields[1]}", int(fields[2])
