"""A good stream is read exactly; whatever is not one is no success, and says why."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.exchange import (
    Call,
    Endpoint,
    EngineTimings,
    Failure,
    Limits,
    Manners,
    Message,
    Outcome,
    Reasoning,
    Reply,
    Secret,
    Usage,
)
from minionbench.wire.openai import OpenAIChat
from tests.wire.support import (
    DONE,
    ENDPOINT,
    GOOD,
    call,
    delta,
    event,
    exchange_of,
    reply_to,
    usage,
)


def failed(reply: Reply, outcome: Outcome, message: str = "") -> None:
    assert reply.outcome is outcome
    assert reply.failure is not None
    assert message in reply.failure.message


# Requests


def sent(call: Call, endpoint: Endpoint = ENDPOINT) -> tuple[bytes, dict[str, Any]]:
    head, _, body = OpenAIChat().request(call, endpoint).partition(b"\r\n\r\n")
    fields: dict[str, Any] = json.loads(body)
    assert f"\r\nContent-Length: {len(body)}\r\n".encode() in head
    return head, fields


def test_a_call_asks_for_a_stream_with_usage_and_nothing_that_was_not_said() -> None:
    messages = (Message("system", "be brief"), Message("user", "hällo"))
    head, body = sent(Call(side="local", messages=messages, limits=Limits()))
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n")
    assert b"\r\nAccept-Encoding: identity\r\n" in head
    assert b"Authorization" not in head
    assert body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hällo"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
    }


def test_limits_are_told() -> None:
    _, body = sent(call(max_output_tokens=9, temperature=0.5, seed=3))
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (9, 0.5, 3)
    assert "ignore_eos" not in body


def test_the_likeliest_tokens_are_asked_for_where_the_server_tells_them() -> None:
    asking = call(likeliest=5)
    assert "logprobs" not in sent(asking)[1]
    endpoint = Endpoint("http://h/v1", "m", manners=Manners(logprobs=True))
    _, body = sent(asking, endpoint)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 5)
    assert "logprobs" not in sent(call(), endpoint)[1]


def test_a_forced_length_is_told_with_the_order_to_reach_it() -> None:
    _, body = sent(call(max_output_tokens=9, forced_output_tokens=5))
    assert (body["max_tokens"], body["ignore_eos"]) == (5, True)


def test_what_a_server_takes_differently_is_told_differently() -> None:
    manners = Manners(
        max_tokens_field="max_completion_tokens",
        temperature=False,
        seed=False,
        ignores_end=False,
        min_tokens_field="min_new_tokens",
        schema=False,
    )
    endpoint = Endpoint("http://h", "m", manners=manners)
    asked = msgspec.structs.replace(call(forced_output_tokens=5, seed=1), schema={})
    _, body = sent(asked, endpoint)
    assert set(body) == {
        *("model", "messages", "stream", "stream_options"),
        *("max_completion_tokens", "min_new_tokens"),
    }
    assert (body["max_completion_tokens"], body["min_new_tokens"]) == (5, 5)
    _, body = sent(call(max_output_tokens=5), endpoint)
    assert (body["max_completion_tokens"], "min_new_tokens" in body) == (5, False)


def test_reasoning_has_a_budget_of_its_own_above_that_of_the_answer() -> None:
    manners = Manners(switch="enable_thinking")

    def limit(reasoning: Reasoning | None, **limits: int) -> Any:
        endpoint = Endpoint("http://h", "m", manners=manners, reasoning=reasoning)
        return sent(call(**limits), endpoint)[1].get("max_tokens")

    assert limit(None, max_output_tokens=9) == 9
    assert limit(Reasoning(on=False), max_output_tokens=9) == 9
    assert limit(Reasoning(on=True), max_output_tokens=9) == 9 + 4_096
    assert limit(Reasoning(on=True, budget_tokens=100), max_output_tokens=9) == 109
    assert limit(Reasoning(on=True)) is None
    assert limit(Reasoning(on=True), forced_output_tokens=9) == 9


def test_reasoning_is_switched_as_the_server_takes_it() -> None:
    endpoint = Endpoint(
        "http://h",
        "m",
        manners=Manners(switch="enable_thinking"),
        reasoning=Reasoning(on=False),
        extra_body={"chat_template_kwargs": {"more": 1}},
    )
    _, body = sent(call(), endpoint)
    assert body["chat_template_kwargs"] == {"enable_thinking": False, "more": 1}


def test_a_header_of_the_user_stands_in_the_place_of_ours() -> None:
    headers = (("user-agent", "mine"), ("AUTHORIZATION", "Basic x"))
    endpoint = Endpoint("http://h", "m", key=Secret("sk-1"), headers=headers)
    head, _ = sent(call(), endpoint)
    assert head.lower().count(b"user-agent:") == head.lower().count(b"authorization:") == 1
    assert b"sk-1" not in head


def test_a_schema_is_asked_for_strictly() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    asked = msgspec.structs.replace(call(), schema=schema)
    _, body = sent(asked)
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": schema},
    }


def test_the_key_goes_into_one_header_and_the_users_headers_and_fields_are_added() -> None:
    endpoint = Endpoint(
        "http://h:81/x/",
        "m",
        key=Secret("sk-1"),
        headers=(("X-A", "b"),),
        extra_body={"cache_prompt": False, "temperature": 1},
    )
    head, body = sent(call(), endpoint)
    assert head.startswith(b"POST /x/chat/completions HTTP/1.1\r\nHost: h:81\r\n")
    assert head.count(b"sk-1") == 1
    assert b"\r\nAuthorization: Bearer sk-1\r\n" in head
    assert head.endswith(b"\r\nX-A: b")
    assert (body["cache_prompt"], body["temperature"]) == (False, 1)


def test_what_would_break_a_request_is_a_usage_error() -> None:
    for endpoint in (
        Endpoint("http://h", "m", key=Secret("sk\r\nX-Evil: 1")),
        Endpoint("http://h", "m", headers=(("X", "a\nb"),)),
        Endpoint("h", "m"),
    ):
        with pytest.raises(UsageError) as caught:
            OpenAIChat().request(call(), endpoint)
        assert "Evil" not in str(caught.value)
    with pytest.raises(UsageError, match="half a character"):
        OpenAIChat().request(call("\ud800"), ENDPOINT)


# Good streams


def test_a_good_stream_is_read_with_the_instant_of_each_event() -> None:
    reply = reply_to(*GOOD)
    assert (reply.outcome, reply.failure) == (Outcome.OK, None)
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("Hello", None, "stop")
    assert reply.usage == Usage(prompt_tokens=7, completion_tokens=2)
    assert reply.first_byte_ns == reply.first_event_ns == 1_000  # the role-only event
    assert reply.event_ns == (1_001, 1_002)
    assert (reply.first_visible_ns, reply.first_reasoning_ns) == (1_001, None)
    assert (reply.planned_ns, reply.admitted_ns, reply.sent_ns, reply.sent_end_ns) == (1, 2, 3, 4)
    assert reply.end_ns == 1_005
    assert reply.arrival is not None
    assert (reply.arrival.reads, reply.arrival.merged_events) == (6, 0)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_read_under_both_of_its_names(name: str) -> None:
    reply = reply_to(
        delta(role="assistant", content=None),
        delta(**{name: "Let "}),
        delta(**{name: "me see", "content": None}),
        delta("42"),
        delta(finish="stop", **{name: ""}),
        DONE,
    )
    assert reply.outcome is Outcome.OK
    assert (reply.text, reply.reasoning) == ("42", "Let me see")
    assert reply.event_ns == (1_001, 1_002, 1_003)
    assert (reply.first_reasoning_ns, reply.first_visible_ns) == (1_001, 1_003)
    assert reply.usage is None


def test_reasoning_under_both_names_at_once_is_not_taken_twice() -> None:
    reply = reply_to(delta(reasoning="x", reasoning_content="x"), delta(finish="stop"), DONE)
    assert reply.reasoning == "x"


def test_an_event_with_reasoning_and_text_is_one_event_of_both() -> None:
    reply = reply_to(delta("b", reasoning="a"), delta(finish="stop"), DONE)
    assert (reply.text, reply.reasoning, len(reply.event_ns)) == ("b", "a", 1)
    assert reply.first_visible_ns == reply.first_reasoning_ns == 1_000


def test_a_refusal_is_visible_text_and_no_success() -> None:
    reply = reply_to(delta(refusal="I will not"), delta(finish="stop"), DONE)
    failed(reply, Outcome.FILTERED, "the model refused to answer (finish reason stop)")
    assert (reply.text, reply.finish_reason) == ("I will not", "stop")


def test_an_answer_that_the_filter_stopped_keeps_its_text_and_is_no_success() -> None:
    reply = reply_to(delta("x"), delta(finish="content_filter"), usage(), DONE)
    failed(reply, Outcome.FILTERED, "the provider's filter stopped the answer")
    assert (reply.text, reply.finish_reason) == ("x", "content_filter")
    assert reply.usage is not None
    cut = reply_to(delta("x"), delta(finish="content_filter"))
    failed(cut, Outcome.MISSING_END)


def test_events_without_text_bear_no_token() -> None:
    reply = reply_to(
        b": keep-alive\n\n",
        delta(role="assistant"),
        delta(""),
        delta(content=None, tool_calls=None),
        event({"choices": []}),
        event({"choices": [{"index": 0, "delta": None}]}),
        event({"choices": [{"index": 0}]}),
        delta("x"),
        delta(finish="length"),
        usage(),
        DONE,
    )
    assert reply.outcome is Outcome.OK
    assert (reply.text, reply.event_ns, reply.finish_reason) == ("x", (1_007,), "length")
    assert reply.first_event_ns == 1_001  # a comment is no event


def test_an_empty_answer_is_an_answer() -> None:
    reply = reply_to(delta("", role="assistant"), delta(finish="stop"), usage(7, 0), DONE)
    assert (reply.outcome, reply.text, reply.event_ns) == (Outcome.OK, "", ())
    assert (reply.first_token_ns, reply.first_visible_ns) == (None, None)
    assert reply.usage == Usage(prompt_tokens=7, completion_tokens=0)


def test_the_finish_reason_may_come_with_the_last_token() -> None:
    reply = reply_to(delta("a"), delta("b", finish="length"), DONE)
    assert (reply.outcome, reply.text, reply.finish_reason) == (Outcome.OK, "ab", "length")


def test_usage_is_read_with_its_details() -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    assert reply_to(delta("x", finish="stop"), usage(9, 8, **details), DONE).usage == Usage(
        prompt_tokens=9, completion_tokens=8, cached_tokens=3, reasoning_tokens=5
    )


def test_tokens_written_to_a_cache_and_the_service_tier_are_read() -> None:
    counts = usage(9, 8, prompt_tokens_details={"cached_tokens": 3, "cache_write_tokens": 2})
    counts = counts.replace(b'"usage"', b'"service_tier": "flex", "usage"', 1)
    reply = reply_to(delta("x", finish="stop"), counts, DONE)
    assert reply.usage is not None
    assert (reply.usage.cache_write_tokens, reply.usage.service_tier) == (2, "flex")


def told(text: str, *tokens: tuple[str, dict[str, Any]]) -> bytes:
    """An event of text with the likeliest tokens in the place of each of its tokens."""
    content = [
        {"token": token, "top_logprobs": [{"token": t, "logprob": p} for t, p in top.items()]}
        for token, top in tokens
    ]
    choice = {"index": 0, "delta": {"content": text}, "logprobs": {"content": content}}
    return event({"choices": [choice]})


def test_the_likeliest_tokens_are_those_of_the_first_that_is_no_white_space() -> None:
    top = {"Yes": -0.5, "No": -1.5}
    reply = reply_to(
        told("\n", ("\n", {"\n": -0.1})),
        told(" Yes", (" ", {" ": -0.2}), ("Yes", top)),
        told(" or", ("or", {"or": -0.1})),
        usage(),
        event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        DONE,
    )
    assert reply.likeliest == tuple(top.items())


@pytest.mark.parametrize("odd", [{"content": [{"token": "a"}]}, "none", {"content": None}, 7])
def test_probabilities_of_another_form_are_not_known_and_no_failure(odd: object) -> None:
    choice = {"index": 0, "delta": {"content": "a"}, "logprobs": odd, "finish_reason": "stop"}
    reply = reply_to(event({"choices": [choice]}), DONE)
    assert (reply.outcome, reply.text, reply.likeliest) == (Outcome.OK, "a", None)


def test_a_provider_may_count_cached_tokens_in_a_field_of_its_own() -> None:
    counts = {"prompt_cache_hit_tokens": 4, "prompt_tokens_details": None}
    reply = reply_to(delta("x", finish="stop"), usage(9, 8, **counts), DONE)
    assert reply.usage is not None
    assert reply.usage.cached_tokens == 4


def test_of_counts_that_grow_with_the_answer_the_last_ones_hold() -> None:
    def chunk(completion: int) -> bytes:
        counts = {"prompt_tokens": 7, "completion_tokens": completion}
        return event({"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": counts})

    reply = reply_to(chunk(1), chunk(2), delta(finish="stop", content="") + usage(7, 3), DONE)
    assert reply.usage == Usage(prompt_tokens=7, completion_tokens=3)


def test_a_usage_of_null_is_no_usage() -> None:
    reply = reply_to(
        event({"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": None}),
        delta(finish="stop"),
        DONE,
    )
    assert (reply.outcome, reply.usage) == (Outcome.OK, None)


def test_the_engines_own_timings_are_read() -> None:
    timings = {
        "cache_n": 0,
        "prompt_n": 12,
        "prompt_ms": 3.5,
        "predicted_n": 20,
        "predicted_ms": 41,
        "predicted_per_second": 487.8,
    }
    reply = reply_to(
        delta("x"), event({"choices": [{"finish_reason": "stop"}], "timings": timings}), DONE
    )
    assert reply.engine == EngineTimings(
        cached_tokens=0, prompt_tokens=12, prompt_ms=3.5, predicted_tokens=20, predicted_ms=41.0
    )


def test_what_cannot_be_a_count_is_not_known() -> None:
    timings = {"cache_n": -1, "prompt_n": -1, "prompt_ms": -1.0, "predicted_ms": None}
    reply = reply_to(
        event({"choices": [{"finish_reason": "stop"}], "timings": timings}),
        usage(-1, 10**30),
        DONE,
    )
    assert reply.outcome is Outcome.OK
    assert reply.engine == EngineTimings()
    assert reply.usage == Usage()


def test_the_model_is_the_one_that_the_server_names_first() -> None:
    def named(model: str | None) -> bytes:
        return event({"model": model, "choices": [{"index": 0, "delta": {"content": "x"}}]})

    reply = reply_to(named(""), named(None), named("a"), named("b"), delta(finish="stop"), DONE)
    assert reply.model == "a"
    assert reply_to(*GOOD).model is None


def test_text_of_any_language_is_kept_as_it_came() -> None:
    text = 'naïve 東京 🙂 \u2028 \\n " \x07'
    reply = reply_to(delta(text), delta(finish="stop"), DONE)
    assert reply.text == text
    escaped = json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]})
    assert reply_to(b"data: " + escaped.encode() + b"\n\n", DONE).text == text


def test_a_character_cut_in_two_by_reads_is_whole() -> None:
    body = delta("東", finish="stop") + DONE
    middle = body.index("東".encode()) + 1
    assert reply_to(body[:middle], body[middle:]).text == "東"


def test_tokens_that_share_a_read_are_counted() -> None:
    reply = reply_to(delta("a") + delta("b"), delta("c") + delta(finish="stop") + DONE)
    assert reply.event_ns == (1_000, 1_000, 1_001)
    assert reply.arrival is not None
    assert (reply.arrival.merged_events, reply.arrival.first_merged) == (1, True)


def test_a_second_done_is_harmless() -> None:
    assert reply_to(*GOOD, DONE).outcome is Outcome.OK


def test_the_media_type_may_have_parameters() -> None:
    headers = {"content-type": "Text/Event-Stream; charset=utf-8", "content-encoding": "Identity"}
    assert reply_to(*GOOD, headers=headers).outcome is Outcome.OK


# Any good stream

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
tokens = st.lists(st.tuples(st.sampled_from(["content", "reasoning"]), words), max_size=6)
noise = st.sampled_from([b"", b"", b": keep-alive\n\n", b"\n", b":\n\n", b"id: 1\n\n"])
line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, str, str, int]:
    """A whole stream with the text, the reasoning, and the tokens' number that it holds."""
    said = draw(tokens)
    body = draw(st.sampled_from([b"", delta("", role="assistant")]))
    for kind, text in said:
        body += draw(noise) + delta(**{kind: text})
    body += delta(finish="stop") + draw(st.sampled_from([b"", usage(3, len(said))]))
    body += draw(noise) + DONE
    text = "".join(text for kind, text in said if kind == "content")
    thoughts = "".join(text for kind, text in said if kind == "reasoning")
    # Line ends of one kind or mixed: JSON holds none, so every line feed ends a line.
    first, *parts = body.split(b"\n")
    mixed, end = draw(st.booleans()), draw(line_ends)
    written = first
    for part in parts:
        end = draw(line_ends) if mixed else end
        # Behind a CR that ends a blank line's predecessor, LF would only make CR LF of it.
        written += (b"\r" if end == b"\n" and written.endswith(b"\r") else end) + part
    return written, text, thoughts, len(said)


