"""What meters showed while a run went on: power of the device, and memory, with the phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from minionbench.metrics.energy import device
from minionbench.metrics.meter_reading import readings
from minionbench.metrics.throughput import Window
from minionbench.report.charts.drawn import (
    Scale,
    axis,
    by_role,
    dense,
    label_layers,
    placed,
    scale_of,
)
from minionbench.report.charts.scene import Scene
from minionbench.report.drawing import Spec
from minionbench.report.figure import Figure, Room
from minionbench.report.palette import SERIES, light
from minionbench.report.table import Column, Table, number_item, text_item
from minionbench.report.text import in_one_line, listed, number, shortened
from minionbench.traces import Mark, Stream, Trace
from minionbench.units import BYTES_PER_MB, NS_PER_S, number_of, seconds

MOST_TRACES = 6
"""Stretches of measuring that are drawn, each with a panel of its own."""
POINTS = 300
"""Points of a line at most."""
LEAST_BIN_NS = NS_PER_S // 2
"""Shortest time over which power is averaged: a few updates of a usual meter."""
HEIGHT = 190.0
_PHASES = {"idle": ("rest", 0.10), "warmup": ("gold", 0.12), "measured": ("blue", 0.10)}


class Line(NamedTuple):
    """One line of a panel."""

    name: str
    stream: Stream
    points: tuple[tuple[float, float, float], ...]
    """(seconds since the begin, lowest, highest); both are the same where nothing was thinned."""


class Traced(NamedTuple):
    """One stretch of measuring with its lines."""

    name: str
    trace: Trace
    begin_ns: int
    lines: tuple[Line, ...]


def figures(scene: Scene) -> list[Figure]:
    """A figure for power and one for memory, where there are traces of them."""
    stretches = [
        (run, place, trace)
        for run, of_run in enumerate(scene.read.traces)
        for place, trace in enumerate(of_run)
        if trace.looks
    ]
    made = []
    for key, lines in (("energy", _power), ("memory", _memory)):
        found = []
        for run, place, trace in stretches:
            begin = _begin(trace)
            drawn = lines(trace, begin)
            if drawn:
                name = _named(scene, run, place, trace, len(stretches))
                found.append(Traced(name, trace, begin, drawn))
        if found:
            made.append(_figure(key, found))
    return made


def _begin(trace: Trace) -> int:
    first = min(looks[0].at_ns for looks in trace.looks.values() if looks)
    return min([first, *(mark.start_ns for mark in trace.marks)])


def _named(scene: Scene, run: int, place: int, trace: Trace, many: int) -> str:
    """Which candidate a stretch is of, as far as its marks say."""
    cells = {cell for mark in trace.marks for cell in mark.cells}
    names = dict.fromkeys(
        option.name
        for option in scene.read.options
        if option.run == run and option.cell.cell_id in cells
    )
    if len(names) == 1:
        return shortened(next(iter(names)), 44)
    return "" if many == 1 else f"{scene.read.run_names[run]}, part {place + 1}"


def _power(trace: Trace, begin: int) -> tuple[Line, ...]:
    """The power of each part of the device, averaged over stretches of time."""
    made_of = device(trace)
    if made_of is None:
        return ()
    reading = readings(trace)
    lines = []
    for part in made_of.parts:
        stream = part.stream
        looks = [look for look in trace.looks.get(stream.stream_id, ()) if look.value is not None]
        if len(looks) < 2:
            continue
        first, last = looks[0].at_ns, looks[-1].at_ns
        step = max(LEAST_BIN_NS, 2 * (stream.update_ns or 0), -(-(last - first) // POINTS))
        points = []
        for start in range(first, last - step + 1, step):
            use = reading[stream.stream_id].use(Window(start, start + step))
            if not isinstance(use, str):
                watts = use.joules / seconds(step)
                points.append((seconds(start + step // 2 - begin), watts, watts))
        if points:
            lines.append(Line(_called(stream), stream, tuple(points)))
    return tuple(lines)


def _memory(trace: Trace, begin: int) -> tuple[Line, ...]:
    lines = []
    for stream in trace.of_quantity("memory"):
        looks = [
            (look.at_ns, look.value)
            for look in trace.looks.get(stream.stream_id, ())
            if look.value is not None
        ]
        if not looks:
            continue
        size = -(-len(looks) // POINTS)
        points = []
        for start in range(0, len(looks), size):
            some = looks[start : start + size]
            values = [value / BYTES_PER_MB for _, value in some]
            points.append((seconds(some[0][0] - begin), min(values), max(values)))
        lines.append(Line(_called(stream), stream, tuple(points)))
    return tuple(lines)


def _called(stream: Stream) -> str:
    covers = in_one_line(stream.covers)
    # Some meters say it themselves.
    said = stream.basis == "measured" or "modelled" in covers
    return covers if said else f"{covers} (modelled)"


_WORDS = {
    "energy": ("Power of the device", "power, W", "W"),
    "memory": ("Memory of the engine", "memory, MB", "MB"),
}


def _figure(key: str, found: Sequence[Traced]) -> Figure:
    drawn = found[:MOST_TRACES]
    heading, label, unit = _WORDS[key]

    def draw(room: Room) -> Spec:
        return _spec(drawn, label, room)

    said = []
    for traced in drawn:
        for line in traced.lines:
            top = max(high for *_, high in line.points)
            at = next(x for x, _, high in line.points if high == top)
            where = f"{traced.name}: " if traced.name else ""
            said.append(f"{where}{line.name} at most {number(top)} {unit}, {number(at)} s in")
    cut = f" Of {number_of(len(found), 'stretch', 'stretches')} the first {MOST_TRACES} are drawn."
    how = (
        "Average power of stretches of at least half a second"
        if key == "energy"
        else "Memory as it was looked at; where a line stands for several looks it is a band from "
        "the least to the most of them"
    )
    basis = {line.stream.basis for traced in drawn for line in traced.lines}
    methods = dict.fromkeys(
        in_one_line(line.stream.method) for t in drawn for line in t.lines if line.stream.method
    )
    return Figure(
        key=key,
        title=heading,
        finding=f"{'; '.join(said)}.",
        method=f"{how}, in {unit}, by seconds since the first look; {listed(sorted(basis))}"
        f"{f' by {listed(list(methods), 4)}' if methods else ''}. The shades behind are phases: "
        f"grey idle, yellow warm-up, blue measured.{cut if len(found) > MOST_TRACES else ''}",
        draw=draw,
        table=_table(drawn, unit),
    )


def _spec(drawn: Sequence[Traced], label: str, room: Room) -> Spec:
    across = 1 if room.narrow or len(drawn) == 1 else 2
    width = (room.width - across * 60) / across
    return {
        "columns": across,
        "spacing": 24,
        "concat": [_panel(traced, label, width) for traced in drawn],
    }


def _panel(traced: Traced, label: str, width: float) -> Spec:
    highest = max(high for line in traced.lines for *_, high in line.points)
    end = max(x for line in traced.lines for x, *_ in line.points) or 1.0
    scale = scale_of([0.0, highest])
    x = {
        "type": "quantitative",
        "scale": {"domain": [0, end], "nice": False},
        "axis": axis("seconds since the first look", Scale(0, end, False), grid=False),
    }
    y = {"type": "quantitative", "scale": scale.spec(), "axis": axis(label, scale, ticks=4)}
    layers = [_phases(traced, x, end)]
    colours = dict(zip((line.name for line in traced.lines), SERIES, strict=False))
    for line in traced.lines:
        role = colours.get(line.name, "rest")
        rows = [{"x": at, "low": low, "high": high} for at, low, high in line.points]
        layers.append(
            {
                "data": {"values": rows},
                "mark": {"type": "area", "opacity": 0.25, "color": light(role)},
                "encoding": {
                    "x": {**x, "field": "x"},
                    "y": {**y, "field": "low"},
                    "y2": {"field": "high"},
                },
            }
        )
        layers.append(
            {
                "data": {"values": rows},
                "mark": {"type": "line", "strokeWidth": 1.8, "color": light(role)},
                "encoding": {"x": {**x, "field": "x"}, "y": {**y, "field": "high"}},
            }
        )
    layers += _names(traced, colours, Scale(0, end, False), scale, width)
    return {"width": width, "height": HEIGHT, "title": traced.name, "layer": layers}


def _names(
    traced: Traced, colours: Mapping[str, str], along: Scale, scale: Scale, width: float
) -> list[Spec]:
    """Each line's name beside it, where there is room."""
    pixels = {
        line.name: [
            (along.place(at) * width, (1 - scale.place(high)) * HEIGHT)
            for at, _, high in line.points
        ]
        for line in traced.lines
    }
    wanted = []
    for name, points in pixels.items():
        anchors = [points[len(points) * share // 8] for share in (4, 6, 2, 5, 3, 7, 1)]
        wanted.append((shortened(name, 48), anchors))
    taken = [point for points in pixels.values() for point in dense(points)]
    labels = placed(wanted, taken, width, HEIGHT)
    return label_layers(
        (label, colours.get(name, "rest"))
        for label, name in zip(labels, pixels, strict=True)
        if label is not None
    )


def _phases(traced: Traced, x: Spec, end: float) -> Spec:
    """The phases as shades behind the lines."""
    rows = []
    for mark in traced.trace.marks:
        start, stop = (seconds(at - traced.begin_ns) for at in (mark.start_ns, mark.end_ns))
        role, faint = _PHASES[mark.phase]
        if start < end:
            rows.append(
                {
                    "from": max(0.0, start),
                    "to": min(end, stop),
                    "colour": light(role),
                    "faint": faint,
                }
            )
    faint_by = {"field": "faint", "type": "quantitative", "scale": None, "legend": None}
    return {
        "data": {"values": rows},
        "mark": {"type": "rect"},
        "encoding": {
            "x": {**x, "field": "from"},
            "x2": {"field": "to"},
            "color": by_role(),
            "opacity": faint_by,
        },
    }


def _table(drawn: Sequence[Traced], unit: str) -> Table:
    columns = (
        Column("part"),
        Column("stretch"),
        Column("phase"),
        Column(f"least, {unit}", True),
        Column(f"most, {unit}", True),
        Column("points", True),
    )
    rows = []
    for traced in drawn:
        for line in traced.lines:
            for phase in ("idle", "warmup", "measured"):
                windows = [mark for mark in traced.trace.marks if mark.phase == phase]
                inside = [p for p in line.points if _within(p[0], windows, traced.begin_ns)]
                if inside:
                    rows.append(
                        (
                            text_item(line.name),
                            text_item(traced.name or "the run"),
                            text_item(phase),
                            number_item(min(low for _, low, _ in inside)),
                            number_item(max(high for *_, high in inside)),
                            number_item(float(len(inside)), f"{len(inside):,}"),
                        )
                    )
    return Table("Extremes of each line in each phase.", columns, tuple(rows))


def _within(at_s: float, marks: Sequence[Mark], begin_ns: int) -> bool:
    return any(
        seconds(mark.start_ns - begin_ns) <= at_s <= seconds(mark.end_ns - begin_ns)
        for mark in marks
    )
