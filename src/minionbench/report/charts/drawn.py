"""What the plots have in common: axes, colours of the options, names beside and inside a plot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from minionbench.report.drawing import Spec
from minionbench.report.palette import SERIES, light

LOG_FROM = 12.0
"""Ratio of the largest to the smallest value from which on an axis is logarithmic."""
PER_CHARACTER = 6.4
"""Width of a character at the plots' font size, in pixels, on the wide side."""

REST = "rest"
"""The role of the colour of those that have none of their own."""


class Scale(NamedTuple):
    """An axis: its ends and whether ratios count."""

    low: float
    high: float
    log: bool

    def spec(self) -> Spec:
        """In the words of Vega-Lite."""
        kind = {"type": "log"} if self.log else {"zero": False}
        return {"domain": [self.low, self.high], "nice": False, **kind}

    def place(self, value: float) -> float:
        """Where a value lies, 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def scale_of(values: Iterable[float], *, zero: bool = True, room: float = 0.06) -> Scale:
    """An axis that holds these values: from 0, or logarithmic where they span more than a decade.

    `zero` is whether a linear axis begins at 0, `room` the share left free beyond the last value.
    """
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    if low > 0 and high / low >= LOG_FROM:
        spread = (high / low) ** room
        return Scale(low / spread, high * spread, True)
    if low == high == 0:
        return Scale(0.0, 1.0, False)
    if zero and low >= 0:
        return Scale(0.0, high * (1 + room), False)
    reach = (high - low or abs(high)) * room
    return Scale(low - reach, high + reach, False)


def axis(
    title: str | None, scale: Scale, *, grid: bool = True, ticks: int = 5, **more: object
) -> Spec:
    """An axis with plain numbers, no exponents."""
    values = {"values": _decades(scale, ticks)} if scale.log else {}
    return {
        "title": title,
        "grid": grid,
        "tickCount": ticks,
        "format": ",.3~r",
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        **values,
        **more,
    }


def _decades(scale: Scale, most: int) -> list[float]:
    """Round values on a logarithmic axis: 1, 2 and 5 of a decade, or fewer."""
    first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    found: list[float] = []
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [
            step * 10.0**exponent
            for exponent in range(first, last + 1)
            for step in steps
            if scale.low <= step * 10.0**exponent <= scale.high
        ]
        if len(found) <= most:
            break
    return found[:: -(-len(found) // most)] if found else found


def colours(names: Sequence[str], preferred: Sequence[str] = ()) -> Mapping[str, str]:
    """The role of the colour of each name: the same one in every plot.

    There are as many colours as people tell apart; those preferred have them first, and whoever
    gets none is grey.
    """
    told = dict.fromkeys([*preferred, *names])
    roles = [*SERIES, *([REST] * max(0, len(told) - len(SERIES)))]
    return dict(zip(told, roles, strict=False))


def paint(role: str) -> Spec:
    """A fixed colour as a value of an encoding."""
    return {"value": light(role)}


def by_role(field: str = "colour") -> Spec:
    """A field that holds colours as they are."""
    return {"field": field, "type": "nominal", "scale": None, "legend": None}


Names = Sequence[tuple[str, Sequence[str]]]
"""Names of the rows of a plot: (row's key, lines), each with as many lines as the others."""
LINE = 13
"""Height of a line of a name that has several, in pixels."""


def rows_of_names(names: Names) -> Spec:
    """Names beside the rows of a plot, flush right before its left edge."""
    lines = len(names[0][1])
    return {
        "data": {"values": [{"row": key, "name": list(name)} for key, name in names]},
        "mark": {
            "type": "text",
            "align": "right",
            "baseline": "middle",
            "lineHeight": LINE,
            "dy": -LINE * (lines - 1) / 2,
            "fontSize": 12 if lines == 1 else 11,
        },
        "encoding": {
            "x": {"value": -10},
            "y": {"field": "row", "type": "ordinal", "sort": None, "axis": None},
            "text": {"field": "name"},
        },
    }


def width_of_names(names: Names) -> float:
    """What names take beside a plot, in pixels."""
    return 16 + max(len(line) for _, lines in names for line in lines) * 6.4


class Box(NamedTuple):
    """A rectangle of a plot, in pixels from its top left corner."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    def tiles(self) -> Iterator[tuple[int, int]]:
        """The tiles of a plot that the rectangle covers, in part or whole."""
        for column in range(int(self.left // TILE), int(self.right // TILE) + 1):
            for row in range(int(self.top // TILE), int(self.bottom // TILE) + 1):
                yield column, row


TILE = 6.0
"""Side of the squares in which it is noted whether anything is drawn there, in pixels."""


class Label(NamedTuple):
    """A name inside a plot: where it stands, in pixels."""

    name: str
    x: float
    y: float
    align: str


def placed(
    wanted: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    taken: Sequence[tuple[float, float]],
    width: float,
    height: float,
) -> list[Label | None]:
    """Where names stand so that they cover neither each other nor what is drawn.

    Of each name the points (in pixels) beside which it may stand, the best first; `taken` are
    points that should stay visible. None where there is no room for a name.
    """
    covered = {(int(x // TILE), int(y // TILE)) for x, y in taken}
    boxes: list[Box] = []
    labels: list[Label | None] = []
    for name, anchors in wanted:
        best: tuple[float, Label, Box] | None = None
        long = len(name) * PER_CHARACTER
        for order, (x, y) in enumerate(anchors):
            for far, (align, shift_x, shift_y) in enumerate(_SIDES):
                left = x + shift_x - long * _BEFORE[align]
                box = Box(left, y + shift_y - 8, left + long, y + shift_y + 7)
                if box.left < 0 or box.right > width or box.top < 0 or box.bottom > height:
                    continue
                cost = sum(box.overlap(other) for other in boxes) * 10
                cost += sum(90 for tile in box.tiles() if tile in covered) + order + far
                if best is None or cost < best[0]:
                    best = (cost, Label(name, x + shift_x, y + shift_y, align), box)
        if best is None or best[0] > _TOO_MUCH:
            labels.append(None)
        else:
            boxes.append(best[2])
            labels.append(best[1])
    return labels


_SIDES = (
    *(("left", 8, 0), ("right", -8, 0), ("center", 0, -13), ("center", 0, 14)),
    *(("left", 6, -16), ("right", -6, -16), ("left", 6, 17), ("right", -6, 17)),
    *(("left", 6, -32), ("right", -6, -32), ("left", 6, 33), ("right", -6, 33)),
)
"""(how a name is aligned, its distance to the right and down) beside a point, the nearest first."""
_BEFORE = {"left": 0.0, "center": 0.5, "right": 1.0}
"""Share of a name that stands before the point at which it is put."""
_TOO_MUCH = 900.0
"""Cost beyond which a name is left out: ten tiles of what is drawn under it."""


def dense(line: Sequence[tuple[float, float]], step: float = 4.0) -> list[tuple[float, float]]:
    """The points of a line, close enough together that a name cannot slip between."""
    between = []
    for (x, y), (to_x, to_y) in pairwise(line):
        for k in range(1 + int((to_x - x) / step)):
            between.append((x + k * step, y))
        for k in range(1 + int(abs(to_y - y) / step)):
            between.append((to_x, y + math.copysign(k * step, to_y - y)))
    return between or list(line)


def label_layers(labels: Iterable[tuple[Label, str]]) -> list[Spec]:
    """Names inside a plot, each in the colour of a role, with a rim of paper against lines."""
    layers: list[Spec] = []
    said = list(labels)
    for align in ("left", "right", "center"):
        values = [
            {"x": label.x, "y": label.y, "name": label.name, "colour": light(role)}
            for label, role in said
            if label.align == align
        ]
        if not values:
            continue
        place = {
            "x": {"field": "x", "type": "quantitative", "scale": None, "axis": None},
            "y": {"field": "y", "type": "quantitative", "scale": None, "axis": None},
            "text": {"field": "name"},
        }
        mark = {"type": "text", "align": align, "baseline": "middle", "fontSize": 12}
        rim = {"strokeWidth": 4, "strokeJoin": "round", "stroke": light("paper")}
        data = {"values": values}
        layers += [
            {"data": data, "mark": {**mark, **rim, "color": light("paper")}, "encoding": place},
            {"data": data, "mark": mark, "encoding": {**place, "color": by_role()}},
        ]
    return layers
