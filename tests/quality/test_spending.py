"""What requests took."""

from __future__ import annotations

from minionbench.exchange import Outcome
from minionbench.quality.spending import spending
from tests.making import record, record_of, reply


def test_tokens_and_seconds_are_summed_from_the_first_sending_to_the_last_end() -> None:
    one = record_of([reply(0, 10, [50, 60]), reply(60, 70, [100, 110, 120])])
    two = record(0, 20, [70])
    spent = spending([one, two])
    assert spent == {
        "requests": 2,
        "calls": 3,
        "calls_cut_at_limit": 0,
        "prompt_tokens": None,
        "completion_tokens": 6,
        "seconds": 0.16,
    }


def test_a_count_that_is_missing_makes_the_sum_unknown() -> None:
    assert spending([record(tokens=None), record()])["completion_tokens"] is None


def test_a_failed_call_needs_no_count_and_one_never_sent_is_no_call() -> None:
    failed = record(outcome=Outcome.RESET, tokens=None, end=40)
    unsent = record(sent=None, outcome=Outcome.CONNECT_FAILED)
    spent = spending([failed, unsent, record()])
    assert (spent["requests"], spent["calls"], spent["completion_tokens"]) == (3, 2, 3)


def test_calls_that_ran_into_their_limit_are_counted() -> None:
    cut = record_of([reply(finish_reason="length"), reply(finish_reason="stop")])
    assert spending([cut, record(finish_reason="length")])["calls_cut_at_limit"] == 2


def test_nothing_took_nothing() -> None:
    assert spending([])["seconds"] == 0
