"""Every dialect reads good answers exactly, cuts and spoilt bytes as failures, and many at once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minionbench.exchange import (
    Endpoint,
    Exchange,
    Failure,
    Manners,
    Outcome,
    Reply,
    Secret,
)
from minionbench.metrics.request import hides_reasoning
from minionbench.wire.dialect import dialect
from minionbench.wire.reading import Grammar, Reading
from tests.wire.streams import (
    DIALECTS,
    FINISH_REASONS,
    MEDIA_TYPE,
    Hand,
    Said,
    answers,
    expected_usage,
    hands,
    written,
)
from tests.wire.support import exchange_of

ENDPOINT = Endpoint("http://h/v1", "m")
every_dialect = pytest.mark.parametrize("name", DIALECTS)


def headers_of(name: str) -> dict[str, str]:
    return {"content-type": MEDIA_TYPE[name]}


def read(name: str, *reads: bytes, endpoint: Endpoint = ENDPOINT, **facts: Any) -> Reply:
    facts.setdefault("headers", headers_of(name))
    return dialect(name).reply(exchange_of(*reads, **facts), endpoint)


def read_one_by_one(name: str, exchange: Exchange) -> Reply:
    """The reply when every frame is decoded by itself."""
    reading = Reading(exchange, cast(Grammar, dialect(name)), patience=0)
    reading.read()
    reading.conclude()
    return reading.reply(ENDPOINT)


def holds(reply: Reply, name: str, said: Said) -> None:
    assert reply.outcome is Outcome.OK, reply.failure
    assert (reply.text, reply.reasoning or "") == (said.visible, said.reasoning)
    assert len(reply.event_ns) == len(said.tokens)
    assert list(reply.event_ns) == sorted(reply.event_ns)
    assert reply.finish_reason == FINISH_REASONS[name][said.cut]
    assert reply.cut_at_limit is said.cut
    assert (reply.usage, reply.model) == (expected_usage(name, said), said.model)


@every_dialect
@given(data=st.data())
def test_any_split_into_reads_gives_the_same_reply(name: str, data: st.DataObject) -> None:
    said = data.draw(answers(name))
    line_ends = (b"\n", b"\r\n") if name == "ollama" else (b"\n", b"\r\n", b"\r")
    body = b"".join(written(name, said, data.draw(hands(name, line_ends))))
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    reads = [body[a:b] for a, b in pairwise([0, *sorted(cuts), len(body)])]
    holds(read(name, *reads), name, said)


@every_dialect
@settings(max_examples=6)
@given(data=st.data())
def test_an_answer_that_is_cut_anywhere_is_no_success(name: str, data: st.DataObject) -> None:
    said = data.draw(answers(name))
    body = b"".join(written(name, said, data.draw(hands(name))))
    # Of the last line end, a part is enough for an event, and none is needed for a line.
    whole = len(body.rstrip(b"\n") if name == "ollama" else body) - body.endswith(b"\r\n")
    for length in range(whole):
        reply = read(name, body[:length])
        assert reply.outcome in (Outcome.MALFORMED, Outcome.MISSING_END), body[:length]
        assert reply.failure is not None
        assert said.visible.startswith(reply.text or "")
        assert said.reasoning.startswith(reply.reasoning or "")
    holds(read(name, body[:whole]), name, said)


def long_answer(name: str, *, reasoning: bool = True) -> Said:
    kinds = ["reasoning"] * 40 if reasoning and name != "completions" else []
    kinds += ["visible"] * 120
    return Said(tuple((kind, f" w{i:03}") for i, kind in enumerate(kinds)))


def frames_decoded(name: str, events: list[bytes]) -> list[bytes]:
    """What was decoded by itself in reading this answer, probes included."""
    decoded: list[bytes] = []
    grammar = cast(Any, dialect(name))
    original = grammar.said
    grammar.said = lambda data: decoded.append(data) or original(data)
    Reading(exchange_of(*events, headers=headers_of(name)), cast(Grammar, grammar)).read()
    return decoded


@every_dialect
@pytest.mark.parametrize("hand", [Hand(), Hand(spaced=True, line_end=b"\r\n")])
def test_what_repeats_is_read_without_decoding_each_frame(name: str, hand: Hand) -> None:
    said = long_answer(name)
    events = written(name, said, hand)
    holds(read(name, *events), name, said)
    decoded = frames_decoded(name, events)
    # Besides those that bear no token: the first few and the last of each kind, and the probes.
    assert len(decoded) < len(events) - len(said.tokens) + 12


@every_dialect
@given(data=st.data())
def test_reading_many_at_once_is_reading_them_one_by_one(name: str, data: st.DataObject) -> None:
    said = data.draw(answers(name))
    hand = data.draw(hands(name))
    events = written(name, said, hand)
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=9))
    reads = []
    while events:
        size = sizes[len(reads) % len(sizes)]
        reads.append(b"".join(events[:size]))
        del events[:size]
    exchange = exchange_of(*reads, headers=headers_of(name))
    assert read(name, *reads) == read_one_by_one(name, exchange)


SPOILERS = (
    *(
        b'"',
        b"\\",
        b"\\\\",
        b"\n",
        b"\n\n",
        b"\r",
        b"\t",
        b"\xff",
        b"\x00",
        b"{",
        b"}",
        b"7",
        b"01",
    ),
    *(b"-1", b'"text"', b'"delta":"x"', b'\\"', b"\\u00", b'","content":"y', b"null", b"data: "),
    *(b'"content":""', b"event: error", b"\xe6\x9d\xb1", b"~", b"\xc2\x85"),
)


@st.composite
def spoilt(draw: st.DrawFn, name: str) -> bytes:
    """A long answer in which a few bytes were exchanged, taken out or put in."""
    kind = "visible" if name == "completions" else draw(st.sampled_from(["visible", "reasoning"]))
    said = Said(tuple((kind, draw(st.sampled_from([" a", "b", "7"]))) for _ in range(12)))
    body = bytearray(b"".join(written(name, said, draw(hands(name)))))
    parts = st.sampled_from(SPOILERS)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        length = draw(st.sampled_from([0, 0, 1, 2, 30]))
        body[at : at + length] = draw(parts)
    return bytes(body)


@every_dialect
@settings(max_examples=150)
@given(data=st.data())
def test_spoilt_answers_are_read_alike_at_once_and_one_by_one(
    name: str, data: st.DataObject
) -> None:
    body = data.draw(spoilt(name))
    exchange = exchange_of(body[: len(body) // 2], body[len(body) // 2 :], headers=headers_of(name))
    at_once = dialect(name).reply(exchange, ENDPOINT)
    assert at_once == read_one_by_one(name, exchange)
    assert (at_once.outcome is Outcome.OK) == (at_once.failure is None)


TRICKS = {
    "a name written twice": ('"content": " a"', '"cont\\u0065nt": "b", "content": " a"'),
    "a name written twice, the other last": (
        '"content": " a"',
        '"content": " a", "cont\\u0065nt": "b"',
    ),
    "the same name elsewhere": ('"index": 0', '"index": 0, "other": {"content": "c"}'),
    "reasoning beside it": ('"content": " a"', '"content": " a", "reasoning": "r"'),
    "two events in one": ('"content": " a"', '"content": " a"}}]}\n\ndata: {"choices": [{"x": {'),
    "a number with zeros": ('"index": 0', '"index": 00'),
    "a count in every chunk": ('"created": 1', '"usage": {"completion_tokens": 1}'),
    "a finish reason in every chunk": ('"finish_reason": null', '"finish_reason": "stop"'),
    "only escapes": ('" a"', '"\\u0020\\u0061"'),
    "a quote": ('" a"', '" \\"a\\" "'),
}


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
@pytest.mark.parametrize("turns", ["all", "every second", "one"])
def test_no_trick_of_json_makes_reading_at_once_differ(trick: tuple[str, str], turns: str) -> None:
    said = Said((("visible", " a"),) * 40)
    events = written("openai", said, Hand(spaced=True))
    old, new = (part.encode() for part in trick)
    chosen = {"all": range(2, 40), "every second": range(2, 40, 2), "one": [20]}[turns]
    for index in chosen:
        assert old in events[index]
        events[index] = events[index].replace(old, new)
    exchange = exchange_of(*events)
    assert read("openai", *events) == read_one_by_one("openai", exchange)


def test_frames_that_are_never_alike_are_read_all_the_same() -> None:
    said = Said(tuple(("visible", f"{i}") for i in range(200)))
    events = written("openai", said, Hand())
    spaced = [event.replace(b'"created":1', b'"created":%d' % i) for i, event in enumerate(events)]
    holds(read("openai", *spaced), "openai", said)


def test_a_field_that_comes_later_between_the_slots_costs_one_more_stencil() -> None:
    said = long_answer("ollama", reasoning=False)
    events = written("ollama", said, Hand())
    events[3:] = [event.replace(b',"message"', b',"host":"x","message"') for event in events[3:]]
    decoded = frames_decoded("ollama", events)
    assert len(decoded) < 20


def test_padding_of_its_own_in_each_frame_does_not_keep_them_apart() -> None:
    said = long_answer("openai", reasoning=False)
    events = [
        event.replace(b'"usage":null', b'"obfuscation":"%b"' % (b"aB3" * (i % 7 + 1)))
        for i, event in enumerate(written("openai", said, Hand()))
    ]
    assert read("openai", *events) == read_one_by_one("openai", exchange_of(*events))
    holds(read("openai", *events), "openai", said)


@pytest.mark.parametrize("pattern", ["ab", "aabb", "aab", "aaaaaaaaab", "abcdefghijklmnop"])
def test_an_answer_of_changing_shapes_is_read_in_time_that_grows_with_its_length(
    pattern: str,
) -> None:
    """Thirty thousand frames, five megabytes: a moment, unless each is looked for in the rest."""
    said = Said((("visible", "x"),) * 30_000)
    events = written("openai", said, Hand())
    for index in range(1, len(said.tokens) + 1):
        shape = pattern[index % len(pattern)]
        events[index] = events[index].replace(b'"cmpl-1"', f'"cmpl-{shape}"'.encode())
    holds(read("openai", *events), "openai", said)


# Any bytes

every_fragment = st.sampled_from(
    [b"data: ", b"event: error\n", b"\n", b"\n\n", b"\r", b"{", b"}", b"\xff", b"[DONE]", b"null"]
    + [part for name in DIALECTS for part in written(name, Said((("visible", "x"),)), Hand())]
)


@every_dialect
@settings(max_examples=150)
@given(
    body=st.binary(max_size=200) | st.lists(every_fragment, max_size=8).map(b"".join),
    status=st.sampled_from([200, 200, 204, 302, 400, 429, 503, None]),
    kind=st.sampled_from([*MEDIA_TYPE.values(), "application/json", "text/html", ""]),
    outcome=st.sampled_from([None, None, Outcome.TRUNCATED, Outcome.MALFORMED, Outcome.CUT]),
)
@example(body=b'{"error":' + b"[" * 10**5, status=200, kind="application/json", outcome=None)
@example(body=b"[" * 10**5, status=200, kind="application/x-ndjson", outcome=None)
def test_any_bytes_become_a_reply_that_can_be_stored(
    name: str, body: bytes, status: int | None, kind: str, outcome: Outcome | None
) -> None:
    exchange = exchange_of(body, status=status, headers={"content-type": kind})
    exchange.outcome = outcome
    exchange.failure = Failure(message="why") if outcome else None
    reply = dialect(name).reply(exchange, ENDPOINT)
    assert (reply.outcome is Outcome.OK) == (reply.failure is None)
    assert msgspec.json.decode(msgspec.json.encode(reply), type=Reply) == reply
    if outcome is not None or (status is not None and status >= 300):
        assert reply.outcome is not Outcome.OK


@every_dialect
@given(body=st.binary(max_size=300))
def test_arbitrary_bytes_are_never_a_success(name: str, body: bytes) -> None:
    assert read(name, body).outcome in (
        Outcome.MALFORMED,
        Outcome.MISSING_END,
        Outcome.STREAM_ERROR,
    )


@every_dialect
@pytest.mark.parametrize("bad", [b"\xff\xfe\xc3(", b"\xed\xa0\x80", b"\xc0\xaf", b"\xe6\x9d"])
def test_bytes_that_are_no_utf8_end_the_reading_of_a_run(name: str, bad: bytes) -> None:
    said = long_answer(name, reasoning=False)
    events = written(name, said, Hand())
    at = next(i for i, event in enumerate(events) if b" w090" in event)
    events[at] = events[at].replace(b" w090", bad)
    reply = read(name, *events)
    start = sum(map(len, events[:at])) + events[at].index(bad)
    assert reply.outcome is Outcome.MALFORMED
    assert reply.failure is not None
    assert f"invalid UTF-8 at byte {start}" in reply.failure.message
    assert (reply.text or "").endswith(" w089")
    assert len(reply.event_ns) == 90


@every_dialect
def test_an_answer_that_goes_on_after_its_end_is_malformed(name: str) -> None:
    events = written(name, long_answer(name, reasoning=False), Hand())
    more = next(event for event in events if b" w001" in event)
    reply = read(name, *events, more, more, more)
    assert reply.outcome is Outcome.MALFORMED
    assert reply.failure is not None
    assert "events follow the stream's" in reply.failure.message


# Statuses

KEY = "sk-proj-0123456789abcdef"


@every_dialect
@pytest.mark.parametrize("outcome", [Outcome.TRUNCATED, Outcome.IDLE_TIMEOUT, Outcome.MALFORMED])
def test_a_refusal_whose_text_was_cut_is_still_that_refusal(name: str, outcome: Outcome) -> None:
    exchange = exchange_of(b'{"error":{"mess', status=429, headers={"retry-after": "7"})
    exchange.outcome, exchange.failure = outcome, Failure(message="the connection closed")
    reply = dialect(name).reply(exchange, ENDPOINT)
    assert reply.outcome is Outcome.HTTP_ERROR
    assert reply.failure is not None
    assert (reply.failure.http_status, reply.failure.retry_after_s) == (429, 7.0)
    assert reply.failure.message.endswith("(its text was cut: the connection closed)")


def test_a_refusal_that_we_cut_ourselves_is_cut_and_keeps_its_status() -> None:
    exchange = exchange_of(b"", status=503, headers={})
    exchange.outcome, exchange.failure = Outcome.CUT, Failure(message="the run ended")
    reply = dialect("openai").reply(exchange, ENDPOINT)
    assert reply.outcome is Outcome.CUT
    assert reply.failure is not None
    assert reply.failure.http_status == 503
    assert reply.failure.message.startswith("the run ended")


@every_dialect
def test_a_filter_that_refuses_the_prompt_is_no_fault_of_the_request(name: str) -> None:
    body = b'{"error":{"code":"content_filter","message":"flagged"}}'
    reply = read(name, body, status=400, headers={})
    assert reply.outcome is Outcome.FILTERED
    assert reply.failure is not None
    assert (reply.failure.http_status, reply.failure.code) == (400, "content_filter")


@every_dialect
@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "text/plain"])
def test_a_login_page_is_malformed_and_said_to_be_a_page(name: str, kind: str) -> None:
    page = b"\n <!DOCTYPE html><html><title>Hotel</title>"
    reply = read(name, page, headers={"content-type": kind})
    assert reply.outcome is Outcome.MALFORMED
    assert reply.failure is not None
    assert reply.failure.message.startswith("a web page came instead of an answer")
    assert reply.text is None


@every_dialect
@pytest.mark.parametrize("header", ["x-request-id", "request-id"])
@pytest.mark.parametrize("status", [200, 500])
def test_the_providers_name_of_a_call_is_kept(name: str, header: str, status: int) -> None:
    events = written(name, Said((("visible", "x"),)), Hand())
    headers = headers_of(name) | {header: "req-7"}
    assert read(name, *events, status=status, headers=headers).request_id == "req-7"
    assert read(name, *events).request_id is None


@every_dialect
def test_what_a_header_carries_as_a_secret_is_hidden_like_the_key(name: str) -> None:
    endpoint = Endpoint("http://h", "m", key=Secret(KEY), headers=(("X-Api-Token", "t" * 20),))
    text = f"not {KEY} nor {'t' * 20}"
    events = written(name, Said((("visible", text),) * 3), Hand())
    shown = msgspec.json.encode(read(name, *events, endpoint=endpoint))
    assert KEY.encode() not in shown
    assert b"tttttttt" not in shown
    refused = read(name, text.encode(), status=401, headers={}, endpoint=endpoint)
    assert refused.failure is not None
    assert refused.failure.message == "HTTP 401, the key was refused: not … nor ……"


@pytest.mark.parametrize("name", ["openai", "completions", "anthropic"])
def test_where_a_server_sends_no_closing_mark_its_finish_reason_closes(name: str) -> None:
    endpoint = Endpoint("http://h", "m", manners=Manners(closing_mark=False))
    said = Said((("visible", "x"),))
    events = written(name, said, Hand())
    holds(read(name, *events[:-1], endpoint=endpoint), name, said)
    assert read(name, *events[:-1]).outcome is Outcome.MISSING_END
    assert read(name, *events[:1], endpoint=endpoint).outcome is Outcome.MISSING_END


@pytest.mark.parametrize("name", ["openai", "anthropic", "ollama"])
def test_a_summary_of_reasoning_is_text_but_no_tokens_arrival(name: str) -> None:
    said = Said(
        (("reasoning", "let "), ("reasoning", "me see"), ("visible", "7"), ("visible", "!"))
    )
    frames = written(name, said, Hand())
    plain = read(name, *frames)
    assert plain.first_reasoning_ns is not None
    assert not plain.summarised
    told = read(name, *frames, endpoint=Endpoint("http://h", "m", manners=Manners(summarised=True)))
    assert told.outcome is Outcome.OK
    assert (told.text, told.reasoning) == (plain.text, plain.reasoning) == ("7!", "let me see")
    assert told.summarised
    assert told.first_reasoning_ns is None
    assert told.event_ns == plain.event_ns[2:]
    assert hides_reasoning(told)
    assert not hides_reasoning(plain)