@given(streams(), st.data())
def test_any_split_into_reads_gives_the_same_text_and_tokens(
    stream: tuple[bytes, str, str, int], data: st.DataObject
) -> None:
    body, text, thoughts, number = stream
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    reads = [body[a:b] for a, b in pairwise([0, *sorted(cuts), len(body)])]
    reply = reply_to(*reads)
    assert reply.outcome is Outcome.OK, reply.failure
    assert (reply.text, reply.reasoning or "", len(reply.event_ns)) == (text, thoughts, number)
    assert list(reply.event_ns) == sorted(reply.event_ns)
    at_once = reply_to(body)
    assert (reply.usage, reply.finish_reason) == (at_once.usage, at_once.finish_reason)


@given(streams())
def test_a_stream_that_is_cut_is_never_a_success(stream: tuple[bytes, str, str, int]) -> None:
    body, text, thoughts, _ = stream
    # Only the last line feed of a body in CR LF may be missing: CR by itself ends a line, too.
    whole = len(body) - body.endswith(b"\r\n")
    for length in range(whole):
        reply = reply_to(body[:length])
        assert reply.outcome in (Outcome.MALFORMED, Outcome.MISSING_END), body[:length]
        assert reply.failure is not None
        assert text.startswith(reply.text or "")
        assert thoughts.startswith(reply.reasoning or "")


