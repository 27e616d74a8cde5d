"""Reference points: the value of each metric that counts 0, and the one that counts 1.

They are the same for every run, so that what a candidate is worth does not depend on who else is
there. Durations, rates, memory, energy and cost are placed on four decades each, by their
logarithm: a factor of 2 counts 0.075 wherever it happens, as much as 7.5 points of a quality
score. Scores are placed linearly on their own range.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from minionbench.metrics.table import METRICS


class Scale(NamedTuple):
    """Where a metric's values lie between worthless and as good as anybody needs."""

    zero: float
    """The value that counts 0."""
    one: float
    """The value that counts 1."""
    log: bool
    """Whether ratios count, not differences."""

    def place(self, value: float) -> float:
        """Where a value lies, 0 at `zero` and 1 at `one`; beyond them less and more.

        Formula: (v − zero)/(one − zero), of the logarithms where ratios count. There a value of
        0 or less lies infinitely far out, on the side that small values are on.
        """
        if not self.log:
            return (value - self.zero) / (self.one - self.zero)
        span = math.log(self.one) - math.log(self.zero)
        if value <= 0:
            return math.copysign(math.inf, -span)
        return (math.log(value) - math.log(self.zero)) / span

    def worth(self, value: float) -> float:
        """Where a value lies, held between 0 and 1."""
        return min(max(self.place(value), 0.0), 1.0)


REFERENCES: dict[str, Scale] = {
    "ttft_s": Scale(10.0, 0.001, log=True),
    "ttfo_s": Scale(10.0, 0.001, log=True),
    "total_latency_s": Scale(100.0, 0.01, log=True),
    "response_time_s": Scale(100.0, 0.01, log=True),
    "tpot_s": Scale(1.0, 0.0001, log=True),
    "itl_s": Scale(1.0, 0.0001, log=True),
    "icl_s": Scale(1.0, 0.0001, log=True),
    "tokens_per_sec": Scale(1.0, 10_000.0, log=True),
    "latency_ms": Scale(100_000.0, 10.0, log=True),
    "output_tokens_per_sec": Scale(1.0, 10_000.0, log=True),
    "requests_per_sec": Scale(0.01, 100.0, log=True),
    "goodput_per_sec": Scale(0.01, 100.0, log=True),
    "slo_attainment_pct": Scale(0.0, 100.0, log=False),
    "peak_ram_mb": Scale(100_000.0, 10.0, log=True),
    "peak_vram_mb": Scale(100_000.0, 10.0, log=True),
    "energy_wh": Scale(100.0, 0.01, log=True),
    "energy_wh_per_request": Scale(10.0, 0.001, log=True),
    "energy_wh_per_good_request": Scale(10.0, 0.001, log=True),
    "energy_j_per_token": Scale(100.0, 0.01, log=True),
    "idle_power_w": Scale(1_000.0, 0.1, log=True),
    "energy_above_idle_wh": Scale(100.0, 0.01, log=True),
    "cost_usd": Scale(1.0, 0.0001, log=True),
    "cost_usd_per_million_tokens": Scale(1_000.0, 0.1, log=True),
    "cost_usd_per_correct": Scale(10.0, 0.001, log=True),
    "electricity_cost_usd": Scale(10.0, 0.001, log=True),
    "electricity_cost_usd_per_million_tokens": Scale(1_000.0, 0.1, log=True),
    "remote_energy_wh": Scale(1_000.0, 0.1, log=True),
    "remote_energy_wh_per_request": Scale(100.0, 0.01, log=True),
    "accuracy_pct": Scale(0.0, 100.0, log=False),
    "cove_pass_rate": Scale(0.0, 100.0, log=False),
    "retrieval_score": Scale(0.0, 100.0, log=False),
    "perplexity": Scale(1_000.0, 1.0, log=True),
    "kl_to_base": Scale(1.0, 0.0, log=False),
}
"""The scale of every metric, unless the user names other reference points."""


def improves(scale: Scale, metric: str) -> bool:
    """Whether a scale rises in the direction in which its metric gets better."""
    rises = scale.one > scale.zero
    return rises == (METRICS[metric].better == "higher") and scale.one != scale.zero
