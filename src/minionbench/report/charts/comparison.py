"""Runs held against each other: how far each metric moved, with its interval and verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from minionbench.compare import Answer, Comparison, Criteria, Wanted, amount, compare, read_side
from minionbench.errors import MinionbenchError
from minionbench.report.charts.drawn import Scale, axis, by_role, rows_of_names, width_of_names
from minionbench.report.charts.scene import Scene
from minionbench.report.drawing import Spec
from minionbench.report.figure import Figure, Room
from minionbench.report.measures import title
from minionbench.report.palette import light
from minionbench.report.table import Column, Item, Table, count_item, number_item, text_item
from minionbench.report.text import ABSENT, listed, number, sentence, shortened
from minionbench.units import number_of

MOST_ROWS = 40
"""Metrics that are drawn; the table has all."""
ROW = 24
TALL_ROW = 36
"""Of one whose name has two lines."""
WIDEST = 1.0
"""Relative change beyond which an interval is cut off at the edge of the plot."""
_ROLES = {"better": "good", "worse": "bad", "same": "ink", "cannot tell": "muted"}
_TONES = {"better": "good", "worse": "bad", "same": "", "cannot tell": "muted"}
_ORDER = {"worse": 0, "better": 1, "cannot tell": 2, "same": 3}


class Row(NamedTuple):
    """One metric of one cell of one comparison."""

    key: str
    new: str
    """Name of the run that is held against the first."""
    cell: str
    answer: Answer


class Compared(NamedTuple):
    """What a comparison of the report's runs came to."""

    comparisons: tuple[Comparison, ...]
    refused: str | None
    """Why they cannot be compared; None where they were."""


def compared(scene: Scene) -> Compared | None:
    """The first run held against each of the others; None where there is one run only."""
    read = scene.read
    if len(read.runs) < 2:
        return None
    try:
        base, *others = (
            read_side([str(path)], path.parent, Wanted(), name=name)
            for path, name in zip(read.paths, read.run_names, strict=True)
        )
        return Compared(tuple(compare(base, others, Criteria())), None)
    except MinionbenchError as error:
        return Compared((), str(error))


def figures(scene: Scene, found: Compared | None) -> list[Figure]:
    """The comparison of runs; nothing where they cannot be compared."""
    if found is None or not found.comparisons:
        return []
    rows = _rows(found.comparisons)
    drawn = [row for row in rows if row.answer.change is not None][:MOST_ROWS]
    if not rows:
        return []
    base = found.comparisons[0].base.name

    def draw(room: Room) -> Spec:
        return _spec(drawn, room, len(found.comparisons) > 1)

    level = found.comparisons[0].level
    cut = f" The {MOST_ROWS} gravest of {len(rows)} are drawn." if len(rows) > MOST_ROWS else ""
    notes = dict.fromkeys(
        note
        for one in found.comparisons
        for note in (*one.notes, *(n for c in one.cells for n in c.notes))
    )
    noted = "".join(f" {sentence(note.rstrip('.'))}." for note in list(notes)[:4])
    return [
        Figure(
            key="comparison",
            title=f"Compared with {base}",
            finding=" ".join(_words(one) for one in found.comparisons),
            method=f"A point is the change against {base}, the line its {level:.0%} interval where "
            "there is one; the shaded middle is the change that nobody minds. Green is better and "
            "red worse, tested with all questions together (Holm); grey cannot be told. "
            "Replicates are the unit: sessions, or whole runs. minionbench compare says the same "
            f"in more words.{cut}{noted}",
            draw=draw,
            table=_table(rows),
        )
    ]


def _rows(comparisons: Sequence[Comparison]) -> list[Row]:
    rows = [
        Row(f"r{number}-{place}-{answer.metric}", one.new.name, cell.cell, answer)
        for number, one in enumerate(comparisons)
        for place, cell in enumerate(one.cells)
        for answer in cell.answers
    ]
    rows.sort(key=lambda row: (_ORDER[row.answer.verdict], not row.answer.headline))
    return rows


def _words(one: Comparison) -> str:
    """What came of one comparison, in a sentence."""
    counts = dict.fromkeys(_ROLES, 0)
    for verdict in one.verdicts():
        counts[str(verdict)] += 1
    said = listed([f"{count} {verdict}" for verdict, count in counts.items() if count])
    worst = [
        f"{title(a.metric)} of {cell.cell} {_change(a)}"
        for cell in one.cells
        for a in cell.answers
        if str(a.verdict) == "worse"
    ]
    gravest = f" Worse: {listed(worst, 4)}." if worst else ""
    return (
        f"{sentence(one.new.name)}: {one.verdict} on the whole ({said} of "
        f"{number_of(sum(counts.values()), 'metric')}).{gravest}"
    )


def _change(answer: Answer) -> str:
    if answer.change is None:
        return ABSENT
    if answer.scale == "points":
        return f"{answer.change:+.3g} points"
    return f"{100 * answer.change:+.3g} %"


def _spec(rows: Sequence[Row], room: Room, several: bool) -> Spec:
    panels = []
    for scale, heading in (("relative", "change, %"), ("points", "change, percentage points")):
        some = [row for row in rows if row.answer.scale == scale]
        if some:
            panels.append(_panel(some, scale, heading, room, several))
    return {"spacing": 26, "vconcat": panels}