# What is no success


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        ((*GOOD[:-1],), "without [DONE]"),
        ((delta("x"), DONE), "without a finish reason"),
        ((), "without [DONE]"),
        ((b": only\n\n", b": comments\n\n"), "without [DONE]"),
    ],
)
def test_a_stream_without_its_end_is_missing_it(reads: tuple[bytes, ...], message: str) -> None:
    failed(reply_to(*reads), Outcome.MISSING_END, message)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b'data: {"choices":[{"delta":{"content":" cut\n\n', "not a completion chunk"),
        (b'data: {"choices":"none","usage":[1,2]}\n\n', "$.choices"),
        (b'data: {"choices":[{"delta":{"content":5}}]}\n\n', "$.choices[0].delta.content"),
        (b'data: {"choices":[{"delta":{"content":["a"]}}]}\n\n', "content"),
        (b'data: {"choices":[{"delta":{"content":"\\ud800"}}]}\n\n', "not a completion chunk"),
        (b'data: {"choices":[{"delta":{"content":"a\tb"}}]}\n\n', "not a completion chunk"),
        (b'data: {"choices":[{"finish_reason":7}]}\n\n', "finish_reason"),
        (b'data: {"choices":[],"usage":{"prompt_tokens":"7"}}\n\n', "prompt_tokens"),
        (b'data: {"choices":[],"usage":{"prompt_tokens":7.5}}\n\n', "prompt_tokens"),
        (b'data: {"choices":[],"usage":{"prompt_tokens":NaN}}\n\n', "not a completion chunk"),
        (b'data: {"choices":[]} {"choices":[]}\n\n', "not a completion chunk"),
        (b"data: {}\n\n", "no choices"),
        (b'data: {"type":"ping"}\n\n', "no choices"),
        (b'data: {"choices":null}\n\n', "no choices"),
        (b"data: [1]\n\n", "not a completion chunk"),
        (b"data: null\n\n", "not a completion chunk"),
        (b"data: done\n\n", "not a completion chunk"),
        (b"data:\n\n", "not a completion chunk"),
        (b"data: [DONE] \n\n", "not a completion chunk"),
        (b'data: {"x":' + b"[" * 100_000 + b"\n\n", "not a completion chunk"),
        (b"data: {}\ndata: {}\n\n", "not a completion chunk"),
        (b"\x01 a line without a field\n\n", "not a line of an event stream"),
        (b"datta: {}\n\n", "not a line of an event stream"),
        (delta("other") + b"<html>\n\n", "not a line of an event stream"),
        (
            event({"choices": [{"index": 1, "delta": {"content": "b"}}]}),
            "a second answer",
        ),
        (
            event({"choices": [{"index": 0}, {"index": 1, "delta": {"content": "b"}}]}),
            "a second answer",
        ),
    ],
)
def test_an_event_that_is_not_what_the_protocol_says_is_malformed(bad: bytes, message: str) -> None:
    reply = reply_to(GOOD[0], GOOD[1], bad, *GOOD[2:])
    failed(reply, Outcome.MALFORMED, message)
    assert reply.text in ("Hel", "Helother")
    assert reply.event_ns[0] == 1_001
    assert reply.finish_reason is None


