"""Measuring: an engine that serves, the cells to be measured on it, and what came out of each.

The requests of all cells are warmed up first; then the repeats follow one another, each going
through all cells, so that what changes on the machine in the course of a run meets every cell
alike.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Protocol

import msgspec

from minionbench.allowance import Allowance, Pause
from minionbench.clock import monotonic_ns, sleep_s
from minionbench.deployments.deployment import Deployment
from minionbench.engines.attach import AttachedEngine
from minionbench.engines.engine import Engine, HeldMemory
from minionbench.errors import UsageError
from minionbench.exchange import Outcome, Request, Side
from minionbench.load import ClosedLoop, Load
from minionbench.metering import Metering, watched_by
from minionbench.meters.memory import MemoryReading, TreeMemory
from minionbench.meters.server_metrics import Account, UnreadablePage, figures, read_page
from minionbench.meters.vram import TreeVram, VramReading, together
from minionbench.prices import OwnClock
from minionbench.protocols.catalog import protocol_name
from minionbench.records import Phase, RequestRecord
from minionbench.runner import Journal, Phased, PhaseFacts, Runner, StopSwitch
from minionbench.system.time_slice import short_time_slice
from minionbench.transport.loop import Transport
from minionbench.units import NS_PER_S
from minionbench.verdict import RunFacts

INTERRUPTED = "the run was interrupted"
NOT_OURS = "the server was not started by this program"
NO_ACCELERATOR = "the engine has no accelerator"
CUT_CONNECTION = (Outcome.CONNECT_FAILED, Outcome.RESET, Outcome.TRUNCATED)
ENDING_NS = 2 * NS_PER_S
"""How long the end of an engine that cuts its connections is waited for; to write a core takes a
while."""
OTHER_FILES = 128
"""Open files besides the connections: libraries, journal, logs, the engine's pipes."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One workload under one load, with its requests drawn."""

    cell_id: str
    workload: str
    version: int
    source: str
    seed: int
    load: Load
    repeats: int
    warmup: tuple[Request, ...]
    requests: tuple[Request, ...]
    calls: int = 1
    """Calls that one request is likely to make, by which the time left is told."""
    session: int | None = None
    """The one repeat that is measured now, where each has a session of its own, with a warm-up of
    its own; None where one session has all repeats."""

    @property
    def measured_repeats(self) -> range:
        """The repeats that are measured."""
        return (
            range(self.repeats) if self.session is None else range(self.session, self.session + 1)
        )

    @property
    def planned(self) -> int:
        """Requests that are measured."""
        return len(self.measured_repeats) * len(self.requests)

    @property
    def total(self) -> int:
        """Requests of all repeats, warm-up included."""
        return len(self.warmup) + self.planned

    def first_index(self, repeat: int) -> int:
        """Index of the first measured request of a repeat in the cell's plan."""
        warmups = 1 if self.session is None else repeat + 1
        return warmups * len(self.warmup) + repeat * len(self.requests)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of one cell."""

    cell: Cell
    records: tuple[RequestRecord, ...]
    facts: RunFacts
    memory: MemoryReading
    given_up: str | None
    """Why the cell ended before all its requests were sent; None when it did not."""
    vram: VramReading = VramReading(peak_bytes=None, reason="the GPU memory was not looked at")
    taken_over: int = 0
    """Measured requests that are from an earlier, interrupted run."""
    pauses: tuple[Pause, ...] = ()
    """Times in which nothing was sent because a server had asked for it."""
    held: HeldMemory | None = None
    """The most that a server of somebody else's said that it held in an accelerator."""
    servers: dict[str, Any] = {}
    """What the server of each side says of its own work on the measured requests, as plain
    values; nothing where it does not say."""
    clocks: tuple[OwnClock, ...] = ()
    """Of those records that are of sessions with a clock of their own."""
    unmetered: str | None = None
    """Why what the meters said does not belong to the records; None where it does."""


