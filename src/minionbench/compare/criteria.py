"""By what a comparison is judged: which metrics, which thresholds, at which error rates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from minionbench.compare.measurement import FAILED_PCT, info
from minionbench.errors import UsageError
from minionbench.inference import POWER
from minionbench.metrics.table import METRICS
from minionbench.stats import LEVEL
from minionbench.units import significant

THRESHOLD = 0.05
"""Relative change that matters, where nothing else is said: 5 %."""
POINTS = 2.0
"""Change of a percentage that matters, in points."""
FAILED_POINTS = 1.0
"""Change of the share of failed requests that matters, in points."""
DETECT = 0.10
"""Relative change that a comparison should find with the wanted power: 10 %."""

HEADLINE = ("ttft_s", "total_latency_s", "response_time_s", "tpot_s", FAILED_PCT.name)
"""Metrics of which a gate wants to know. Of the others it only minds that they are not worse."""

NOT_COMPARED = frozenset(
    (
        *("itl_s", "icl_s", "tokens_per_sec"),  # TPOT
        "requests_per_sec",  # the rate of output tokens
        *("energy_wh", "energy_wh_per_request", "energy_wh_per_good_request"),  # energy per token
        *("idle_power_w", "energy_above_idle_wh"),
        *("cost_usd_per_million_tokens", "cost_usd_per_correct"),  # the cost and the accuracy
        *("electricity_cost_usd", "electricity_cost_usd_per_million_tokens"),
        *("remote_energy_wh", "remote_energy_wh_per_request"),
    )
)
"""Metrics that say what others say. They are compared where they are named, so that every question
costs the others as little of their power as can be."""

OVER_ITEMS = ("cove_pass_rate", "retrieval_score", "perplexity", "kl_to_base")
"""Figures of quality that carry an interval over their items: the items are their unit."""

Scale = Literal["relative", "points"]


def scale_of(metric: str) -> Scale:
    """On which scale a metric's change is told: as a ratio, or in points of a percentage."""
    known = info(metric.partition(":")[0])
    return "points" if known is not None and known.unit == "%" else "relative"


class Criteria(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as a change, and how surely it has to be known."""

    level: float = LEVEL
    """Level of the intervals; 1 − level is the chance of any false alarm in a comparison."""
    power: float = POWER
    detect: float = DETECT
    """Relative change that is to be found with that power."""
    threshold: float = THRESHOLD
    """Relative change below which nobody minds."""
    thresholds: Mapping[str, float] = {}
    """Of single metrics: relative, or in points where the metric is a percentage."""
    metrics: tuple[str, ...] = ()
    """What is compared; empty for the usual."""
    varied: tuple[str, ...] = ()
    """Conditions that differ on purpose."""
    force: bool = False
    """Whether results are compared that cannot be compared."""
    paired: bool = False
    """Whether the k-th run of each side were made side by side."""

    @property
    def alpha(self) -> float:
        """The chance of a false alarm."""
        return 1 - self.level

    def threshold_of(self, metric: str) -> float:
        """The change of a metric that matters: a share, or points where it is a percentage."""
        for name in (metric, metric.partition(":")[0]):
            if name in self.thresholds:
                return self.thresholds[name]
        if scale_of(metric) == "relative":
            return self.threshold
        return FAILED_POINTS if metric == FAILED_PCT.name else POINTS

    def shift_of(self, metric: str) -> float:
        """The threshold on the scale on which the sides are held against each other."""
        threshold = self.threshold_of(metric)
        return math.log1p(threshold) if scale_of(metric) == "relative" else threshold

    def detect_shift_of(self, metric: str) -> float:
        """The change to be found, on that scale: never less than twice the threshold for points,
        nor than one and a half times it for others."""
        if scale_of(metric) == "points":
            return 2 * self.threshold_of(metric)
        return math.log1p(max(self.detect, 1.5 * self.threshold_of(metric)))

    def is_headline(self, metric: str) -> bool:
        """Whether a gate has to know of a metric: those that are named, else the usual ones."""
        return metric in self.metrics if self.metrics else metric in HEADLINE


def parse_thresholds(texts: Iterable[str]) -> tuple[float | None, dict[str, float]]:
    """`5%`, `ttft_s=10%`, `accuracy_pct=2`: the general threshold, and those of metrics.

    Raises UsageError for what is none.
    """
    general: float | None = None
    special: dict[str, float] = {}
    for text in (part.strip() for given in texts for part in given.split(",")):
        name, equals, value = text.rpartition("=")
        if not equals:
            general = share(value, "--threshold")
            continue
        check_metric(name.strip(), "--threshold")
        special[name.strip()] = (
            share(value, "--threshold")
            if scale_of(name.strip()) == "relative"
            else _points(name.strip(), value)
        )
    return general, special


def share(text: str, flag: str) -> float:
    """`5%` as 0.05. Raises UsageError for anything but a percentage above 0."""
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / 100
    except ValueError:
        value = math.nan
    if not percent or rest or not 0 < value < math.inf:
        raise UsageError(f"{flag} takes a percentage above 0 with its sign, as 5%, not {text!r}")
    return value


def _points(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 100:
        raise UsageError(
            f"{name} is a percentage itself: its threshold is in points, as {name}=2, not {text!r}"
        )
    return value


def check_metric(name: str, flag: str) -> None:
    """Raises UsageError for a name that no metric has."""
    base, colon, percentile = name.partition(":")
    if info(base) is None or (
        colon and not (percentile.startswith("p") and percentile[1:].isdigit())
    ):
        known = ", ".join((*METRICS, FAILED_PCT.name))
        raise UsageError(
            f"{flag}: there is no metric {name!r}; there are {known}, and percentiles such as "
            "ttft_s:p95"
        )


def amount(value: float, scale: Scale, *, sign: bool = True) -> str:
    """A change in words: +4.2 % or −1.5 points."""
    if math.isinf(value):
        return "without bound"
    number = abs(value) * (100 if scale == "relative" else 1)
    mark = ("+" if value > 0 else "−" if value < 0 else "±") if sign else ""
    unit = "%" if scale == "relative" else "points"
    said = significant(number, 2) if number < 10 else f"{number:,.0f}"
    return f"{mark}{said} {unit}"
