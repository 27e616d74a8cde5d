"""A comparison as a person reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from minionbench.cli.output import markdown_row
from minionbench.cli.table import ABSENT
from minionbench.cli.text import aligned, in_one_line, printable, width, wrapped
from minionbench.units import duration, number_of, significant

if TYPE_CHECKING:
    from minionbench.compare import Answer, CellComparison, Comparison

COLOURS = {"worse": "red", "better": "green", "cannot tell": "yellow"}
MOST_RUNS = 3
"""Runs of a side that are named one by one."""
HEADS = ("metric", "base", "new", "change", "interval", "detects", "verdict")


def as_table(comparisons: Sequence[Comparison]) -> str:
    """For a person at a terminal."""
    lines: list[str] = []
    for one in comparisons:
        lines += [*report(one, width()), ""]
    return "\n".join(lines[:-1])


def report(comparison: Comparison, columns: int) -> Iterator[str]:
    """Both sides, a table per cell with its reasons, and the outcome."""
    for word, side in (("base", comparison.base), ("new", comparison.new)):
        yield from wrapped(f"{word:<5}{runs(side.name, side.run_ids)}", columns, "", "     ")
    for line in remarks(comparison):
        yield from wrapped(line, columns, "", "  ")
    for cell in comparison.cells:
        yield ""
        for line in wrapped(heading(cell), columns, "", "  "):
            yield click.style(line, bold=True)
        yield from (f"  {line}" for line in rows(cell))
        for names, said in reasons(cell):
            yield from wrapped(f"{', '.join(names)}: {said}", columns, "    ", "      ")
        for note in cell.notes:
            yield from wrapped(note, columns, "    Note: ", "      ")
    yield ""
    text = outcome(comparison)
    colour = COLOURS.get(comparison.verdict)
    for line in wrapped(text, columns):
        yield click.style(line, fg=colour) if colour else line


def runs(name: str, run_ids: Sequence[str]) -> str:
    """What a side is made of."""
    if len(run_ids) > MOST_RUNS:
        named = f"{len(run_ids)} runs, {run_ids[0]} to {run_ids[-1]}"
    else:
        named = ", ".join(run_ids)
    return named if name in (named, *run_ids) else f"{in_one_line(name)}: {named}"


def remarks(comparison: Comparison) -> Iterator[str]:
    """What has to be known before any number is read."""
    refused: dict[str, None] = {}
    noted: dict[str, None] = {}
    for cell in comparison.cells:
        for difference in cell.differences:
            (refused if difference.refuses else noted)[difference.text] = None
    if refused:
        yield "FORCED: the sides cannot be compared, since these differ:"
        yield from (f"  {text}" for text in refused)
    if noted:
        yield f"Also different: {'; '.join(noted)}."
    if comparison.varied:
        yield f"Different on purpose: {', '.join(comparison.varied)}."
    yield from (f"{note[:1].upper()}{note[1:]}." for note in comparison.notes)


def heading(cell: CellComparison) -> str:
    """Which cell, what was measured on either side, and how often."""
    what = cell.base if cell.base == cell.new else f"{cell.base} → {cell.new}"
    counts = [max((count(one) for one in cell.answers), default=0) for count in (_base, _new)]
    if cell.paired:
        times = number_of(counts[0], f"pair of {cell.unit}s", f"pairs of {cell.unit}s")
    elif counts[0] == counts[1]:
        times = f"{number_of(counts[0], cell.unit)} each"
    else:
        times = f"{counts[0]} against {number_of(counts[1], cell.unit)}"
    return f"{cell.cell} · {in_one_line(what)} · {times}"


def _base(one: Answer) -> int:
    return one.base_replicates


def _new(one: Answer) -> int:
    return one.new_replicates


def rows(cell: CellComparison) -> Iterator[str]:
    """The table of a cell's metrics."""
    table = [list(HEADS), *(cells_of(one) for one in cell.answers)]
    lines = list(aligned(table, [False, True, True, True, True, True, False]))
    yield click.style(lines[0], bold=True)
    for line, one in zip(lines[1:], cell.answers, strict=True):
        colour = COLOURS.get(one.verdict)
        yield click.style(line, fg=colour) if colour else line


def cells_of(one: Answer) -> list[str]:
    """One metric as the cells of a row."""
    from minionbench.compare import amount

    detects = ABSENT if one.detectable is None else amount(one.detectable, one.scale, sign=False)
    return [
        one.metric,
        shown(one.base, one.unit),
        shown(one.new, one.unit),
        ABSENT if one.change is None else amount(one.change, one.scale),
        interval(one),
        detects,
        str(one.verdict),
    ]


