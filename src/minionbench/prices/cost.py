"""The metrics of cost of a cell: per request, per million tokens, per right answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from minionbench.exchange import COUNTED_WHOLE
from minionbench.metrics.value import MetricValue, estimated, skipped
from minionbench.prices.charges import Bill, Pricing, charged, mean_or_unknown
from minionbench.prices.price import TOKENS_PER_PRICE, Price
from minionbench.records import RequestRecord
from minionbench.stats import LEVEL, Estimate, ratio_of_sums
from minionbench.units import number_of

METRIC = "cost_usd"
PER_MILLION_TOKENS = "cost_usd_per_million_tokens"
PER_CORRECT = "cost_usd_per_correct"

NO_PRICE = (
    "no price of the remote model is known: give it with --remote-price IN[,CACHED],OUT or in a "
    "file with --prices"
)
REQUEST = "request_usd"
COUNTS = (
    "prompt_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "completion_tokens",
    "reasoning_tokens",
)


class Costs:
    """What the requests of a cell cost, item by item: what its metrics of cost are made of."""

    def __init__(self, records: Sequence[RequestRecord], pricing: Pricing) -> None:
        self.pricing = pricing
        self.records = charged(records)
        self.bill = Bill(pricing)
        usd: dict[str, list[float | None]] = {}
        tokens: dict[str, list[int]] = {}
        for record in self.records:
            usd.setdefault(record.item_id, []).append(self.bill.add(record))
            tokens.setdefault(record.item_id, []).append(_remote_tokens(record))
        self.total_usd = math.fsum(one or 0.0 for costs in usd.values() for one in costs)
        """Of the requests whose cost is known."""
        self.items = {item: mean_or_unknown(costs) for item, costs in usd.items()}
        """The mean of each item's requests; None where that of one is not known."""
        self.tokens = {item: sum(counts) / len(counts) for item, counts in tokens.items()}
        """Prompt and generated tokens of the remote model for a request of each item."""

    @property
    def known(self) -> dict[str, float]:
        """The items whose cost is known."""
        return {item: usd for item, usd in self.items.items() if usd is not None}

    def why_unknown(self) -> str | None:
        """Why there is no figure of all items; None where there is."""
        if not self.items:
            return "no request was measured"
        missing = len(self.items) - len(self.known)
        if not missing:
            return None
        why = "; ".join(
            f"{reason} ({number_of(calls, 'call')})"
            for reason, calls in self.bill.unknown.most_common()
        )
        return f"what {number_of(missing, 'item')} cost is not known: {why}"

    def source(self) -> dict[str, Any]:
        """Where the prices are from."""
        tariff = self.pricing.tariff
        source = {
            "name": tariff.source,
            "version": tariff.version,
            "provider": tariff.provider,
            "model": tariff.model,
            "note": tariff.note,
        }
        return {"price_source": {key: value for key, value in source.items() if value is not None}}

    def about(self) -> dict[str, Any]:
        """By which prices a figure came to be."""
        about = self.source()
        about["calls"] = self.bill.calls
        about["unit_prices_usd_per_million"] = [
            {"calls": calls, **_told(price)} for price, calls in self.bill.prices.most_common()
        ]
        if any(call.side == "local" for record in self.records for call in record.calls):
            about["local"] = "costs nothing here, by definition: its energy is another figure"
        return about


def cost_metrics(
    records: Sequence[RequestRecord],
    pricing: Pricing | None,
    shares: Mapping[str, float],
    *,
    why_none: str | None = None,
    not_judged: str | None = None,
    level: float = LEVEL,
) -> dict[str, MetricValue]:
    """The three metrics of cost of a cell whose calls go to a remote model.

    `shares` is each item's share of right answers, `not_judged` why it has none. Skipped where
    there is no price (`why_none` says why), or where the cost of a call is not known.
    """
    if pricing is None:
        why = why_none or NO_PRICE
        return {name: skipped(name, why) for name in (METRIC, PER_MILLION_TOKENS, PER_CORRECT)}
    costs = Costs(records, pricing)
    return {
        METRIC: per_request(costs, level),
        PER_MILLION_TOKENS: per_million_tokens(costs, level),
        PER_CORRECT: per_correct(costs, shares, not_judged, level),
    }


def cost_metric(
    records: Sequence[RequestRecord],
    pricing: Pricing | None,
    *,
    why_none: str | None = None,
    level: float = LEVEL,
) -> MetricValue:
    """`cost_usd` of a cell alone."""
    if pricing is None:
        return skipped(METRIC, why_none or NO_PRICE)
    return per_request(Costs(records, pricing), level)


