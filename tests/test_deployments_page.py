"""The page on deployments shows what the tests show, cell by cell."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from minionbench.engines.providers import providers
from minionbench.engines.server_kind import KINDS
from tests.backends import NAMES

ABSENT = "·"


class Features:
    """The table with its evidence, from `deployment_features.toml`."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.columns: dict[str, Any] = document["columns"]
        self.rows: dict[str, Any] = document["rows"]
        self.notes: dict[str, str] = document["notes"]
        self.numbers: dict[str, int] = {}
        """Of each note, in the order in which the table comes to it."""

    def tests(self, row: str, column: str) -> list[str]:
        """Ids of the tests that back a cell; none for one that says that there is nothing."""
        cell = self.rows[row][column]
        if cell == "yes":
            return [test.format(row=row) for test in self.columns[column]["tests"]]
        if isinstance(cell, dict):
            return list(cell["tests"])
        return list(cell) if isinstance(cell, list) else []

    def _noted(self, text: str, note: str | None) -> str:
        if note is None:
            return text
        assert note in self.notes, f"there is no note {note}"
        number = self.numbers.setdefault(note, len(self.numbers) + 1)
        return f"{text} <sup>{number}</sup>"

    def _cell(self, row: str, column: str) -> str:
        cell = self.rows[row][column]
        if self.tests(row, column):
            return self._noted("✓", cell["note"] if isinstance(cell, dict) else None)
        assert isinstance(cell, str), f"{row}, {column}: neither tests nor a note"
        return self._noted(ABSENT, cell)

    def table(self) -> str:
        """The table and its notes as the page has them."""
        titles = [column["title"] for column in self.columns.values()]
        lines = ["|".join(["", " ", *(f" {title} " for title in titles), ""])]
        lines.append("|---" + "|:-:" * len(titles) + "|")
        for name, row in self.rows.items():
            cells = [self._noted(row["title"], row.get("note"))]
            cells += [self._cell(name, column) for column in self.columns]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
        lines += [f"{number}. {self.notes[note]}" for note, number in self.numbers.items()]
        return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def features(root: Path) -> Features:
    return Features(tomllib.loads((root / "tests/deployment_features.toml").read_text("utf-8")))


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs/deployments.md").read_text("utf-8")


def test_the_table_on_the_page_is_the_one_with_the_evidence(features: Features, page: str) -> None:
    table = features.table()
    assert table in page, f"the page should have:\n\n{table}"
    assert set(features.numbers) == set(features.notes), "every note is used"


def test_every_backend_has_a_row_and_every_row_a_backend(features: Features) -> None:
    assert tuple(features.rows) == NAMES
    for row in features.rows.values():
        assert features.columns.keys() == row.keys() - {"title", "note"}


def test_every_test_that_is_named_exists(features: Features, root: Path) -> None:
    named = {
        test
        for row in features.rows
        for column in features.columns
        for test in features.tests(row, column)
    }
    assert len(named) > 100
    files = sorted({test.partition("::")[0] for test in named})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    collected = set(done.stdout.splitlines())
    whole = {test for test in collected if "::" in test}
    assert whole, done.stdout + done.stderr
    known = whole | {test.partition("[")[0] for test in whole}
    assert named - known == set()


def test_every_kind_of_server_and_provider_stands_on_the_page(page: str) -> None:
    missing = [kind.label for kind in KINDS if f"| {kind.label} |" not in page]
    assert missing == []
    for provider in providers().by_name.values():
        assert f"`{provider.key_variable}`" in page
        assert f"`{provider.base_url_variable}`" in page
        assert f"`{provider.base_url}`" in page
    assert f"of {providers().date}" in page


def test_the_kinds_of_servers_are_told_as_the_code_has_them(page: str) -> None:
    """A row for each: how its cache is kept cold, whether a length is forced, its switch."""
    table = page.partition("| server | kept cold by |")[2]
    for kind in KINDS:
        (row,) = [line for line in table.splitlines() if line.startswith(f"| {kind.label} |")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        in_request = ", ".join(f"`{name}: false`" for name in kind.cold_body)
        emptied = f"a unique beginning, `POST {kind.flush}`" if kind.flush else ""
        assert cells[1] == (in_request or emptied or "a unique beginning")
        assert cells[2] == ("yes" if kind.manners.ignores_end else "no")
        switch = kind.manners.switch
        assert cells[3] == ("none known" if switch == "none" else f"`{switch}`")
        assert cells[4] == ("—" if kind.metrics is None else f"`{kind.metrics}…`")
