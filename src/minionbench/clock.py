"""The only place that reads a clock: monotonic nanoseconds for intervals, UTC for labels."""

from __future__ import annotations

import time
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

monotonic_ns = time.monotonic_ns
"""Nanoseconds of CLOCK_MONOTONIC; the difference of two readings is an interval."""

process_cpu_ns = time.process_time_ns
"""Nanoseconds of CPU that this process has used, user and system together."""

thread_cpu_ns = time.thread_time_ns
"""Nanoseconds of CPU that the calling thread has used, user and system together."""


def utc_now() -> datetime:
    """The present instant in UTC; a label for people, never an end of an interval."""
    return datetime.now(UTC)


def sleep_s(duration_s: float) -> None:
    """Blocks for `duration_s` seconds."""
    time.sleep(duration_s)


class OffsetSample(NamedTuple):
    """One bracketed reading of how far CLOCK_REALTIME is ahead of CLOCK_MONOTONIC."""

    at_ns: int
    """Monotonic instant of the reading (the middle of its bracket)."""
    offset_ns: int
    """CLOCK_REALTIME − CLOCK_MONOTONIC at that instant."""
    bracket_ns: int
    """Width of the monotonic bracket: the offset is known to within half of it."""


def sample_offset(attempts: int = 5) -> OffsetSample:
    """Reads the offset of the wall clock from the monotonic clock.

    Each attempt reads monotonic, real, monotonic; the attempt with the narrowest bracket wins,
    since the less passes between the two monotonic readings, the less the offset can be wrong.
    """
    best: OffsetSample | None = None
    for _ in range(attempts):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        width = after - before
        if best is None or width < best.bracket_ns:
            middle = before + width // 2
            best = OffsetSample(middle, real - middle, width)
    assert best is not None
    return best


class ClockAnchor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One instant on both clocks, by which other monotonic instants have a date and an hour.

    Good for that, and for nothing finer: the wall clock is corrected as time goes by.
    """

    monotonic_ns: int
    utc_ns: int
    """Nanoseconds since 1970."""

    @classmethod
    def now(cls) -> ClockAnchor:
        """The present instant."""
        sample = sample_offset()
        return cls(monotonic_ns=sample.at_ns, utc_ns=sample.at_ns + sample.offset_ns)

    def utc(self, at_ns: int) -> datetime:
        """The date and hour of a monotonic instant."""
        since_1970_us = (self.utc_ns + at_ns - self.monotonic_ns) // 1_000
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since_1970_us)


class ClockBridge:
    """Turns the kernel's receive stamps (CLOCK_REALTIME) into monotonic nanoseconds.

    The offset between the two clocks is sampled again and again during a run, because NTP slews
    and steps the real one. A stamp is converted with the offset interpolated between the samples
    around it. `drift_ns` is how far the offset moved over the run and `largest_step_ns` its
    largest change between neighbouring samples: a step of the clock shows there, and a run in
    which it is large is not to be believed.
    """

    interval_ns = 100_000_000
    """Time between samples: at the kernel's largest slew (500 ppm) 50 µs of change per interval,
    which interpolation reduces to nothing."""

    def __init__(self, first: OffsetSample | None = None) -> None:
        """Begins with a sample taken now, or with the one given."""
        self._at_ns: list[int] = []
        self._offset_ns: list[int] = []
        self.next_sample_ns = 0
        self.largest_step_ns = 0
        self.widest_bracket_ns = 0
        self.add(first or sample_offset())

    def sample(self) -> None:
        """Takes a sample now."""
        self.add(sample_offset())

    def add(self, sample: OffsetSample) -> None:
        """Adds a sample, in order of time."""
        if self._offset_ns:
            step = abs(sample.offset_ns - self._offset_ns[-1])
            self.largest_step_ns = max(self.largest_step_ns, step)
        self._at_ns.append(sample.at_ns)
        self._offset_ns.append(sample.offset_ns)
        self.widest_bracket_ns = max(self.widest_bracket_ns, sample.bracket_ns)
        self.next_sample_ns = sample.at_ns + self.interval_ns

    @property
    def drift_ns(self) -> int:
        """Offset at the last sample minus offset at the first."""
        return self._offset_ns[-1] - self._offset_ns[0]

    def offset_at(self, at_ns: int) -> int:
        """CLOCK_REALTIME − CLOCK_MONOTONIC at a monotonic instant, interpolated linearly.

        Before the first and after the last sample the nearest one holds.
        """
        at, offset = self._at_ns, self._offset_ns
        right = bisect_left(at, at_ns)
        if right == 0:
            return offset[0]
        if right == len(at):
            return offset[-1]
        left = right - 1
        rise, run = offset[right] - offset[left], at[right] - at[left]
        return offset[left] + rise * (at_ns - at[left]) // run

    def to_monotonic(self, real_ns: int, near_ns: int) -> int:
        """Converts a CLOCK_REALTIME stamp; `near_ns` is a monotonic instant close to it."""
        return real_ns - self.offset_at(near_ns)
