"""What calls cost: tokens of each kind times their price.

Prices are given by the user. Local calls cost nothing here, by definition: their energy is another
figure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from minionbench.errors import UsageError
from minionbench.exchange import COST_NOTHING, COUNTED_WHOLE, Outcome, Usage
from minionbench.metrics.value import MetricValue, estimated, skipped
from minionbench.records import CallRecord, RequestRecord
from minionbench.stats import LEVEL, Estimate, student_quantile
from minionbench.units import number_of

METRIC = "cost_usd"

TOKENS_PER_PRICE = 1_000_000
"""Prices are per million tokens, as every provider lists them."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """A model's price in US dollars per million tokens.

    Raises UsageError for a price that is negative or no number.
    """

    input_usd: float
    output_usd: float
    """Of every generated token, reasoning included, as providers charge them."""
    cached_input_usd: float | None = None
    """Of prompt tokens served from the provider's cache; None where they cost as much as others."""

    def __post_init__(self) -> None:
        for name in ("input_usd", "output_usd", "cached_input_usd"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"The price {name} is {value}; it has to be a number from 0 on")

    @classmethod
    def parse(cls, text: str) -> Price:
        """The price that `INPUT,OUTPUT` or `INPUT,CACHED,OUTPUT` tells, in dollars per million.

        Raises UsageError for any other text.
        """
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError:
            values = []
        match values:
            case [given, generated]:
                return cls(input_usd=given, output_usd=generated)
            case [given, cached, generated]:
                return cls(input_usd=given, cached_input_usd=cached, output_usd=generated)
        raise UsageError(
            f"A price is INPUT,OUTPUT or INPUT,CACHED,OUTPUT in dollars per million tokens, as "
            f"2.5,10; not {text!r}"
        )


def cost_usd(usage: Usage | None, price: Price) -> float | None:
    """What a call cost, in US dollars; None where the server did not count its tokens.

    Formula: (prompt − cached)·input + cached·cached input + completion·output, each price per
    token. A server that says nothing of cached tokens is taken to have cached none.
    """
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
    cached_price = price.input_usd if price.cached_input_usd is None else price.cached_input_usd
    total = (
        (usage.prompt_tokens - cached) * price.input_usd
        + cached * cached_price
        + usage.completion_tokens * price.output_usd
    )
    return total / TOKENS_PER_PRICE


def request_cost_usd(record: RequestRecord, price: Price) -> float | None:
    """What a request's remote calls cost; None where one of them was not counted."""
    costs = [_call_cost(call, price) for call in record.calls if call.side == "remote"]
    known = [cost for cost in costs if cost is not None]
    return math.fsum(known) if len(known) == len(costs) else None


def _call_cost(call: CallRecord, price: Price) -> float | None:
    if call.reply.outcome in COUNTED_WHOLE:
        return cost_usd(call.reply.usage, price)
    return 0.0 if call.reply.outcome in COST_NOTHING else None


_CUT_OFF = (Outcome.CUT, Outcome.NOT_SENT)


def item_costs(records: Sequence[RequestRecord], price: Price) -> dict[str, float | None]:
    """The mean cost of each item's measured requests; None where one was not counted.

    Requests that the end of the run cut off are left out: they made a part of their calls only.
    """
    items: dict[str, list[float | None]] = {}
    for record in records:
        if record.phase == "measured" and record.outcome not in _CUT_OFF:
            items.setdefault(record.item_id, []).append(request_cost_usd(record, price))
    return {
        item: None if None in costs else math.fsum(c or 0.0 for c in costs) / len(costs)
        for item, costs in items.items()
    }


def cost_metric(
    records: Sequence[RequestRecord], price: Price | None, *, level: float = LEVEL
) -> MetricValue:
    """`cost_usd` of a cell: what one request cost on average, failed ones included.

    Formula: the mean over items of the mean over an item's requests; the interval is Student's t
    over items. Skipped where no price was given, or a call was not counted.
    """
    if price is None:
        return skipped(METRIC, "no price was given (--remote-price)")
    items = item_costs(records, price)
    if not items:
        return skipped(METRIC, "no request was measured")
    about: dict[str, Any] = {
        "per": "request",
        "price_usd_per_million": msgspec.to_builtins(price),
        "local": "costs nothing here, by definition: its energy is another figure",
    }
    known = [cost for cost in items.values() if cost is not None]
    if len(known) < len(items):
        missing = number_of(len(items) - len(known), "item")
        return skipped(METRIC, f"the server did not count all tokens of {missing}", **about)
    return estimated(METRIC, _mean_estimate(known, level), **about)


def _mean_estimate(values: Sequence[float], level: float) -> Estimate:
    n = len(values)
    mean = math.fsum(values) / n
    low = high = note = None
    if n >= 2:
        spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)
        reach = student_quantile((1 + level) / 2, n - 1) * spread
        low, high = max(mean - reach, 0.0), mean + reach
    else:
        note = "one item has no spread: an interval needs at least 2"
    return Estimate(
        point=mean,
        low=low,
        high=high,
        level=level,
        n=n,
        method="mean over items, Student's t",
        note=note,
    )
