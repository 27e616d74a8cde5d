"""Reads carry the kernel's stamp, and the addresses of a host are found before a run."""

from __future__ import annotations

import select
import socket
import struct
import sys

import pytest

from minionbench.clock import ClockBridge, monotonic_ns
from minionbench.errors import DeploymentError
from minionbench.transport.http import Url
from minionbench.transport.stream import (
    Address,
    Stream,
    keep_stamping,
    kernel_stamp_ns,
    resolve,
)
from tests.transport.support import Peer, ScriptedServer, Signal, dead_port, has_ipv6, silent

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux stamps what it receives"
)


def connected(address: Address) -> Stream:
    stream = Stream(address)
    assert select.select([], [stream.fd], [], 10)[1]
    assert stream.connect_error() is None
    return stream


def receive(stream: Stream) -> tuple[bytes, int | None, int]:
    assert select.select([stream.fd], [], [], 10)[0]
    return stream.receive()


def test_what_is_sent_arrives_and_comes_back() -> None:
    def echo(peer: Peer) -> None:
        peer.send(peer.socket.recv(100).upper())

    with ScriptedServer(echo) as server:
        stream = connected(server.address)
        assert stream.send(memoryview(b"hello")) == 5
        assert receive(stream)[0] == b"HELLO"
        assert receive(stream)[0] == b""  # the server has closed
        stream.close()
        stream.close()


@linux_only
def test_each_read_has_the_kernels_stamp_between_the_write_and_the_read() -> None:
    def tick(peer: Peer) -> None:
        while peer.socket.recv(1):
            peer.send(b"x")

    stamps: list[int] = []
    holder = keep_stamping()
    assert holder is not None
    with holder, ScriptedServer(tick) as server:
        stream = connected(server.address)
        while len(stamps) < 30:
            bridge = ClockBridge()
            before_ns = monotonic_ns()
            stream.send(memoryview(b"?"))
            data, real_ns, user_ns = receive(stream)
            assert data == b"x"
            if real_ns is not None:
                stamp_ns = bridge.to_monotonic(real_ns, near_ns=user_ns)
                slack_ns = bridge.widest_bracket_ns + 1_000
                assert before_ns - slack_ns <= stamp_ns <= user_ns + slack_ns
                stamps.append(stamp_ns)
            # Until stamping is on in this host, there may be none; then there always is.
            assert real_ns is not None or not stamps
        stream.close()
    assert stamps == sorted(stamps)


@linux_only
def test_while_stamping_is_kept_on_each_new_connection_is_stamped_from_its_first_byte() -> None:
    def greet(peer: Peer) -> None:
        peer.send(b"x")
        peer.wait_for_close()

    stamped: list[bool] = []
    holder = keep_stamping()
    assert holder is not None
    with holder, ScriptedServer(greet) as server:
        while not any(stamped) or len(stamped) < 20:
            stream = connected(server.address)
            stamped.append(receive(stream)[1] is not None)
            stream.close()
    assert all(stamped[stamped.index(True) :])


def test_without_anything_to_read_a_stream_says_so_and_does_not_wait() -> None:
    with ScriptedServer(silent) as server:
        stream = connected(server.address)
        with pytest.raises(BlockingIOError):
            stream.receive()
        stream.close()


def test_a_full_connection_takes_no_more_and_does_not_wait() -> None:
    full = Signal()

    def never_read(peer: Peer) -> None:
        full.wait()

    with ScriptedServer(never_read) as server:
        stream = connected(server.address)
        data = memoryview(bytes(1 << 20))
        with pytest.raises(BlockingIOError):
            for _ in range(1_000):
                assert stream.send(data) > 0
        stream.close()
        full.give()


def test_a_stream_that_takes_nothing_more_is_ready_with_its_end() -> None:
    with ScriptedServer(silent) as server:
        stream = connected(server.address)
        stream.stop_reading()
        assert receive(stream)[0] == b""
        stream.close()
        stream.stop_reading()


def test_a_reset_is_an_error_of_the_read() -> None:
    def reset(peer: Peer) -> None:
        peer.socket.recv(1)
        peer.reset()

    with ScriptedServer(reset) as server:
        stream = connected(server.address)
        stream.send(memoryview(b"?"))
        with pytest.raises(ConnectionResetError):
            receive(stream)
        stream.close()


def test_why_a_connection_was_not_made_is_told() -> None:
    with dead_port() as port:
        stream = Stream(Address(socket.AF_INET, ("127.0.0.1", port)))
        assert select.select([], [stream.fd], [], 10)[1]
        error = stream.connect_error()
        assert isinstance(error, ConnectionRefusedError)
        stream.close()


def test_an_address_that_cannot_be_tried_leaves_no_socket_open() -> None:
    with pytest.raises(OSError, match=r"denied|unreachable|not permitted"):
        Stream(Address(socket.AF_INET, ("255.255.255.255", 9)))


def test_a_cut_stamp_is_no_stamp() -> None:
    whole = struct.pack("@qq", 3, 7)
    assert kernel_stamp_ns(whole) == 3_000_000_007
    assert kernel_stamp_ns(whole[:8]) is None
    assert kernel_stamp_ns(b"") is None


def test_a_number_is_resolved_to_itself() -> None:
    assert resolve(Url("http://127.0.0.1:81")) == (Address(socket.AF_INET, ("127.0.0.1", 81)),)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_an_ipv6_number_is_resolved_to_itself() -> None:
    assert resolve(Url("http://[::1]:81")) == (Address(socket.AF_INET6, ("::1", 81, 0, 0)),)


def test_each_address_of_a_name_comes_once() -> None:
    addresses = resolve(Url("http://localhost:81"))
    assert len(set(addresses)) == len(addresses) >= 1
    assert {address.family for address in addresses} <= {socket.AF_INET, socket.AF_INET6}


def test_localhost_is_both_loopback_addresses_whatever_the_resolver_knows() -> None:
    addresses = set(resolve(Url("http://localhost:81")))
    assert Address(socket.AF_INET, ("127.0.0.1", 81)) in addresses
    assert Address(socket.AF_INET6, ("::1", 81, 0, 0)) in addresses


def test_a_name_that_nobody_knows_is_a_deployment_error_with_advice() -> None:
    with pytest.raises(DeploymentError, match=r"'nowhere\.invalid' cannot be resolved"):
        resolve(Url("http://nowhere.invalid/v1"))


def test_a_name_that_is_none_is_a_deployment_error_too() -> None:
    with pytest.raises(DeploymentError, match="cannot be resolved"):
        resolve(Url(f"http://{'x' * 70}.example/v1"))
    with pytest.raises(DeploymentError, match="cannot be resolved"):
        resolve(Url("http://a..b/v1"))
