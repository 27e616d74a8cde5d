"""Invented annual reports with a question whose answer stands in them: the Prefill workload.

A report is statements, notes, segment pages and discussion, as much of each as the length asked
for has room for; the statements add up. Every table cell carries its own label and year
(`Total revenue 2023: 4,512`), so that any part of a table can be read without its header, and no
label is used twice. The question is drawn from the finished report, so its evidence is never cut.
"""

from __future__ import annotations

from typing import NamedTuple

from minionbench.exchange import Message, Reference
from minionbench.workloads.draws import Draws
from minionbench.workloads.finance_text import (
    COUNTED,
    CURRENCIES,
    FORMS,
    NAME_ENDS,
    NAME_STARTS,
    NOTES,
    OUTLOOK,
    PLACES,
    PRODUCTS,
    REGIONS,
    REMARKS,
    SCALES,
    SEGMENT_FIGURES,
    TITLES,
    NoteKind,
)
from minionbench.workloads.workload import Count, Example, check_size, fill_gap, measured

NAME = "prefill"
VERSION = 1
DEFAULT_INPUT_TOKENS = 1200

QUESTION_TOKENS = 60
"""Room kept for the question while the report is written; the remarks even out the rest."""


class Fact(NamedTuple):
    """One cell of a table: its label, its year and its value."""

    label: str
    year: int
    value: int | str

    def __str__(self) -> str:
        shown = f"{self.value:,}" if isinstance(self.value, int) else self.value
        return f"{self.label} {self.year}: {shown}"


Row = list[Fact]
"""One line of a table: the same label in each year, the latest first."""


class Asked(NamedTuple):
    """A question, the answer that a perfect model would give, and the value it is judged by."""

    question: str
    solution: str
    reference: Reference


def example(
    seed: int, index: int, count: Count, input_tokens: int = DEFAULT_INPUT_TOKENS
) -> Example:
    """Make item `index` of a seed at the given length.

    Raises:
        UsageError: the length is below the smallest that can be made.
    """
    check_size(NAME, input_tokens)
    item_id = f"{NAME}@{VERSION}/{seed}/{index}/{input_tokens}"
    draws = Draws(item_id)
    report = _Report(draws, count, input_tokens)
    asked = _ask(draws, report.rows, report.unit)
    question = f"Question: {asked.question}"
    body = report.text
    gap = input_tokens - count(f"{body}\n\n\n\n{question}")
    remarks = " ".join(fill_gap(gap, measured(count, REMARKS), draws))
    document = f"{body}\n\n{remarks}" if remarks else body
    content = f"{document}\n\n{question}"
    return Example(
        item_id=item_id,
        messages=(Message("user", content),),
        input_tokens=count(content),
        solution=asked.solution,
        reference=asked.reference,
        document=document,
        question=question,
    )


