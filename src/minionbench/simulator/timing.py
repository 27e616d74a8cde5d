"""The stated models of time: when each token of an answer is ready.

    Fixed    first token  ttft_ms after admission
             next token   itl_ms after the one before
    Speeds   first token  start_ms + uncached prompt tokens / prefill_tokens_per_s
             next token   1 / decode_tokens_per_s after the one before

Each of these delays is multiplied by its own draw of a lognormal with median 1 and σ = `noise`.
Admission is the request's arrival, or, where all slots are taken, the end of the answer that made
room. Reasoning and answer are generated alike.
"""

from __future__ import annotations

from random import Random
from typing import TypeAlias

import msgspec

from minionbench.errors import UsageError
from minionbench.units import NS_PER_MS, NS_PER_S


class Fixed(msgspec.Struct, frozen=True, kw_only=True):
    """The same delays for every request."""

    ttft_ms: float = 0.0
    itl_ms: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Raises UsageError for a negative delay."""
        _require(self.ttft_ms >= 0 and self.itl_ms >= 0 and self.noise >= 0)

    def prefill_ns(self, uncached_tokens: int) -> float:
        """From admission to the first token."""
        return self.ttft_ms * NS_PER_MS

    def gap_ns(self) -> float:
        """From one token to the next."""
        return self.itl_ms * NS_PER_MS


class Speeds(msgspec.Struct, frozen=True, kw_only=True):
    """Delays that follow from the number of tokens."""

    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    start_ms: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Raises UsageError for speeds that are not positive."""
        _require(self.prefill_tokens_per_s > 0 and self.decode_tokens_per_s > 0)
        _require(self.start_ms >= 0 and self.noise >= 0)

    def prefill_ns(self, uncached_tokens: int) -> float:
        """From admission to the first token."""
        return self.start_ms * NS_PER_MS + uncached_tokens / self.prefill_tokens_per_s * NS_PER_S

    def gap_ns(self) -> float:
        """From one token to the next."""
        return NS_PER_S / self.decode_tokens_per_s


Timing: TypeAlias = Fixed | Speeds


def _require(possible: bool) -> None:
    if not possible:
        raise UsageError("The simulator's speeds are positive; its delays and noise not negative")


def ready_ns(timing: Timing, uncached_tokens: int, count: int, random: Random) -> list[int]:
    """When each of `count` tokens is ready, in nanoseconds after admission; never decreasing."""
    prefill, gap, noise = timing.prefill_ns(uncached_tokens), timing.gap_ns(), timing.noise
    if noise == 0:
        return [int(prefill + index * gap) for index in range(count)]
    at = prefill * random.lognormvariate(0, noise)
    times = []
    for _ in range(count):
        times.append(int(at))
        at += gap * random.lognormvariate(0, noise)
    return times
