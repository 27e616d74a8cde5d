"""Over real sockets: each fault of a server ends in its own outcome, and good answers are exact.

What the dialect reads is held against the ground-truth server's own log, and against what the
official client of OpenAI reads from the same servers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from bench.ground_truth import GroundTruthServer, ground_truth_server
from minionbench.exchange import Call, Endpoint, Outcome, Reply, Secret, Timeouts, Usage
from minionbench.transport.connection import Target
from minionbench.wire.openai import OpenAIChat
from tests.transport.support import Peer, ScriptedServer, ask
from tests.wire.support import DONE, call, event, usage

KEY = "sk-0123456789abcdef"
LIMITS = Timeouts(connect_s=10, first_byte_s=0.4, idle_s=0.4, total_s=20)


@pytest.fixture(scope="module")
def running() -> Iterator[GroundTruthServer]:
    with ground_truth_server(ttft_ms=2, itl_ms=0, tokens=6, api_key=KEY) as server:
        yield server


def answer(url: str, asked: Call | None = None, *, key: str = KEY, **target: Any) -> Reply:
    endpoint = Endpoint(url, "ground-truth", key=Secret(key), timeouts=LIMITS)
    at = Target.at(url, timeouts=LIMITS)
    for name, value in target.items():
        setattr(at, name, value)
    dialect = OpenAIChat()
    return dialect.reply(ask(at, dialect.request(asked or call(), endpoint)).exchange, endpoint)


FAULTS = [
    ("none", Outcome.OK, None),
    ("close-after", Outcome.OK, None),
    ("close-silently", Outcome.OK, None),
    ("until-close", Outcome.OK, None),
    ("content-length", Outcome.OK, None),
    ("continue", Outcome.OK, None),
    ("http-301", Outcome.HTTP_ERROR, "this status was asked for"),
    ("http-400", Outcome.HTTP_ERROR, "HTTP 400"),
    ("http-429", Outcome.HTTP_ERROR, "HTTP 429"),
    ("http-500", Outcome.HTTP_ERROR, "HTTP 500"),
    ("http-503", Outcome.HTTP_ERROR, "HTTP 503"),
    ("hang", Outcome.FIRST_BYTE_TIMEOUT, "no byte"),
    ("stall", Outcome.IDLE_TIMEOUT, "nothing more came"),
    ("truncated-json", Outcome.MALFORMED, "not a completion chunk"),
    ("wrong-shape", Outcome.MALFORMED, "not a completion chunk"),
    ("no-sse", Outcome.MALFORMED, "not a line of an event stream"),
    ("garbage", Outcome.MALFORMED, "HTTP/1.x"),
    ("invalid-utf8", Outcome.MALFORMED, "invalid UTF-8"),
    ("html", Outcome.MALFORMED, "a web page came"),
    ("bad-chunk", Outcome.MALFORMED, "not a chunk size"),
    ("endless-header", Outcome.MALFORMED, "headers are longer"),
    ("error-event", Outcome.STREAM_ERROR, "the engine died"),
    ("no-done", Outcome.MISSING_END, "without [DONE]"),
    ("end-early", Outcome.MISSING_END, "without [DONE]"),
    ("close", Outcome.TRUNCATED, "closed"),
    ("reset", Outcome.TRUNCATED, "reset"),
    ("short-body", Outcome.TRUNCATED, "closed"),
    ("endless", Outcome.TOO_LARGE, "longer than 100000 bytes"),
    ("endless-line", Outcome.TOO_LARGE, "longer than 100000 bytes"),
]
AT_ONCE = {"http-301", "http-400", "http-429", "http-500", "http-503", "hang", "html"}
AT_ONCE |= {"garbage", "endless-header"}


@pytest.mark.parametrize("crlf", [0, 1])
@pytest.mark.parametrize(("fault", "outcome", "message"), FAULTS)
def test_each_fault_ends_in_its_own_outcome(
    running: GroundTruthServer, fault: str, outcome: Outcome, message: str | None, crlf: int
) -> None:
    reply = answer(running.url(fault=fault, fault_at=3, crlf=crlf), max_body_bytes=100_000)
    assert reply.outcome is outcome, reply.failure
    assert reply.end_ns is not None
    if message is None:
        assert reply.failure is None
        assert (reply.text or "").endswith(" w001 w002 w003 w004 w005")
        return
    assert reply.failure is not None
    assert message in reply.failure.message
    # What had come before the fault is kept.
    if fault in AT_ONCE:
        assert (reply.text, reply.event_ns) == (None, ())
    else:
        assert (reply.text or "")[8:].startswith(" w001 w002")
        assert len(reply.event_ns) >= 3


def test_a_refusal_tells_when_to_try_again(running: GroundTruthServer) -> None:
    failure = answer(running.url(fault="http-429", retry_after_s=7)).failure
    assert failure is not None
    assert (failure.http_status, failure.retry_after_s, failure.code) == (429, 7.0, "fault")


def test_a_server_that_dies_cuts_the_answer_and_then_refuses() -> None:
    with ground_truth_server(ttft_ms=1, itl_ms=1, tokens=5) as server:
        reply = answer(server.url(fault="exit", fault_at=3))
        assert reply.outcome is Outcome.TRUNCATED
        assert (reply.text or "").endswith(" w002")
        server.process.wait(10)
        assert answer(server.base_url).outcome is Outcome.CONNECT_FAILED


def test_a_wrong_key_is_refused_and_not_repeated(running: GroundTruthServer) -> None:
    reply = answer(running.base_url, key="sk-wrong-key-0123456789")
    assert reply.outcome is Outcome.HTTP_ERROR
    assert reply.failure is not None
    assert (reply.failure.http_status, reply.failure.code) == (401, "invalid_request_error")
    assert "sk-wrong" not in reply.failure.message


def test_what_is_sent_is_what_the_server_received(running: GroundTruthServer) -> None:
    asked = call("wie geht's? 🙂", max_output_tokens=3, seed=5)
    answer(running.base_url, asked)
    endpoint = Endpoint(running.base_url, "ground-truth", key=Secret(KEY))
    assert running.last_request() == OpenAIChat().request(asked, endpoint)


# Good answers, against the server's log and the official client

VARIETY: list[dict[str, Any]] = [
    {},
    {"tokens": 1},
    {"tokens": 300},
    {"tokens": 0, "honour_max": 0},
    {"role_ms": 0},
    {"role_ms": 1, "header_ms": 1},
    {"header_ms": -1},
    {"header_ms": -1, "role_ms": 0},
    {"reasoning": 3},
    {"reasoning": 3, "reasoning_field": "reasoning"},
    {"reasoning": 2, "tokens": 1, "role_ms": 0},
    {"reasoning": 5, "per_event": 2},
    {"per_event": 3},
    {"per_event": 100},
    {"per_write": 4},
    {"per_write": 1000},
    {"per_event": 2, "per_write": 2, "tokens": 9},
    {"finish_event": 0},
    {"finish_event": 0, "usage": "never"},
    {"usage": "always"},
    {"usage": "never"},
    {"prompt_tokens": 0},
    {"prompt_tokens": 123456},
    {"crlf": 1},
    {"crlf": 1, "reasoning": 2, "role_ms": 0},
    {"split": 1},
    {"split": 7, "crlf": 1},
    {"split": 3, "per_write": 3},
    {"keepalive_ms": 1, "ttft_ms": 8},
    {"keepalive_ms": 1, "itl_ms": 3, "tokens": 3, "crlf": 1},
    {"fault": "content-length"},
    {"fault": "until-close", "split": 11},
    {"fault": "continue"},
    {"fault": "close-after", "tokens": 40, "per_write": 3},
]


@pytest.fixture(scope="module")
def client(running: GroundTruthServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=running.base_url, api_key=KEY, max_retries=0) as made:
        yield made


def by_the_official_client(
    client: openai.OpenAI, url: str, **limits: Any
) -> tuple[str, str, str | None, Usage | None, str]:
    """Text, reasoning, finish reason, usage and model as OpenAI's own client reads them."""
    text = thoughts = model = ""
    finish_reason = counts = None
    stream = client.with_options(base_url=url).chat.completions.create(
        model="ground-truth",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": True},
        **limits,
    )
    for chunk in stream:
        model = model or chunk.model
        if chunk.usage is not None:
            details = chunk.usage.completion_tokens_details
            counts = Usage(
                prompt_tokens=chunk.usage.prompt_tokens,
                completion_tokens=chunk.usage.completion_tokens,
                reasoning_tokens=details.reasoning_tokens if details is not None else None,
            )
        for choice in chunk.choices:
            text += choice.delta.content or ""
            extra = choice.delta.model_extra or {}
            thoughts += extra.get("reasoning_content") or extra.get("reasoning") or ""
            finish_reason = choice.finish_reason or finish_reason
    return text, thoughts, finish_reason, counts, model


