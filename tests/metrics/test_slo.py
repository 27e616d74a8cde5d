"""Service-level objectives, from records whose numbers can be worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.exchange import Outcome
from minionbench.metrics.cell import cell_metrics
from minionbench.metrics.request import Absence
from minionbench.metrics.slo import Objective, parse_objective
from minionbench.metrics.value import MetricValue
from minionbench.records import RequestRecord
from minionbench.stats import proportion_estimate
from tests.making import record


def met(made: RequestRecord, *, from_planned: bool = False, **limits: float) -> bool | Absence:
    return Objective(**limits).met_by(made, from_planned=from_planned)


def test_every_limit_has_to_be_kept_and_a_limit_that_is_just_reached_is() -> None:
    # Sent at 10 ms: TTFT 100 ms, total latency 140 ms, TPOT 20 ms.
    made = record(0, 10, [110, 130, 150])
    assert met(made, ttft_s=0.1) is True
    assert met(made, ttft_s=0.0999) is False
    assert met(made, tpot_s=0.02) is True
    assert met(made, tpot_s=0.0199) is False
    assert met(made, latency_s=0.14) is True
    assert met(made, latency_s=0.1399) is False
    assert met(made, ttft_s=0.1, tpot_s=0.02, latency_s=0.14) is True
    assert met(made, ttft_s=0.1, tpot_s=0.02, latency_s=0.13) is False
    assert met(made, ttft_s=0.09, tpot_s=0.02, latency_s=0.14) is False


def test_in_an_open_loop_the_clock_starts_at_the_planned_instant() -> None:
    late = record(0, 1_000, [1_100, 1_200])
    assert met(late, ttft_s=0.1, latency_s=0.2, tpot_s=0.1) is True
    assert met(late, from_planned=True, ttft_s=0.1) is False
    assert met(late, from_planned=True, ttft_s=1.1, ttfo_s=1.1, latency_s=1.2) is True
    assert met(late, from_planned=True, latency_s=1.199) is False
    # The time per token has no beginning that could move.
    assert met(late, from_planned=True, tpot_s=0.1) is True


def test_the_first_visible_token_has_a_limit_of_its_own() -> None:
    reasoned = record(0, 0, [300, 310], reasoning=[100, 200])
    assert met(reasoned, ttft_s=0.1) is True
    assert met(reasoned, ttfo_s=0.3) is True
    assert met(reasoned, ttfo_s=0.299) is False


def test_what_failed_or_brought_nothing_is_not_good() -> None:
    assert met(record(outcome=Outcome.HTTP_ERROR), ttft_s=100) is False
    assert met(record(events=[]), ttft_s=100) is False
    assert met(record(outcome=Outcome.CUT), ttft_s=100) is Absence.CENSORED
    assert met(record(sent=None, outcome=Outcome.NOT_SENT), tpot_s=1) is Absence.CENSORED


def test_an_answer_of_one_token_keeps_every_limit_per_token() -> None:
    assert met(record(0, 0, [100]), tpot_s=0.001, ttft_s=0.1) is True
    assert met(record(0, 0, [100, 100]), tpot_s=0.001) is True
    assert met(record(0, 0, [100]), tpot_s=0.001, ttft_s=0.09) is False


def test_what_the_server_does_not_tell_is_not_known_unless_another_limit_was_missed() -> None:
    uncounted = record(0, 0, [100, 200], tokens=None)
    assert met(uncounted, tpot_s=1) is Absence.NO_USAGE
    assert met(uncounted, tpot_s=1, ttft_s=0.09) is False
    assert met(uncounted, ttft_s=0.1, latency_s=0.2) is True


def cell(records: list[RequestRecord], **options: Any) -> tuple[MetricValue, MetricValue]:
    """(attainment, goodput) for a first token within 100 ms."""
    metrics = cell_metrics(records, objective=Objective(ttft_s=0.1), **options)
    return metrics["slo_attainment_pct"], metrics["goodput_per_sec"]


def requests(*ttfts: float | None) -> list[RequestRecord]:
    """One request after the other, each of a second, with these TTFTs in ms; None fails."""
    return [
        record(1_000 * n, 1_000 * n, [1_000 * n + ttft, 1_000 * n + 1_000], index=n, item=f"i{n}")
        if ttft is not None
        else record(
            1_000 * n,
            1_000 * n,
            [],
            end=1_000 * n + 1_000,
            outcome=Outcome.HTTP_ERROR,
            index=n,
            item=f"i{n}",
        )
        for n, ttft in enumerate(ttfts)
    ]


def test_failures_are_in_the_denominator_and_good_requests_are_counted_per_second() -> None:
    attainment, goodput = cell(requests(50, 100, 101, None))
    assert attainment.value == 50
    share = proportion_estimate(2, 4)
    assert share.low is not None and share.high is not None
    bounds = attainment.metadata["interval"]
    assert (bounds["low"], bounds["high"]) == (
        pytest.approx(100 * share.low),
        pytest.approx(100 * share.high),
    )
    assert (attainment.metadata["good"], attainment.metadata["requests"]) == (2, 4)
    assert attainment.metadata["objective"] == {"ttft_s": 0.1}
    assert attainment.metadata["clock"] == "from the sending"
    # Four seconds of one stream, in which two good requests ended.
    assert goodput.value == pytest.approx(0.5)
    assert goodput.metadata["good"] == 2


def test_repeats_of_one_item_are_one_unit() -> None:
    def repeat(number: int, ttft: float) -> RequestRecord:
        return record(0, 0, [ttft, 900], item="one", index=number, repeat=number)

    attainment, _ = cell([repeat(0, 50), repeat(1, 50), repeat(2, 500), repeat(3, 500)])
    assert attainment.value == 50
    assert attainment.metadata["n"] == 1
    assert attainment.metadata["requests"] == 4


def test_requests_that_were_cut_off_are_left_out_and_counted() -> None:
    attainment, _ = cell([*requests(50, 500), record(outcome=Outcome.CUT, index=9, item="i9")])
    assert attainment.value == 50
    assert attainment.metadata["left_out"] == {Absence.CENSORED.value: 1}


def test_where_all_fail_no_request_is_good() -> None:
    attainment, goodput = cell(requests(None, None))
    assert (attainment.status, attainment.value) == ("ok", 0)
    assert goodput.status == "error"


def test_unknown_requests_leave_no_share() -> None:
    records = [record(0, 0, [10, 20], tokens=None), record(0, 30, [40, 50], index=1)]
    metrics = cell_metrics(records, objective=Objective(tpot_s=1.0))
    for name in ("slo_attainment_pct", "goodput_per_sec"):
        assert metrics[name].status == "skipped"
    assert "1 of 2 requests: the server did not count" in str(metrics["slo_attainment_pct"].reason)


def test_nothing_measured_has_no_attainment() -> None:
    attainment, goodput = cell([])
    assert attainment.reason == goodput.reason == "no request was measured"


def test_an_open_loop_judges_by_the_planned_instants() -> None:
    late = [record(0, 500, [550, 600], index=0), record(0, 700, [750, 800], index=1)]
    assert cell(late)[0].value == 100
    attainment, _ = cell(late, open_loop=True)
    assert attainment.value == 0
    assert attainment.metadata["clock"] == "from the planned instant"


def test_without_an_objective_nothing_is_said() -> None:
    metrics = cell_metrics(requests(50))
    for name in ("slo_attainment_pct", "goodput_per_sec"):
        assert metrics[name].reason == "no service-level objective was given"


@given(st.lists(st.integers(1, 900), min_size=1, max_size=8), st.integers(1, 900))
def test_a_stricter_objective_is_never_met_more_often(ttfts: list[int], limit_ms: int) -> None:
    records = requests(*ttfts)

    def share(limit_s: float) -> float:
        value = cell_metrics(records, objective=Objective(ttft_s=limit_s))["slo_attainment_pct"]
        assert value.value is not None
        return value.value

    assert share(limit_ms / 2_000) <= share(limit_ms / 1_000) <= share(1.0) == 100


def test_limits_are_read_in_milliseconds() -> None:
    assert parse_objective(["ttft:200", "TPOT:12.5"]) == Objective(ttft_s=0.2, tpot_s=0.0125)
    assert parse_objective(["e2el:3000"]) == parse_objective(["latency:3000"])
    assert parse_objective([]) is None


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["speed:3"], "there are ttft, ttfo, tpot and latency"),
        (["ttft"], "names no time"),
        (["ttft:soon"], "names no time"),
        (["ttft:0"], "no time"),
        (["ttft:nan"], "no time"),
        (["ttft:inf"], "no time"),
        (["ttft:-5"], "no time"),
        (["ttft:5", "ttft:6"], "given twice"),
        (["latency:5", "e2el:6"], "given twice"),
    ],
)
def test_what_is_no_objective_is_refused(texts: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_objective(texts)


def test_an_objective_needs_a_limit() -> None:
    with pytest.raises(UsageError, match="needs a limit"):
        Objective()
