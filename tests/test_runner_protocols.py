"""The runner with deployments of several calls: protocols and what they need of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from bench.ground_truth import GroundTruthServer, ground_truth_server
from minionbench.allowance import Allowance
from minionbench.clock import monotonic_ns
from minionbench.deployments.deployment import answer_of
from minionbench.exchange import Answer, Call, Endpoint, Outcome, Plan, Request, Side, Timeouts
from minionbench.load import ClosedLoop, Load, OpenLoop
from minionbench.runner import HOPELESS_FAILURES
from minionbench.units import NS_PER_MS
from tests.test_runner import requests, run


@pytest.fixture(scope="module")
def server() -> Iterator[GroundTruthServer]:
    with ground_truth_server(ttft_ms=2, itl_ms=0.2, tokens=5) as running:
        yield running


class Preparing:
    """Works for 20 ms before its first call."""

    name = "preparing"
    sides: tuple[Side, ...] = ("local",)
    asks_once = False

    def __init__(self, *, prepares: bool) -> None:
        self.prepares = prepares
        self.ready_ns: list[int] = []

    def plan(self, request: Request) -> Plan:
        since_ns = monotonic_ns()
        while monotonic_ns() - since_ns < 20 * NS_PER_MS:
            pass
        self.ready_ns.append(monotonic_ns())
        (reply,) = yield (Call(side="local", messages=request.messages, limits=request.limits),)
        return answer_of(reply, 0)


def test_a_request_whose_plan_needs_work_is_planned_when_that_is_done(
    server: GroundTruthServer,
) -> None:
    deployment = Preparing(prepares=True)
    records, _, _ = run(server.base_url, 3, deployment=deployment)
    for record, ready_ns in zip(records, deployment.ready_ns, strict=True):
        assert record.planned_ns >= ready_ns
        assert record.planned_ns == record.calls[0].reply.planned_ns


def test_other_requests_are_planned_at_the_end_of_the_one_before(
    server: GroundTruthServer,
) -> None:
    records, _, _ = run(server.base_url, 3, deployment=Preparing(prepares=False))
    for before, after in itertools.pairwise(records):
        assert after.planned_ns == before.calls[0].reply.end_ns


def test_in_an_open_loop_all_plans_are_made_ready_before_the_first_instant(
    server: GroundTruthServer,
) -> None:
    deployment = Preparing(prepares=True)
    load = OpenLoop(rate_per_s=500)
    records, facts, _ = run(server.base_url, 4, deployment=deployment, load=load)
    assert max(deployment.ready_ns) <= facts.start_ns
    planned = sorted(record.planned_ns for record in records)
    assert [at_ns - facts.start_ns for at_ns in planned] == load.offsets_ns(4, 0)


class Speechless:
    """Has nothing to ask about every second request."""

    name = "speechless"
    sides: tuple[Side, ...] = ("local",)
    asks_once = False
    prepares = True

    def plan(self, request: Request) -> Plan:
        if request.item_id.endswith(("1", "3", "5")):
            return Answer(text=None, call=None, abstained="nothing to ask", tally={"rounds": 0})
        (reply,) = yield (
            Call(side="local", messages=request.messages, limits=request.limits, attempt=1),
        )
        return Answer(text=reply.text, call=0, is_part=True, at_character=2, tally={"rounds": 1})


@pytest.mark.parametrize("load", [ClosedLoop(), OpenLoop(rate_per_s=500)])
def test_a_plan_that_asks_nothing_is_a_record_without_calls(
    server: GroundTruthServer, load: Load
) -> None:
    records, facts, journal = run(server.base_url, 6, deployment=Speechless(), load=load)
    assert facts.given_up is None
    assert sorted(journal, key=lambda r: r.index) == sorted(records, key=lambda r: r.index)
    silent = [record for record in records if not record.calls]
    assert {record.item_id for record in silent} == {"item/1", "item/3", "item/5"}
    assert {record.abstained for record in silent} == {"nothing to ask"}
    assert {record.outcome for record in silent} == {Outcome.OK}


def test_what_a_protocol_says_of_its_answer_and_calls_is_in_the_record(
    server: GroundTruthServer,
) -> None:
    record = run(server.base_url, 1, deployment=Speechless())[0][0]
    assert record.tally == {"rounds": 1}
    assert (record.answer_is_part, record.answer_at) == (True, 2)
    assert record.calls[0].attempt == 1


def test_failing_calls_do_not_end_a_phase_whose_requests_are_answered(
    server: GroundTruthServer,
) -> None:
    """Of each request eleven calls fail and the request goes on."""

    class Patient:
        name = "patient"
        sides: tuple[Side, ...] = ("local",)
        asks_once = False
        prepares = False

        def plan(self, request: Request) -> Plan:
            call = Call(side="local", messages=request.messages, limits=request.limits)
            replies = yield tuple(call for _ in range(HOPELESS_FAILURES + 1))
            assert {reply.outcome for reply in replies} == {Outcome.HTTP_ERROR}
            return Answer(text="all the same", call=None)

    url = server.url(fault="http-500")
    server.set(fault="none")
    records, facts, _ = run(url, 3, deployment=Patient())
    assert facts.given_up is None
    assert [record.answer for record in records] == ["all the same"] * 3


def test_calls_that_time_out_one_after_the_other_end_a_phase_soon(
    server: GroundTruthServer,
) -> None:
    timeouts = Timeouts(first_byte_s=0.1)
    records, facts, _ = run(
        server.url(fault="hang"), 9, deployment=FanOutAnyhow(), slots=2, timeouts=timeouts
    )
    assert facts.given_up == "2 calls in a row ran into a time-out"
    (record,) = records
    assert len(record.calls) == 64
    assert record.outcome in (Outcome.CUT, Outcome.NOT_SENT)
    assert record.failure is not None and "time-out" in record.failure.message
    assert sum(call.reply.outcome is Outcome.FIRST_BYTE_TIMEOUT for call in record.calls) >= 2


def test_calls_side_by_side_that_the_budget_refuses_leave_nothing_set_aside(
    server: GroundTruthServer,
) -> None:
    """Room for some of the 64 calls is no room: none of them is sent."""
    deployment = FanOutAnyhow()
    (call, *_) = next(deployment.plan(next(iter(requests(1)))))
    most = Allowance(10**9).reserve(call, Endpoint(server.base_url, "mock"), None)
    assert most is not None
    allowance = Allowance(10 * most.tokens)
    records, facts, _ = run(server.base_url, 2, deployment=deployment, allowance=allowance)
    assert records == []
    assert allowance.reserved_tokens == allowance.spent_tokens == 0
    assert facts.given_up is not None and "the next request could take" in facts.given_up


class FanOutAnyhow:
    """Asks 64 times side by side."""

    name = "fan-out"
    sides: tuple[Side, ...] = ("local",)
    asks_once = False
    prepares = False

    def plan(self, request: Request) -> Plan:
        call = Call(side="local", messages=request.messages, limits=request.limits)
        yield tuple(call for _ in range(64))
        return Answer(text=None, call=None, abstained="why")
