"""The runner: drives deployments over the transport and writes down what happened.

It asks a deployment's generator for calls, has them sent, reads their exchanges when nothing is
due to be sent, hands the replies back, and stores one record per request. It neither computes
metrics nor prints.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from secrets import token_hex
from typing import NamedTuple, Protocol

import msgspec

from minionbench.allowance import Allowance, Reserved
from minionbench.clock import monotonic_ns, process_cpu_ns
from minionbench.deployments.deployment import Deployment
from minionbench.exchange import (
    Answer,
    Call,
    Endpoint,
    Failure,
    Message,
    Outcome,
    Plan,
    Reply,
    Request,
    Side,
)
from minionbench.load import ClosedLoop, Load
from minionbench.records import Phase, RequestRecord, call_record
from minionbench.transport.connection import Sending, Target
from minionbench.transport.loop import Transport
from minionbench.units import NS_PER_MS
from minionbench.wire.dialect import Dialect, dialect

STEP_NS = 50 * NS_PER_MS
"""Longest stay in the loop before a wish to stop is noticed."""
READING_ROOM_NS = 2 * NS_PER_MS
"""An exchange is read only when no send is due for this long: reading one takes about 1 ms per
thousand events."""
RELIEVED_AT_ONCE = 8
"""Next requests of a closed loop that are begun before the sockets are looked at again: where
hundreds of answers end at once, beginning all their successors would keep the reading of first
tokens waiting for longer than the gap to the second."""
HOPELESS_FAILURES = 10
"""Failures in a row, with no success in between, after which a phase is given up; at least two
for each stream of a closed loop, since what is under way fails together."""
HOPELESS_TIMEOUTS = 2
"""As above for time-outs, which cost their whole length each; at least one for each stream."""
_TIMEOUTS = (
    Outcome.CONNECT_TIMEOUT,
    Outcome.FIRST_BYTE_TIMEOUT,
    Outcome.IDLE_TIMEOUT,
    Outcome.TOTAL_TIMEOUT,
)


class StopSwitch:
    """A wish to end the run early, and why. Once thrown it stays thrown."""

    def __init__(self) -> None:
        self.why: str | None = None
        self.heeded = True
        """Whether somebody looks at the switch just now, so that throwing it has an effect."""

    def throw(self, why: str) -> None:
        """Asks for the end; the first reason stays."""
        if self.why is None:
            self.why = why


class Phased(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of requests that are sent under one load."""

    cell: str
    phase: Phase
    repeat: int
    requests: tuple[tuple[int, Request], ...]
    """Each request with the index that its record is to have."""
    load: Load
    load_seed: int = 0


class PhaseFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the harness itself did during a phase."""

    phase: Phase
    repeat: int
    start_ns: int
    end_ns: int
    own_cpu_ns: int
    """CPU that the harness used, sending, reading and recording included."""
    planned: int
    """Requests of the phase, sent or not."""
    given_up: str | None = None
    """Why the phase ended before all its requests were sent; None when it did not."""


class Journal(Protocol):
    """Where records go, one by one, as soon as their requests have ended."""

    def append(self, record: RequestRecord) -> object:
        """Puts a record on file before it returns."""


class _Active:
    """A request under way."""

    __slots__ = (
        "batch",
        "calls",
        "counted",
        "index",
        "plan",
        "planned_ns",
        "relieved",
        "replies",
        "request",
        "reserved",
        "waiting",
    )

    def __init__(self, index: int, request: Request, plan: Plan, planned_ns: int) -> None:
        self.index = index
        self.request = request
        self.plan = plan
        self.planned_ns = planned_ns
        self.calls: list[Call] = []
        """Every call so far; its reply stands at the same place of `replies`."""
        self.replies: list[Reply | None] = []
        self.reserved: list[Reserved] = []
        """What is set aside for each call."""
        self.counted: list[int | None] = []
        """Tokens of each call's prompt by the reference tokenizer; None where it is not known."""
        self.relieved = False
        """Whether the stream's next request has been started already."""
        self.batch = 0
        """Calls in the tuple that the plan yielded last; they are the last of `calls`."""
        self.waiting = 0
        """Calls of the batch whose replies are still to come."""


