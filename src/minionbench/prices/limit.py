"""A limit on what a run may cost: what was spent, and what calls under way may still take.

Money is set aside for a call before it goes, at the dearest that it can come to: its prompt at one
token per byte, an answer of the most tokens that it was allowed, at the highest price of any hour
and tier. When it has ended what it really cost is booked in its place. So the limit is kept
whatever the answers are, as long as a server counts no more tokens of a prompt than it has bytes,
and generates no more than it was allowed.
"""

from __future__ import annotations

import math

import msgspec

from minionbench.clock import monotonic_ns
from minionbench.errors import UsageError
from minionbench.exchange import COST_NOTHING, Call, Endpoint, Reply
from minionbench.prices.charges import Pricing

PICO = 10**12
"""Amounts are summed as whole millionths of a millionth of a dollar, always rounded up."""
TOKENS_PER_MESSAGE = 32
"""What a chat template adds to each message, and at the beginning and end, generously."""
DIGITS = 3
"""That an amount below a dollar is told with."""
OPENING_BYTES = 64
"""Of words that may be put before a prompt so that no cache has it."""
TRIAL_TOKENS = 128
"""Of a prompt of one word with its template, generously."""
SCHEMA_TOKENS = 1_024
"""What a provider may add of its own to have an answer follow a schema, generously."""


class CostLimit:
    """What a run may cost, and has cost so far."""

    def __init__(self, most_usd: float, pricing: Pricing) -> None:
        """Raises UsageError for a limit that is no amount above nothing."""
        check_most_usd(most_usd)
        self.most_usd = most_usd
        self.pricing = pricing
        self._possible = pricing.tariff.possible(pricing.clock.utc(monotonic_ns()))
        self._most = math.floor(most_usd * PICO)
        self._spent = 0
        self._reserved = 0
        self._guessed = 0
        """Of what was spent: for calls whose cost is not known, the dearest that it can be."""
        self._ratio = 1.0
        """How many tokens a server has counted for what was taken to be one, at most."""

    @property
    def spent_usd(self) -> float:
        """Of the calls that have ended; where a cost is not known, the most that it can be."""
        return self._spent / PICO

    @property
    def most_spent_usd(self) -> float:
        """What was spent, and the most that calls under way can still come to."""
        return (self._spent + self._reserved) / PICO

    @property
    def left_usd(self) -> float:
        """What is neither spent nor set aside."""
        return (self._most - self._spent - self._reserved) / PICO

    @property
    def under_way(self) -> bool:
        """Whether money is set aside for calls under way, some of which may come back."""
        return self._reserved > 0

    def prompt_tokens(self, call: Call, endpoint: Endpoint) -> int:
        """The most tokens that a server can count of a call's prompt."""
        return math.ceil(most_prompt_tokens(call, endpoint) * self._ratio)

    def dearest(self, call: Call, prompt_tokens: int, generated_tokens: int) -> int:
        """The most that a call of so many tokens can cost."""
        if call.side != "remote":
            return 0
        price = self._possible.dearest(prompt_tokens)
        return _pico(price.at_most_usd(prompt_tokens, generated_tokens))

    def reserve(self, amount: int) -> bool:
        """Sets an amount aside; False where there is no room for it."""
        if self._spent + self._reserved + amount > self._most:
            return False
        self._reserved += amount
        return True

    def release(self, amount: int) -> None:
        """Gives back what was set aside for a call that is not made after all."""
        self._reserved -= amount

    def settle(self, call: Call, reply: Reply, amount: int, most_prompt_tokens: int) -> None:
        """A call has ended: what it cost is booked, or what was set aside where nobody knows.

        Where its prompt was counted as longer than was thought possible, the next ones are thought
        to be as much longer.
        """
        self._reserved -= amount
        if call.side != "remote" or reply.outcome in COST_NOTHING:
            return
        counted = None if reply.usage is None else reply.usage.prompt_tokens
        if counted is not None and counted > most_prompt_tokens > 0:
            self._ratio *= counted / most_prompt_tokens
        charge = self.pricing.charge(reply)
        if charge.usd is None:
            self._spent += amount
            self._guessed += amount
        else:
            self._spent += _pico(charge.usd)

    def book_trial(self, prompt_tokens: int | None) -> None:
        """Books the call for one token by which a server was tried before the run.

        `prompt_tokens` None is one that was not counted.
        """
        if prompt_tokens is None:
            prompt_tokens = TRIAL_TOKENS
        price = self._possible.dearest(prompt_tokens)
        self._spent += _pico(price.at_most_usd(prompt_tokens, 1))

    def told(self) -> str:
        """What was spent, in one sentence."""
        spent = f"Spent {dollars(self.spent_usd)} of at most {dollars(self.most_usd)}"
        if not self._guessed:
            return f"{spent}, warm-up included"
        return (
            f"{spent}, warm-up included; {dollars(self._guessed / PICO)} of it is the most that "
            "calls can have cost whose cost is not known"
        )


def check_most_usd(most_usd: float) -> None:
    """Raises UsageError for a limit that is no amount above nothing."""
    if not (math.isfinite(most_usd) and most_usd > 0):
        raise UsageError(
            f"The most that a run may cost is {most_usd}; it has to be above 0 dollars"
        )


def most_prompt_tokens(call: Call, endpoint: Endpoint) -> int:
    """No tokenizer makes more tokens of a call's prompt: one of each byte, and what is added."""
    texts = sum(len(message.content.encode(errors="surrogatepass")) for message in call.messages)
    added = OPENING_BYTES + TOKENS_PER_MESSAGE * (len(call.messages) + 1)
    if call.schema is not None:
        added += SCHEMA_TOKENS + len(msgspec.json.encode(call.schema))
    if endpoint.extra_body:
        # It may hold texts and tools of the user's own.
        added += len(msgspec.json.encode(endpoint.extra_body))
    return texts + added


def dollars(usd: float) -> str:
    """An amount in a message, with as many digits as tell it apart from nothing."""
    if usd >= 1 or usd <= 0:
        return f"${usd:,.2f}"
    digits = DIGITS - 1 - math.floor(math.log10(usd))
    return f"${usd:.{digits}f}".rstrip("0")


def in_usd(amount: int) -> float:
    """An amount of a limit in dollars."""
    return amount / PICO


def _pico(usd: float) -> int:
    return math.ceil(usd * PICO)
