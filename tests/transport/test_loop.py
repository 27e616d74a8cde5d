"""Calls go out when they are planned, over connections that are used again, and all come back."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from bench.ground_truth import GroundTruthServer, ground_truth_server
from minionbench.clock import monotonic_ns
from minionbench.exchange import Outcome, Timeouts
from minionbench.transport.connection import Sending, Target
from minionbench.transport.http import Url, request_bytes
from minionbench.transport.loop import CONNECT_LEAD_NS, Transport
from minionbench.transport.poller import Poller
from minionbench.transport.stream import Address
from minionbench.units import NS_PER_MS
from tests.transport.support import (
    CHUNKED,
    CLOSING,
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
    has_ipv6,
    pollers,
    run_until,
    submit,
    target_of,
)


@pytest.fixture(scope="module")
def running() -> Iterator[GroundTruthServer]:
    with ground_truth_server(ttft_ms=2, itl_ms=1, tokens=5) as server:
        yield server


def chat(url: str) -> tuple[Target, bytes]:
    """A server under a base URL, and a question to it."""
    body = b'{"model":"m","messages":[],"stream":true}'
    return Target.at(url), request_bytes("POST", Url(url), "/chat/completions", (), body)


def has_read(sending: Sending, reads: int) -> bool:
    """Whether so many reads of the answer have been made."""
    return sending.connection is not None and len(sending.connection.user_ns) >= reads


def in_order(*instants: int | None) -> None:
    known = [instant for instant in instants if instant is not None]
    assert known == sorted(known)
    assert len(known) == len(instants)


# One call


@pollers
def test_an_answer_comes_back_whole_with_all_its_instants_in_order(
    poller: Callable[[], Poller], running: GroundTruthServer
) -> None:
    target, payload = chat(running.base_url)
    with Transport(poller()) as transport:
        assert transport.submit(target, payload, monotonic_ns(), 0).exchange.sent_ns is None
        assert transport.under_way == 1
        (sending,) = collect(transport, 1)
        assert transport.under_way == 0
        slack_ns = transport.bridge.widest_bracket_ns + 1_000
    exchange = sending.exchange
    assert (exchange.outcome, exchange.failure, exchange.status) == (None, None, 200)
    assert exchange.body.startswith(b"data: ")
    assert exchange.body.endswith(b"data: [DONE]\n\n")
    assert exchange.headers["content-type"].startswith("text/event-stream")
    in_order(
        exchange.planned_ns,
        exchange.admitted_ns,
        exchange.connect_start_ns,
        exchange.connect_end_ns,
        exchange.sent_ns,
        exchange.sent_end_ns,
    )
    assert exchange.first_byte_ns == exchange.read_ns[0]
    assert exchange.end_ns == exchange.read_ns[-1]
    assert exchange.sent_ns is not None
    assert exchange.read_ns[0] + slack_ns >= exchange.sent_ns
    assert exchange.read_ns == sorted(exchange.read_ns)
    assert exchange.read_ends == sorted(exchange.read_ends)
    assert exchange.read_ends[-1] == len(exchange.body)
    assert len(exchange.read_ns) == len(exchange.read_ends) == exchange.reads
    assert 0 <= exchange.kernel_reads <= exchange.reads
    assert (exchange.lateness_max_ns is None) == (exchange.kernel_reads == 0)


@pollers
def test_no_token_has_arrived_before_the_server_wrote_it(
    poller: Callable[[], Poller], running: GroundTruthServer
) -> None:
    running.reset()
    target, payload = chat(running.base_url)
    with Transport(poller()) as transport:
        for _ in range(3):
            transport.submit(target, payload, monotonic_ns(), 0)
        back = collect(transport, 3)
        slack_ns = transport.bridge.widest_bracket_ns + 1_000
    log = {request.id: request for request in running.dump()}
    for sending in back:
        exchange = sending.exchange
        true = log[int(exchange.headers["x-request-id"])]
        assert exchange.sent_ns is not None
        assert exchange.sent_ns - slack_ns <= true.arrival_ns
        # The head has a read of its own, and each token one, unless this machine was too busy.
        if exchange.kernel_reads == exchange.reads == 1 + true.tokens_written:
            for stamp_ns, before_ns in zip(exchange.read_ns[1:], true.before_ns, strict=True):
                assert before_ns - slack_ns <= stamp_ns


def test_the_body_is_what_the_framing_holds_and_reads_count_its_bytes() -> None:
    pieces = [b"3\r\nabc\r\n", b"2\r\nde", b"\r\n1\r\nf\r\n0\r\n\r\n"]

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(CHUNKED)
        for piece in pieces:
            gate.wait()
            peer.send(piece)
        peer.wait_for_close()

    gate = Signal()
    with ScriptedServer(serve) as server, Transport() as transport:
        (sending,) = submit(transport, server.target())
        for reads in range(1, 4):
            run_until(transport, partial(has_read, sending, reads))
            gate.give()
        collect(transport, 1)
    assert sending.exchange.body == b"abcdef"
    assert sending.exchange.read_ends == [0, 3, 5, 6]


def test_a_body_that_ends_with_the_connection_is_whole() -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.0 200 OK\r\n\r\n", b"all ", b"of it")

    with ScriptedServer(serve) as server:
        exchange = ask(server.target()).exchange
    assert (exchange.outcome, exchange.body) == (None, b"all of it")
    assert exchange.end_ns == exchange.read_ns[-1]


def test_an_answer_of_any_status_is_an_answer(running: GroundTruthServer) -> None:
    target, payload = chat(running.url(fault="http-503"))
    exchange = ask(target, payload).exchange
    assert (exchange.outcome, exchange.status) == (None, 503)
    assert exchange.headers["retry-after"] == "2"


def test_an_unasked_100_continue_is_not_the_answer(running: GroundTruthServer) -> None:
    target, payload = chat(running.url(fault="continue"))
    exchange = ask(target, payload).exchange
    assert exchange.status == 200
    assert exchange.body.endswith(b"[DONE]\n\n")


# Connections


@pollers
@pytest.mark.parametrize("count", [1, 8])
def test_in_a_closed_loop_each_place_keeps_its_connection(
    poller: Callable[[], Poller], count: int
) -> None:
    with ScriptedServer(answering(HELLO)) as server, Transport(poller()) as transport:
        target = server.target()
        back: list[Sending] = []
        submitted = len(submit(transport, target, count))
        while len(back) < 10 * count:
            for sending in transport.step():
                back.append(sending)
                if submitted < 10 * count:
                    transport.submit(target, PAYLOAD, sending.exchange.end_ns or 0, submitted)
                    submitted += 1
        assert server.connections == count
    assert all(sending.exchange.outcome is None for sending in back)
    opened = [s for s in back if s.exchange.connect_start_ns is not None]
    assert len(opened) == count
    assert all(sending.exchange.body == b"hello" for sending in back)
    assert sum(sending.exchange.replaced_connections for sending in back) == 0


@pytest.mark.parametrize("answer", [CLOSING, HELLO.replace(b"1.1", b"1.0")])
def test_where_the_server_says_that_it_closes_a_new_connection_is_made(answer: bytes) -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer)

    with ScriptedServer(serve) as server, Transport() as transport:
        for _ in range(4):
            submit(transport, server.target())
            (sending,) = collect(transport, 1)
            assert sending.exchange.outcome is None
            assert sending.exchange.connect_start_ns is not None
            assert sending.exchange.replaced_connections == 0
        assert server.connections == 4


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_an_idle_connection_that_the_server_ended_is_replaced_without_failure(ending: str) -> None:
    ended, answered = Signal(), Signal()

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(HELLO)
        answered.wait()
        if ending == "reset":
            peer.reset()
        else:
            peer.socket.shutdown(socket.SHUT_WR)
        ended.give()
        if ending == "close":
            peer.wait_for_close()

    with ScriptedServer(serve) as server, Transport() as transport:
        target = server.target()
        for round_number in range(3):
            submit(transport, target)
            (sending,) = collect(transport, 1)
            assert sending.exchange.outcome is None
            assert sending.exchange.body == b"hello"
            assert sending.exchange.replaced_connections == (1 if round_number else 0)
            assert sending.exchange.connect_start_ns is not None
            answered.give()
            ended.wait()


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_a_connection_that_closes_under_the_request_is_replaced_once(ending: str) -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        if peer.number == 0:
            peer.send(HELLO)
            peer.read_request()  # the second request has come, and is not answered
            if ending == "reset":
                peer.reset()
        else:
            peer.send(HELLO)

    with ScriptedServer(serve) as server, Transport() as transport:
        target = server.target()
        submit(transport, target)
        collect(transport, 1)
        submit(transport, target)
        (sending,) = collect(transport, 1)
    exchange = sending.exchange
    assert (exchange.outcome, exchange.body) == (None, b"hello")
    assert exchange.replaced_connections == 1
    in_order(exchange.connect_start_ns, exchange.connect_end_ns, exchange.sent_ns)


def test_a_server_that_never_answers_a_second_time_is_not_asked_for_ever() -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        if peer.number == 0:
            peer.send(HELLO)
            peer.read_request()

    with ScriptedServer(serve) as server, Transport() as transport:
        target = server.target()
        submit(transport, target)
        collect(transport, 1)
        submit(transport, target)
        (sending,) = collect(transport, 1)
        assert server.connections == 2
    assert sending.exchange.outcome is Outcome.RESET
    assert sending.exchange.replaced_connections == 1


def test_a_call_that_was_worked_on_for_long_before_the_connection_ended_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only a connection that was closing anyway is replaced: a crash is the call's own failure."""
    monkeypatch.setattr("minionbench.transport.loop.REPLACE_WITHIN_NS", 0)

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(HELLO)
        peer.read_request()

    with ScriptedServer(serve) as server, Transport() as transport:
        target = server.target()
        submit(transport, target)
        collect(transport, 1)
        submit(transport, target)
        (sending,) = collect(transport, 1)
        assert server.connections == 1
    assert sending.exchange.outcome is Outcome.RESET
    assert sending.exchange.replaced_connections == 0


