"""What one stream of a meter says about a stretch of time: joules, and how exactly.

A counter of energy is read at looks that lie around the ends of the stretch; at an end itself its
value is interpolated between the looks before and after. Since a counter only grows, what it had
counted at that instant lies between those two, and so the error is bounded without any assumption
about the power: that bound is the uncertainty. It also holds that the meter is behind by as much
as one of its own updates.

Samples of power are integrated by trapezoids. Between two samples the power may have been anything;
the uncertainty takes it to have been between the two, errors of neighbours to be independent, and
those at the ends to be as bad as they can be.

How exact the meter itself is, is not part of either: it is its maker's to say.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from minionbench.metrics.throughput import Window
from minionbench.traces import Look, Stream, Trace, Unit
from minionbench.units import NS_PER_S, duration, seconds, significant

LONGEST_GAP_NS = 3 * NS_PER_S
"""Time without a reading, beyond which what lay between is not known: a program that stops for
that long may have stopped for good and been started anew."""
MOST_PLAUSIBLE_W = 20_000
"""Power beyond which a step of a counter is none: no computer draws as much, while a counter that
was reset seems to have gone once around, which is some 65 kJ in a tenth of a second."""

_TO_BASE: dict[Unit, float] = {"uJ": 1e-6, "mJ": 1e-3, "mW": 1e-3}
"""Joules of a counter's unit, watts of a sample's."""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream says of a stretch of time."""

    joules: float
    uncertainty_j: float
    """The true value lies within this of `joules`, as far as the meter itself is right."""
    updates: int
    """New readings of the meter within the stretch."""
    failed_looks: int = 0
    """Looks within the stretch that gave nothing."""


def together(uses: Sequence[Use]) -> Use:
    """The sum over stretches or over parts; their errors may all point the same way.

    Raises ValueError for no use at all.
    """
    if not uses:
        raise ValueError("there is nothing to add up")
    return Use(
        joules=math.fsum(use.joules for use in uses),
        uncertainty_j=math.fsum(use.uncertainty_j for use in uses),
        updates=sum(use.updates for use in uses),
        failed_looks=sum(use.failed_looks for use in uses),
    )


