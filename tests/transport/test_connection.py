"""What a connection took down becomes instants of one clock; a server is known by its addresses."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from minionbench.clock import ClockBridge, OffsetSample
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Exchange, Timeouts
from minionbench.transport.connection import MAX_BODY_BYTES, Connection, Target
from minionbench.transport.http import Url
from minionbench.transport.stream import Address, Stream
from tests.transport.support import HELLO, ScriptedServer, silent


@pytest.fixture
def connection() -> Iterator[Connection]:
    with ScriptedServer(silent) as server:
        target = server.target()
        stream = Stream(server.address)
        yield Connection(stream, target, target.addresses, 0)
        stream.close()


def taken_down(
    connection: Connection, bridge: ClockBridge, user_ns: list[int], real_ns: list[int | None]
) -> Exchange:
    connection.begin()
    assert connection.framer is not None
    connection.framer.feed(HELLO)
    connection.user_ns, connection.real_ns = user_ns, real_ns
    connection.read_ends = [5] * len(user_ns)
    exchange = Exchange(0)
    connection.take_down(exchange, bridge)
    return exchange


def test_stamps_of_the_kernel_become_instants_of_the_monotonic_clock(
    connection: Connection,
) -> None:
    bridge = ClockBridge(OffsetSample(0, 10_000, 2))
    exchange = taken_down(connection, bridge, [110, 230, 340], [10_100, 10_200, 10_300])
    assert exchange.read_ns == [100, 200, 300]
    assert (exchange.reads, exchange.kernel_reads) == (3, 3)
    assert exchange.lateness_max_ns == 40
    assert exchange.first_byte_ns == 100
    assert (exchange.status, exchange.body) == (200, b"hello")
    assert exchange.headers == {"content-length": "5"}


def test_a_read_without_a_stamp_has_the_clock_after_it_and_no_lateness(
    connection: Connection,
) -> None:
    bridge = ClockBridge(OffsetSample(0, 10_000, 2))
    exchange = taken_down(connection, bridge, [110, 230, 340], [None, 10_200, None])
    assert exchange.read_ns == [110, 200, 340]
    assert (exchange.reads, exchange.kernel_reads, exchange.lateness_max_ns) == (3, 1, 30)


def test_without_any_stamp_the_lateness_is_not_known(connection: Connection) -> None:
    bridge = ClockBridge(OffsetSample(0, 10_000, 2))
    exchange = taken_down(connection, bridge, [110, 230], [None, None])
    assert exchange.read_ns == [110, 230]
    assert (exchange.kernel_reads, exchange.lateness_max_ns) == (0, None)


def test_an_answer_over_which_the_clocks_drift_has_each_read_converted_by_itself(
    connection: Connection,
) -> None:
    bridge = ClockBridge(OffsetSample(0, 10_000, 2))
    bridge.add(OffsetSample(1_000, 11_000, 2))
    exchange = taken_down(connection, bridge, [100, 600, 950], [10_200, 11_199, None])
    assert exchange.read_ns == [100, 599, 950]


def test_a_connection_on_which_nothing_was_asked_has_nothing_to_tell(
    connection: Connection,
) -> None:
    exchange = Exchange(0)
    connection.take_down(exchange, ClockBridge())
    assert (exchange.status, exchange.reads, exchange.first_byte_ns) == (None, 0, None)


def test_a_server_is_resolved_when_it_is_named() -> None:
    target = Target.at("http://127.0.0.1:81/v1")
    assert target.addresses == (Address(socket.AF_INET, ("127.0.0.1", 81)),)
    assert (target.gate.slots, target.timeouts) == (None, Timeouts())
    assert target.max_body_bytes == MAX_BODY_BYTES
    with pytest.raises(UsageError):
        Target.at("127.0.0.1:81")
    with pytest.raises(DeploymentError):
        Target.at("http://a..b/")
    secure = Target.at("https://127.0.0.1")
    assert secure.addresses == (Address(socket.AF_INET, ("127.0.0.1", 443)),)


def test_an_address_that_answered_goes_first_and_none_is_lost() -> None:
    one, two, three = (Address(socket.AF_INET, (f"127.0.0.{n}", 81)) for n in (1, 2, 3))
    target = Target(Url("http://h:81"), (one, two, three))
    for preferred, order in ((two, (two, one, three)), (two, (two, one, three))):
        target.prefer(preferred)
        assert target.addresses == order
    target.prefer(three)
    assert target.addresses == (three, two, one)


def test_there_is_room_while_slots_outnumber_the_calls_and_the_busy_connections() -> None:
    target = Target.at("http://127.0.0.1:81", slots=2)
    rooms = [target.room]
    target.connections = 1
    rooms.append(target.room)
    target.connections = 2
    rooms.append(target.room)
    target.connections = 0
    target.gate.enter()
    target.gate.enter()
    rooms.append(target.room)
    assert rooms == [True, True, False, False]
    assert Target.at("http://127.0.0.1:81").room