def test_bytes_that_nobody_asked_for_end_the_connection_and_not_the_next_call() -> None:
    talked = Signal()

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(HELLO + (b"HTTP/1.1 408 Timeout\r\n\r\n" if peer.number == 0 else b""))
        peer.read_request()
        if peer.number == 1:
            peer.send(HELLO)
            peer.send(b"and more")
            talked.give()
        peer.wait_for_close()

    with ScriptedServer(serve) as server, Transport() as transport:
        target = server.target()
        replaced = []
        for _ in range(2):
            submit(transport, target)
            (sending,) = collect(transport, 1)
            assert sending.exchange.body == b"hello"
            replaced.append(sending.exchange.replaced_connections)
        submit(transport, target)
        (sending,) = collect(transport, 1)
        assert sending.exchange.body == b"hello"
        talked.wait()
        submit(transport, target)
        (sending,) = collect(transport, 1)
        assert sending.exchange.body == b"hello"


def addresses(*hosts: str, port: int) -> tuple[Address, ...]:
    return tuple(
        Address(socket.AF_INET6, (host, port, 0, 0))
        if ":" in host
        else Address(socket.AF_INET, (host, port))
        for host in hosts
    )


@pollers
def test_the_addresses_of_a_name_are_tried_in_turn(poller: Callable[[], Poller]) -> None:
    hosts = ["::1", "127.0.0.1"] if has_ipv6() else ["127.0.0.9", "127.0.0.1"]
    with ScriptedServer(answering(CLOSING)) as server, Transport(poller()) as transport:
        url = Url(f"http://localhost:{server.port}")
        target = Target(url, addresses(*hosts, port=server.port))
        for _ in range(2):
            submit(transport, target)
            (sending,) = collect(transport, 1)
            assert sending.exchange.outcome is None
            in_order(sending.exchange.connect_start_ns, sending.exchange.connect_end_ns)
    # What answered comes first from now on.
    assert target.addresses == addresses(hosts[1], hosts[0], port=server.port)


