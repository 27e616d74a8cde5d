"""What a run may still ask of its servers: their rate limits and quotas heeded, a budget kept.

No request is tried again: a refusal is a result. But the request after it waits as long as the
server asked, nothing more is asked of a provider whose quota is used up, and a run with a budget
of tokens or a limit on its cost ends before a request that could take it past.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from minionbench.errors import UsageError
from minionbench.exchange import (
    COST_NOTHING,
    COUNTED_WHOLE,
    Call,
    Endpoint,
    Outcome,
    Reply,
    Side,
)
from minionbench.prices.limit import CostLimit, dollars, in_usd
from minionbench.units import NS_PER_S
from minionbench.wire.asking import own_limits
from minionbench.wire.reasoning import DEFAULT_REASONING_TOKENS

LONGEST_PAUSE_S = 300.0
"""A server that asks for a longer wait gets no more requests in this run."""
FIRST_PAUSE_S = 1.0
"""Pause after a refusal that names none; it doubles with each further one in a row."""
LONGEST_OWN_PAUSE_S = 60.0
TOKENS_PER_MESSAGE = 16
"""What a chat template adds to each message, generously."""
BYTES_PER_TOKEN = 3
"""Of text that no tokenizer has counted; English has four and more."""

_BUSY = (429, 529)
"""Statuses of a server that refuses for the time being: too many requests, overloaded."""
_PAYMENT_REQUIRED = 402
_NO_QUOTA = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")


class Pause(msgspec.Struct, frozen=True):
    """A time in which nothing was sent to one side, because its server had asked for it."""

    side: Side
    start_ns: int
    end_ns: int
    why: str


class Reserved(NamedTuple):
    """What is set aside for a call."""

    tokens: int = 0
    money: int = 0
    """As `prices.limit` counts it."""
    most_prompt_tokens: int = 0
    """For which the money is enough."""


NOTHING = Reserved()
"""Set aside where there is no budget."""


class Allowance:
    """What may still be asked, over all phases of one run."""

    def __init__(
        self,
        max_total_tokens: int | None = None,
        cost_limit: CostLimit | None = None,
        *,
        before_sending: Callable[[Allowance], None] | None = None,
    ) -> None:
        """`max_total_tokens` are prompt and generated tokens together; None for no limit.

        `cost_limit` is what the remote calls may cost; None for no limit. `before_sending` is told
        when something has been set aside, before the call goes that it is for.

        Raises UsageError for a budget of nothing.
        """
        if max_total_tokens is not None and max_total_tokens < 1:
            raise UsageError("The budget of tokens must be at least 1")
        self.max_total_tokens = max_total_tokens
        self.cost_limit = cost_limit
        self._before_sending = before_sending
        self.spent_tokens = 0
        """Of the calls that have ended; where a server did not count, what had been allowed for."""
        self.reserved_tokens = 0
        """The most that the calls under way can take."""
        self.pauses: list[Pause] = []
        self.exhausted: str | None = None
        """Why nothing more may be asked in this run; None while something may."""
        self.refusal: str | None = None
        """Why the budget had no room for the last call that was refused."""
        self._clear_ns: dict[Side, int] = {}
        self._refusals_in_a_row: dict[Side, int] = {}
        self._prompt_ratio = 1.0

    @property
    def keeps_budget(self) -> bool:
        """Whether what an answer took has to be known before the next request may go."""
        return self.max_total_tokens is not None or self.cost_limit is not None

    def charge(self, tokens: int) -> None:
        """Books tokens that were spent before the first request, on trials of the servers."""
        self.spent_tokens += tokens

    def clear_ns(self, side: Side, at_ns: int) -> int:
        """The instant from which a call may be sent to a side: this one, or the end of a pause."""
        return max(at_ns, self._clear_ns.get(side, at_ns))

    def reserve(self, call: Call, endpoint: Endpoint, prompt_tokens: int | None) -> Reserved | None:
        """The most that a call can take, set aside; None where a budget has no room.

        `prompt_tokens` is a count of its prompt by any tokenizer, None where there is none. Why
        there is no room stands in `refusal`; calls under way may leave some when they end.
        """
        if not self.keeps_budget:
            return NOTHING
        answer = most_generated_tokens(call, endpoint)
        if answer is None and self.max_total_tokens is None and call.side == "local":
            return NOTHING
        if answer is None:
            self.refusal = "a request sets no limit to its answer, so that no budget can be kept"
            return None
        tokens = 0
        if self.max_total_tokens is not None:
            prompt = estimated_prompt_tokens(call, prompt_tokens)
            tokens = answer + round(prompt * self._prompt_ratio)
            left = self.max_total_tokens - self.spent_tokens - self.reserved_tokens
            if tokens > left:
                self.refusal = (
                    f"the next request could take {tokens:,} tokens, and of the budget of "
                    f"{self.max_total_tokens:,} there are {left:,} left"
                )
                return None
        money = most_prompt = 0
        if self.cost_limit is not None:
            most_prompt = self.cost_limit.prompt_tokens(call, endpoint)
            money = self.cost_limit.dearest(call, most_prompt, answer)
            if not self.cost_limit.reserve(money):
                self.refusal = (
                    f"the next request could cost up to {dollars(in_usd(money))}, with the longest "
                    "answer at the dearest price, and of the limit of "
                    f"{dollars(self.cost_limit.most_usd)} there is "
                    f"{dollars(self.cost_limit.left_usd)} left"
                )
                return None
        self.reserved_tokens += tokens
        if self._before_sending is not None:
            self._before_sending(self)
        return Reserved(tokens, money, most_prompt)

    def release(self, reserved: Sequence[Reserved] = ()) -> None:
        """Gives back what was set aside for calls that are not made after all.

        When nothing is under way that could leave room, the run is over: `exhausted` says why.
        """
        limit = self.cost_limit
        for one in reserved:
            self.reserved_tokens -= one.tokens
            if limit is not None:
                limit.release(one.money)
        if not self.reserved_tokens and (limit is None or not limit.under_way):
            self.exhausted = self.refusal

    def settle(
        self,
        call: Call,
        reply: Reply,
        reserved: Reserved,
        prompt_tokens: int | None = None,
    ) -> None:
        """A call has ended: what it really took is booked, and what its server asked for heeded."""
        self._heed(call.side, reply)
        if self.cost_limit is not None:
            self.cost_limit.settle(call, reply, reserved.money, reserved.most_prompt_tokens)
        if self.max_total_tokens is None:
            return
        self.reserved_tokens -= reserved.tokens
        usage = reply.usage
        if usage is not None and usage.prompt_tokens is not None:
            estimate = estimated_prompt_tokens(call, prompt_tokens)
            self._prompt_ratio = max(self._prompt_ratio, usage.prompt_tokens / estimate)
        counted = usage is not None and None not in (usage.prompt_tokens, usage.completion_tokens)
        if usage is not None and counted and reply.outcome in COUNTED_WHOLE:
            self.spent_tokens += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        elif reply.outcome not in COST_NOTHING:
            self.spent_tokens += reserved.tokens

    def _heed(self, side: Side, reply: Reply) -> None:
        failure = reply.failure
        if failure is None or reply.outcome not in (Outcome.HTTP_ERROR, Outcome.STREAM_ERROR):
            self._refusals_in_a_row[side] = 0
            return
        if failure.http_status == _PAYMENT_REQUIRED or failure.code in _NO_QUOTA:
            self.exhausted = f"the provider's quota is used up: {failure.message}"
            return
        if failure.http_status not in _BUSY and failure.retry_after_s is None:
            return
        refusals = self._refusals_in_a_row.get(side, 0) + 1
        self._refusals_in_a_row[side] = refusals
        wait_s = failure.retry_after_s
        if wait_s is None:
            wait_s = min(FIRST_PAUSE_S * 2 ** (refusals - 1), LONGEST_OWN_PAUSE_S)
        if wait_s > LONGEST_PAUSE_S:
            self.exhausted = (
                f"the server asks to wait {wait_s:,.0f} s before the next request, longer than "
                f"the {LONGEST_PAUSE_S:,.0f} s that a run waits: {failure.message}"
            )
            return
        start_ns = reply.end_ns if reply.end_ns is not None else reply.planned_ns
        end_ns = start_ns + round(wait_s * NS_PER_S)
        if end_ns > self._clear_ns.get(side, start_ns):
            self._clear_ns[side] = end_ns
            self.pauses.append(Pause(side, start_ns, end_ns, failure.message))


def most_generated_tokens(call: Call, endpoint: Endpoint) -> int | None:
    """The most that a server may generate for a call, reasoning included; None without a limit.

    A limit among the user's own fields takes the place of ours.
    """
    most = call.limits.forced_output_tokens or call.limits.max_output_tokens
    if most is not None and endpoint.reasoning is not None and endpoint.reasoning.on:
        most += endpoint.reasoning.budget_tokens or DEFAULT_REASONING_TOKENS
    for limit in own_limits(endpoint.extra_body):
        if type(limit) is not int or limit < 0:
            return None
        most = max(most or 0, limit)
    return most


def estimated_prompt_tokens(call: Call, counted: int | None) -> int:
    """Tokens of a call's prompt, at least 1: as counted, else by its bytes; its template added."""
    if counted is None:
        counted = sum(len(m.content.encode()) for m in call.messages) // BYTES_PER_TOKEN
    return max(1, counted + TOKENS_PER_MESSAGE * (len(call.messages) + 1))


def paused_s(pauses: list[Pause]) -> float:
    """Seconds in which at least one pause was on; 0 where there was none."""
    total_ns, reached_ns = 0, 0
    for pause in sorted(pauses, key=lambda pause: pause.start_ns):
        start_ns = max(pause.start_ns, reached_ns)
        total_ns += max(0, pause.end_ns - start_ns)
        reached_ns = max(reached_ns, pause.end_ns)
    return total_ns / NS_PER_S
