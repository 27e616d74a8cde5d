"""Whatever a server does, each call comes back exactly once, in time, and with its own outcome."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.ground_truth import GroundTruthServer, ground_truth_server
from minionbench.clock import monotonic_ns
from minionbench.exchange import Exchange, Outcome, Timeouts
from minionbench.transport.connection import Sending, Target
from minionbench.transport.http import Url, request_bytes
from minionbench.transport.loop import Transport
from minionbench.transport.poller import Poller
from minionbench.transport.stream import Address
from minionbench.units import NS_PER_MS, NS_PER_S
from tests.transport.support import (
    CHUNKED,
    HELLO,
    PAYLOAD,
    Peer,
    ScriptedServer,
    Signal,
    answering,
    ask,
    collect,
    dead_port,
    deaf_port,
    pollers,
    run_until,
    silent,
    submit,
    target_of,
)

SHORT_S = 0.15


@pytest.fixture(scope="module")
def running() -> Iterator[GroundTruthServer]:
    with ground_truth_server(ttft_ms=1, itl_ms=0, tokens=5) as server:
        yield server


def failed(exchange: Exchange, outcome: Outcome, message: str) -> None:
    assert exchange.outcome is outcome
    assert exchange.failure is not None
    assert message in exchange.failure.message
    assert exchange.end_ns is not None
    assert exchange.end_ns >= exchange.planned_ns


# Connecting


@pollers
def test_a_port_that_refuses_is_told_with_its_address(poller: Callable[[], Poller]) -> None:
    with dead_port() as port, Transport(poller()) as transport:
        submit(transport, target_of(port))
        (sending,) = collect(transport, 1)
    failed(sending.exchange, Outcome.CONNECT_FAILED, f"127.0.0.1:{port}: Connection refused")
    assert sending.exchange.connect_start_ns is not None
    assert sending.exchange.connect_end_ns is None
    assert sending.exchange.sent_ns is None


def test_a_server_that_takes_no_connection_runs_into_the_time_out() -> None:
    with deaf_port() as port:
        target = target_of(port, timeouts=Timeouts(connect_s=SHORT_S))
        exchange = ask(target).exchange
    failed(exchange, Outcome.CONNECT_TIMEOUT, "no connection within 0.15 s")
    assert exchange.sent_ns is None


def test_an_address_that_swallows_everything_does_not_hide_the_next_one() -> None:
    with ScriptedServer(answering(HELLO)) as server, deaf_port() as deaf:
        deaf_address = Address(socket.AF_INET, ("127.0.0.1", deaf))
        target = Target(
            Url(server.url),
            (deaf_address, deaf_address, server.address),
            timeouts=Timeouts(connect_s=3 * SHORT_S),
        )
        exchange = ask(target).exchange
    assert (exchange.outcome, exchange.body) == (None, b"hello")
    assert target.addresses[0] == server.address


def test_a_connection_that_fails_before_the_planned_instant_is_tried_again_at_it() -> None:
    with dead_port() as port, Transport() as transport:
        planned_ns = monotonic_ns() + 30 * NS_PER_MS
        transport.submit(target_of(port), PAYLOAD, planned_ns, 0)
        (sending,) = collect(transport, 1)
    failed(sending.exchange, Outcome.CONNECT_FAILED, "refused")
    assert sending.exchange.connect_start_ns is not None
    assert sending.exchange.connect_start_ns >= planned_ns


@pytest.mark.usefixtures("far_ahead")
def test_a_server_that_closes_what_was_opened_for_later_is_connected_to_again_when_due() -> None:
    def serve(peer: Peer) -> None:
        if peer.number > 0 and peer.read_request():
            peer.send(HELLO)

    with ScriptedServer(serve) as server, Transport() as transport:
        planned_ns = monotonic_ns() + 300 * NS_PER_MS
        transport.submit(server.target(), PAYLOAD, planned_ns, 0)
        (sending,) = collect(transport, 1)
        assert server.connections == 2
    assert (sending.exchange.outcome, sending.exchange.body) == (None, b"hello")
    assert sending.exchange.replaced_connections == 1
    assert sending.exchange.connect_start_ns is not None
    assert sending.exchange.connect_start_ns >= planned_ns


def test_a_failure_of_every_address_before_the_planned_instant_loses_no_call() -> None:
    nowhere = Address(socket.AF_INET, ("255.255.255.255", 9))
    with deaf_port() as port, Transport() as transport:
        addresses = (Address(socket.AF_INET, ("127.0.0.1", port)), nowhere)
        target = Target(Url("http://h"), addresses, timeouts=Timeouts(connect_s=0.02))
        transport.submit(target, PAYLOAD, monotonic_ns() + 95 * NS_PER_MS, 0)
        (sending,) = collect(transport, 1)
        assert target.connections == 0
    failed(sending.exchange, Outcome.CONNECT_FAILED, "no connection to h")


def test_when_no_address_answers_each_is_named_with_its_reason() -> None:
    nowhere = Address(socket.AF_INET, ("255.255.255.255", 9))
    with dead_port() as port:
        dead = [Address(socket.AF_INET, (f"127.0.0.{n}", port)) for n in range(1, 6)]
        exchange = ask(Target(Url("http://h"), (*dead, nowhere))).exchange
        alone = ask(Target(Url("http://h"), (dead[0],))).exchange
    first = "no connection to h: Connection refused (127.0.0.1, 127.0.0.2, 127.0.0.3, …); "
    failed(exchange, Outcome.CONNECT_FAILED, first)
    failed(exchange, Outcome.CONNECT_FAILED, "(255.255.255.255)")
    failed(alone, Outcome.CONNECT_FAILED, "no connection to h: Connection refused")
    assert alone.failure is not None
    assert "127.0.0.1" not in alone.failure.message


def test_an_address_that_swallows_everything_is_named_with_those_that_refuse() -> None:
    with dead_port() as dead, deaf_port() as deaf:
        addresses = tuple(Address(socket.AF_INET, ("127.0.0.1", port)) for port in (deaf, dead))
        target = Target(Url("http://h"), addresses, timeouts=Timeouts(connect_s=SHORT_S))
        exchange = ask(target).exchange
    failed(exchange, Outcome.CONNECT_FAILED, "no answer in its share of time (127.0.0.1)")
    failed(exchange, Outcome.CONNECT_FAILED, "Connection refused (127.0.0.1)")


@pytest.mark.usefixtures("far_ahead")
def test_an_address_that_swallows_everything_before_the_instant_loses_no_call() -> None:
    with deaf_port() as port, Transport() as transport:
        target = target_of(port, timeouts=Timeouts(connect_s=SHORT_S))
        planned_ns = monotonic_ns() + 800 * NS_PER_MS
        sending = transport.submit(target, PAYLOAD, planned_ns, 0)
        run_until(transport, lambda: target.connections == 1)
        run_until(transport, lambda: target.connections == 0)
        collect(transport, 1)
    failed(sending.exchange, Outcome.CONNECT_TIMEOUT, "no connection within 0.15 s")
    assert sending.exchange.connect_start_ns is not None
    assert sending.exchange.connect_start_ns >= planned_ns


# Waiting for the answer


@pytest.mark.parametrize(
    ("limits", "pieces", "outcome", "message"),
    [
        (
            Timeouts(first_byte_s=SHORT_S),
            [],
            Outcome.FIRST_BYTE_TIMEOUT,
            "no byte of an answer within 0.15 s",
        ),
        (
            Timeouts(idle_s=SHORT_S),
            [HELLO[:-2]],
            Outcome.IDLE_TIMEOUT,
            "nothing more came for 0.15",
        ),
        (
            Timeouts(first_byte_s=SHORT_S),
            [HELLO[:9]],
            Outcome.FIRST_BYTE_TIMEOUT,
            "no byte of the answer's body within 0.15 s",
        ),
        (
            Timeouts(first_byte_s=SHORT_S),
            [CHUNKED],
            Outcome.FIRST_BYTE_TIMEOUT,
            "no byte of the answer's body within 0.15 s",
        ),
        (Timeouts(total_s=SHORT_S), [], Outcome.TOTAL_TIMEOUT, "not complete within 0.15 s"),
        (Timeouts(total_s=SHORT_S), [HELLO[:-2]], Outcome.TOTAL_TIMEOUT, "not complete"),
    ],
)
def test_no_call_waits_longer_than_its_time_outs(
    limits: Timeouts, pieces: list[bytes], outcome: Outcome, message: str
) -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(*pieces)
        peer.wait_for_close()

    with ScriptedServer(serve) as server:
        exchange = ask(server.target(timeouts=limits)).exchange
    failed(exchange, outcome, message)
    assert exchange.sent_end_ns is not None
    assert exchange.body == (b"hel" if pieces == [HELLO[:-2]] else b"")


def test_an_answer_that_drips_for_ever_ends_at_the_limit_of_the_whole() -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(CHUNKED)
        while True:
            peer.send(b"1\r\nx\r\n")
            peer.socket.settimeout(0.01)
            try:
                if not peer.socket.recv(1):
                    return
            except TimeoutError:
                pass

    with ScriptedServer(serve) as server:
        limits = Timeouts(idle_s=5 * SHORT_S, total_s=2 * SHORT_S)
        exchange = ask(server.target(timeouts=limits)).exchange
    failed(exchange, Outcome.TOTAL_TIMEOUT, "not complete")
    assert set(exchange.body) == set(b"x")


def test_until_the_body_begins_the_limit_is_that_on_the_first_byte() -> None:
    """Servers send the head of a streamed answer at once, and then queue or read the prompt."""
    gate = Signal()

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(CHUNKED)
        gate.wait()
        peer.send(b"1\r\nx\r\n0\r\n\r\n")

    limits = Timeouts(first_byte_s=60, idle_s=SHORT_S)
    with ScriptedServer(serve) as server, Transport() as transport:
        (sending,) = submit(transport, server.target(timeouts=limits))
        run_until(transport, lambda: has_all(sending, b""))
        long_ns = monotonic_ns() + round(3 * SHORT_S * NS_PER_S)
        assert transport.step(until_ns=long_ns) == []
        gate.give()
        collect(transport, 1)
    assert (sending.exchange.outcome, sending.exchange.body) == (None, b"x")


def test_keep_alive_comments_before_the_first_token_hold_an_answer_open() -> None:
    gate = Signal()

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(CHUNKED)
        while not gate.wait_s(SHORT_S / 10):
            peer.send(b"e\r\n: keep-alive\n\n\r\n")
        peer.send(b"1\r\nx\r\n0\r\n\r\n")

    limits = Timeouts(first_byte_s=2 * SHORT_S, idle_s=2 * SHORT_S)
    with ScriptedServer(serve) as server, Transport() as transport:
        (sending,) = submit(transport, server.target(timeouts=limits))
        long_ns = monotonic_ns() + round(6 * SHORT_S * NS_PER_S)
        assert transport.step(until_ns=long_ns) == []
        gate.give()
        collect(transport, 1)
    assert sending.exchange.outcome is None
    assert sending.exchange.body.endswith(b": keep-alive\n\nx")


def test_waiting_for_a_slot_is_no_part_of_any_time_out() -> None:
    gate = Signal()

    def serve(peer: Peer) -> None:
        while peer.read_request():
            gate.wait()
            peer.send(HELLO)

    limits = Timeouts(connect_s=SHORT_S, first_byte_s=5, idle_s=SHORT_S, total_s=5)
    with ScriptedServer(serve) as server, Transport() as transport:
        target = server.target(slots=1, timeouts=limits)
        submit(transport, target, 2)
        long_ns = monotonic_ns() + round(3 * SHORT_S * NS_PER_S)
        assert transport.step(until_ns=long_ns) == []
        gate.give(2)
        assert [s.exchange.outcome for s in collect(transport, 2)] == [None, None]


def test_an_idle_connection_runs_into_no_time_out() -> None:
    limits = Timeouts(connect_s=9, first_byte_s=9, idle_s=SHORT_S, total_s=9)
    with ScriptedServer(answering(HELLO)) as server, Transport() as transport:
        target = server.target(timeouts=limits)
        submit(transport, target)
        collect(transport, 1)
        transport.step(until_ns=monotonic_ns() + round(2 * SHORT_S * NS_PER_S))
        assert len(target.idle) == 1
        submit(transport, target)
        assert collect(transport, 1)[0].exchange.outcome is None
        assert server.connections == 1


# The connection ends


@pollers
@pytest.mark.parametrize("ending", ["closed", "reset"])
@pytest.mark.parametrize(
    ("pieces", "outcome", "body"),
    [
        ([], Outcome.RESET, b""),
        ([b"HTTP/1.1 2"], Outcome.TRUNCATED, b""),
        ([HELLO[:-1]], Outcome.TRUNCATED, b"hell"),
        ([CHUNKED, b"3\r\nabc\r\n"], Outcome.TRUNCATED, b"abc"),
        ([CHUNKED, b"3\r\nabc\r\n0\r\n"], Outcome.TRUNCATED, b"abc"),
    ],
)
def test_a_connection_that_ends_before_the_answer_does_is_no_success(
    poller: Callable[[], Poller], ending: str, pieces: list[bytes], outcome: Outcome, body: bytes
) -> None:
    received = Signal()

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(*pieces)
        if pieces:
            received.wait()
        if ending == "reset":
            peer.reset()

    with ScriptedServer(serve) as server, Transport(poller()) as transport:
        (sending,) = submit(transport, server.target())
        if pieces:
            run_until(transport, lambda: has_all(sending, body))
            received.give()
        collect(transport, 1)
    failed(sending.exchange, outcome, f"the server {ending} the connection")
    assert sending.exchange.body == body


def has_all(sending: Sending, body: bytes) -> bool:
    """Whether a first read has come, and with it or later the body so far."""
    connection = sending.connection
    return (
        connection is not None
        and connection.framer is not None
        and bool(connection.user_ns)
        and connection.framer.body_bytes == len(body)
    )


def test_a_reset_does_not_complete_a_body_that_ends_with_the_connection() -> None:
    received = Signal()

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\npart")
        received.wait()
        peer.reset()

    with ScriptedServer(serve) as server, Transport() as transport:
        (sending,) = submit(transport, server.target())
        run_until(transport, lambda: has_all(sending, b"part"))
        received.give()
        collect(transport, 1)
    failed(sending.exchange, Outcome.TRUNCATED, "the server reset the connection")


def test_bytes_that_are_not_http_are_malformed_and_end_the_connection() -> None:
    with ScriptedServer(answering(b"\x16\x03\x01 what?")) as server, Transport() as transport:
        target = server.target()
        submit(transport, target)
        (sending,) = collect(transport, 1)
        assert target.connections == 0
    failed(sending.exchange, Outcome.MALFORMED, "not HTTP/1.x")


# Sizes


def test_a_large_request_reaches_a_slow_reader_whole() -> None:
    body = bytes(range(256)) * (80 << 10)  # 20 MB: no socket buffer holds it
    payload = request_bytes("POST", Url("http://h"), "/", (), body)
    stuck = Signal()
    seen: list[bytes] = []

    def serve(peer: Peer) -> None:
        stuck.wait()
        for _ in range(2):
            seen.append(peer.read_request())
            peer.send(HELLO)

    with ScriptedServer(serve) as server, Transport() as transport:
        target = server.target()
        (sending,) = submit(transport, target, payload=payload)
        run_until(transport, lambda: sending.connection and sending.connection.unsent)
        stuck.give()
        collect(transport, 1)
        submit(transport, target)
        collect(transport, 1)
        assert server.connections == 1
    exchange = sending.exchange
    assert exchange.outcome is None
    assert seen == [payload, PAYLOAD]
    assert exchange.sent_ns is not None
    assert exchange.sent_end_ns is not None
    assert exchange.sent_ns < exchange.sent_end_ns


def test_an_answer_to_half_a_request_is_taken_and_the_connection_given_up() -> None:
    def serve(peer: Peer) -> None:
        # A fixed size keeps the kernel from growing the buffer until the whole request fits.
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        peer.socket.recv(1_000)
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        # What is still coming stays unread: else a slow client could send all of it first.
        answered.wait(30)

    answered = threading.Event()
    payload = request_bytes("POST", Url("http://h"), "/", (), bytes(20 << 20))
    with ScriptedServer(serve) as server, Transport() as transport:
        target = server.target()
        submit(transport, target, payload=payload)
        (sending,) = collect(transport, 1)
        answered.set()
        assert target.connections == 0
    exchange = sending.exchange
    assert (exchange.outcome, exchange.status, exchange.body) == (None, 413, b"no")
    assert exchange.sent_ns is not None


def test_a_server_that_closes_while_the_request_is_being_sent_has_reset_it() -> None:
    def serve(peer: Peer) -> None:
        peer.socket.recv(1_000)

    payload = request_bytes("POST", Url("http://h"), "/", (), bytes(20 << 20))
    with ScriptedServer(serve) as server:
        exchange = ask(server.target(), payload).exchange
    failed(exchange, Outcome.RESET, "without an answer")
    assert exchange.sent_end_ns is None


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED + b"4b0\r\n" + bytes(1_200) + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1200\r\n\r\n" + bytes(1_200),
        b"HTTP/1.0 200 OK\r\n\r\n" + bytes(1_200),
    ],
    ids=["chunks", "length", "until close"],
)
def test_a_body_over_the_limit_is_given_up_however_it_comes(answer: bytes, pieces: int) -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        size = -(-len(answer) // pieces)
        peer.send(*[answer[i : i + size] for i in range(0, len(answer), size)])
        peer.wait_for_close()

    with ScriptedServer(serve) as server:
        target = server.target()
        target.max_body_bytes = 1_000
        exchange = ask(target).exchange
        failed(exchange, Outcome.TOO_LARGE, "longer than 1000 bytes")
        assert exchange.read_ends[-1] == len(exchange.body) > 1_000


def test_an_answer_in_too_many_pieces_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a server that sends byte by byte fills no memory with stamps."""
    monkeypatch.setattr("minionbench.transport.limits.MAX_READS", 4)
    gate = Signal()

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(CHUNKED)
        for _ in range(4):
            gate.wait()
            peer.send(b"1\r\nx\r\n")
        peer.wait_for_close()

    with ScriptedServer(serve) as server, Transport() as transport:
        (sending,) = submit(transport, server.target())
        for i in range(4):
            run_until(transport, lambda n=i: has_all(sending, b"x" * n))  # type: ignore[misc]
            gate.give()
        collect(transport, 1)
    failed(sending.exchange, Outcome.TOO_LARGE, "pieces")


