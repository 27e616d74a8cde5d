"""The options beside each other: each metric as a point with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from minionbench.report.charts.drawn import (
    REST,
    Names,
    axis,
    by_role,
    rows_of_names,
    scale_of,
    width_of_names,
)
from minionbench.report.charts.scene import Scene
from minionbench.report.drawing import Spec
from minionbench.report.figure import Figure, Room
from minionbench.report.measures import (
    better,
    bounded,
    level_of,
    title,
    unit_of,
)
from minionbench.report.palette import light
from minionbench.report.reading import Option
from minionbench.report.table import Column, Item, Table, count_item, metric_item, text_item
from minionbench.report.text import listed, number, sentence, shortened
from minionbench.units import number_of

SHOWN = (
    "accuracy_pct",
    "total_latency_s",
    "ttft_s",
    "cost_usd",
    "energy_wh_per_request",
    "energy_j_per_token",
    "cove_pass_rate",
    "retrieval_score",
    "tokens_per_sec",
    "output_tokens_per_sec",
    "goodput_per_sec",
    "peak_ram_mb",
    "peak_vram_mb",
)
"""Metrics that are worth a panel, the most telling first."""
MOST_PANELS = 8
ACROSS = 4
"""Panels beside each other."""
MOST_ROWS = 30
FEW_ROWS = 12
"""Rows up to which there is a second line of panels."""
ROW = 24
"""Height of a row, in pixels."""
TALL_ROW = 36
"""Of one whose name has two lines."""
_TONES = {"valid": "good", "suspect": "doubt", "invalid": "bad"}


def figures(scene: Scene) -> list[Figure]:
    """The overview; nothing where no option has a value."""
    options = _ordered(scene)
    names = [name for name in SHOWN if any(option.value(name) is not None for option in options)]
    if not options or not names:
        return []
    drawn = _drawn(scene, options)
    panels = _panels(names, options, MOST_PANELS if len(drawn) <= FEW_ROWS else ACROSS)

    def draw(room: Room) -> Spec:
        return _spec(scene, drawn, panels, room)

    what = listed([title(name) for name in panels])
    metrics = [option.metric(name) for option in options for name in panels]
    more = (
        f" Drawn are {len(drawn)} of {len(options)} options, those that rank first in their "
        "workload; the table has all."
        if len(options) > len(drawn)
        else ""
    )
    grey = (
        " Grey is whoever comes after the six that have a colour."
        if any(scene.colour(option) == REST for option in options)
        else ""
    )
    return [
        Figure(
            key="overview",
            title="All options at a glance",
            finding=f"{number_of(len(options), 'option')} by {what}.{_extremes(options, panels)}",
            method="↓ less is better, ↑ more. A point is the value, the line its "
            f"{level_of(metrics)}; an open ring is an option whose verdict is not valid. "
            f"Durations and rates are medians over requests.{grey} The table gives n.{more}",
            draw=draw,
            table=_table(scene, options),
        )
    ]


def _ordered(scene: Scene) -> list[Option]:
    """The options by group, in each the best first."""
    return [
        option
        for group in scene.groups
        for option in (*(one.option for one in group.ranked), *(one for one, _ in group.out))
    ] or [option for option in scene.read.options if option.cell.metrics]


def _drawn(scene: Scene, options: Sequence[Option]) -> list[Option]:
    """The options that are drawn: all, or of each group the best."""
    if len(options) <= MOST_ROWS:
        return list(options)
    each = max(1, MOST_ROWS // max(1, len(scene.groups)))
    shown: list[Option] = []
    for group in scene.groups:
        inside = {option.key for option in group.options}
        shown += [option for option in options if option.key in inside][:each]
    return shown[:MOST_ROWS]


def _panels(names: Sequence[str], options: Sequence[Option], most: int) -> list[str]:
    """The metrics that are drawn: those that tell options apart before those that do not."""
    telling = [name for name in names if len({option.value(name) for option in options}) > 1]
    chosen = [*telling, *(name for name in names if name not in telling)][:most]
    return [name for name in names if name in chosen]


def _extremes(options: Sequence[Option], panels: Sequence[str]) -> str:
    said = []
    for name in panels:
        known = [(value, o) for o in options if (value := o.value(name)) is not None]
        if len(known) < 2 or len({value for value, _ in known}) < 2:
            continue
        unit = unit_of(name, [value for value, _ in known])
        (low, _), (high, _) = min(known, key=lambda e: e[0]), max(known, key=lambda e: e[0])
        said.append(f"{title(name)} from {number(low * unit.factor)} to {unit.said(high)}")
    return f" {sentence('; '.join(said))}." if said else ""


def _spec(scene: Scene, options: Sequence[Option], panels: Sequence[str], room: Room) -> Spec:
    one_place = len({option.place for option in options}) == 1
    names = [(option.key, _name(scene, option, room, one_place)) for option in options]
    beside = width_of_names(names)
    gap = 24
    across = 1 if room.narrow else min(len(panels), ACROSS)
    width = (room.width - beside - gap * (across - 1) - 20) / across
    shown = [
        _panel(scene, options, name, names, width, is_first=place % across == 0)
        for place, name in enumerate(panels)
    ]
    return {
        "columns": across,
        "spacing": gap,
        "concat": shown,
    }


def _name(scene: Scene, option: Option, room: Room, one_place: bool) -> tuple[str, ...]:
    """An option's name beside its row; on a narrow page in two lines where there is more to say."""
    if one_place:
        return (shortened(option.name, room.name_length),)
    if room.narrow and scene.varied == "candidates":
        return tuple(shortened(part, room.name_length) for part in (option.name, option.place.name))
    return (shortened(scene.full_name(option), room.name_length + 6),)


