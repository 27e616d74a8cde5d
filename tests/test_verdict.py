"""The verdict: every rule fires when it should, keeps still when it should, and says when it cannot
tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.exchange import Arrival, EngineTimings, Failure, Outcome, Usage
from minionbench.records import RequestRecord
from minionbench.schema import ReasonDocument, VerdictDocument
from minionbench.verdict import NotChecked, Passed, Reason, RunFacts, Verdict, judge, worst
from minionbench.verdict.evidence import Evidence
from minionbench.verdict.finding import Finding
from minionbench.verdict.judge import RULES
from tests.making import ns, record, record_of, reply, stream

GOOD = RunFacts(
    own_cpu_ns=ns(40),
    wall_ns=ns(1000),
    clock_step_ns=1000,
    engine_local=True,
    pinned=True,
    engine_watched=True,
    interrupted=False,
    planned_requests=20,
    cold_expected=True,
)


def steady(**of_reply: Any) -> list[RequestRecord]:
    """Twenty requests of different items of which nothing is to be said."""
    fields = {"engine": EngineTimings(cached_tokens=0, predicted_tokens=5)} | of_reply
    return stream([100 + i % 3 for i in range(20)], **fields)


def first(count: int, **of_reply: Any) -> list[RequestRecord]:
    """Twenty requests, the first of which are as described."""
    return [*steady(**of_reply)[:count], *steady()[count:]]


def finding(
    rule: str, records: Sequence[RequestRecord], facts: RunFacts | None = None, **options: Any
) -> Reason | Passed | NotChecked:
    (found,) = (f for f in findings(judge(records, facts, **options)) if f.rule == rule)
    return found


def findings(verdict: Verdict) -> list[Reason | Passed | NotChecked]:
    return [*verdict.reasons, *verdict.passed, *verdict.not_checked]


def facts(**changed: Any) -> RunFacts:
    return msgspec.structs.replace(GOOD, **changed)


def reason(rule: str, records: Sequence[RequestRecord], facts: RunFacts | None = None) -> Reason:
    found = finding(rule, records, facts)
    assert isinstance(found, Reason), found
    return found


# --- the whole


def test_a_run_without_fault_is_valid() -> None:
    verdict = judge(steady(), GOOD)
    assert verdict.status == "valid"
    assert verdict.reasons == ()
    assert {n.rule for n in verdict.not_checked} == {
        *("forced_length", "repeat_spread", "truncated_prompt"),
        *("reasoning", "reasoning_count", "inline_reasoning"),
    }


def test_every_rule_gives_exactly_one_finding_of_its_own_name() -> None:
    verdict = judge(steady(), GOOD)
    names = [found.rule for found in findings(verdict)]
    assert len(names) == len(set(names)) == len(RULES)


def test_what_is_unknown_is_not_taken_for_good() -> None:
    verdict = judge(steady())
    unknown = {"own_cpu", "shared_cores", "clock_step", "engine_ended", "incomplete", "warm_prefix"}
    assert unknown <= {n.rule for n in verdict.not_checked}
    assert all(n.why for n in verdict.not_checked)


def test_the_worst_reason_is_the_verdict_and_comes_first() -> None:
    verdict = judge(first(15, lateness=20), facts(engine_ended="It was killed."))
    assert verdict.status == "invalid"
    assert [r.severity for r in verdict.reasons] == ["invalid", "suspect"]
    assert verdict.reasons[0].rule == "engine_ended"


def test_several_cells_together_are_as_bad_as_the_worst() -> None:
    valid = judge(steady(), GOOD)
    suspect = judge(steady(), facts(interrupted=True))
    invalid = judge(steady(), facts(engine_ended="Gone."))
    assert worst([valid, valid]) == "valid"
    assert worst([valid, suspect]) == "suspect"
    assert worst([invalid, suspect, valid]) == "invalid"
    assert worst([]) is None


def test_nothing_measured_is_invalid() -> None:
    for records in ([], [record(phase="warmup")]):
        verdict = judge(records)
        assert verdict.status == "invalid"
        assert [r.rule for r in verdict.reasons] == ["too_few"]


def test_a_verdict_fits_into_a_document() -> None:
    verdict = judge(first(5, outcome=Outcome.RESET), facts(interrupted=True))
    document = VerdictDocument(
        status=verdict.status,
        reasons=tuple(ReasonDocument(**msgspec.structs.asdict(r)) for r in verdict.reasons),
    )
    assert document.status == "invalid"


# --- the harness


def test_a_request_sent_late_by_the_harness_is_suspect() -> None:
    late = reason("start_lag", first(5, lag=2))
    assert late.severity == "suspect"
    assert late.limit == 0.001  # 1 % of a TTFT of 50 ms is less
    assert late.measured == pytest.approx(0.002)
    assert late.unit == "s"
    assert "2.00 ms" in late.message
    assert reason("start_lag", first(5, lag=11)).severity == "invalid"
    assert isinstance(finding("start_lag", first(5, lag=0.9)), Passed)


def test_the_start_lag_may_be_one_percent_of_a_long_ttft() -> None:
    found = finding("start_lag", stream([1000] * 20, ttft=500, lag=4))
    assert isinstance(found, Passed)
    assert found.limit == pytest.approx(0.005)


def test_nothing_sent_has_no_start_lag() -> None:
    unsent = [record(sent=None, outcome=Outcome.NOT_SENT)]
    assert isinstance(finding("start_lag", unsent), NotChecked)


@pytest.mark.parametrize(
    ("used", "severity"), [(501, "suspect"), (900, "suspect"), (901, "invalid")]
)
def test_a_harness_that_is_busy_itself_is_not_to_be_believed(used: int, severity: str) -> None:
    busy = reason("own_cpu", steady(), facts(own_cpu_ns=ns(used)))
    assert busy.severity == severity
    assert busy.measured == pytest.approx(used / 1000)
    assert isinstance(finding("own_cpu", steady(), facts(own_cpu_ns=ns(500))), Passed)


def test_a_harness_that_had_nothing_to_send_was_no_bottleneck() -> None:
    found = finding("own_cpu", [], facts(own_cpu_ns=ns(990)))
    assert isinstance(found, NotChecked)


@pytest.mark.parametrize("changed", [{"own_cpu_ns": None}, {"wall_ns": None}, {"wall_ns": 0}])
def test_cpu_that_was_not_recorded_is_not_judged(changed: dict[str, Any]) -> None:
    assert isinstance(finding("own_cpu", steady(), facts(**changed)), NotChecked)
    assert isinstance(finding("shared_cores", steady(), facts(**changed)), NotChecked)


def test_a_busy_harness_on_the_engines_cores_disturbs_it() -> None:
    shared = facts(pinned=False, own_cpu_ns=ns(60))
    assert reason("shared_cores", steady(), shared).severity == "suspect"
    assert isinstance(finding("shared_cores", steady(), facts(pinned=False)), Passed)
    assert isinstance(finding("shared_cores", steady(), facts(own_cpu_ns=ns(60))), Passed)


@pytest.mark.parametrize(
    "changed", [{"engine_local": False}, {"engine_local": None}, {"pinned": None}]
)
def test_cores_that_are_not_known_to_be_shared_are_not_judged(changed: dict[str, Any]) -> None:
    assert isinstance(finding("shared_cores", steady(), facts(**changed)), NotChecked)


def test_stamps_that_are_not_the_kernels_are_suspect() -> None:
    found = reason("stamp_source", first(1, kernel_reads=3))  # 2 of 100 reads
    assert found.severity == "suspect"
    assert found.measured == pytest.approx(0.02)
    assert found.message.startswith("2.00 % of the reads")
    assert isinstance(finding("stamp_source", first(1, kernel_reads=4)), Passed)
    assert isinstance(finding("stamp_source", steady(arrival=None)), NotChecked)


def test_a_harness_that_reads_late_is_suspect() -> None:
    assert reason("lateness", first(5, lateness=10.1)).measured == pytest.approx(0.0101)
    assert isinstance(finding("lateness", first(5, lateness=9.9)), Passed)
    unknown = Arrival(
        reads=5, kernel_reads=0, merged_events=0, first_merged=False, lateness_max_ns=None
    )
    assert isinstance(finding("lateness", steady(arrival=unknown)), NotChecked)


def test_a_clock_that_steps_is_suspect_or_worse() -> None:
    # The TTFT is 50 ms: 1 % of it is 0.5 ms.
    assert isinstance(finding("clock_step", steady(), facts(clock_step_ns=ns(0.5))), Passed)
    assert reason("clock_step", steady(), facts(clock_step_ns=ns(0.6))).severity == "suspect"
    assert reason("clock_step", steady(), facts(clock_step_ns=ns(6))).severity == "invalid"


def test_a_slew_that_the_kernel_may_do_is_no_step() -> None:
    quick = stream([20] * 20, ttft=2)
    assert isinstance(finding("clock_step", quick, facts(clock_step_ns=ns(0.1))), Passed)
    assert isinstance(finding("clock_step", quick, facts(clock_step_ns=ns(0.11))), Reason)


def test_a_step_of_a_clock_that_nobody_read_does_not_matter() -> None:
    unstamped = steady(kernel_reads=0)
    assert isinstance(finding("clock_step", unstamped, facts(clock_step_ns=ns(99))), NotChecked)
    assert isinstance(finding("clock_step", steady(), facts(clock_step_ns=None)), NotChecked)


def test_events_that_share_a_read_are_suspect_above_one_percent() -> None:
    found = reason("merged_reads", first(2, merged_events=1))  # 2 of 100 events
    assert found.measured == pytest.approx(0.02)
    assert isinstance(finding("merged_reads", first(1, merged_events=1)), Passed)
    assert isinstance(finding("merged_reads", steady(arrival=None)), NotChecked)


def test_a_first_token_that_shares_its_read_is_an_upper_bound() -> None:
    found = reason("first_merged", first(1, first_merged=True))
    assert found.measured == pytest.approx(0.05)
    assert "upper bound" in found.message
    assert isinstance(finding("first_merged", steady()), Passed)
    assert isinstance(finding("first_merged", steady(arrival=None)), NotChecked)


def test_a_merged_first_token_bounds_the_time_to_the_first_output_where_reasoning_is_hidden() -> (
    None
):
    hidden = record(first_merged=True, reasoning_tokens=4, item="hidden")
    found = reason("first_merged", [*steady(), hidden])
    assert "their time to the first visible token (ttfo_s) is an upper bound" in found.message
    assert "TTFT" not in found.message


def test_instants_that_contradict_each_other_make_a_run_invalid() -> None:
    broken = record(sent=10, events=[9, 12], item="broken", connect_start_ns=None)
    verdict = judge([*steady(), broken], GOOD)
    (found,) = verdict.reasons
    assert (found.rule, found.severity, found.measured) == ("instants", "invalid", 1)
    half_broken = record_of([reply(0, 1, [5, 6]), reply(6, 10, [9, 12])])
    assert reason("instants", [*steady(), half_broken]).measured == 1
    assert isinstance(finding("drift_ttft", [*steady()[:15], half_broken]), NotChecked)


# --- the answers


def test_one_failure_in_a_hundred_is_accepted_and_more_is_not() -> None:
    hundred = stream([100] * 100)
    failed = record(outcome=Outcome.HTTP_ERROR, http_status=429, failure="slow down", item="x")
    assert isinstance(finding("failures", [*hundred[:99], failed]), Passed)
    found = reason("failures", [*hundred[:98], failed, failed])
    assert found.severity == "suspect"
    assert "2 of 100 requests failed" in found.message
    assert "http_error 429: slow down" in found.message
    assert reason("failures", [*hundred[:89], *[failed] * 11]).severity == "invalid"


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        (Outcome.HTTP_ERROR, 400, "says above why"),
        (Outcome.HTTP_ERROR, 401, "--api-key-env"),
        (Outcome.HTTP_ERROR, 403, "--api-key-env"),
        (Outcome.HTTP_ERROR, 402, "no credit left"),
        (Outcome.HTTP_ERROR, 429, "limits its rate"),
        (Outcome.HTTP_ERROR, 503, "too much to do"),
        (Outcome.STREAM_ERROR, 529, "too much to do"),
        (Outcome.FILTERED, 400, "other items"),
        (Outcome.HTTP_ERROR, 500, "server's own log"),
        (Outcome.CONNECT_FAILED, None, "still runs"),
        (Outcome.IDLE_TIMEOUT, None, "--timeout"),
        (Outcome.MALFORMED, None, "remove their cause"),
    ],
)
def test_the_advice_goes_by_how_requests_failed(
    outcome: Outcome, status: int | None, said: str
) -> None:
    assert said in reason("failures", first(5, outcome=outcome, http_status=status)).advice


def test_a_quota_that_is_used_up_is_no_matter_of_load() -> None:
    failed = record_of(
        [
            msgspec.structs.replace(
                reply(0, 1, [], outcome=Outcome.HTTP_ERROR),
                failure=Failure(message="no", http_status=429, code="insufficient_quota"),
            )
        ]
    )
    assert "raise it, or take another key" in reason("failures", [failed]).advice


def test_requests_that_we_cut_off_did_not_fail() -> None:
    cut = record(outcome=Outcome.CUT)
    assert isinstance(finding("failures", [*steady(), cut, cut]), Passed)
    assert isinstance(finding("failures", [cut]), NotChecked)


def test_answers_without_any_token_are_no_answers() -> None:
    empty = record(events=[], item="empty")
    found = reason("empty_answers", [*steady(), empty])
    assert found.severity == "suspect"
    assert found.measured == pytest.approx(1 / 21)
    assert reason("empty_answers", [*steady(), empty, empty, empty]).severity == "invalid"
    assert isinstance(finding("empty_answers", [record(outcome=Outcome.RESET)]), NotChecked)


def test_two_tokens_in_one_event_are_enough_to_be_buffered() -> None:
    two = record(events=[100], tokens=2, item="two")
    assert reason("buffered", [*steady(), two]).measured == pytest.approx(1 / 21)


def test_two_events_are_enough_to_show_lumps() -> None:
    """Three tokens in two events: one and a half are in the first."""
    lumped = stream([100] * 20, tokens=2, usage=Usage(completion_tokens=3))
    assert reason("lumped_events", lumped).measured == pytest.approx(2 / 1.5 - 1)


def test_an_answer_that_arrives_all_at_once_was_buffered() -> None:
    at_once = record(events=[100], tokens=50, item="at-once")
    found = reason("buffered", [*steady(), at_once])
    assert found.measured == pytest.approx(1 / 21)
    assert "TTFT is their total latency" in found.message
    assert isinstance(finding("buffered", [*steady(), record(events=[100], item="one")]), Passed)
    assert isinstance(finding("buffered", steady(usage=None, engine=None)), NotChecked)


@pytest.mark.parametrize(
    "odd",
    [
        {"engine": EngineTimings(predicted_tokens=7)},
        {"engine": EngineTimings(predicted_tokens=3)},
        {"usage": Usage(completion_tokens=4)},  # in five events
    ],
)
def test_a_token_count_that_something_contradicts_is_suspect(odd: dict[str, Any]) -> None:
    found = reason("token_count", first(1, **odd))
    assert found.severity == "suspect"
    assert found.measured == pytest.approx(0.05)


@pytest.mark.parametrize(
    "fine",
    [
        {"engine": EngineTimings(predicted_tokens=6)},  # the token that ends the answer
        {"engine": EngineTimings(predicted_tokens=None)},
        {"engine": None},
        {"usage": Usage(completion_tokens=99), "engine": None},
    ],
)
def test_a_token_count_that_nothing_contradicts_passes(fine: dict[str, Any]) -> None:
    assert isinstance(finding("token_count", first(1, **fine)), Passed)


def test_events_of_several_tokens_make_decoding_look_fast() -> None:
    """Fifteen tokens in five events: three are in the first, so 14/12 of the rate that was seen."""
    found = reason("lumped_events", steady(usage=Usage(completion_tokens=15), engine=None))
    assert found.severity == "suspect"
    assert found.measured == pytest.approx(14 / 12 - 1)
    assert "3" in found.message


def test_one_token_that_has_no_event_of_its_own_is_no_lump() -> None:
    ended = Usage(completion_tokens=26)
    long = stream([100] * 20, tokens=25, usage=ended)
    assert isinstance(finding("lumped_events", long), Passed)


def test_lumps_cannot_be_seen_without_a_count_or_a_second_event() -> None:
    assert isinstance(finding("lumped_events", steady(usage=None, engine=None)), NotChecked)
    assert isinstance(finding("lumped_events", steady(event_ns=(ns(110),))), NotChecked)


def test_uncounted_tokens_cannot_be_checked() -> None:
    uncounted = steady(usage=None, engine=None)
    assert isinstance(finding("token_count", uncounted), NotChecked)


def test_a_forced_length_that_was_not_produced_is_suspect() -> None:
    asked = [record(forced=5, events=[20, 30, 40, 50, 60], item=f"i{i}") for i in range(10)]
    assert isinstance(finding("forced_length", asked), Passed)
    short = record(forced=5, events=[20, 30], item="short")
    assert reason("forced_length", [*asked, short]).measured == pytest.approx(1 / 11)
    assert isinstance(finding("forced_length", [record(forced=5, tokens=None)]), NotChecked)


@pytest.mark.parametrize(
    "warm",
    [{"engine": EngineTimings(cached_tokens=17)}, {"usage": Usage(cached_tokens=17)}],
)
def test_a_prompt_from_the_cache_where_none_should_be_is_not_cold(warm: dict[str, Any]) -> None:
    found = reason("warm_prefix", first(1, **warm), GOOD)
    assert found.severity == "suspect"
    assert found.measured == pytest.approx(0.05)
    assert "up to 17 tokens" in found.message
    assert reason("warm_prefix", first(3, **warm), GOOD).severity == "invalid"


def test_the_opening_of_the_chat_template_may_be_cached() -> None:
    opening = first(20, engine=EngineTimings(cached_tokens=16))
    assert isinstance(finding("warm_prefix", opening, GOOD), Passed)


@pytest.mark.parametrize(("cached", "found"), [(42, Passed), (43, Reason)])
def test_the_template_explains_as_many_cached_tokens_as_a_prompt_of_one_word_has(
    cached: int, found: type[Finding]
) -> None:
    warm = first(20, engine=EngineTimings(cached_tokens=cached))
    judged = finding("warm_prefix", warm, facts(template_tokens=40))
    assert isinstance(judged, found)
    if isinstance(judged, Reason):
        assert "of which the chat template explains 42 at most" in judged.message


@pytest.mark.parametrize(
    ("tokens", "context", "severity"),
    [
        (100, 4096, None),
        (34, None, None),
        (33, None, "invalid"),
        (100, 101, None),
        (100, 100, "invalid"),
        (101, 100, "invalid"),
    ],
)
def test_a_prompt_that_was_cut_is_seen_by_its_count(
    tokens: int, context: int | None, severity: str | None
) -> None:
    """The reference tokenizer counts 100."""
    cut = first(20, usage=Usage(prompt_tokens=tokens, completion_tokens=5))
    judged = finding("truncated_prompt", cut, facts(context_tokens=context))
    if severity is None:
        assert isinstance(judged, Passed)
    else:
        assert isinstance(judged, Reason)
        assert judged.severity == severity
        assert "100 % of the prompts only in part" in judged.message


def test_one_cut_prompt_of_twenty_is_suspect() -> None:
    whole = steady(usage=Usage(prompt_tokens=90))
    cut = steady(usage=Usage(prompt_tokens=5))
    assert reason("truncated_prompt", [*cut[:1], *whole[1:]]).severity == "suspect"


def test_a_prompt_that_a_protocol_makes_shorter_was_not_cut() -> None:
    """What a protocol asks of a model is not the item: its length says nothing about the prompt."""
    short = first(20, usage=Usage(prompt_tokens=5, completion_tokens=5))
    assert isinstance(finding("truncated_prompt", short, facts(asked_as_it_stands=False)), Passed)


def test_without_the_servers_count_no_prompt_is_judged() -> None:
    assert isinstance(finding("truncated_prompt", steady(usage=None)), NotChecked)


def test_a_cache_is_not_judged_where_it_is_wanted_or_says_nothing() -> None:
    warm = steady(engine=EngineTimings(cached_tokens=500))
    assert isinstance(finding("warm_prefix", warm, facts(cold_expected=False)), NotChecked)
    assert isinstance(finding("warm_prefix", steady(engine=None), GOOD), NotChecked)


# --- the course of the run


def test_an_engine_that_ended_makes_the_run_invalid() -> None:
    found = reason("engine_ended", steady(), facts(engine_ended="Killed by signal 9."))
    assert (found.severity, found.measured, found.limit) == ("invalid", 1, 0)
    passed = finding("engine_ended", steady(), GOOD)
    assert isinstance(passed, Passed)
    assert (passed.measured, passed.limit) == (0, 0)
    assert "Killed by signal 9." in found.message
    assert isinstance(finding("engine_ended", steady(), GOOD), Passed)
    assert isinstance(finding("engine_ended", steady(), facts(engine_watched=None)), NotChecked)


def test_a_run_that_ended_early_is_suspect() -> None:
    assert isinstance(finding("incomplete", steady(), GOOD), Passed)
    passed = finding("incomplete", steady(), GOOD)
    assert isinstance(passed, Passed)
    assert (passed.measured, passed.limit) == (0, 0)
    assert reason("incomplete", steady(), facts(planned_requests=21)).measured == 1
    found = reason("incomplete", steady(), facts(planned_requests=25))
    assert (found.severity, found.measured, found.limit) == ("suspect", 5, 0)
    cut = [record(outcome=Outcome.CUT), record(sent=None, outcome=Outcome.NOT_SENT)]
    found = reason("incomplete", [*steady(), *cut], facts(planned_requests=23))
    assert found.measured == 3
    assert "3 of 23 requests were cut off or never sent" in found.message
    assert reason("incomplete", [*steady(), *cut]).measured == 2


def test_an_interrupted_run_is_suspect_even_where_nothing_is_known_to_be_missing() -> None:
    found = reason("incomplete", steady(), RunFacts(interrupted=True))
    assert found.measured == 0


def test_more_items_are_not_advised_where_the_run_ended_early() -> None:
    three = steady()[:3]
    assert "-n 6" in reason("too_few", three, facts(planned_requests=3)).advice
    assert "see why it did" in reason("too_few", three, facts(planned_requests=6)).advice


def test_too_few_items_for_an_interval_are_suspect() -> None:
    found = reason("too_few", steady()[:5])
    assert (found.severity, found.measured, found.limit) == ("suspect", 5, 6)
    assert isinstance(finding("too_few", steady()[:6]), Passed)
    again = [r for repeat in range(3) for r in stream([100] * 5, repeat=repeat)]
    assert reason("too_few", again).measured == 5
    assert "-n 6" in found.advice
    failed = [record(item=f"item-{i}", outcome=Outcome.RESET) for i in range(6)]
    assert "-n" not in reason("too_few", failed).advice
    assert isinstance(finding("too_few", steady()[:6], level=0.99), Reason)


def drifting(factor: float, items: int = 9) -> list[RequestRecord]:
    """Two repeats of the same items, the second slower by a factor."""
    return [
        *stream([100.0 + i for i in range(items)], ttft=50),
        *stream(
            [(100.0 + i) * factor for i in range(items)], ttft=50 * factor, start=5000, repeat=1
        ),
    ]


@pytest.mark.parametrize("factor", [1.06, 0.94])
def test_every_item_changing_between_the_repeats_is_drift(factor: float) -> None:
    found = reason("drift_ttft", drifting(factor))
    assert found.measured == pytest.approx(0.06)
    assert ("grew" if factor > 1 else "fell") in found.message
    assert isinstance(finding("drift_tpot", drifting(factor)), Reason)


def test_a_change_below_five_percent_is_left_to_the_interval() -> None:
    found = finding("drift_ttft", drifting(1.04))
    assert isinstance(found, Passed)
    assert found.note is None


def test_one_item_that_goes_the_other_way_leaves_room_for_chance() -> None:
    records = [
        *drifting(1.5, items=8),
        record(0, 0, [60, 110], item="other"),
        record(6000, 6000, [6050, 6090], item="other", repeat=1),
    ]
    found = finding("drift_ttft", records)
    assert isinstance(found, Passed)
    assert found.measured == pytest.approx(0.5)
    assert found.note is not None
    assert "chance" in found.note


def test_drift_between_repeats_needs_nine_items_that_were_asked_twice() -> None:
    once = record(9000, 9000, [9050, 9100], item="once", repeat=1)
    found = finding("drift_ttft", [*drifting(2, items=8), once])
    assert isinstance(found, NotChecked)
    assert found.why == "needs 9 items measured twice, there are 8"


def test_the_second_half_slower_than_the_first_is_drift() -> None:
    slower = [
        *stream([100.0 + i for i in range(8)], ttft=50),
        *stream([200.0 + i for i in range(8)], ttft=80, start=5000),
    ]
    slower = [msgspec.structs.replace(r, item_id=f"item-{i}") for i, r in enumerate(slower)]
    found = reason("drift_ttft", slower)
    assert found.measured == pytest.approx(0.6)
    assert "half" in found.message
    short = finding("drift_ttft", slower[:15])
    assert isinstance(short, NotChecked)
    assert short.why == "needs 16 requests, there are 15"
    alone = finding("drift_ttft", slower[:1])
    assert isinstance(alone, NotChecked)
    assert alone.why == "needs 16 requests, there is 1"


def test_the_halves_go_by_the_time_of_sending_not_by_the_order_of_the_records() -> None:
    slower = [
        *stream([100.0] * 8, ttft=50),
        *stream([200.0] * 8, ttft=80, start=5000),
    ]
    assert isinstance(finding("drift_ttft", slower[::-1]), Reason)
    assert "grew" in reason("drift_ttft", slower[::-1]).message


def test_values_of_zero_are_not_compared() -> None:
    instant = [record(i, i, [i, i + 1], item=f"item-{i}") for i in range(20)]
    assert isinstance(finding("drift_ttft", instant), NotChecked)
    later = [record(i, i, [i + 5, i + 9], item=f"item-{i - 20}", repeat=1) for i in range(20, 40)]
    repeated = finding("drift_ttft", [*instant, *later])
    assert isinstance(repeated, NotChecked)
    assert "there are 0" in repeated.why


def test_repeats_that_differ_by_more_than_the_interval_are_suspect() -> None:
    # Items alike, so that the interval is narrow; the repeats 10 % apart.
    apart = [
        r
        for repeat, total in enumerate([100.0, 105.0, 110.0])
        for r in stream([total] * 6, repeat=repeat, start=1000 * repeat)
    ]
    found = reason("repeat_spread", apart)
    assert found.measured == pytest.approx(0.010)
    assert found.limit == pytest.approx(0.00525)  # 5 % of the median
    close = [
        r
        for repeat, total in enumerate([100.0, 102.0, 104.0])
        for r in stream([total] * 6, repeat=repeat, start=1000 * repeat)
    ]
    assert isinstance(finding("repeat_spread", close), Passed)


def test_a_wide_interval_says_itself_how_little_is_known() -> None:
    wide = [
        r
        for repeat, factor in enumerate([1.0, 1.2])
        for r in stream(
            [factor * t for t in (100, 150, 200, 250, 300, 350)], repeat=repeat, start=5000 * repeat
        )
    ]
    assert isinstance(finding("repeat_spread", wide), Passed)


def test_repeats_are_compared_over_the_items_that_all_of_them_answered() -> None:
    two = [*stream([100] * 6), *stream([100] * 5, repeat=1, start=1000)]
    assert isinstance(finding("repeat_spread", two), NotChecked)
    assert isinstance(finding("repeat_spread", steady()), NotChecked)


def test_a_hybrid_request_is_judged_by_all_its_calls() -> None:
    """One failed call inside a request that succeeded is no failed request."""
    several = [
        record_of(
            [reply(0, 0, [], outcome=Outcome.RESET, end=5), reply(5, 6, [50, 60])],
            item=f"item-{i}",
        )
        for i in range(20)
    ]
    assert isinstance(finding("failures", several), Passed)
    assert isinstance(finding("start_lag", several), Passed)


# --- the limits: a value that is exactly at one passes, one just above it does not


def mixed(odd: int, of: int, **fields: Any) -> list[RequestRecord]:
    """So many requests, the first of which are as described."""
    good: dict[str, Any] = {"engine": EngineTimings(cached_tokens=0, predicted_tokens=5)}
    different = stream([100] * odd, **(good | fields))
    return [*different, *stream([100] * of, **good)[odd:]]


def at_once(odd: int, of: int) -> list[RequestRecord]:
    """So many requests, the first of which arrive in one piece."""
    lumps = [record(0, 0, [100] * 5, item=f"lump-{i}") for i in range(odd)]
    return [*lumps, *stream([100] * (of - odd))]


def of_length(odd: int, of: int, tokens: int = 7) -> list[RequestRecord]:
    """So many requests for five tokens, the first of which have another number."""
    return [
        *stream([100] * odd, forced=5, usage=Usage(completion_tokens=tokens)),
        *stream([100] * of, forced=5)[odd:],
    ]


SHARES: dict[str, Callable[[int, int], list[RequestRecord]]] = {
    "failures": lambda odd, of: mixed(odd, of, outcome=Outcome.RESET),
    "empty_answers": lambda odd, of: mixed(odd, of, event_ns=()),
    "buffered": at_once,
    "token_count": lambda odd, of: mixed(odd, of, engine=EngineTimings(predicted_tokens=9)),
    "forced_length": of_length,
    "warm_prefix": lambda odd, of: mixed(odd, of, engine=EngineTimings(cached_tokens=17)),
    "first_merged": lambda odd, of: mixed(odd, of, first_merged=True),
    "merged_reads": lambda odd, of: mixed(odd, of, merged_events=5),
    "stamp_source": lambda odd, of: mixed(odd, of, kernel_reads=0),
}
"""Rules about a share of the requests, and requests of which a share is odd."""


@pytest.mark.parametrize("rule", SHARES)
def test_one_in_a_hundred_is_accepted_and_one_in_ninety_nine_is_not(rule: str) -> None:
    at_limit = finding(rule, SHARES[rule](1, 100), GOOD)
    assert isinstance(at_limit, Passed)
    assert at_limit.measured == at_limit.limit == 0.01
    assert reason(rule, SHARES[rule](1, 99), GOOD).severity == "suspect"


@pytest.mark.parametrize("rule", ["failures", "empty_answers", "warm_prefix"])
def test_ten_in_a_hundred_are_suspect_and_ten_in_ninety_nine_invalid(rule: str) -> None:
    assert reason(rule, SHARES[rule](10, 100), GOOD).severity == "suspect"
    assert reason(rule, SHARES[rule](10, 99), GOOD).severity == "invalid"


@pytest.mark.parametrize(
    "rule", sorted(SHARES.keys() - {"failures", "empty_answers", "warm_prefix"})
)
def test_what_only_blurs_a_measurement_never_makes_it_invalid(rule: str) -> None:
    assert reason(rule, SHARES[rule](99, 99), GOOD).severity == "suspect"


@pytest.mark.parametrize(
    ("ttft", "lag", "severity"),
    [
        (50, 1, None),  # 1 ms, which is more than 1 % of 50 ms
        (50, 1.001, "suspect"),
        (50, 10, "suspect"),
        (50, 10.001, "invalid"),
        (500, 5, None),  # 1 % of 500 ms, which is more than 1 ms
        (500, 5.001, "suspect"),
        (500, 50, "suspect"),
        (500, 50.001, "invalid"),
    ],
)
def test_the_limit_of_the_start_lag(ttft: float, lag: float, severity: str | None) -> None:
    found = finding("start_lag", stream([1000] * 20, ttft=ttft, lag=lag))
    assert getattr(found, "severity", None) == severity


@pytest.mark.parametrize(
    ("ttft", "step", "severity"),
    [
        (2, 0.1, None),  # 0.1 ms, which is more than 1 % of 2 ms
        (2, 0.101, "suspect"),
        (2, 1, "suspect"),
        (2, 1.001, "invalid"),
        (50, 0.5, None),  # 1 % of 50 ms, which is more than 0.1 ms
        (50, 0.501, "suspect"),
        (50, 5, "suspect"),
        (50, 5.001, "invalid"),
    ],
)
def test_the_limit_of_a_clocks_step(ttft: float, step: float, severity: str | None) -> None:
    found = finding("clock_step", stream([100] * 20, ttft=ttft), facts(clock_step_ns=ns(step)))
    assert not isinstance(found, NotChecked)
    assert getattr(found, "severity", None) == severity


@pytest.mark.parametrize(("late", "severity"), [(10, None), (10.001, "suspect"), (900, "suspect")])
def test_the_limit_of_lateness(late: float, severity: str | None) -> None:
    found = finding("lateness", steady(lateness=late))
    assert getattr(found, "severity", None) == severity


@pytest.mark.parametrize(
    ("used", "pinned", "severity"), [(50, False, None), (51, False, "suspect"), (999, True, None)]
)
def test_the_limit_of_shared_cores(used: float, pinned: bool, severity: str | None) -> None:
    found = finding("shared_cores", steady(), facts(pinned=pinned, own_cpu_ns=ns(used)))
    assert getattr(found, "severity", None) == severity


@pytest.mark.parametrize(
    ("tokens", "severity"),
    [
        (18, None),  # in ten events: 17/16.2 of the rate, 4.9 % too much
        (19, "suspect"),  # 18/17.1, 5.3 %
    ],
)
def test_the_limit_of_lumped_events(tokens: int, severity: str | None) -> None:
    lumped = stream([100] * 20, tokens=10, usage=Usage(completion_tokens=tokens))
    assert getattr(finding("lumped_events", lumped), "severity", None) == severity


@pytest.mark.parametrize(
    ("tokens", "severity"), [(3, "suspect"), (4, None), (6, None), (7, "suspect")]
)
def test_the_token_that_ends_an_answer_may_be_more_or_less(
    tokens: int, severity: str | None
) -> None:
    forced = finding("forced_length", of_length(20, 20, tokens=tokens))
    assert getattr(forced, "severity", None) == severity
    counted = finding("token_count", steady(engine=EngineTimings(predicted_tokens=tokens)))
    assert getattr(counted, "severity", None) == severity


@pytest.mark.parametrize(
    ("factor", "severity"),
    [(1.0499, None), (1.0501, "suspect"), (0.9501, None), (0.9499, "suspect"), (9.0, "suspect")],
)
def test_the_limit_of_a_change(factor: float, severity: str | None) -> None:
    assert getattr(finding("drift_ttft", drifting(factor)), "severity", None) == severity


@pytest.mark.parametrize(
    ("items", "drifts"),
    [
        (11, False),  # and one the other way: 2 · 13/2¹² = 0.0063
        (12, True),  # 2 · 14/2¹³ = 0.0034
    ],
)
def test_a_change_has_to_be_too_clear_to_be_chance(items: int, drifts: bool) -> None:
    records = [
        *drifting(1.5, items=items),
        record(0, 0, [60, 110], item="other"),
        record(9000, 9000, [9050, 9090], item="other", repeat=1),
    ]
    found = finding("drift_ttft", records)
    assert isinstance(found, Reason if drifts else Passed)


@given(st.permutations(first(4, outcome=Outcome.RESET)))
def test_the_order_of_the_records_changes_nothing(records: list[RequestRecord]) -> None:
    def judged(verdict: Verdict) -> list[tuple[str, str]]:
        return [(r.rule, r.severity) for r in verdict.reasons]

    assert judged(judge(records, GOOD)) == judged(judge(first(4, outcome=Outcome.RESET), GOOD))


def test_the_documentation_has_every_rule_in_its_order(root: Path) -> None:
    method = (root / "docs" / "method.md").read_text(encoding="utf-8")
    table = [line.split("`")[1] for line in method.splitlines() if line.startswith("| `")]
    evidence = Evidence(steady(), GOOD, 0.95)
    assert table == [rule(evidence).rule for rule in RULES]