# Cutting


def test_a_call_cut_before_its_instant_was_not_sent() -> None:
    with ScriptedServer(answering(HELLO)) as server, Transport() as transport:
        target = server.target()
        sending = transport.submit(target, PAYLOAD, monotonic_ns() + 10**12, 0)
        transport.cut(sending, "enough")
        assert transport.next_send_ns is None
        assert transport.step() == [sending]
        assert transport.under_way == 0
        assert server.connections == 0
    assert sending.exchange.outcome is Outcome.NOT_SENT
    assert sending.exchange.failure is not None
    assert sending.exchange.failure.message == "enough"
    assert sending.exchange.admitted_ns is None


@pytest.mark.usefixtures("far_ahead")
def test_a_call_cut_while_its_connection_is_ready_knows_nothing_of_the_answer_before() -> None:
    with ScriptedServer(answering(HELLO)) as server, Transport() as transport:
        target = server.target()
        submit(transport, target)
        collect(transport, 1)
        sending = transport.submit(target, PAYLOAD, monotonic_ns() + 10**12, 0)
        run_until(transport, lambda: sending.connection)
        transport.cut(sending, "enough")
        assert transport.step() == [sending]
        assert target.connections == 0
    exchange = sending.exchange
    assert exchange.outcome is Outcome.NOT_SENT
    assert (exchange.status, exchange.body, exchange.reads) == (None, b"", 0)
    assert exchange.first_byte_ns is None


