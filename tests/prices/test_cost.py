"""The metrics of cost, with hand-sized numbers."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import msgspec
import pytest

from minionbench.clock import ClockAnchor
from minionbench.exchange import Outcome
from minionbench.metrics.value import MetricValue
from minionbench.prices import (
    OwnClock,
    Price,
    Pricing,
    Tariff,
    cost_metric,
    cost_metrics,
    item_costs,
)
from minionbench.prices.tariff import Kind, Rate, Terms
from minionbench.units import NS_PER_S
from tests.prices.calls import asked

PER_MILLION = Pricing.of(Price(input_usd=1, output_usd=10))
NAMES = ["cost_usd", "cost_usd_per_million_tokens", "cost_usd_per_correct"]


def metrics(*records: object, **shares: float) -> list[MetricValue]:
    found = cost_metrics(list(records), PER_MILLION, shares)  # type: ignore[arg-type]
    assert list(found) == NAMES
    return list(found.values())


def test_a_request_costs_what_its_remote_calls_cost() -> None:
    one = asked(("remote", 90), ("local", 1_000_000), ("remote", 10))
    assert PER_MILLION.request_usd(one) == pytest.approx(120e-6)
    assert PER_MILLION.request_usd(asked(("local", 5))) == 0


def test_a_call_that_was_not_counted_leaves_the_cost_unknown_unless_it_was_refused() -> None:
    assert PER_MILLION.request_usd(asked(("remote", None))) is None
    refused = asked(("remote", None), outcome=Outcome.HTTP_ERROR)
    assert PER_MILLION.request_usd(refused) == 0
    for value in metrics(asked(("remote", None)), asked(("remote", 5), item="b"), b=1.0):
        assert value.status == "skipped"
        assert "what 1 item cost is not known" in str(value.reason)
        assert "the server did not count all tokens (1 call)" in str(value.reason)


@pytest.mark.parametrize("outcome", [Outcome.TRUNCATED, Outcome.IDLE_TIMEOUT, Outcome.CUT])
def test_the_counts_of_an_answer_that_broke_off_are_no_cost(outcome: Outcome) -> None:
    """They are of its beginning, as Anthropic's one token of `message_start`."""
    assert PER_MILLION.request_usd(asked(("remote", 90), outcome=outcome)) is None
    filtered = asked(("remote", 90), outcome=Outcome.FILTERED)
    assert PER_MILLION.request_usd(filtered) == pytest.approx(100e-6)


def test_a_request_that_the_runs_end_cut_off_tells_no_cost() -> None:
    """It made a part of its calls only, so that it would look cheap."""
    begun = msgspec.structs.replace(asked(("remote", 1), item="b"), outcome=Outcome.CUT)
    assert item_costs([begun, asked(("remote", 90))], PER_MILLION) == {
        "item-0": pytest.approx(100e-6)
    }


def test_a_cells_cost_is_the_mean_over_items() -> None:
    value, *_ = metrics(
        asked(("remote", 90)),
        asked(("remote", 110)),
        asked(("remote", 290), item="b"),
        msgspec.structs.replace(asked(("remote", 10**6), item="w"), phase="warmup"),
    )
    assert value.value == pytest.approx((110e-6 + 300e-6) / 2)
    about = value.metadata
    assert (about["n"], about["per"], about["requests"], about["calls"]) == (2, "request", 3, 3)
    assert about["total_usd"] == pytest.approx(520e-6)
    assert about["tokens"] == {"prompt_tokens": 490, "completion_tokens": 3}
    assert about["unit_prices_usd_per_million"] == [
        {"calls": 3, "input_usd": 1.0, "output_usd": 10.0}
    ]
    assert about["price_source"]["name"] == "given"
    bounds = about["interval"]
    assert 0 == bounds["low"] < 205e-6 < bounds["high"]


def test_a_million_tokens_cost_what_they_cost_as_they_were_mixed() -> None:
    # 10 tokens for 19 µ$ (9 of the prompt, 1 generated) and 90 for 99 µ$: 1.18 $ per million.
    _, value, _ = metrics(asked(("remote", 9)), asked(("remote", 89), item="b"))
    assert value.value == pytest.approx((19 + 99) / 100)
    bounds = value.metadata["interval"]
    assert bounds["low"] < 1.18 < bounds["high"]
    assert bounds["method"] == "ratio of sums over items, Student's t"
    nothing = metrics(asked(("remote", None), outcome=Outcome.CONNECT_FAILED))[1]
    assert nothing.reason == "the remote model was asked for no token"


