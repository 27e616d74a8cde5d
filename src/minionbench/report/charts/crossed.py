"""Two metrics against each other: throughput against latency, and quality against what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minionbench.report.charts.drawn import (
    REST,
    Scale,
    axis,
    by_role,
    label_layers,
    placed,
    scale_of,
)
from minionbench.report.charts.scene import Scene
from minionbench.report.choice import Group
from minionbench.report.drawing import Spec
from minionbench.report.figure import Figure, Room
from minionbench.report.labels import load_name
from minionbench.report.measures import (
    Unit,
    better,
    bounded,
    level_of,
    said,
    title,
    unit_of,
)
from minionbench.report.palette import light
from minionbench.report.reading import Option
from minionbench.report.table import (
    Column,
    Item,
    Table,
    metric_item,
    number_item,
    text_item,
)
from minionbench.report.text import listed, sentence, shortened
from minionbench.units import number_of

MOST_FRONTS = 6
"""Groups whose fronts are drawn."""
_DELIVERED = "output_tokens_per_sec"
_AWAITED = "total_latency_s"


class Axis(NamedTuple):
    """One axis of a crossing."""

    metric: str
    unit: Unit
    scale: Scale


def throughput(scene: Scene) -> list[Figure]:
    """What all streams deliver against what one request takes; nothing for a single option."""
    options = [
        option
        for option in scene.read.options
        if option.value(_DELIVERED) is not None and option.value(_AWAITED) is not None
    ]
    # Workloads are no alternatives: it takes several candidates or loads.
    loads = {option.cell.load.encoded() for option in options}
    if len(options) < 2 or (scene.varied == "workloads" and len(loads) < 2):
        return []
    panels: dict[str, list[Option]] = {}
    for option in options:
        panels.setdefault(option.place.workload, []).append(option)

    across = min(2, len(panels))

    def draw(room: Room) -> Spec:
        shown = [
            _crossing(scene, label, some, _AWAITED, _DELIVERED, room, across, joined=True)
            for label, some in panels.items()
        ]
        return _side_by_side(shown, room)

    said_best = []
    for label, some in panels.items():
        best = max(some, key=lambda option: option.value(_DELIVERED) or 0.0)
        unit = unit_of(_AWAITED, [option.value(_AWAITED) for option in some])
        rate = said(best.metric(_DELIVERED), unit_of(_DELIVERED, []))
        name = " with ".join(filter(None, (best.name, best.place.load)))
        said_best.append(
            f"most throughput in {label}: {name}, {rate} at {said(best.metric(_AWAITED), unit)}"
        )
    metrics = [option.metric(name) for option in options for name in (_AWAITED, _DELIVERED)]
    return [
        Figure(
            key="throughput",
            title="Throughput against latency",
            finding=f"{sentence('; '.join(said_best))}.",
            method="Better is up and to the left. Throughput is what all streams deliver together "
            "in the steady state, in output tokens per second; latency is the median over "
            f"requests. Lines through a point are its {level_of(metrics)}; where one candidate was "
            "measured under several loads, its points are joined.",
            draw=draw,
            table=_crossed_table(scene, options, (_AWAITED, _DELIVERED, "requests_per_sec")),
        )
    ]


def fronts(scene: Scene) -> list[Figure]:
    """Quality against time, cost and energy, with who is dominated by nobody."""
    held = [
        group
        for group in scene.groups
        if len(group.ranked) > 1 and len(group.axes) > 1 and not group.is_repeated
    ]
    if not held:
        return []

    drawn = held[:MOST_FRONTS]

    def draw(room: Room) -> Spec:
        across = 1 if room.narrow else max(len(_pairs(group)) for group in drawn)
        # A row for each group: what stands below each other is the same crossing.
        rows = []
        for group in drawn:
            pairs = _pairs(group)
            panels = [
                _crossing(
                    scene,
                    group.name if x == pairs[0][0] else "",
                    [one.option for one in group.ranked],
                    x,
                    y,
                    room,
                    across,
                    front=group,
                )
                for x, y in pairs
            ]
            rows.append({"vconcat" if room.narrow else "hconcat": panels, "spacing": 28})
        return {"vconcat": rows, "spacing": 28}

    cut = f" {MOST_FRONTS} of {len(held)} are drawn." if len(held) > MOST_FRONTS else ""
    findings = []
    for group in drawn:
        front = [one.option.name for one in group.ranked if one.on_front]
        if len(front) == len(group.ranked):
            findings.append(f"{group.name}: none of the {len(front)} dominates another")
            continue
        verb = "is" if len(front) == 1 else "are"
        findings.append(f"{group.name}: {listed(front, 6)} {verb} dominated by no other")
    metrics = [o.option.metric(n) for group in held for o in group.ranked for n in group.axes]
    return [
        Figure(
            key="front",
            title="Quality against what it takes: the Pareto front",
            finding=f"{'; '.join(findings)}.",
            method="Filled points are on the front: no other option is as good in everything that "
            f"counts ({listed([title(name) for name in held[0].axes])}) and better beyond the "
            "intervals in something. With few requests intervals are wide, and the front holds "
            "more than it would with many. Lines through a point are its "
            f"{level_of(metrics)}.{cut}",
            draw=draw,
            table=_front_table(scene, held),
        )
    ]


def _pairs(group: Group) -> list[tuple[str, str]]:
    """(x, y) of each panel: the first of what counts against each of the others."""
    return [(name, group.axes[0]) for name in group.axes[1:]]


def _side_by_side(panels: Sequence[Spec], room: Room) -> Spec:
    return {"columns": 1 if room.narrow else 2, "spacing": 28, "concat": list(panels)}


def _crossing(
    scene: Scene,
    label: str,
    options: Sequence[Option],
    x_name: str,
    y_name: str,
    room: Room,
    across: int,
    *,
    joined: bool = False,
    front: Group | None = None,
) -> Spec:
    across = 1 if room.narrow else across
    width = (room.width - across * 62 - 14 * across) / across
    height = 260.0 if across == 1 and not room.narrow else 220.0
    x, y = _axis(options, x_name), _axis(options, y_name)
    on_front = {one.option.key for one in front.ranked if one.on_front} if front else None
    rows = [_row(scene, option, x, y, on_front) for option in options]
    layers: list[Spec] = []
    x_encoding = {"type": "quantitative", "scale": x.scale.spec(), "axis": _titled(x)}
    y_encoding = {"type": "quantitative", "scale": y.scale.spec(), "axis": _titled(y)}
    if joined:
        layers += _joins(scene, options, rows, x_encoding, y_encoding)
    for low, high, fixed in (("x_low", "x_high", "x"), ("y_low", "y_high", "y")):
        along: Spec = (
            {
                "x": {**x_encoding, "field": low},
                "x2": {"field": high},
                "y": {**y_encoding, "field": "y"},
            }
            if fixed == "x"
            else {
                "x": {**x_encoding, "field": "x"},
                "y": {**y_encoding, "field": low},
                "y2": {"field": high},
            }
        )
        layers.append(
            {
                "mark": {"type": "rule", "strokeWidth": 1.2, "opacity": 0.55},
                "encoding": {**along, "color": by_role()},
            }
        )
    layers.append(
        {
            "mark": {"type": "point", "size": 85, "strokeWidth": 2, "opacity": 1},
            "encoding": {
                "x": {**x_encoding, "field": "x"},
                "y": {**y_encoding, "field": "y"},
                "stroke": by_role(),
                "fill": by_role("fill"),
            },
        }
    )
    layers += _names(scene, options, rows, x, y, width, height)
    # What is named lies above the rest, the best on top.
    named = [row for row in rows if row["colour"] != light(REST)]
    drawn = [*(row for row in rows if row["colour"] == light(REST)), *reversed(named)]
    panel: Spec = {"width": width, "height": height, "data": {"values": drawn}, "layer": layers}
    if label:
        panel["title"] = label
    return panel


def _axis(options: Sequence[Option], name: str) -> Axis:
    unit = unit_of(name, [option.value(name) for option in options])
    ends: list[float] = []
    for option in options:
        value = bounded(option.metric(name))
        if value is not None:
            shown = (value.low, value.value, value.high)
            ends += [end * unit.factor for end in shown if end is not None]
    if unit.name == "%":
        return Axis(name, unit, Scale(0.0, 100.0, False))
    return Axis(name, unit, scale_of(ends, room=0.1))


def _titled(along: Axis) -> Spec:
    return axis(along.unit.titled(title(along.metric)), along.scale)


Row = dict[str, float | str]


def _row(scene: Scene, option: Option, x: Axis, y: Axis, on_front: set[str] | None) -> Row:
    row: Row = {"key": option.key}
    for name, along in (("x", x), ("y", y)):
        value = bounded(option.metric(along.metric))
        assert value is not None
        ends = {"": value.value, "_low": value.low, "_high": value.high}
        for end, number in ends.items():
            shown = value.value if number is None else number
            held = min(max(shown * along.unit.factor, along.scale.low), along.scale.high)
            row[f"{name}{end}"] = held
    colour = light(scene.colour(option))
    filled = option.cell.verdict.status == "valid" if on_front is None else option.key in on_front
    return row | {"colour": colour, "fill": colour if filled else light("paper")}


def _joins(
    scene: Scene, options: Sequence[Option], rows: Sequence[Row], x: Spec, y: Spec
) -> list[Spec]:
    """Lines through the points of each candidate in one workload, by load."""
    lines: dict[tuple[str, str], list[tuple[float, Row]]] = {}
    for option, row in zip(options, rows, strict=True):
        load = option.cell.load
        size = load.concurrency if load.kind == "closed" else load.rate_per_s
        if size is not None:
            line = lines.setdefault((option.name, option.place.workload), [])
            line.append((float(size), row))
    layers = []
    for line in lines.values():
        if len({size for size, _ in line}) > 1:
            ordered = [row for _, row in sorted(line, key=lambda entry: entry[0])]
            values = [{"x": row["x"], "y": row["y"], "at": k} for k, row in enumerate(ordered)]
            layers.append(
                {
                    "data": {"values": values},
                    "mark": {
                        "type": "line",
                        "strokeWidth": 1.5,
                        "color": light("rest") if scene.varied == "loads" else ordered[0]["colour"],
                    },
                    "encoding": {
                        "x": {**x, "field": "x"},
                        "y": {**y, "field": "y"},
                        "order": {"field": "at", "type": "quantitative"},
                    },
                }
            )
    return layers


def _names(
    scene: Scene,
    options: Sequence[Option],
    rows: Sequence[Row],
    x: Axis,
    y: Axis,
    width: float,
    height: float,
) -> list[Spec]:
    """A name beside each point that has a colour of its own."""
    at = {
        str(row["key"]): (
            x.scale.place(float(row["x"])) * width,
            (1 - y.scale.place(float(row["y"]))) * height,
        )
        for row in rows
    }
    several = len({option.name for option in options}) < len(options)
    wanted = []
    roles = []
    for option in options:
        role = scene.colour(option)
        if role == REST:
            continue
        name = scene.series(option)
        if several and scene.varied == "candidates":
            name = f"{name} · {option.place.load or scene.read.run_names[option.run]}"
        wanted.append((shortened(name, 30), [at[option.key]]))
        roles.append(role)
    points = [(px + dx, py) for px, py in at.values() for dx in (-4, 0, 4)]
    labels = placed(wanted, points, width, height)
    return label_layers(
        (label, role) for label, role in zip(labels, roles, strict=True) if label is not None
    )


def _crossed_table(scene: Scene, options: Sequence[Option], names: Sequence[str]) -> Table:
    units = {name: unit_of(name, [option.value(name) for option in options]) for name in names}
    columns = [Column("option"), Column("workload"), Column("load")]
    columns += [Column(units[name].titled(title(name)), True) for name in names]
    rows = tuple(
        (
            text_item(option.name, colour=scene.colour(option)),
            text_item(option.place.workload),
            _load_item(option, load_name(option.cell.load)),
            *(metric_item(option.metric(name), units[name]) for name in names),
        )
        for option in options
    )
    return Table("Throughput and latency, below each its interval.", tuple(columns), rows)


def _load_item(option: Option, name: str) -> Item:
    load = option.cell.load
    size = load.concurrency if load.kind == "closed" else load.rate_per_s
    return Item(name, name if size is None else float(size))


def _front_table(scene: Scene, held: Sequence[Group]) -> Table:
    names = list(dict.fromkeys(name for group in held for name in group.axes))
    everyone = [one.option for group in held for one in group.ranked]
    units = {name: unit_of(name, [option.value(name) for option in everyone]) for name in names}
    columns = [Column("option"), Column("workload"), Column("on the front")]
    columns += [Column("score, 0–1", True)]
    columns += [
        Column(f"{units[n].titled(title(n))} ({'↓' if better(n) == 'lower' else '↑'})", True)
        for n in names
    ]
    rows = []
    for group in held:
        for one in group.ranked:
            own = one.score
            rows.append(
                (
                    text_item(one.option.name, colour=scene.colour(one.option)),
                    text_item(group.name),
                    Item("yes", 1.0, tone="good") if one.on_front else Item("no", 0.0),
                    number_item(
                        own.point, f"{own.point:.3f}", under=f"{own.low:.3f}–{own.high:.3f}"
                    ),
                    *(metric_item(one.option.metric(name), units[name]) for name in names),
                )
            )
    return Table(
        f"The {number_of(len(rows), 'option')} that came into question; ↓ less is better, ↑ more.",
        tuple(columns),
        tuple(rows),
    )
