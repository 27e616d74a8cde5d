"""The runner, against a real server on loopback."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from bench.ground_truth import GroundTruthServer, ground_truth_server
from minionbench.allowance import TOKENS_PER_MESSAGE, Allowance, Reserved
from minionbench.deployments.deployment import Deployment, answer_of
from minionbench.deployments.single import Local
from minionbench.exchange import (
    Answer,
    Call,
    Endpoint,
    Limits,
    Message,
    Outcome,
    Plan,
    Reply,
    Request,
    Side,
    Timeouts,
)
from minionbench.load import ClosedLoop, Load, OpenLoop
from minionbench.records import RequestRecord
from minionbench.runner import HOPELESS_FAILURES, Phased, PhaseFacts, Runner, StopSwitch
from minionbench.transport.loop import Transport
from minionbench.units import NS_PER_MS, NS_PER_S


@pytest.fixture(scope="module")
def server() -> Iterator[GroundTruthServer]:
    with ground_truth_server(ttft_ms=2, itl_ms=0.2, tokens=5) as running:
        yield running


class Written(list[RequestRecord]):
    """A journal in memory."""


def requests(n: int) -> tuple[Request, ...]:
    return tuple(
        Request(
            item_id=f"item/{i}",
            messages=(Message("user", f"question {i}"),),
            limits=Limits(max_output_tokens=5),
            source="test",
            input_tokens=2,
        )
        for i in range(n)
    )


def run(
    base_url: str,
    n: int,
    *,
    load: Load | None = None,
    deployment: Deployment | None = None,
    slots: int | None = None,
    stop: StopSwitch | None = None,
    stop_after: int | None = None,
    keep_text: bool = True,
    timeouts: Timeouts | None = None,
    unique_prefix: bool = False,
    allowance: Allowance | None = None,
) -> tuple[list[RequestRecord], PhaseFacts, list[RequestRecord]]:
    """Runs one phase; its records, its facts, and what was in the journal."""
    switch = stop or StopSwitch()
    journal = Written()

    def on_record(record: RequestRecord) -> None:
        if stop_after is not None and len(journal) >= stop_after:
            switch.throw("enough")

    endpoint = Endpoint(
        base_url, "mock", slots=slots, timeouts=timeouts, unique_prefix=unique_prefix
    )
    with Transport() as transport:
        runner = Runner(
            deployment or Local("any/model"),
            {"local": endpoint},
            transport,
            journal,
            stop=switch,
            on_record=on_record,
            keep_text=keep_text,
            allowance=allowance,
        )
        phase = Phased(
            cell="cell",
            phase="measured",
            repeat=2,
            requests=tuple(enumerate(requests(n), 10)),
            load=load or ClosedLoop(),
        )
        records, facts = runner.run(phase)
    return records, facts, list(journal)


def test_every_request_has_one_record_which_is_in_the_journal_too(
    server: GroundTruthServer,
) -> None:
    records, facts, journal = run(server.base_url, 7, load=ClosedLoop(concurrency=3))
    assert sorted(record.index for record in records) == list(range(10, 17))
    assert {record.item_id for record in records} == {f"item/{i}" for i in range(7)}
    assert all(record.ok and record.repeat == 2 for record in records)
    assert all(record.calls[0].reply.usage.completion_tokens == 5 for record in records)  # type: ignore[union-attr]
    assert journal == records
    assert facts.planned == 7
    assert facts.given_up is None
    assert 0 < facts.own_cpu_ns < facts.end_ns - facts.start_ns


def test_one_stream_sends_the_next_request_when_the_one_before_has_ended(
    server: GroundTruthServer,
) -> None:
    records, _, _ = run(server.base_url, 4)
    for before, after in itertools.pairwise(records):
        assert after.planned_ns == before.calls[0].reply.end_ns
        assert after.calls[0].reply.sent_ns >= after.planned_ns  # type: ignore[operator]


def test_the_next_request_does_not_wait_for_the_answer_before_to_be_read(
    server: GroundTruthServer,
) -> None:
    happened: list[str] = []

    class Noting(Local):
        def plan(self, request: Request) -> Plan:
            happened.append(f"asked {request.item_id}")
            answer = yield from super().plan(request)
            happened.append(f"read {request.item_id}")
            return answer

    run(server.base_url, 2, deployment=Noting())
    # A plan begins to run when its first call is asked for.
    assert happened == ["asked item/0", "asked item/1", "read item/0", "read item/1"]


def test_a_closed_loop_keeps_its_number_of_requests_under_way(server: GroundTruthServer) -> None:
    records, _, _ = run(server.base_url, 12, load=ClosedLoop(concurrency=4))
    spans = [(r.calls[0].reply.sent_ns, r.calls[0].reply.end_ns) for r in records]
    at_once = [sum(1 for s, e in spans if s <= at < e) for at, _ in spans]  # type: ignore[operator]
    assert max(at_once) == 4


def test_an_open_loop_sends_by_plan_and_never_before(server: GroundTruthServer) -> None:
    load = OpenLoop(rate_per_s=500)
    records, facts, _ = run(server.base_url, 20, load=load)
    planned = sorted(record.planned_ns for record in records)
    assert [at_ns - facts.start_ns for at_ns in planned] == load.offsets_ns(20, 0)
    assert all(r.calls[0].reply.sent_ns >= r.planned_ns for r in records)  # type: ignore[operator]


def test_waiting_for_a_slot_is_between_planned_and_admitted(server: GroundTruthServer) -> None:
    records, _, _ = run(server.base_url, 3, load=ClosedLoop(concurrency=3), slots=1)
    waits = sorted(r.calls[0].reply.admitted_ns - r.planned_ns for r in records)  # type: ignore[operator]
    assert waits[0] == 0
    assert waits[1] >= 2 * NS_PER_MS
    assert waits[2] > waits[1]


def test_a_failed_request_is_a_record_and_the_others_go_on(server: GroundTruthServer) -> None:
    url = server.url(fault="http-500")
    server.set(fault="none")
    records, facts, _ = run(url, 3)
    assert [record.outcome for record in records] == [Outcome.HTTP_ERROR] * 3
    assert all(r.failure is not None and r.failure.http_status == 500 for r in records)
    assert all(r.answer is None and r.abstained for r in records)
    assert facts.given_up is None


def test_failure_after_failure_ends_the_phase_with_the_reason(server: GroundTruthServer) -> None:
    records, facts, _ = run(server.url(fault="reset", fault_at=0), HOPELESS_FAILURES + 5)
    assert len(records) == HOPELESS_FAILURES
    assert facts.given_up == f"{HOPELESS_FAILURES} requests in a row failed"


def test_many_streams_that_fail_together_are_not_hopeless_at_once(
    server: GroundTruthServer,
) -> None:
    url = server.url(fault="reset", fault_at=0)
    records, facts, _ = run(url, 40, load=ClosedLoop(concurrency=8))
    assert facts.given_up == "16 requests in a row failed"
    assert 16 <= len(records) < 40


def test_two_time_outs_in_a_row_end_the_phase(server: GroundTruthServer) -> None:
    timeouts = Timeouts(first_byte_s=0.1)
    records, facts, _ = run(server.url(fault="hang"), 9, timeouts=timeouts)
    assert [record.outcome for record in records] == [Outcome.FIRST_BYTE_TIMEOUT] * 2
    assert facts.given_up == "2 requests in a row ran into a time-out"


def test_a_thrown_switch_cuts_what_is_under_way_and_keeps_all_of_it(
    server: GroundTruthServer,
) -> None:
    records, facts, journal = run(
        server.url(ttft_ms=3, itl_ms=3), 40, load=ClosedLoop(concurrency=4), stop_after=6
    )
    assert facts.given_up == "enough"
    assert journal == records
    outcomes = [record.outcome for record in records]
    assert outcomes.count(Outcome.OK) >= 6
    assert set(outcomes) <= {Outcome.OK, Outcome.CUT, Outcome.NOT_SENT}
    assert len(records) < 40


def test_requests_planned_for_later_are_not_sent_when_the_switch_is_thrown(
    server: GroundTruthServer,
) -> None:
    records, _, _ = run(
        server.base_url, 5, load=OpenLoop(rate_per_s=2, burstiness=float("inf")), stop_after=1
    )
    outcomes = [record.outcome for record in records]
    assert outcomes[0] is Outcome.OK
    assert set(outcomes[1:]) == {Outcome.NOT_SENT}
    assert all(r.calls[0].reply.sent_ns is None for r in records[1:])


def test_an_answer_that_was_whole_when_the_run_was_stopped_counts(
    server: GroundTruthServer,
) -> None:
    server.reset()
    switch = StopSwitch()

    class StoppedWhileReading(Local):
        """Throws the switch at the first answer, when those of all four streams are there."""

        def plan(self, request: Request) -> Plan:
            answer = yield from super().plan(request)
            if switch.why is None:
                switch.throw("enough")
                while sum(seen.end_ns is not None for seen in server.dump()) < 4:
                    pass
            return answer

    records, facts, _ = run(
        server.base_url,
        9,
        load=ClosedLoop(concurrency=4),
        deployment=StoppedWhileReading(),
        stop=switch,
    )
    assert facts.given_up == "enough"
    assert [record.outcome for record in records].count(Outcome.OK) >= 4
    assert all(record.answer for record in records if record.ok)


def test_without_text_a_record_holds_neither_prompt_nor_answer(server: GroundTruthServer) -> None:
    records, _, _ = run(server.base_url, 1, keep_text=False)
    call = records[0].calls[0]
    assert records[0].answer is call.prompt is call.reply.text is None
    assert call.reply.usage is not None


class FanOut:
    """Asks twice side by side, then once more, and answers with the last."""

    name = "fan-out"
    sides: tuple[Side, ...] = ("local",)
    asks_once = False
    prepares = False

    def plan(self, request: Request) -> Plan:
        def call(job: int) -> Call:
            return Call(
                side="local", messages=request.messages, limits=request.limits, job=job, round=job
            )

        first = yield (call(0), call(1))
        assert [reply.outcome for reply in first] == [Outcome.OK, Outcome.OK]
        (last,) = yield (call(2),)
        return answer_of(last, 2)


def test_a_plan_of_several_calls_is_one_request_with_all_of_them(
    server: GroundTruthServer,
) -> None:
    records, _, _ = run(server.base_url, 3, deployment=FanOut(), slots=2)
    for record in records:
        assert [call.job for call in record.calls] == [0, 1, 2]
        first, second, last = (call.reply for call in record.calls)
        assert first.planned_ns == second.planned_ns == record.planned_ns
        assert last.planned_ns == max(first.end_ns, second.end_ns)  # type: ignore[type-var]
        assert record.answer == last.text
        assert record.answer_call == 2


class Stubborn:
    """Asks again after a failure and answers with what the second attempt says."""

    name = "stubborn"
    sides: tuple[Side, ...] = ("local",)
    asks_once = False
    prepares = False

    def plan(self, request: Request) -> Plan:
        call = Call(side="local", messages=request.messages, limits=request.limits)
        (reply,) = yield (call,)
        if reply.outcome is not Outcome.OK:
            (reply,) = yield (call,)
            return answer_of(reply, 1)
        return answer_of(reply, 0)


def test_a_failure_is_handed_to_the_plan_which_may_ask_again(server: GroundTruthServer) -> None:
    server.reset()
    server.set(fault="http-500", fault_every=2)
    try:
        records, _, _ = run(server.base_url, 2, deployment=Stubborn())
    finally:
        server.reset()
    assert [[c.reply.outcome for c in r.calls] for r in records] == [
        [Outcome.HTTP_ERROR, Outcome.OK]
    ] * 2
    assert all(record.ok and record.answer for record in records)


class Silent:
    """Gives up after a successful reply."""

    name = "silent"
    sides: tuple[Side, ...] = ("local",)
    asks_once = False
    prepares = False

    def plan(self, request: Request) -> Plan:
        yield (Call(side="local", messages=request.messages, limits=request.limits),)
        return Answer(text=None, call=None, abstained="nothing to say")


def test_giving_up_after_good_replies_is_an_abstention_and_no_failure(
    server: GroundTruthServer,
) -> None:
    records, _, _ = run(server.base_url, 1, deployment=Silent())
    assert records[0].ok
    assert records[0].answer is None
    assert records[0].abstained == "nothing to say"


class Buggy:
    """A plan that raises."""

    name = "buggy"
    sides: tuple[Side, ...] = ("local",)
    asks_once = False
    prepares = False

    def plan(self, request: Request) -> Plan:
        yield (Call(side="local", messages=request.messages, limits=request.limits),)
        raise ZeroDivisionError


def test_an_exception_in_a_plan_is_a_bug_and_surfaces(server: GroundTruthServer) -> None:
    with pytest.raises(ZeroDivisionError):
        run(server.base_url, 1, deployment=Buggy())


def test_a_dead_engine_ends_the_phase_with_its_last_words(server: GroundTruthServer) -> None:
    journal = Written()
    with Transport() as transport:
        runner = Runner(
            Local(),
            {"local": Endpoint(server.url(fault="reset", fault_at=0), "mock")},
            transport,
            journal,
            stop=StopSwitch(),
            engine_ended=lambda: "The engine was killed by SIGKILL",
        )
        phase = Phased(
            cell="c",
            phase="measured",
            repeat=0,
            requests=tuple(enumerate(requests(5))),
            load=ClosedLoop(),
        )
        records, facts = runner.run(phase)
    assert len(records) == 1
    assert facts.given_up == "The engine was killed by SIGKILL"


def test_after_a_429_the_next_request_waits_as_long_as_the_server_asked(
    server: GroundTruthServer,
) -> None:
    server.reset()
    server.set(fault="http-429", fault_every=3, retry_after_s=1)
    allowance = Allowance()
    try:
        records, facts, _ = run(server.base_url, 3, allowance=allowance)
    finally:
        server.reset()
    first, second, third = records
    assert [r.outcome for r in records] == [Outcome.HTTP_ERROR, Outcome.OK, Outcome.OK]
    assert first.failure is not None
    assert first.failure.retry_after_s == 1
    asked_ns = first.calls[0].reply.end_ns
    assert asked_ns is not None
    assert second.planned_ns == asked_ns + NS_PER_S
    assert second.calls[0].reply.sent_ns >= second.planned_ns  # type: ignore[operator]
    assert third.planned_ns == second.calls[0].reply.end_ns
    (pause,) = allowance.pauses
    assert (pause.start_ns, pause.end_ns) == (asked_ns, asked_ns + NS_PER_S)
    assert facts.given_up is None


class NoQuota(Allowance):
    """As after an answer that says so."""

    def settle(
        self, call: Call, reply: Reply, reserved: Reserved, prompt_tokens: int | None = None
    ) -> None:
        self.exhausted = "the quota is used up"


def test_nothing_more_is_asked_when_the_quota_is_used_up_but_what_is_under_way_may_end(
    server: GroundTruthServer,
) -> None:
    records, facts, _ = run(
        server.url(ttft_ms=20), 30, load=ClosedLoop(concurrency=3), allowance=NoQuota()
    )
    assert facts.given_up == "the quota is used up"
    assert {r.outcome for r in records} == {Outcome.OK}
    # Each stream's next request goes before the answer that says so has been read.
    assert 3 <= len(records) <= 6


def test_a_run_ends_before_a_request_that_could_take_it_past_its_budget(
    server: GroundTruthServer,
) -> None:
    taken = 20 + 5
    most = 2 + 2 * TOKENS_PER_MESSAGE + 5
    allowance = Allowance(2 * taken + most)
    records, facts, _ = run(server.url(prompt_tokens=20), 9, allowance=allowance)
    assert len(records) == 3
    assert all(record.ok for record in records)
    assert allowance.spent_tokens == 3 * taken <= 2 * taken + most
    assert allowance.reserved_tokens == 0
    assert facts.given_up is not None
    assert facts.given_up.startswith(f"the next request could take {most} tokens")


def test_streams_wait_for_each_other_where_the_budget_has_room_for_one_at_a_time(
    server: GroundTruthServer,
) -> None:
    most = 2 + 2 * TOKENS_PER_MESSAGE + 5
    taken = 20 + 5
    allowance = Allowance(3 * taken + most)
    records, facts, _ = run(
        server.url(prompt_tokens=20), 4, load=ClosedLoop(concurrency=4), allowance=allowance
    )
    assert [record.outcome for record in records] == [Outcome.OK] * 4
    assert facts.given_up is None


def test_a_plan_that_the_budget_stops_half_way_keeps_its_calls(server: GroundTruthServer) -> None:
    most = 2 + 2 * TOKENS_PER_MESSAGE + 5
    records, facts, _ = run(
        server.base_url, 3, deployment=FanOut(), allowance=Allowance(2 * most + 1)
    )
    (record,) = records
    assert record.outcome is Outcome.CUT
    assert [call.reply.outcome for call in record.calls] == [Outcome.OK] * 2
    assert record.failure is not None
    assert facts.given_up == record.failure.message


def test_a_unique_prefix_makes_every_prompt_differ_from_its_first_words_on(
    server: GroundTruthServer,
) -> None:
    records, _, _ = run(server.base_url, 3, unique_prefix=True)
    prompts = [record.calls[0].prompt[0][1] for record in records]  # type: ignore[index]
    beginnings = {prompt[: len("Request 0123456789ab. ")] for prompt in prompts}
    assert len(beginnings) == 3
    assert sorted(prompt.partition(". ")[2] for prompt in prompts) == [
        "question 0",
        "question 1",
        "question 2",
    ]


@contextmanager
def faulty(server: GroundTruthServer, **settings: Any) -> Iterator[str]:
    """The server with these settings, counted from its next request on."""
    server.reset()
    server.set(**settings)
    try:
        yield server.base_url
    finally:
        server.reset()


def test_a_success_begins_the_count_of_failures_anew(server: GroundTruthServer) -> None:
    with faulty(server, fault="http-500", fault_from=2) as url:
        records, facts, _ = run(url, 20)
    assert facts.given_up == "10 requests in a row failed"
    assert len(records) == 2 + 10


def test_a_success_begins_the_count_of_time_outs_anew(server: GroundTruthServer) -> None:
    with faulty(server, fault="hang", fault_from=2) as url:
        records, facts, _ = run(url, 9, timeouts=Timeouts(first_byte_s=0.2))
    assert facts.given_up == "2 requests in a row ran into a time-out"
    assert len(records) == 2 + 2


def test_failures_with_a_success_between_them_end_nothing(server: GroundTruthServer) -> None:
    with faulty(server, fault="http-500", fault_every=2) as url:
        records, facts, _ = run(url, 30)
    assert facts.given_up is None
    assert [record.ok for record in records] == [False, True] * 15


class Twice(Local):
    """Asks the same twice, one after the other."""

    asks_once = False

    def plan(self, request: Request) -> Plan:
        (_,) = yield (Call(side="local", messages=request.messages, limits=request.limits),)
        (last,) = yield (Call(side="local", messages=request.messages, limits=request.limits),)
        return answer_of(last, 1)


def test_a_stream_begins_nothing_until_all_calls_of_its_request_have_ended(
    server: GroundTruthServer,
) -> None:
    records, _, _ = run(server.base_url, 3, deployment=Twice())
    for before, after in itertools.pairwise(records):
        assert after.planned_ns == before.calls[-1].reply.end_ns


def test_with_a_budget_an_answer_is_read_before_the_next_request_goes(
    server: GroundTruthServer,
) -> None:
    happened: list[str] = []

    class Noting(Local):
        def plan(self, request: Request) -> Plan:
            happened.append(f"asked {request.item_id}")
            answer = yield from super().plan(request)
            happened.append(f"read {request.item_id}")
            return answer

    run(server.base_url, 2, deployment=Noting(), allowance=Allowance(1_000_000))
    assert happened == ["asked item/0", "read item/0", "asked item/1", "read item/1"]


@pytest.mark.parametrize(
    ("deployment", "slots", "failures"),
    [
        (None, 4, 16),  # one call each: two for each of eight streams
        (Twice(), None, 16),
        (Twice(), 2, 32),  # and twice as many calls at once
    ],
)
def test_how_many_failures_are_hopeless_goes_by_what_is_under_way_at_once(
    deployment: Deployment | None, slots: int | None, failures: int, server: GroundTruthServer
) -> None:
    url = server.url(fault="reset", fault_at=0)
    load = ClosedLoop(concurrency=8)
    _, facts, _ = run(url, 60, load=load, deployment=deployment, slots=slots)
    assert facts.given_up == f"{failures} requests in a row failed"


class Preparing(Local):
    """Reads its document before its first call."""

    prepares = True

    def __init__(self, happened: list[str]) -> None:
        super().__init__()
        self.happened = happened

    def plan(self, request: Request) -> Plan:
        self.happened.append(f"prepared {request.item_id}")
        answer = yield from super().plan(request)
        self.happened.append(f"read {request.item_id}")
        return answer


def test_an_open_loop_has_every_plan_ready_before_it_begins(server: GroundTruthServer) -> None:
    happened: list[str] = []
    run(server.base_url, 3, deployment=Preparing(happened), load=OpenLoop(rate_per_s=500))
    assert happened[:3] == [f"prepared item/{i}" for i in range(3)]
    assert len(happened) == 6


def test_in_a_closed_loop_each_plan_is_made_ready_in_its_turn(server: GroundTruthServer) -> None:
    happened: list[str] = []
    run(server.base_url, 3, deployment=Preparing(happened))
    assert happened[0] == "prepared item/0"
    assert happened.index("prepared item/2") > happened.index("read item/0")


class KnowsTheFirst(Local):
    """Answers the first item without asking anybody."""

    asks_once = False

    def plan(self, request: Request) -> Plan:
        if request.item_id == "item/0":
            return Answer(text="known", call=None, abstained=None)
        return (yield from super().plan(request))


@pytest.mark.parametrize("load", [ClosedLoop(), OpenLoop(rate_per_s=200)])
def test_an_answer_that_nobody_was_asked_for_takes_nobodys_turn(
    load: Load, server: GroundTruthServer
) -> None:
    records, facts, _ = run(server.base_url, 3, deployment=KnowsTheFirst(), load=load)
    by_index = sorted(records, key=lambda record: record.index)
    assert [len(record.calls) for record in by_index] == [0, 1, 1]
    assert [record.answer is not None for record in by_index] == [True] * 3
    if isinstance(load, OpenLoop):
        offsets = [record.planned_ns - facts.start_ns for record in by_index]
        assert offsets == load.offsets_ns(3, 0)


def test_a_stream_that_waited_for_room_in_the_budget_goes_on_when_there_is(
    server: GroundTruthServer,
) -> None:
    """The first prompt may take all that is left; it takes little, and then two have room."""
    most = 2 + 2 * TOKENS_PER_MESSAGE + 5
    first, *others = requests(7)
    long = msgspec.structs.replace(first, input_tokens=1_000)
    allowance = Allowance(1_000 + most + 10)
    journal = Written()
    with Transport() as transport:
        runner = Runner(
            Local(),
            {"local": Endpoint(server.url(prompt_tokens=20, ttft_ms=30), "mock")},
            transport,
            journal,
            stop=StopSwitch(),
            allowance=allowance,
        )
        phase = Phased(
            cell="cell",
            phase="measured",
            repeat=0,
            requests=tuple(enumerate([long, *others])),
            load=ClosedLoop(concurrency=2),
        )
        records, facts = runner.run(phase)
    assert facts.given_up is None
    replies = {record.index: record.calls[0].reply for record in records}
    at_once = {
        index: sum(other.sent_ns <= reply.sent_ns < other.end_ns for other in replies.values())  # type: ignore[operator]
        for index, reply in replies.items()
    }
    assert at_once[0] == 1
    assert max(at_once.values()) == 2


def test_the_last_failure_is_the_requests(server: GroundTruthServer) -> None:
    class AsksAgain(Local):
        asks_once = False

        def plan(self, request: Request) -> Plan:
            call = Call(side="local", messages=request.messages, limits=request.limits)
            (reply,) = yield (call,)
            assert reply.outcome is Outcome.HTTP_ERROR
            server.set(fault="reset", fault_at=0)
            (reply,) = yield (call,)
            return answer_of(reply, 1)

    with faulty(server, fault="http-500") as url:
        records, _, _ = run(url, 1, deployment=AsksAgain())
    (record,) = records
    outcomes = [call.reply.outcome for call in record.calls]
    assert outcomes[0] is Outcome.HTTP_ERROR
    assert outcomes[1] is not Outcome.OK
    assert outcomes[1] is not Outcome.HTTP_ERROR
    assert record.outcome is outcomes[1]
    assert record.failure == record.calls[1].reply.failure != record.calls[0].reply.failure


def test_an_open_loop_ends_when_the_quota_is_used_up(server: GroundTruthServer) -> None:
    records, facts, _ = run(
        server.base_url,
        6,
        load=OpenLoop(rate_per_s=4, burstiness=float("inf")),
        allowance=NoQuota(),
    )
    assert facts.given_up == "the quota is used up"
    assert {record.outcome for record in records[1:]} == {Outcome.NOT_SENT}