@pytest.mark.parametrize(
    "settings", VARIETY, ids=lambda s: "&".join(f"{k}={v}" for k, v in s.items())
)
def test_a_good_answer_is_read_as_the_official_client_reads_it_and_as_it_was_written(
    running: GroundTruthServer, client: openai.OpenAI, settings: dict[str, Any]
) -> None:
    url = running.url(**settings)
    reply = answer(url)
    theirs = by_the_official_client(client, url)
    assert reply.outcome is Outcome.OK, reply.failure
    text, thoughts, finish_reason, counts, model = theirs
    # The first visible token names the request: all else is equal.
    assert (reply.text or "")[8:] == text[8:]
    assert reply.text or settings.get("tokens") == 0
    assert (reply.reasoning or "") == thoughts
    assert (reply.finish_reason, reply.usage, reply.model) == (finish_reason, counts, model)

    true = running.dump()[-2]
    assert (reply.text or "").startswith(f"r{true.id:07}" if reply.text else "")
    if reply.usage is not None:
        assert reply.usage.completion_tokens == true.tokens_written == true.tokens
    per_event = settings.get("per_event", 1)
    visible, hidden = true.tokens - true.reasoning, true.reasoning
    assert len(reply.event_ns) == -(-visible // per_event) + -(-hidden // per_event)
    assert (reply.first_reasoning_ns is None) == (hidden == 0)
    assert list(reply.event_ns) == sorted(reply.event_ns)


@pytest.mark.parametrize("limits", [{"max_tokens": 2}, {"max_tokens": 50}])
def test_a_limit_is_kept_alike(
    running: GroundTruthServer, client: openai.OpenAI, limits: dict[str, int]
) -> None:
    reply = answer(running.base_url, call(max_output_tokens=limits["max_tokens"]))
    text, _, finish_reason, counts, _ = by_the_official_client(client, running.base_url, **limits)
    assert (reply.text or "")[8:] == text[8:]
    assert (reply.finish_reason, reply.usage) == (finish_reason, counts)


def test_a_forced_length_is_reached(running: GroundTruthServer) -> None:
    reply = answer(running.base_url, call(forced_output_tokens=11))
    assert reply.usage is not None
    assert (reply.usage.completion_tokens, reply.finish_reason) == (11, "length")


def chunk(content: str | None = None, finish: str | None = None, **fields: Any) -> bytes:
    """A chunk with everything that the official client wants to see in one."""
    if content is not None:
        fields["content"] = content
    return event(
        {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "scripted",
            "choices": [{"index": 0, "delta": fields, "finish_reason": finish}],
        }
    )


SCRIPTS = {
    "any language": chunk("naïve ") + chunk("東京 🙂\u2028\n") + chunk(finish="stop") + DONE,
    "escapes": chunk("x").replace(b'"x"', b'"\\u6771\\ud83d\\ude42\\u0000\\/\\""')
    + chunk(finish="stop")
    + DONE,
    "comments": b": one\n\n" + chunk("a") + b":\n: two\n\n\n\n" + chunk("b", "stop") + DONE,
    "lines of data": chunk("a").replace(b', "model"', b',\ndata: "model"')
    + chunk("b", "stop")
    + DONE,
    "no space": chunk("a").replace(b"data: ", b"data:") + chunk("b", "stop") + b"data:[DONE]\n\n",
    "names and numbers": b"id: 7\nretry: 9\n" + chunk("a") + b"id: 8\n" + chunk("b", "stop") + DONE,
    "CR LF": (chunk("a") + b": c\n\n" + chunk("b", "stop") + DONE).replace(b"\n", b"\r\n"),
    "nothing but the end": chunk("", "stop", role="assistant") + DONE,
    "null content": chunk(role="assistant", content=None)
    + chunk("a")
    + chunk(finish="stop")
    + DONE,
    "a limit": chunk("a") + chunk(finish="length") + DONE,
    "both kinds": chunk("b", reasoning_content="a") + chunk(finish="stop") + DONE,
    "usage with details": chunk("a", "stop")
    + usage(9, 8, completion_tokens_details={"reasoning_tokens": 5}, total_tokens=17)
    + DONE,
    "unknown fields": chunk("a", "stop").replace(b'"id"', b'"new": [{}, null], "id"') + DONE,
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
@pytest.mark.parametrize("pieces", [1, 5])
def test_a_scripted_stream_is_read_as_the_official_client_reads_it(
    client: openai.OpenAI, script: bytes, pieces: int
) -> None:
    size = -(-len(script) // pieces)

    def serve(peer: Peer) -> None:
        while peer.read_request():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
            peer.send(b"Transfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(script), size):
                part = script[start : start + size]
                peer.send(b"%x\r\n%b\r\n" % (len(part), part))
            peer.send(b"0\r\n\r\n")

    with ScriptedServer(serve) as server:
        reply = answer(server.url)
        theirs = by_the_official_client(client, server.url)
    assert reply.outcome is Outcome.OK, reply.failure
    ours = (reply.text, reply.reasoning or "", reply.finish_reason, reply.usage)
    assert ours == theirs[:4]
