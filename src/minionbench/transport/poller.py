"""Waiting for sockets: epoll on Linux, whatever `selectors` finds elsewhere."""

from __future__ import annotations

import select
import selectors
import sys
from typing import Protocol

READABLE = 1
"""Bit of an event: bytes, an end or an error to be read (EPOLLIN's number)."""
WRITABLE = 4
"""Bit of an event: the connection is made, or there is room for more bytes (EPOLLOUT's)."""


class Poller(Protocol):
    """Tells which file descriptors are ready, each once per `poll` with all its events."""

    def add(self, fd: int, events: int) -> None:
        """Watches a descriptor."""

    def change(self, fd: int, events: int) -> None:
        """Watches a descriptor for other events than before."""

    def remove(self, fd: int) -> None:
        """Watches a descriptor no more."""

    def poll(self, timeout_s: float) -> list[tuple[int, int]]:
        """The ready descriptors with their events; empty after `timeout_s` seconds."""
        ...

    def close(self) -> None:
        """Frees what the poller holds."""


class EpollPoller:
    """Linux's epoll, level-triggered. Errors and hang-ups show as other bits than the two."""

    def __init__(self) -> None:
        epoll = select.epoll()
        self.add = epoll.register
        self.change = epoll.modify
        self.remove = epoll.unregister
        self.poll = epoll.poll
        self.close = epoll.close


class SelectorPoller:
    """Any selector of the standard library; used where there is no epoll.

    It is tested on Linux, over `poll` and `select` as well. It is untested where it is needed: on
    macOS and the BSDs (`kqueue`) and on Windows (`select`, which takes 512 connections at most).
    """

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        """`selector` None is the platform's best."""
        self._selector = selector or selectors.DefaultSelector()

    def add(self, fd: int, events: int) -> None:
        """Watches a descriptor."""
        self._selector.register(fd, _to_selectors(events))

    def change(self, fd: int, events: int) -> None:
        """Watches a descriptor for other events than before."""
        self._selector.modify(fd, _to_selectors(events))

    def remove(self, fd: int) -> None:
        """Watches a descriptor no more."""
        self._selector.unregister(fd)

    def poll(self, timeout_s: float) -> list[tuple[int, int]]:
        """The ready descriptors with their events; empty after `timeout_s` seconds."""
        found: dict[int, int] = {}
        for key, ready in self._selector.select(timeout_s):
            # kqueue tells of reading and of writing apart.
            found[key.fd] = found.get(key.fd, 0) | _from_selectors(ready)
        return list(found.items())

    def close(self) -> None:
        """Frees the selector."""
        self._selector.close()


def _to_selectors(events: int) -> int:
    return (selectors.EVENT_READ if events & READABLE else 0) | (
        selectors.EVENT_WRITE if events & WRITABLE else 0
    )


def _from_selectors(events: int) -> int:
    return (READABLE if events & selectors.EVENT_READ else 0) | (
        WRITABLE if events & selectors.EVENT_WRITE else 0
    )


def platform_poller() -> Poller:
    """The poller that fits this platform."""
    return EpollPoller() if sys.platform.startswith("linux") else SelectorPoller()
