"""The Responses API: typed events, a summary that is no token, and ends of several kinds."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from minionbench.exchange import (
    Call,
    Endpoint,
    Limits,
    Manners,
    Message,
    Outcome,
    Reasoning,
    Reply,
    Secret,
    Usage,
)
from minionbench.metrics.request import ttfo_s, ttft_s
from minionbench.wire.responses import Responses
from tests.wire.support import DONE, call, event, exchange_of

ENDPOINT = Endpoint("http://h/v1", "m", dialect="responses")


def sent(asked: Call, endpoint: Endpoint = ENDPOINT) -> tuple[bytes, dict[str, Any]]:
    head, _, body = Responses().request(asked, endpoint).partition(b"\r\n\r\n")
    return head, json.loads(body)


def typed(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\n" + event({"type": kind, **fields})


def text(delta: object) -> bytes:
    return typed("response.output_text.delta", delta=delta, sequence_number=3)


def end(kind: str = "completed", **fields: Any) -> bytes:
    return typed(f"response.{kind}", response={"model": "m-1", "usage": USAGE, **fields})


USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 8,
    "output_tokens_details": {"reasoning_tokens": 6},
}
START = typed("response.created", response={"model": "m-1", "status": "in_progress"})


def reply_to(*reads: bytes) -> Reply:
    return Responses().reply(exchange_of(*reads), ENDPOINT)


def test_a_call_becomes_input_that_is_not_stored() -> None:
    messages = (Message("system", "be brief"), Message("user", "hi"))
    endpoint = Endpoint("http://h/v1", "m", key=Secret("sk-1"))
    limits = Limits(max_output_tokens=5, seed=3)
    head, body = sent(Call(side="remote", messages=messages, limits=limits), endpoint)
    assert head.startswith(b"POST /v1/responses HTTP/1.1\r\n")
    assert head.endswith(b"\r\nAuthorization: Bearer sk-1")
    assert body == {
        "model": "m",
        "input": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "stream": True,
        "store": False,
        "temperature": 0.0,
        "max_output_tokens": 5,
    }


def test_a_schema_and_reasoning_are_asked_for_in_this_protocols_fields() -> None:
    endpoint = Endpoint(
        "http://h",
        "m",
        manners=Manners(switch="reasoning_effort", temperature=False),
        reasoning=Reasoning(on=True, effort="low", budget_tokens=100),
    )
    asked = msgspec.structs.replace(call(max_output_tokens=5), schema={"type": "object"})
    _, body = sent(asked, endpoint)
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert body["max_output_tokens"] == 105
    assert "temperature" not in body
    assert body["text"]["format"] == {
        "type": "json_schema",
        "name": "answer",
        "strict": True,
        "schema": {"type": "object"},
    }
    endpoint.reasoning = Reasoning(on=False)
    endpoint.extra_body = {"reasoning": {"more": 1}}
    assert sent(call(), endpoint)[1]["reasoning"] == {"effort": "none", "more": 1}


def test_an_answer_is_read_with_its_usage() -> None:
    reply = reply_to(START, text("Hel"), text("lo"), end())
    assert (reply.outcome, reply.text, reply.finish_reason) == (Outcome.OK, "Hello", "completed")
    assert reply.usage == Usage(
        prompt_tokens=9, completion_tokens=8, cached_tokens=4, reasoning_tokens=6
    )
    assert (reply.model, reply.event_ns) == ("m-1", (1_001, 1_002))
    assert reply_to(text("x"), end(usage=None)).usage is None


def test_tokens_written_to_a_cache_and_the_service_tier_are_read() -> None:
    counts = USAGE | {"input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2}}
    reply = reply_to(START, text("Hi"), end(usage=counts, service_tier="priority"))
    assert reply.usage is not None
    assert (reply.usage.cache_write_tokens, reply.usage.service_tier) == (2, "priority")


def test_a_summary_of_reasoning_is_text_but_no_token_so_that_the_reasoning_stays_hidden() -> None:
    summary = typed("response.reasoning_summary_text.delta", delta="I thought")
    reply = reply_to(START, summary, text("42"), end())
    assert (reply.outcome, reply.reasoning, reply.text) == (Outcome.OK, "I thought", "42")
    assert (reply.event_ns, reply.first_reasoning_ns) == ((1_002,), None)
    assert ttft_s(reply) is None
    assert ttfo_s(reply) is not None


def test_reasoning_that_is_streamed_is_tokens() -> None:
    reply = reply_to(typed("response.reasoning_text.delta", delta="hm"), text("42"), end())
    assert (reply.reasoning, reply.text) == ("hm", "42")
    assert (reply.first_reasoning_ns, reply.first_visible_ns) == (1_000, 1_001)


def test_an_answer_that_is_incomplete_says_why() -> None:
    limit = end("incomplete", incomplete_details={"reason": "max_output_tokens"})
    reply = reply_to(text("x"), limit)
    assert (reply.outcome, reply.finish_reason) == (Outcome.OK, "max_output_tokens")
    assert reply.cut_at_limit
    filtered = reply_to(
        text("x"), end("incomplete", incomplete_details={"reason": "content_filter"})
    )
    assert filtered.outcome is Outcome.FILTERED
    assert reply_to(text("x"), end("incomplete")).finish_reason == "incomplete"


def test_a_refusal_is_visible_text_and_no_success() -> None:
    reply = reply_to(typed("response.refusal.delta", delta="I will not"), end())
    assert (reply.outcome, reply.text) == (Outcome.FILTERED, "I will not")


@pytest.mark.parametrize(
    ("bad", "message", "code", "status"),
    [
        (
            typed("error", code="rate_limit_exceeded", message="slow", param=None),
            "slow",
            "rate_limit_exceeded",
            429,
        ),
        (
            typed("response.failed", response={"error": {"code": "server_error", "message": "x"}}),
            "x",
            "server_error",
            None,
        ),
        (typed("response.failed", response={}), "response.failed", None, None),
        (event({"type": "error", "message": "unnamed", "code": None}), "unnamed", None, None),
        (event({"type": "error", "error": {"message": "wrapped"}}), "wrapped", None, None),
    ],
)
def test_an_error_inside_a_stream_is_the_servers_own(
    bad: bytes, message: str, code: str | None, status: int | None
) -> None:
    reply = reply_to(text("x"), bad)
    assert (reply.outcome, reply.text) == (Outcome.STREAM_ERROR, "x")
    assert reply.failure is not None
    assert message in reply.failure.message
    assert (reply.failure.code, reply.failure.http_status) == (code, status)


def test_events_of_unknown_types_are_passed_over_whatever_they_hold() -> None:
    unknown = (
        typed("response.new", delta=5, response="x"),
        typed("keepalive", sequence_number=1),
        typed("response.output_text.done", text="ignored", delta=[]),
    )
    reply = reply_to(*unknown, text("x"), *unknown, end(), *unknown)
    assert (reply.outcome, reply.text) == (Outcome.OK, "x")


def test_a_mark_of_another_protocol_is_harmless_after_the_end_and_no_end_itself() -> None:
    assert reply_to(text("x"), end(), DONE).outcome is Outcome.OK
    assert reply_to(text("x"), DONE).outcome is Outcome.MISSING_END
    assert reply_to(text("x")).outcome is Outcome.MISSING_END


@pytest.mark.parametrize(
    "bad",
    [
        event({"delta": "x"}),
        event({"type": 5}),
        event([]),
        text(5),
        text(None),
        typed("response.completed"),
        typed("response.completed", response={"usage": {"input_tokens": "9"}}),
        b'data: {"type":"response.new","delta":\n\n',
        b"data: {}\n\n",
    ],
)
def test_what_is_no_event_of_this_protocol_is_malformed(bad: bytes) -> None:
    reply = reply_to(text("x"), bad, end())
    assert (reply.outcome, reply.text) == (Outcome.MALFORMED, "x")
    assert reply.failure is not None
    assert "not an event of the Responses API" in reply.failure.message
