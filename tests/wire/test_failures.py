"""What a server says when it refuses is kept, in one form, and never with the key."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.exchange import Failure
from minionbench.wire.failures import (
    MESSAGE_CHARACTERS,
    failure_of_error_object,
    failure_of_status,
    hide,
)
from tests.wire.support import exchange_of


def refused(body: bytes, status: int = 400, **headers: str) -> Failure:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return failure_of_status(exchange_of(body, status=status, headers=names))


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":{"message":"no such model","type":"t","code":"c"}}', "no such model", "c"),
        (b'{"error":{"message":"no such model","type":"t","code":null}}', "no such model", "t"),
        (b'{"error":{"message":"bad","code":400}}', "bad", "400"),
        (b'{"error":"model not found"}', "model not found", None),
        (
            b'{"object":"error","message":"old form","type":"BadRequest","code":400}',
            "old form",
            "400",
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
    failure = refused(body, 404)
    assert failure.message == f"HTTP 404: {message}"
    assert (failure.code, failure.http_status) == (code, 404)


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
    ],
)
def test_when_to_try_again_is_told_in_seconds_or_not_at_all(
    value: str, seconds: float | None
) -> None:
    assert refused(b"", 429, retry_after=value).retry_after_s == seconds


def test_milliseconds_go_before_seconds() -> None:
    failure = refused(b"", 429, retry_after="2", retry_after_ms="1500")
    assert failure.retry_after_s == 1.5


def test_without_the_header_nothing_is_known() -> None:
    assert refused(b"", 429).retry_after_s is None


def test_a_status_inside_an_error_object_is_kept() -> None:
    assert failure_of_error_object({"message": "x", "code": 503}, b"").http_status == 503
    assert failure_of_error_object({"message": "x", "code": 7}, b"").http_status is None
    assert failure_of_error_object({"message": "x", "code": "503"}, b"").http_status is None


def test_a_long_message_is_cut() -> None:
    failure = refused(b"x" * 10_000)
    assert failure.message == "HTTP 400: " + "x" * MESSAGE_CHARACTERS + "…"
    assert failure_of_error_object("y" * 10_000, b"").message == "y" * MESSAGE_CHARACTERS + "…"
    code = failure_of_error_object({"message": "m", "code": "c" * 10_000}, b"").code
    assert code is not None
    assert len(code) <= MESSAGE_CHARACTERS + 1


@pytest.mark.parametrize(
    "body", [b'{"error":' + b"[" * 100_000, b'{"error":1' + b"0" * 5_000 + b"}"]
)
def test_a_hostile_error_is_only_text(body: bytes) -> None:
    assert refused(body).message.startswith('HTTP 400: {"error":')


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
    failure = failure_of_error_object(error, raw)
    assert failure.message
    assert msgspec.json.decode(msgspec.json.encode(failure), type=Failure) == failure


@given(st.binary(max_size=100))
def test_any_body_of_an_error_becomes_a_failure_that_can_be_stored(body: bytes) -> None:
    failure = refused(body)
    assert failure.message.startswith("HTTP 400: ")
    assert msgspec.json.decode(msgspec.json.encode(failure), type=Failure) == failure


KEY = "sk-proj-0123456789abcdef"


def test_the_key_is_hidden_wherever_it_stands() -> None:
    assert hide(f"wrong key {KEY}, not {KEY}!", [KEY]) == "wrong key …, not …!"
    assert hide("nothing here", [KEY]) == "nothing here"
    assert hide("nothing here", []) == "nothing here"


@given(st.integers(8, len(KEY)), st.text(max_size=5), st.text(max_size=5))
def test_a_key_that_a_cut_quotation_left_in_part_is_hidden_too(
    length: int, before: str, after: str
) -> None:
    hidden = hide(f"{before} {KEY[:length]} {after}", [KEY])
    assert KEY[:8] not in hidden
    assert hidden == f"{before} … {after}"


def test_hiding_is_quick_however_often_a_server_repeats_the_key() -> None:
    assert hide(KEY * 200_000, [KEY]) == "…" * 200_000
    assert hide(KEY[:8] * 200_000, [KEY]) == "…" * 200_000


def test_a_placeholder_that_local_servers_take_for_a_key_is_no_secret() -> None:
    for placeholder in ("", "x", "EMPTY", "none"):
        assert hide("an EMPTY box, none of x", [placeholder]) == "an EMPTY box, none of x"
