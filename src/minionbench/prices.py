"""What calls cost: tokens of each kind times their price.

Prices are given by the user. Local calls cost nothing here; their energy is another figure.
"""

from __future__ import annotations

import math

import msgspec

from minionbench.errors import UsageError
from minionbench.exchange import Usage

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