def test_a_right_answer_is_paid_for_with_the_wrong_ones_beside_it() -> None:
    records = [asked(("remote", 90), item=name) for name in "abcd"]
    *_, value = metrics(*records, a=1.0, b=0.5, c=0.0)
    # Three items of 100 µ$ each could be judged, and one and a half were right.
    assert value.value == pytest.approx(200e-6)
    assert (value.metadata["right"], value.metadata["items"]) == (1.5, 3)


def test_where_nothing_was_right_no_right_answer_has_a_price() -> None:
    *_, value = metrics(asked(("remote", 90)), **{"item-0": 0.0})
    assert value.reason == "no answer was right, so that none has a price"
    why = "no right answer is known"
    found = cost_metrics([asked(("remote", 90))], PER_MILLION, {}, not_judged=why)
    assert found["cost_usd_per_correct"].reason == why
    assert found["cost_usd"].status == "ok"


def test_without_a_price_there_is_no_cost() -> None:
    assert "--remote-price" in str(cost_metric([asked(("remote", 1))], None).reason)
    assert cost_metric([], PER_MILLION).reason == "no request was measured"
    for value in cost_metrics([asked(("remote", 1))], None, {}, why_none="no such model").values():
        assert value.reason == "no such model"


def test_each_call_is_charged_by_the_price_of_its_own_hour() -> None:
    def rates(usd: float) -> dict[Kind, Rate]:
        return {"input_usd": Rate(usd), "output_usd": Rate(0)}

    dear = Terms(rates=rates(3), daily_from=time(1), daily_until=time(4))
    tariff = Tariff(model="m", source="test", terms=(Terms(rates=rates(1)), dear))
    just_before_one = datetime(2026, 11, 22, 0, 59, 59, tzinfo=UTC)
    clock = ClockAnchor(monotonic_ns=0, utc_ns=int(just_before_one.timestamp()) * NS_PER_S)
    records = []
    for item, sent_ns in (("a", 0), ("b", 2 * NS_PER_S)):
        one = asked(("remote", 10**6), item=item)
        sent = msgspec.structs.replace(one.calls[0].reply, sent_ns=sent_ns)
        call = msgspec.structs.replace(one.calls[0], reply=sent)
        records.append(msgspec.structs.replace(one, calls=(call,)))
    pricing = Pricing(tariff=tariff, clock=clock)
    assert item_costs(records, pricing) == {"a": pytest.approx(1), "b": pytest.approx(3)}
    prices = cost_metric(records, pricing).metadata["unit_prices_usd_per_million"]
    assert sorted(price["input_usd"] for price in prices) == [1, 3]


def test_records_of_another_session_are_told_by_its_clock() -> None:
    def rates(usd: float) -> dict[Kind, Rate]:
        return {"input_usd": Rate(usd), "output_usd": Rate(0)}

    def at(day: int) -> ClockAnchor:
        noon = datetime(2026, 11, day, 12, tzinfo=UTC)
        return ClockAnchor(monotonic_ns=0, utc_ns=int(noon.timestamp()) * NS_PER_S)

    dear = Terms(rates=rates(3), from_date=date(2026, 11, 22))
    tariff = Tariff(model="m", source="test", terms=(Terms(rates=rates(1)), dear))
    sessions = (
        OwnClock(repeat=1, indexes=(4,), clock=at(20)),
        OwnClock(repeat=1, clock=at(23)),
    )
    pricing = Pricing(tariff=tariff, clock=at(21), sessions=sessions)
    # The monotonic instants are the same in all of them.
    records = [
        msgspec.structs.replace(asked(("remote", 10**6), item=item), repeat=repeat, index=index)
        for item, repeat, index in (("a", 0, 1), ("b", 1, 4), ("c", 1, 5))
    ]
    costs = item_costs(records, pricing)
    assert costs == {"a": pytest.approx(1), "b": pytest.approx(1), "c": pytest.approx(3)}
    kept = cost_metric(records, pricing).metadata["charged_by"]
    assert msgspec.convert(kept, Pricing) == pricing


def test_a_call_in_a_tier_without_a_price_is_not_charged_as_a_usual_one() -> None:
    rates: dict[Kind, Rate] = {"input_usd": Rate(1), "output_usd": Rate(1)}
    tariff = Tariff(model="m", source="test", terms=(Terms(rates=rates),))
    pricing = Pricing(tariff=tariff, clock=ClockAnchor.now())
    value = cost_metric([asked(("remote", 9), service_tier="priority")], pricing)
    assert value.status == "skipped"
    assert "service_tier 'priority'" in str(value.reason)
    assert "test has no price" in str(value.reason)


def test_what_a_figure_was_charged_by_stands_beside_it() -> None:
    value = cost_metric([asked(("remote", 90))], PER_MILLION)
    again = msgspec.convert(value.metadata["charged_by"], Pricing)
    assert again == PER_MILLION
    assert cost_metric([asked(("remote", 90))], again) == value