def test_lines_of_data_that_make_one_json_are_one_event() -> None:
    split = delta("x").replace(b'"choices"', b'\ndata: "choices"')
    assert split != delta("x")
    assert reply_to(split, delta(finish="stop"), DONE).text == "x"


@pytest.mark.parametrize(
    "bad", [b"\xff\xfe\xc3(", b"\xed\xa0\x80", b"\xc0\xaf", b"\xe6\x9d", b"\xf5\x80\x80\x80"]
)
def test_what_came_before_bytes_that_are_no_utf8_is_kept(bad: bytes) -> None:
    spoilt = delta("#").replace(b"#", bad)
    reply = reply_to(GOOD[0], GOOD[1], spoilt, *GOOD[2:])
    start = sum(map(len, GOOD[:2])) + spoilt.index(bad)
    failed(reply, Outcome.MALFORMED, f"invalid UTF-8 at byte {start}")
    assert (reply.text, reply.event_ns) == ("Hel", (1_001,))


def test_a_comment_that_is_no_utf8_spoils_a_stream_too() -> None:
    failed(reply_to(*GOOD[:3], b": \xff\n\n", *GOOD[3:]), Outcome.MALFORMED, "invalid UTF-8")


@pytest.mark.parametrize("late", [delta("more"), usage(), event({"choices": []})])
def test_events_after_done_are_malformed(late: bytes) -> None:
    failed(reply_to(*GOOD, late), Outcome.MALFORMED, "follow the stream's [DONE]")


