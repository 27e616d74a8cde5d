"""Quantities of a whole request, of one call and of several."""

from __future__ import annotations

import msgspec
import pytest

from minionbench.exchange import Outcome
from minionbench.metrics import record as whole
from minionbench.metrics import request
from minionbench.metrics.request import Absence, NegativeInterval
from minionbench.records import RequestRecord
from tests.making import ns, record, record_of, reply

PAIRS = (
    (whole.ttft_s, request.ttft_s),
    (whole.ttfo_s, request.ttfo_s),
    (whole.total_latency_s, request.total_latency_s),
    (whole.response_time_s, request.response_time_s),
    (whole.tpot_s, request.tpot_s),
    (whole.decode_tokens_per_s, request.decode_tokens_per_s),
    (whole.itl_s, request.itl_s),
    (whole.icl_s, request.icl_s),
)


def hybrid() -> RequestRecord:
    """A supervisor asks, two workers answer at once, the supervisor concludes."""
    return record_of(
        [
            reply(planned=0, sent=5, events=[30, 40]),
            reply(planned=40, sent=41, events=[90, 100]),
            reply(planned=40, sent=42, events=[80, 120]),
            reply(planned=120, sent=121, events=[200, 210, 220]),
        ]
    )


def test_a_request_of_one_call_has_its_calls_quantities() -> None:
    one = record(planned=2, sent=10, events=[110, 130, 150])
    for of_record, of_reply in PAIRS:
        assert of_record(one) == of_reply(one.calls[0].reply)
        assert of_record(one) is not None
    assert whole.output_tokens(one) == 3


def test_a_request_of_many_calls_starts_with_its_first_and_ends_with_its_answer() -> None:
    one = hybrid()
    assert whole.ttft_s(one) == pytest.approx(0.025)  # first token of any call
    assert whole.ttfo_s(one) == pytest.approx(0.195)  # first visible token of the answer
    assert whole.total_latency_s(one) == pytest.approx(0.215)
    assert whole.response_time_s(one) == pytest.approx(0.220)
    assert whole.tpot_s(one) == pytest.approx(0.010)
    assert whole.decode_tokens_per_s(one) == pytest.approx(100)
    assert whole.itl_s(one) == pytest.approx((0.010, 0.010))
    assert whole.icl_s(one) == pytest.approx((0.010, 0.010))
    assert whole.output_tokens(one) == 9
    assert (whole.sent_ns(one), whole.end_ns(one)) == (ns(5), ns(220))


def test_one_uncounted_call_leaves_the_whole_request_uncounted() -> None:
    assert whole.output_tokens(record_of([reply(tokens=None), reply()])) is None
    assert whole.output_tokens(record(outcome=Outcome.RESET, tokens=None)) is None


def test_hidden_reasoning_in_any_call_hides_the_first_token() -> None:
    one = record_of(
        [reply(tokens=9, reasoning_tokens=6), reply(planned=160, sent=160, events=[200])]
    )
    assert whole.ttft_s.or_absence(one) is Absence.HIDDEN_REASONING
    assert whole.total_latency_s(one) == pytest.approx(0.190)


def test_a_call_that_failed_on_the_way_to_an_answer_is_not_a_failed_request() -> None:
    one = record_of(
        [
            reply(planned=0, sent=1, events=[], outcome=Outcome.RESET, end=5),
            reply(planned=5, sent=6, events=[50, 60]),
        ]
    )
    assert whole.ttft_s(one) == pytest.approx(0.049)
    assert whole.total_latency_s(one) == pytest.approx(0.059)


@pytest.mark.parametrize(
    ("made", "absence"),
    [
        (record(outcome=Outcome.HTTP_ERROR), Absence.FAILED),
        (record(outcome=Outcome.CUT), Absence.CENSORED),
        (record(sent=None, outcome=Outcome.NOT_SENT), Absence.CENSORED),
        (record_of([reply()], answer_call=None), Absence.ABSTAINED),
        (record(events=[]), Absence.NO_TOKEN),
    ],
)
def test_a_request_without_an_answer_says_why_it_has_no_duration(
    made: RequestRecord, absence: Absence
) -> None:
    for of_record, _ in PAIRS:
        assert of_record(made) is None
        assert of_record.or_absence(made) is absence


def test_an_answer_of_reasoning_alone_has_no_first_output() -> None:
    one = record(sent=0, reasoning=[40, 60], events=[])
    assert whole.ttfo_s.or_absence(one) is Absence.NO_VISIBLE_TOKEN


def test_what_was_never_sent_has_no_instants() -> None:
    one = record(sent=None, outcome=Outcome.NOT_SENT)
    assert whole.sent_ns(one) is None
    assert whole.end_ns(one) is None


def test_instants_out_of_order_are_never_clamped() -> None:
    with pytest.raises(NegativeInterval):
        whole.ttft_s(record(sent=10, events=[9, 12]))
    with pytest.raises(NegativeInterval):
        whole.response_time_s(msgspec.structs.replace(record(), planned_ns=ns(1000)))
    with pytest.raises(NegativeInterval, match="never sent"):
        whole.total_latency_s(record(sent_ns=None))


def in_json(at: int | None, ends: tuple[int, ...]) -> RequestRecord:
    """An answer that is a field of the JSON that the second call brought in three events."""
    told = reply(planned=50, sent=60, events=[100, 110, 130], end=140, visible_ends=ends)
    one = record_of([reply(planned=0, sent=10, events=[40]), told])
    return msgspec.structs.replace(one, answer_call=1, answer_is_part=True, answer_at=at)


def test_the_first_output_of_a_json_answer_is_the_event_with_its_first_character() -> None:
    assert whole.ttfo_s(in_json(0, (5, 9, 12))) == pytest.approx(0.090)
    assert whole.ttfo_s(in_json(4, (5, 9, 12))) == pytest.approx(0.090)
    assert whole.ttfo_s(in_json(5, (5, 9, 12))) == pytest.approx(0.100)
    assert whole.ttfo_s(in_json(11, (5, 9, 12))) == pytest.approx(0.120)


def test_where_its_place_is_not_known_a_json_answer_is_out_when_its_call_has_ended() -> None:
    assert whole.ttfo_s(in_json(None, (5, 9, 12))) == pytest.approx(0.130)
    assert whole.ttfo_s(in_json(3, ())) == pytest.approx(0.130)
    assert whole.ttfo_s(in_json(12, (5, 9, 12))) == pytest.approx(0.130)
