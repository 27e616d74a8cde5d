"""A limit on what a run may cost: it is never passed, whatever the answers are."""

from __future__ import annotations

from datetime import UTC, datetime, time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.allowance import Allowance, Reserved
from minionbench.clock import ClockAnchor, monotonic_ns
from minionbench.errors import UsageError
from minionbench.exchange import (
    Call,
    Endpoint,
    Failure,
    Limits,
    Message,
    Outcome,
    Reply,
    Side,
    Usage,
)
from minionbench.prices import Price, Pricing, Tariff
from minionbench.prices.limit import CostLimit, dollars, most_prompt_tokens
from minionbench.prices.tariff import Kind, Rate, Step, Terms

PRICE = Pricing.of(Price(input_usd=1, output_usd=10))
ENDPOINT = Endpoint("http://127.0.0.1:1/v1", "m")


def call(text: str = "x", most: int | None = 10, side: Side = "remote", **fields: object) -> Call:
    messages = (Message("user", text),)
    limits = Limits(max_output_tokens=most)
    return Call(side=side, messages=messages, limits=limits, **fields)  # type: ignore[arg-type]


def answered(prompt: int | None, completion: int | None, **usage: object) -> Reply:
    counts = Usage(prompt_tokens=prompt, completion_tokens=completion, **usage)  # type: ignore[arg-type]
    now = monotonic_ns()
    return Reply(outcome=Outcome.OK, usage=counts, planned_ns=now, sent_ns=now, end_ns=now)


def allowance(usd: float, pricing: Pricing = PRICE) -> tuple[Allowance, CostLimit]:
    limit = CostLimit(usd, pricing)
    return Allowance(cost_limit=limit), limit


def test_money_is_set_aside_for_the_dearest_that_a_call_can_come_to() -> None:
    most = (most_prompt_tokens(call(), ENDPOINT) + 10 * 10) / 1e6
    may, limit = allowance(2 * most)
    first = may.reserve(call(), ENDPOINT, 1)
    second = may.reserve(call(), ENDPOINT, 1)
    assert first is not None and second is not None
    assert limit.left_usd == pytest.approx(0, abs=1e-11)
    assert may.reserve(call(), ENDPOINT, 1) is None
    assert may.refusal is not None
    assert may.refusal.startswith("the next request could cost up to $0.000")
    assert may.refusal.endswith(" left")
    may.release()
    assert may.exhausted is None, "what is under way may leave some"
    may.settle(call(), answered(1, 1), first)
    assert limit.spent_usd == pytest.approx(11e-6)
    assert may.reserve(call(), ENDPOINT, 1) is None
    may.settle(call(), answered(1, 1), second)
    assert may.reserve(call(), ENDPOINT, 1) is not None


def test_a_limit_without_room_and_nothing_under_way_ends_the_run() -> None:
    may, _ = allowance(1e-6)
    assert may.reserve(call(), ENDPOINT, 1) is None
    may.release()
    assert may.exhausted == may.refusal


def test_what_runs_here_costs_nothing_and_needs_no_limit_to_its_answer() -> None:
    may, limit = allowance(1e-6)
    here = call(most=None, side="local")
    reserved = may.reserve(here, ENDPOINT, 1)
    assert reserved == Reserved()
    may.settle(here, answered(10**9, 10**9), reserved)
    assert limit.spent_usd == 0
    assert may.reserve(call(most=None), ENDPOINT, 1) is None
    assert may.refusal is not None and "no limit to its answer" in may.refusal


@pytest.mark.parametrize("outcome", [Outcome.CUT, Outcome.TRUNCATED, Outcome.IDLE_TIMEOUT])
def test_a_call_of_which_nobody_knows_what_it_cost_is_booked_at_its_dearest(
    outcome: Outcome,
) -> None:
    may, limit = allowance(1)
    before = limit.left_usd
    reserved = may.reserve(call(), ENDPOINT, 1)
    assert reserved is not None
    aside = before - limit.left_usd
    broken = msgspec.structs.replace(answered(1, 1), outcome=outcome, failure=Failure(message="no"))
    may.settle(call(), broken, reserved)
    assert limit.spent_usd == pytest.approx(aside)
    assert "is the most that calls can have cost" in limit.told()
    refused = may.reserve(call(), ENDPOINT, 1)
    assert refused is not None
    may.settle(call(), msgspec.structs.replace(broken, outcome=Outcome.HTTP_ERROR), refused)
    assert limit.spent_usd == pytest.approx(aside), "what was refused costs nothing"


def test_what_a_provider_may_add_to_a_prompt_is_allowed_for() -> None:
    plain = most_prompt_tokens(call("äöü"), ENDPOINT)
    assert plain >= 6
    schema = {"type": "object", "description": "y" * 5_000}
    assert most_prompt_tokens(call("äöü", schema=schema), ENDPOINT) > plain + 5_000
    own = Endpoint("http://x", "m", extra_body={"tools": "z" * 3_000})
    assert most_prompt_tokens(call("äöü"), own) > plain + 3_000
    assert most_prompt_tokens(call("\ud800"), ENDPOINT) > 0


def test_a_server_that_counts_more_than_there_are_bytes_is_believed_from_then_on() -> None:
    may, _ = allowance(1)
    reserved = may.reserve(call(), ENDPOINT, 1)
    assert reserved is not None
    may.settle(call(), answered(10 * reserved.most_prompt_tokens, 1), reserved)
    again = may.reserve(call(), ENDPOINT, 1)
    assert again is not None
    assert again.most_prompt_tokens == pytest.approx(10 * reserved.most_prompt_tokens, rel=0.01)


