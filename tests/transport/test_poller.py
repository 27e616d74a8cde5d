"""Both ways of waiting tell the same of the same sockets."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from minionbench.transport.poller import (
    READABLE,
    WRITABLE,
    EpollPoller,
    Poller,
    SelectorPoller,
    platform_poller,
)
from tests.transport.support import polling, selecting

KINDS: list[Callable[[], Poller]] = [SelectorPoller, polling, selecting]
if sys.platform.startswith("linux"):
    KINDS.append(EpollPoller)


@pytest.fixture(params=KINDS)
def poller(request: pytest.FixtureRequest) -> Iterator[Poller]:
    made: Poller = request.param()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[socket.socket, socket.socket]


def test_nothing_is_told_where_nothing_happens(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), READABLE)
    assert poller.poll(0) == []


def test_bytes_make_a_socket_readable_until_they_are_read(poller: Poller, pair: Pair) -> None:
    ours, theirs = pair
    poller.add(ours.fileno(), READABLE)
    theirs.send(b"x")
    for _ in range(2):
        assert poller.poll(1) == [(ours.fileno(), READABLE)]
    ours.recv(1)
    assert poller.poll(0) == []


def test_what_is_watched_can_be_changed(poller: Poller, pair: Pair) -> None:
    ours, theirs = pair
    poller.add(ours.fileno(), READABLE)
    poller.change(ours.fileno(), READABLE | WRITABLE)
    assert poller.poll(1) == [(ours.fileno(), WRITABLE)]
    theirs.send(b"x")
    assert poller.poll(1) == [(ours.fileno(), READABLE | WRITABLE)]
    poller.change(ours.fileno(), READABLE)
    assert poller.poll(1) == [(ours.fileno(), READABLE)]


def test_a_socket_that_is_no_longer_watched_is_not_told_of(poller: Poller, pair: Pair) -> None:
    ours, theirs = pair
    poller.add(ours.fileno(), READABLE)
    theirs.send(b"x")
    poller.remove(ours.fileno())
    assert poller.poll(0) == []


def test_an_end_of_the_connection_is_something_to_be_read(poller: Poller, pair: Pair) -> None:
    ours, theirs = pair
    poller.add(ours.fileno(), READABLE)
    theirs.close()
    ((fd, events),) = poller.poll(1)
    assert fd == ours.fileno()
    assert events & READABLE


def test_the_platforms_poller_is_epoll_on_linux() -> None:
    poller = platform_poller()
    assert isinstance(poller, EpollPoller) == sys.platform.startswith("linux")
    poller.close()