class _Report:
    """A report of about `input_tokens` less the question: its text and the rows in it."""

    def __init__(self, draws: Draws, count: Count, input_tokens: int) -> None:
        self.rows: list[Row] = []
        self._draws = draws
        self._count = count
        self._parts: list[str] = []
        self._tokens = 0
        self._limit = input_tokens - QUESTION_TOKENS
        year_count = 2 if input_tokens < 4000 else 3 if input_tokens < 20_000 else 5
        last_year = draws.between(2014, 2024)
        self._years = tuple(range(last_year, last_year - year_count, -1))
        self._products = draws.some(PRODUCTS, 3)
        self.unit = f"{draws.pick(CURRENCIES)} {draws.pick(SCALES)}"
        company = f"{draws.pick(NAME_STARTS)}{draws.pick(NAME_ENDS)} {draws.pick(FORMS)}"
        self._add(
            f"{company}: annual report {last_year}\n"
            f"{company} of {draws.pick(PLACES)} makes {self._products[0]} and "
            f"{self._products[1]}. Amounts are in {self.unit}."
        )
        self._add_statements()
        self._add_the_rest()

    @property
    def text(self) -> str:
        return "\n\n".join(self._parts)

    def _add(self, part: str, rows: list[Row] | None = None, optional: bool = False) -> bool:
        """Append a part; an optional one only where there is room for it."""
        tokens = self._count(f"{part}\n\n")
        if optional and self._tokens + tokens > self._limit:
            return False
        self._tokens += tokens
        self._parts.append(part)
        self.rows += rows or ()
        return True

    def _add_statements(self) -> None:
        """The three statements, at most three fifths of the report; one where it is short."""
        statements = _statements(self._draws, self._years)
        row_tokens = self._count("\n" + _line(statements[0][1][0]))
        room = (self._limit - self._tokens) * 3 // 5 // row_tokens
        wanted = sum(len(rows) for _, rows in statements)
        if room < 8:
            statements = statements[:1]
            wanted = len(statements[0][1])
        for title, rows in statements:
            kept = _kept(self._draws, rows, min(len(rows), max(2, room * len(rows) // wanted)))
            self._add(_table(f"{title}, {self.unit}", kept), kept)

    def _add_the_rest(self) -> None:
        """Discussion, notes and segment pages in turn, until two in a row find no room."""
        notes = self._draws.shuffled(NOTES)
        segment = self._draws.below(len(REGIONS) * len(PRODUCTS))
        turn, number, refused = 0, 1, 0
        while refused < 2:
            rows: list[Row] = []
            if turn % 3 == 0:
                title = TITLES[turn // 3 % len(TITLES)]
                part = f"{title}\n" + " ".join(self._outlook(2, 4))
            elif notes:
                part, rows = self._note(notes.pop(), number)
            else:
                part, rows = self._segment(segment)
                segment += 1
            turn += 1
            if self._add(part, rows, optional=True):
                refused = 0
                number += part.startswith("Note")
            else:
                refused += 1

    def _outlook(self, fewest: int, most: int) -> list[str]:
        draws = self._draws
        return [
            sentence.format(
                product=draws.pick(self._products),
                region=draws.pick(REGIONS),
                place=draws.pick(PLACES),
            )
            for sentence in draws.some(OUTLOOK, draws.between(fewest, most))
        ]

    def _note(self, kind: NoteKind, number: int) -> tuple[str, list[Row]]:
        draws = self._draws
        rows = [
            _row(draws, label, draws.between(low, high), self._years)
            for label, low, high in kind.figures
        ]
        for label, values in kind.names:
            names = draws.some(values, 2)
            years = self._years[:2]
            rows.append([Fact(label, year, name) for year, name in zip(years, names, strict=True)])
        return f"{_table(f'Note {number}. {kind.title}', rows)}\n{draws.pick(kind.prose)}", rows

    def _segment(self, number: int) -> tuple[str, list[Row]]:
        """The page of one segment; after every region and product, units are numbered."""
        draws = self._draws
        unit, place = divmod(number, len(REGIONS) * len(PRODUCTS))
        # 7 is coprime to 20, so that neighbouring pages differ in region and in product.
        product, region = divmod(place, len(REGIONS))
        name = f"{REGIONS[(region + 7 * product) % len(REGIONS)]} {PRODUCTS[product]}"
        if unit:
            name += f" unit {unit + 1}"
        rows = [
            _row(draws, f"{name} {figure}", draws.between(low, high), self._years)
            for figure, low, high in draws.some(SEGMENT_FIGURES, draws.between(3, 5))
        ]
        return f"{_table(f'Segment {name}', rows)}\n{self._outlook(1, 1)[0]}", rows


def _line(row: Row) -> str:
    return "| " + " | ".join(map(str, row)) + " |"


def _table(title: str, rows: list[Row]) -> str:
    return "\n".join((title, *map(_line, rows)))


def _kept(draws: Draws, rows: list[Row], number: int) -> list[Row]:
    """So many of the rows, in their own order."""
    chosen = sorted(draws.some(range(len(rows)), number))
    return [rows[at] for at in chosen]


def _row(draws: Draws, label: str, value: int, years: tuple[int, ...]) -> Row:
    """A figure that moves by some percent from year to year, never to the same value."""
    row = [Fact(label, years[0], value)]
    for year in years[1:]:
        moved = value * draws.between(82, 109) // 100
        value = max(1, moved if moved != value else value + 1)
        row.append(Fact(label, year, value))
    return row


def _statements(draws: Draws, years: tuple[int, ...]) -> list[tuple[str, list[Row]]]:
    """Income statement, balance sheet and cash flow statement, consistent in each year."""
    product = draws.between(700, 5200)
    service = draws.between(90, 2900)
    by_year = []
    for _ in years:
        by_year.append(_one_year(draws, product, service))
        product = product * draws.between(84, 107) // 100 + 1
        service = service * draws.between(82, 108) // 100 + 1
    dated = list(zip(years, by_year, strict=True))
    return [
        (title, [[Fact(label, year, values[label]) for year, values in dated] for label in labels])
        for title, labels in STATEMENTS
    ]


def _one_year(draws: Draws, product: int, service: int) -> dict[str, int]:
    """All lines of one year, from two kinds of revenue and drawn shares of it."""

    def share(amount: int, low: int, high: int) -> int:
        """Between low and high per thousand of an amount, and at least 1."""
        return max(1, amount * draws.between(low, high) // 1000)

    total = product + service
    cost = share(total, 480, 610)
    research, selling, general = share(total, 40, 90), share(total, 60, 110), share(total, 30, 70)
    operating = total - cost - research - selling - general
    interest, other = share(total, 6, 20), share(total, 2, 14)
    before_tax = operating - interest + other
    tax = share(before_tax, 190, 280)
    net = before_tax - tax

    cash, receivables = share(total, 60, 160), share(total, 90, 190)
    inventories = share(total, 80, 170)
    equipment, goodwill = share(total, 180, 420), share(total, 50, 260)
    intangible = share(total, 30, 140)
    current_assets = cash + receivables + inventories
    assets = current_assets + equipment + goodwill + intangible
    payables, deferred = share(assets, 80, 150), share(assets, 20, 60)
    short_debt, long_debt = share(assets, 20, 80), share(assets, 120, 290)
    current_liabilities = payables + deferred + short_debt
    liabilities = current_liabilities + long_debt

    depreciation, compensation = share(total, 25, 70), share(total, 4, 20)
    from_operations = net + depreciation + compensation
    capital, acquired = share(from_operations, 200, 480), share(from_operations, 20, 160)
    repaid, dividends, bought = share(net, 60, 240), share(net, 150, 330), share(net, 40, 210)
    return {
        "Product revenue": product,
        "Service revenue": service,
        "Total revenue": total,
        "Cost of revenue": cost,
        "Gross profit": total - cost,
        "Research and development": research,
        "Selling expense": selling,
        "Administrative expense": general,
        "Operating income": operating,
        "Interest expense": interest,
        "Other income": other,
        "Income before tax": before_tax,
        "Income tax expense": tax,
        "Net income": net,
        "Cash and equivalents": cash,
        "Accounts receivable": receivables,
        "Inventories": inventories,
        "Total current assets": current_assets,
        "Property and equipment": equipment,
        "Goodwill": goodwill,
        "Intangible assets": intangible,
        "Total assets": assets,
        "Accounts payable": payables,
        "Deferred revenue": deferred,
        "Short-term debt": short_debt,
        "Total current liabilities": current_liabilities,
        "Long-term debt": long_debt,
        "Total liabilities": liabilities,
        "Shareholders equity": assets - liabilities,
        "Depreciation and amortization": depreciation,
        "Stock compensation": compensation,
        "Cash from operations": from_operations,
        "Capital expenditure": capital,
        "Acquisitions": acquired,
        "Cash used in investing": capital + acquired,
        "Debt repaid": repaid,
        "Dividends paid": dividends,
        "Share buybacks": bought,
        "Cash used in financing": repaid + dividends + bought,
        "Free cash flow": from_operations - capital,
    }


STATEMENTS = (
    (
        "Consolidated income statement",
        (
            "Product revenue", "Service revenue", "Total revenue", "Cost of revenue",
            "Gross profit", "Research and development", "Selling expense",
            "Administrative expense", "Operating income", "Interest expense", "Other income",
            "Income before tax", "Income tax expense", "Net income",
        ),
    ),
    (
        "Consolidated balance sheet",
        (
            "Cash and equivalents", "Accounts receivable", "Inventories",
            "Total current assets", "Property and equipment", "Goodwill", "Intangible assets",
            "Total assets", "Accounts payable", "Deferred revenue", "Short-term debt",
            "Total current liabilities", "Long-term debt", "Total liabilities",
            "Shareholders equity",
        ),
    ),
    (
        "Consolidated cash flow statement",
        (
            "Depreciation and amortization", "Stock compensation", "Cash from operations",
            "Capital expenditure", "Acquisitions", "Cash used in investing", "Debt repaid",
            "Dividends paid", "Share buybacks", "Cash used in financing", "Free cash flow",
        ),
    ),
)  # fmt: skip
"""The lines of each statement in order; `_one_year` gives their values."""


def _ask(draws: Draws, rows: list[Row], unit: str) -> Asked:
    """A question about one of the rows: mostly one cell, sometimes a difference or a comparison."""
    row = draws.pick(rows)
    if not isinstance(row[0].value, int):
        fact = draws.pick(row)
        return Asked(
            f"What was {fact.label} {fact.year}? {HOW}",
            f"Answer: {fact}",
            Reference(kind="text", value=str(fact.value)),
        )
    kind = draws.below(20)
    unit_of = None if _is_count(row[0].label) else unit
    if kind == 0:
        return _difference(row, unit_of)
    if kind == 1 and (asked := _larger(draws, rows, row)) is not None:
        return asked
    fact = draws.pick(row)
    return Asked(
        f"What was {fact.label} {fact.year}? {HOW}",
        f"Answer: {fact}",
        Reference(kind="number", value=str(fact.value), unit=unit_of),
    )


HOW = "Reply with one line: Answer: name year: value."


def _is_count(label: str) -> bool:
    """Whether a figure is a number of things and not an amount of money."""
    return any(label.endswith(counted) for counted in COUNTED)


def _difference(row: Row, unit: str | None) -> Asked:
    later, earlier = row[0], row[1]
    assert isinstance(later.value, int) and isinstance(earlier.value, int)
    high, low = (later, earlier) if later.value > earlier.value else (earlier, later)
    change = abs(later.value - earlier.value)
    return Asked(
        f"By how much did {later.label} change from {earlier.year} to {later.year}? "
        "State both values, then reply: Answer: value.",
        f"{high}. {low}. Answer: {change:,}",
        # Asked by how much it changed, a fall may be stated with its sign.
        Reference(
            kind="number",
            value=str(change),
            unit=unit,
            aliases=(f"-{change}",) if low is later else (),
        ),
    )


def _larger(draws: Draws, rows: list[Row], row: Row) -> Asked | None:
    """Which of two amounts of the same year is larger; None where no other amount is there."""
    one = row[0]
    if _is_count(one.label):
        return None
    others = [
        other[0]
        for other in draws.some(rows, 6)
        if isinstance(other[0].value, int)
        and other[0].value != one.value
        and not _is_count(other[0].label)
    ]
    if not others:
        return None
    other = others[0]
    assert isinstance(one.value, int) and isinstance(other.value, int)
    larger = one if one.value > other.value else other
    return Asked(
        f"Which was larger, {one.label} {one.year} or {other.label} {other.year}? "
        "State both values, then reply: Answer: name.",
        f"{one}. {other}. Answer: {larger.label}",
        Reference(kind="choice", value=larger.label),
    )