@pytest.mark.parametrize("rest", [b"data: {}", b"data: {}\n", b"x", b": half a comment"])
def test_a_body_that_ends_inside_an_event_is_malformed(rest: bytes) -> None:
    failed(reply_to(*GOOD, rest), Outcome.MALFORMED, "ends inside an event")


@pytest.mark.parametrize(
    ("bad", "message", "code"),
    [
        (
            b'data: {"error":{"message":"the engine died","type":"T","code":500}}\n\n',
            "the engine died",
            "T",
        ),
        (b'data: {"error":"out of memory"}\n\n', "out of memory", None),
        (b'data: {"error":{}}\n\n', '{"error":{}}', None),
        (b'data: {"error":"x","choices":[]}\n\n', "x", None),
        (b'error: {"message":"slot lost","code":503}\n\n', "slot lost", "503"),
        (b'error: {"error":{"message":"slot lost","code":"c"}}\n\n', "slot lost", "c"),
        (b"error: it all went wrong\n\n", "it all went wrong", None),
        (b'event: error\ndata: {"error":{"message":"named"}}\n\n', "named", None),
        (b'event: error\ndata: {"message":"named","type":"T"}\n\n', "named", "T"),
        (b"event: error\ndata: only text\n\n", "only text", None),
        (b"event: error\n\n", "gave no reason", None),
        (b'data: {"object":"error","message":"old","code":400}\n\n', "old", "400"),
        (b'data: {"error":' + b"[" * 100 + b"]" * 100 + b"}\n\n", '{"error":[', None),
        (b"error: " + b"[" * 100_000 + b"\n\n", "[[[", None),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_error_inside_a_stream_is_the_servers_own(
    bad: bytes, message: str, code: str | None, end: bytes
) -> None:
    reply = reply_to(*[part.replace(b"\n", end) for part in (GOOD[0], GOOD[1], bad, DONE)])
    failed(reply, Outcome.STREAM_ERROR, message)
    assert reply.failure is not None
    assert reply.failure.code == code
    assert (reply.text, reply.event_ns) == ("Hel", (1_001,))


def test_an_error_after_done_is_an_error() -> None:
    failed(reply_to(*GOOD, event({"error": "late"})), Outcome.STREAM_ERROR, "late")


def test_an_error_of_null_is_none() -> None:
    chunk = event({"error": None, "choices": [{"delta": {"content": "x"}}]})
    assert reply_to(chunk, delta(finish="stop"), DONE).outcome is Outcome.OK


@pytest.mark.parametrize("reason", ["abort", "error", "insufficient_system_resource"])
def test_an_answer_that_the_server_broke_off_is_no_success(reason: str) -> None:
    reply = reply_to(delta("x"), delta(finish=reason), usage(), DONE)
    failed(reply, Outcome.STREAM_ERROR, reason)
    assert (reply.finish_reason, reply.text) == (reason, "x")


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "eos_token"])
def test_an_answer_that_ended_is_a_success_with_its_reason(reason: str) -> None:
    reply = reply_to(delta("x"), delta(finish=reason), DONE)
    assert (reply.outcome, reply.finish_reason) == (Outcome.OK, reason)


