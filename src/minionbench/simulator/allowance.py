"""Rate limits and quota: what may still be asked, and the headers that say so.

Each limit is a bucket that holds one minute's worth and refills evenly.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from minionbench.simulator.asked import Family, Refused
from minionbench.simulator.settings import RateLimits
from minionbench.units import NS_PER_S

_MINUTE_S = 60.0


class Bucket:
    """An amount that is used up and refills evenly, `per_minute` in a minute."""

    def __init__(self, per_minute: int, now_ns: int) -> None:
        self.per_minute = per_minute
        self._level = float(per_minute)
        self._at_ns = now_ns

    def left(self, now_ns: int) -> float:
        """How much is there now; below zero where more was used than there was."""
        gained = (now_ns - self._at_ns) / NS_PER_S * self.per_minute / _MINUTE_S
        self._level = min(float(self.per_minute), self._level + gained)
        self._at_ns = now_ns
        return self._level

    def use(self, amount: float, now_ns: int) -> None:
        """Takes an amount out."""
        self._level = self.left(now_ns) - amount

    def wait_s(self, amount: float, now_ns: int) -> float:
        """How long until so much is there."""
        missing = min(amount, self.per_minute) - self.left(now_ns)
        return max(0.0, missing) * _MINUTE_S / self.per_minute


class Allowance:
    """The limits of one simulator and what has been used of them."""

    def __init__(self, limits: RateLimits, now_ns: int) -> None:
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self._buckets = {
            "requests": None if requests is None else Bucket(requests, now_ns),
            "tokens": None if tokens is None else Bucket(tokens, now_ns),
        }
        self._quota = limits.quota_tokens
        self._used = 0

    def admit(self, now_ns: int) -> None:
        """Counts a request.

        Raises Refused when a limit or the quota forbids it.
        """
        if self._quota is not None and self._used >= self._quota:
            raise Refused(
                "quota",
                "You exceeded your current quota, please check your plan and billing details.",
            )
        for what, bucket in self._buckets.items():
            if bucket is not None and bucket.left(now_ns) < 1:
                wait = bucket.wait_s(1, now_ns)
                raise Refused(
                    "rate_limit",
                    f"Rate limit reached for {what} per min: limit {bucket.per_minute}. "
                    f"Please try again in {wait:.3f}s.",
                    retry_after_s=wait,
                )
        if (bucket := self._buckets["requests"]) is not None:
            bucket.use(1, now_ns)

    def use_tokens(self, count: int, now_ns: int) -> None:
        """Counts the tokens of a request, prompt and answer."""
        self._used += count
        if (bucket := self._buckets["tokens"]) is not None:
            bucket.use(count, now_ns)

    def headers(self, family: Family, now_ns: int, utc: datetime) -> list[tuple[str, str]]:
        """What the limits are and what is left, as the protocol's headers have it."""
        headers = []
        for what, bucket in self._buckets.items():
            if bucket is None or family == "ollama":
                continue
            left = str(max(0, int(bucket.left(now_ns))))
            wait_s = bucket.wait_s(bucket.per_minute, now_ns)
            if family == "anthropic":
                prefix, order = f"anthropic-ratelimit-{what}", "{0}-{1}"
                reset = (utc + timedelta(seconds=wait_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
            else:
                prefix, order = "x-ratelimit", "{0}-{1}"
                reset = duration(wait_s)
            values = {"limit": str(bucket.per_minute), "remaining": left, "reset": reset}
            for name, value in values.items():
                field = order.format(prefix, name)
                headers.append((f"{field}-{what}" if family == "openai" else field, value))
        return headers


def duration(seconds: float) -> str:
    """A duration as OpenAI's headers write it: `12ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    shown = f"{rest:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{shown}s" if minutes else f"{shown}s"
