"""Tariffs: all prices of one model, and which of them holds for a call.

A price may depend on the day and the hour, on the length of the prompt, and on the service tier
that the provider answered in. A tariff holds all of that as plain values, so that it can be kept
with a run and the same figures be computed again when the table that it came from has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, TypeAlias

import msgspec

from minionbench.exchange import Usage
from minionbench.prices.price import Price

Kind: TypeAlias = Literal[
    "input_usd",
    "cached_input_usd",
    "cache_write_usd",
    "cache_write_1h_usd",
    "output_usd",
    "reasoning_usd",
    "request_usd",
]
"""What a rate is for: a field of `Price`."""

BATCH = "batch"
USUAL_TIERS = ("default", "standard", "auto", "on_demand")
"""Words of providers for a call that was served as calls are, at the usual price."""
USUAL_SPEEDS = ("standard", "default", "normal")
LOOK_AHEAD_DAYS = 7
"""How far a limit on costs looks ahead for dearer prices: no run is longer."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rate that holds for the whole call when its prompt is longer than so many tokens."""

    above_tokens: int
    usd: float


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dollars per million tokens; of a request, dollars per request."""

    usd: float
    steps: tuple[Step, ...] = ()
    """By rising length."""

    def for_prompt(self, tokens: int) -> float:
        """The rate for a prompt of this length."""
        usd = self.usd
        for step in self.steps:
            if tokens > step.above_tokens:
                usd = step.usd
        return usd

    def most_up_to(self, tokens: int) -> float:
        """The highest rate for a prompt of at most this length."""
        return max([self.usd, *(step.usd for step in self.steps if tokens > step.above_tokens)])


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rates with the time in which they hold, in UTC; None is no bound."""

    rates: dict[Kind, Rate]
    from_date: date | None = None
    daily_from: time | None = None
    """Begin of the hours of each day; the end may be on the next one."""
    daily_until: time | None = None
    when: dict[str, str] = {}
    """What a call's context has to say, as {"service_tier": "flex"}; empty for every call."""

    def hold_at(self, at: datetime) -> bool:
        """Whether they hold at an instant."""
        at = at.astimezone(UTC)
        if self.from_date is not None and at.date() < self.from_date:
            return False
        if self.daily_from is None or self.daily_until is None:
            return True
        hour = at.time()
        if self.daily_until < self.daily_from:
            return hour >= self.daily_from or hour < self.daily_until
        return self.daily_from <= hour < self.daily_until


class Possible(msgspec.Struct, frozen=True):
    """Rates of which any may be the one that counts."""

    rates: dict[Kind, tuple[Rate, ...]]

    def dearest(self, prompt_tokens: int) -> Price:
        """No price of a call whose prompt is at most so long is above this one in any part."""
        most = {
            kind: max(rate.most_up_to(prompt_tokens) for rate in rates)
            for kind, rates in self.rates.items()
        }
        return Price(**most)


class Tariff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The prices of a model."""

    model: str
    """As the source names it."""
    provider: str | None = None
    source: str
    """Where the prices are from: a package, a flag, or a user's file."""
    version: str | None = None
    """Of the source; None where it has none."""
    terms: tuple[Terms, ...]
    """Of those that hold at an instant the last counts; where none does, the first."""
    variants: tuple[Terms, ...] = ()
    """Rates for calls of a certain context: of those that fit, the first that has a rate."""
    any_context: bool = False
    """Whether the prices are the user's word for every call, whatever tier it is served in."""
    note: str | None = None
    """What a reader has to know, one sentence."""

    @classmethod
    def of(cls, price: Price, *, model: str = "the remote model", source: str) -> Tariff:
        """The tariff of a model that has one price."""
        return cls(
            model=model,
            source=source,
            terms=(Terms(rates=rates_of(price)),),
            any_context=True,
        )

    def price(self, at: datetime, usage: Usage) -> Price | None:
        """The price of a call; None where the source knows none for how it was served."""
        context = context_of(usage)
        if not self.any_context and not self._knows(context):
            return None
        tokens = usage.prompt_tokens or 0
        rates = self._rates(at, context)
        return Price(**{kind: rate.for_prompt(tokens) for kind, rate in rates.items()})

    def possible(self, at: datetime) -> Possible:
        """All rates by which a call may be charged within a week from `at` on."""
        rates: dict[Kind, set[Rate]] = {}
        for instant in self._instants(at):
            for context in self._contexts():
                for kind, rate in self._rates(instant, context).items():
                    rates.setdefault(kind, set()).add(rate)
        return Possible(rates={kind: tuple(found) for kind, found in rates.items()})

    def _rates(self, at: datetime, context: Mapping[str, str]) -> dict[Kind, Rate]:
        holding = [terms for terms in self.terms if terms.hold_at(at)]
        rates = dict((holding[-1] if holding else self.terms[0]).rates)
        if not context:
            return rates
        overlaid: dict[Kind, Rate] = {}
        for variant in self.variants:
            fits = all(context.get(name) == word for name, word in variant.when.items())
            if fits and variant.hold_at(at):
                overlaid = {**variant.rates, **overlaid}
        return {**rates, **overlaid}

    def _knows(self, context: Mapping[str, str]) -> bool:
        """Whether the source has prices for each of the words of a call's context."""
        named = {pair for variant in self.variants for pair in variant.when.items()}
        return all(pair in named for pair in context.items())

    def _contexts(self) -> Iterator[dict[str, str]]:
        """Contexts in which calls may be served."""
        yield {}
        yield from (variant.when for variant in self.variants)

    def _instants(self, at: datetime) -> Iterator[datetime]:
        """Instants of the next week after each of which other prices may hold."""
        at = at.astimezone(UTC)
        yield at
        edges = {time()}
        for terms in (*self.terms, *self.variants):
            edges |= {edge for edge in (terms.daily_from, terms.daily_until) if edge is not None}
        for days in range(LOOK_AHEAD_DAYS + 1):
            day = at.date() + timedelta(days=days)
            for edge in edges:
                instant = datetime.combine(day, edge, UTC)
                if instant > at:
                    yield instant


def context_of(usage: Usage) -> dict[str, str]:
    """What of a call's own account decides about its price; nothing where it was a usual one."""
    context: dict[str, str] = {}
    if usage.service_tier is not None and usage.service_tier not in USUAL_TIERS:
        context |= context_of_tier(usage.service_tier)
    if usage.speed is not None and usage.speed not in USUAL_SPEEDS:
        context["speed"] = usage.speed
    return context


def context_of_tier(tier: str) -> dict[str, str]:
    """A service tier as a context; providers that have batches call one of their tiers so."""
    return {"processing": BATCH} if tier == BATCH else {"service_tier": tier}


def rates_of(price: Price) -> dict[Kind, Rate]:
    """The rates of a price that holds whatever the prompt's length."""
    kinds: tuple[Kind, ...] = price.__struct_fields__  # type: ignore[assignment]
    told = {kind: getattr(price, kind) for kind in kinds}
    return {kind: Rate(usd) for kind, usd in told.items() if usd is not None}
