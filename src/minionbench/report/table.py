"""Tables of a report: plain data, and the HTML of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minionbench.report.measures import Unit, bounded, interval_text, why_absent
from minionbench.report.text import ABSENT, markup, number
from minionbench.schema import MetricResult
from minionbench.units import number_of

MOST_ROWS = 400
"""Rows of a table that a page holds; nobody reads more, and the document has them all."""


class Item(NamedTuple):
    """One cell of a table."""

    text: str
    sort: float | str | None = None
    """What it is sorted by; None is always last. Text is sorted by itself."""
    under: str = ""
    """A second, smaller line: the interval."""
    tone: str = ""
    """`good`, `doubt`, `bad` or `muted`."""
    colour: str = ""
    """The role of the colour in which a plot shows it."""
    hint: str = ""
    """Said in words where a dash stands: why there is no value."""


class Column(NamedTuple):
    """A column's heading."""

    title: str
    numeric: bool = False
    wordy: bool = False
    """Whether it holds sentences, which need room."""


class Table(NamedTuple):
    """Rows under headings; the first item of a row names it."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Item, ...], ...]


def text_item(text: str, **more: str) -> Item:
    """An item that is sorted by its text."""
    return Item(text, text.lower(), **more)


def number_item(value: float | None, shown: str | None = None, **more: str) -> Item:
    """An item that is sorted by its number."""
    return Item(number(value) if shown is None else shown, value, **more)


def count_item(count: int | None, **more: str) -> Item:
    """An item that is a whole number."""
    return Item(ABSENT if count is None else f"{count:,}", count, **more)


def metric_item(metric: MetricResult | None, unit: Unit) -> Item:
    """A metric's value over its interval; a dash or `error`, and why, where there is none."""
    value = bounded(metric)
    if value is None:
        failed = metric is not None and metric.status == "error"
        tone = "bad" if failed else "muted"
        hint = "" if metric is None else why_absent(metric)
        return Item("error" if failed else ABSENT, None, tone=tone, hint=hint)
    shown = value.value * unit.factor
    return Item(number(shown), shown, under=interval_text(value, unit))


def table_html(table: Table) -> str:
    """The table, sortable by each heading, in a frame that scrolls by itself."""
    heads = "".join(
        f'<th scope="col"{_numeric(column)} aria-sort="none">'
        f'<button type="button">{markup(column.title)}</button></th>'
        for column in table.columns
    )
    rows = "".join(_row(row, table.columns) for row in table.rows[:MOST_ROWS])
    caption = markup(table.caption)
    if len(table.rows) > MOST_ROWS:
        of = number_of(len(table.rows), "row")
        caption += f" The first {MOST_ROWS} of {of}; the document has them all."
    return (
        f'<div class="frame" tabindex="0" role="region" aria-label="{markup(table.caption)}">'
        f"<table><caption>{caption}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _numeric(column: Column) -> str:
    return ' class="n"' if column.numeric else ' class="w"' if column.wordy else ""


def _row(row: Sequence[Item], columns: Sequence[Column]) -> str:
    cells = []
    for place, (item, column) in enumerate(zip(row, columns, strict=True)):
        classes = [name for name in ("n" if column.numeric else "", item.tone) if name]
        sort = "" if item.sort is None else f' data-v="{markup(str(item.sort))}"'
        start = '<th scope="row"' if place == 0 else "<td"
        style = f' class="{" ".join(classes)}"' if classes else ""
        swatch = f'<i class="key b-{item.colour}"></i>' if item.colour else ""
        under = f"<small>{markup(item.under)}</small>" if item.under else ""
        hint = f'<small class="why">{markup(item.hint)}</small>' if item.hint else ""
        cells.append(
            f"{start}{style}{sort}>{swatch}<span>{markup(item.text)}</span>{under}{hint}"
            f"</{'th' if place == 0 else 'td'}>"
        )
    return f"<tr>{''.join(cells)}</tr>"
