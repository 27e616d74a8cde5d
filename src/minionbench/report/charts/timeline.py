"""The time line: each request from its planned instant to its end."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeAlias

from minionbench.report.charts.drawn import Scale, axis, by_role
from minionbench.report.charts.scene import Scene
from minionbench.report.drawing import Spec
from minionbench.report.figure import Figure, Room
from minionbench.report.measures import unit_of
from minionbench.report.palette import light
from minionbench.report.reading import BLOCK, DRAWN, Drawn, Option, Requests
from minionbench.report.table import Column, Item, Table, number_item, text_item
from minionbench.report.text import shortened
from minionbench.stats import median
from minionbench.units import number_of

MOST_PANELS = 6
"""Options whose requests are drawn one by one."""

Held: TypeAlias = tuple[Option, Requests]
"""An option with its requests."""

KINDS = (
    ("waits", "rest", "waits for its slot or the harness"),
    ("local", "blue", "local: until the first token"),
    ("local-tokens", "blue", "local: tokens arrive"),
    ("remote", "orange", "remote: until the first token"),
    ("remote-tokens", "orange", "remote: tokens arrive"),
    ("failed", "bad", "failed call"),
)
"""(kind, role of its colour, what it says) of each part of a bar."""
_FAINT = ("local", "remote", "waits")
_ROLE = {kind: role for kind, role, _ in KINDS}


def figures(scene: Scene) -> list[Figure]:
    """The time line of requests; nothing without records."""
    held = held_options(scene)
    return _requests(scene, held) if held else []


def held_options(scene: Scene) -> list[Held]:
    """The options that have requests, the best of each group before the second ones."""
    return [
        (option, option.requests)
        for option in _best_first(scene)
        if option.requests is not None and option.requests.drawn and option.requests.course
    ]


def _best_first(scene: Scene) -> list[Option]:
    """The options, the best of each group before the second ones."""
    ranked = [
        (rank, place, option)
        for place, group in enumerate(scene.groups)
        for rank, option in enumerate(
            [*(one.option for one in group.ranked), *(one for one, _ in group.out)]
        )
    ]
    return [option for *_, option in sorted(ranked, key=lambda entry: entry[:2])]


def name_in_panel(scene: Scene, option: Option, most: int) -> str:
    """An option's name over its panel."""
    return shortened(scene.full_name(option), most)


def _requests(scene: Scene, held: Sequence[Held]) -> list[Figure]:
    drawn = held[:MOST_PANELS]

    def draw(room: Room) -> Spec:
        return _bars(scene, drawn, room)

    said = ""
    if any(requests.is_part for _, requests in drawn):
        said += (
            f" Of cells with more than {DRAWN} requests, {BLOCK} from the middle of the run are "
            "drawn; the next figure has all."
        )
    if len(held) > len(drawn):
        said += f" {len(drawn)} of {len(held)} options are drawn, the best of each workload first."
    findings = []
    for option, requests in drawn:
        waited = [w for one in requests.drawn if (w := _waited(one)) is not None]
        failed = sum(requests.failures.values())
        fault = f", {failed} failed" if failed else ""
        lag = f", waiting {_short(median(waited))} before they were sent" if waited else ""
        name = name_in_panel(scene, option, 60)
        findings.append(f"{name}: {number_of(requests.measured, 'request')}{fault}{lag}")
    return [
        Figure(
            key="timeline",
            title="Requests on the time line",
            finding=f"{'; '.join(findings)} (median of those drawn).",
            method="A row is a request, from its planned instant on, in seconds; a dotted line is "
            "a pause that was cut out. Pale: until the first token; solid: tokens arrive; grey: "
            "waiting to be sent; red: a call that failed. A request of several calls has a bar for "
            f"each. Rows of warm-up are half as high.{said}",
            draw=draw,
            table=_table(scene, drawn),
        )
    ]


def _short(value_s: float) -> str:
    return unit_of("ttft_s", [value_s]).said(value_s)


def _waited(one: Drawn) -> float | None:
    sent = one.calls[0].sent_s if one.calls else None
    return None if sent is None else sent - one.planned_s


