"""What calls cost: tokens of each kind times their price, by the day, hour and length of the call.

Local calls cost nothing here, by definition: their energy is another figure.
"""

from __future__ import annotations

from minionbench.prices.charges import Charges, OwnClock, Pricing, RemoteName, item_costs
from minionbench.prices.cost import METRIC, cost_metric, cost_metrics
from minionbench.prices.price import Price, cost_usd
from minionbench.prices.tariff import Tariff

__all__ = [
    "METRIC",
    "Charges",
    "OwnClock",
    "Price",
    "Pricing",
    "RemoteName",
    "Tariff",
    "cost_metric",
    "cost_metrics",
    "cost_usd",
    "item_costs",
]