class Observer(Protocol):
    """Whoever wants to know how a run goes on. Called between requests, so it has to be quick."""

    def plan(self, run_id: str, model: str, cells: Sequence[Cell]) -> None:
        """The run begins."""

    def costs(
        self, cost_of: Callable[[RequestRecord], float | None], most_usd: float | None
    ) -> None:
        """What a request costs can be told, None where it is not known; and what all of them may
        cost, None for no limit. Not called where nothing is charged, or no price is known."""

    def stage(self, text: str) -> None:
        """What is being done now, in a few words."""

    def record(self, record: RequestRecord) -> None:
        """A request has ended."""

    def left_out(self, requests: int, calls: int) -> None:
        """So many of the planned requests, and of their calls, will not be sent after all."""

    def done(self) -> None:
        """Nothing more will come; also called when the run failed."""


class Silent:
    """An observer that shows nothing."""

    def plan(self, run_id: str, model: str, cells: Sequence[Cell]) -> None:
        """Ignores the plan."""

    def costs(
        self, cost_of: Callable[[RequestRecord], float | None], most_usd: float | None
    ) -> None:
        """Ignores the costs."""

    def stage(self, text: str) -> None:
        """Ignores the stage."""

    def record(self, record: RequestRecord) -> None:
        """Ignores the record."""

    def left_out(self, requests: int, calls: int) -> None:
        """Ignores what is left out."""

    def done(self) -> None:
        """Ignores the end."""


def measure(
    cells: Sequence[Cell],
    deployment: Deployment | Mapping[str, Deployment],
    engines: dict[Side, Engine],
    journal: Journal,
    *,
    stop: StopSwitch,
    observer: Observer,
    keep_text: bool,
    cold: bool | None,
    earlier: Mapping[str, Sequence[RequestRecord]] | None = None,
    max_total_tokens: int | None = None,
    reasoning: bool | None = None,
    allowance: Allowance | None = None,
    metering: Metering | None = None,
    baseline: bool = True,
) -> list[Measured]:
    """Measures the cells on engines that serve; ends early when the switch is thrown.

    `deployment` is that of all cells, or of each by the cell's id; one asks the engines of its own
    sides only, and what is said of memory and servers is said of those.
    `earlier` are the records that an interrupted run has left of a cell: what was measured then
    counts and is not asked again; only the warm-up is. `max_total_tokens` is the budget of the
    whole run, prompts and warm-up included. `reasoning` is whether the models were told to reason,
    so that the answers can be held against it; None where they were told nothing. `allowance` is
    the budget in place of one of its own, where something was spent before. `metering` looks at
    the run's meters meanwhile; with `baseline` also while the engines idle, before and after.
    """
    _allow_connections(cells)
    allowance = allowance or Allowance(max_total_tokens)
    allowance.charge(sum(map(_trial_tokens, engines.values())))
    if allowance.cost_limit is not None:
        for engine in engines.values():
            if engine.facts.remote and isinstance(engine, AttachedEngine):
                allowance.cost_limit.book_trial(engine.facts.template_tokens)
    contexts = {side: engine.facts.context_tokens for side, engine in engines.items()}
    deployments = {
        cell.cell_id: _within(
            deployment[cell.cell_id] if isinstance(deployment, Mapping) else deployment, contexts
        )
        for cell in cells
    }
    gathered = {
        cell.cell_id: _Gathered(
            cell,
            (earlier or {}).get(cell.cell_id, ()),
            {side: engines[side] for side in deployments[cell.cell_id].sides},
        )
        for cell in cells
    }
    watched = [engine for engine in engines.values() if engine.pid is not None]
    memory = {
        side: TreeMemory(engine.pid) for side, engine in engines.items() if engine.pid is not None
    }
    vram = EnginesVram(engines)

    def engine_ended() -> str | None:
        return _ended(watched)

    def on_record(record: RequestRecord) -> None:
        for tree in memory.values():
            tree.sample()
        vram.sample_beside()
        observer.record(record)

    def read_memory(group: _Gathered) -> None:
        group.memory = _together([tree.reading() for s, tree in memory.items() if s in group.sides])
        group.vram = vram.reading(group.sides)

    def in_vain() -> str | None:
        return stop.why or _ended(watched)

    with (
        vram,
        Transport() as transport,
        _on_a_core_of_its_own(engines),
        short_time_slice(),
        watched_by(
            metering, engines, list(gathered), in_vain, observer.stage, baseline=baseline
        ) as watch,
    ):
        runner = Runner(
            next(iter(deployments.values())),
            {side: engine.endpoint for side, engine in engines.items()},
            transport,
            journal,
            stop=stop,
            engine_ended=engine_ended,
            on_record=on_record,
            keep_text=keep_text,
            allowance=allowance,
        )
        for stage, group, phase in _order(list(gathered.values())):
            if not phase.requests:
                continue
            group.given_up = (
                group.given_up or stop.why or _ended(group.engines.values()) or allowance.exhausted
            )
            if group.given_up is None and cold:
                group.given_up = _forget_prompts(group.engines.values())
            if group.given_up is not None:
                continue
            observer.stage(stage)
            before = _accounts(group.engines) if phase.phase == "measured" else {}
            with watch.during(phase.phase, [phase.cell], phase.repeat):
                group.add(phase, *runner.run(phase, deployments[group.cell.cell_id]))
            _await_end(group)
            if phase.phase == "measured":
                group.add_accounts(before, _accounts(group.engines))
                group.add_held()
            group.pauses.extend(allowance.pauses)
            allowance.pauses.clear()
            for tree in memory.values():
                tree.sample_shared()
            vram.sample()
            read_memory(group)
        clock_step_ns = transport.bridge.largest_step_ns
    for tree in memory.values():
        tree.sample()
    for group in gathered.values():
        if group.left_over and not group.facts:
            read_memory(group)
    return [
        group.measured(
            RunFacts(
                # Of what was measured here: what is taken over was measured by another process.
                own_cpu_ns=sum(facts.own_cpu_ns for facts in group.facts) if group.facts else None,
                wall_ns=sum(facts.end_ns - facts.start_ns for facts in group.facts) or None,
                clock_step_ns=clock_step_ns,
                engine_local=True if group.watched else None,
                pinned=all(engine.facts.free_cpus is not None for engine in group.watched)
                if group.watched
                else None,
                engine_watched=bool(group.watched),
                engine_ended=_ended(group.engines.values()),
                interrupted=stop.why is not None,
                planned_requests=group.cell.planned,
                cold_expected=cold,
                reasoning_asked=reasoning,
                template_tokens=_unless_unknown(
                    max, [engine.facts.template_tokens for engine in group.engines.values()]
                ),
                context_tokens=_unless_unknown(
                    min, [engine.facts.context_tokens for engine in group.engines.values()]
                ),
                asked_as_it_stands=protocol_name(deployments[group.cell.cell_id]) is None,
            )
        )
        for group in gathered.values()
    ]