def _bars(scene: Scene, drawn: Sequence[Held], room: Room) -> Spec:
    across = 1 if room.narrow or len(drawn) == 1 else 2
    width = (room.width - across * 34) / across
    panels = [_bar_panel(scene, option, requests, width, room) for option, requests in drawn]
    kinds = {row["kind"] for panel in panels for row in panel["layer"][-1]["data"]["values"]}
    shown = [entry for entry in KINDS if entry[0] in kinds]
    return {
        "vconcat": [
            _legend(shown, room),
            {"columns": across, "spacing": 24, "concat": panels},
        ],
        "spacing": 14,
    }


def _legend(shown: Sequence[tuple[str, str, str]], room: Room) -> Spec:
    """What the parts of a bar are, as a row of patches with their words."""
    rows: list[dict[str, object]] = []
    x, y = 0.0, 0
    for kind, role, words in shown:
        long = 24 + len(words) * 6.3
        if x and x + long > room.width - 20:
            x, y = 0.0, y + 1
        rows.append(
            {
                "x": x,
                "to": x + 14,
                "text": x + 19,
                "y": 8 + 18 * y,
                "said": words,
                "colour": light(role),
                "faint": 0.42 if kind in _FAINT else 1.0,
            }
        )
        x += long + 12
    place = {"type": "quantitative", "scale": None, "axis": None}
    faint = {"field": "faint", "type": "quantitative", "scale": None, "legend": None}
    return {
        "width": room.width - 30,
        "height": 18 * (y + 1),
        "data": {"values": rows},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 9},
                "encoding": {
                    "x": {**place, "field": "x"},
                    "x2": {"field": "to"},
                    "y": {**place, "field": "y"},
                    "color": by_role(),
                    "opacity": faint,
                },
            },
            {
                "mark": {"type": "text", "align": "left", "baseline": "middle"},
                "encoding": {
                    "x": {**place, "field": "text"},
                    "y": {**place, "field": "y"},
                    "text": {"field": "said"},
                },
            },
        ],
    }


SEEN = 0.006
"""Share of the time line that a failed call takes at least."""


class Clock:
    """Seconds since the first request, with the long pauses between requests cut out."""

    def __init__(self, requests: Sequence[Drawn]) -> None:
        spans: list[tuple[float, float]] = []
        for one in requests:
            ends = [call.end_s for call in one.calls if call.end_s is not None]
            spans.append((one.planned_s, max([one.planned_s, *ends])))
        spans.sort()
        busy: list[tuple[float, float]] = []
        for start, end in spans:
            if busy and start <= busy[-1][1]:
                busy[-1] = (busy[-1][0], max(busy[-1][1], end))
            else:
                busy.append((start, end))
        worked = sum(end - start for start, end in busy)
        self.cuts: list[tuple[float, float]] = []
        """(where a pause was, how long it was), of those that were cut out."""
        self._starts: list[tuple[float, float]] = []
        """(instant, place) from which on the clock goes on."""
        place = 0.0
        for number, (start, end) in enumerate(busy):
            if number:
                pause = start - busy[number - 1][1]
                if pause > worked * LONG_PAUSE:
                    self.cuts.append((place + worked * CUT_PAUSE / 2, pause))
                    pause = worked * CUT_PAUSE
                place += pause
            self._starts.append((start, place))
            place += end - start

    def place(self, instant_s: float) -> float:
        """Where an instant lies."""
        at = max(0, bisect_right(self._starts, (instant_s, math.inf)) - 1)
        start, place = self._starts[at]
        return place + max(0.0, instant_s - start)


LONG_PAUSE = 0.1
"""Share of the time at work, beyond which a pause in it is cut out."""
CUT_PAUSE = 0.02
"""Share of the time at work that is left of such a pause."""