def interval(one: Answer) -> str:
    """The interval of a change; an end that is open is a dot row."""
    from minionbench.compare import amount

    if one.p is None or (one.low is None and one.high is None):
        return ABSENT
    low, high = ("…" if b is None else amount(b, one.scale) for b in (one.low, one.high))
    return f"{low.removesuffix(' %').removesuffix(' points')} to {high}"


def shown(value: float | None, unit: str) -> str:
    """A value with its unit."""
    if value is None:
        return ABSENT
    if unit == "s" and value > 0:
        return duration(value)
    return significant(value) + ("" if unit == "1" else f" {unit}")


def reasons(cell: CellComparison) -> Iterator[tuple[list[str], str]]:
    """The reasons of a cell's verdicts, each with the metrics that have it."""
    found: dict[str, list[str]] = {}
    for one in cell.answers:
        if said := reason(one, cell):
            found.setdefault(said, []).append(one.metric)
    yield from ((names, said) for said, names in found.items())


def reason(one: Answer, cell: CellComparison) -> str:
    """Why a metric has its verdict; empty where the row says it all."""
    parts = []
    if one.verdict in ("worse", "better"):
        parts.append(one.why)
        if one.p_adjusted is not None:
            parts.append(f"p {p_value(one.p_adjusted)}")
    elif one.verdict == "cannot tell":
        parts.append(one.why)
        if advice := more(one, cell):
            parts.append(advice)
    elif one.p is None:
        parts.append(one.why)
    return "; ".join([*parts, *one.notes])


def more(one: Answer, cell: CellComparison) -> str:
    """How many replicates would tell; empty where none are needed or known."""
    have = min(one.base_replicates, one.new_replicates)
    if one.p is None and one.change is not None:
        if have >= 2:
            return ""
        if cell.unit == "session":
            return "it is of a run as a whole, not of its sessions: make at least 3 runs"
        return "make at least 3 runs of each side"
    if one.needed is None or one.needed <= have:
        return ""
    return f"{one.needed} {cell.unit}s of each side would tell"


def p_value(p: float) -> str:
    """A p-value in words."""
    return "below 0.0001" if p < 0.0001 else significant(p, 2)


def outcome(comparison: Comparison) -> str:
    """The comparison in a sentence."""
    several = len(comparison.cells) > 1
    found: dict[str, list[str]] = {}
    for cell in comparison.cells:
        for one in cell.answers:
            beside = " beside" if one.verdict == "cannot tell" and not one.headline else ""
            name = f"{one.metric} of {cell.cell}" if several else one.metric
            found.setdefault(f"{one.verdict}{beside}", []).append(name)
    parts = [
        f"{verdict}: {', '.join(found[verdict])}"
        for verdict in ("worse", "cannot tell", "better")
        if verdict in found
    ]
    if not parts and "same" in found:
        parts = ["the same"]
    if "cannot tell beside" in found:
        parts.append(f"not known of {', '.join(found['cannot tell beside'])}")
    said = "; ".join(parts)
    return f"{said[:1].upper()}{said[1:]}."


def as_markdown(comparisons: Sequence[Comparison]) -> str:
    """Tables to paste into an issue or a page."""
    lines = []
    for comparison in comparisons:
        lines += [f"**{printable(outcome(comparison))}**", ""]
        for word, side in (("Base", comparison.base), ("New", comparison.new)):
            lines.append(f"{word}: {_plain_text(runs(side.name, side.run_ids))}  ")
        lines += [line for said in remarks(comparison) for line in ("", _plain_text(said))]
        for cell in comparison.cells:
            lines += ["", f"{_plain_text(heading(cell))}", ""]
            lines.append(markdown_row([*HEADS, "why"]))
            lines.append(markdown_row(["---", *["---:"] * 5, "---", "---"]))
            lines += [
                markdown_row([*cells_of(one), _plain_text(reason(one, cell) or one.why)])
                for one in cell.answers
            ]
            lines += [line for note in cell.notes for line in ("", _plain_text(note))]
        lines.append("")
    return "\n".join(lines).rstrip()


def _plain_text(text: str) -> str:
    """The text so that a page shows it as it is: a name or a server's message is no HTML, no link
    and no code."""
    return re.sub(r"[\\`\[\]<]", lambda found: f"\\{found[0]}", in_one_line(text)).replace(
        "&", "&amp;"
    )
