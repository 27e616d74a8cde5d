"""The moment of a peak: when a stream of memory showed the most, and in which part of the run."""

from __future__ import annotations

from typing import NamedTuple

from minionbench.traces import Mark, PhaseName, Trace
from minionbench.units import BYTES_PER_MB, seconds


class PeakMoment(NamedTuple):
    """When a stream of memory showed the most."""

    seen_bytes: int
    """What it showed then. The peak itself may be higher, and lie between two looks or before the
    first one."""
    at_ns: int
    """The first look that showed as much."""
    apart_s: float | None
    """Time since the look before, within which it rose to that; None for the very first look."""
    since_begin_s: float | None
    """Since the measuring began; None where the trace does not tell when that was."""
    phase: PhaseName | None
    """None between the phases."""
    cells: tuple[str, ...]
    """The cell that was at work, or those that an idle time is the baseline of; none between."""
    repeat: int | None

    def told(self) -> dict[str, object]:
        """As plain values for a document, without what is not known."""
        about: dict[str, object] = {
            "seen_mb": self.seen_bytes / BYTES_PER_MB,
            "since_begin_s": self.since_begin_s,
            "phase": self.phase,
            "cells": list(self.cells) or None,
            "repeat": self.repeat,
            "within_s": self.apart_s,
        }
        return {name: value for name, value in about.items() if value is not None}


def peak_moment(trace: Trace, stream_id: str) -> PeakMoment | None:
    """When a stream showed the most for the first time; None where it never showed anything."""
    known = [
        (look.at_ns, look.value)
        for look in trace.looks.get(stream_id, ())
        if look.value is not None
    ]
    if not known:
        return None
    most = max(value for _, value in known)
    index = next(index for index, (_, seen) in enumerate(known) if seen == most)
    at_ns = known[index][0]
    mark = _mark_at(trace, at_ns)
    return PeakMoment(
        seen_bytes=most,
        at_ns=at_ns,
        apart_s=seconds(at_ns - known[index - 1][0]) if index else None,
        since_begin_s=seconds(at_ns - trace.begun.at_ns) if trace.begun else None,
        phase=mark.phase if mark else None,
        cells=mark.cells if mark else (),
        repeat=mark.repeat if mark else None,
    )


def _mark_at(trace: Trace, at_ns: int) -> Mark | None:
    return next((mark for mark in trace.marks if mark.start_ns <= at_ns <= mark.end_ns), None)
