"""The built-in corpus: invented figures and short notes on invented companies, with judgements.

Two parts. `figures` are single cells of reports (`Northern pumps revenue 2014: 336.`), asked for by
label and year in the words that the reference model was trained on: the cell itself has grade 2,
the same label of another year grade 1. Other labels of the asked year share more telling words
with the query than those do. `notes` say in other words what the query asks for: the note of
the asked year has grade 2, of another year grade 1, and a trap with the very words of the query
is about something else. Word overlap alone therefore ranks both parts wrongly in part.
"""

from __future__ import annotations

from typing import NamedTuple

from minionbench.quality.corpus import Corpus
from minionbench.workloads.draws import Draws

NAME = "retrieval"
VERSION = 1
"""Raised whenever a document, query or grade changes."""

REGIONS = ("Northern", "Southern", "Coastal")
PRODUCTS = ("pumps", "filters", "textiles")
FIGURES = ("revenue", "assets", "employees", "order book")
YEARS = tuple(range(2010, 2022))
FIGURE_QUERIES = 24
OTHER_FIGURES = 28
"""Cells beside those of the queries' own labels."""

COMPANIES = (
    "Arvela Wells", "Brinmor Hatch", "Casdale Ridge", "Dorvik Loom", "Elmstead Forge",
    "Farrano Vale", "Gavholm Stone", "Halbury Mill", "Ilmora Crane", "Jesford Spring",
    "Kelrand Tower", "Lorwick Barn", "Marnia Cove",
)  # fmt: skip
"""No word of a name is used again, so that a query's words always find its company."""
LEADERS = (
    "Ada Brook", "Ben Castor", "Cora Dune", "Dan Ekberg", "Eva Frost", "Finn Garland",
    "Gita Holm", "Hugo Ivers", "Ines Jarvis", "Jon Keller",
)  # fmt: skip
TOPICS_EACH = 3
"""What is said of each company: so many topics, each in two years and in one trap."""


class Topic(NamedTuple):
    """Something to be asked of a company: the query's words, a note that answers it, a trap."""

    asked: str
    said: str
    trap: str


TOPICS = (
    Topic(
        "Accounts payable",
        "{c} owed its suppliers {v} thousand when {y} ended.",
        "The accounts of {c} can be read online; a small fee is payable for the print of {y}.",
    ),
    Topic(
        "Number of employees",
        "{v} people worked for {c} in {y}.",
        "{c} gave every one of its employees a locker with a number in {y}.",
    ),
    Topic(
        "Dividend paid",
        "Each shareholder of {c} received {v} cents per share for {y}.",
        "A newspaper in the home town of {c} paid its first dividend in {y}.",
    ),
    Topic(
        "Research spending",
        "{c} put {v} thousand into developing better goods during {y}.",
        "Research by a school near {c} was about the spending of towns on roads in {y}.",
    ),
    Topic(
        "Energy consumption",
        "The plants of {c} used {v} units of power and gas in {y}.",
        "Energy drinks are sold for consumption in the canteen of {c} since {y}.",
    ),
    Topic(
        "Chief executive",
        "{p} has led {c} since the spring of {y}.",
        "In {y} the chief of the fire brigade looked at the executive lounge of {c}.",
    ),
    Topic(
        "Bank debt",
        "{c} had borrowed {v} thousand from its lenders when {y} closed.",
        "{c} moved to the river bank in {y}, and is in debt to the town for the help.",
    ),
    Topic(
        "Market share",
        "Of all buyers in the country, {v} per thousand chose {c} in {y}.",
        "{c} has a stall at the Christmas market, and agreed in {y} to share it.",
    ),
    Topic(
        "Workplace accidents",
        "{v} people were hurt while on the job for {c} in {y}.",
        "{c} offered a workplace to two painters of railway accidents in {y}.",
    ),
    Topic(
        "Customer complaints",
        "{v} buyers told {c} in {y} that they were unhappy with what they got.",
        "Complaints by neighbours of {c} about a customer who sings were heard in {y}.",
    ),
    Topic(
        "Tax payments",
        "{c} sent {v} thousand to the revenue office for {y}.",
        "The shop of {c} takes card payments since {y}, and sells a guide to tax.",
    ),
    Topic(
        "Rent expense",
        "{c} gave its landlords {v} thousand in {y}.",
        "Since {y} the choir of {c} can rent the town hall at no expense.",
    ),
)


class _Judged(NamedTuple):
    """A document before it has an id, and the grades that it has for queries."""

    text: str
    grades: dict[str, int]


def built_in_corpus(seed: int = 0) -> Corpus:
    """The built-in corpus of a seed: about 220 documents and 63 queries."""
    key = f"{NAME}@{VERSION}/{seed}"
    draws = Draws(key)
    queries: dict[str, str] = {}
    part_of: dict[str, str] = {}
    documents = _figures(draws, queries)
    part_of |= dict.fromkeys(queries, "figures")
    documents += _notes(draws, queries)
    part_of |= {query: "notes" for query in queries if query not in part_of}
    judgements: dict[str, dict[str, int]] = {query: {} for query in queries}
    texts: dict[str, str] = {}
    # Ids follow a random order, so that they tell nothing of what belongs together.
    for number, document in enumerate(draws.shuffled(documents)):
        document_id = f"d:{number:03}"
        texts[document_id] = document.text
        for query, grade in document.grades.items():
            judgements[query][document_id] = grade
    return Corpus(
        name=NAME,
        source=f"builtin:{NAME}@{VERSION}",
        key=key,
        version=VERSION,
        documents=texts,
        queries=queries,
        judgements=judgements,
        part_of=part_of,
    )


def _figures(draws: Draws, queries: dict[str, str]) -> list[_Judged]:
    labels = [f"{r} {p} {f}" for r in REGIONS for p in PRODUCTS for f in FIGURES]
    cells: dict[str, list[int]] = {}
    asked: dict[str, str] = {}
    for label in draws.some(labels, FIGURE_QUERIES):
        cells[label] = draws.some(YEARS, 3)
        queries[f"q:figures-{len(asked):02}"] = f"{label} {cells[label][0]}"
        asked[label] = f"q:figures-{len(asked):02}"
    others = [label for label in labels if label not in cells]
    for number in range(OTHER_FIGURES):
        label = others[number % len(others)]
        years = cells.setdefault(label, [])
        years.append(draws.pick([year for year in YEARS if year not in years]))
    documents = []
    for label, years in cells.items():
        for place, year in enumerate(years):
            grades = {asked[label]: 1 if place else 2} if label in asked else {}
            documents.append(_Judged(f"{label} {year}: {draws.between(12, 9_800):,}.", grades))
    return documents


def _notes(draws: Draws, queries: dict[str, str]) -> list[_Judged]:
    documents = []
    number = 0
    topics = draws.shuffled(TOPICS)
    for place, company in enumerate(COMPANIES):
        leaders = draws.shuffled(LEADERS)
        for turn in range(TOPICS_EACH):
            topic = topics[(place * TOPICS_EACH + turn) % len(TOPICS)]
            year = draws.between(YEARS[0], YEARS[-1] - 1)
            years = draws.shuffled((year, year + 1))
            query = f"q:notes-{number:02}"
            number += 1
            queries[query] = f"{topic.asked} of {company} in {years[0]}"
            for grade, said in ((2, years[0]), (1, years[1])):
                text = topic.said.format(
                    c=company, v=draws.between(12, 980), y=said, p=leaders.pop()
                )
                documents.append(_Judged(text, {query: grade}))
            documents.append(_Judged(topic.trap.format(c=company, y=years[0]), {query: 0}))
    return documents