def _panel(
    scene: Scene,
    options: Sequence[Option],
    name: str,
    names: Names,
    width: float,
    *,
    is_first: bool,
) -> Spec:
    figures = {option.key: bounded(option.metric(name)) for option in options}
    unit = unit_of(name, [option.value(name) for option in options])
    rows: list[Spec] = []
    absent: list[Spec] = []
    for option in options:
        value = figures[option.key]
        if value is None:
            metric = option.metric(name)
            failed = metric is not None and metric.status == "error"
            absent.append({"row": option.key, "said": "error" if failed else "–"})
            continue
        low = value.value if value.low is None else value.low
        high = value.value if value.high is None else value.high
        rows.append(
            {
                "row": option.key,
                "value": value.value * unit.factor,
                "low": low * unit.factor,
                "high": high * unit.factor,
                "colour": light(scene.colour(option)),
                "fill": light(
                    scene.colour(option) if option.cell.verdict.status == "valid" else "paper"
                ),
            }
        )
    scale = scale_of([end for row in rows for end in (row["low"], row["high"])])
    if unit.name == "%":
        scale = scale._replace(low=0.0, high=100.0, log=False)
    y = {
        "field": "row",
        "type": "ordinal",
        "sort": [option.key for option in options],
        "scale": {"domain": [option.key for option in options]},
        "axis": None,
    }
    x = {
        "type": "quantitative",
        "scale": scale.spec(),
        "axis": axis(None, scale, ticks=3 if width < 190 else 6),
    }
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "strokeWidth": 2.5, "strokeCap": "round"},
            "encoding": {
                "x": {**x, "field": "low"},
                "x2": {"field": "high"},
                "color": by_role(),
            },
        },
        {
            "mark": {"type": "point", "filled": False, "size": 55, "strokeWidth": 2, "opacity": 1},
            "encoding": {
                "x": {**x, "field": "value"},
                "stroke": by_role(),
                "fill": by_role("fill"),
            },
        },
    ]
    if absent:
        layers.append(
            {
                "data": {"values": absent},
                "mark": {
                    "type": "text",
                    "align": "left",
                    "baseline": "middle",
                    "color": light("muted"),
                },
                "encoding": {"x": {"value": 4}, "text": {"field": "said"}},
            }
        )
    if is_first:
        layers.append(rows_of_names(names))
    direction = "↓" if better(name) == "lower" else "↑"
    return {
        "width": width,
        "height": (ROW if len(names[0][1]) == 1 else TALL_ROW) * len(options),
        "title": {
            "text": title(name),
            "subtitle": f"{direction} {unit.name}".strip(),
            "frame": "group",
        },
        "data": {"values": rows},
        "encoding": {"y": y},
        "layer": layers,
    }


def _table(scene: Scene, options: Sequence[Option]) -> Table:
    names = [name for name in SHOWN if any(option.metric(name) is not None for option in options)]
    names = [n for n in names if any(option.value(n) is not None for option in options)]
    units = {name: unit_of(name, [option.value(name) for option in options]) for name in names}
    place = {
        one.option.key: rank for group in scene.groups for rank, one in enumerate(group.ranked, 1)
    }
    ranked = any(len(group.ranked) > 1 for group in scene.groups)
    columns = [Column("option"), Column("workload")]
    if ranked:
        columns.append(Column("rank", True))
    columns += [Column("n", True)]
    columns += [Column(units[name].titled(title(name)), True) for name in names]
    columns.append(Column("verdict"))
    rows = []
    for option in options:
        status = option.cell.verdict.status
        row = [text_item(option.name, colour=scene.colour(option)), text_item(option.place.name)]
        if ranked:
            row.append(count_item(place.get(option.key)))
        row.append(_count(option))
        row += [metric_item(option.metric(name), units[name]) for name in names]
        row.append(Item(status, status, tone=_TONES[status]))
        rows.append(tuple(row))
    return Table(
        "Every option with its figures; below each value its interval.", tuple(columns), tuple(rows)
    )


def _count(option: Option) -> Item:
    """Requests that count, with the failed ones of them."""
    metric = option.metric("total_latency_s")
    about = {} if metric is None else metric.metadata
    requests, failed = about.get("requests"), about.get("failed")
    if not isinstance(requests, int):
        items = option.cell.workload.items
        return count_item(items)
    under = f"{failed} failed" if failed else ""
    return count_item(requests, under=under)
