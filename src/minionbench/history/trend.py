"""Trends: one metric of one model over all runs that measured it alike, and where it changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from minionbench.change_points import ALPHA, ChangePoint, change_points
from minionbench.history.index import History
from minionbench.metrics.table import METRICS

MOST_RUNS = 500
"""Runs of a series that are looked at, the latest ones."""

Direction: TypeAlias = Literal["better", "worse"]


class Point(NamedTuple):
    """What one run says of a series."""

    run_id: str
    at: datetime
    """UTC."""
    value: float
    low: float | None
    high: float | None
    git_sha: str | None
    program_version: str | None
    engine: str | None
    kernel: str | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A run from which on a series is another one."""

    run_id: str
    """The first run of the new course."""
    last_before: str
    """The run before it."""
    direction: Direction
    ratio: float | None
    before: float
    after: float
    p_value: float
    also: tuple[str, ...]
    """What else the two runs do not have in common: it may be the cause."""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a model on a machine, under one workload and load."""

    hostname: str | None
    candidate: str
    factors: tuple[str, ...]
    """Deployment, quantisation, reasoning, remote model, protocol, where there are any."""
    workload: str | None
    """Name and version, and where other than the first source; None for a candidate's metric."""
    load: str | None
    metric: str
    points: tuple[Point, ...]
    changes: tuple[Change, ...]
    left_out: int
    """Runs that have the metric without a value, or with a verdict of invalid."""

    @property
    def unit(self) -> str:
        """Of the values."""
        return METRICS[self.metric].unit


_QUERY = """
SELECT r.hostname, m.candidate, c.deployment, c.quantization, c.reasoning, c.remote_model,
       c.protocol, c.workload, c.workload_version, c.workload_source, c.items,
       c.seed, c.settings, c.load, c.concurrency, c.rate_per_s, m.metric,
       m.run_id, r.timestamp, CASE WHEN c.verdict = 'invalid' THEN NULL ELSE m.value END,
       m.low, m.high, r.git_sha, r.program_version, c.engine, r.kernel
FROM metrics m
JOIN runs r USING (run_id)
LEFT JOIN cells c ON c.run_id = m.run_id AND c.candidate = m.candidate AND c.cell_id = m.cell_id
WHERE NOT r.dry_run
  AND (m.cell_id IS NOT NULL) = $of_cells
  AND ($metric IS NULL OR m.metric = $metric)
  AND ($model IS NULL OR contains(lower(m.candidate), lower($model)))
  AND ($workload IS NULL OR c.workload = $workload)
  AND m.better IS NOT NULL
ORDER BY r.timestamp, m.run_id
"""
_KEY = 17
"""Columns that say which series a row belongs to."""


def trends(
    history: History,
    *,
    metric: str | None = None,
    model: str | None = None,
    workload: str | None = None,
    of_cells: bool = True,
    alpha: float = ALPHA,
) -> list[Series]:
    """All series that there are, of cells or else of candidates as a whole.

    `metric`, `model` (a part of its name) and `workload` choose among them; None takes all. Only
    what was measured alike makes a series: on one machine, the same items under the same load.
    """
    asked = {"metric": metric, "model": model, "workload": workload, "of_cells": of_cells}
    gathered: dict[tuple[object, ...], list[tuple[object, ...]]] = {}
    _, rows = history.ask(_QUERY, asked)
    for row in rows:
        gathered.setdefault(row[:_KEY], []).append(row[_KEY:])
    return [_series(key, rows, alpha) for key, rows in gathered.items()]


def _series(key: tuple[object, ...], rows: Sequence[tuple[object, ...]], alpha: float) -> Series:
    hostname, candidate, *factors = key[:7]
    workload, version, source, items, seed, settings, load, streams, rate, metric = key[7:]
    points = tuple(Point(*row) for row in rows if row[2] is not None)[-MOST_RUNS:]  # type: ignore[arg-type]
    deployment, quantization, reasoning, remote_model, protocol = factors
    spoken = {True: "reasoning", False: "no reasoning", None: None}[reasoning]  # type: ignore[index]
    return Series(
        hostname=_text(hostname),
        candidate=str(candidate),
        factors=tuple(
            str(f) for f in (deployment, quantization, spoken, remote_model, protocol) if f
        ),
        workload=None
        if workload is None
        else f"{workload}@{version}, {items} items"
        + _foreign(str(workload), source)
        + _asked_for(seed, settings),
        load=_load(load, streams, rate),
        metric=str(metric),
        points=points,
        changes=tuple(_changes(points, str(metric), alpha)),
        left_out=sum(row[2] is None for row in rows),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _foreign(workload: str, source: object) -> str:
    """The source of the items, where it is not the one that comes with the program."""
    return "" if str(source).startswith(f"builtin:{workload}@") else f" of {source}"


def _asked_for(seed: object, settings: object) -> str:
    """Which items they are and how they were asked, where it is not as usual."""
    known = msgspec.json.decode(str(settings), type=dict[str, Any])
    lengths = known.get("input_tokens")
    words = [f"seed {seed}"] if seed else []
    if isinstance(lengths, list):
        words.append("–".join(map(str, dict.fromkeys(lengths))) + " tokens")
    words += [known["prefix_cache"]] if known.get("prefix_cache") not in (None, "cold") else []
    return "".join(f", {word}" for word in words)


def _load(kind: object, streams: object, rate: object) -> str | None:
    if kind is None:
        return None
    if kind == "closed":
        return "one stream" if streams == 1 else f"{streams} streams"
    return f"{rate:g} requests/s" if isinstance(rate, float) else str(kind)


def _changes(points: Sequence[Point], metric: str, alpha: float) -> list[Change]:
    found = change_points([point.value for point in points], alpha=alpha)
    return [
        Change(
            run_id=points[change.at].run_id,
            last_before=points[change.at - 1].run_id,
            direction=_direction(change, metric),
            ratio=change.ratio,
            before=change.before,
            after=change.after,
            p_value=change.p_value,
            also=tuple(_also(points[change.at - 1], points[change.at])),
        )
        for change in found
    ]


def _direction(change: ChangePoint, metric: str) -> Direction:
    rose = change.after > change.before
    return "better" if rose == (METRICS[metric].better == "higher") else "worse"


def _also(before: Point, after: Point) -> list[str]:
    """What differs between two runs beside their figures."""
    words = {
        "commit": (before.git_sha, after.git_sha),
        "minionbench": (before.program_version, after.program_version),
        "engine": (before.engine, after.engine),
        "kernel": (before.kernel, after.kernel),
    }
    return [
        f"{what} {_short(what, was)} → {_short(what, now)}"
        for what, (was, now) in words.items()
        if was != now
    ]


def _short(what: str, value: str | None) -> str:
    if value is None:
        return "unknown"
    return value[:10] if what == "commit" else value
