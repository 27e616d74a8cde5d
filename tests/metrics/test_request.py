"""Quantities of one reply, against numbers worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.exchange import Outcome, Usage
from minionbench.metrics import request
from minionbench.metrics.request import Absence, NegativeInterval, Quantity
from tests.making import ns, reply

DURATIONS = (
    request.ttft_s,
    request.ttfo_s,
    request.total_latency_s,
    request.response_time_s,
    request.tpot_s,
    request.decode_tokens_per_s,
    request.itl_s,
    request.icl_s,
)


def test_each_quantity_has_its_own_interval() -> None:
    one = reply(planned=2, admitted=5, sent=10, events=[110, 130, 150], end=170)
    assert request.ttft_s(one) == pytest.approx(0.100)
    assert request.ttfo_s(one) == pytest.approx(0.100)
    assert request.total_latency_s(one) == pytest.approx(0.140)  # not the end: that is 0.160
    assert request.response_time_s(one) == pytest.approx(0.148)
    assert request.tpot_s(one) == pytest.approx(0.020)
    assert request.decode_tokens_per_s(one) == pytest.approx(50)
    assert request.itl_s(one) == pytest.approx((0.020, 0.020))
    assert request.icl_s(one) == pytest.approx((0.020, 0.020))
    assert request.queueing_s(one) == pytest.approx(0.003)
    assert request.start_lag_ns(one) == ns(5)


def test_reasoning_is_a_first_token_but_no_output() -> None:
    one = reply(sent=0, reasoning=[40, 60], events=[100, 120], reasoning_tokens=2)
    assert request.ttft_s(one) == pytest.approx(0.040)
    assert request.ttfo_s(one) == pytest.approx(0.100)
    assert request.tpot_s(one) == pytest.approx(0.080 / 3)


def test_hidden_reasoning_leaves_ttfo_and_total_latency() -> None:
    """Tokens that were counted, but not streamed: the first token was generated unseen."""
    one = reply(sent=0, events=[100, 120], tokens=40, reasoning_tokens=38)
    for quantity in (
        request.ttft_s,
        request.tpot_s,
        request.decode_tokens_per_s,
        request.itl_s,
    ):
        assert quantity(one) is None
        assert quantity.or_absence(one) is Absence.HIDDEN_REASONING
    assert request.ttfo_s(one) == pytest.approx(0.100)
    assert request.total_latency_s(one) == pytest.approx(0.120)
    assert request.icl_s(one) == pytest.approx((0.020,))


def test_no_reasoning_tokens_hide_nothing() -> None:
    assert request.ttft_s(reply(sent=0, events=[100], reasoning_tokens=0)) == pytest.approx(0.1)


def test_an_answer_of_reasoning_alone_has_no_first_output() -> None:
    one = reply(sent=0, reasoning=[40, 60], events=[])
    assert request.ttft_s(one) == pytest.approx(0.040)
    assert request.ttfo_s.or_absence(one) is Absence.NO_VISIBLE_TOKEN


def test_tokens_are_never_guessed_from_events() -> None:
    uncounted = reply(events=[110, 130, 150], tokens=None)
    assert request.tpot_s.or_absence(uncounted) is Absence.NO_USAGE
    assert request.decode_tokens_per_s.or_absence(uncounted) is Absence.NO_USAGE
    assert request.itl_s.or_absence(uncounted) is Absence.NO_USAGE
    assert request.total_latency_s(uncounted) == pytest.approx(0.140)
    assert request.output_tokens(uncounted) is None
    assert request.output_tokens(reply(usage=None)) is None


def test_time_per_token_goes_by_the_servers_count() -> None:
    # 9 tokens in 3 events over 40 ms: 8 gaps.
    one = reply(sent=10, events=[110, 130, 150], tokens=9)
    assert request.tpot_s(one) == pytest.approx(0.005)
    assert request.decode_tokens_per_s(one) == pytest.approx(200)


@pytest.mark.parametrize("tokens", [0, 1])
def test_time_per_token_is_undefined_below_two_tokens(tokens: int) -> None:
    one = reply(events=[110], tokens=tokens)
    assert request.tpot_s.or_absence(one) is Absence.TOO_SHORT
    assert request.decode_tokens_per_s.or_absence(one) is Absence.TOO_SHORT


@pytest.mark.parametrize("events", [[110], [110, 110]])
def test_tokens_that_arrive_at_once_have_no_rate(events: list[float]) -> None:
    one = reply(events=events, tokens=20)
    assert request.tpot_s.or_absence(one) is Absence.AT_ONCE
    assert request.decode_tokens_per_s.or_absence(one) is Absence.AT_ONCE


@pytest.mark.parametrize("tokens", [2, 4])
def test_gaps_between_events_that_are_not_tokens_are_not_called_itl(tokens: int) -> None:
    one = reply(sent=10, events=[110, 130, 150], tokens=tokens)
    assert request.itl_s(one) is None
    assert request.itl_s.or_absence(one) is Absence.UNEVEN_EVENTS
    assert request.icl_s(one) == pytest.approx((0.020, 0.020))


def test_one_event_has_no_gaps() -> None:
    assert request.itl_s.or_absence(reply(events=[110])) is Absence.ONE_EVENT
    assert request.icl_s.or_absence(reply(events=[110])) is Absence.ONE_EVENT


def test_an_answer_without_tokens_has_no_duration() -> None:
    for quantity in DURATIONS:
        assert quantity(reply(events=[])) is None
        assert quantity.or_absence(reply(events=[])) is Absence.NO_TOKEN


@pytest.mark.parametrize(
    "outcome", [o for o in Outcome if o not in (Outcome.OK, Outcome.CUT, Outcome.NOT_SENT)]
)
def test_a_failed_call_has_no_duration_whatever_it_had_received(outcome: Outcome) -> None:
    for quantity in DURATIONS:
        assert quantity.or_absence(reply(outcome=outcome)) is Absence.FAILED


@pytest.mark.parametrize("outcome", [Outcome.CUT, Outcome.NOT_SENT])
def test_a_call_that_we_cut_off_is_not_one_that_failed(outcome: Outcome) -> None:
    for quantity in DURATIONS:
        assert quantity.or_absence(reply(outcome=outcome)) is Absence.CENSORED


@pytest.mark.parametrize(
    ("quantity", "wrong"),
    [
        (request.ttft_s, reply(sent=10, events=[9, 12])),
        (request.total_latency_s, reply(sent=10, events=[12, 11])),
        (request.tpot_s, reply(sent=10, events=[12, 11])),
        (request.icl_s, reply(sent=10, events=[12, 15, 14])),
        (request.ttfo_s, reply(sent=10, events=[12, 13], first_visible_ns=ns(9))),
        (request.response_time_s, reply(planned=20, sent=10, events=[12, 13])),
        (request.total_latency_s, reply(sent=10, sent_ns=None)),
    ],
)
def test_instants_out_of_order_are_never_clamped(
    quantity: Quantity[object, object], wrong: object
) -> None:
    with pytest.raises(NegativeInterval):
        quantity(wrong)


def test_the_message_of_a_negative_interval_says_which_and_how_far() -> None:
    with pytest.raises(NegativeInterval, match="time to the first token ends 1000000 ns before"):
        request.ttft_s(reply(sent=10, events=[9, 12]))


def test_connecting_is_a_figure_of_its_own() -> None:
    one = reply(sent=10, connect_start_ns=ns(1), connect_end_ns=ns(4))
    assert request.connect_s(one) == pytest.approx(0.003)
    assert request.connect_s(reply()) is None
    assert request.connect_s(reply(connect_start_ns=ns(1))) is None
    with pytest.raises(NegativeInterval, match="connect"):
        request.connect_s(reply(connect_start_ns=ns(4), connect_end_ns=ns(1)))


def test_the_start_lag_is_the_time_since_the_slot_less_that_of_connecting() -> None:
    assert request.start_lag_ns(reply(planned=0, admitted=4, sent=10)) == ns(6)
    at_once = reply(planned=0, admitted=4, sent=10, connect_start_ns=ns(4), connect_end_ns=ns(9))
    assert request.start_lag_ns(at_once) == ns(1)
    dawdling = reply(planned=0, admitted=4, sent=10, connect_start_ns=ns(7), connect_end_ns=ns(9))
    assert request.start_lag_ns(dawdling) == ns(4)
    begun_before = reply(
        planned=0, admitted=4, sent=10, connect_start_ns=ns(1), connect_end_ns=ns(9)
    )
    assert request.start_lag_ns(begun_before) == ns(1)
    early = reply(planned=5, sent=6, connect_start_ns=ns(1), connect_end_ns=ns(2))
    assert request.start_lag_ns(early) == ns(1)
    with pytest.raises(NegativeInterval, match="start lag"):
        request.start_lag_ns(reply(planned=0, admitted=11, sent=10))


def test_what_was_never_sent_has_no_lag_no_queueing_and_no_upload() -> None:
    unsent = reply(sent=None, events=[], outcome=Outcome.NOT_SENT)
    assert request.start_lag_ns(unsent) is None
    assert request.queueing_s(unsent) is None
    assert request.upload_s(unsent) is None


def test_uploading_lasts_from_the_first_byte_to_the_last() -> None:
    assert request.upload_s(reply(sent=10, sent_end_ns=ns(12))) == pytest.approx(0.002)
    assert request.upload_s(reply(sent=10, sent_end_ns=None)) is None
    with pytest.raises(NegativeInterval, match="queueing"):
        request.queueing_s(reply(planned=5, admitted=4, sent=10))


def test_a_quantity_keeps_its_name_and_its_words() -> None:
    assert request.ttft_s.__name__ == "ttft_s"
    assert "first generated token" in str(request.ttft_s.__doc__)


gaps = st.lists(st.integers(0, 10**9), min_size=1, max_size=30)


@given(st.integers(0, 10**12), st.integers(0, 10**10), gaps, st.integers(2, 500))
def test_time_per_token_and_ttft_add_up_to_total_latency(
    sent: int, wait: int, between: list[int], tokens: int
) -> None:
    at = [sent + wait]
    for gap in between:
        at.append(at[-1] + gap)
    one = reply(
        sent_ns=sent,
        event_ns=tuple(at),
        usage=Usage(completion_tokens=tokens),
    )
    ttft, total, tpot = request.ttft_s(one), request.total_latency_s(one), request.tpot_s(one)
    assert ttft is not None
    assert total is not None
    if at[0] == at[-1]:
        assert tpot is None
        return
    assert tpot is not None
    assert tpot * (tokens - 1) + ttft == pytest.approx(total, rel=1e-9)
    rate = request.decode_tokens_per_s(one)
    assert rate is not None
    assert rate * tpot == pytest.approx(1)
    icl = request.icl_s(one)
    assert icl is not None
    assert sum(icl) == pytest.approx(total - ttft, rel=1e-9, abs=1e-9)