def _panel(rows: Sequence[Row], scale: str, heading: str, room: Room, several: bool) -> Spec:
    factor = 100.0 if scale == "relative" else 1.0
    names = [(row.key, _name(row, several, room)) for row in rows]
    beside = width_of_names(names)
    tall = ROW if len(names[0][1]) == 1 else TALL_ROW
    width = room.width - beside - (60 if room.narrow else 130)
    reach = _reach(rows, factor)
    along = Scale(-reach, reach, False)
    values = []
    for row in rows:
        answer = row.answer
        assert answer.change is not None
        low = -math.inf if answer.low is None else answer.low * factor
        high = math.inf if answer.high is None else answer.high * factor
        change = answer.change * factor
        values.append(
            {
                "row": row.key,
                "change": min(max(change, -reach), reach),
                "low": min(max(low, -reach), reach),
                "high": min(max(high, -reach), reach),
                "minded": min(answer.threshold * factor, reach),
                "unminded": -min(answer.threshold * factor, reach),
                "colour": light(_ROLES[str(answer.verdict)]),
                "said": str(answer.verdict),
                "bounded": answer.low is not None or answer.high is not None,
            }
        )
    order = [row.key for row in rows]
    y: Spec = {
        "field": "row",
        "type": "ordinal",
        "sort": order,
        "scale": {"domain": order},
        "axis": None,
    }
    x: Spec = {"type": "quantitative", "scale": along.spec(), "axis": axis(heading, along)}
    return {
        "width": width,
        "height": tall * len(rows),
        "data": {"values": values},
        "encoding": {"y": y},
        "layer": [
            {
                "mark": {"type": "bar", "height": tall, "color": light("band")},
                "encoding": {"x": {**x, "field": "unminded"}, "x2": {"field": "minded"}},
            },
            {
                "data": {"values": [{"at": 0}]},
                "mark": {"type": "rule", "color": light("rule")},
                "encoding": {
                    "x": {**x, "field": "at"},
                    "y": {"value": 0},
                    "y2": {"value": "height"},
                },
            },
            {
                "data": {"values": [row for row in values if row["bounded"]]},
                "mark": {"type": "rule", "strokeWidth": 2.5, "strokeCap": "round"},
                "encoding": {
                    "x": {**x, "field": "low"},
                    "x2": {"field": "high"},
                    "color": by_role(),
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {"x": {**x, "field": "change"}, "color": by_role()},
            },
            {
                "mark": {"type": "text", "align": "left", "baseline": "middle"},
                "encoding": {
                    "x": {"value": width + 8},
                    "text": {"field": "said"},
                    "color": by_role(),
                },
            },
            rows_of_names(names),
        ],
    }


def _name(row: Row, several: bool, room: Room) -> tuple[str, ...]:
    metric, cell = title(row.answer.metric), row.cell
    if several:
        cell = f"{row.new} · {cell}"
    if room.narrow:
        return shortened(metric, room.name_length), shortened(cell, room.name_length)
    return (shortened(f"{metric} · {cell}", room.name_length + 8),)


def _reach(rows: Sequence[Row], factor: float) -> float:
    """How far the axis goes to both sides: as far as changes do, and intervals within reason."""
    ends = []
    for row in rows:
        answer = row.answer
        assert answer.change is not None
        ends.append(abs(answer.change) * 1.2)
        ends.append(answer.threshold * 1.5)
        for end in (answer.low, answer.high):
            if end is not None:
                most = WIDEST if answer.scale == "relative" else 100 * WIDEST
                ends.append(min(abs(end) * 1.05, most))
    return max(ends) * factor or 1.0


def _table(rows: Sequence[Row]) -> Table:
    columns = (
        Column("metric"),
        Column("cell"),
        Column("run"),
        Column("base", True),
        Column("new", True),
        Column("change", True),
        Column("p, adjusted", True),
        Column("replicates", True),
        Column("finds changes from", True),
        Column("verdict"),
        Column("why", wordy=True),
    )
    items = []
    for row in rows:
        answer = row.answer
        verdict = str(answer.verdict)
        items.append(
            (
                text_item(title(answer.metric)),
                text_item(row.cell),
                text_item(row.new),
                _value(answer, answer.base),
                _value(answer, answer.new),
                Item(_change(answer), answer.change, under=_interval(answer)),
                number_item(answer.p_adjusted),
                count_item(answer.base_replicates, under=f"against {answer.new_replicates}"),
                number_item(
                    answer.detectable,
                    _detectable(answer),
                ),
                Item(verdict, verdict, tone=_TONES[verdict]),
                text_item(answer.why),
            )
        )
    return Table("Every metric that was compared.", columns, tuple(items))


def _detectable(answer: Answer) -> str:
    """The smallest change that would have been found; where that is absurd, that it is far off."""
    if answer.detectable is None:
        return ABSENT
    if answer.scale == "relative" and answer.detectable > MOST_DETECTABLE:
        return f"beyond {amount(MOST_DETECTABLE, answer.scale)}"
    return amount(answer.detectable, answer.scale)


MOST_DETECTABLE = 10.0
"""Relative change beyond which a figure says no more than that nothing can be found."""


def _value(answer: Answer, value: float | None) -> Item:
    return number_item(value, None if value is None else f"{number(value)} {answer.unit}".strip())


def _interval(answer: Answer) -> str:
    if answer.low is None and answer.high is None:
        return ""
    low, high = (
        "…" if end is None else f"{(100 if answer.scale == 'relative' else 1) * end:+.3g}"
        for end in (answer.low, answer.high)
    )
    return f"{low} … {high}"
