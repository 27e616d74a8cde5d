"""What calls cost."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.exchange import Outcome, Usage
from minionbench.prices import Price, cost_metric, cost_usd, item_costs, request_cost_usd
from minionbench.records import CallRecord, RequestRecord
from tests.making import record, reply

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


PER_MILLION = Price(input_usd=1, output_usd=10)


def asked(
    *calls: tuple[str, int | None], item: str = "item-0", outcome: Outcome = Outcome.OK
) -> RequestRecord:
    """A request whose calls are (side, prompt tokens), each with one generated token."""
    made = []
    for side, tokens in calls:
        usage = None if tokens is None else Usage(prompt_tokens=tokens, completion_tokens=1)
        told = msgspec.structs.replace(reply(outcome=outcome), usage=usage)
        made.append(
            CallRecord(
                side=side,  # type: ignore[arg-type]
                role="worker",
                round=0,
                job=None,
                prompt=None,
                reply=told,
            )
        )
    return msgspec.structs.replace(record(item=item), calls=tuple(made))


def test_a_request_costs_what_its_remote_calls_cost() -> None:
    one = asked(("remote", 90), ("local", 1_000_000), ("remote", 10))
    assert request_cost_usd(one, PER_MILLION) == pytest.approx(120e-6)
    assert request_cost_usd(asked(("local", 5)), PER_MILLION) == 0


def test_a_call_that_was_not_counted_leaves_the_cost_unknown_unless_it_was_refused() -> None:
    assert request_cost_usd(asked(("remote", None)), PER_MILLION) is None
    refused = asked(("remote", None), outcome=Outcome.HTTP_ERROR)
    assert request_cost_usd(refused, PER_MILLION) == 0
    cell = cost_metric([asked(("remote", None)), asked(("remote", 5), item="b")], PER_MILLION)
    assert cell.status == "skipped"
    assert "1 item" in str(cell.reason)


@pytest.mark.parametrize("outcome", [Outcome.TRUNCATED, Outcome.IDLE_TIMEOUT, Outcome.CUT])
def test_the_counts_of_an_answer_that_broke_off_are_no_cost(outcome: Outcome) -> None:
    """They are of its beginning, as Anthropic's one token of `message_start`."""
    assert request_cost_usd(asked(("remote", 90), outcome=outcome), PER_MILLION) is None
    filtered = asked(("remote", 90), outcome=Outcome.FILTERED)
    assert request_cost_usd(filtered, PER_MILLION) == pytest.approx(100e-6)


def test_a_request_that_the_runs_end_cut_off_tells_no_cost() -> None:
    """It made a part of its calls only, so that it would look cheap."""
    begun = msgspec.structs.replace(asked(("remote", 1), item="b"), outcome=Outcome.CUT)
    assert item_costs([begun, asked(("remote", 90))], PER_MILLION) == {
        "item-0": pytest.approx(100e-6)
    }


def test_a_cells_cost_is_the_mean_over_items() -> None:
    records = [
        asked(("remote", 90)),
        asked(("remote", 110)),
        asked(("remote", 290), item="b"),
        msgspec.structs.replace(asked(("remote", 10**6), item="w"), phase="warmup"),
    ]
    value = cost_metric(records, PER_MILLION)
    assert value.value == pytest.approx((110e-6 + 300e-6) / 2)
    assert value.metadata["n"] == 2
    assert value.metadata["per"] == "request"
    bounds = value.metadata["interval"]
    assert 0 == bounds["low"] < 205e-6 < bounds["high"]


def test_without_a_price_there_is_no_cost() -> None:
    assert "--remote-price" in str(cost_metric([asked(("remote", 1))], None).reason)
    assert cost_metric([], PER_MILLION).status == "skipped"