# Bodies that are no stream


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ({"content-type": "text/html"}, b"<html>Welcome</html>", "content type text/html"),
        ({"content-type": "text/plain"}, b"".join(GOOD), "content type text/plain"),
        ({}, b"".join(GOOD), "content type none"),
        ({"content-type": "application/json"}, b'{"choices":[]}', "begins '{\"choices\":[]}'"),
        ({"content-type": "application/json"}, b'{"error":null}', "application/json"),
        ({"content-type": "application/json"}, b"[" * 100_000, "application/json"),
        ({"content-type": "application/json"}, b"\xff", "application/json"),
        (
            {"content-type": "text/event-stream", "content-encoding": "gzip"},
            b"\x1f\x8b\x08",
            "compressed with gzip",
        ),
    ],
)
def test_a_success_status_with_another_body_is_malformed(
    headers: dict[str, str], body: bytes, message: str
) -> None:
    reply = reply_to(body, headers=headers)
    failed(reply, Outcome.MALFORMED, message)
    assert (reply.text, reply.event_ns, reply.first_event_ns) == (None, (), None)
    assert reply.first_byte_ns == 1_000


def test_a_success_status_with_an_error_object_is_the_servers_error() -> None:
    body = b'{"error":{"message":"no slot","code":503}}'
    reply = reply_to(body, headers={"content-type": "application/json"})
    failed(reply, Outcome.STREAM_ERROR, "no slot")
    assert reply.failure is not None
    assert (reply.failure.code, reply.failure.http_status) == ("503", 503)


