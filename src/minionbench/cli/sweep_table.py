"""A sweep as a person reads it: a row per cell, then what failed, what is in doubt, and what was
left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minionbench.cli.table import (
    ABSENT,
    COLOURS,
    COLUMNS,
    RESPONSE_TIME,
    heading,
    reason_of,
    requests,
    unit_of,
    value,
)
from minionbench.cli.text import aligned, printable, wrapped
from minionbench.units import number_of, significant

if TYPE_CHECKING:
    from minionbench.schema import BenchmarkRun, CellResult
    from minionbench.sweep.estimate import SweepEstimate

SESSION = "session"
MOST_NAMED = 4
"""Cells that a line names one by one."""
METHOD = (
    "Figures are medians over requests of all sessions; right is the share of right answers, $ the "
    "mean cost of a request. Each repeat of a cell is a session of its own."
)


def is_sweep(run: BenchmarkRun) -> bool:
    """Whether a run holds cells that were measured session by session, side by side."""
    cells = [cell for candidate in run.candidates for cell in candidate.cells]
    return len(cells) > 1 and all(cell.settings.get("repeat_unit") == SESSION for cell in cells)


def swept(run: BenchmarkRun, path: Path | None, columns: int = 80) -> Iterator[str]:
    """The lines of a sweep's report; `path` is where the document lies, None for nowhere."""
    cells = [cell for candidate in run.candidates for cell in candidate.cells]
    yield from heading(run, columns)
    yield ""
    yield from figures(cells)
    yield ""
    yield from wrapped(METHOD, columns)
    missing = list(failures(cells))
    if missing:
        yield ""
        yield click.style("Not measured", bold=True)
        for line in missing:
            yield from wrapped(line, columns, "  ", "    ")
    yield ""
    yield from doubts(cells, columns)
    notes = [*run.metadata.notes, *candidate_notes(run)]
    if notes:
        yield ""
        for note in notes:
            yield from wrapped(note, columns)
    if path is not None:
        yield ""
        yield f"Document: {path}"


def figures(cells: Sequence[CellResult]) -> Iterator[str]:
    """The table: a row per cell, in the order of the document."""
    first, total, rate = COLUMNS[:3]
    arriving = any(cell.load.kind == "open" for cell in cells)
    shown = (first, RESPONSE_TIME if arriving else total, rate)
    units = [unit_of(column, cells) for column in shown]
    costs = any(_value(cell, "cost_usd") is not None for cell in cells)
    head = ["cell", "requests", *(column.title for column in shown), "right"]
    under = ["", "", *(unit for unit, _ in units), "%"]
    rows = []
    for cell in cells:
        row = [printable(cell.cell_id), requests(cell)]
        for column, (_, factor) in zip(shown, units, strict=True):
            row.append(value(cell.metrics.get(column.metric), factor))
        right = _value(cell, "accuracy_pct")
        row.append(ABSENT if right is None else significant(right))
        if costs:
            cost = _value(cell, "cost_usd")
            row.append(ABSENT if cost is None else significant(cost))
        rows.append([*row, cell.verdict.status])
    head += [*(["$"] if costs else []), "verdict"]
    under += [""] * (len(head) - len(under))
    flush = [False] + [True] * (len(head) - 2) + [False]
    lines = list(aligned([head, under, *rows], flush))
    yield click.style(lines[0], bold=True)
    yield click.style(lines[1], dim=True)
    yield from lines[2:]


def planned(
    run: BenchmarkRun, expected: SweepEstimate, path: Path, columns: int = 80
) -> Iterator[str]:
    """What a sweep would measure: a row per cell, and what is known of its time and cost."""
    yield from heading(run, columns)
    yield ""
    head = ["cell", "requests", "time", "cost"]
    rows = [
        [printable(cell.cell_id), str(cell.requests), cell.time, cell.cost]
        for cell in expected.cells
    ]
    lines = list(aligned([head, *rows], [False, True, True, True]))
    yield click.style(lines[0], bold=True)
    yield from lines[1:]
    yield ""
    for note in run.metadata.notes:
        if not note.startswith("planned: "):
            yield from wrapped(note, columns)
    for what in ("time", "cost"):
        sources = Counter(getattr(cell, f"{what}_from") for cell in expected.cells)
        said = "; ".join(f"{source}: {number_of(n, 'cell')}" for source, n in sources.items())
        yield from wrapped(f"The {what} is known from: {said}", columns)
    yield ""
    yield f"Document: {path}"


def _value(cell: CellResult, name: str) -> float | None:
    metric = cell.metrics.get(name)
    return None if metric is None else metric.value


def failures(cells: Sequence[CellResult]) -> Iterator[str]:
    """What could not be measured and why, one line per reason; what was not asked for is left
    to the other formats."""
    found: dict[str, dict[str, list[str]]] = {}
    for cell in cells:
        for name, metric in cell.metrics.items():
            if metric.status == "error":
                reason = reason_of(metric) or ""
                found.setdefault(reason, {}).setdefault(cell.cell_id, []).append(name)
    for reason, of_cells in found.items():
        yield f"{_named(list(of_cells), len(cells))}: {reason}"
    sessions = [
        (cell.cell_id, session)
        for cell in cells
        for session in cell.settings.get("sessions", ())
        if session.get("state") == "failed" and session.get("why") not in found
    ]
    for cell_id, session in sessions[:MOST_NAMED]:
        yield f"{cell_id}, repeat {session['repeat'] + 1}: {session['why']}"
    if len(sessions) > MOST_NAMED:
        yield f"and {number_of(len(sessions) - MOST_NAMED, 'more session')}"


def doubts(cells: Sequence[CellResult], columns: int) -> Iterator[str]:
    """How many cells are to be believed, and what speaks against the others."""
    said = [
        click.style(f"{status} {count}", fg=colour, bold=True)
        for status, colour in COLOURS.items()
        if (count := sum(cell.verdict.status == status for cell in cells))
    ]
    yield f"Verdicts: {', '.join(said)}"
    found: dict[tuple[str, str], dict[str, str | None]] = {}
    for cell in cells:
        for reason in cell.verdict.reasons:
            if reason.severity != "note" and reason.rule not in ("session_failed", "not_reached"):
                of_rule = found.setdefault((reason.severity, reason.rule), {})
                of_rule[cell.cell_id] = reason.advice
    for (severity, rule), of_rule in found.items():
        where = _named(list(of_rule), len(cells))
        advice = next((one for one in of_rule.values() if one), None)
        said_of = f"{severity}: {rule} ({where})" + (f". {advice}" if advice else "")
        yield from wrapped(said_of, columns, "  ", "    ")


def candidate_notes(run: BenchmarkRun) -> Iterator[str]:
    """What is odd about candidates, each sentence once with how many it is said of."""
    said: dict[str, int] = {}
    for candidate in run.candidates:
        for note in candidate.notes:
            said[note] = said.get(note, 0) + 1
    for note, count in said.items():
        yield f"{note} ({number_of(count, 'candidate')})"


def _named(cell_ids: Sequence[str], of: int) -> str:
    """Cells by name, or how many they are."""
    if len(cell_ids) == of:
        return "all cells"
    if len(cell_ids) > MOST_NAMED:
        return f"{len(cell_ids)} cells, as {printable(cell_ids[0])}"
    return ", ".join(map(printable, cell_ids))
