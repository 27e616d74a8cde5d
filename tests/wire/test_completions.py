"""Raw completions: a prompt without a chat template, and chunks of text."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from minionbench.exchange import (
    Call,
    Endpoint,
    EngineTimings,
    Limits,
    Manners,
    Message,
    Outcome,
    Reasoning,
    Reply,
)
from minionbench.wire.completions import Completions
from tests.wire.support import DONE, call, event, exchange_of, usage

ENDPOINT = Endpoint("http://h/v1", "m", dialect="completions")


def sent(asked: Call, endpoint: Endpoint = ENDPOINT) -> tuple[bytes, dict[str, Any]]:
    head, _, body = Completions().request(asked, endpoint).partition(b"\r\n\r\n")
    return head, json.loads(body)


def chunk(text: str | None = None, finish: str | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": finish}
    return event({"choices": [choice], **fields})


def reply_to(*reads: bytes) -> Reply:
    return Completions().reply(exchange_of(*reads), ENDPOINT)


def test_the_prompt_is_the_contents_of_the_messages_with_a_blank_line_between_two() -> None:
    messages = (Message("system", "be brief"), Message("user", "hällo"))
    head, body = sent(Call(side="local", messages=messages, limits=Limits(max_output_tokens=5)))
    assert head.startswith(b"POST /v1/completions HTTP/1.1\r\n")
    assert body == {
        "model": "m",
        "prompt": "be brief\n\nhällo",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
        "max_tokens": 5,
    }


def test_nothing_of_reasoning_is_sent_to_a_model_without_its_template() -> None:
    endpoint = Endpoint(
        "http://h", "m", manners=Manners(switch="enable_thinking"), reasoning=Reasoning(on=False)
    )
    assert set(sent(call(), endpoint)[1]) == {
        *("model", "prompt", "stream", "stream_options", "temperature")
    }


def test_a_length_is_forced_and_a_schema_asked_for_as_in_chat() -> None:
    asked = msgspec.structs.replace(call(forced_output_tokens=5, seed=2), schema={"type": "object"})
    _, body = sent(asked)
    assert (body["max_tokens"], body["ignore_eos"], body["seed"]) == (5, True, 2)
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_an_answer_is_read_with_usage_and_timings() -> None:
    timings = {"prompt_n": 12, "predicted_n": 2}
    reply = reply_to(
        chunk("Hel"), chunk("lo", model="x"), chunk("", "stop", timings=timings), usage(), DONE
    )
    assert (reply.outcome, reply.text, reply.finish_reason) == (Outcome.OK, "Hello", "stop")
    assert reply.event_ns == (1_000, 1_001)
    assert (reply.model, reply.reasoning) == ("x", None)
    assert reply.usage is not None
    assert reply.engine == EngineTimings(prompt_tokens=12, predicted_tokens=2)


@pytest.mark.parametrize(
    ("bad", "outcome"),
    [
        (event({"choices": [{"index": 1, "text": "b"}]}), Outcome.MALFORMED),
        (event({"choices": [{"index": 0, "text": 5}]}), Outcome.MALFORMED),
        (event({"id": "x"}), Outcome.MALFORMED),
        (event({"error": {"message": "died"}}), Outcome.STREAM_ERROR),
        (event({"object": "error", "message": "died"}), Outcome.STREAM_ERROR),
    ],
)
def test_what_is_no_chunk_is_no_success(bad: bytes, outcome: Outcome) -> None:
    reply = reply_to(chunk("a"), bad, chunk("b", "stop"), DONE)
    assert (reply.outcome, reply.text) == (outcome, "a")


def test_a_stream_without_its_end_is_missing_it() -> None:
    assert reply_to(chunk("a", "stop")).outcome is Outcome.MISSING_END
    assert reply_to(chunk("a"), DONE).outcome is Outcome.MISSING_END
