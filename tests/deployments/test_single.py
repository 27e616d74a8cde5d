"""Deployments of one call, driven by hand."""

from __future__ import annotations

import pytest

from minionbench.deployments.single import Local
from minionbench.exchange import Failure, Limits, Message, Outcome, Reply, Request

REQUEST = Request(
    item_id="item/1",
    messages=(Message("system", "Be brief."), Message("user", "2+2?")),
    limits=Limits(max_output_tokens=8, seed=3),
    source="test",
    input_tokens=6,
)


def test_local_asks_once_with_the_requests_own_messages_and_limits() -> None:
    (call,) = next(Local("x/y").plan(REQUEST))
    assert call.side == "local"
    assert call.messages == REQUEST.messages
    assert call.limits == REQUEST.limits


def test_the_text_of_the_reply_is_the_answer() -> None:
    plan = Local().plan(REQUEST)
    next(plan)
    with pytest.raises(StopIteration) as ended:
        plan.send((Reply(outcome=Outcome.OK, text="4", planned_ns=0),))
    assert ended.value.value.text == "4"
    assert ended.value.value.call == 0
    assert ended.value.value.abstained is None


def test_a_failed_reply_is_an_abstention_that_says_why_even_when_there_is_some_text() -> None:
    plan = Local().plan(REQUEST)
    next(plan)
    reply = Reply(
        outcome=Outcome.TRUNCATED, failure=Failure(message="cut off"), text="4", planned_ns=0
    )
    with pytest.raises(StopIteration) as ended:
        plan.send((reply,))
    assert ended.value.value.text is None
    assert ended.value.value.call is None
    assert ended.value.value.abstained == "cut off"
