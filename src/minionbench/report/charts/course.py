"""The course of a run: the latency of its requests by the instant at which they were sent."""

from __future__ import annotations

from collections.abc import Sequence

from minionbench.report.charts.drawn import REST, Scale, axis, scale_of
from minionbench.report.charts.scene import Scene
from minionbench.report.charts.timeline import MOST_PANELS, Held, held_options, name_in_panel
from minionbench.report.drawing import Spec
from minionbench.report.figure import Figure, Room
from minionbench.report.measures import unit_of
from minionbench.report.palette import light
from minionbench.report.reading import Course, Option, Requests
from minionbench.report.table import Column, Table, number_item, text_item
from minionbench.stats import median, quantile

STRIPES = 120
"""Stretches of time that a long run's course is drawn in."""
AS_POINTS = 300
"""Requests up to which each is a point of the course."""


def figures(scene: Scene) -> list[Figure]:
    """Latency over the run; nothing without records."""
    held = held_options(scene)
    drawn = [(o, r) for o, r in held if any(c.latency_s is not None for c in r.course)]
    drawn = drawn[:MOST_PANELS]
    if not drawn:
        return []

    def draw(room: Room) -> Spec:
        across = 1 if room.narrow or len(drawn) == 1 else 2
        width = (room.width - across * 58) / across
        panels = [_course_panel(scene, option, requests, width) for option, requests in drawn]
        return {"columns": across, "spacing": 24, "concat": panels}

    long = [requests for _, requests in drawn if len(requests.course) > AS_POINTS]
    cut = (
        f" Cells of more than {AS_POINTS} requests are drawn in {STRIPES} stretches of time: the "
        "line is the median of a stretch, the band reaches from its fastest to its slowest "
        "request, so that nothing is hidden."
        if long
        else ""
    )
    return [
        Figure(
            key="course",
            title="Latency over the run",
            finding=f"{'; '.join(_drift(scene, option, requests) for option, requests in drawn)}.",
            method="A point is a measured request: its total latency by the instant at which it "
            "was sent. A drift means that the machine or the server changed while it was "
            f"measured.{cut}",
            draw=draw,
            table=_course_table(scene, drawn),
        )
    ]


def _halves(requests: Requests) -> tuple[list[float], list[float]]:
    known = sorted((c.sent_s, c.latency_s) for c in requests.course if c.latency_s is not None)
    middle = len(known) // 2
    return [latency for _, latency in known[:middle]], [latency for _, latency in known[middle:]]


def _drift(scene: Scene, option: Option, requests: Requests) -> str:
    first, second = _halves(requests)
    name = name_in_panel(scene, option, 60)
    if not first:
        return f"{name}: a single request"
    unit = unit_of("total_latency_s", [*first, *second])
    return (
        f"{name}: median {unit.said(median(first))} in the first half, "
        f"{unit.said(median(second))} in the second"
    )


def _course_panel(scene: Scene, option: Option, requests: Requests, width: float) -> Spec:
    course = requests.course
    begin = min(one.sent_s for one in course)
    known = [one for one in course if one.latency_s is not None]
    unit = unit_of("total_latency_s", [one.latency_s for one in known])
    scale = scale_of([(one.latency_s or 0.0) * unit.factor for one in known])
    end = max(one.sent_s for one in course) - begin
    x = {
        "type": "quantitative",
        "scale": {"domain": [0, end or 1.0], "nice": False},
        "axis": axis("sent after, s", Scale(0, end or 1.0, False)),
    }
    y = {
        "type": "quantitative",
        "scale": scale.spec(),
        "axis": axis(unit.titled("total latency"), scale, ticks=4),
    }
    role = scene.colour(option)
    colour = light("ink" if role == REST else role)
    layers: list[Spec] = []
    if len(course) <= AS_POINTS:
        rows = [
            {"x": one.sent_s - begin, "y": (one.latency_s or 0.0) * unit.factor} for one in known
        ]
        layers.append(
            {
                "data": {"values": rows},
                "mark": {"type": "point", "filled": True, "size": 26, "opacity": 0.75}
                | {"color": colour},
                "encoding": {"x": {**x, "field": "x"}, "y": {**y, "field": "y"}},
            }
        )
    else:
        layers += _stripes(known, begin, end, unit.factor, x, y, colour)
    failed = [{"x": one.sent_s - begin} for one in course if not one.ok]
    if failed:
        thinned = failed[:: max(1, len(failed) // 400)]
        layers.append(
            {
                "data": {"values": thinned},
                "mark": {"type": "tick", "thickness": 1.5, "size": 10, "color": light("bad")},
                "encoding": {"x": {**x, "field": "x"}, "y": {"value": 5}},
            }
        )
    return {
        "width": width,
        "height": 150,
        "title": name_in_panel(scene, option, 44),
        "layer": layers,
    }


def _stripes(
    known: Sequence[Course],
    begin: float,
    end: float,
    factor: float,
    x: Spec,
    y: Spec,
    colour: str,
) -> list[Spec]:
    """The course in stretches of time: median, and the whole range around it."""
    stretches: dict[int, list[float]] = {}
    for one in known:
        place = min(STRIPES - 1, int((one.sent_s - begin) / (end or 1.0) * STRIPES))
        stretches.setdefault(place, []).append((one.latency_s or 0.0) * factor)
    rows = [
        {
            "x": (place + 0.5) / STRIPES * end,
            "low": min(values),
            "middle": median(values),
            "high": max(values),
        }
        for place, values in sorted(stretches.items())
    ]
    data = {"values": rows}
    return [
        {
            "data": data,
            "mark": {"type": "area", "opacity": 0.2, "color": colour},
            "encoding": {
                "x": {**x, "field": "x"},
                "y": {**y, "field": "low"},
                "y2": {"field": "high"},
            },
        },
        {
            "data": data,
            "mark": {"type": "line", "strokeWidth": 1.8, "color": colour},
            "encoding": {"x": {**x, "field": "x"}, "y": {**y, "field": "middle"}},
        },
    ]


def _course_table(scene: Scene, drawn: Sequence[Held]) -> Table:
    everything = [c.latency_s for _, r in drawn for c in r.course]
    unit = unit_of("total_latency_s", everything)
    columns = [Column("option"), Column("workload"), Column("n", True)]
    columns += [
        Column(unit.titled(what), True)
        for what in ("first half, median", "second half, median", "slowest tenth begins at")
    ]
    columns.append(Column("second half against first, %", True))
    rows = []
    for option, requests in drawn:
        first, second = _halves(requests)
        whole = [*first, *second]
        before = median(first) if first else None
        after = median(second) if second else None
        change = 100 * (after / before - 1) if before and after is not None else None
        rows.append(
            (
                text_item(option.name, colour=scene.colour(option)),
                text_item(option.place.name),
                number_item(float(len(whole)), f"{len(whole):,}"),
                *(
                    number_item(None if value is None else value * unit.factor)
                    for value in (before, after, quantile(whole, 0.9) if whole else None)
                ),
                number_item(change, None if change is None else f"{change:+.1f}"),
            )
        )
    return Table("Total latency in the two halves of the run.", tuple(columns), tuple(rows))
