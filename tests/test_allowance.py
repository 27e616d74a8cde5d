"""What a run may still ask: pauses, quotas, and a budget of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.allowance import (
    FIRST_PAUSE_S,
    LONGEST_OWN_PAUSE_S,
    LONGEST_PAUSE_S,
    NOTHING,
    TOKENS_PER_MESSAGE,
    Allowance,
    Pause,
    Reserved,
    estimated_prompt_tokens,
    paused_s,
)
from minionbench.errors import UsageError
from minionbench.exchange import (
    Call,
    Endpoint,
    Failure,
    Limits,
    Message,
    Outcome,
    Reasoning,
    Reply,
    Usage,
)
from minionbench.units import NS_PER_S
from minionbench.wire.reasoning import DEFAULT_REASONING_TOKENS

ENDPOINT = Endpoint("http://127.0.0.1:1/v1", "m")
TEMPLATE = 2 * TOKENS_PER_MESSAGE


def call(max_output_tokens: int | None = 10, text: str = "x" * 30) -> Call:
    return Call(
        side="local",
        messages=(Message("user", text),),
        limits=Limits(max_output_tokens=max_output_tokens),
    )


def refused(status: int | None = 429, *, at_s: float = 0, **failure: object) -> Reply:
    return Reply(
        outcome=Outcome.HTTP_ERROR,
        failure=Failure(message="no", http_status=status, **failure),  # type: ignore[arg-type]
        planned_ns=0,
        end_ns=round(at_s * NS_PER_S),
    )


def answered(prompt: int | None, completion: int | None) -> Reply:
    usage = Usage(prompt_tokens=prompt, completion_tokens=completion)
    return Reply(outcome=Outcome.OK, usage=usage, planned_ns=0, end_ns=1)


def test_the_next_request_waits_as_long_as_the_server_asked() -> None:
    allowance = Allowance()
    allowance.settle(call(), refused(retry_after_s=2.5, at_s=1), NOTHING)
    assert allowance.clear_ns("local", 0) == round(3.5 * NS_PER_S)
    assert allowance.clear_ns("local", 4 * NS_PER_S) == 4 * NS_PER_S
    assert allowance.clear_ns("remote", 7) == 7
    assert allowance.pauses == [Pause("local", NS_PER_S, round(3.5 * NS_PER_S), "no")]
    assert allowance.exhausted is None


def test_a_refusal_without_a_time_waits_longer_each_time_until_something_succeeds() -> None:
    allowance = Allowance()
    waits = []
    for _ in range(8):
        allowance.settle(call(), refused(529), NOTHING)
        waits.append(allowance.clear_ns("local", 0) / NS_PER_S)
    assert waits[:4] == [FIRST_PAUSE_S, 2, 4, 8]
    assert waits[-1] == LONGEST_OWN_PAUSE_S
    allowance = Allowance()
    allowance.settle(call(), refused(), NOTHING)
    allowance.settle(call(), answered(1, 1), NOTHING)
    allowance.settle(call(), refused(at_s=10), NOTHING)
    assert allowance.clear_ns("local", 0) == round((10 + FIRST_PAUSE_S) * NS_PER_S)


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_other_errors_ask_for_no_pause_unless_they_say_so(status: int) -> None:
    allowance = Allowance()
    allowance.settle(call(), refused(status), NOTHING)
    assert allowance.clear_ns("local", 5) == 5
    allowance.settle(call(), refused(status, retry_after_s=1), NOTHING)
    assert allowance.clear_ns("local", 5) == NS_PER_S


@pytest.mark.parametrize("reply", [refused(402), refused(429, code="insufficient_quota")])
def test_a_quota_that_is_used_up_ends_the_run(reply: Reply) -> None:
    allowance = Allowance()
    allowance.settle(call(), reply, NOTHING)
    assert allowance.exhausted == "the provider's quota is used up: no"
    assert not allowance.pauses


def test_a_wait_longer_than_a_run_waits_ends_it() -> None:
    allowance = Allowance()
    allowance.settle(call(), refused(retry_after_s=LONGEST_PAUSE_S), NOTHING)
    assert allowance.exhausted is None
    allowance.settle(call(), refused(retry_after_s=LONGEST_PAUSE_S + 1), NOTHING)
    assert allowance.exhausted is not None
    assert allowance.exhausted.startswith("the server asks to wait 301 s before the next request")


def test_without_a_budget_everything_may_be_asked() -> None:
    allowance = Allowance()
    assert allowance.reserve(call(None), ENDPOINT, None) == NOTHING
    allowance.settle(call(None), answered(10**9, 10**9), NOTHING)
    assert allowance.exhausted is None


def test_the_budget_has_room_for_the_most_that_a_call_can_take() -> None:
    most = 7 + TEMPLATE + 10
    allowance = Allowance(2 * most)
    assert allowance.reserve(call(), ENDPOINT, 7) == Reserved(most)
    assert allowance.reserve(call(), ENDPOINT, 7) == Reserved(most)
    assert allowance.reserve(call(), ENDPOINT, 7) is None
    assert allowance.refusal == (
        f"the next request could take {most} tokens, and of the budget of {2 * most} "
        "there are 0 left"
    )
    # What is under way may leave room, so it is not over yet.
    allowance.release()
    assert allowance.exhausted is None
    allowance.settle(call(), answered(1, 1), Reserved(most), 7)
    assert allowance.spent_tokens == 2
    assert allowance.reserved_tokens == most


def test_a_budget_without_room_and_nothing_under_way_is_exhausted() -> None:
    allowance = Allowance(5)
    assert allowance.reserve(call(), ENDPOINT, 1) is None
    allowance.release()
    assert allowance.exhausted == allowance.refusal


def test_reasoning_is_allowed_for_beside_the_answer() -> None:
    endpoint = Endpoint("http://x", "m", reasoning=Reasoning(on=True, budget_tokens=500))
    assert Allowance(10_000).reserve(call(), endpoint, 7) == Reserved(7 + TEMPLATE + 10 + 500)
    off = Endpoint("http://x", "m", reasoning=Reasoning(on=False, budget_tokens=500))
    assert Allowance(10_000).reserve(call(), off, 7) == Reserved(7 + TEMPLATE + 10)


def test_an_answer_without_a_limit_has_no_place_in_a_budget() -> None:
    allowance = Allowance(10**6)
    assert allowance.reserve(call(None), ENDPOINT, 7) is None
    assert allowance.refusal is not None
    assert "no limit to its answer" in allowance.refusal


def test_what_a_server_did_not_count_is_booked_as_what_was_set_aside() -> None:
    allowance = Allowance(1_000)
    reserved = allowance.reserve(call(), ENDPOINT, 7)
    assert reserved is not None
    allowance.settle(call(), answered(None, None), reserved, 7)
    assert allowance.spent_tokens == reserved.tokens
    again = allowance.reserve(call(), ENDPOINT, 7)
    assert again is not None
    allowance.settle(call(), refused(500), again, 7)
    assert allowance.spent_tokens == reserved.tokens
    assert allowance.reserved_tokens == 0


def test_a_prompt_that_took_more_than_thought_raises_what_is_thought_of_the_next() -> None:
    allowance = Allowance(10_000)
    reserved = allowance.reserve(call(), ENDPOINT, 8)
    assert reserved == Reserved(8 + TEMPLATE + 10)
    allowance.settle(call(), answered(3 * (8 + TEMPLATE), 1), reserved, 8)
    assert allowance.reserve(call(), ENDPOINT, 8) == Reserved(3 * (8 + TEMPLATE) + 10)


def test_a_prompt_that_nobody_counted_is_estimated_by_its_bytes() -> None:
    assert estimated_prompt_tokens(call(text="x" * 30), None) == 10 + TEMPLATE
    assert estimated_prompt_tokens(call(text=""), 0) == TEMPLATE


def test_a_budget_of_nothing_is_wrong_usage() -> None:
    with pytest.raises(UsageError):
        Allowance(0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8))
def test_time_in_pauses_counts_once_however_they_overlap(spans: list[tuple[int, int]]) -> None:
    pauses = [Pause("local", a * NS_PER_S, (a + d) * NS_PER_S, "") for a, d in spans]
    covered = {second for a, d in spans for second in range(a, a + d)}
    assert paused_s(pauses) == len(covered)


@pytest.mark.parametrize("outcome", [Outcome.STREAM_ERROR, Outcome.TRUNCATED, Outcome.CUT])
def test_the_counts_of_an_answer_that_broke_off_are_not_taken_for_the_whole(
    outcome: Outcome,
) -> None:
    """Anthropic tells of one token at the beginning, however many come before the end."""
    allowance = Allowance(1_000)
    reserved = allowance.reserve(call(), ENDPOINT, 7)
    assert reserved is not None
    usage = Usage(prompt_tokens=7, completion_tokens=1)
    broken = Reply(
        outcome=outcome, failure=Failure(message="no"), usage=usage, planned_ns=0, end_ns=1
    )
    allowance.settle(call(), broken, reserved, 7)
    assert allowance.spent_tokens == reserved.tokens


def test_an_answer_that_a_filter_stopped_is_booked_as_counted() -> None:
    allowance = Allowance(1_000)
    usage = Usage(prompt_tokens=7, completion_tokens=3)
    filtered = Reply(
        outcome=Outcome.FILTERED, failure=Failure(message="no"), usage=usage, planned_ns=0, end_ns=1
    )
    allowance.settle(call(), filtered, allowance.reserve(call(), ENDPOINT, 7) or NOTHING, 7)
    assert allowance.spent_tokens == 10


@pytest.mark.parametrize(
    "own",
    [
        {"max_tokens": 900},
        {"max_completion_tokens": 900},
        {"max_output_tokens": 900},
        {"n_predict": 900},
        {"options": {"num_predict": 900, "top_k": 1}},
    ],
)
def test_a_limit_of_the_users_own_is_what_the_budget_allows_for(own: dict[str, object]) -> None:
    endpoint = Endpoint("http://x", "m", extra_body=own)
    assert Allowance(10_000).reserve(call(), endpoint, 7) == Reserved(7 + TEMPLATE + 900)
    assert Allowance(10_000).reserve(call(None), endpoint, 7) == Reserved(7 + TEMPLATE + 900)


@pytest.mark.parametrize("limit", [-1, None, "many"])
def test_a_limit_of_the_users_own_that_is_none_leaves_no_budget(limit: object) -> None:
    endpoint = Endpoint("http://x", "m", extra_body={"options": {"num_predict": limit}})
    allowance = Allowance(10_000)
    assert allowance.reserve(call(), endpoint, 7) is None
    assert allowance.refusal is not None
    assert "no limit to its answer" in allowance.refusal


def test_what_trials_have_taken_is_part_of_the_budget() -> None:
    most = 7 + TEMPLATE + 10
    allowance = Allowance(most + 4)
    allowance.charge(5)
    assert allowance.reserve(call(), ENDPOINT, 7) is None


def test_reasoning_without_a_budget_of_its_own_is_allowed_for_by_the_default() -> None:
    endpoint = Endpoint("http://x", "m", reasoning=Reasoning(on=True))
    reserved = Allowance(10_000).reserve(call(), endpoint, 7)
    assert reserved == Reserved(7 + TEMPLATE + 10 + DEFAULT_REASONING_TOKENS)


def test_a_shorter_wait_told_later_does_not_end_a_longer_one() -> None:
    """As of two streams that are refused together, with times of their own."""
    allowance = Allowance()
    allowance.settle(call(), refused(retry_after_s=9), NOTHING)
    allowance.settle(call(), refused(retry_after_s=2), NOTHING)
    assert allowance.clear_ns("local", 0) == 9 * NS_PER_S
    assert len(allowance.pauses) == 1


def test_a_prompt_that_took_less_than_thought_does_not_lower_what_is_thought() -> None:
    allowance = Allowance(10_000)
    allowance.settle(call(), answered(3 * (8 + TEMPLATE), 1), NOTHING, 8)
    allowance.settle(call(), answered(1, 1), NOTHING, 8)
    assert allowance.reserve(call(), ENDPOINT, 8) == Reserved(3 * (8 + TEMPLATE) + 10)


def test_an_overload_that_is_told_inside_an_answer_is_heeded_too() -> None:
    allowance = Allowance()
    overloaded = Reply(
        outcome=Outcome.STREAM_ERROR,
        failure=Failure(message="no", http_status=529, code="overloaded_error"),
        planned_ns=0,
        end_ns=0,
    )
    allowance.settle(call(), overloaded, NOTHING)
    assert allowance.clear_ns("local", 0) == round(FIRST_PAUSE_S * NS_PER_S)


@pytest.mark.parametrize(
    "code", ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"]
)
def test_an_account_that_may_ask_no_more_ends_the_run_whatever_the_status(code: str) -> None:
    allowance = Allowance()
    allowance.settle(call(), refused(400, code=code), NOTHING)
    assert allowance.exhausted is not None


@pytest.mark.parametrize(
    ("outcome", "costs"),
    [
        (Outcome.NOT_SENT, False),
        (Outcome.CONNECT_FAILED, False),
        (Outcome.CONNECT_TIMEOUT, False),
        (Outcome.TLS_FAILED, False),
        (Outcome.RESET, True),
        (Outcome.FIRST_BYTE_TIMEOUT, True),
        (Outcome.MALFORMED, True),
    ],
)
def test_only_what_reached_no_model_costs_nothing(outcome: Outcome, costs: bool) -> None:
    allowance = Allowance(1_000)
    reserved = allowance.reserve(call(), ENDPOINT, 7) or NOTHING
    failed = Reply(outcome=outcome, failure=Failure(message="no"), planned_ns=0, end_ns=1)
    allowance.settle(call(), failed, reserved, 7)
    assert allowance.spent_tokens == (reserved.tokens if costs else 0)
