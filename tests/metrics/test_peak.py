"""The moment of a peak, by hand-sized traces."""

from __future__ import annotations

from minionbench.metrics.peak import peak_moment
from minionbench.traces import Begun, Fact, Look, Mark, Stream, Trace

S = 1_000_000_000
MB = 2**20
RSS = Stream("rss/local", "memory", "bytes", covers="memory", scope="process-tree")
BEGUN = Begun(10 * S, "2026-11-22T00:00:00+00:00")


def looks(*shown: tuple[float, int | None]) -> list[Fact]:
    return [
        Look("rss/local", round(at_s * S), None if mb is None else mb * MB, None if mb else "gone")
        for at_s, mb in shown
    ]


def test_the_first_of_several_equal_peaks_counts_with_its_part_of_the_run() -> None:
    trace = Trace.of(
        [
            BEGUN,
            RSS,
            *looks((10, 5), (11, 7), (12.5, 9), (13, 9), (14, 2)),
            Mark("warmup", ("a",), 0, 10 * S, 12 * S),
            Mark("measured", ("a",), 1, 12 * S, 14 * S),
        ]
    )
    moment = peak_moment(trace, "rss/local")
    assert moment is not None
    assert (moment.seen_bytes, moment.at_ns) == (9 * MB, round(12.5 * S))
    assert moment.told() == {
        "seen_mb": 9.0,
        "since_begin_s": 2.5,
        "phase": "measured",
        "cells": ["a"],
        "repeat": 1,
        "within_s": 1.5,
    }


def test_looks_that_failed_are_no_values_and_no_neighbours() -> None:
    trace = Trace.of([BEGUN, RSS, *looks((10, 5), (11, None), (13, 6), (14, None))])
    moment = peak_moment(trace, "rss/local")
    assert moment is not None
    assert moment.apart_s == 3.0
    assert moment.told() == {"seen_mb": 6.0, "since_begin_s": 3.0, "within_s": 3.0}


def test_a_peak_at_the_very_first_look_has_none_before_it() -> None:
    trace = Trace.of([RSS, *looks((10, 5), (11, 5))])
    moment = peak_moment(trace, "rss/local")
    assert moment is not None
    assert (moment.apart_s, moment.since_begin_s) == (None, None)
    assert moment.told() == {"seen_mb": 5.0}


def test_nothing_that_was_ever_shown_is_no_peak() -> None:
    assert peak_moment(Trace.of([BEGUN, RSS, *looks((10, None))]), "rss/local") is None
    assert peak_moment(Trace(), "rss/local") is None


def test_an_idle_time_is_told_with_the_cells_that_it_is_the_baseline_of() -> None:
    trace = Trace.of([BEGUN, RSS, *looks((10, 5)), Mark("idle", ("a", "b"), None, 10 * S, 11 * S)])
    moment = peak_moment(trace, "rss/local")
    assert moment is not None
    assert moment.told() == {
        "seen_mb": 5.0,
        "since_begin_s": 0.0,
        "phase": "idle",
        "cells": ["a", "b"],
    }