def test_localhost_is_reached_whichever_of_its_addresses_the_server_listens_on() -> None:
    for host in ["127.0.0.1"] + (["::1"] if has_ipv6() else []):
        with ScriptedServer(answering(HELLO), host=host) as server:
            assert ask(Target.at(f"http://localhost:{server.port}")).exchange.outcome is None


# Plans


@pollers
def test_a_planned_call_is_not_sent_before_its_instant(poller: Callable[[], Poller]) -> None:
    with ScriptedServer(answering(HELLO)) as server, Transport(poller()) as transport:
        now_ns = monotonic_ns()
        planned_ns = [now_ns + (20 + 5 * i) * NS_PER_MS for i in range(4)]
        for i, at_ns in enumerate(planned_ns):
            transport.submit(server.target(), PAYLOAD, at_ns, i)
        next_send_ns = [transport.next_send_ns]
        back = collect(transport, 4)
        next_send_ns.append(transport.next_send_ns)
    assert next_send_ns == [planned_ns[0], None]
    assert sorted(s.exchange.planned_ns for s in back) == planned_ns
    for sending in back:
        exchange = sending.exchange
        assert exchange.admitted_ns == exchange.planned_ns
        assert exchange.sent_ns is not None
        assert exchange.sent_ns >= exchange.planned_ns
        assert exchange.connect_end_ns is not None


