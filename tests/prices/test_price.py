"""Unit prices, and what the tokens of a call cost by them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.exchange import Usage
from minionbench.prices import Price, cost_usd

GPT_4O_JANUARY_2025 = Price(input_usd=2.5, output_usd=10)

# (protocol, data set, thousand remote tokens in, out, dollars per query), arXiv 2502.15964:
# tables 6 and 1.
PUBLISHED = [
    ("remote", "FinanceBench", 103.04, 0.32, 0.261),
    ("remote", "LongHealth", 120.10, 0.07, 0.301),
    ("remote", "QASPER", 54.40, 0.09, 0.137),
    ("Minion 8B", "FinanceBench", 0.88, 0.46, 0.007),
    ("Minion 8B", "LongHealth", 1.85, 0.50, 0.010),
    ("Minion 8B", "QASPER", 0.92, 0.42, 0.007),
    ("MinionS 8B", "FinanceBench", 15.99, 1.29, 0.053),
    ("MinionS 8B", "LongHealth", 18.96, 0.65, 0.054),
    ("MinionS 8B", "QASPER", 5.10, 0.61, 0.019),
    ("MinionS 3B", "FinanceBench", 24.67, 1.77, 0.079),
    ("MinionS 3B", "LongHealth", 20.11, 0.66, 0.057),
    ("MinionS 3B", "QASPER", 5.62, 0.60, 0.020),
]


@pytest.mark.parametrize(("protocol", "data_set", "k_in", "k_out", "usd"), PUBLISHED)
def test_the_published_token_counts_give_the_published_dollars_to_the_cent(
    protocol: str, data_set: str, k_in: float, k_out: float, usd: float
) -> None:
    usage = Usage(prompt_tokens=round(k_in * 1_000), completion_tokens=round(k_out * 1_000))
    cost = cost_usd(usage, GPT_4O_JANUARY_2025)
    assert cost is not None
    assert abs(cost - usd) < 0.001  # a tenth of a cent, the last digit that is printed


def test_cached_input_has_its_own_price() -> None:
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=0, cached_tokens=400_000)
    price = Price(input_usd=10, output_usd=1, cached_input_usd=1)
    assert cost_usd(usage, price) == pytest.approx(6.4)
    assert cost_usd(usage, Price(input_usd=10, output_usd=1)) == pytest.approx(10)


def test_what_is_written_to_a_cache_has_its_own_price_and_what_is_kept_for_an_hour_too() -> None:
    usage = Usage(
        prompt_tokens=1_000_000,
        completion_tokens=0,
        cached_tokens=500_000,
        cache_write_tokens=300_000,
        cache_write_1h_tokens=100_000,
    )
    price = Price(
        input_usd=10, output_usd=1, cached_input_usd=1, cache_write_usd=12, cache_write_1h_usd=20
    )
    # 0.2 of them plain, 0.5 read, 0.2 written for minutes, 0.1 for an hour.
    assert cost_usd(usage, price) == pytest.approx(2 + 0.5 + 2.4 + 2)
    no_hour = Price(input_usd=10, output_usd=1, cached_input_usd=1, cache_write_usd=12)
    assert cost_usd(usage, no_hour) == pytest.approx(2 + 0.5 + 3.6)
    assert cost_usd(usage, Price(input_usd=10, output_usd=1)) == pytest.approx(10)


def test_reasoning_costs_what_output_costs_unless_it_has_its_own_price() -> None:
    usage = Usage(prompt_tokens=0, completion_tokens=1_000_000, reasoning_tokens=600_000)
    assert cost_usd(usage, Price(input_usd=1, output_usd=10)) == pytest.approx(10)
    apart = Price(input_usd=1, output_usd=10, reasoning_usd=3)
    assert cost_usd(usage, apart) == pytest.approx(4 + 1.8)
    assert cost_usd(Usage(prompt_tokens=1, completion_tokens=9), apart) is None


def test_a_call_may_cost_something_by_itself() -> None:
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=0)
    assert cost_usd(usage, Price(input_usd=1, output_usd=1, request_usd=0.005)) == pytest.approx(
        1.005
    )


def test_what_was_not_counted_has_no_cost() -> None:
    price = Price(input_usd=1, output_usd=1)
    assert cost_usd(None, price) is None
    assert cost_usd(Usage(prompt_tokens=5), price) is None
    assert cost_usd(Usage(completion_tokens=5), price) is None


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_cache_never_makes_a_call_dearer_and_never_free(
    prompt: int, completion: int, cached: int
) -> None:
    price = Price(input_usd=3, output_usd=15, cached_input_usd=0.3)
    usage = Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached)
    plain = Usage(prompt_tokens=prompt, completion_tokens=completion)
    cost, dearest = cost_usd(usage, price), cost_usd(plain, price)
    assert cost is not None
    assert dearest is not None
    assert (prompt * 0.3 + completion * 15) / 1e6 <= cost + 1e-9
    assert cost <= dearest + 1e-9


def test_a_price_is_read_from_two_or_three_numbers() -> None:
    assert Price.parse("2.5,10") == GPT_4O_JANUARY_2025
    assert Price.parse("2.5, 1.25, 10") == Price(
        input_usd=2.5, cached_input_usd=1.25, output_usd=10
    )


@pytest.mark.parametrize("text", ["", "1", "1,2,3,4", "a,b", "-1,2", "nan,1", "inf,1"])
def test_other_texts_are_no_price(text: str) -> None:
    with pytest.raises(UsageError):
        Price.parse(text)
