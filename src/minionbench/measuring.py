"""Measuring: an engine that serves, the cells to be measured on it, and what came out of each.

The requests of all cells are warmed up first; then the repeats follow one another, each going
through all cells, so that what changes on the machine in the course of a run meets every cell
alike.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

import msgspec

from minionbench.deployments.deployment import Deployment
from minionbench.engines.engine import Engine
from minionbench.errors import UsageError
from minionbench.exchange import Request, Side
from minionbench.load import ClosedLoop, Load
from minionbench.meters.memory import MemoryReading, TreeMemory
from minionbench.records import Phase, RequestRecord
from minionbench.runner import Journal, Phased, PhaseFacts, Runner, StopSwitch
from minionbench.transport.loop import Transport
from minionbench.verdict import RunFacts

INTERRUPTED = "the run was interrupted"
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

    @property
    def total(self) -> int:
        """Requests of all repeats, warm-up included."""
        return len(self.warmup) + self.repeats * len(self.requests)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of one cell."""

    cell: Cell
    records: tuple[RequestRecord, ...]
    facts: RunFacts
    memory: MemoryReading
    given_up: str | None
    """Why the cell ended before all its requests were sent; None when it did not."""
    taken_over: int = 0
    """Measured requests that are from an earlier, interrupted run."""


class Observer(Protocol):
    """Whoever wants to know how a run goes on. Called between requests, so it has to be quick."""

    def plan(self, run_id: str, model: str, cells: Sequence[Cell]) -> None:
        """The run begins."""

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
    deployment: Deployment,
    engines: dict[Side, Engine],
    journal: Journal,
    *,
    stop: StopSwitch,
    observer: Observer,
    keep_text: bool,
    cold: bool | None,
    earlier: Mapping[str, Sequence[RequestRecord]] | None = None,
) -> list[Measured]:
    """Measures the cells on engines that serve; ends early when the switch is thrown.

    `earlier` are the records that an interrupted run has left of a cell: what was measured then
    counts and is not asked again; only the warm-up is.
    """
    _allow_connections(cells)
    gathered = {
        cell.cell_id: _Gathered(cell, (earlier or {}).get(cell.cell_id, ())) for cell in cells
    }
    watched = [engine for engine in engines.values() if engine.pid is not None]
    memory = [TreeMemory(engine.pid) for engine in watched if engine.pid is not None]

    def engine_ended() -> str | None:
        return next((how for engine in watched if (how := engine.ended()) is not None), None)

    def on_record(record: RequestRecord) -> None:
        for tree in memory:
            tree.sample()
        observer.record(record)

    with Transport() as transport, _on_a_core_of_its_own(engines):
        runner = Runner(
            deployment,
            {side: engine.endpoint for side, engine in engines.items()},
            transport,
            journal,
            stop=stop,
            engine_ended=engine_ended,
            on_record=on_record,
            keep_text=keep_text,
        )
        for stage, group, phase in _order(list(gathered.values())):
            group.given_up = group.given_up or stop.why or engine_ended()
            if group.given_up is not None or not phase.requests:
                continue
            observer.stage(stage)
            group.add(phase, *runner.run(phase))
            for tree in memory:
                tree.sample_shared()
            group.memory = _together([tree.reading() for tree in memory])
        clock_step_ns = transport.bridge.largest_step_ns
    ended = engine_ended()
    for tree in memory:
        tree.sample()
    for group in gathered.values():
        if group.left_over and not group.facts:
            group.memory = _together([tree.reading() for tree in memory])
    pinned = all(engine.facts.free_cpus is not None for engine in watched) if watched else None
    return [
        group.measured(
            RunFacts(
                # Of what was measured here: what is taken over was measured by another process.
                own_cpu_ns=sum(facts.own_cpu_ns for facts in group.facts) if group.facts else None,
                wall_ns=sum(facts.end_ns - facts.start_ns for facts in group.facts) or None,
                clock_step_ns=clock_step_ns,
                engine_local=True if watched else None,
                pinned=pinned,
                engine_watched=bool(watched),
                engine_ended=ended,
                interrupted=stop.why is not None,
                planned_requests=group.cell.repeats * len(group.cell.requests),
                cold_expected=cold,
            )
        )
        for group in gathered.values()
    ]


class _Gathered:
    """What has come out of a cell so far."""

    def __init__(self, cell: Cell, earlier: Sequence[RequestRecord]) -> None:
        self.cell = cell
        self.records = [record for record in earlier if record.phase == "measured"]
        self.left_over = {record.index for record in self.records}
        """Indexes of what an earlier run has measured."""
        self.facts: list[PhaseFacts] = []
        """Of the measured phases."""
        self.memory = MemoryReading(peak_bytes=None, reason="no request was sent")
        self.given_up: str | None = None

    def add(self, phase: Phased, records: list[RequestRecord], facts: PhaseFacts) -> None:
        self.records.extend(records)
        if phase.phase == "measured":
            self.facts.append(facts)
        self.given_up = facts.given_up

    def measured(self, facts: RunFacts) -> Measured:
        return Measured(
            cell=self.cell,
            records=tuple(self.records),
            facts=facts,
            memory=self.memory,
            given_up=self.given_up,
            taken_over=len(self.left_over),
        )


def _order(groups: Sequence[_Gathered]) -> Iterator[tuple[str, _Gathered, Phased]]:
    """(what to say, cell, phase) in the order in which the phases run."""
    for group in groups:
        cell = group.cell
        if cell.warmup and len(group.left_over) < cell.repeats * len(cell.requests):
            yield f"warming up {cell.cell_id}", group, _phase(group, "warmup", 0)
    for repeat in range(max((group.cell.repeats for group in groups), default=0)):
        for group in groups:
            cell = group.cell
            if repeat < cell.repeats:
                stage = f"{cell.cell_id}, repeat {repeat + 1} of {cell.repeats}"
                yield stage, group, _phase(group, "measured", repeat)


def _phase(group: _Gathered, phase: Phase, repeat: int) -> Phased:
    cell, warming = group.cell, phase == "warmup"
    drawn = cell.warmup if warming else cell.requests
    first_index = 0 if warming else len(cell.warmup) + repeat * len(cell.requests)
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


def _together(readings: list[MemoryReading]) -> MemoryReading:
    """The memory of several engines: their sum, unknown when one of them is."""
    if len(readings) == 1:
        return readings[0]
    if not readings:
        return MemoryReading(peak_bytes=None, reason="the server was not started by this program")
    unknown = next((reading for reading in readings if reading.peak_bytes is None), None)
    if unknown is not None:
        return unknown
    return MemoryReading(
        peak_bytes=sum(reading.peak_bytes or 0 for reading in readings),
        method="largest sample",
        processes=sum(reading.processes for reading in readings),
        samples=min(reading.samples for reading in readings),
    )


def _allow_connections(cells: Sequence[Cell]) -> None:
    """Lets this process open as many files as the cells' streams need.

    Raises UsageError when the system allows fewer.
    """
    try:
        import resource
    except ImportError:
        return  # Windows has no such limit.
    streams = [c.load.concurrency for c in cells if isinstance(c.load, ClosedLoop)]
    needed = 2 * max(streams, default=1) + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageError(
            f"{max(streams)} streams need {needed} open files, and this system allows {hard}; "
            "raise the limit (`ulimit -Hn`), or lower the concurrency"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


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
