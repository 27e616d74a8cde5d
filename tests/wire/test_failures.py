"""What a server says when it refuses is kept, in one form, and never with the key."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.exchange import Endpoint, Failure, Outcome, Secret
from minionbench.wire.failures import (
    MESSAGE_CHARACTERS,
    failure_of_error_event,
    failure_of_error_object,
    failure_of_status,
    outcome_of,
)
from tests.wire.support import exchange_of

WITH_KEY = Endpoint("http://h", "the-model", key=Secret("sk-0123456789abcdef"))


def refused(body: bytes, status: int = 418, **headers: str) -> Failure:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    exchange = exchange_of(body, status=status, headers=names)
    return failure_of_status(exchange, WITH_KEY)


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":{"message":"no such model","type":"t","code":"c"}}', "no such model", "c"),
        (b'{"error":{"message":"no such model","type":"t","code":null}}', "no such model", "t"),
        (b'{"error":{"message":"bad","code":400}}', "bad", "400"),
        (b'{"error":{"message":"bad","code":400,"type":"T"}}', "bad", "T"),
        (b'{"type":"error","error":{"type":"T","message":"bad"},"request_id":"r"}', "bad", "T"),
        (b'{"error":"model not found"}', "model not found", None),
        (
            b'{"object":"error","message":"old form","type":"BadRequest","code":400}',
            "old form",
            "BadRequest",
        ),
        (b'{"detail":"Not Found"}', "Not Found", None),
        (b'{"message":"plain"}', "plain", None),
        (b'{"error":{"code":true,"message":"x"}}', "x", None),
        (b'{"error":null}', '{"error":null}', None),
        (b'{"detail":[{"loc":["body"]}]}', '{"detail":[{"loc":["body"]}]}', None),
        (b'{"error":{"message":{"a":1}}}', '{"error":{"message":{"a":1}}}', None),
        (b"[1]", "[1]", None),
        (b"<html>Bad Gateway</html>\n", "<html>Bad Gateway</html>", None),
        (b"\xff\xfe", "\ufffd\ufffd", None),
        (b"", "the server gave no reason", None),
        (b" \n ", "the server gave no reason", None),
    ],
)
def test_the_message_and_code_of_an_error_are_found(
    body: bytes, message: str, code: str | None
) -> None:
    failure = refused(body)
    assert failure.message == f"HTTP 418: {message}"
    assert (failure.code, failure.http_status) == (code, 418)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (401, "HTTP 401, the key was refused: no"),
        (402, "HTTP 402, the account at the provider has no credit left: no"),
        (403, "HTTP 403, the key was refused for this request: no"),
        (
            404,
            "HTTP 404, the server does not know the model 'the-model', or nothing is at this URL: "
            "no",
        ),
        (413, "HTTP 413, the request is larger than the server takes: no"),
        (422, "HTTP 422: no"),
        (429, "HTTP 429, too many requests: no"),
        (500, "HTTP 500, the server failed: no"),
        (503, "HTTP 503, the server is overloaded or not ready: no"),
        (507, "HTTP 507, the server failed: no"),
        (529, "HTTP 529, the provider is overloaded: no"),
    ],
)
def test_what_a_status_means_is_said_in_words(status: int, meaning: str) -> None:
    assert refused(b'{"error":{"message":"no"}}', status).message == meaning
    assert refused(b"", status).message.startswith(meaning.removesuffix(": no"))


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_wants_a_key_is_told_from_one_that_refuses_it(status: int) -> None:
    exchange = exchange_of(b"", status=status, headers={})
    message = failure_of_status(exchange, Endpoint("http://h", "m")).message
    assert message == f"HTTP {status}, the server wants a key and none was set"


def test_a_prompt_that_the_filter_refuses_is_told_from_one_that_is_wrong() -> None:
    failure = refused(b'{"error":{"message":"no","code":"content_filter"}}', 400)
    assert failure.message == "HTTP 400, the provider's filter refused the prompt: no"


def test_a_quota_that_is_used_up_is_told_from_haste() -> None:
    body = b'{"error":{"message":"no","type":"insufficient_quota","code":"insufficient_quota"}}'
    failure = refused(body, 429)
    assert failure.message == "HTTP 429, the account's quota at the provider is used up: no"
    assert failure.code == "insufficient_quota"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "x", "code": "context_length_exceeded"}),
        (400, {"message": "x", "code": 400, "type": "exceed_context_size_error"}),
        (400, "This model's maximum context length is 8192 tokens. However, you requested 9000."),
        (400, "prompt is too long: 213462 tokens > 200000 maximum"),
        (400, "input length and `max_tokens` exceed context limit: 199000 + 8000 > 200000"),
        (400, "request (9412 tokens) exceeds the available context size (8192 tokens)"),
        (400, "the input length exceeds the context length"),
        (413, "The input (9 tokens) is longer than the model's context length (4 tokens)."),
        (500, "the prompt exceeds the context window"),
    ],
)
def test_a_prompt_that_is_too_long_is_recognised_in_each_servers_words(
    status: int, error: Any
) -> None:
    failure = refused(msgspec.json.encode({"error": error}), status)
    assert failure.message.startswith(
        f"HTTP {status}, the prompt is longer than the model's context"
    )
    assert failure.http_status == status
    inside = failure_of_error_event(error, b"")
    assert inside.message.startswith("the prompt is longer than the model's context")


@pytest.mark.parametrize(
    "message", ["context canceled", "the context was lost", "prompt is missing", "too long a name"]
)
def test_other_words_about_contexts_and_prompts_are_left_as_they_are(message: str) -> None:
    assert refused(msgspec.json.encode({"error": message}), 400).message == f"HTTP 400: {message}"


@pytest.mark.parametrize(
    ("location", "where"),
    [
        ("https://login.example.org/?key=sk-secret", "to https://login.example.org;"),
        ("http://me:pass@h:81/x", "to http://h:81;"),
        ("https://[::1]:9/x", "to https://[::1]:9;"),
        ("/other", "to another path;"),
        ("//evil", "to another path;"),
        ("http://h:notaport/", "to another path;"),
        ("javascript:alert(1)", "to another path;"),
    ],
)
def test_a_redirect_names_the_server_that_it_leads_to_and_nothing_more(
    location: str, where: str
) -> None:
    message = refused(b"", 302, location=location).message
    assert message == f"HTTP 302, the server redirects {where} correct the base URL"


def test_an_error_that_is_a_web_page_is_told_by_its_title() -> None:
    page = b"<html><head><TITLE>502 Bad\n Gateway</title></head><body>" + b"x" * 1_000
    assert refused(page, 502, content_type="text/html; charset=utf-8").message == (
        'HTTP 502, a gateway got no answer from the server: a web page, "502 Bad Gateway"'
    )
    assert refused(b"<html>", 418, content_type="text/html").message == "HTTP 418: a web page"


def test_the_filter_of_a_provider_is_told_by_its_code() -> None:
    filtered = failure_of_error_event({"message": "x", "code": "content_filter"}, b"")
    assert outcome_of(filtered, Outcome.HTTP_ERROR) is Outcome.FILTERED
    other = failure_of_error_event({"message": "x", "code": "c"}, b"")
    assert outcome_of(other, Outcome.HTTP_ERROR) is Outcome.HTTP_ERROR


def test_an_overload_inside_a_stream_has_the_status_that_it_would_have_had() -> None:
    event = {"type": "overloaded_error", "message": "Overloaded"}
    failure = failure_of_error_event(event, b"")
    assert failure == Failure(message="Overloaded", http_status=529, code="overloaded_error")
    assert failure_of_error_event({"type": "rate_limit_error"}, b"x").http_status == 429
    assert failure_of_error_event({}, b"").message == "the server gave no reason"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("0.5", 0.5),
        ("0", 0.0),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("²", None),
        ("1e3", None),
        ("nan", None),
        ("2, 3", None),
        ("9" * 400, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("Wed, 41 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_when_to_try_again_is_told_in_seconds_or_not_at_all(
    value: str, seconds: float | None
) -> None:
    assert refused(b"", 429, retry_after=value).retry_after_s == seconds


def test_milliseconds_go_before_seconds() -> None:
    failure = refused(b"", 429, retry_after="2", retry_after_ms="1500")
    assert failure.retry_after_s == 1.5


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Wed, 21 Oct 2026 07:27:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 0.0),
        ("Wed, 21 Oct 2026 07:27:30 -0000", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_date_to_try_again_counts_from_the_date_of_the_answer(
    date: str, seconds: float | None
) -> None:
    failure = refused(b"", 429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT", date=date)
    assert failure.retry_after_s == seconds


def test_without_the_header_nothing_is_known() -> None:
    assert refused(b"", 429).retry_after_s is None


def test_a_status_inside_an_error_object_is_kept() -> None:
    assert failure_of_error_object({"message": "x", "code": 503}, b"").http_status == 503
    assert failure_of_error_object({"message": "x", "code": 7}, b"").http_status is None
    assert failure_of_error_object({"message": "x", "code": "503"}, b"").http_status is None


def test_a_long_message_is_cut() -> None:
    failure = refused(b"x" * 10_000)
    assert failure.message == "HTTP 418: " + "x" * MESSAGE_CHARACTERS + "…"
    assert failure_of_error_object("y" * 10_000, b"").message == "y" * MESSAGE_CHARACTERS + "…"
    code = failure_of_error_object({"message": "m", "code": "c" * 10_000}, b"").code
    assert code is not None
    assert len(code) <= MESSAGE_CHARACTERS + 1


@pytest.mark.parametrize(
    "body", [b'{"error":' + b"[" * 100_000, b'{"error":1' + b"0" * 5_000 + b"}"]
)
def test_a_hostile_error_is_only_text(body: bytes) -> None:
    assert refused(body).message.startswith('HTTP 418: {"error":')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
errors = st.dictionaries(
    st.sampled_from(["error", "message", "code", "type", "detail"]), json_values, max_size=4
)


@given(errors | st.dictionaries(st.just("error"), errors) | json_values, st.binary(max_size=20))
def test_any_error_object_becomes_a_failure_that_can_be_stored(error: Any, raw: bytes) -> None:
    for failure in (failure_of_error_object(error, raw), failure_of_error_event(error, raw)):
        assert msgspec.json.decode(msgspec.json.encode(failure), type=Failure) == failure
    assert failure.message


@given(st.binary(max_size=100))
def test_any_body_of_an_error_becomes_a_failure_that_can_be_stored(body: bytes) -> None:
    failure = refused(body)
    assert failure.message.startswith("HTTP 418: ")
    assert msgspec.json.decode(msgspec.json.encode(failure), type=Failure) == failure
