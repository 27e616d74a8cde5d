"""The table of prices that comes with the package genai-prices: some two thousand models.

It is data of that package, with the version's own day; nothing is asked of the network. The package
brings pydantic along, so it is loaded only when the price of a model is looked up.
"""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from minionbench.prices.tariff import Kind, Rate, Step, Tariff, Terms

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

SOURCE = "genai-prices"

_KINDS: dict[str, Kind] = {
    "input_mtok": "input_usd",
    "cache_read_mtok": "cached_input_usd",
    "cache_write_mtok": "cache_write_usd",
    "cache_write_1h_mtok": "cache_write_1h_usd",
    "output_mtok": "output_usd",
    "output_reasoning_mtok": "reasoning_usd",
    "requests_kcount": "request_usd",
}
"""Its names of what is charged for text; those for sounds, pictures and searches do not occur."""
_REQUESTS_PER_PRICE = 1_000
_USUAL = {"service_tier": "default"}


class Listed(NamedTuple):
    """What the catalogue has for a model."""

    tariff: Tariff | None
    why_none: str | None
    """Why there are no prices; None where there are."""


def listed(provider: str | None, model: str, base_url: str | None = None) -> Listed:
    """The prices of a provider's model.

    `provider` is the provider's name; None where only the address `base_url` tells who it is. A
    model is never looked up by its name alone: who serves it decides what it costs.
    """
    try:
        import genai_prices
        from genai_prices.data_snapshot import get_snapshot
    except ImportError as error:
        return Listed(None, f"genai-prices, the table of prices, cannot be loaded: {error}")
    version = genai_prices.__version__
    snapshot = get_snapshot()
    where = provider if provider is not None else f"the server {_host(base_url)}".rstrip()
    try:
        found = snapshot.find_provider(None, provider, None if provider else base_url or "")
        found, info = snapshot.find_provider_model(model, found, None, None)
    except LookupError:
        return Listed(None, f"{SOURCE} {version} has no price of {model} of {where}")
    terms = tuple(_all_terms(info))
    if any("input_usd" not in t.rates or "output_usd" not in t.rates for t in terms):
        return Listed(
            None, f"{SOURCE} {version} has no price per token of {model} of {where} in and out"
        )
    tariff = Tariff(
        model=info.id,
        provider=found.id,
        source=SOURCE,
        version=version,
        terms=terms,
        variants=tuple(_variants(info, found)),
    )
    return Listed(tariff, None)


def _host(base_url: str | None) -> str:
    """The host of an address, which may hold a password; nothing where there is none."""
    try:
        return urlsplit(base_url or "").hostname or ""
    except ValueError:
        return ""


def _all_terms(info: ModelInfo) -> list[Terms]:
    if not isinstance(info.prices, list):
        return [Terms(rates=_rates(info.prices))]
    return [_terms(one.prices, one.constraint) for one in info.prices]


def _variants(info: ModelInfo, provider: Provider) -> list[Terms]:
    """Prices for calls of a certain context; as the package has it, of a provider's own models."""
    if not any(info is own for own in provider.models):
        return []
    return [
        _terms(one.prices, one.constraint, dict(one.when))
        for one in info.price_variants or ()
        if one.when != _USUAL
    ]


def _terms(prices: ModelPrice, constraint: object, when: dict[str, str] | None = None) -> Terms:
    from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

    rates = _rates(prices)
    when = when or {}
    if isinstance(constraint, StartDateConstraint):
        return Terms(rates=rates, when=when, from_date=constraint.start_date)
    if isinstance(constraint, TimeOfDateConstraint):
        begin, end = _utc(constraint.start_time), _utc(constraint.end_time)
        return Terms(rates=rates, when=when, daily_from=begin, daily_until=end)
    return Terms(rates=rates, when=when)


def _utc(hour: time) -> time:
    """An hour of the day in UTC, as which one without an offset is meant."""
    if hour.tzinfo is None:
        return hour
    # Any day will do: no offset there changes with the season.
    return datetime.combine(datetime(1970, 1, 1), hour).astimezone(UTC).time()


def _rates(prices: ModelPrice) -> dict[Kind, Rate]:
    from genai_prices.types import TieredPrices

    rates: dict[Kind, Rate] = {}
    for name, kind in _KINDS.items():
        price = getattr(prices, name)
        if price is None:
            continue
        per = _REQUESTS_PER_PRICE if kind == "request_usd" else 1
        if isinstance(price, TieredPrices):
            steps = tuple(Step(tier.start, float(tier.price) / per) for tier in price.tiers)
            rates[kind] = Rate(float(price.base) / per, steps)
        else:
            rates[kind] = Rate(float(price) / per)
    return rates