class _Begun(NamedTuple):
    """A plan that has come to its first calls, or to its end without any."""

    plan: Plan
    calls: tuple[Call, ...]
    answer: Answer | None


class Runner:
    """Runs phases of requests of one deployment over one transport."""

    def __init__(
        self,
        deployment: Deployment,
        endpoints: Mapping[Side, Endpoint],
        transport: Transport,
        journal: Journal,
        *,
        stop: StopSwitch,
        engine_ended: Callable[[], str | None] = lambda: None,
        on_record: Callable[[RequestRecord], None] = lambda record: None,
        keep_text: bool = True,
        allowance: Allowance | None = None,
    ) -> None:
        """`engine_ended` tells how an engine of ours ended, None while it is alive.

        `allowance` is what may still be asked; None lets everything be asked, at the pace that the
        servers allow.
        """
        self._deployment = deployment
        self._endpoints = endpoints
        self._transport = transport
        self._journal = journal
        self._stop = stop
        self._engine_ended = engine_ended
        self._on_record = on_record
        self._keep_text = keep_text
        self._allowance = allowance or Allowance()
        self._dialects: dict[Side, Dialect] = {s: dialect(e.dialect) for s, e in endpoints.items()}
        self._targets = {
            side: Target.at(
                endpoint.base_url,
                slots=endpoint.slots,
                timeouts=endpoint.timeouts,
                insecure=endpoint.insecure,
            )
            for side, endpoint in endpoints.items()
        }

    def run(
        self, phase: Phased, deployment: Deployment | None = None
    ) -> tuple[list[RequestRecord], PhaseFacts]:
        """Sends the phase's requests and returns their records in the order of their ends.

        `deployment` is the one that this phase measures where it is not the runner's own.

        Ends early, with the reason in the facts, when the stop switch is thrown, when the engine
        has ended, or when failure follows failure; requests that were never sent have no record.
        """
        with _collector_paused():
            return _PhaseRun(self, phase, deployment or self._deployment).go()


