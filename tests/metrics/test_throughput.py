"""The steady state, in milliseconds of hand size."""

from __future__ import annotations

import pytest

from minionbench.exchange import Outcome
from minionbench.metrics.request import NegativeInterval
from minionbench.metrics.throughput import (
    Window,
    arrivals_state,
    finished,
    steady_state,
    streams_at_work,
    tokens_within,
)
from minionbench.records import RequestRecord
from tests.making import ns, record, record_of, reply, stream


def two_streams() -> list[RequestRecord]:
    """|--100--|--100--|--100--|
    ....|--100--|--100--|         the second stream starts 40 ms later and ends at 240 ms."""
    return [*stream([100, 100, 100]), *stream([100, 100], start=40)]


def test_with_one_stream_the_steady_state_is_the_whole_repeat() -> None:
    records = stream([100, 200, 300], start=50)
    assert steady_state(records, 1) == Window(ns(50), ns(650))


def test_the_steady_state_lasts_while_all_streams_are_at_work() -> None:
    assert steady_state(two_streams(), 2) == Window(ns(40), ns(240))


def test_a_short_pause_between_two_requests_does_not_end_it() -> None:
    pausing = [*stream([100], start=0), *stream([100], start=110), *stream([100], start=220)]
    assert steady_state(pausing, 1) == Window(ns(0), ns(320))


def test_the_most_requests_at_once_are_the_streams() -> None:
    assert streams_at_work(two_streams()) == 2
    assert streams_at_work(stream([100, 100])) == 1  # one ends as the next one starts
    assert streams_at_work([]) == 0


def test_more_requests_than_streams_are_no_closed_loop() -> None:
    assert "2 requests were in flight at once" in str(steady_state(two_streams(), 1))


def test_streams_that_were_never_all_at_work_have_no_steady_state() -> None:
    assert steady_state(two_streams(), 3) == "there never were 3 requests in flight at once"
    unsent = [record(sent=None, outcome=Outcome.NOT_SENT)]
    assert steady_state(unsent, 1) == "there never was 1 request in flight at once"


def test_a_steady_state_of_one_request_each_is_too_short() -> None:
    records = [*stream([100]), *stream([100], start=10)]
    assert steady_state(records, 2) == (
        "1 request ended in the steady state, at least 4 are needed"
    )


def test_the_steady_state_ends_before_a_request_that_was_cut_off() -> None:
    """Half of what it would have delivered is unknown."""
    records = [*stream([100, 100, 100]), record(300, 300, outcome=Outcome.CUT, end=390)]
    assert steady_state(records, 1) == Window(ns(0), ns(300))


def test_a_run_that_is_cut_off_at_once_has_no_steady_state() -> None:
    records = [record(0, 0, outcome=Outcome.CUT, end=90)]
    assert "cut off" in str(steady_state(records, 1))


def test_only_requests_that_end_within_are_finished_there() -> None:
    records = two_streams()
    ended = finished(records, Window(ns(100), ns(200)))
    assert [(r.calls[0].reply.sent_ns, r.calls[0].reply.end_ns) for r in ended] == [
        (ns(100), ns(200)),
        (ns(40), ns(140)),
    ]


def test_tokens_of_a_request_at_the_edge_count_by_their_events() -> None:
    # Events at 50, 75, 100 ms; 12 tokens, so 4 for each event.
    one = record(0, 0, [50, 75, 100], tokens=12)
    assert tokens_within(one, Window(ns(0), ns(100))) == 12
    assert tokens_within(one, Window(ns(50), ns(100))) == 8
    assert tokens_within(one, Window(ns(60), ns(80))) == 4
    assert tokens_within(one, Window(ns(100), ns(200))) == 0


def test_tokens_of_all_calls_count_and_those_of_failures_do_not() -> None:
    window = Window(ns(0), ns(1000))
    assert tokens_within(record_of([reply(), reply(events=[500, 600])]), window) == 5
    assert tokens_within(record_of([reply(events=[]), reply()]), window) == 3
    assert tokens_within(record(outcome=Outcome.TRUNCATED), window) == 0


def test_uncounted_tokens_are_unknown_unless_they_lie_elsewhere() -> None:
    uncounted = record(0, 0, [50, 75], tokens=None)
    assert tokens_within(uncounted, Window(ns(0), ns(100))) is None
    assert tokens_within(uncounted, Window(ns(100), ns(200))) == 0


def test_a_request_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(NegativeInterval, match="request 0 ends 5000000 ns before"):
        steady_state([record(sent=10, events=[], end=5)], 1)


def arriving(every: float, lasting: float, n: int) -> list[RequestRecord]:
    """Requests that arrive evenly, each of the same latency."""
    return [
        record(planned=every * i, sent=every * i, events=[every * i + lasting], index=i)
        for i in range(n)
    ]


def test_an_open_loop_is_steady_from_the_first_end_to_the_last_sending() -> None:
    records = arriving(10, 25, 10)  # sent at 0 to 90 ms, ended at 25 to 115 ms
    window = arrivals_state(records)
    assert window == Window(ns(25), ns(90))
    assert isinstance(window, Window)
    assert len(finished(records, window)) == 6  # 35 to 85 ms: one each 10 ms, as they arrive


def test_a_server_that_cannot_keep_up_delivers_what_it_can() -> None:
    behind = [
        record(planned=i, sent=i, events=[20 * (i + 1)], index=i) for i in range(200)
    ]  # one arrives each ms, one ends each 20 ms
    window = arrivals_state(behind)
    assert isinstance(window, Window)
    assert window == Window(ns(20), ns(199))
    assert len(finished(behind, window)) == 8


def test_an_open_loop_that_is_too_short_is_not_steady() -> None:
    assert "all requests were sent before the first" in str(arrivals_state(arriving(1, 50, 9)))
    assert arrivals_state(arriving(10, 5, 5)) == (
        "3 requests ended in the steady state, at least 5 are needed"
    )
    assert arrivals_state([]) == "no request was sent"


def test_an_open_loop_ends_before_what_was_cut_off() -> None:
    records = [*arriving(10, 5, 10), record(sent=72, outcome=Outcome.CUT, index=10)]
    assert arrivals_state(records) == Window(ns(5), ns(72))
