"""How a report speaks of metrics: their names for people, units on an axis, values with bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from minionbench.metrics.table import METRICS, Better
from minionbench.report.text import ABSENT, bounds, number
from minionbench.schema import MetricResult
from minionbench.select.score import Figure, figure
from minionbench.units import MS_PER_S

TITLES = {
    "ttft_s": "time to first token",
    "ttfo_s": "time to first visible token",
    "total_latency_s": "total latency",
    "response_time_s": "response time",
    "tpot_s": "time per output token",
    "itl_s": "gap between tokens",
    "icl_s": "gap between events",
    "tokens_per_sec": "decode rate",
    "latency_ms": "latency",
    "output_tokens_per_sec": "throughput",
    "requests_per_sec": "request rate",
    "goodput_per_sec": "goodput",
    "peak_ram_mb": "peak memory",
    "peak_vram_mb": "peak accelerator memory",
    "energy_wh": "energy",
    "energy_wh_per_request": "energy per request",
    "energy_wh_per_good_request": "energy per good request",
    "energy_j_per_token": "energy per token",
    "idle_power_w": "idle power",
    "energy_above_idle_wh": "energy above idle",
    "cost_usd": "cost",
    "cost_usd_per_million_tokens": "cost of tokens",
    "cost_usd_per_correct": "cost of right answers",
    "accuracy_pct": "right answers",
    "cove_pass_rate": "verification passed",
    "retrieval_score": "retrieval score",
    "perplexity": "perplexity",
    "kl_to_base": "divergence from base",
}
"""Names for people; a metric without one goes by its own."""

_RATES = {
    "tokens_per_sec": "tokens/s",
    "output_tokens_per_sec": "tokens/s",
    "requests_per_sec": "requests/s",
    "goodput_per_sec": "requests/s",
}
_OF_COST = {
    "cost_usd": "request",
    "cost_usd_per_million_tokens": "million tokens",
    "cost_usd_per_correct": "right answer",
}
"""What a cost is of."""


def title(name: str) -> str:
    """A metric's name for people."""
    return TITLES.get(name, name)


def better(name: str) -> Better:
    """Which direction of a metric is an improvement."""
    return METRICS[name].better


class Unit(NamedTuple):
    """The unit that values of one metric are shown in."""

    name: str
    """Empty for a pure number."""
    factor: float
    """From the document's unit to this one."""

    def titled(self, text: str) -> str:
        """A title with the unit behind it."""
        return f"{text}, {self.name}" if self.name else text

    def said(self, value: float) -> str:
        """A value with its unit."""
        shown = number(value * self.factor)
        if self.name.startswith("$"):
            return f"${shown}{self.name[1:]}"
        return f"{shown} {self.name}".strip()


def unit_of(name: str, values: Iterable[float | None]) -> Unit:
    """The unit for these values: seconds become milliseconds where the largest is below 1 s, and
    cents become dollars for a thousand.
    """
    info = METRICS.get(name)
    unit = info.unit if info else ""
    known = [value for value in values if value is not None and math.isfinite(value)]
    largest = max(known, default=0.0)
    if name in _RATES:
        return Unit(_RATES[name], 1.0)
    if unit == "s":
        return Unit("s", 1.0) if largest >= 1 else Unit("ms", float(MS_PER_S))
    if unit == "USD":
        of = _OF_COST.get(name, "")
        if of == "request" and largest < 0.1:
            return Unit("$ per 1,000 requests", 1_000.0)
        return Unit(f"$ per {of}" if of else "$", 1.0)
    if unit == "Wh" and 0 < largest < 0.1:
        return Unit("mWh", 1_000.0)
    return Unit("" if unit == "1" else unit, 1.0)


def bounded(metric: MetricResult | None) -> Figure | None:
    """A metric's value with its interval; None where it has no value."""
    return None if metric is None else figure(metric)


def level_of(metrics: Iterable[MetricResult | None]) -> str:
    """The level of these metrics' intervals, in words."""
    levels = {
        interval.get("level")
        for metric in metrics
        if metric is not None and (interval := metric.metadata.get("interval"))
    }
    known = {level for level in levels if isinstance(level, int | float)}
    return f"{known.pop():.0%} interval" if len(known) == 1 else "interval"


def interval_text(value: Figure, unit: Unit) -> str:
    """The ends of an interval in a unit; empty for an exact value."""
    if value.exact or value.low == value.value == value.high:
        return ""
    low, high = (None if end is None else end * unit.factor for end in (value.low, value.high))
    return bounds(low, high)


def said(metric: MetricResult | None, unit: Unit) -> str:
    """A value with its unit and interval, in words; a dash where there is none."""
    value = bounded(metric)
    if value is None:
        return ABSENT
    interval = interval_text(value, unit)
    return unit.said(value.value) + (f" ({interval})" if interval else "")


def why_absent(metric: MetricResult | None) -> str:
    """Why there is no value."""
    if metric is None:
        return "not measured"
    return str(metric.error_message or metric.metadata.get("reason") or "no reason was given")


def count_of(metric: MetricResult | None) -> int | None:
    """How many units a value is drawn from; None where the document does not say."""
    n = None if metric is None else metric.metadata.get("n")
    return n if isinstance(n, int) else None
