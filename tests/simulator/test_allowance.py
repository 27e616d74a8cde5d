"""Limits refill evenly, and their headers say what is left."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from minionbench.simulator import RateLimits
from minionbench.simulator.allowance import Allowance, Bucket, duration
from minionbench.simulator.asked import Refused
from minionbench.units import NS_PER_S

UTC_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_bucket_refills_evenly_and_never_overflows() -> None:
    bucket = Bucket(60, 0)
    bucket.use(60, 0)
    assert bucket.left(0) == 0
    assert bucket.left(5 * NS_PER_S) == 5
    assert bucket.wait_s(10, 5 * NS_PER_S) == 5
    assert bucket.left(1_000 * NS_PER_S) == 60


def test_the_request_after_the_last_allowed_one_waits() -> None:
    allowance = Allowance(RateLimits(requests_per_minute=2), 0)
    allowance.admit(0)
    allowance.admit(0)
    with pytest.raises(Refused) as caught:
        allowance.admit(0)
    assert (caught.value.kind, caught.value.retry_after_s) == ("rate_limit", 30.0)
    allowance.admit(30 * NS_PER_S)


def test_tokens_count_after_they_are_used() -> None:
    allowance = Allowance(RateLimits(tokens_per_minute=60), 0)
    allowance.admit(0)
    allowance.use_tokens(100, 0)
    with pytest.raises(Refused, match="tokens per min"):
        allowance.admit(0)
    allowance.admit(42 * NS_PER_S)


def test_a_quota_does_not_come_back() -> None:
    allowance = Allowance(RateLimits(quota_tokens=10), 0)
    allowance.admit(0)
    allowance.use_tokens(10, 0)
    with pytest.raises(Refused) as caught:
        allowance.admit(10**6 * NS_PER_S)
    assert (caught.value.kind, caught.value.retry_after_s) == ("quota", None)


def test_headers_are_in_each_protocols_words() -> None:
    allowance = Allowance(RateLimits(requests_per_minute=4), 0)
    allowance.admit(0)
    assert allowance.headers("openai", 0, UTC_NOW) == [
        ("x-ratelimit-limit-requests", "4"),
        ("x-ratelimit-remaining-requests", "3"),
        ("x-ratelimit-reset-requests", "15s"),
    ]
    assert allowance.headers("anthropic", 0, UTC_NOW) == [
        ("anthropic-ratelimit-requests-limit", "4"),
        ("anthropic-ratelimit-requests-remaining", "3"),
        ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:15Z"),
    ]
    assert allowance.headers("ollama", 0, UTC_NOW) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0ms"), (0.012, "12ms"), (1.5, "1.5s"), (360, "6m0s")]
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text
