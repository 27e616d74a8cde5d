"""Prefill: what is asked stands in the report, and the report is as long as asked."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.workloads.finance import example
from minionbench.workloads.tokenizer import reference_tokenizer
from minionbench.workloads.workload import Example

COUNT = reference_tokenizer().count
CELL = re.compile(r"(?<=\| )([A-Z][^|\n]*?) (\d{4}): ([^|\n]+?)(?= \|)")
LOOK_UP = re.compile(r"Question: What was (?P<label>.+) (?P<year>\d{4})\? Reply with one line")
DIFFERENCE = re.compile(
    r"Question: By how much did (?P<label>.+) change from (?P<first>\d{4}) to (?P<second>\d{4})\?"
)
LARGER = re.compile(
    r"Question: Which was larger, (?P<one>.+) (?P<year>\d{4}) or (?P<two>.+) (?P=year)\?"
)


def cells(item: Example) -> dict[tuple[str, str], str]:
    """Every cell of the document by label and year; fails where one is stated twice."""
    assert item.document is not None
    found = CELL.findall(item.document)
    assert len({(label, year) for label, year, _ in found}) == len(found)
    return {(label, year): value for label, year, value in found}


def whole(value: str) -> int:
    return int(value.replace(",", ""))


def expected(item: Example) -> tuple[str, str]:
    """Kind and value of the right answer, worked out from the text alone."""
    assert item.question is not None
    table = cells(item)
    if found := LOOK_UP.match(item.question):
        value = table[found["label"], found["year"]]
        if re.fullmatch(r"[\d,]+", value):
            return "number", value.replace(",", "")
        return "text", value
    if found := DIFFERENCE.match(item.question):
        one = whole(table[found["label"], found["first"]])
        two = whole(table[found["label"], found["second"]])
        assert one != two
        return "number", str(abs(one - two))
    found = LARGER.match(item.question)
    assert found is not None, item.question
    one = whole(table[found["one"], found["year"]])
    two = whole(table[found["two"], found["year"]])
    assert one != two
    return "choice", found["one"] if one > two else found["two"]


def test_the_answer_stands_in_the_document_and_is_the_reference() -> None:
    kinds: Counter[str] = Counter()
    for index in range(400):
        item = example(3, index, COUNT)
        assert item.reference is not None
        assert (item.reference.kind, item.reference.value) == expected(item)
        kinds[item.reference.kind] += 1
    assert kinds["number"] > 300 and kinds["text"] > 5 and kinds["choice"] > 5


def test_the_solution_repeats_the_cells_that_it_needs_and_ends_in_the_answer() -> None:
    for index in range(300):
        item = example(4, index, COUNT)
        assert item.reference is not None and item.document is not None
        before, mark, answer = item.solution.rpartition("Answer: ")
        assert mark
        if before:
            assert all(f"| {cell} |" in item.document for cell in before.strip(". ").split(". "))
            assert answer.replace(",", "") == item.reference.value
        else:
            assert f"| {answer} |" in item.document
            assert answer.replace(",", "").endswith(f": {item.reference.value}")


def test_amounts_have_the_reports_unit_and_counts_have_none() -> None:
    units = set()
    for index in range(300):
        item = example(5, index, COUNT)
        assert item.reference is not None and item.question is not None
        assert item.document is not None
        unit = item.reference.unit
        if unit is not None:
            assert f"Amounts are in {unit}." in item.document
        counted = re.search("employees|Number of|Shares|Board meetings|sites", item.question)
        if item.reference.kind == "number" and counted:
            assert unit is None
        units.add(unit)
    assert len(units) > 8


@given(st.integers(-(2**40), 2**40), st.integers(0, 10**6), st.integers(200, 3000))
def test_the_length_is_within_two_percent_of_the_one_asked_for(
    seed: int, index: int, size: int
) -> None:
    item = example(seed, index, COUNT, size)
    assert abs(item.input_tokens - size) <= 0.02 * size
    assert item.input_tokens == sum(COUNT(message.content) for message in item.messages)
    cells(item)


def test_a_report_of_a_hundred_thousand_tokens_has_a_single_place_for_each_label() -> None:
    item = example(0, 0, COUNT, 100_000)
    assert abs(item.input_tokens - 100_000) <= 2000
    assert item.reference is not None
    assert (item.reference.kind, item.reference.value) == expected(item)
    assert len(cells(item)) > 4000


def test_a_report_that_has_used_up_all_segments_numbers_further_units() -> None:
    table = cells(example(0, 1, COUNT, 200_000))
    assert any(" unit 2 " in label for label, _ in table)


def test_a_longer_report_has_more_years() -> None:
    def years(size: int) -> int:
        return len({year for _, year in cells(example(1, 0, COUNT, size))})

    assert (years(1200), years(8000), years(25_000)) == (2, 3, 5)


def test_the_statements_add_up() -> None:
    table = cells(example(2, 1, COUNT, 8000))
    years = sorted({year for label, year in table if label == "Total revenue"})
    assert len(years) == 3
    for year in years:

        def line(label: str, year: str = year) -> int:
            return whole(table[label, year])

        assert line("Product revenue") + line("Service revenue") == line("Total revenue")
        assert line("Total revenue") - line("Cost of revenue") == line("Gross profit")
        assert line("Gross profit") == sum(
            map(
                line,
                (
                    "Operating income",
                    "Research and development",
                    "Selling expense",
                    "Administrative expense",
                ),
            )
        )
        assert line("Income before tax") - line("Income tax expense") == line("Net income")
        assert line("Total liabilities") + line("Shareholders equity") == line("Total assets")
        assert line("Cash from operations") - line("Capital expenditure") == line("Free cash flow")
        assert min(map(line, ("Operating income", "Net income", "Shareholders equity"))) > 0


def test_the_message_is_the_document_and_the_question() -> None:
    item = example(0, 0, COUNT)
    (message,) = item.messages
    assert message.role == "user"
    assert message.content == f"{item.document}\n\n{item.question}"


def test_the_text_depends_on_seed_index_and_size_only() -> None:
    one = example(8, 3, COUNT, 1200)
    example(9, 4, COUNT, 2000)
    assert example(8, 3, COUNT, 1200) == one
    others = [example(8, 4, COUNT), example(9, 3, COUNT), example(8, 3, COUNT, 1300)]
    assert len({one.messages, *(other.messages for other in others)}) == 4


def test_items_differ_in_company_question_and_figures() -> None:
    items = [example(0, index, COUNT) for index in range(200)]
    assert len({item.messages for item in items}) == 200
    assert len({str(item.document).split(":")[0] for item in items}) > 150
    assert len({item.question for item in items}) > 150


def test_a_size_that_holds_no_question_is_refused() -> None:
    with pytest.raises(UsageError, match="199"):
        example(0, 0, COUNT, 199)