def test_a_trial_of_the_server_is_part_of_what_was_spent() -> None:
    _, limit = allowance(1)
    limit.book_trial(90)
    assert limit.spent_usd == pytest.approx(100e-6)
    limit.book_trial(None)
    assert limit.spent_usd > 200e-6


def test_a_limit_that_is_no_amount_is_wrong_usage() -> None:
    for usd in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="above 0 dollars"):
            CostLimit(usd, PRICE)


def test_small_amounts_are_told_apart_from_nothing() -> None:
    assert [dollars(usd) for usd in (0, 0.0000123, 0.5, 1, 1234.5)] == [
        "$0.00",
        "$0.0000123",
        "$0.5",
        "$1.00",
        "$1,234.50",
    ]


# --- whatever the answers are

rates = st.floats(0, 1_000)


@st.composite
def pricings(draw: st.DrawFn) -> Pricing:
    def some() -> dict[Kind, Rate]:
        steps = tuple(Step(n, draw(rates)) for n in sorted(draw(st.sets(st.integers(0, 99)))))
        found: dict[Kind, Rate] = {
            "input_usd": Rate(draw(rates), steps),
            "output_usd": Rate(draw(rates)),
        }
        for kind in draw(
            st.sets(st.sampled_from(["cached_input_usd", "cache_write_usd", "reasoning_usd"]))
        ):
            found[kind] = Rate(draw(rates))  # type: ignore[index]
        if draw(st.booleans()):
            found["request_usd"] = Rate(draw(st.floats(0, 0.01)))
        return found

    hours = Terms(rates=some(), daily_from=time(1), daily_until=time(13))
    flex = Terms(rates=some(), when={"service_tier": "flex"})
    tariff = Tariff(model="m", source="test", terms=(Terms(rates=some()), hours), variants=(flex,))
    hour = draw(st.integers(0, 23))
    at = datetime(2026, 11, 22, hour, 59, 59, tzinfo=UTC)
    clock = ClockAnchor(monotonic_ns=monotonic_ns(), utc_ns=int(at.timestamp()) * 10**9)
    return Pricing(tariff=tariff, clock=clock)


class Answer(msgspec.Struct, frozen=True):
    """What a server does with a call: shares of what it may count, and how it ends."""

    prompt: float
    completion: float
    cached: float
    written: float
    reasoning: float | None
    outcome: Outcome
    counted: bool
    tier: str | None

    def reply(self, most_prompt: int, most_generated: int) -> Reply:
        prompt = int(self.prompt * most_prompt)
        completion = int(self.completion * most_generated)
        usage = Usage(
            prompt_tokens=prompt if self.counted else None,
            completion_tokens=completion,
            cached_tokens=int(self.cached * prompt),
            cache_write_tokens=int(self.written * prompt),
            reasoning_tokens=None if self.reasoning is None else int(self.reasoning * completion),
            service_tier=self.tier,
        )
        ok = self.outcome is Outcome.OK
        reply = msgspec.structs.replace(answered(0, 0), usage=usage, outcome=self.outcome)
        failure = None if ok else Failure(message="no")
        return msgspec.structs.replace(reply, failure=failure)


share = st.floats(0, 1)
answers = st.builds(
    Answer,
    share,
    share,
    share,
    share,
    st.none() | share,
    st.sampled_from([Outcome.OK, Outcome.OK, Outcome.FILTERED, Outcome.CUT, Outcome.HTTP_ERROR]),
    st.booleans(),
    st.sampled_from([None, "default", "flex", "unheard-of"]),
)


@settings(max_examples=50, deadline=None)
@given(
    pricings(),
    st.floats(1e-6, 1e-2),
    st.lists(st.tuples(answers, st.text(max_size=99), st.integers(0, 99)), max_size=25),
    st.integers(1, 4),
    st.data(),
)
def test_the_limit_is_never_passed_whatever_the_answers_are(
    pricing: Pricing,
    usd: float,
    planned: list[tuple[Answer, str, int]],
    streams: int,
    data: st.DataObject,
) -> None:
    """The true bill is that of all that was sent, also of what nobody told the price of."""
    may, limit = allowance(usd, pricing)
    under_way: list[tuple[Call, Reserved, Answer, int]] = []
    bill = 0.0

    def end_one() -> float:
        place = data.draw(st.integers(0, len(under_way) - 1))
        asked, reserved, answer, generated = under_way.pop(place)
        reply = answer.reply(most_prompt_tokens(asked, ENDPOINT), generated)
        may.settle(asked, reply, reserved)
        if reply.outcome is Outcome.HTTP_ERROR:
            return 0.0
        truly = reply
        if not answer.counted or answer.reasoning is None or reply.outcome is Outcome.CUT:
            # The provider charges for what it has done, whatever it told us.
            told = reply.usage
            assert told is not None
            prompt = int(answer.prompt * most_prompt_tokens(asked, ENDPOINT))
            whole = msgspec.structs.replace(
                told, prompt_tokens=prompt, reasoning_tokens=told.reasoning_tokens or 0
            )
            truly = msgspec.structs.replace(reply, usage=whole, outcome=Outcome.OK, failure=None)
        return pricing.charge(truly).usd or 0.0

    for answer, text, generated in planned:
        if len(under_way) >= streams:
            bill += end_one()
        asked = call(text, generated)
        reserved = may.reserve(asked, ENDPOINT, None)
        if reserved is not None:
            under_way.append((asked, reserved, answer, generated))
    while under_way:
        bill += end_one()
    assert bill <= usd * (1 + 1e-12)
    assert limit.spent_usd <= usd * (1 + 1e-12)
    assert bill <= limit.spent_usd + 1e-11
    assert not limit.under_way
