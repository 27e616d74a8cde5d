"""Which price of a model holds: by the day, the hour, the prompt's length, the service tier."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.exchange import Usage
from minionbench.prices import Price, Tariff
from minionbench.prices.tariff import Kind, Rate, Step, Terms

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PLAIN = Usage(prompt_tokens=10, completion_tokens=1)


def terms(input_usd: float, **fields: object) -> Terms:
    rates: dict[Kind, Rate] = {"input_usd": Rate(input_usd), "output_usd": Rate(1)}
    return Terms(rates=rates, **fields)  # type: ignore[arg-type]


def tariff(*all_terms: Terms, variants: tuple[Terms, ...] = ()) -> Tariff:
    return Tariff(model="m", source="test", terms=all_terms, variants=variants)


def input_at(of: Tariff, at: datetime, usage: Usage = PLAIN) -> float | None:
    price = of.price(at, usage)
    return None if price is None else price.input_usd


def test_of_prices_with_a_first_day_the_last_that_has_come_holds() -> None:
    of = tariff(
        terms(1), terms(2, from_date=date(2026, 3, 1)), terms(3, from_date=date(2026, 6, 1))
    )
    for day, usd in ((1, 1), (3, 2), (5, 2), (6, 3)):
        assert input_at(of, datetime(2026, day, 1, tzinfo=UTC)) == usd
    # The day is that of UTC, wherever the clock is.
    tokyo = timezone(timedelta(hours=9))
    assert input_at(of, datetime(2026, 3, 1, 8, 59, tzinfo=tokyo)) == 1
    assert input_at(of, datetime(2026, 3, 1, 9, 0, tzinfo=tokyo)) == 2


def test_hours_of_the_day_may_reach_over_midnight() -> None:
    day = tariff(terms(1), terms(9, daily_from=time(1), daily_until=time(4)))
    night = tariff(terms(1), terms(9, daily_from=time(22), daily_until=time(2)))
    for hour, by_day, by_night in ((0, 1, 9), (1, 9, 9), (3, 9, 1), (4, 1, 1), (22, 1, 9)):
        at = NOON.replace(hour=hour)
        assert (input_at(day, at), input_at(night, at)) == (by_day, by_night)


def test_a_long_prompt_has_the_whole_call_charged_by_the_higher_price() -> None:
    rates: dict[Kind, Rate] = {
        "input_usd": Rate(5, (Step(200, 10), Step(500, 20))),
        "output_usd": Rate(30, (Step(200, 45),)),
    }
    of = tariff(Terms(rates=rates))
    for tokens, expected in ((200, (5, 30)), (201, (10, 45)), (501, (20, 45))):
        price = of.price(NOON, Usage(prompt_tokens=tokens))
        assert price is not None
        assert (price.input_usd, price.output_usd) == expected


def test_only_what_the_provider_itself_calls_a_batch_costs_what_a_batch_costs() -> None:
    batch = Terms(rates={"input_usd": Rate(0.5)}, when={"processing": "batch"})
    flex = Terms(rates={"input_usd": Rate(0.7)}, when={"service_tier": "flex"})
    of = tariff(terms(1), variants=(batch, flex))
    assert input_at(of, NOON) == 1
    for tier, usd in (("batch", 0.5), ("flex", 0.7), ("default", 1), ("standard", 1)):
        usage = msgspec.structs.replace(PLAIN, service_tier=tier)
        assert input_at(of, NOON, usage) == usd
        price = of.price(NOON, usage)
        assert price is not None and price.output_usd == 1, "what it does not name stays"


def test_a_tier_or_speed_of_which_no_price_is_known_has_none() -> None:
    flex = Terms(rates={"input_usd": Rate(0.7)}, when={"service_tier": "flex"})
    of = tariff(terms(1), variants=(flex,))
    for fields in ({"service_tier": "priority"}, {"speed": "fast"}):
        assert of.price(NOON, msgspec.structs.replace(PLAIN, **fields)) is None
    given_by_the_user = Tariff.of(Price(input_usd=4, output_usd=1), source="--remote-price")
    assert input_at(given_by_the_user, NOON, Usage(service_tier="priority")) == 4


def test_prices_to_come_count_among_the_dearest_and_those_that_have_passed_do_not() -> None:
    of = tariff(
        terms(50),
        terms(1, from_date=date(2026, 6, 1)),
        terms(3, daily_from=time(1), daily_until=time(4)),
    )
    assert of.possible(NOON).dearest(10).input_usd == 3
    soon = tariff(terms(1), terms(7, from_date=date(2026, 11, 25)))
    later = tariff(terms(1), terms(7, from_date=date(2026, 12, 25)))
    assert soon.possible(NOON).dearest(10).input_usd == 7
    assert later.possible(NOON).dearest(10).input_usd == 1


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    usd = st.floats(0, 100)

    def rate() -> Rate:
        steps = draw(st.lists(st.tuples(st.integers(0, 300), usd), max_size=2))
        return Rate(draw(usd), tuple(Step(*step) for step in sorted(steps)))

    def some(always: bool) -> Terms:
        rates: dict[Kind, Rate] = {}
        kinds: tuple[Kind, ...] = ("input_usd", "output_usd")
        for kind in kinds:
            rates[kind] = rate()
        optional: tuple[Kind, ...] = ("cached_input_usd", "cache_write_usd", "request_usd")
        for kind in optional:
            if draw(st.booleans()):
                rates[kind] = rate()
        if always or draw(st.booleans()):
            return Terms(rates=rates)
        hours = st.times().map(lambda at: at.replace(tzinfo=None))
        return Terms(rates=rates, daily_from=draw(hours), daily_until=draw(hours))

    variants = [
        msgspec.structs.replace(some(False), when=when)
        for when in draw(
            st.lists(st.sampled_from([{"service_tier": "flex"}, {"speed": "fast"}]), max_size=2)
        )
    ]
    others = [some(False) for _ in range(draw(st.integers(0, 2)))]
    return tariff(some(True), *others, variants=tuple(variants))


@settings(max_examples=50)
@given(
    tariffs(),
    st.integers(0, 400),
    st.integers(0, 400),
    st.timedeltas(timedelta(), timedelta(days=6)),
    st.sampled_from([None, "default", "flex", "batch"]),
    st.sampled_from([None, "fast"]),
)
def test_no_price_is_above_the_dearest(
    of: Tariff, most: int, tokens: int, later: timedelta, tier: str | None, speed: str | None
) -> None:
    dearest = of.possible(NOON).dearest(most)
    usage = Usage(prompt_tokens=min(tokens, most), service_tier=tier, speed=speed)
    price = of.price(NOON + later, usage)
    if price is None:
        return
    for kind in price.__struct_fields__:
        usd, bound = getattr(price, kind), getattr(dearest, kind)
        assert usd is None or (bound is not None and usd <= bound)


def test_a_tariff_is_the_same_after_it_has_been_on_file() -> None:
    of = tariff(
        terms(1),
        terms(2, from_date=date(2026, 3, 1)),
        terms(3, daily_from=time(1), daily_until=time(4, 30)),
        variants=(terms(4, when={"service_tier": "flex"}),),
    )
    assert msgspec.json.decode(msgspec.json.encode(of), type=Tariff) == of
    plain = msgspec.to_builtins(of)
    assert msgspec.convert(plain, Tariff) == of


def test_a_price_that_is_negative_is_refused() -> None:
    with pytest.raises(Exception, match="from 0 on"):
        tariff(terms(-1)).price(NOON, PLAIN)