class _PhaseRun:
    """One phase while it runs."""

    def __init__(self, runner: Runner, phase: Phased, deployment: Deployment) -> None:
        self.runner = runner
        self.phase = phase
        self.deployment = deployment
        self.transport = runner._transport
        self.records: list[RequestRecord] = []
        self.given_up: str | None = None
        """Why everything is cut now; None while the phase goes on."""
        self._closed: str | None = None
        """Why no further request is begun, while those under way may end; None while some are."""
        self._unstarted: Iterator[tuple[int, Request]] = iter(phase.requests)
        self._begun: dict[int, _Begun] = {}
        """Plans that were made ready beforehand, by the index of their request."""
        self._parked = 0
        """Streams that wait for what is under way to leave room in the budget."""
        self._of_sending: dict[Sending, tuple[_Active, int]] = {}
        self._ended: deque[Sending] = deque()
        self._unread: deque[Sending] = deque()
        self._unwritten: deque[RequestRecord] = deque()
        self._allowance = runner._allowance
        # A budget has to know what the answer took before the next request may go.
        self._early = deployment.asks_once and not self._allowance.keeps_budget
        self._failures_in_a_row = 0
        self._timeouts_in_a_row = 0
        streams = phase.load.concurrency if isinstance(phase.load, ClosedLoop) else 1
        if not deployment.asks_once:
            # A request's calls are under way together as well, as many as there are slots.
            slots = [runner._endpoints[side].slots or 1 for side in deployment.sides]
            streams *= max(slots)
        self._hopeless_failures = max(HOPELESS_FAILURES, 2 * streams)
        self._hopeless_timeouts = max(HOPELESS_TIMEOUTS, streams)

    def go(self) -> tuple[list[RequestRecord], PhaseFacts]:
        phase, transport = self.phase, self.transport
        self._prepare()
        start_ns, start_cpu_ns = monotonic_ns(), process_cpu_ns()
        self._start_load(start_ns)
        while self._of_sending or self._unwritten:
            busy = bool(self._ended or self._unread or self._unwritten)
            now_ns = monotonic_ns()
            self._ended.extend(transport.step(now_ns if busy else now_ns + STEP_NS))
            for _ in range(min(len(self._ended), RELIEVED_AT_ONCE)):
                sending = self._ended.popleft()
                self._relieve(sending)
                self._unread.append(sending)
            if self.given_up is None:
                self._notice_the_end()
            if self.given_up is not None and transport.under_way:
                self._unread.extend(transport.cut_all(self.given_up))
            next_send_ns = transport.next_send_ns
            if next_send_ns is not None and next_send_ns - monotonic_ns() < READING_ROOM_NS:
                continue
            if self._unread:
                self._read(self._unread.popleft())
            elif self._unwritten:
                self._write(self._unwritten.popleft())
        facts = PhaseFacts(
            phase=phase.phase,
            repeat=phase.repeat,
            start_ns=start_ns,
            end_ns=monotonic_ns(),
            own_cpu_ns=process_cpu_ns() - start_cpu_ns,
            planned=len(phase.requests),
            given_up=self.given_up or self._closed,
        )
        return self.records, facts

    def _prepare(self) -> None:
        """Has the plans of an open loop do what they do before their first call.

        In a closed loop each does so when its turn has come.
        """
        if self.deployment.prepares and not isinstance(self.phase.load, ClosedLoop):
            self._begun = {
                index: self._first_calls(request) for index, request in self.phase.requests
            }

    def _first_calls(self, request: Request) -> _Begun:
        plan = self.deployment.plan(request)
        try:
            return _Begun(plan, next(plan), None)
        except StopIteration as stop:
            return _Begun(plan, (), stop.value)

    def _start_load(self, start_ns: int) -> None:
        load, n = self.phase.load, len(self.phase.requests)
        if isinstance(load, ClosedLoop):
            for _ in range(min(load.concurrency, n)):
                self._start_next(start_ns)
        else:
            for offset_ns in load.offsets_ns(n, self.phase.load_seed):
                self._start_next(start_ns + offset_ns)

    def _relieve(self, sending: Sending) -> None:
        """Lets a stream's next request go before the answer that has just come is read.

        That is known to be right only where a request is one call; and an answer that is a failure
        already by its framing or status is read first, since it may end the phase.
        """
        active, _ = self._of_sending[sending]
        exchange = sending.exchange
        whole = exchange.outcome is None and exchange.status == 200
        if whole and self._early and isinstance(self.phase.load, ClosedLoop):
            assert exchange.end_ns is not None
            active.relieved = True
            self._start_next(exchange.end_ns)

    def _start_next(self, planned_ns: int) -> None:
        """Begins the next request of the phase, if there is one and the phase goes on."""
        closed_loop = isinstance(self.phase.load, ClosedLoop)
        while True:
            if self.given_up is not None or self._closed is not None:
                return
            following = next(self._unstarted, None)
            if following is None:
                return
            index, request = following
            begun = self._begun.pop(index) if index in self._begun else self._first_calls(request)
            plan, calls, answer = begun
            if closed_loop and self.deployment.prepares:
                planned_ns = max(planned_ns, monotonic_ns())
            if answer is None:
                break
            # It ended without asking anything, so that the stream goes on with the one after it.
            active = _Active(index, request, plan, planned_ns)
            self._unwritten.append(self._record(active, (), answer))
            if not closed_loop:
                return
        reserved = self._reserve(calls, request)
        if reserved is None:
            plan.close()
            self._unstarted = chain([following], self._unstarted)
            self._parked += 1
            return
        if closed_loop:
            # An open loop keeps its plan: whoever asks for pauses there is answered as before.
            planned_ns = max(self._allowance.clear_ns(call.side, planned_ns) for call in calls)
        self._submit(_Active(index, request, plan, planned_ns), calls, reserved, planned_ns)

    def _reserve(self, calls: tuple[Call, ...], request: Request) -> list[Reserved] | None:
        """What is set aside for each of the calls; None where a budget has no room for all."""
        endpoints = self.runner._endpoints
        reserved: list[Reserved] = []
        for call in calls:
            counted = _counted(call, request)
            aside = self._allowance.reserve(call, endpoints[call.side], counted)
            if aside is None:
                self._allowance.release(reserved)
                self._closed = self._allowance.exhausted
                return None
            reserved.append(aside)
        return reserved

    def _submit(
        self, active: _Active, calls: tuple[Call, ...], reserved: list[Reserved], planned_ns: int
    ) -> None:
        runner = self.runner
        for call, aside in zip(calls, reserved, strict=True):
            endpoint = runner._endpoints[call.side]
            active.counted.append(_counted(call, active.request))
            if endpoint.unique_prefix:
                call = with_unique_prefix(call)
            payload = runner._dialects[call.side].request(call, endpoint)
            target = runner._targets[call.side]
            sending = self.transport.submit(target, payload, planned_ns, active.index)
            self._of_sending[sending] = (active, len(active.calls))
            active.calls.append(call)
            active.replies.append(None)
            active.reserved.append(aside)
        active.batch = active.waiting = len(calls)

    def _read(self, sending: Sending) -> None:
        """Reads an exchange; when it was the last of its batch the plan goes on."""
        active, place = self._of_sending.pop(sending)
        side = active.calls[place].side
        runner = self.runner
        reply = runner._dialects[side].reply(sending.exchange, runner._endpoints[side])
        active.replies[place] = reply
        active.waiting -= 1
        self._settle(active, place, reply)
        if self.deployment.asks_once:
            self._count_failures(reply.outcome)
        else:
            self._count_time_outs(reply.outcome)
        if active.waiting:
            return
        replies = tuple(r for r in active.replies if r is not None)
        batch = replies[-active.batch :]
        if any(reply.outcome in (Outcome.CUT, Outcome.NOT_SENT) for reply in batch):
            active.plan.close()
            self._end(active, replies, None)
            return
        try:
            # An answer that was whole before the end of the phase counts, whenever it is read.
            calls = active.plan.send(batch)
        except StopIteration as stop:
            self._end(active, replies, stop.value)
        else:
            self._go_on(active, calls, replies, _latest_end_ns(batch))

    def _go_on(
        self, active: _Active, calls: tuple[Call, ...], replies: tuple[Reply, ...], at_ns: int
    ) -> None:
        """The plan asks further: its calls are sent, unless the budget has no room for them."""
        reserved = None if self.given_up is not None else self._reserve(calls, active.request)
        if reserved is None:
            self._closed = self._closed or self._allowance.refusal
            active.plan.close()
            self._end(active, replies, None)
            return
        planned_ns = max(self._allowance.clear_ns(call.side, at_ns) for call in calls)
        self._submit(active, calls, reserved, planned_ns)

    def _settle(self, active: _Active, place: int, reply: Reply) -> None:
        """Books what a call took; a server that will answer nothing more closes the phase."""
        before = self._allowance.exhausted
        self._allowance.settle(
            active.calls[place], reply, active.reserved[place], active.counted[place]
        )
        exhausted = self._allowance.exhausted
        if exhausted == before:
            return
        if isinstance(self.phase.load, ClosedLoop):
            self._closed = exhausted
        elif self.given_up is None:
            self.given_up = exhausted

    def _end(self, active: _Active, replies: tuple[Reply, ...], answer: Answer | None) -> None:
        """The request has ended: the next one of a closed loop begins, then this one is kept."""
        if isinstance(self.phase.load, ClosedLoop) and not active.relieved:
            self._start_next(_latest_end_ns(replies))
        parked, self._parked = self._parked, 0
        for _ in range(parked):
            self._start_next(_latest_end_ns(replies))
        record = self._record(active, replies, answer)
        self._unwritten.append(record)
        if not self.deployment.asks_once:
            self._count_failures(record.outcome)

    def _record(
        self, active: _Active, replies: tuple[Reply, ...], answer: Answer | None
    ) -> RequestRecord:
        keep_text = self.runner._keep_text
        failed = _decisive(active, replies, answer)
        outcome, failure = Outcome.OK, None
        if failed:
            outcome, failure = failed[-1].outcome, failed[-1].failure
        elif answer is None:
            why = self.given_up or self._closed or "cut"
            outcome, failure = Outcome.CUT, Failure(message=why)
        request = active.request
        return RequestRecord(
            cell=self.phase.cell,
            index=active.index,
            item_id=request.item_id,
            phase=self.phase.phase,
            repeat=self.phase.repeat,
            planned_ns=active.planned_ns,
            outcome=outcome,
            failure=failure,
            calls=tuple(
                call_record(call, reply, keep_text=keep_text)
                for call, reply in zip(active.calls, replies, strict=True)
            ),
            answer=answer.text if answer is not None and keep_text else None,
            answer_call=answer.call if answer is not None else None,
            answer_is_part=answer.is_part if answer is not None else False,
            answer_at=answer.at_character if answer is not None else None,
            abstained=answer.abstained if answer is not None else None,
            tally=answer.tally if answer is not None else None,
            reference=request.reference if keep_text else None,
            input_tokens=request.input_tokens,
            forced_output_tokens=request.limits.forced_output_tokens,
        )

    def _write(self, record: RequestRecord) -> None:
        self.runner._journal.append(record)
        self.records.append(record)
        self.runner._on_record(record)

    def _count_failures(self, outcome: Outcome) -> None:
        """Takes a request's outcome: where failure follows failure, the phase is given up."""
        if self.deployment.asks_once:
            self._count_time_outs(outcome)
        if outcome is Outcome.OK:
            self._failures_in_a_row = 0
            return
        self._failures_in_a_row += 1
        if self.given_up is None and self._failures_in_a_row >= self._hopeless_failures:
            self.given_up = f"{self._failures_in_a_row} requests in a row failed"

    def _count_time_outs(self, outcome: Outcome) -> None:
        """Takes a call's outcome: each time-out takes its whole length, and few are enough."""
        if outcome is Outcome.OK:
            self._timeouts_in_a_row = 0
            return
        self._timeouts_in_a_row += outcome in _TIMEOUTS
        if self.given_up is not None:
            return
        ended = self.runner._engine_ended()
        if ended is not None:
            self.given_up = ended
        elif self._timeouts_in_a_row >= self._hopeless_timeouts:
            what = "requests" if self.deployment.asks_once else "calls"
            self.given_up = f"{self._timeouts_in_a_row} {what} in a row ran into a time-out"

    def _notice_the_end(self) -> None:
        if self.runner._stop.why is not None:
            self.given_up = self.runner._stop.why


