"""The kernel's time slice of this thread: a short one lets it run soon after it wakes.

A reader of arrivals sleeps until one comes and then works for some ten microseconds. Where another
program has its core, Linux lets it wait for the rest of that program's slice, up to a tick of 4 ms.
A thread with a shorter slice takes the core at once. It gets no more time by that, only sooner.

Source: Linux 6.12, sched_setattr(2) for SCHED_OTHER: `sched_runtime` is the slice that is asked
for, from 0.1 to 100 ms; earlier kernels ignore it.
"""

from __future__ import annotations

import os
import platform
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

SHORTEST_SLICE_NS = 100_000
"""The shortest that Linux grants: some three times what reading an event takes."""

_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
"""`struct sched_attr` in its first form: size, policy, flags, nice, priority, runtime, deadline,
period."""
_SCHED_OTHER = 0
_SYSCALLS = {"x86_64": (314, 315), "aarch64": (274, 275), "riscv64": (274, 275)}
"""Machine to the numbers of sched_setattr and sched_getattr, which Python has no names for."""


class _Attributes(NamedTuple):
    size: int
    policy: int
    flags: int
    nice: int
    priority: int
    runtime_ns: int
    deadline_ns: int
    period_ns: int


@contextmanager
def short_time_slice() -> Iterator[bool]:
    """Asks for the shortest slice while the block runs; whether the kernel took the wish.

    Only the calling thread has it. Where the kernel or the thread's policy knows no such wish,
    nothing changes.
    """
    before = _attributes()
    if before is None or before.policy != _SCHED_OTHER:
        yield False
        return
    _set(before._replace(runtime_ns=SHORTEST_SLICE_NS))
    try:
        # An earlier kernel takes the wish without a word and without effect.
        yield time_slice_ns() == SHORTEST_SLICE_NS
    finally:
        _set(before)


def time_slice_ns() -> int | None:
    """The calling thread's slice; None where the kernel does not tell."""
    attributes = _attributes()
    return attributes.runtime_ns or None if attributes is not None else None


def _attributes() -> _Attributes | None:
    room = bytearray(_ATTRIBUTES.size)
    # The last number is the flags, of which there are none.
    if not _call(1, room, len(room), 0):
        return None
    return _Attributes(*_ATTRIBUTES.unpack(room))


def _set(attributes: _Attributes) -> bool:
    wish = attributes._replace(size=_ATTRIBUTES.size, nice=os.getpriority(os.PRIO_PROCESS, 0))
    return _call(0, bytearray(_ATTRIBUTES.pack(*wish)), 0)


def _call(which: int, attributes: bytearray, *more: int) -> bool:
    """Makes one of the two calls for the calling thread; whether it succeeded."""
    numbers = _SYSCALLS.get(platform.machine())
    if numbers is None or not sys.platform.startswith("linux"):
        return False
    import ctypes

    syscall = ctypes.CDLL(None).syscall
    syscall.restype = ctypes.c_long
    memory = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    arguments = (ctypes.c_uint(number) for number in more)
    return bool(syscall(ctypes.c_long(numbers[which]), 0, memory, *arguments) == 0)