def _bar_panel(scene: Scene, option: Option, requests: Requests, width: float, room: Room) -> Spec:
    ordered = sorted(requests.drawn, key=lambda one: (one.planned_s, one.number))
    clock = Clock(ordered)
    rows: list[dict[str, object]] = []
    for number, one in enumerate(ordered):
        rows += _parts(one, number, clock)
    end = max((float(str(row["to"])) for row in rows), default=1.0)
    height = min(max(3.2 * len(ordered), 60), 300 if room.narrow else 360)
    thick = height / max(len(ordered), 8) * 0.82
    for row in rows:
        if row["kind"] == "failed":
            row["to"] = max(float(str(row["to"])), float(str(row["from"])) + end * SEEN)
        row["thick"] = thick * (0.5 if row["warm"] else 1.0)
    place = {"type": "quantitative", "scale": {"domain": [-0.5, len(ordered) - 0.5]}}
    place["scale"] |= {"reverse": True, "nice": False, "zero": False}  # type: ignore[operator]
    x = {
        "type": "quantitative",
        "scale": {"domain": [0, end], "nice": False},
        "axis": axis(
            "seconds, long pauses cut out" if clock.cuts else "seconds", Scale(0, end, False)
        ),
    }
    bars: Spec = {
        "data": {"values": rows},
        "mark": {"type": "rule", "strokeCap": "butt"},
        "encoding": {
            "x": {**x, "field": "from"},
            "x2": {"field": "to"},
            "y": {"field": "row", **place, "axis": None},
            "color": by_role(),
            "opacity": {"field": "faint", "type": "quantitative", "scale": None, "legend": None},
            "strokeWidth": {"field": "thick", "type": "quantitative", "scale": None},
        },
    }
    cuts: Spec = {
        "data": {"values": [{"at": at} for at, _ in clock.cuts]},
        "mark": {"type": "rule", "strokeDash": [2, 3], "color": light("muted")},
        "encoding": {"x": {**x, "field": "at"}},
    }
    return {
        "width": width,
        "height": height,
        "title": name_in_panel(scene, option, 40 if room.narrow else 46),
        "layer": [cuts, bars] if clock.cuts else [bars],
    }


def _parts(one: Drawn, row: int, clock: Clock) -> list[dict[str, object]]:
    parts: list[dict[str, object]] = []

    def part(kind: str, start: float | None, end: float | None) -> None:
        # What failed at once has no length, and must be seen all the same.
        if start is not None and end is not None and (end > start or kind == "failed"):
            parts.append(
                {
                    "row": row,
                    "kind": kind,
                    "from": clock.place(start),
                    "to": clock.place(end),
                    "colour": light(_ROLE[kind]),
                    "faint": 0.42 if kind in _FAINT else 1.0,
                    "warm": one.phase != "measured",
                }
            )

    if one.calls:
        part("waits", one.planned_s, one.calls[0].sent_s)
    for number, call in enumerate(one.calls):
        if number:
            part("waits", call.planned_s, call.sent_s)
        if not call.ok:
            part("failed", call.sent_s, call.end_s)
            continue
        side = "remote" if call.side == "remote" else "local"
        part(side, call.sent_s, call.first_s if call.first_s is not None else call.end_s)
        part(f"{side}-tokens", call.first_s, call.last_s)
    return parts


def _table(scene: Scene, drawn: Sequence[Held]) -> Table:
    columns = (
        Column("option"),
        Column("workload"),
        Column("request", True),
        Column("phase"),
        Column("planned, s", True),
        Column("waited, ms", True),
        Column("calls", True),
        Column("first token after, ms", True),
        Column("ended after, ms", True),
        Column("outcome"),
    )
    rows = []
    for option, requests in drawn:
        ordered = sorted(requests.drawn, key=lambda one: (one.planned_s, one.number))
        begin = ordered[0].planned_s
        for one in ordered:
            sent = one.calls[0].sent_s if one.calls else None
            firsts = [call.first_s for call in one.calls if call.first_s is not None]
            ends = [call.end_s for call in one.calls if call.end_s is not None]
            waited = _waited(one)
            rows.append(
                (
                    text_item(option.name, colour=scene.colour(option)),
                    text_item(option.place.name),
                    number_item(float(one.number), str(one.number)),
                    text_item(one.phase),
                    number_item(one.planned_s - begin),
                    number_item(None if waited is None else 1_000 * waited),
                    number_item(float(len(one.calls)), str(len(one.calls))),
                    number_item(
                        1_000 * (min(firsts) - sent) if firsts and sent is not None else None
                    ),
                    number_item(1_000 * (max(ends) - sent) if ends and sent is not None else None),
                    Item("ok", "ok", tone="good")
                    if one.ok
                    else Item("failed", "failed", tone="bad"),
                )
            )
    return Table("The requests that are drawn.", columns, tuple(rows))
