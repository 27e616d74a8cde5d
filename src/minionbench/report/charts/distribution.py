"""Distributions: the share of requests answered within a time, failures in the denominator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from minionbench.report.charts.drawn import (
    REST,
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
from minionbench.report.measures import Unit, title, unit_of
from minionbench.report.palette import light
from minionbench.report.reading import Option
from minionbench.report.table import Column, Item, Table, number_item, text_item
from minionbench.report.text import bounds, number, shortened
from minionbench.stats import Estimate, percentile_needs, quantile_estimate
from minionbench.units import number_of

SHOWN = ("ttft_s", "total_latency_s", "response_time_s")
POINTS = 240
"""Steps of a curve that are drawn: a plot is no wider than a few times that, in pixels."""
MOST_TOLD = 4
"""Curves that are put into words."""
WIDEST_BAND = 0.2
"""Half the height of a band, beyond which it says less than it hides; 47 items make it less."""
WITH_BANDS = 3
"""Curves in a panel up to which each has its band."""
LEVEL = 0.95
PERCENTILES = (0.5, 0.9, 0.95, 0.99)
SAME = 0.002
"""Response time is left out where its median differs from the total latency's by less."""


class Curve(NamedTuple):
    """The distribution of one option."""

    option: Option
    ordered: tuple[float, ...]
    """The values, the smallest first."""
    total: int
    """Requests that count, failed ones among them."""
    items: int
    """Different items behind them: the units of sampling."""

    @property
    def reach(self) -> float:
        """Half the height of the band that holds the true curve everywhere.

        Formula: √(ln(2/α)/2n) with n the number of items. Source: Massart, Annals of Probability
        18 (1990), on Dvoretzky, Kiefer and Wolfowitz.
        """
        return math.sqrt(math.log(2 / (1 - LEVEL)) / (2 * self.items))

    def steps(self, most: int = POINTS) -> list[tuple[float, float]]:
        """(value, share of requests up to it), thinned evenly, both ends kept."""
        size = len(self.ordered)
        if size <= most:
            places = list(range(size))
        else:
            places = sorted({round(k * (size - 1) / (most - 1)) for k in range(most)})
        return [(self.ordered[place], (place + 1) / self.total) for place in places]


def figures(scene: Scene) -> list[Figure]:
    """A figure for each duration that was read from records."""
    made = []
    for name in SHOWN:
        curves = [curve for option in scene.read.options if (curve := _curve(option, name))]
        if curves and not (name == "response_time_s" and _says_nothing_new(curves)):
            made.append(_figure(scene, name, curves))
    return made


def _curve(option: Option, name: str) -> Curve | None:
    requests = option.requests
    metric = option.metric(name)
    # Where the document gives no value for a reason, its parts give no distribution either.
    if requests is None or metric is None or metric.status == "skipped":
        return None
    values = requests.values[name]
    count = len(values) + requests.failed[name]
    if not values:
        return None
    return Curve(option, tuple(sorted(values)), count, max(1, len(requests.items)))


def _says_nothing_new(curves: Sequence[Curve]) -> bool:
    for curve in curves:
        response, total = (curve.option.value(n) for n in ("response_time_s", "total_latency_s"))
        if response is None or total is None or response > total * (1 + SAME) + 0.005:
            return False
    return True