def _counted(call: Call, request: Request) -> int | None:
    """Tokens of a call's prompt where it is the item as it stands; None for any other."""
    return request.input_tokens if call.messages is request.messages else None


def with_unique_prefix(call: Call) -> Call:
    """The call with words at the beginning of its prompt that no other call has.

    A prompt that differs from its first words on finds nothing of itself in a prefix cache. They
    are random, since a cache outlives the run.
    """
    first, *others = call.messages
    marked = Message(first.role, f"Request {token_hex(6)}. {first.content}")
    return msgspec.structs.replace(call, messages=(marked, *others))


def _decisive(active: _Active, replies: tuple[Reply, ...], answer: Answer | None) -> list[Reply]:
    """The failed replies for which a request has no answer; none where it has one, or where the
    models themselves came to none.

    A plan that gives up on a failed call ends with it. One that goes on, and is then told by a
    model that there is no answer, abstains; but where every call of a side failed, what the models
    made of that is no result of theirs.
    """
    if answer is not None and answer.text is not None:
        return []
    pairs = list(zip(active.calls, replies, strict=True))
    failed = [(call.side, reply) for call, reply in pairs if reply.outcome is not Outcome.OK]
    if answer is None or any(r.outcome is not Outcome.OK for r in replies[-active.batch :]):
        return [reply for _, reply in failed]
    answered = {call.side for call, reply in pairs if reply.outcome is Outcome.OK}
    return [reply for side, reply in failed if side not in answered]


def _latest_end_ns(replies: Sequence[Reply]) -> int:
    return max(reply.end_ns for reply in replies if reply.end_ns is not None)


@contextmanager
def collector_relieved() -> Iterator[None]:
    """Keeps what is there already out of the garbage collector's sight until the end of the block.

    For many phases in a row: looking through all modules before each costs more than a phase's
    preparation.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keeps the garbage collector from stopping the loop; it runs between phases instead."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
