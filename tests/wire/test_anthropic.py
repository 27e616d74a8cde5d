"""Anthropic's Messages: named events, cumulative counts, thinking, and errors under way."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from minionbench.errors import UsageError
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
from minionbench.wire.anthropic import Anthropic
from tests.wire.support import call, event, exchange_of

ENDPOINT = Endpoint("https://h", "m", dialect="anthropic")


def sent(asked: Call, endpoint: Endpoint = ENDPOINT) -> tuple[bytes, dict[str, Any]]:
    head, _, body = Anthropic().request(asked, endpoint).partition(b"\r\n\r\n")
    return head, json.loads(body)


def thinking(
    reasoning: Reasoning, switch: Any = "thinking_budget", **limits: Any
) -> dict[str, Any]:
    manners = Manners(switch=switch)
    endpoint = Endpoint("https://h", "m", manners=manners, reasoning=reasoning)
    return sent(call(**limits), endpoint)[1]


def named(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\n" + event({"type": kind, **fields})


def start(**usage: Any) -> bytes:
    return named("message_start", message={"model": "m-1", "usage": usage})


def delta(**fields: Any) -> bytes:
    return named("content_block_delta", index=0, delta=fields)


def text(value: object) -> bytes:
    return delta(type="text_delta", text=value)


def finish(reason: str | None = "end_turn", **usage: Any) -> bytes:
    return named("message_delta", delta={"stop_reason": reason}, usage=usage)


STOP = named("message_stop")
BLOCK = named("content_block_start", index=0, content_block={"type": "text", "text": ""})


def reply_to(*reads: bytes) -> Reply:
    return Anthropic().reply(exchange_of(*reads), ENDPOINT)


def test_a_call_becomes_messages_with_the_system_in_its_own_field() -> None:
    messages = (
        Message("system", "be brief"),
        Message("user", "hi"),
        Message("system", "be kind"),
        Message("assistant", "yes?"),
    )
    endpoint = Endpoint("https://h", "m", key=Secret("sk-ant-1"))
    limits = Limits(max_output_tokens=5, seed=3, temperature=0.5)
    head, body = sent(Call(side="remote", messages=messages, limits=limits), endpoint)
    assert head.startswith(b"POST /v1/messages HTTP/1.1\r\n")
    assert b"\r\nx-api-key: sk-ant-1" in head
    assert b"\r\nanthropic-version: 2023-06-01\r\n" in head
    assert b"Authorization" not in head
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"}],
        "system": "be brief\n\nbe kind",
        "max_tokens": 5,
        "stream": True,
        "temperature": 0.5,
    }


def test_the_limit_that_the_protocol_wants_is_always_sent() -> None:
    assert sent(call())[1]["max_tokens"] == 4_096
    assert sent(call(forced_output_tokens=7))[1]["max_tokens"] == 7
    assert thinking(Reasoning(on=True))["max_tokens"] == 8_192


def test_thinking_has_its_budget_and_the_answer_its_own() -> None:
    body = thinking(Reasoning(on=True, budget_tokens=2_000), max_output_tokens=50)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2_000}
    assert body["max_tokens"] == 2_050
    assert "temperature" not in body
    body = thinking(Reasoning(on=True, effort="low"), "thinking_adaptive", max_output_tokens=50)
    assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": "low"})
    body = thinking(Reasoning(on=False), max_output_tokens=50)
    assert (body["thinking"], body["max_tokens"]) == ({"type": "disabled"}, 50)
    assert body["temperature"] == 0.0


def test_a_budget_that_the_protocol_refuses_is_refused_before_it_is_sent() -> None:
    with pytest.raises(UsageError, match=r"1,023 tokens is too small.*1,024"):
        thinking(Reasoning(on=True, budget_tokens=1_023))


def test_a_schema_and_an_effort_share_their_field() -> None:
    endpoint = Endpoint(
        "https://h",
        "m",
        manners=Manners(switch="thinking_adaptive"),
        reasoning=Reasoning(on=True, effort="low"),
    )
    asked = msgspec.structs.replace(call(), schema={"type": "object"})
    form = {"type": "json_schema", "schema": {"type": "object"}}
    assert sent(asked, endpoint)[1]["output_config"] == {"effort": "low", "format": form}
    endpoint.manners = Manners(schema=False)
    assert "output_config" not in sent(asked, endpoint)[1]


def test_the_version_can_be_overridden_by_a_header() -> None:
    endpoint = Endpoint("https://h", "m", headers=(("Anthropic-Version", "2030-01-01"),))
    head, _ = sent(call(), endpoint)
    assert head.lower().count(b"anthropic-version") == 1
    assert b"2030-01-01" in head


def test_an_answer_is_read_with_thinking_and_the_latest_counts() -> None:
    reply = reply_to(
        start(input_tokens=10, cache_read_input_tokens=90, output_tokens=1),
        named("ping"),
        delta(type="thinking_delta", thinking="hm"),
        delta(type="signature_delta", signature="abc"),
        BLOCK,
        text("Hel"),
        text("lo"),
        named("content_block_stop", index=0),
        finish(output_tokens=30, output_tokens_details={"thinking_tokens": 20}),
        STOP,
    )
    assert (reply.outcome, reply.failure) == (Outcome.OK, None)
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("Hello", "hm", "end_turn")
    assert reply.event_ns == (1_002, 1_005, 1_006)
    assert (reply.first_reasoning_ns, reply.first_visible_ns) == (1_002, 1_005)
    assert reply.model == "m-1"
    assert reply.usage == Usage(
        prompt_tokens=100, completion_tokens=30, cached_tokens=90, reasoning_tokens=20
    )


def test_of_counts_of_thinking_that_grow_the_latest_holds() -> None:
    reply = reply_to(
        start(input_tokens=10, output_tokens=1, output_tokens_details={"thinking_tokens": 0}),
        BLOCK,
        text("Hi"),
        finish(output_tokens=30, output_tokens_details={"thinking_tokens": 20}),
        STOP,
    )
    assert reply.usage is not None
    assert reply.usage.reasoning_tokens == 20


@pytest.mark.parametrize(
    ("first", "last", "usage"),
    [
        (
            {"input_tokens": 5, "cache_creation_input_tokens": 7, "cache_read_input_tokens": None},
            {"output_tokens": 3},
            Usage(prompt_tokens=12, completion_tokens=3, cache_write_tokens=7),
        ),
        (
            {
                "input_tokens": 5,
                "cache_creation_input_tokens": 7,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 3,
                    "ephemeral_1h_input_tokens": 4,
                },
                "service_tier": "priority",
                "speed": "fast",
            },
            {"output_tokens": 3},
            Usage(
                prompt_tokens=12,
                completion_tokens=3,
                cache_write_tokens=7,
                cache_write_1h_tokens=4,
                service_tier="priority",
                speed="fast",
            ),
        ),
        ({"service_tier": 5, "speed": "x" * 99}, {"output_tokens": 3}, Usage(completion_tokens=3)),
        (
            {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 1},
            {"input_tokens": 6, "output_tokens": 3},
            Usage(prompt_tokens=13, completion_tokens=3, cached_tokens=7),
        ),
        ({}, {"output_tokens": 3}, Usage(completion_tokens=3)),
        ({"input_tokens": -1}, {}, Usage()),
    ],
)
def test_counts_are_added_up_where_they_are_parts_and_replaced_where_they_are_newer(
    first: dict[str, Any], last: dict[str, Any], usage: Usage
) -> None:
    assert reply_to(start(**first), text("x"), finish(**last), STOP).usage == usage


def test_text_that_comes_with_the_beginning_of_a_block_is_text() -> None:
    block = named("content_block_start", content_block={"type": "text", "text": "a"})
    reply = reply_to(start(), block, text("b"), finish(), STOP)
    assert (reply.text, reply.event_ns) == ("ab", (1_001, 1_002))


def test_events_and_deltas_of_unknown_types_are_passed_over_whatever_they_hold() -> None:
    unknown = (
        named("new_event", delta="x", message=5, usage=[]),
        delta(type="new_delta", text=None),
        delta(type="input_json_delta", partial_json="{"),
        named("content_block_start", content_block={"type": "tool_use", "id": "t"}),
    )
    reply = reply_to(start(), *unknown, text("x"), *unknown, finish(), STOP, named("ping"))
    assert (reply.outcome, reply.text, len(reply.event_ns)) == (Outcome.OK, "x", 1)


@pytest.mark.parametrize(
    ("reason", "outcome", "limit"),
    [
        ("end_turn", Outcome.OK, False),
        ("stop_sequence", Outcome.OK, False),
        ("max_tokens", Outcome.OK, True),
        ("model_context_window_exceeded", Outcome.OK, True),
        ("refusal", Outcome.FILTERED, False),
        (None, Outcome.MISSING_END, False),
    ],
)
def test_the_stop_reason_tells_how_it_ended(
    reason: str | None, outcome: Outcome, limit: bool
) -> None:
    reply = reply_to(start(), text("x"), finish(reason), STOP)
    assert (reply.outcome, reply.finish_reason) == (outcome, reason)
    assert reply.cut_at_limit is limit
    if outcome is Outcome.FILTERED:
        assert reply.failure is not None
        assert reply.failure.message == "the model refused to answer (finish reason refusal)"


def test_an_overload_under_way_is_the_servers_error_with_its_status() -> None:
    overloaded = named("error", error={"type": "overloaded_error", "message": "Overloaded"})
    unnamed = event({"type": "error", "error": {"type": "api_error", "message": "died"}})
    reply = reply_to(start(), text("x"), overloaded)
    assert (reply.outcome, reply.text) == (Outcome.STREAM_ERROR, "x")
    assert reply.failure is not None
    assert (reply.failure.code, reply.failure.http_status) == ("overloaded_error", 529)
    reply = reply_to(start(), unnamed)
    assert reply.failure is not None
    assert (reply.failure.message, reply.failure.code) == ("died", "api_error")


def test_a_refusal_of_the_request_is_told_in_the_providers_words() -> None:
    body = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}
    headers = {"retry-after": "12", "request-id": "req_1"}
    exchange = exchange_of(json.dumps(body).encode(), status=429, headers=headers)
    reply = Anthropic().reply(exchange, ENDPOINT)
    assert reply.failure is not None
    assert (reply.failure.code, reply.failure.retry_after_s) == ("rate_limit_error", 12.0)
    assert reply.request_id == "req_1"


@pytest.mark.parametrize(
    "bad",
    [
        event({"index": 0}),
        event("x"),
        text(5),
        text(None),
        named("content_block_delta", index=0),
        named("content_block_start", index=0),
        named("message_start"),
        delta(type="thinking_delta"),
        named("message_delta", usage={"output_tokens": 1.5}),
        b'event: new\ndata: {"type":"new",}\n\n',
    ],
)
def test_what_is_no_event_of_this_protocol_is_malformed(bad: bytes) -> None:
    reply = reply_to(start(), text("x"), bad, finish(), STOP)
    assert (reply.outcome, reply.text) == (Outcome.MALFORMED, "x")


def test_a_stream_without_its_end_is_missing_it() -> None:
    assert reply_to(start(), text("x"), finish()).outcome is Outcome.MISSING_END
    assert reply_to(start(), text("x"), STOP).outcome is Outcome.MISSING_END
    assert reply_to(named("ping")).outcome is Outcome.MISSING_END
