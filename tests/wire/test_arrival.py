"""An event arrives with the read that brings its last byte; those that share a read are counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minionbench.exchange import Exchange
from minionbench.wire.arrival import ArrivalLog
from tests.wire.support import exchange_of


def log_of(*reads: bytes) -> ArrivalLog:
    return ArrivalLog(exchange_of(*reads))


def test_an_event_arrives_with_the_read_that_brings_its_last_byte() -> None:
    log = log_of(b"0123", b"45", b"6789")
    assert [log.event(end) for end in (4, 5, 6, 7, 10)] == [1_000, 1_001, 1_001, 1_002, 1_002]
    assert log.first_event_ns == 1_000


def test_reads_without_body_bring_no_event() -> None:
    log = log_of(b"", b"", b"01", b"", b"2")
    assert [log.event(end) for end in (1, 2, 3)] == [1_002, 1_002, 1_004]


def test_of_events_that_share_a_read_all_but_the_last_are_merged() -> None:
    log = log_of(b"0123", b"4567", b"89")
    for end in (2, 6, 7, 8, 10):
        log.token_event(end, "text", None)
    assert log.token_ns == [1_000, 1_001, 1_001, 1_001, 1_002]
    assert log.merged_events == 2
    assert not log.first_merged


def test_a_first_token_that_shares_its_read_is_only_bounded() -> None:
    log = log_of(b"0123")
    told = []
    for end in (1, 4):
        log.token_event(end, "text", None)
        told.append((log.first_merged, log.merged_events))
    assert told == [(False, 0), (True, 1)]


def test_events_without_tokens_are_no_merging() -> None:
    log = log_of(b"0123456789")
    log.event(1)
    log.token_event(5, "text", None)
    log.event(10)
    assert (log.merged_events, log.first_merged, log.token_ns) == (0, False, [1_000])


def test_reasoning_and_visible_text_have_first_instants_of_their_own() -> None:
    log = log_of(b"0", b"1", b"2", b"3")
    log.event(1)
    log.token_event(2, None, "thought")
    log.token_event(3, None, "thought")
    log.token_event(4, "text", None)
    assert (log.first_event_ns, log.first_reasoning_ns, log.first_visible_ns) == (
        1_000,
        1_001,
        1_003,
    )
    assert log.token_ns == [1_001, 1_002, 1_003]


def test_how_well_nothing_was_observed_is_nothing() -> None:
    assert ArrivalLog(Exchange(0)).arrival() is None


def test_the_observation_is_told_with_the_reply() -> None:
    exchange = exchange_of(b"01", b"2")
    exchange.kernel_reads, exchange.lateness_max_ns = 1, 55
    log = ArrivalLog(exchange)
    log.token_event(1, "text", None)
    log.token_event(2, "text", None)
    arrival = log.arrival()
    assert arrival is not None
    assert (arrival.reads, arrival.kernel_reads, arrival.lateness_max_ns) == (2, 1, 55)
    assert (arrival.merged_events, arrival.first_merged) == (1, True)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=10).filter(any),
    st.lists(st.integers(1, 50), max_size=10),
)
def test_counting_agrees_with_looking_each_event_up(sizes: list[int], ends: list[int]) -> None:
    exchange = exchange_of(*[b"x" * size for size in sizes])
    ends = sorted(end for end in set(ends) if end <= len(exchange.body))
    log = ArrivalLog(exchange)
    for end in ends:
        log.token_event(end, "text", None)
    reads = [next(i for i, e in enumerate(exchange.read_ends) if e >= end) for end in ends]
    assert log.token_ns == [exchange.read_ns[read] for read in reads]
    assert log.merged_events == len(reads) - len(set(reads))
    assert log.first_merged == (len(reads) > 1 and reads[0] == reads[1])


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=10).filter(any),
    st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=12),
    st.lists(st.integers(1, 4), min_size=1, max_size=6),
)
def test_runs_of_events_are_taken_as_the_events_one_by_one_are(
    sizes: list[int], events: list[tuple[int, bool]], lengths: list[int]
) -> None:
    exchange = exchange_of(*[b"x" * size for size in sizes])
    ends = sorted({end for end, _ in events if end <= len(exchange.body)})
    kinds = [reasoning for _, reasoning in events]
    one_by_one, at_once = ArrivalLog(exchange), ArrivalLog(exchange)
    turn = 0
    while ends:
        run, reasoning = ends[: lengths[turn % len(lengths)]], kinds[turn]
        del ends[: len(run)]
        for end in run:
            one_by_one.token_event(end, "" if reasoning else "x", "x" if reasoning else "")
        if turn % 3 == 2:
            for end in run:
                at_once.token_event(end, "" if reasoning else "x", "x" if reasoning else "")
        else:
            at_once.token_run(run, reasoning=reasoning)
        turn += 1
    for name in ArrivalLog.__slots__:
        assert getattr(one_by_one, name) == getattr(at_once, name), name
