"""The words that every floor speaks in: what they promise and what they keep to themselves."""

from __future__ import annotations

import copy
import pickle
import traceback

import msgspec
import pytest

from minionbench.exchange import (
    Call,
    Endpoint,
    Exchange,
    Limits,
    Message,
    Outcome,
    Reply,
    Secret,
    Timeouts,
)

KEY = "sk-abcdefgh12345678"


def test_a_secret_shows_in_no_text_of_itself_or_of_what_holds_it() -> None:
    secret = Secret(KEY)
    endpoint = Endpoint("http://h/v1", "m", key=secret)
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret])):
        assert KEY not in shown
    assert KEY not in repr(endpoint)
    assert KEY not in repr(endpoint.key)
    assert secret.reveal() == KEY


@pytest.mark.parametrize(
    "write",
    [pickle.dumps, copy.copy, copy.deepcopy, msgspec.json.encode, msgspec.to_builtins],
)
def test_a_secret_cannot_be_written_or_copied(write: object) -> None:
    assert callable(write)
    with pytest.raises(TypeError) as caught:
        write(Secret(KEY))
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_base_url_is_kept_without_its_last_slash() -> None:
    assert Endpoint("http://h/v1/", "m").base_url == "http://h/v1"


def test_an_endpoint_has_limits_of_time_and_none_of_slots_unless_told() -> None:
    endpoint = Endpoint("http://h/v1", "m")
    assert endpoint.timeouts == Timeouts()
    assert endpoint.slots is None
    assert endpoint.extra_body == {}
    assert endpoint.dialect == "openai"


def test_the_default_time_outs_are_in_the_order_in_which_they_run_out() -> None:
    limits = Timeouts()
    assert 0 < limits.connect_s < limits.idle_s < limits.first_byte_s < limits.total_s


def test_the_first_and_last_token_are_those_of_any_kind() -> None:
    reply = Reply(
        outcome=Outcome.OK,
        planned_ns=0,
        first_event_ns=90,
        first_reasoning_ns=100,
        first_visible_ns=120,
        event_ns=(100, 110, 120),
        end_ns=140,
    )
    assert (reply.first_token_ns, reply.last_token_ns) == (100, 120)


def test_without_token_bearing_events_there_is_no_first_and_no_last_token() -> None:
    reply = Reply(outcome=Outcome.MISSING_END, planned_ns=0, first_event_ns=90, end_ns=140)
    assert reply.first_token_ns is None
    assert reply.last_token_ns is None


def test_of_a_fresh_exchange_nothing_has_been_observed() -> None:
    exchange = Exchange(planned_ns=5)
    assert exchange.planned_ns == 5
    unobserved = [
        name
        for name in Exchange.__slots__
        if name.endswith("_ns") and name not in ("planned_ns", "read_ns")
    ]
    assert len(unobserved) == 8
    assert {getattr(exchange, name) for name in unobserved} == {None}
    assert (exchange.status, exchange.outcome, exchange.failure) == (None, None, None)
    assert (exchange.body, exchange.reads, exchange.read_ns) == (b"", 0, [])


def test_a_call_cannot_be_changed_after_it_was_made() -> None:
    call = Call(side="local", messages=(Message("user", "hi"),), limits=Limits())
    with pytest.raises(AttributeError):
        call.round = 1  # type: ignore[misc]