def test_an_answer_without_a_body_is_missing_its_end() -> None:
    failed(reply_to(status=204, headers={}), Outcome.MISSING_END)


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
def test_any_other_status_is_an_error_even_with_a_good_body(status: int) -> None:
    reply = reply_to(*GOOD, status=status)
    failed(reply, Outcome.HTTP_ERROR, f"HTTP {status}")
    assert reply.failure is not None
    assert reply.failure.http_status == status
    assert (reply.text, reply.event_ns) == (None, ())


# What the connection did comes first


@pytest.mark.parametrize("outcome", [Outcome.TRUNCATED, Outcome.IDLE_TIMEOUT, Outcome.CUT])
def test_a_cut_answer_keeps_what_had_come(outcome: Outcome) -> None:
    exchange = exchange_of(GOOD[0], GOOD[1], GOOD[2][:-9])
    exchange.outcome, exchange.failure = outcome, Failure(message="why")
    reply = OpenAIChat().reply(exchange, ENDPOINT)
    failed(reply, outcome, "why")
    assert (reply.text, reply.event_ns, reply.first_visible_ns) == ("Hel", (1_001,), 1_001)


def test_a_cut_inside_a_character_is_a_cut() -> None:
    cut = delta("東").partition("東".encode())[0] + "東".encode()[:2]
    exchange = exchange_of(GOOD[1], cut)
    exchange.outcome, exchange.failure = Outcome.TRUNCATED, Failure(message="why")
    reply = OpenAIChat().reply(exchange, ENDPOINT)
    failed(reply, Outcome.TRUNCATED, "why")
    assert reply.text == "Hel"


def test_a_whole_stream_over_a_connection_that_broke_is_no_success() -> None:
    exchange = exchange_of(*GOOD)
    exchange.outcome, exchange.failure = Outcome.TRUNCATED, Failure(message="why")
    failed(OpenAIChat().reply(exchange, ENDPOINT), Outcome.TRUNCATED, "why")


def test_what_a_server_says_of_its_error_before_it_closes_is_told() -> None:
    exchange = exchange_of(GOOD[1], event({"error": "the engine died"}))
    exchange.outcome, exchange.failure = Outcome.TRUNCATED, Failure(message="why")
    failed(OpenAIChat().reply(exchange, ENDPOINT), Outcome.STREAM_ERROR, "the engine died")


def test_a_filter_that_stops_an_answer_before_the_server_closes_is_told() -> None:
    filtered = {"error": {"message": "no", "code": "content_filter"}}
    exchange = exchange_of(GOOD[1], event(filtered))
    exchange.outcome, exchange.failure = Outcome.TRUNCATED, Failure(message="why")
    failed(OpenAIChat().reply(exchange, ENDPOINT), Outcome.FILTERED, "no")


def test_of_several_failures_in_an_answer_the_first_counts() -> None:
    exchange = exchange_of(GOOD[1], event({"error": "the engine died"}), b"data: \xff\n\n")
    failed(OpenAIChat().reply(exchange, ENDPOINT), Outcome.STREAM_ERROR, "the engine died")


