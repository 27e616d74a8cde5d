"""Ollama's chat: one object per line, options, durations, and errors after a status of 200."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from minionbench.exchange import (
    Call,
    Endpoint,
    EngineTimings,
    Manners,
    Outcome,
    Reasoning,
    Reply,
    Secret,
    Usage,
)
from minionbench.wire.ollama import Ollama
from tests.wire.support import call, exchange_of

ENDPOINT = Endpoint("http://h:11434", "qwen3:8b", dialect="ollama")
LINES = {"content-type": "application/x-ndjson"}


def sent(asked: Call, endpoint: Endpoint = ENDPOINT) -> tuple[bytes, dict[str, Any]]:
    head, _, body = Ollama().request(asked, endpoint).partition(b"\r\n\r\n")
    return head, json.loads(body)


def line(content: str = "", *, done: bool = False, **fields: Any) -> bytes:
    message = {"role": "assistant", "content": content}
    if "thinking" in fields:
        message["thinking"] = fields.pop("thinking")
    value = {"model": "qwen3:8b", "message": message, "done": done, **fields}
    return json.dumps(value).encode() + b"\n"


def end(reason: str | None = "stop", **fields: Any) -> bytes:
    return line(done=True, done_reason=reason, **fields)


def reply_to(*reads: bytes, **facts: Any) -> Reply:
    facts.setdefault("headers", LINES)
    return Ollama().reply(exchange_of(*reads, **facts), ENDPOINT)


def test_a_call_asks_for_a_chat_in_which_nothing_is_cut_silently() -> None:
    endpoint = Endpoint(
        "http://h:11434",
        "qwen3:8b",
        key=Secret("k-1"),
        extra_body={"options": {"num_ctx": 8_192}, "keep_alive": "10m"},
    )
    head, body = sent(call(max_output_tokens=9, seed=3), endpoint)
    assert head.startswith(b"POST /api/chat HTTP/1.1\r\nHost: h:11434\r\n")
    assert b"\r\nAuthorization: Bearer k-1" in head
    assert body == {
        "model": "qwen3:8b",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "truncate": False,
        "shift": False,
        "options": {"temperature": 0.0, "seed": 3, "num_predict": 9, "num_ctx": 8_192},
        "keep_alive": "10m",
    }


@pytest.mark.parametrize(
    ("reasoning", "think", "most"),
    [
        (Reasoning(on=True), True, 9 + 4_096),
        (Reasoning(on=False), False, 9),
        (Reasoning(on=True, effort="high", budget_tokens=1), "high", 10),
        (None, None, 9),
    ],
)
def test_thinking_is_switched_and_has_its_budget(
    reasoning: Reasoning | None, think: object, most: int
) -> None:
    manners = Manners(switch="think")
    endpoint = Endpoint("http://h", "m", manners=manners, reasoning=reasoning)
    _, body = sent(call(max_output_tokens=9), endpoint)
    assert body.get("think") == think
    assert body["options"]["num_predict"] == most


def test_a_schema_is_the_format() -> None:
    asked = msgspec.structs.replace(call(forced_output_tokens=4), schema={"type": "object"})
    _, body = sent(asked)
    assert (body["format"], body["options"]["num_predict"]) == ({"type": "object"}, 4)
    endpoint = Endpoint("http://h", "m", manners=Manners(schema=False))
    assert "format" not in sent(asked, endpoint)[1]


def test_an_answer_is_read_with_thinking_counts_and_durations() -> None:
    counts = {
        "total_duration": 9_000_000,
        "load_duration": 1_500_000,
        "prompt_eval_count": 12,
        "prompt_eval_cached_count": 5,
        "prompt_eval_duration": 2_000_000,
        "eval_count": 3,
        "eval_duration": 4_000_000,
    }
    reply = reply_to(line(thinking="hm"), line("Hel"), line("lo"), end(**counts))
    assert (reply.outcome, reply.failure) == (Outcome.OK, None)
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("Hello", "hm", "stop")
    assert (reply.event_ns, reply.model) == ((1_000, 1_001, 1_002), "qwen3:8b")
    assert reply.usage == Usage(prompt_tokens=12, completion_tokens=3, cached_tokens=5)
    assert reply.engine == EngineTimings(
        cached_tokens=5,
        prompt_tokens=7,
        prompt_ms=2.0,
        predicted_tokens=3,
        predicted_ms=4.0,
        load_ms=1.5,
        total_ms=9.0,
    )


def test_counts_that_are_not_told_are_not_known() -> None:
    reply = reply_to(line("x"), end(prompt_eval_count=12))
    assert reply.usage == Usage(prompt_tokens=12)
    assert reply.engine == EngineTimings()
    reply = reply_to(end(prompt_eval_count=3, prompt_eval_cached_count=5, eval_duration=-1))
    assert reply.engine == EngineTimings(cached_tokens=5)


def test_text_on_the_last_line_is_text() -> None:
    reply = reply_to(line("a"), line("b", done=True, done_reason="length"))
    assert (reply.text, reply.event_ns, reply.cut_at_limit) == ("ab", (1_000, 1_001), True)


def test_the_last_line_needs_no_line_feed_but_its_whole_json() -> None:
    body = line("a") + end()
    assert reply_to(body[:-1]).outcome is Outcome.OK
    reply = reply_to(body[:-2])
    assert (reply.outcome, reply.text) == (Outcome.MALFORMED, "a")


def test_lines_may_be_blank_or_end_in_cr_lf() -> None:
    body = (b"\n" + line("a") + b" \n\n" + end()).replace(b"\n", b"\r\n")
    reply = reply_to(body)
    assert (reply.outcome, reply.text) == (Outcome.OK, "a")


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/json; charset=utf-8"])
def test_an_error_on_a_line_is_the_servers_own(kind: str) -> None:
    reply = reply_to(
        line("a"), b'{"error":"an error was encountered"}\n', headers={"content-type": kind}
    )
    assert (reply.outcome, reply.text) == (Outcome.STREAM_ERROR, "a")
    assert reply.failure is not None
    assert reply.failure.message == "an error was encountered"


def test_a_prompt_that_does_not_fit_is_told_as_that() -> None:
    body = b'{"error":"the input length exceeds the context length"}'
    failure = reply_to(body, status=400, headers={}).failure
    assert failure is not None
    assert failure.message.startswith("HTTP 400, the prompt is longer than the model's context")


def test_a_model_that_is_not_there_is_told_by_its_name() -> None:
    body = b'{"error":"model \'qwen3:8b\' not found"}'
    failure = reply_to(body, status=404, headers={}).failure
    assert failure is not None
    assert "does not know the model 'qwen3:8b'" in failure.message


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_a_model_that_was_only_loaded_has_not_answered(reason: str) -> None:
    reply = reply_to(end(reason))
    assert (reply.outcome, reply.finish_reason) == (Outcome.STREAM_ERROR, reason)


@pytest.mark.parametrize(
    ("bodies", "outcome"),
    [
        ((line("a"),), Outcome.MISSING_END),
        ((line("a"), end(None)), Outcome.MISSING_END),
        ((line("a"), end(), line("b")), Outcome.MALFORMED),
        ((line("a"), b'{"message":{"content":"b"}}\n', end()), Outcome.MALFORMED),
        ((line("a"), b"{}\n", end()), Outcome.MALFORMED),
        ((line("a"), b"[]\n", end()), Outcome.MALFORMED),
        ((line("a"), b'{"message":{"content":5},"done":false}\n', end()), Outcome.MALFORMED),
        ((line("a"), b"data: {}\n", end()), Outcome.MALFORMED),
        ((line("a"), line("b")[:-1] + end()), Outcome.MALFORMED),
    ],
)
def test_what_is_no_whole_chat_is_no_success(bodies: tuple[bytes, ...], outcome: Outcome) -> None:
    reply = reply_to(*bodies)
    assert (reply.outcome, reply.text) == (outcome, "a")


@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain", ""])
def test_a_body_of_another_kind_is_malformed(kind: str) -> None:
    assert reply_to(line("a"), end(), headers={"content-type": kind}).outcome is Outcome.MALFORMED