def test_a_call_cut_while_it_waits_for_a_slot_was_not_sent_and_takes_none() -> None:
    with ScriptedServer(silent) as server, Transport() as transport:
        target = server.target(slots=1)
        first, second, third = submit(transport, target, 3)
        run_until(transport, lambda: first.exchange.sent_end_ns)
        transport.cut(second, "enough")
        assert transport.step() == [second]
        assert second.exchange.outcome is Outcome.NOT_SENT
        transport.cut(first, "enough")
        assert transport.step() == [first]
        assert first.exchange.outcome is Outcome.CUT
        run_until(transport, lambda: third.exchange.sent_ns)
        transport.cut(third, "enough")
        assert transport.step() == [third]
    assert (target.gate.taken, target.gate.waiting) == (0, 0)


def test_a_call_cut_just_as_it_was_let_in_passes_its_slot_on() -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        if peer.number == 0:
            peer.wait_for_close()
        peer.send(HELLO)

    with ScriptedServer(serve) as server, Transport() as transport:
        target = server.target(slots=1)
        first, second, third = submit(transport, target, 3)
        run_until(transport, lambda: target.gate.waiting == 2)
        transport.cut(first, "enough")
        transport.cut(second, "enough")
        back = collect(transport, 3)
    assert set(back) == {first, second, third}
    assert third.exchange.body == b"hello"
    assert second.exchange.outcome is Outcome.NOT_SENT
    assert target.gate.taken == 0


