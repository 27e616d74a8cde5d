"""The heat map: candidates by workloads and loads, each cell of the factorial with its figure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minionbench.report.charts.drawn import Names, by_role, rows_of_names, width_of_names
from minionbench.report.charts.scene import Scene
from minionbench.report.drawing import Spec
from minionbench.report.figure import Figure, Room
from minionbench.report.measures import Unit, better, title, unit_of
from minionbench.report.palette import HEAT, heat_ink, light
from minionbench.report.reading import Option
from minionbench.report.table import Column, Item, Table, metric_item, text_item
from minionbench.report.text import listed, number, sentence, shortened
from minionbench.units import number_of

SHOWN = (
    "accuracy_pct",
    "total_latency_s",
    "cost_usd",
    "energy_wh_per_request",
    "output_tokens_per_sec",
    "ttft_s",
)
MOST_PANELS = 6
MOST_ROWS = 40
FEWEST = 4
"""Cells from which on a map says more than the overview."""
ROW = 26


def figures(scene: Scene) -> list[Figure]:
    """One map per metric, where there are several candidates and cells."""
    options = [option for group in scene.groups for option in group.options]
    names = list(dict.fromkeys(option.name for option in options))
    columns = list(dict.fromkeys(option.place.name for option in options))
    repeated = all(group.is_repeated for group in scene.groups)
    if repeated or len(names) < 2 or len(columns) < 2 or len(options) < FEWEST:
        return []
    metrics = [n for n in SHOWN if any(option.value(n) is not None for option in options)]
    if not metrics:
        return []
    metrics = metrics[:MOST_PANELS]
    order = _by_rank(scene, names)
    drawn = order[:MOST_ROWS]

    def draw(room: Room) -> Spec:
        return _spec(options, metrics, drawn, columns, room)

    cut = (
        f" Of {len(order)} candidates the {MOST_ROWS} that rank first are drawn."
        if len(order) > MOST_ROWS
        else ""
    )
    return [
        Figure(
            key="heat-map",
            title="Heat map of the cells",
            finding=f"{number_of(len(options), 'cell')}: {number_of(len(names), 'candidate')} by "
            f"{listed(columns, 6)}. {_best(options, metrics)}",
            method="↓ less is better, ↑ more: the stronger the colour, the better the cell, on a "
            "scale of its own for each metric and column (logarithmic but for percentages). A dash "
            "was not measured, ! has a verdict that is not valid; the table gives intervals and "
            f"reasons.{cut}",
            draw=draw,
            table=_table(scene, options, metrics),
        )
    ]


def _by_rank(scene: Scene, names: Sequence[str]) -> list[str]:
    """The candidates, those first whose places in the workloads are the best on average."""
    ranks: dict[str, list[float]] = {name: [] for name in names}
    for group in scene.groups:
        for place, one in enumerate(group.ranked):
            ranks[one.option.name].append(place / len(group.ranked))
    return sorted(
        names, key=lambda name: sum(ranks[name]) / len(ranks[name]) if ranks[name] else math.inf
    )


def _best(options: Sequence[Option], metrics: Sequence[str]) -> str:
    said = []
    for name in metrics:
        known = [(value, option) for option in options if (value := option.value(name)) is not None]
        if len({value for value, _ in known}) > 1:
            pick = min if better(name) == "lower" else max
            value, option = pick(known, key=lambda entry: entry[0])
            unit = unit_of(name, [value for value, _ in known])
            said.append(
                f"best {title(name)}: {unit.said(value)} ({option.name}, {option.place.name})"
            )
    return f"{sentence('; '.join(said))}." if said else "All are alike."


def _spec(
    options: Sequence[Option],
    metrics: Sequence[str],
    rows: Sequence[str],
    columns: Sequence[str],
    room: Room,
) -> Spec:
    names = [(row, (shortened(row, room.name_length),)) for row in rows]
    beside = width_of_names(names)
    least = 58.0 * len(columns)
    free = room.width - beside - 20
    across = 1 if room.narrow else max(1, min(len(metrics), int((free + 24) // (least + 24))))
    width = (free - 24 * (across - 1)) / across
    # A few wide boxes are no better to read than narrow ones.
    width = min(width, 130.0 * len(columns))
    panels = [
        _panel(options, name, rows, columns, names if place % across == 0 else [], width)
        for place, name in enumerate(metrics)
    ]
    return {
        "columns": across,
        "spacing": 24,
        "concat": panels,
    }


def _panel(
    options: Sequence[Option],
    name: str,
    rows: Sequence[str],
    columns: Sequence[str],
    names: Names,
    width: float,
) -> Spec:
    unit = unit_of(name, [option.value(name) for option in options])
    boxes: list[Spec] = []
    for column in columns:
        inside = [o for o in options if o.place.name == column and o.name in rows]
        steps = _steps(name, [option.value(name) for option in inside])
        for option, step in zip(inside, steps, strict=True):
            boxes.append(_box(option, name, unit, step))
    long = max(3, int(width / len(columns) / 6.8))
    heads: list[Spec] = [
        {"column": column, "name": [shortened(part, long) for part in column.split(" · ", 1)]}
        for column in columns
    ]
    lines = max(len(head["name"]) for head in heads)
    x: Spec = {"field": "column", "type": "ordinal", "sort": list(columns), "axis": None}
    x |= {"scale": {"domain": list(columns), "paddingInner": 0.03}}
    y: Spec = {"field": "row", "type": "ordinal", "sort": list(rows), "axis": None}
    y |= {"scale": {"domain": list(rows), "paddingInner": 0.06}}
    layers: list[Spec] = [
        {"mark": {"type": "rect", "cornerRadius": 2}, "encoding": {"color": by_role()}},
        {
            "mark": {"type": "text", "baseline": "middle"},
            "encoding": {"text": {"field": "said"}, "color": by_role("ink")},
        },
        {
            "data": {"values": heads},
            "mark": {"type": "text", "baseline": "line-bottom", "color": light("muted")},
            "encoding": {"x": x, "y": {"value": -4 - 14 * (lines - 1)}, "text": {"field": "name"}},
        },
    ]
    if names:
        layers.append(rows_of_names(names))
    direction = "↓" if better(name) == "lower" else "↑"
    return {
        "width": width,
        "height": ROW * len(rows),
        "title": {
            "text": title(name),
            "subtitle": f"{direction} {unit.name}".strip(),
            "frame": "group",
            "offset": 8,
        },
        "data": {"values": boxes},
        "encoding": {"x": x, "y": y},
        "layer": layers,
    }


def _box(option: Option, name: str, unit: Unit, step: int | None) -> Spec:
    value = option.value(name)
    mark = "" if option.cell.verdict.status == "valid" else " !"
    metric = option.metric(name)
    failed = metric is not None and metric.status == "error"
    if value is None or step is None:
        return {
            "row": option.name,
            "column": option.place.name,
            "colour": light("band"),
            "ink": light("muted"),
            "said": "error" if failed else "–",
        }
    return {
        "row": option.name,
        "column": option.place.name,
        "colour": light(f"heat-{step}"),
        "ink": light(heat_ink(step)),
        "said": f"{number(value * unit.factor)}{mark}",
    }


def _steps(name: str, values: Sequence[float | None]) -> list[int | None]:
    """Of each value its step, the best the last; all in the middle where they are alike."""
    known = [value for value in values if value is not None]
    places = {value: value for value in known}
    if known and min(known) > 0 and "pct" not in name:
        places = {value: math.log(value) for value in known}
    low, high = min(places.values(), default=0.0), max(places.values(), default=0.0)
    steps: list[int | None] = []
    for value in values:
        if value is None:
            steps.append(None)
            continue
        share = 0.5 if high == low else (places[value] - low) / (high - low)
        if better(name) == "lower":
            share = 1 - share
        steps.append(min(len(HEAT) - 1, int(share * len(HEAT))))
    return steps


def _table(scene: Scene, options: Sequence[Option], metrics: Sequence[str]) -> Table:
    units = {name: unit_of(name, [option.value(name) for option in options]) for name in metrics}
    columns = [Column("candidate"), Column("cell")]
    columns += [Column(units[name].titled(title(name)), True) for name in metrics]
    columns.append(Column("verdict"))
    rows = tuple(
        (
            text_item(option.name, colour=scene.colour(option)),
            text_item(option.place.name),
            *(metric_item(option.metric(name), units[name]) for name in metrics),
            _verdict(option),
        )
        for option in options
    )
    return Table("The factorial's cells, below each value its interval.", tuple(columns), rows)


def _verdict(option: Option) -> Item:
    status = option.cell.verdict.status
    tone = {"valid": "good", "suspect": "doubt", "invalid": "bad"}[status]
    return Item(status, status, tone=tone)