@pollers
@pytest.mark.usefixtures("far_ahead")
def test_the_connection_of_a_planned_call_is_made_before_its_instant(
    poller: Callable[[], Poller],
) -> None:
    with ScriptedServer(answering(HELLO)) as server, Transport(poller()) as transport:
        planned_ns = monotonic_ns() + 10**12
        sending = transport.submit(server.target(), PAYLOAD, planned_ns, 0)
        run_until(transport, lambda: sending.exchange.connect_end_ns)
        exchange = sending.exchange
        in_order(exchange.connect_start_ns, exchange.connect_end_ns, planned_ns)
        assert (exchange.admitted_ns, exchange.sent_ns) == (None, None)


def test_calls_planned_out_of_order_are_sent_in_order() -> None:
    with ScriptedServer(answering(HELLO)) as server, Transport() as transport:
        now_ns = monotonic_ns()
        target = server.target(slots=1)
        for delay_ms in (9, 3, 6, 0):
            transport.submit(target, PAYLOAD, now_ns + delay_ms * NS_PER_MS, delay_ms)
        back = collect(transport, 4)
    assert [s.owner for s in back] == [0, 3, 6, 9]


def test_a_step_with_an_instant_returns_at_it_though_nothing_ended() -> None:
    with Transport() as transport:
        until_ns = monotonic_ns() + 5 * NS_PER_MS
        assert transport.step(until_ns=until_ns) == []
        assert monotonic_ns() >= until_ns


def test_without_calls_and_without_an_instant_a_step_returns_at_once() -> None:
    with Transport() as transport:
        assert transport.step() == []
        assert transport.next_send_ns is None


def test_a_step_whose_instant_has_passed_serves_what_is_ready() -> None:
    with ScriptedServer(answering(HELLO)) as server, Transport() as transport:
        submit(transport, server.target())
        back: list[Sending] = []
        deadline_ns = monotonic_ns() + 20_000 * NS_PER_MS
        while not back and monotonic_ns() < deadline_ns:
            back = transport.step(until_ns=0)
    assert [s.exchange.body for s in back] == [b"hello"]


