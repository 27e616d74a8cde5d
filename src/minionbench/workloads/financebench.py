"""FinanceBench: questions about real filings, answered from the pages that hold the evidence.

The data set has no context field: the document is put together from the evidence pages, never
cut, and from other questions' pages, of which the last is cut at the end of a line.

Source: https://github.com/patronus-ai/financebench (`financebench_open_source.jsonl`).
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from minionbench.errors import UsageError
from minionbench.exchange import Message, Reference
from minionbench.units import number_of
from minionbench.workloads.draws import Draws
from minionbench.workloads.jsonl import (
    Line,
    Lines,
    as_decimal,
    identities,
    json_type,
    no_item,
    own_id,
)
from minionbench.workloads.workload import Count, Item

FIELDS = ("question", "answer", "evidence")
HOW = "Give a short answer in one line that begins with Answer:"

_AMOUNT = re.compile(
    r"(?P<open>\()?(?P<sign>-)?(?P<dollar>\$|USD )?\s?(?P<number>-?[\d,]*\.?\d+)\)?"
    r"\s?(?P<unit>%|percent|thousands?|millions?|billions?|trillions?)?\.?"
)
_SCALE = re.compile(
    r"(?:USD|US\$|\$|dollars?|in)\s+(?P<scale>thousand|million|billion)s?", re.IGNORECASE
)


class Page(NamedTuple):
    """A page of a filing."""

    document: str
    number: str
    text: str

    def __str__(self) -> str:
        return f"[{self.document}, page {self.number}]\n{self.text}"


class Question(NamedTuple):
    """A question, its gold answer and the pages that hold its evidence."""

    name: str
    text: str
    reference: Reference
    evidence: tuple[Page, ...]


class FinanceBench:
    """The questions of a FinanceBench file."""

    name = "financebench"
    default_input_tokens = 1200
    max_output_tokens = 128

    def __init__(self, lines: Lines) -> None:
        self.file = lines.file
        self.source = f"{self.name}@{lines.sha256[:12]}"
        names = identities(lines, "financebench_id")
        self._questions = [
            _question(line, name) for line, name in zip(lines.lines, names, strict=True)
        ]
        pages = {page: None for question in self._questions for page in question.evidence}
        self._pages = tuple(pages)

    def __len__(self) -> int:
        return len(self._questions)

    def items(self, n: int, seed: int, input_tokens: int | None, count: Count) -> Iterator[Item]:
        """The first n items of a seed, each as long as asked or as its evidence, if longer.

        Raises:
            UsageError: there are fewer questions than n, or fewer pages than the length needs.
        """
        size = self.default_input_tokens if input_tokens is None else input_tokens
        if n > len(self):
            raise UsageError(
                f"{self.file} has {number_of(len(self), 'question')}, but "
                f"{number_of(n, 'request was', 'requests were')} asked for."
            )
        available = sum(count(f"{page}\n\n") for page in self._pages)
        if size > available:
            raise UsageError(
                f"{self.file} has pages for {available} input tokens, but {size} were asked for. "
                "Ask for fewer, or use a larger part of the data set."
            )
        order = Draws(f"{self.source}/{seed}").shuffled(range(len(self)))[:n]
        return (self._item(self._questions[at], seed, size, count) for at in order)

    def item(self, item_id: str, count: Count) -> Item:
        """The item of an id, which names question, seed and length.

        Raises:
            UsageError: the file has none.
        """
        parts = own_id(self.file, self.source, item_id).rsplit("/", 2)
        try:
            name, seed, size = parts[0], *map(int, parts[1:])
        except ValueError:
            raise no_item(self.file, item_id) from None
        for asked in self._questions:
            if asked.name == name:
                made = self._item(asked, seed, size, count)
                if made.item_id == item_id:
                    return made
        raise no_item(self.file, item_id)

    def _item(self, asked: Question, seed: int, size: int, count: Count) -> Item:
        item_id = f"{self.source}/{asked.name}/{seed}/{size}"
        draws = Draws(item_id)
        question = f"Question: {asked.text}\n{HOW}"
        pages = list(map(str, asked.evidence))
        room = size - count("\n\n".join((*pages, question)))
        padding: list[str] = []
        evidence = frozenset(asked.evidence)
        for page in draws.shuffled([page for page in self._pages if page not in evidence]):
            if room <= 0:
                break
            part = _fitting(f"{page}\n\n", room, count).rstrip()
            if "\n" not in part:
                break
            padding.append(part)
            room -= count(f"{part}\n\n")
        # Evidence keeps its order; where it stands among the other pages is drawn.
        places = sorted(draws.below(len(padding) + 1) for _ in pages)
        for place, page_text in zip(reversed(places), reversed(pages), strict=True):
            padding.insert(place, page_text)
        document = "\n\n".join(padding)
        content = f"{document}\n\n{question}"
        return Item(
            item_id=item_id,
            messages=(Message("user", content),),
            input_tokens=count(content),
            reference=asked.reference,
            document=document,
            question=question,
        )


def _fitting(page: str, room: int, count: Count) -> str:
    """The page if it has at most `room` tokens, else as many of its first lines as have."""
    if count(page) <= room:
        return page
    lines = page.splitlines(keepends=True)
    kept = bisect.bisect_right(range(len(lines)), room, key=lambda n: count("".join(lines[:n])))
    return "".join(lines[: max(0, kept - 1)])


def _question(line: Line, name: str) -> Question:
    text = line.text("question")
    evidence = line.fields.get("evidence")
    if not isinstance(evidence, list) or not evidence:
        raise line.error("evidence was expected to be a list of at least one page.")
    return Question(
        name,
        text,
        gold_answer(line.text("answer"), text),
        _pages(line, evidence),
    )


def _pages(line: Line, evidence: Sequence[object]) -> tuple[Page, ...]:
    """The evidence's pages in order, each once."""
    pages: dict[Page, None] = {}
    for number, entry in enumerate(evidence):
        if not isinstance(entry, dict):
            raise line.error(
                f"evidence.{number} was expected to be an object, but is {json_type(entry)}."
            )
        inner = Line(line.file, line.number, entry)
        page = Page(
            inner.text("doc_name"),
            str(entry.get("evidence_page_num")),
            inner.text("evidence_text_full_page"),
        )
        pages[page] = None
    return tuple(pages)


def gold_answer(answer: str, question: str) -> Reference:
    """A gold answer as a number with its unit where it is one, else as text.

    An amount in dollars has the scale that the answer names, else the one that the question asks
    for (`in USD millions`), else none.
    """
    match = _AMOUNT.fullmatch(answer.strip())
    value = as_decimal(match["number"]) if match else None
    if match is None or value is None:
        return Reference(kind="text", value=answer.strip())
    if (match["open"] or match["sign"]) and not value.startswith("-"):
        value = f"-{value}"
    unit = match["unit"]
    if unit in ("%", "percent"):
        return Reference(kind="number", value=value, unit="%")
    scale = unit.removesuffix("s") if unit else None
    if match["dollar"]:
        asked = _SCALE.search(question)
        scale = scale or (asked["scale"].lower() if asked else None)
        return Reference(kind="number", value=value, unit=f"USD {scale}" if scale else "USD")
    return Reference(kind="number", value=value, unit=scale)
