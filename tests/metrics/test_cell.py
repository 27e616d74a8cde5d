"""The metrics of a cell, from records whose numbers can be worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.exchange import Outcome
from minionbench.metrics.cell import CELL_METRICS, cell_metrics
from minionbench.metrics.request import Absence
from minionbench.metrics.table import METRICS
from minionbench.metrics.value import MetricValue
from minionbench.records import RequestRecord
from tests.making import record, stream

TIMES = (
    "ttft_s",
    "ttfo_s",
    "total_latency_s",
    "response_time_s",
    "tpot_s",
    "itl_s",
    "icl_s",
    "tokens_per_sec",
)


def of_latency(latencies: list[float], **fields: Any) -> list[RequestRecord]:
    """Requests of different items with these total latencies; TTFT is half of each."""
    return [
        record(0, 0, [latency / 2, latency], item=f"item-{i}", index=i, **fields)
        for i, latency in enumerate(latencies)
    ]


def value_of(records: list[RequestRecord], name: str, **options: Any) -> MetricValue:
    return cell_metrics(records, **options)[name]


# --- the ordinary case


def test_a_value_is_the_median_with_its_interval() -> None:
    made = value_of(of_latency([100, 200, 300, 400, 500, 600, 700]), "total_latency_s")
    assert made.status == "ok"
    assert made.value == pytest.approx(0.4)
    assert made.metadata["unit"] == "s"
    assert made.metadata["n"] == 7
    interval = made.metadata["interval"]
    assert (interval["low"], interval["high"]) == (pytest.approx(0.1), pytest.approx(0.7))
    assert (interval["level"], "note" in interval) == (0.95, False)
    assert made.metadata["requests"] == 7
    assert made.metadata["failed"] == 0
    assert made.metadata["left_out"] == {}
    assert made.metadata["repeats"] == 1


def test_the_level_is_the_callers() -> None:
    interval = value_of(of_latency([1, 2, 3, 4, 5, 6, 7]), "ttft_s", level=0.8).metadata["interval"]
    assert (interval["low"], interval["high"]) == (pytest.approx(0.001), pytest.approx(0.003))


def test_every_metric_is_there_whatever_was_measured() -> None:
    assert set(cell_metrics([])) == set(CELL_METRICS) <= set(METRICS)
    for made in cell_metrics([]).values():
        assert made.status == "skipped"
    assert value_of([], "ttft_s").reason == "no request was measured"
    assert value_of([], "requests_per_sec").reason == "no request was measured"
    assert value_of([], "goodput_per_sec").reason == "no service-level objective was given"


def test_warm_up_counts_in_no_metric() -> None:
    records = of_latency([100, 200, 300])
    with_warm_up = [*of_latency([9000], phase="warmup"), *records]
    assert cell_metrics(with_warm_up) == cell_metrics(records)


def test_repeats_of_an_item_are_one_unit() -> None:
    records = [
        record(0, 0, [total / 2, total], item=item, repeat=repeat)
        for item, totals in {
            "a": [100, 110, 900],
            "b": [200, 200, 200],
            "c": [300, 310, 290],
        }.items()
        for repeat, total in enumerate(totals)
    ]
    made = value_of(records, "total_latency_s")
    assert made.value == pytest.approx(0.2)  # of 110, 200 and 300
    assert (made.metadata["n"], made.metadata["requests"], made.metadata["repeats"]) == (3, 9, 3)
    assert made.metadata["interval"]["note"] == "both bounds at 95% need n ≥ 6, there are 3"


def test_the_rate_of_decoding_is_a_rate() -> None:
    made = value_of([record(0, 0, [100, 150, 200])], "tokens_per_sec")
    assert made.value == pytest.approx(20)
    assert made.metadata["unit"] == "1/s"


# --- percentiles


def test_a_percentile_is_shown_from_the_number_of_requests_that_supports_it() -> None:
    shown = value_of(of_latency([float(x) for x in range(100, 164)]), "total_latency_s").metadata
    assert set(shown["percentiles"]) == {"p50", "p90"}
    assert shown["percentiles"]["p90"]["value"] == pytest.approx(0.1567)
    assert shown["percentiles"]["p90"]["interval"]["high"] == pytest.approx(0.162)
    assert shown["percentiles_absent"] == {
        "p95": "needs n ≥ 130, there are 64",
        "p99": "needs n ≥ 662, there are 64",
    }
    fewer = value_of(of_latency([float(x) for x in range(100, 163)]), "total_latency_s").metadata
    assert set(fewer["percentiles"]) == {"p50"}


def test_asking_again_supports_no_percentile() -> None:
    records = [r for repeat in range(10) for r in of_latency([100.0] * 10, repeat=repeat)]
    shown = value_of(records, "ttft_s").metadata
    assert shown["percentiles"] == {}
    assert shown["percentiles_absent"]["p50"] == "needs n ≥ 11, there are 10"


def test_percentiles_of_a_rate_look_at_the_slow_side() -> None:
    records = [record(0, 0, [100, 100 + 1000 / rate], item=f"item-{rate}") for rate in range(1, 65)]
    shown = value_of(records, "tokens_per_sec").metadata
    assert set(shown["percentiles"]) == {"p50", "p10"}
    assert shown["percentiles"]["p10"]["value"] == pytest.approx(7.3)
    assert set(shown["percentiles_absent"]) == {"p5", "p1"}


def test_a_percentile_among_the_failures_is_absent_with_their_share() -> None:
    records = of_latency([100.0] * 56)
    records += [record(outcome=Outcome.RESET, item=f"bad-{i}", failure="gone") for i in range(8)]
    shown = value_of(records, "ttft_s").metadata
    assert shown["percentiles"]["p50"]["value"] == pytest.approx(0.05)
    assert shown["percentiles_absent"]["p90"] == (
        "The p90 falls among the failures: 8 of 64 requests (12%) failed, "
        "most often with reset: gone"
    )


# --- failures and censoring


def test_a_failure_ranks_as_infinitely_slow() -> None:
    records = [*of_latency([100, 200, 300]), record(outcome=Outcome.RESET, item="bad")]
    made = value_of(records, "total_latency_s")
    assert made.value == pytest.approx(0.25)  # of 0.1, 0.2, 0.3, ∞
    assert made.metadata["failed"] == 1
    assert made.metadata["requests"] == 4


def test_a_failure_ranks_last_among_rates_too() -> None:
    records = [
        record(0, 0, [100, 110], item="quick"),
        record(0, 0, [100, 200], item="slow"),
        record(outcome=Outcome.RESET, item="bad"),
    ]
    assert value_of(records, "tokens_per_sec").value == pytest.approx(10)


def test_a_server_that_refuses_work_never_scores_better() -> None:
    slow = [100, 200, 300, 400, 500.0]
    served = value_of(of_latency(slow), "total_latency_s").value
    refusing = [*of_latency(slow[:4]), record(outcome=Outcome.HTTP_ERROR, item="item-4")]
    refused = value_of(refusing, "total_latency_s").value
    assert served is not None
    assert refused is not None
    assert refused >= served


def test_a_median_among_the_failures_is_an_error_with_the_share() -> None:
    records = [*of_latency([100, 200])]
    records += [
        record(outcome=Outcome.HTTP_ERROR, http_status=429, failure="slow down", item=f"x{i}")
        for i in range(3)
    ]
    for name in TIMES:
        made = value_of(records, name)
        assert made.status == "error"
        assert made.error_message == (
            "The median falls among the failures: 3 of 5 requests (60%) failed, "
            "most often with http_error 429: slow down"
        )


def test_when_all_fail_the_error_names_the_most_frequent_failure() -> None:
    records = [record(outcome=Outcome.CONNECT_FAILED, failure="refused", item="a")] * 3
    records += [record(outcome=Outcome.HTTP_ERROR, http_status=500, failure="oops", item="b")]
    for name in TIMES:
        made = value_of(records, name)
        assert made.error_message == (
            "All 4 requests failed, 3 of them (75%) with connect_failed: refused"
        )
        assert made.metadata["failed"] == 4


def test_a_failure_without_words_is_named_by_its_outcome() -> None:
    silent = msgspec.structs.replace(record(outcome=Outcome.RESET), failure=None)
    assert value_of([silent], "ttft_s").error_message == ("The only request failed with reset")


def test_requests_that_were_cut_off_are_left_out_and_counted() -> None:
    records = [
        *of_latency([100, 200, 300]),
        record(outcome=Outcome.CUT, item="late"),
        record(sent=None, outcome=Outcome.NOT_SENT, item="never"),
    ]
    made = value_of(records, "total_latency_s")
    assert made.value == pytest.approx(0.2)
    assert made.metadata["failed"] == 0
    assert made.metadata["left_out"] == {"cut off or never sent when the run ended": 2}


def test_nothing_but_cut_off_requests_is_no_error() -> None:
    made = value_of([record(outcome=Outcome.CUT)] * 2, "ttft_s")
    assert (made.status, made.reason) == ("skipped", "cut off or never sent when the run ended")


def test_several_reasons_are_given_with_their_shares() -> None:
    records = [record(outcome=Outcome.CUT), record(tokens=None), record(tokens=None)]
    assert value_of(records, "tpot_s").reason == (
        "2 of 3 requests (67%): the server did not count the generated tokens; "
        "1 of 3 requests (33%): cut off or never sent when the run ended"
    )


def test_hidden_reasoning_skips_what_it_hides() -> None:
    records = [record(0, 0, [100, 200], tokens=50, reasoning_tokens=48)] * 3
    metrics = cell_metrics(records)
    for name in ("ttft_s", "tpot_s", "itl_s", "tokens_per_sec"):
        assert metrics[name].status == "skipped"
        assert metrics[name].reason == Absence.HIDDEN_REASONING.value
    assert metrics["ttfo_s"].value == pytest.approx(0.1)
    assert metrics["icl_s"].value == pytest.approx(0.1)


def test_instants_that_contradict_each_other_are_an_error_not_a_number() -> None:
    records = [*of_latency([100, 200, 300]), record(sent=10, events=[9, 12], end=5)]
    metrics = cell_metrics(records)
    assert metrics["ttft_s"].status == "error"
    assert "time to the first token ends 1000000 ns before it starts" in str(
        metrics["ttft_s"].error_message
    )
    assert metrics["requests_per_sec"].status == "error"


# --- gaps


def test_gaps_are_between_tokens_where_every_event_is_one() -> None:
    records = [
        record(0, 0, [100, 110, 130], item="a"),  # gaps 10, 20
        record(0, 0, [100, 130, 160, 200], item="b"),  # gaps 30, 30, 40
        record(0, 0, [100, 150], item="c"),  # gap 50
    ]
    metrics = cell_metrics(records)
    assert metrics["itl_s"].value == pytest.approx(0.03)  # of 15, 30 and 50
    assert metrics["icl_s"].status == "skipped"
    assert "itl_s" in str(metrics["icl_s"].reason)


def test_one_answer_that_came_otherwise_makes_them_gaps_between_events() -> None:
    records = [
        record(0, 0, [100, 110, 130], item="a"),
        record(0, 0, [100, 150], item="b", tokens=7),
    ]
    metrics = cell_metrics(records)
    assert metrics["itl_s"].reason == (
        "1 of 2 answers (50%): the answer's events are not one token each; see icl_s"
    )
    assert metrics["icl_s"].value == pytest.approx(0.0325)  # of 15 and 50


def test_an_answer_of_one_event_has_no_gaps_and_hinders_nobody() -> None:
    records = [record(0, 0, [100, 110], item="a"), record(0, 0, [100], item="b")]
    made = value_of(records, "itl_s")
    assert made.value == pytest.approx(0.01)
    assert made.metadata["left_out"] == {"the answer came in one event, which has no gaps": 1}


def test_percentiles_of_gaps_go_by_all_gaps_and_their_intervals_by_items() -> None:
    records = [
        record(0, 0, [100 + k for k in range(41)], item=item, index=i)
        for i, item in enumerate("abcdef")
    ]
    shown = value_of(records, "itl_s").metadata["percentiles"]
    assert set(shown) == {"p50", "p90", "p95"}  # 240 gaps
    assert shown["p50"]["interval"]["low"] is not None  # 6 items
    assert "need n ≥ 36, there are 6" in shown["p90"]["interval"]["note"]


def test_a_failed_request_counts_as_many_infinite_gaps_as_others_have() -> None:
    records = [record(0, 0, [100 + k for k in range(41)], item=f"i{i}") for i in range(6)]
    records.append(record(outcome=Outcome.RESET, item="bad"))
    shown = value_of(records, "itl_s").metadata
    # 40 of 280 gaps: more than a tenth, less than half.
    assert "p50" in shown["percentiles"]
    assert "falls among the failures" in shown["percentiles_absent"]["p90"]


# --- throughput


def test_throughput_is_that_of_the_steady_state() -> None:
    # 3 requests of 5 tokens in 0.6 s.
    metrics = cell_metrics(stream([100, 200, 300]))
    assert metrics["requests_per_sec"].value == pytest.approx(5)
    assert metrics["output_tokens_per_sec"].value == pytest.approx(25)
    shown = metrics["requests_per_sec"].metadata
    assert shown["window_s"] == pytest.approx(0.6)
    assert (shown["streams"], shown["requests"], shown["failed"], shown["repeats"]) == (1, 3, 0, 1)
    assert "at least 2 repeats" in shown["interval"]["note"]


def test_throughput_over_repeats_is_the_sum_over_the_sum() -> None:
    records = [*stream([100, 100]), *stream([300, 300], start=500, repeat=1)]
    made = value_of(records, "requests_per_sec")
    assert made.value == pytest.approx(4 / 0.8)
    assert made.metadata["n"] == 2
    assert made.metadata["interval"]["low"] == 0


def test_failures_take_time_and_deliver_nothing() -> None:
    records = [*stream([100, 100]), record(200, 200, outcome=Outcome.IDLE_TIMEOUT, end=400)]
    made = cell_metrics(records)
    assert made["requests_per_sec"].value == pytest.approx(2 / 0.4)
    assert made["requests_per_sec"].metadata["failed"] == 1
    assert made["output_tokens_per_sec"].value == pytest.approx(10 / 0.4)


def test_throughput_of_nothing_but_failures_is_an_error() -> None:
    records = [record(t, t, outcome=Outcome.RESET, end=t + 50, item=f"{t}") for t in (0, 50)]
    made = value_of(records, "output_tokens_per_sec")
    assert made.error_message == "All 2 requests failed, 2 of them (100%) with reset: it broke"


def test_tokens_that_were_not_counted_give_no_rate() -> None:
    metrics = cell_metrics(stream([100, 100]) + stream([100], start=200, tokens=5))
    assert metrics["output_tokens_per_sec"].status == "ok"
    uncounted = stream([100, 100])
    uncounted.append(record(200, 200, [250, 300], tokens=None))
    metrics = cell_metrics(uncounted)
    assert metrics["output_tokens_per_sec"].reason == "1 answer came without a token count"
    assert metrics["requests_per_sec"].value == pytest.approx(10)


def test_the_number_of_streams_is_the_callers_where_given() -> None:
    records = [*stream([100, 100, 100]), *stream([100, 100], start=40)]
    assert value_of(records, "requests_per_sec").status == "ok"
    made = value_of(records, "requests_per_sec", streams=3)
    assert made.reason == "there never were 3 requests in flight at once"


def test_a_repeat_without_a_steady_state_is_named() -> None:
    records = [*stream([100, 100]), *stream([100], start=300, repeat=1)]
    assert value_of(records, "requests_per_sec").reason == (
        "repeat 2: 1 request ended in the steady state, at least 2 are needed"
    )


def test_nothing_sent_is_no_throughput() -> None:
    unsent = [record(sent=None, outcome=Outcome.NOT_SENT)]
    assert value_of(unsent, "requests_per_sec").reason == "no request was sent"


# --- whatever comes


def any_record(index: int, draw: Callable[[Any], Any]) -> RequestRecord:
    sent = draw(st.integers(0, 1000))
    gaps = draw(st.lists(st.integers(0, 50), max_size=6))
    events = [sent + 20 + sum(gaps[: k + 1]) for k in range(len(gaps))]
    outcome = draw(st.sampled_from([Outcome.OK] * 4 + [Outcome.RESET, Outcome.CUT]))
    return record(
        sent,
        sent,
        events,
        item=f"item-{draw(st.integers(0, 5))}",
        index=index,
        repeat=draw(st.integers(0, 1)),
        outcome=outcome,
        tokens=draw(st.sampled_from([None, 0, 1, len(events), 9])),
        reasoning_tokens=draw(st.sampled_from([None, 0, 3])),
    )


@st.composite
def cells(draw: Callable[[Any], Any]) -> list[RequestRecord]:
    return [any_record(i, draw) for i in range(draw(st.integers(0, 12)))]


@given(cells().flatmap(lambda records: st.tuples(st.just(records), st.permutations(records))))
def test_the_order_of_the_records_changes_nothing(
    pair: tuple[list[RequestRecord], list[RequestRecord]],
) -> None:
    for name, made in cell_metrics(pair[0]).items():
        other = cell_metrics(pair[1])[name]
        assert made.status == other.status
        assert made.value == pytest.approx(other.value)


@given(cells())
def test_every_cell_fits_into_a_document(records: list[RequestRecord]) -> None:
    for made in cell_metrics(records).values():
        json.dumps(made.metadata, allow_nan=False)


@given(st.lists(st.integers(2, 10_000), min_size=1, max_size=30))
def test_a_value_lies_inside_its_interval_and_the_data(latencies: list[int]) -> None:
    made = value_of(of_latency([float(x) for x in latencies]), "total_latency_s")
    assert made.value is not None
    assert min(latencies) / 1000 <= made.value + 1e-12
    assert made.value <= max(latencies) / 1000 + 1e-12
    interval = made.metadata["interval"]
    assert interval["low"] is None or interval["low"] <= made.value
    assert interval["high"] is None or made.value <= interval["high"]


def test_the_rates_of_an_open_loop_are_those_of_the_time_in_which_requests_arrive() -> None:
    arriving = [
        record(planned=10 * i, sent=10 * i, events=[10 * i + 15, 10 * i + 25], index=i)
        for i in range(20)
    ]
    made = cell_metrics(arriving, open_loop=True)
    # From 25 to 190 ms: the ends at 35 to 185 ms, one each 10 ms.
    assert made["requests_per_sec"].value == pytest.approx(16 / 0.165)
    assert made["requests_per_sec"].metadata["most_in_flight"] == 3
    assert cell_metrics(arriving)["requests_per_sec"].metadata["streams"] == 3