def test_a_call_whose_instant_is_long_past_is_sent_now_and_its_lateness_shows() -> None:
    with ScriptedServer(answering(HELLO)) as server, Transport() as transport:
        planned_ns = monotonic_ns() - 10**9
        transport.submit(server.target(), PAYLOAD, planned_ns, 0)
        (sending,) = collect(transport, 1)
    assert sending.exchange.admitted_ns == planned_ns
    assert sending.exchange.sent_ns is not None
    assert sending.exchange.sent_ns >= planned_ns + 10**9


@pytest.mark.parametrize("slots", [1, 3])
def test_slots_are_respected_and_waiting_for_one_is_recorded(slots: int) -> None:
    at_work: set[int] = set()
    most_at_work = [0]

    def serve(peer: Peer) -> None:
        while peer.read_request():
            at_work.add(peer.number)
            most_at_work.append(len(at_work))
            peer.send(HELLO[:10], HELLO[10:-1])
            at_work.discard(peer.number)
            peer.send(HELLO[-1:])

    with ScriptedServer(serve) as server:
        with Transport() as transport:
            target = server.target(slots=slots)
            submit(transport, target, 20)
            back = collect(transport, 20)
        assert max(most_at_work) <= slots
        assert server.connections == slots
    assert target.gate.taken == 0
    spans = []
    for sending in back:
        exchange = sending.exchange
        assert exchange.outcome is None
        in_order(exchange.planned_ns, exchange.admitted_ns, exchange.sent_ns)
        assert exchange.admitted_ns is not None
        assert exchange.end_ns is not None
        spans.append((exchange.planned_ns, exchange.admitted_ns, exchange.end_ns))
    assert sum(planned == admitted for planned, admitted, _ in spans) == slots
    # A slot is taken over at the very instant at which it became free.
    ends = {end for _, _, end in spans}
    assert all(admitted in ends for planned, admitted, _ in spans if admitted != planned)
    for _, instant, _ in spans:
        assert sum(admitted <= instant < end for _, admitted, end in spans) <= slots


def test_requests_with_many_calls_do_not_keep_the_others_out() -> None:
    with ScriptedServer(answering(HELLO)) as server, Transport() as transport:
        target = server.target(slots=1)
        now_ns = monotonic_ns()
        for owner in ["A"] * 5 + ["B", "C"]:
            transport.submit(target, PAYLOAD, now_ns, owner)
        back = collect(transport, 7)
    assert [s.owner for s in back] == ["A", "A", "B", "C", "A", "A", "A"]


def test_no_more_connections_are_made_ready_than_there_are_slots() -> None:
    with ScriptedServer(answering(HELLO)) as server, Transport() as transport:
        target = server.target(slots=2)
        planned_ns = monotonic_ns() + CONNECT_LEAD_NS // 2
        for owner in range(12):
            transport.submit(target, PAYLOAD, planned_ns, owner)
        back = collect(transport, 12)
        assert server.connections == 2
    assert all(s.exchange.outcome is None for s in back)


@pytest.mark.usefixtures("far_ahead")
def test_a_call_that_has_to_wait_gives_up_the_connection_that_was_ready_for_it() -> None:
    """Else the server closes it while the call waits, and it is made anew in vain."""
    gate = Signal()

    def serve(peer: Peer) -> None:
        while peer.read_request():
            gate.wait()
            peer.send(HELLO)

    with ScriptedServer(serve) as server, Transport() as transport:
        target = server.target(slots=1)
        planned_ns = monotonic_ns() + 300 * NS_PER_MS
        waiting = transport.submit(target, PAYLOAD, planned_ns, "waits")
        run_until(transport, lambda: waiting.exchange.connect_end_ns)
        first = transport.submit(target, PAYLOAD, monotonic_ns(), "goes first")
        run_until(transport, lambda: target.gate.waiting)
        assert waiting.connection is None
        assert waiting.exchange.connect_start_ns is None
        gate.give(2)
        assert collect(transport, 2) == [first, waiting]
        assert target.connections == len(target.idle) == 2