def _figure(scene: Scene, name: str, curves: Sequence[Curve]) -> Figure:
    unit = unit_of(name, [curve.ordered[-1] for curve in curves])
    if unit.name == "s" and max(curve.ordered[len(curve.ordered) // 2] for curve in curves) < 1:
        unit = Unit("ms", 1_000.0)
    panels = _panels(scene, curves)

    def draw(room: Room) -> Spec:
        return _spec(scene, name, panels, unit, room)

    thinned = max(len(curve.ordered) for curve in curves)
    said = f" Each curve is drawn through {POINTS} of its values." if thinned > POINTS else ""
    failed = sum(curve.total - len(curve.ordered) for curve in curves)
    if failed:
        said += (
            f" {number_of(failed, 'failed request')} never came to an end: a curve with failures "
            "stays below 100 %."
        )
    band = ""
    if any(_banded(panel) for _, panel in panels):
        band += (
            f" The band around a curve holds the whole true one with {LEVEL:.0%} confidence "
            "(Dvoretzky–Kiefer–Wolfowitz, n = different items)."
        )
    if any(not _banded(panel) for _, panel in panels):
        band += f" A flat bar at half the requests is the median's {LEVEL:.0%} interval."
    return Figure(
        key={"ttft_s": "ttft", "total_latency_s": "latency", "response_time_s": "response"}[name],
        title=f"Distribution of {title(name)}",
        finding=_finding(scene, curves, unit),
        method=f"Share of requests, in %, whose {title(name)} is at most so long, in {unit.name}."
        f"{band}{said} The table has n, and percentiles where n supports them, with their "
        f"{LEVEL:.0%} intervals.",
        draw=draw,
        table=_table(scene, name, curves, unit),
    )


def _finding(scene: Scene, curves: Sequence[Curve], unit: Unit) -> str:
    said = []
    several = len({curve.option.place for curve in curves}) > 1
    for curve in curves[:MOST_TOLD]:
        half = _quantile(curve, 0.5)
        most = _quantile(curve, 0.9)
        whose = scene.series(curve.option)
        if several:
            whose = scene.full_name(curve.option)
        if half is None:
            said.append(f"{whose}: fewer than half of the requests succeeded")
        else:
            slow = "" if most is None else f", nine in ten within {unit.said(most)}"
            said.append(f"{whose}: half of the requests within {unit.said(half)}{slow}")
    rest = len(curves) - len(said)
    return "; ".join(said) + (f"; {rest} more in the table." if rest else ".")


def _quantile(curve: Curve, p: float) -> float | None:
    place = math.ceil(p * curve.total) - 1
    return curve.ordered[place] if place < len(curve.ordered) else None


def _panels(scene: Scene, curves: Sequence[Curve]) -> list[tuple[str, list[Curve]]]:
    """The curves that are to be told from each other together."""
    panels: dict[str, list[Curve]] = {}
    for curve in curves:
        panels.setdefault(scene.panel(curve.option), []).append(curve)
    return list(panels.items())


def _spec(
    scene: Scene,
    name: str,
    panels: Sequence[tuple[str, list[Curve]]],
    unit: Unit,
    room: Room,
) -> Spec:
    across = 1 if room.narrow or len(panels) == 1 else 2
    width = (room.width - across * 52 - 16 * across) / across
    height = 300 if len(panels) == 1 and not room.narrow else 220
    shown = [_panel(scene, name, label, curves, unit, width, height) for label, curves in panels]
    return {"columns": across, "spacing": 24, "concat": shown}


def _panel(
    scene: Scene,
    name: str,
    label: str,
    curves: Sequence[Curve],
    unit: Unit,
    width: float,
    height: float,
) -> Spec:
    factor = unit.factor
    scale = scale_of([end * factor for c in curves for end in (c.ordered[0], c.ordered[-1])])
    # The grey ones first, so that none covers one that has a colour.
    ordered = sorted(curves, key=lambda curve: scene.colour(curve.option) != REST)
    layers: list[Spec] = []
    if _banded(curves):
        layers += [_band(scene, curve, scale, factor) for curve in ordered]
    layers += [_line(scene, curve, scale, factor, name, unit) for curve in ordered]
    if not _banded(curves):
        layers.append(_medians(scene, ordered, scale, factor))
    layers += _labels(scene, curves, scale, factor, width, height)
    panel: Spec = {"width": width, "height": height, "layer": layers}
    if label:
        panel["title"] = label
    return panel


_PERCENT = Scale(0.0, 100.0, False)
_SHARE = _PERCENT.spec()


def _points(curve: Curve, scale: Scale, factor: float) -> list[tuple[float, float]]:
    """The curve from the left edge to the right one, in the unit and in percent."""
    steps = [(value * factor, 100 * share) for value, share in curve.steps()]
    return [(scale.low, 0.0), (steps[0][0], 0.0), *steps, (scale.high, steps[-1][1])]


def _line(scene: Scene, curve: Curve, scale: Scale, factor: float, name: str, unit: Unit) -> Spec:
    role = scene.colour(curve.option)
    points = _points(curve, scale, factor)
    return {
        "data": {"values": [{"x": x, "y": y} for x, y in points]},
        "mark": {
            "type": "line",
            "interpolate": "step-after",
            "strokeWidth": 1.2 if role == REST else 2.2,
            "color": light(role),
            "strokeJoin": "round",
        },
        "encoding": {
            "x": {
                "field": "x",
                "type": "quantitative",
                "scale": scale.spec(),
                "axis": axis(unit.titled(title(name)), scale, ticks=7),
            },
            "y": {
                "field": "y",
                "type": "quantitative",
                "scale": _SHARE,
                "axis": axis("requests, %", _PERCENT, values=[0, 25, 50, 75, 100]),
            },
            "order": {"value": None},
        },
    }


def _banded(curves: Sequence[Curve]) -> bool:
    """Whether the curves have bands: where those are few and narrow enough to be read."""
    return len(curves) <= WITH_BANDS and all(curve.reach <= WIDEST_BAND for curve in curves)


def _medians(scene: Scene, curves: Sequence[Curve], scale: Scale, factor: float) -> Spec:
    """The interval of each curve's median as a bar at half the height, beside one another."""
    rows = []
    for place, curve in enumerate(c for c in curves if scene.colour(c.option) != REST):
        estimate = _estimate(curve, 0.5)
        if estimate.low is None or estimate.high is None or math.isinf(estimate.high):
            continue
        rows.append(
            {
                "low": max(scale.low, estimate.low * factor),
                "high": min(scale.high, estimate.high * factor),
                "y": 50 + 1.6 * ((place + 1) // 2) * (-1) ** place,
                "colour": light(scene.colour(curve.option)),
            }
        )
    return {
        "data": {"values": rows},
        "mark": {"type": "rule", "strokeWidth": 4, "opacity": 0.45},
        "encoding": {
            "x": {"field": "low", "type": "quantitative", "scale": scale.spec()},
            "x2": {"field": "high"},
            "y": {"field": "y", "type": "quantitative", "scale": _SHARE},
            "color": by_role(),
        },
    }


def _estimate(curve: Curve, p: float) -> Estimate:
    values = [*curve.ordered, *([math.inf] * (curve.total - len(curve.ordered)))]
    return quantile_estimate(values, p, LEVEL, units=min(curve.items, curve.total))


def _band(scene: Scene, curve: Curve, scale: Scale, factor: float) -> Spec:
    reach = 100 * curve.reach
    rows = [
        {"x": x, "low": max(0.0, y - reach), "high": min(100.0, y + reach)}
        for x, y in _points(curve, scale, factor)
    ]
    return {
        "data": {"values": rows},
        "mark": {
            "type": "area",
            "interpolate": "step-after",
            "opacity": 0.13,
            "color": light(scene.colour(curve.option)),
        },
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "scale": scale.spec()},
            "y": {"field": "low", "type": "quantitative", "scale": _SHARE},
            "y2": {"field": "high"},
        },
    }


def _labels(
    scene: Scene,
    curves: Sequence[Curve],
    scale: Scale,
    factor: float,
    width: float,
    height: float,
) -> list[Spec]:
    """Each curve's name beside it, where there is room; the grey ones have none."""
    named = [curve for curve in curves if scene.colour(curve.option) != REST]
    pixels = {
        curve.option.key: [
            (scale.place(x) * width, (1 - y / 100) * height)
            for x, y in _points(curve, scale, factor)
        ]
        for curve in curves
    }
    taken = [point for line in pixels.values() for point in dense(line)]
    wanted = []
    for rank, curve in enumerate(named):
        line = dense(pixels[curve.option.key])
        heights = [height * share for share in _STAGGERED[rank % len(_STAGGERED) :] + _STAGGERED]
        anchors = [min(line, key=lambda p, h=h: abs(p[1] - h)) for h in heights]  # type: ignore[misc]
        name = shortened(scene.series(curve.option), 26)
        wanted.append((name, anchors))
    labels = placed(wanted, taken, width, height)
    return label_layers(
        (label, scene.colour(curve.option))
        for label, curve in zip(labels, named, strict=True)
        if label is not None
    )


_STAGGERED = [0.5, 0.3, 0.7, 0.15, 0.85, 0.4, 0.6]


def _table(scene: Scene, name: str, curves: Sequence[Curve], unit: Unit) -> Table:
    columns = [Column("option"), Column("workload"), Column("n", True), Column("failed", True)]
    columns += [Column(unit.titled(f"p{p * 100:g}"), True) for p in PERCENTILES]
    columns += [Column(unit.titled("slowest"), True)]
    rows = []
    for curve in curves:
        failed = curve.total - len(curve.ordered)
        row = [
            text_item(curve.option.name, colour=scene.colour(curve.option)),
            text_item(curve.option.place.name),
            number_item(curve.total, f"{curve.total:,}", under=f"{curve.items:,} items"),
            number_item(failed, f"{failed:,}"),
        ]
        row += [_percentile(curve, p, unit) for p in PERCENTILES]
        slowest = curve.ordered[-1] * unit.factor
        row.append(number_item(slowest))
        rows.append(tuple(row))
    return Table(
        f"Percentiles of {title(name)} over requests, below each its {LEVEL:.0%} interval.",
        tuple(columns),
        tuple(rows),
    )


def _percentile(curve: Curve, p: float, unit: Unit) -> Item:
    # The median is the value itself, and has its interval whatever n is.
    needed = 1 if p == 0.5 else percentile_needs(p)
    if curve.items < needed:
        return Item("–", None, tone="muted", hint=f"needs n ≥ {needed}")
    estimate = _estimate(curve, p)
    if math.isinf(estimate.point):
        return Item("error", None, tone="bad", hint="falls among the failed requests")
    low, high = (
        None if end is None or math.isinf(end) else end * unit.factor
        for end in (estimate.low, estimate.high)
    )
    shown = estimate.point * unit.factor
    return Item(number(shown), shown, under=bounds(low, high))