def test_a_call_cut_while_it_connects_was_not_sent() -> None:
    with deaf_port() as port, Transport() as transport:
        target = target_of(port)
        (sending,) = submit(transport, target)
        run_until(transport, lambda: sending.connection)
        transport.cut(sending, "enough")
        assert transport.step() == [sending]
        assert target.connections == 0
    assert sending.exchange.outcome is Outcome.NOT_SENT
    assert sending.exchange.connect_start_ns is not None


@pytest.mark.parametrize("received", [b"", HELLO[:-2]])
def test_a_call_cut_while_it_is_answered_keeps_what_had_come(received: bytes) -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(received)
        peer.wait_for_close()

    with ScriptedServer(serve) as server, Transport() as transport:
        target = server.target()
        (sending,) = submit(transport, target)
        body = received[-3:]
        run_until(
            transport,
            lambda: has_all(sending, body) if received else sending.exchange.sent_end_ns,
        )
        transport.cut(sending, "enough")
        transport.cut(sending, "again")
        assert transport.step() == [sending]
        assert transport.step() == []
        assert target.connections == 0
    failed(sending.exchange, Outcome.CUT, "enough")
    assert sending.exchange.body == body


def test_cutting_a_call_that_has_ended_changes_nothing() -> None:
    with ScriptedServer(answering(HELLO)) as server, Transport() as transport:
        (sending,) = submit(transport, server.target())
        collect(transport, 1)
        transport.cut(sending, "too late")
        assert transport.step() == []
    assert sending.exchange.outcome is None


