"""The sampler: looks at meters again and again while a run goes on, and keeps what they show.

It has threads of its own, since the one that measures is busy with arrivals: one looks at energy
and power, another one at what changes slowly or answers slowly, so that a server which takes its
time never leaves a gap in the power. Nothing that happens here reaches the run: a look that fails
is a fact, and a trace that cannot be written is told afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from minionbench.clock import monotonic_ns, thread_cpu_ns
from minionbench.errors import MinionbenchError
from minionbench.meters.power.meter import Meter
from minionbench.traces import Fact, Look, TraceSink
from minionbench.units import NS_PER_S, seconds

RATE_HZ = 10.0
SELDOM_HZ = 1.0
"""Of memory, and of what servers say of themselves."""
PATIENCE_S = 1.0
"""How long the measuring thread waits for a meter that another thread looks at."""
ENDING_S = 10.0
"""How long a thread may take to end; longer than any server is waited for."""


class Sampler:
    """Looks at meters from now until the end of the block; closes none of them.

    On entry the streams of all meters are kept, and each is looked at once; on exit each is looked
    at a last time.
    """

    def __init__(
        self, meters: Sequence[Meter], sink: TraceSink, *, rate_hz: float = RATE_HZ
    ) -> None:
        """`rate_hz` is how often energy and power are looked at.

        Raises ValueError for a rate that is none.
        """
        if not 0 < rate_hz <= 1000:
            raise ValueError(f"{rate_hz} is no rate to look at meters")
        self._sink = sink
        self._failed: str | None = None
        quick = [meter for meter in meters if _shows_power(meter)]
        seldom = [meter for meter in meters if not _shows_power(meter)]
        self._quick = _Rounds(quick, rate_hz, self._keep, "power")
        self._seldom = _Rounds(seldom, min(rate_hz, SELDOM_HZ), self._keep, "memory")

    @property
    def failed(self) -> str | None:
        """Why facts are missing from the trace; None while none are."""
        return self._failed or self._quick.failed or self._seldom.failed

    @property
    def own_cpu_ns(self) -> int:
        """CPU that the threads have used so far."""
        return self._quick.cpu_ns + self._seldom.cpu_ns

    def look(self) -> None:
        """Looks at energy and power now, from the calling thread.

        Nothing happens where a meter does not answer within a second.
        """
        self._quick.look()

    def __enter__(self) -> Sampler:
        for rounds in (self._quick, self._seldom):
            self._keep(stream for meter in rounds.meters for stream in meter.streams)
            rounds.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Both are told before either is waited for; the power's last look is the one that counts.
        self._quick.wish_end()
        self._seldom.wish_end()
        self._quick.end()
        self._seldom.end()

    def _keep(self, facts: Iterable[Fact]) -> None:
        kept = tuple(facts)
        if not kept:
            return
        try:
            self._sink.keep(*kept)
        except MinionbenchError as error:
            self._failed = self._failed or str(error)


class _Rounds:
    """Meters that are looked at in turn, in a thread, at one rate."""

    def __init__(
        self,
        meters: Sequence[Meter],
        rate_hz: float,
        keep: Callable[[Iterable[Fact]], None],
        what: str,
    ) -> None:
        self.meters = tuple(meters)
        self.cpu_ns = 0
        self.failed: str | None = None
        self._period_ns = round(NS_PER_S / rate_hz)
        self._keep = keep
        self._lock = threading.Lock()
        """Held while the meters are looked at: none is made for two threads at once."""
        self._ending = threading.Event()
        # A thread that hangs in a driver must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name=f"meters-{what}", daemon=True)

    def begin(self) -> None:
        """Looks once, and goes on in a thread."""
        if self.meters:
            self.look()
            self._thread.start()

    def look(self) -> None:
        """Looks at each meter now."""
        if not self.meters or not self._lock.acquire(timeout=PATIENCE_S):
            return
        try:
            looks = [look for meter in self.meters for look in _looks(meter)]
        finally:
            self._lock.release()
        self._keep(looks)

    def wish_end(self) -> None:
        """Has the thread end after the look that it is at."""
        self._ending.set()

    def end(self) -> None:
        """Waits for the thread, and looks a last time."""
        if not self.meters:
            return
        self._thread.join(ENDING_S)
        if self._thread.is_alive():
            names = ", ".join(stream.covers for meter in self.meters for stream in meter.streams)
            self.failed = f"one of these meters did not answer for {ENDING_S:g} s: {names}"
            return
        self.look()

    def _run(self) -> None:
        next_ns = monotonic_ns() + self._period_ns
        while not self._ending.wait(max(0.0, seconds(next_ns - monotonic_ns()))):
            self.look()
            self.cpu_ns = thread_cpu_ns()
            next_ns = next_round_ns(next_ns, monotonic_ns(), self._period_ns)


def next_round_ns(round_ns: int, now_ns: int, period_ns: int) -> int:
    """When the round after the one of `round_ns` is due; those that were missed are left out.

    Rounds keep to their grid, so that a late one does not put off all that follow it.
    """
    missed = max(0, (now_ns - round_ns) // period_ns)
    return round_ns + (1 + missed) * period_ns


def _shows_power(meter: Meter) -> bool:
    return any(stream.quantity in ("energy", "power") for stream in meter.streams)


def _looks(meter: Meter) -> tuple[Look, ...]:
    try:
        return meter.look()
    except Exception as error:  # noqa: BLE001 - the edge of the run: a meter's bug must not end it
        why = f"the meter failed: {type(error).__name__}: {error}"
        at_ns = monotonic_ns()
        return tuple(Look(stream.stream_id, at_ns, None, why) for stream in meter.streams)
