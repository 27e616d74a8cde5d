"""Billing: the figures of money, and of energy that nobody can measure, of a measured cell."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from minionbench.clock import ClockAnchor
from minionbench.exchange import Side
from minionbench.meters.remote_energy import not_modelled, remote_energy
from minionbench.metrics.value import MetricValue
from minionbench.prices import METRIC, Charges, OwnClock, cost_metric, cost_metrics
from minionbench.prices.electricity import electricity_metrics
from minionbench.quality.grading.accuracy import METRIC as ACCURACY
from minionbench.quality.grading.accuracy import Judgements
from minionbench.records import RequestRecord

SERVED_HERE = (
    "the remote side was served on this machine: its energy is part of what the device took"
)


def money_metrics(
    records: Sequence[RequestRecord],
    charges: Charges,
    clock: ClockAnchor | None,
    *,
    sides: Collection[Side],
    metrics: Mapping[str, MetricValue],
    sessions: tuple[OwnClock, ...] = (),
    compared: bool = False,
) -> dict[str, MetricValue]:
    """What a cell's requests cost at the remote model's provider, and here in electricity.

    `sides` are those that its calls go to, `metrics` what else is known of it, `sessions` the
    clocks of those of its records that the run's own `clock` does not tell. `compared` has a cell
    say that it costs nothing, since it stands beside others that do cost something.
    """
    found: dict[str, MetricValue] = {}
    pricing = charges.pricing(clock, sessions)
    if "remote" in sides:
        accuracy = metrics.get(ACCURACY)
        found |= cost_metrics(
            records,
            pricing,
            Judgements(records).shares(),
            why_none=charges.why_none,
            not_judged=None if accuracy is None else accuracy.reason,
        )
        if charges.served_here:
            found |= not_modelled(SERVED_HERE)
        elif charges.remote is not None:
            found |= remote_energy(records, charges.remote.provider, charges.remote.model)
    elif compared:
        found[METRIC] = cost_metric(records, pricing, why_none=charges.why_none)
    return found | electricity_metrics(metrics, charges.electricity_usd_per_kwh)