def test_cutting_all_gives_every_call_back_once_whatever_it_was_doing() -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        if peer.number == 0:
            peer.send(HELLO[:-2])
        peer.wait_for_close()

    with ScriptedServer(serve) as server, deaf_port() as deaf, Transport() as transport:
        target, deaf_target = server.target(slots=2), target_of(deaf)
        now_ns = monotonic_ns()
        calls = submit(transport, target, 5)
        calls += submit(transport, deaf_target, 2)
        calls += [transport.submit(target, PAYLOAD, now_ns + 10**12, i) for i in range(3)]
        run_until(transport, lambda: all(c.exchange.sent_end_ns for c in calls[:2]))
        run_until(transport, lambda: any(has_all(c, b"hel") for c in calls[:2]))
        back = transport.cut_all("Ctrl-C")
        assert Counter(back) == Counter(calls)
        assert transport.under_way == 0
        assert transport.cut_all("Ctrl-C again") == []
        assert transport.step() == []
        assert (target.connections, deaf_target.connections) == (0, 0)
        assert (target.gate.taken, target.gate.waiting) == (0, 0)
    assert Counter(c.exchange.outcome for c in calls) == {Outcome.CUT: 2, Outcome.NOT_SENT: 8}
    assert {c.exchange.failure.message for c in calls if c.exchange.failure} == {"Ctrl-C"}


