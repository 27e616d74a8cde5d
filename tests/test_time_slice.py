"""The harness's time slice, on the kernel that is there."""

from __future__ import annotations

import os
import platform
import threading

import pytest

from minionbench.system.time_slice import SHORTEST_SLICE_NS, short_time_slice, time_slice_ns


def test_the_slice_is_short_inside_the_block_and_as_before_after_it() -> None:
    before, nice = time_slice_ns(), os.getpriority(os.PRIO_PROCESS, 0)
    with short_time_slice() as taken:
        inside = time_slice_ns()
    if before is None:
        pytest.skip("this kernel tells no time slice")
    assert taken
    assert inside == SHORTEST_SLICE_NS < before
    assert time_slice_ns() == before
    assert os.getpriority(os.PRIO_PROCESS, 0) == nice


def test_only_the_calling_thread_has_it() -> None:
    other: list[int | None] = []
    ready, done = threading.Event(), threading.Event()

    def look() -> None:
        ready.wait()
        other.append(time_slice_ns())
        done.set()

    thread = threading.Thread(target=look)
    thread.start()
    before = time_slice_ns()
    with short_time_slice():
        ready.set()
        done.wait()
    thread.join()
    assert other == [before]


def test_an_error_inside_the_block_leaves_the_slice_as_it_was() -> None:
    before = time_slice_ns()
    with pytest.raises(ZeroDivisionError), short_time_slice():
        raise ZeroDivisionError
    assert time_slice_ns() == before


def test_a_machine_whose_calls_are_not_known_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    assert time_slice_ns() is None
    with short_time_slice() as taken:
        assert not taken


def test_a_thread_of_another_policy_is_left_alone() -> None:
    results: list[bool] = []

    def batch() -> None:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        with short_time_slice() as taken:
            results.append(taken)

    thread = threading.Thread(target=batch)
    thread.start()
    thread.join()
    assert results == [False]