class _Gathered:
    """What has come out of a cell so far."""

    def __init__(
        self, cell: Cell, earlier: Sequence[RequestRecord], engines: Mapping[Side, Engine]
    ) -> None:
        self.cell = cell
        self.engines = engines
        """Those that the cell's deployment asks."""
        self.records = [record for record in earlier if record.phase == "measured"]
        self.left_over = {record.index for record in self.records}
        """Indexes of what an earlier run has measured."""
        self.facts: list[PhaseFacts] = []
        """Of the measured phases."""
        self.memory = MemoryReading(peak_bytes=None, reason="no request was sent")
        self.vram = VramReading(peak_bytes=None, reason="no request was sent")
        self.given_up: str | None = None
        self.pauses: list[Pause] = []
        self.held: HeldMemory | None = None
        self._work: dict[Side, Account] = {}
        """What each side's server has counted in the measured phases so far."""
        self._restarted: set[Side] = set()

    def add(self, phase: Phased, records: list[RequestRecord], facts: PhaseFacts) -> None:
        self.records.extend(records)
        if phase.phase == "measured":
            self.facts.append(facts)
        self.given_up = facts.given_up

    def add_accounts(self, before: Mapping[Side, Account], after: Mapping[Side, Account]) -> None:
        for side in before.keys() & after.keys():
            work = after[side].since(before[side])
            if work is None:
                self._restarted.add(side)
            else:
                self._work[side] = self._work[side].plus(work) if side in self._work else work

    @property
    def sides(self) -> frozenset[Side]:
        """The sides that the cell's deployment asks."""
        return frozenset(self.engines)

    @property
    def watched(self) -> list[Engine]:
        """Those of its engines that were started here."""
        return [engine for engine in self.engines.values() if engine.pid is not None]

    def add_held(self) -> None:
        """Takes what one server holds; of several nobody knows whether they share a card."""
        held = [e.held_memory() for e in self.engines.values() if not e.facts.remote]
        now = held[0] if len(held) == 1 else None
        if now is not None and (self.held is None or now.vram_bytes > self.held.vram_bytes):
            self.held = now

    def _servers(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for side, work in self._work.items():
            sent = [
                call
                for record in self.records
                if record.phase == "measured" and record.index not in self.left_over
                for call in record.calls
                if call.side == side and call.reply.sent_ns is not None
            ]
            told[side] = figures(work, calls=len(sent))
        for side in self._restarted:
            told[side] = {"note": "the server was started anew while it was measured"}
        return {side: figures_ for side, figures_ in told.items() if figures_}

    def measured(self, facts: RunFacts) -> Measured:
        return Measured(
            cell=self.cell,
            records=tuple(self.records),
            facts=facts,
            memory=self.memory,
            vram=self.vram,
            given_up=self.given_up,
            taken_over=len(self.left_over),
            pauses=tuple(self.pauses),
            held=self.held,
            servers=self._servers(),
        )


def _order(groups: Sequence[_Gathered]) -> Iterator[tuple[str, _Gathered, Phased]]:
    """(what to say, cell, phase) in the order in which the phases run."""
    for group in groups:
        cell = group.cell
        if cell.warmup and len(group.left_over) < cell.planned:
            stage = f"warming up {cell.cell_id}"
            yield stage, group, _phase(group, "warmup", cell.measured_repeats.start)
    for repeat in range(max((group.cell.repeats for group in groups), default=0)):
        for group in groups:
            cell = group.cell
            if repeat in cell.measured_repeats:
                stage = f"{cell.cell_id}, repeat {repeat + 1} of {cell.repeats}"
                yield stage, group, _phase(group, "measured", repeat)


def _phase(group: _Gathered, phase: Phase, repeat: int) -> Phased:
    cell, warming = group.cell, phase == "warmup"
    drawn = cell.warmup if warming else cell.requests
    first_index = cell.first_index(repeat) - (len(cell.warmup) if warming else 0)
    return Phased(
        cell=cell.cell_id,
        phase=phase,
        repeat=repeat,
        requests=tuple(
            (index, request)
            for index, request in enumerate(drawn, first_index)
            if index not in group.left_over
        ),
        # Warm-up of an open loop goes one by one: there is nothing to measure in its queue.
        load=ClosedLoop() if warming and not isinstance(cell.load, ClosedLoop) else cell.load,
        load_seed=cell.seed * 1_000 + repeat,
    )


def _within(deployment: Deployment, contexts: Mapping[Side, int | None]) -> Deployment:
    """The deployment, heeding the contexts of the engines where it knows how to."""
    heeding = getattr(deployment, "within", None)
    if heeding is None:
        return deployment
    fitted: Deployment = heeding(contexts)
    return fitted


def _ended(engines: Iterable[Engine]) -> str | None:
    """How the first of the engines that has ended did so; None while all serve."""
    return next((how for engine in engines if (how := engine.ended()) is not None), None)


def _await_end(group: _Gathered) -> None:
    """Waits a moment for an engine of ours that seems to be ending, so that it is known how.

    The kernel closes the sockets of a process before its end can be seen, and the harness may be
    done with all requests in between.
    """
    last = group.records[-1:]
    if not any(call.reply.outcome in CUT_CONNECTION for r in last for call in r.calls):
        return
    until_ns = monotonic_ns() + ENDING_NS
    while group.watched and not _ended(group.watched) and monotonic_ns() < until_ns:
        sleep_s(0.01)


def _forget_prompts(engines: Iterable[Engine]) -> str | None:
    """Empties the prefix caches that are kept cold so; why one could not be emptied."""
    return next((why for engine in engines if (why := engine.forget_prompts()) is not None), None)


def _accounts(engines: Mapping[Side, Engine]) -> dict[Side, Account]:
    """What the servers say of their work so far; those are left out that do not."""
    found: dict[Side, Account] = {}
    for side, engine in engines.items():
        page = engine.metrics_page()
        if page is not None:
            with suppress(UnreadablePage):
                found[side] = read_page(page, engine.endpoint.model)
    return found


def _trial_tokens(engine: Engine) -> int:
    """Tokens that the trial request took with which an engine was tried; 0 without one."""
    prompt_tokens = engine.facts.template_tokens
    return 0 if prompt_tokens is None else prompt_tokens + 1


def _unless_unknown(
    choose: Callable[[Iterable[int]], int], values: Sequence[int | None]
) -> int | None:
    known = [value for value in values if value is not None]
    return choose(known) if known and len(known) == len(values) else None


def _together(readings: list[MemoryReading]) -> MemoryReading:
    """The memory of several engines: their sum, unknown when one of them is."""
    if len(readings) == 1:
        return readings[0]
    if not readings:
        return MemoryReading(peak_bytes=None, reason=NOT_OURS)
    unknown = next((reading for reading in readings if reading.peak_bytes is None), None)
    if unknown is not None:
        return unknown
    return MemoryReading(
        peak_bytes=sum(reading.peak_bytes or 0 for reading in readings),
        method="largest sample",
        processes=sum(reading.processes for reading in readings),
        samples=min(reading.samples for reading in readings),
    )


class EnginesVram:
    """The GPU memory of all engines, from now until the end of the block."""

    def __init__(self, engines: Mapping[Side, Engine]) -> None:
        self._trees: dict[Side, TreeVram] = {
            side: TreeVram(engine.pid)
            for side, engine in engines.items()
            if engine.pid is not None and engine.facts.has_gpu is not False
        }
        self._ours = {side for side, engine in engines.items() if engine.pid is not None}

    def __enter__(self) -> None:
        self.sample()

    def __exit__(self, *_: object) -> None:
        for tree in self._trees.values():
            tree.close()

    def sample(self) -> None:
        """Looks now."""
        for tree in self._trees.values():
            tree.sample()

    def sample_beside(self) -> None:
        """Looks now, unless the last look was too short a while ago."""
        for tree in self._trees.values():
            tree.sample_beside()

    def reading(self, sides: Collection[Side] | None = None) -> VramReading:
        """The peak so far, of the engines of these sides; None for all."""
        trees = [tree for side, tree in self._trees.items() if sides is None or side in sides]
        if not trees:
            ours = self._ours if sides is None else self._ours.intersection(sides)
            why = NO_ACCELERATOR if ours else NOT_OURS
            return VramReading(peak_bytes=None, reason=why)
        return together([tree.reading() for tree in trees])


def _allow_connections(cells: Sequence[Cell]) -> None:
    """Lets this process open as many files as the cells' streams need, and arrivals may need.

    Raises UsageError when the system allows fewer.
    """
    try:
        import resource
    except ImportError:
        return  # Windows has no such limit.
    streams = [c.load.concurrency for c in cells if isinstance(c.load, ClosedLoop)]
    # Of an open loop all may be under way at once, if its server answers none: what the system
    # allows has to do for it.
    arriving = [len(c.requests) for c in cells if not isinstance(c.load, ClosedLoop)]
    needed = 2 * max(streams, default=1) + OTHER_FILES
    wanted = max(needed, 2 * max(arriving, default=1) + OTHER_FILES)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageError(
            f"{max(streams)} streams need {needed} open files, and this system allows {hard}; "
            "raise the limit (`ulimit -Hn`), or lower the concurrency"
        )
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))


@contextmanager
def _on_a_core_of_its_own(engines: dict[Side, Engine]) -> Iterator[None]:
    """Keeps the harness on the cores that all engines leave free, while measuring."""
    free: set[int] | None = None
    for engine in engines.values():
        cpus = engine.facts.free_cpus
        if cpus is not None:
            free = set(cpus) if free is None else free & set(cpus)
    if not free or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, free & before or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Ctrl-C, the system's wish that the program ends, and a terminal that was closed."""


@contextmanager
def stopped_by_signals(stop: StopSwitch) -> Iterator[None]:
    """Turns Ctrl-C, SIGTERM and SIGHUP into a wish to stop while the switch is heeded.

    A second one, or one while nobody heeds the switch (an engine is starting, say), ends at once
    as a KeyboardInterrupt. A signal that was ignored stays ignored. Outside the main thread, where
    signals cannot be caught, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        heeded = stop.heeded and stop.why is None
        stop.throw(INTERRUPTED)
        if not heeded:
            raise KeyboardInterrupt

    before = {
        signum: signal.signal(signum, handle)
        for signum in STOPPING
        if signal.getsignal(signum) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
