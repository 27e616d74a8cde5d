"""What the energy that was measured here costs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from minionbench.errors import UsageError
from minionbench.metrics.value import MetricValue, rescaled, skipped

METRIC = "electricity_cost_usd"
PER_MILLION_TOKENS = "electricity_cost_usd_per_million_tokens"

WH_PER_KWH = 1_000
J_PER_KWH = 3_600_000
TOKENS = 1_000_000

_OF = {
    METRIC: ("energy_wh_per_request", 1 / WH_PER_KWH),
    PER_MILLION_TOKENS: ("energy_j_per_token", TOKENS / J_PER_KWH),
}
"""The metric of energy that each figure is of, and kWh in its unit."""


def check_electricity(usd_per_kwh: float) -> None:
    """Raises UsageError for a price that is negative or no number."""
    if not (math.isfinite(usd_per_kwh) and usd_per_kwh >= 0):
        raise UsageError(
            f"The price of electricity is {usd_per_kwh}; it has to be dollars per kWh, from 0 on"
        )


def electricity_metrics(
    metrics: Mapping[str, MetricValue], usd_per_kwh: float | None
) -> dict[str, MetricValue]:
    """What a cell's energy costs: per request, and per million generated tokens.

    Formula: the energy × the price. Nothing where no price of electricity was given; skipped where
    the energy has no figure, with its reason.
    """
    if usd_per_kwh is None:
        return {}
    found: dict[str, MetricValue] = {}
    for name, (source, kwh) in _OF.items():
        energy = metrics.get(source)
        if energy is None:
            found[name] = skipped(name, "no energy was measured here")
        elif energy.value is None:
            found[name] = skipped(name, f"{source} has no value: {energy.reason}")
        else:
            usd = kwh * usd_per_kwh
            about = {"of": source, "electricity_usd_per_kwh": usd_per_kwh}
            if isinstance(doubt := energy.metadata.get("uncertainty"), int | float):
                about["uncertainty"] = doubt * usd
            found[name] = rescaled(name, energy, usd, **about)
    return found
