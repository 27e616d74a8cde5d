"""Unit prices that hold for one call, and what its tokens cost by them."""

from __future__ import annotations

import math

import msgspec

from minionbench.errors import UsageError
from minionbench.exchange import Usage

TOKENS_PER_PRICE = 1_000_000
"""Prices are per million tokens, as every provider lists them."""


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's price in US dollars per million tokens.

    Raises UsageError for a price that is negative or no number.
    """

    input_usd: float
    output_usd: float
    """Of every generated token, reasoning included, as providers charge them."""
    cached_input_usd: float | None = None
    """Of prompt tokens read from the provider's cache; None where they cost as much as others."""
    cache_write_usd: float | None = None
    """Of prompt tokens written to the provider's cache; None where they cost as much as others."""
    cache_write_1h_usd: float | None = None
    """Of those that are kept there for an hour; None where they cost as much as the other ones."""
    reasoning_usd: float | None = None
    """Of reasoning, where it costs something else than the rest of what is generated."""
    request_usd: float = 0.0
    """Of the call itself, in dollars."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
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

    @property
    def dearest_input_usd(self) -> float:
        """The most that a prompt token can cost, whatever becomes of it in a cache."""
        kinds = (
            self.input_usd,
            self.cached_input_usd,
            self.cache_write_usd,
            self.cache_write_1h_usd,
        )
        return max(usd for usd in kinds if usd is not None)

    @property
    def dearest_output_usd(self) -> float:
        """The most that a generated token can cost."""
        return max(self.output_usd, self.reasoning_usd or 0.0)

    def at_most_usd(self, prompt_tokens: int, generated_tokens: int) -> float:
        """The most that a call of so many tokens can cost."""
        prompt_usd = prompt_tokens * self.dearest_input_usd
        generated_usd = generated_tokens * self.dearest_output_usd
        return (prompt_usd + generated_usd) / TOKENS_PER_PRICE + self.request_usd


def cost_usd(usage: Usage | None, price: Price) -> float | None:
    """What a call cost, in US dollars; None where the server did not count its tokens.

    Formula: the prompt's tokens, apart from those read from and written to a cache, by the input's
    price; those by theirs; the generated ones by the output's price, or reasoning by its own where
    it has one; and what the call itself costs. A server that says nothing of caches is taken to
    have used none; of reasoning that has its own price, its count is needed.
    """
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
    written = min(usage.cache_write_tokens or 0, usage.prompt_tokens - cached)
    for_an_hour = min(usage.cache_write_1h_tokens or 0, written)
    reasoning = 0
    if price.reasoning_usd is not None:
        if usage.reasoning_tokens is None:
            return None
        reasoning = min(usage.reasoning_tokens, usage.completion_tokens)
    cached_usd = _or(price.cached_input_usd, price.input_usd)
    written_usd = _or(price.cache_write_usd, price.input_usd)
    total = (
        (usage.prompt_tokens - cached - written) * price.input_usd
        + cached * cached_usd
        + (written - for_an_hour) * written_usd
        + for_an_hour * _or(price.cache_write_1h_usd, written_usd)
        + (usage.completion_tokens - reasoning) * price.output_usd
        + reasoning * _or(price.reasoning_usd, price.output_usd)
    )
    return total / TOKENS_PER_PRICE + price.request_usd


def _or(usd: float | None, otherwise_usd: float) -> float:
    return otherwise_usd if usd is None else usd
