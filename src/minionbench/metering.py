"""Metering: the meters of a run, opened once, and looked at while its cells are measured.

What they say goes to the run's trace, with marks of what was done meanwhile. Where a meter of power
is there, the machine is looked at for some seconds before the first request and after the last one
too, with the engines loaded and nothing sent: that is the baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from minionbench.clock import monotonic_ns, sleep_s
from minionbench.engines.engine import Engine
from minionbench.errors import MinionbenchError
from minionbench.exchange import Side
from minionbench.meters.engine_streams import Watched, engine_meters
from minionbench.meters.power.catalog import close_all, find_meters
from minionbench.meters.power.meter import Meter, PowerSettings
from minionbench.meters.sampler import Sampler
from minionbench.store import begun
from minionbench.system import redact_text
from minionbench.traces import Fact, Look, Mark, Missing, PhaseName, TraceSink
from minionbench.units import NS_PER_S

STEP_S = 0.05
"""Of waiting, before a wish to stop is noticed."""


class Metering:
    """The meters of a run; with `--no-meters` none, and no memory is looked at in its course."""

    def __init__(self, wanted: PowerSettings, sink: TraceSink) -> None:
        """Opens the meters that there are.

        Raises MeterError when one that was asked for by name cannot be read.
        """
        self._wanted = wanted
        self._sink: TraceSink = _WithoutSecrets(sink)
        self.found = find_meters(wanted)
        self.failed: str | None = None
        """Why facts are missing from the trace; None while none are."""
        self._keep(begun(), *self._missing())

    @property
    def meters(self) -> tuple[Meter, ...]:
        """Those of power and energy that are there."""
        return tuple(one.meter for one in self.found if one.meter is not None)

    def __enter__(self) -> Metering:
        return self

    def __exit__(self, *_: object) -> None:
        close_all(self.found)

    @contextmanager
    def over(
        self,
        engines: Mapping[Side, Engine],
        cells: Sequence[str],
        why_stop: Callable[[], str | None],
        say: Callable[[str], None],
        *,
        baseline: bool = True,
    ) -> Iterator[Watch]:
        """Looks at the meters, and at what the engines hold, until the end of the block.

        `cells` are those that are measured meanwhile. `why_stop` says why nobody is to wait any
        longer, if so; `say` is told what is being done. Without `baseline` nothing is waited for.
        """
        watch = Watch(self._keep)
        self._keep(begun(), *self._missing())
        if self._wanted.off:
            yield watch
            return
        watched = [
            Watched(
                side=side,
                pid=engine.pid,
                on_gpu=engine.facts.has_gpu,
                page=engine.metrics_page,
                model=engine.endpoint.model,
            )
            for side, engine in engines.items()
            if not engine.facts.remote
        ]
        held = engine_meters(watched)
        idle_s = self._wanted.idle_s if baseline and self.meters else 0.0
        try:
            with Sampler([*self.meters, *held], self._sink) as sampler:
                watch.sampler = sampler
                self._idle(watch, cells, idle_s, why_stop, say, "before the requests")
                yield watch
                self._idle(watch, cells, idle_s, why_stop, say, "after the requests")
                watch.sampler = None
            self.failed = self.failed or sampler.failed
        finally:
            for meter in held:
                meter.close()

    def _idle(
        self,
        watch: Watch,
        cells: Sequence[str],
        idle_s: float,
        why_stop: Callable[[], str | None],
        say: Callable[[str], None],
        when: str,
    ) -> None:
        """Has the machine idle for a while, and marks how long it was left to."""
        if idle_s <= 0 or why_stop() is not None:
            return
        say(f"measuring the idle machine for {idle_s:g} s, {when}")
        with watch.during("idle", cells, None):
            until_ns = monotonic_ns() + round(idle_s * NS_PER_S)
            while why_stop() is None and (left_ns := until_ns - monotonic_ns()) > 0:
                sleep_s(min(STEP_S, left_ns / NS_PER_S))

    def _missing(self) -> list[Missing]:
        return [
            Missing(one.name, one.reason or "", one.remedy)
            for one in self.found
            if one.meter is None
        ]

    def _keep(self, *facts: Fact) -> None:
        """A trace that cannot be written must not end the run: its gap shows, and says so."""
        try:
            if facts:
                self._sink.keep(*facts)
        except MinionbenchError as error:
            self.failed = self.failed or str(error)


class _WithoutSecrets:
    """Keeps facts, but no key or password that a program or a server has told of its failing."""

    def __init__(self, sink: TraceSink) -> None:
        self._sink = sink

    def keep(self, *facts: Fact) -> None:
        """Keeps facts, in this order, in one go."""
        self._sink.keep(*map(_without_secrets, facts))


def _without_secrets(fact: Fact) -> Fact:
    if isinstance(fact, Look) and fact.why is not None:
        return msgspec.structs.replace(fact, why=redact_text(fact.why))
    return fact


class Watch:
    """Marks what is done while meters are looked at."""

    def __init__(self, keep: Callable[[Mark], None] = lambda mark: None) -> None:
        self._keep = keep
        self.sampler: Sampler | None = None
        """What looks at the meters; None where nothing does."""

    @contextmanager
    def during(self, phase: PhaseName, cells: Sequence[str], repeat: int | None) -> Iterator[None]:
        """Marks what happens in the block, with a look at power just before and just after."""
        if self.sampler is None:
            yield
            return
        self.sampler.look()
        start_ns = monotonic_ns()
        try:
            yield
        finally:
            end_ns = monotonic_ns()
            self.sampler.look()
            self._keep(Mark(phase, tuple(cells), repeat, start_ns, end_ns))


@contextmanager
def watched_by(
    metering: Metering | None,
    engines: Mapping[Side, Engine],
    cells: Sequence[str],
    why_stop: Callable[[], str | None],
    say: Callable[[str], None],
    *,
    baseline: bool,
) -> Iterator[Watch]:
    """As `Metering.over`, where there is a metering; else nothing is looked at."""
    if metering is None:
        yield Watch()
        return
    with metering.over(engines, cells, why_stop, say, baseline=baseline) as watch:
        yield watch
