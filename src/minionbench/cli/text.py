"""Text for a terminal: wrapped, aligned, coloured, and free of what could command it."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence

WIDEST = 100
"""Columns beyond which a line is hard to read."""
NARROWEST = 60

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_LINE_ENDS = re.compile(r"[\n\t\u2028\u2029]")


def printable(text: str) -> str:
    """The text without characters that would move the cursor, recolour or reorder a terminal.

    Messages quote what servers and files said, and that may be hostile. Line ends and tabs stay.
    """
    return _CONTROLS.sub("�", text)


def in_one_line(text: str) -> str:
    """The text as `printable` has it, with its line ends and tabs as spaces."""
    return _LINE_ENDS.sub(" ", printable(text))


def escaped(text: str) -> str:
    """The text with what `printable` takes away written as `\\u001b` instead.

    For the forms that programs read: a terminal may be at the other end all the same. Of JSON the
    content stays what it was.
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def width() -> int:
    """Columns to write in: the terminal's within reason, 80 where there is none."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, NARROWEST), WIDEST)


def wrapped(text: str, columns: int, first: str = "", rest: str | None = None) -> Iterator[str]:
    """The text in lines of so many columns; `first` begins the first, `rest` the others.

    A word stays whole even where it is too long for a line: a path is there to be copied.
    """
    rest = " " * len(first) if rest is None else rest
    for line in printable(text).splitlines() or [""]:
        yield from textwrap.wrap(
            line,
            columns,
            initial_indent=first,
            subsequent_indent=rest,
            break_on_hyphens=False,
            break_long_words=False,
        ) or [first.rstrip()]
        first = rest


def aligned(rows: Sequence[Sequence[str]], right: Sequence[bool], gap: str = "  ") -> Iterator[str]:
    """Rows of cells as columns; `right` says which columns are flush right.

    A row is one line: a name that holds a line end cannot make up another one.
    """
    rows = [[_LINE_ENDS.sub(" ", cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        )
        yield gap.join(cells).rstrip()