def test_after_everything_was_cut_the_transport_works_on() -> None:
    with ScriptedServer(answering(HELLO)) as server, Transport() as transport:
        target = server.target(slots=1)
        submit(transport, target, 3)
        transport.cut_all("first")
        submit(transport, target, 3)
        assert [s.exchange.outcome for s in collect(transport, 3)] == [None] * 3


def test_cutting_many_waiting_calls_is_quick_work() -> None:
    with ScriptedServer(silent) as server, Transport() as transport:
        target = server.target(slots=1)
        calls = submit(transport, target, 10_000)
        run_until(transport, lambda: target.gate.waiting == 9_999)
        assert set(transport.cut_all("Ctrl-C")) == set(calls)


# Everything at once

FAULTS = [
    *("none", "none", "http-500", "http-429", "garbage", "close", "reset", "end-early", "html"),
    *("bad-chunk", "short-body", "close-after", "close-silently", "until-close", "content-length"),
    *("continue", "stall", "hang", "no-done", "endless-header"),
]
LIMITS = Timeouts(connect_s=10, first_byte_s=0.4, idle_s=0.4, total_s=10)
WHOLE = {"none", "http-500", "http-429", "end-early", "html", "close-after", "close-silently"}
WHOLE |= {"until-close", "content-length", "continue", "no-done"}