class Readings:
    """The looks of one stream of power or energy, made ready to be asked about stretches."""

    def __init__(self, stream: Stream, looks: Sequence[Look]) -> None:
        """Raises ValueError for a stream of something else."""
        if stream.quantity not in ("energy", "power"):
            raise ValueError(f"{stream.stream_id} is about {stream.quantity}")
        self.stream = stream
        self._failed = [(look.at_ns, look.why or "") for look in looks if look.value is None]
        self._at: list[int] = []
        self._value: list[float] = []
        """Joules since the first look, or watts."""
        self._broken: list[tuple[int, str]] = []
        """(index, why) of looks that do not go on from the one before them."""
        good = [(look.at_ns, look.value) for look in looks if look.value is not None]
        if stream.quantity == "power":
            self._take_power(good)
        else:
            self._take_energy(good)

    def _take_power(self, good: Sequence[tuple[int, int]]) -> None:
        scale = _TO_BASE[self.stream.unit]
        for at_ns, value in good:
            # A part that is switched on draws something: 0 is how a missing reading looks.
            if not 0 < value * scale <= MOST_PLAUSIBLE_W:
                said = significant(value * scale)
                self._failed.append((at_ns, f"it told {said} W, which is no power of a computer"))
                continue
            if self._at and at_ns == self._at[-1]:
                # Of samples that came at one instant the last one holds from there on.
                self._value[-1] = value * scale
                continue
            self._at.append(at_ns)
            self._value.append(value * scale)
        self._failed.sort()

    def _take_energy(self, good: Sequence[tuple[int, int]]) -> None:
        scale = _TO_BASE[self.stream.unit]
        total = before = 0
        for index, (at_ns, value) in enumerate(good):
            if index:
                step = value - before
                if step < 0 and self.stream.wraps_at is not None:
                    step += self.stream.wraps_at
                # What is read at once after an update may hold all of the time before it.
                since_ns = at_ns - self._at[-1] + (self.stream.update_ns or NS_PER_S)
                most = MOST_PLAUSIBLE_W * seconds(since_ns)
                if not 0 <= step * scale <= most:
                    self._broken.append((index, "its counter was reset, or jumped"))
                    step = 0
                total += step
            before = value
            self._at.append(at_ns)
            self._value.append(total * scale)

    @property
    def last_ns(self) -> int | None:
        """When it was read for the last time; None where it never was."""
        return self._at[-1] if self._at else None

    def use(self, window: Window) -> Use | str:
        """What was used in a stretch, or the reason why that is not known."""
        start, end = window.start_ns, window.end_ns
        first, last = bisect_right(self._at, start) - 1, bisect_left(self._at, end)
        why = self._unknown(first, last, start, end)
        if why is not None:
            return f"{self.stream.covers}: {why}"
        failed = bisect_right(self._failed, (end, "")) - bisect_left(self._failed, (start, ""))
        if self.stream.quantity == "power":
            joules, uncertainty_j, updates = self._integrated(start, end, first, last)
        else:
            joules, uncertainty_j, updates = self._counted(start, end, first, last)
        return Use(joules=joules, uncertainty_j=uncertainty_j, updates=updates, failed_looks=failed)

    def _unknown(self, first: int, last: int, start: int, end: int) -> str | None:
        """Why the looks from `first` to `last` do not tell about a stretch; None when they do."""
        if not self._at:
            return f"it was never read{self._failing(start, end)}"
        if first < 0:
            return f"it was not read before this began{self._failing(start, self._at[0])}"
        if last == len(self._at):
            behind = duration(max(0.0, seconds(end - self._at[-1])))
            return (
                f"its last reading came {behind} before this ended"
                f"{self._failing(self._at[-1], end)}"
            )
        for index in range(first + 1, last + 1):
            gap = self._at[index] - self._at[index - 1]
            if gap > LONGEST_GAP_NS:
                said = self._failing(self._at[index - 1], self._at[index])
                return (
                    f"there was no reading for {duration(seconds(gap))}, and more than "
                    f"{duration(seconds(LONGEST_GAP_NS))} are not bridged{said}"
                )
        if self.stream.quantity == "energy" and self.stream.basis == "measured":
            stood_ns = self._stood_still(first, last)
            if stood_ns > LONGEST_GAP_NS:
                return f"its counter stood still for {duration(seconds(stood_ns))}"
        for index, broken in self._broken:
            if first < index <= last:
                return broken
        return None

    def _stood_still(self, first: int, last: int) -> int:
        """The longest time from one look to a later one in which a counter counted nothing."""
        longest, since = 0, first
        for index in range(first + 1, last + 1):
            if self._value[index] != self._value[index - 1]:
                since = index
            longest = max(longest, self._at[index] - self._at[since])
        return longest

    def _failing(self, start: int, end: int) -> str:
        """What the last failed look in a time said, to be added to a sentence."""
        begin = bisect_left(self._failed, (start, ""))
        stop = bisect_right(self._failed, (end, "\U0010ffff"))
        return f" ({self._failed[stop - 1][1]})" if begin < stop else ""

    def _counted(self, start: int, end: int, first: int, last: int) -> tuple[float, float, int]:
        """(joules, uncertainty, updates) of a counter."""
        behind = self.stream.update_ns or 0
        low_start = self._value[first]
        high_start = self._value[self._at_or_after(start + behind)]
        low_end = self._value[bisect_right(self._at, end) - 1]
        high_end = self._value[self._at_or_after(end + behind)]
        joules = self._interpolated(end) - self._interpolated(start)
        uncertainty = max(joules - (low_end - high_start), (high_end - low_start) - joules)
        updates = sum(
            self._value[index] != self._value[index - 1]
            for index in range(first + 1, bisect_right(self._at, end))
        )
        return joules, uncertainty, updates

    def _integrated(self, start: int, end: int, first: int, last: int) -> tuple[float, float, int]:
        """(joules, uncertainty, updates) of samples of power."""
        inside = range(bisect_right(self._at, start), bisect_left(self._at, end))
        points = [
            (start, self._interpolated(start)),
            *((self._at[index], self._value[index]) for index in inside),
            (end, self._interpolated(end)),
        ]
        joules = math.fsum(
            (one + other) / 2 * seconds(later - at)
            for (at, one), (later, other) in pairwise(points)
        )
        between = math.sqrt(
            math.fsum(self._doubt(index) ** 2 for index in range(first + 1, last + 1))
        )
        ends = self._doubt_at(start) + self._doubt_at(end)
        update_ns = self.stream.update_ns
        looks = len(inside) + 1
        updates = looks if not update_ns else min(looks, (end - start) // update_ns)
        return joules, between + ends, updates

    def _doubt(self, index: int) -> float:
        """How far the trapezoid before a sample may be off, in joules."""
        length = seconds(self._at[index] - self._at[index - 1])
        return abs(self._value[index] - self._value[index - 1]) * length / 2

    def _doubt_at(self, instant: int) -> float:
        """What an end of a stretch adds: its place between two samples, and their lateness."""
        behind = self.stream.update_ns or 0
        low = max(0, bisect_right(self._at, instant - behind) - 1)
        around = self._value[low : self._at_or_after(instant + behind) + 1]
        right = self._at_or_after(instant)
        beside = self._doubt(right) if right else 0.0
        return beside + (max(around) - min(around)) * seconds(behind)

    def _at_or_after(self, instant: int) -> int:
        """Index of the first look at an instant or later; the last one where there is none."""
        return min(bisect_left(self._at, instant), len(self._at) - 1)

    def _interpolated(self, instant: int) -> float:
        right = self._at_or_after(instant)
        at, value = self._at, self._value
        if right == 0 or at[right] <= instant:
            return value[right]
        share = (instant - at[right - 1]) / (at[right] - at[right - 1])
        return value[right - 1] + share * (value[right] - value[right - 1])


def readings(trace: Trace) -> dict[str, Readings]:
    """The streams of power and energy of a trace, by their ids."""
    return {
        stream.stream_id: Readings(stream, trace.looks.get(stream.stream_id, ()))
        for stream in trace.of_quantity("energy", "power")
    }