def per_request(costs: Costs, level: float = LEVEL) -> MetricValue:
    """`cost_usd`: what one request cost on average, failed ones included.

    Formula: the mean over items of the mean over an item's requests; the interval is Student's t
    over items.
    """
    kept = {"charged_by": msgspec.to_builtins(costs.pricing)}
    why = costs.why_unknown()
    if why is not None:
        return skipped(METRIC, why, **costs.source(), **kept)
    return estimated(
        METRIC,
        _mean(list(costs.known.values()), level),
        per="request",
        total_usd=costs.total_usd,
        requests=len(costs.records),
        tokens=_tokens(costs.records),
        **costs.about(),
        **kept,
    )


def per_million_tokens(costs: Costs, level: float = LEVEL) -> MetricValue:
    """`cost_usd_per_million_tokens`: what the remote model's tokens cost as they were mixed.

    Formula: the cost of all items ÷ the prompt and generated tokens of their remote calls, each
    item with its mean; the interval is that of a ratio of means.
    """
    name = PER_MILLION_TOKENS
    why = costs.why_unknown()
    if why is not None:
        return skipped(name, why, **costs.source())
    pairs = [(usd, costs.tokens[item]) for item, usd in costs.known.items()]
    if not any(tokens for _, tokens in pairs):
        return skipped(name, "the remote model was asked for no token")
    return estimated(
        name,
        _scaled(_ratio(pairs, level), TOKENS_PER_PRICE),
        per="million prompt and generated tokens of the remote model",
        **costs.about(),
    )


def per_correct(
    costs: Costs,
    shares: Mapping[str, float],
    not_judged: str | None = None,
    level: float = LEVEL,
) -> MetricValue:
    """`cost_usd_per_correct`: what a right answer cost, those that were wrong paid for too.

    Formula: the cost of the items that could be judged ÷ how many of them were right, each with its
    mean over repeats; the interval is that of a ratio of means.
    """
    name = PER_CORRECT
    why = costs.why_unknown()
    if why is not None:
        return skipped(name, why, **costs.source())
    pairs = [(usd, shares[item]) for item, usd in costs.known.items() if item in shares]
    if not pairs:
        return skipped(name, not_judged or "no answer could be judged")
    about = {"right": math.fsum(right for _, right in pairs), "items": len(pairs)}
    if not about["right"]:
        return skipped(name, "no answer was right, so that none has a price", **about)
    return estimated(name, _ratio(pairs, level), per="right answer", **about, **costs.about())


def _told(price: Price) -> dict[str, Any]:
    told = msgspec.to_builtins(price)
    by_itself = price.request_usd > 0
    return {k: usd for k, usd in told.items() if usd is not None and (by_itself or k != REQUEST)}


def _remote_tokens(record: RequestRecord) -> int:
    """Prompt and generated tokens of a request's remote calls that are charged for."""
    replies = [call.reply for call in record.calls if call.side == "remote"]
    usages = [reply.usage for reply in replies if reply.outcome in COUNTED_WHOLE]
    return sum((u.prompt_tokens or 0) + (u.completion_tokens or 0) for u in usages if u is not None)


def _tokens(records: Sequence[RequestRecord]) -> dict[str, int]:
    """Tokens of each kind of all remote calls; those are left out that no server spoke of."""
    totals: dict[str, int] = {}
    for record in records:
        for call in record.calls:
            for name in COUNTS:
                told = getattr(call.reply.usage, name, None)
                if call.side == "remote" and told is not None:
                    totals[name] = totals.get(name, 0) + told
    return totals


def _mean(values: Sequence[float], level: float) -> Estimate:
    estimate = ratio_of_sums([(value, 1.0) for value in values], level)
    return _over_items(estimate, "mean over items, Student's t")


def _ratio(pairs: Sequence[tuple[float, float]], level: float) -> Estimate:
    return _over_items(ratio_of_sums(pairs, level), "ratio of sums over items, Student's t")


def _over_items(estimate: Estimate, method: str) -> Estimate:
    """The estimate in the words of items, which are its units here."""
    note = None if estimate.n > 1 else "one item has no spread: an interval needs at least 2"
    return msgspec.structs.replace(estimate, method=method, note=note)


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    return msgspec.structs.replace(
        estimate,
        point=estimate.point * factor,
        low=None if estimate.low is None else estimate.low * factor,
        high=None if estimate.high is None else estimate.high * factor,
    )
