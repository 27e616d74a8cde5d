"""Load: when requests are planned to be sent."""

from __future__ import annotations

import random
from typing import Literal, TypeAlias

import msgspec

from minionbench.errors import UsageError
from minionbench.units import NS_PER_S


class ClosedLoop(msgspec.Struct, frozen=True, kw_only=True):
    """A fixed number of streams; each sends its next request when the one before has ended."""

    concurrency: int = 1
    kind: Literal["closed"] = "closed"

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise UsageError("The concurrency must be at least 1")


class OpenLoop(msgspec.Struct, frozen=True, kw_only=True):
    """Requests arrive by plan, whatever the answers do.

    `burstiness` is the shape of the gamma-distributed gaps: 1 is a Poisson process, less is
    burstier, infinity is a constant gap. Source: the convention of vLLM's benchmark client.
    """

    rate_per_s: float
    burstiness: float = 1.0
    kind: Literal["open"] = "open"

    def __post_init__(self) -> None:
        if not 0 < self.rate_per_s < float("inf"):
            raise UsageError("The request rate must be a positive number of requests per second")
        if not self.burstiness > 0:
            raise UsageError("The burstiness must be positive; 1 is a Poisson process")

    def offsets_ns(self, n: int, seed: int) -> list[int]:
        """Planned instants of n requests after the start; the first is one gap after it.

        Drawn from a generator of its own, so that the plan depends on nothing but these values.
        """
        draw = random.Random(f"load {seed}")
        mean_s = 1 / self.rate_per_s
        offsets, at_s = [], 0.0
        for _ in range(n):
            if self.burstiness == float("inf"):
                at_s += mean_s
            else:
                at_s += draw.gammavariate(self.burstiness, mean_s / self.burstiness)
            offsets.append(round(at_s * NS_PER_S))
        return offsets


Load: TypeAlias = ClosedLoop | OpenLoop


def request_rate(rate_per_s: float, requests: int, burstiness: float = 1.0) -> Load:
    """The load of a request rate; infinity sends all requests of a repeat at once."""
    if rate_per_s == float("inf"):
        return ClosedLoop(concurrency=requests)
    return OpenLoop(rate_per_s=rate_per_s, burstiness=burstiness)