@given(
    st.lists(
        st.tuples(st.sampled_from(FAULTS), st.integers(0, 6), st.integers(0, 3)),
        min_size=1,
        max_size=25,
    ),
    st.sampled_from([None, 1, 2, 5]),
    st.lists(st.integers(0, 24), max_size=4),
)
@settings(max_examples=15)
def test_every_call_comes_back_exactly_once_and_no_broken_answer_is_whole(
    running: GroundTruthServer,
    calls: list[tuple[str, int, int]],
    slots: int | None,
    cut: list[int],
) -> None:
    url = Url(running.base_url)
    target = Target.at(running.base_url, slots=slots, timeouts=LIMITS)
    body = b'{"model":"m","messages":[],"stream":true}'
    submitted: dict[Sending, str] = {}
    with Transport() as transport:
        now_ns = monotonic_ns()
        for fault, delay_ms, owner in calls:
            headers = (("X-Fault", fault), ("X-Set", f"fault_at={owner}"))
            payload = request_bytes("POST", url, "/chat/completions", headers, body)
            at_ns = now_ns + delay_ms * NS_PER_MS
            submitted[transport.submit(target, payload, at_ns, owner)] = fault
        back: list[Sending] = []
        while len(back) < len(calls):
            assert monotonic_ns() < now_ns + 60 * NS_PER_S
            back += transport.step(until_ns=monotonic_ns() + 50 * NS_PER_MS)
            if back and cut:
                transport.cut(list(submitted)[cut.pop() % len(calls)], "cut")
        assert transport.under_way == 0
        assert transport.cut_all("nothing left") == []
        assert target.connections == len(target.idle)
        assert (target.gate.taken, target.gate.waiting) == (0, 0)
    assert Counter(back) == Counter(submitted.keys())
    for sending, fault in submitted.items():
        exchange = sending.exchange
        whole = exchange.outcome is None
        assert whole == (exchange.failure is None)
        if exchange.outcome not in (Outcome.CUT, Outcome.NOT_SENT):
            assert whole == (fault in WHOLE), (fault, exchange.outcome)
        assert len(exchange.read_ns) == len(exchange.read_ends) == exchange.reads
        if exchange.reads:
            assert exchange.read_ends[-1] == len(exchange.body)