def test_a_call_that_was_never_sent_has_nothing_but_its_reason() -> None:
    exchange = exchange_of(status=None)
    exchange.outcome, exchange.failure = Outcome.NOT_SENT, Failure(message="the run ended")
    reply = OpenAIChat().reply(exchange, ENDPOINT)
    failed(reply, Outcome.NOT_SENT, "the run ended")
    assert (reply.text, reply.usage, reply.arrival) == (None, None, None)


# Hostile bytes

KEY = "sk-proj-0123456789abcdef0123456789abcdef"
KEYED = Endpoint("http://h", "m", key=Secret(KEY))


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([*GOOD, b"data: ", b"\n", b"\r", b"{", b"\xff", b"error: "])).map(
        b"".join
    ),
    st.sampled_from([200, 204, 301, 400, 503, None]),
    st.sampled_from(["text/event-stream", "application/json", "text/html", ""]),
    st.sampled_from([None, Outcome.TRUNCATED, Outcome.MALFORMED, Outcome.CUT]),
)
def test_any_bytes_become_a_reply_that_can_be_stored(
    body: bytes, status: int | None, kind: str, outcome: Outcome | None
) -> None:
    exchange = exchange_of(body, status=status, headers={"content-type": kind})
    exchange.outcome = outcome
    exchange.failure = Failure(message="why") if outcome else None
    reply = OpenAIChat().reply(exchange, KEYED)
    assert (reply.outcome is Outcome.OK) == (reply.failure is None)
    assert msgspec.json.decode(msgspec.json.encode(reply), type=Reply) == reply


def quoting(part: str) -> list[tuple[dict[str, Any], bytes]]:
    """Answers in which a server quotes a part of the key, at every place that a reply has."""
    text = part.encode()
    stream, page = {"content-type": "text/event-stream"}, {"content-type": "text/html"}
    wrapped = {"error": {"message": f"bad {part}", "code": part, "type": part}}
    return [
        ({"headers": stream}, delta(part) + delta(finish="stop") + DONE),
        ({"headers": stream}, delta(part[:9]) + delta(part[9:]) + delta(finish="stop") + DONE),
        ({"headers": stream}, delta(reasoning=part) + delta(finish="stop") + DONE),
        ({"headers": stream}, delta("x") + delta(finish=part) + DONE),
        ({"headers": stream}, event({"model": part, "choices": []}) + DONE),
        ({"headers": stream}, event(wrapped)),
        ({"headers": stream}, b"error: " + text + b"\n\n"),
        ({"headers": stream}, b"x" * 40 + text + b"\n\n"),
        ({"headers": stream}, b"data: " + text + b"\n\n"),
        ({"headers": stream}, b"data: {}" + text),
        ({"headers": stream}, text),
        ({"headers": page}, b"x" * 60 + text),
        ({"headers": {"content-type": part}}, b"x"),
        ({"headers": {"content-type": "text/event-stream", "content-encoding": part}}, b"x"),
        ({"status": 401}, json.dumps(wrapped).encode()),
        ({"status": 401}, json.dumps({"detail": part}).encode()),
        ({"status": 401}, b"x" * 480 + text),
        ({"status": 401}, text),
    ]


@pytest.mark.parametrize("part", [KEY, KEY[:12], KEY + KEY, f"Bearer {KEY}."])
def test_the_key_is_in_no_field_of_a_reply_even_where_the_server_quotes_it(part: str) -> None:
    for facts, body in quoting(part):
        reply = reply_to(body, endpoint=KEYED, **facts)
        shown = msgspec.json.encode(reply)
        assert KEY[:8].encode() not in shown, (facts, body, shown)
        assert KEY[20:].encode() not in shown, (facts, body, shown)


def test_the_key_is_not_in_what_the_transport_quotes_either() -> None:
    exchange = exchange_of()
    exchange.outcome = Outcome.MALFORMED
    exchange.failure = Failure(message=f"'x{KEY[:30]}' is not an HTTP/1.x status line")
    reply = OpenAIChat().reply(exchange, KEYED)
    assert reply.failure is not None
    assert reply.failure.message == "'x…' is not an HTTP/1.x status line"


def test_an_answer_is_not_changed_by_a_placeholder_for_a_key() -> None:
    endpoint = Endpoint("http://h", "m", key=Secret("lo"))
    assert reply_to(*GOOD, endpoint=endpoint).text == "Hello"