@pytest.mark.usefixtures("far_ahead")
def test_a_call_that_has_to_wait_gives_up_a_connection_that_is_not_even_made() -> None:
    with deaf_port() as port, Transport() as transport:
        target = target_of(port, slots=1)
        planned_ns = monotonic_ns() + 300 * NS_PER_MS
        waiting = transport.submit(target, PAYLOAD, planned_ns, "waits")
        run_until(transport, lambda: waiting.exchange.connect_start_ns)
        transport.submit(target, PAYLOAD, monotonic_ns(), "goes first")
        run_until(transport, lambda: target.gate.waiting)
        assert waiting.exchange.connect_start_ns is None
        assert target.connections == 1


def test_two_thousand_calls_to_a_dead_port_all_come_back() -> None:
    with dead_port() as port, Transport() as transport:
        target = target_of(port, slots=1)
        submitted = submit(transport, target, 2_000)
        back = collect(transport, 2_000)
    assert set(back) == set(submitted)
    assert {s.exchange.outcome for s in back} == {Outcome.CONNECT_FAILED}
    assert (target.gate.taken, target.gate.waiting, target.connections) == (0, 0, 0)


def test_two_thousand_calls_that_cannot_even_be_tried_all_come_back() -> None:
    with Transport() as transport:
        nowhere = Address(socket.AF_INET, ("255.255.255.255", 9))
        target = Target(Url("http://h"), (nowhere, nowhere), slots=1)
        submit(transport, target, 2_000)
        back = collect(transport, 2_000)
    assert {s.exchange.outcome for s in back} == {Outcome.CONNECT_FAILED}
    assert target.gate.taken == 0


def test_calls_to_several_servers_do_not_wait_for_each_other() -> None:
    gate = Signal()

    def slow(peer: Peer) -> None:
        while peer.read_request():
            gate.wait()
            peer.send(HELLO)

    servers = ScriptedServer(slow), ScriptedServer(answering(HELLO))
    with servers[0] as one, servers[1] as other, Transport() as transport:
        slow_target, quick_target = one.target(slots=1), other.target(slots=1)
        submit(transport, slow_target, 2)
        submit(transport, quick_target, 5)
        quick = collect(transport, 5)
        assert {s.target for s in quick} == {quick_target}
        gate.give(2)
        collect(transport, 2)


def test_a_transport_that_was_closed_leaves_no_connection_to_the_next_one() -> None:
    with ScriptedServer(answering(HELLO)) as server:
        target = server.target()
        for _ in range(2):
            with Transport() as transport:
                submit(transport, target, 3)
                back = collect(transport, 3)
            assert target.idle == []
            assert all(s.exchange.replaced_connections == 0 for s in back)


def test_the_limits_of_a_server_are_those_it_was_made_with() -> None:
    limits = Timeouts(connect_s=1)
    target = Target.at("http://127.0.0.1:1/v1", slots=3, timeouts=limits)
    assert (target.timeouts, target.gate.slots) == (limits, 3)


def test_a_body_can_be_taken_while_it_comes() -> None:
    gate = Signal()

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(CHUNKED + b"3\r\nabc\r\n")
        gate.wait()
        peer.send(b"3\r\ndef\r\n0\r\n\r\n")

    with ScriptedServer(serve) as server, Transport() as transport:
        (sending,) = submit(transport, server.target())
        assert sending.take_body() == b""
        run_until(transport, partial(has_read, sending, 1))
        assert [sending.take_body(), sending.take_body()] == [b"abc", b""]
        gate.give()
        collect(transport, 1)
    assert [sending.take_body(), sending.take_body()] == [b"def", b""]
