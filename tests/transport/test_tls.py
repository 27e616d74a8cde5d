"""Calls over TLS: the same as in the clear, and each way of failing says what is wrong."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minionbench.clock import monotonic_ns
from minionbench.exchange import Exchange, Outcome, Timeouts
from minionbench.transport.connection import Target
from minionbench.transport.http import Url, request_bytes
from minionbench.transport.loop import Transport
from minionbench.transport.poller import Poller
from minionbench.units import NS_PER_MS
from tests.transport.certificates import LONG_PAST, Authority
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
    has_ipv6,
    pollers,
    run_until,
    silent,
    submit,
)

SHORT_S = 0.15

pytestmark = pytest.mark.usefixtures("trusted")


def failed(exchange: Exchange, outcome: Outcome, *messages: str) -> None:
    assert exchange.failure is not None
    assert exchange.outcome is outcome, exchange.failure.message
    for message in messages:
        assert message in exchange.failure.message


def asked(peer: Peer, context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.MemoryBIO]:
    """A server's end of TLS that was asked `PAYLOAD`, and where its ciphertext is to be had."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    request = b""
    while request != PAYLOAD:
        try:
            tls.do_handshake()
            request += tls.read(1 << 16)
        except ssl.SSLWantReadError:
            peer.send(outgoing.read())
            incoming.write(peer.socket.recv(1 << 16))
    return tls, outgoing


# Answers


@pollers
def test_an_encrypted_answer_is_taken_down_like_any_other(
    poller: Callable[[], Poller], server_tls: ssl.SSLContext
) -> None:
    pieces = [CHUNKED, b"3\r\nabc\r\n", b"2\r\nde", b"\r\n1\r\nf\r\n0\r\n\r\n"]
    gate = Signal()

    def serve(peer: Peer) -> None:
        while peer.read_request():
            for piece in pieces:
                gate.wait()
                peer.send(piece)

    with ScriptedServer(serve, tls=server_tls) as server, Transport(poller()) as transport:
        target = server.target()
        for _ in range(2):
            (sending,) = submit(transport, target)
            for reads in range(len(pieces)):
                run_until(
                    transport,
                    lambda n=reads, s=sending: (  # type: ignore[misc]
                        s.exchange.sent_end_ns and len(s.connection.user_ns) >= n
                    ),
                )
                gate.give()
            collect(transport, 1)
            exchange = sending.exchange
            assert (exchange.outcome, exchange.status, exchange.body) == (None, 200, b"abcdef")
            # Neither the handshake nor the tickets after it are reads of an answer.
            assert exchange.read_ends == [0, 3, 5, 6]
            assert exchange.sent_ns is not None
            assert exchange.read_ns == sorted(exchange.read_ns)
            slack_ns = transport.bridge.widest_bracket_ns + 1_000
            assert exchange.sent_ns <= exchange.read_ns[0] + slack_ns
        assert server.connections == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux stamps reads")
def test_every_read_of_an_encrypted_answer_has_the_kernels_stamp(
    server_tls: ssl.SSLContext,
) -> None:
    with ScriptedServer(answering(HELLO), tls=server_tls) as server, Transport() as transport:
        target = server.target()
        exchanges = []
        for _ in range(20):
            submit(transport, target)
            exchanges.append(collect(transport, 1)[0].exchange)
    # Stamping may not be on yet in this host at the first.
    assert all(exchange.kernel_reads == exchange.reads == 1 for exchange in exchanges[10:])
    assert all(exchange.lateness_max_ns is not None for exchange in exchanges[10:])


def test_the_handshake_is_part_of_connecting(server_tls: ssl.SSLContext) -> None:
    greeted = Signal()

    def serve(peer: Peer) -> None:
        greeted.wait()
        ours = server_tls.wrap_socket(peer.socket, server_side=True)
        while ours.recv(1 << 16):
            ours.sendall(HELLO)
        ours.close()

    with ScriptedServer(serve) as server, Transport() as transport:
        target = Target.at(server.url.replace("http://", "https://"))
        (sending,) = submit(transport, target)
        run_until(transport, lambda: sending.connection and sending.connection.opening)
        opened_at_ns = monotonic_ns()
        greeted.give()
        collect(transport, 1)
    exchange = sending.exchange
    assert exchange.outcome is None
    assert exchange.connect_start_ns is not None
    assert exchange.connect_end_ns is not None
    assert exchange.sent_ns is not None
    assert exchange.connect_start_ns < opened_at_ns < exchange.connect_end_ns <= exchange.sent_ns


@pytest.mark.usefixtures("far_ahead")
def test_the_handshake_of_a_planned_call_is_made_before_its_instant(
    server_tls: ssl.SSLContext,
) -> None:
    with ScriptedServer(answering(HELLO), tls=server_tls) as server, Transport() as transport:
        planned_ns = monotonic_ns() + 300 * NS_PER_MS
        sending = transport.submit(server.target(), PAYLOAD, planned_ns, 0)
        run_until(transport, lambda: sending.exchange.connect_end_ns)
        collect(transport, 1)
    exchange = sending.exchange
    assert exchange.connect_end_ns is not None
    assert exchange.connect_end_ns < planned_ns <= (exchange.sent_ns or 0)


def test_the_server_is_told_its_name_and_offered_http_1_1(authority: Authority) -> None:
    context = authority.issue("named").server()
    context.set_alpn_protocols(["h2", "http/1.1"])
    names: list[str | None] = []
    protocols: list[str | None] = []

    def serve(peer: Peer) -> None:
        assert isinstance(peer.socket, ssl.SSLSocket)
        protocols.append(peer.socket.selected_alpn_protocol())
        answering(HELLO)(peer)

    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with ScriptedServer(serve, tls=context) as server:
        for host in ("localhost", "127.0.0.1"):
            assert ask(Target.at(f"https://{host}:{server.port}")).exchange.outcome is None
    assert protocols == ["http/1.1"] * 2
    assert names == ["localhost", None]  # RFC 6066: a number is no name


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_an_ipv6_address_is_verified_too(server_tls: ssl.SSLContext) -> None:
    with ScriptedServer(answering(HELLO), "::1", tls=server_tls) as server:
        assert ask(server.target()).exchange.outcome is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_that_are_secure_are_spoken(
    version: ssl.TLSVersion, authority: Authority
) -> None:
    context = authority.issue("versioned").server()
    context.minimum_version = context.maximum_version = version
    with ScriptedServer(answering(HELLO), tls=context) as server:
        assert ask(server.target()).exchange.body == b"hello"


def test_a_large_request_reaches_a_slow_reader_whole(server_tls: ssl.SSLContext) -> None:
    body = bytes(range(256)) * (40 << 10)  # 10 MB: no socket buffer holds it
    payload = request_bytes("POST", Url("http://h"), "/", (), body)
    stuck = Signal()
    seen: list[bytes] = []

    def serve(peer: Peer) -> None:
        stuck.wait()
        for _ in range(2):
            seen.append(peer.read_request())
            peer.send(HELLO)

    with ScriptedServer(serve, tls=server_tls) as server, Transport() as transport:
        target = server.target()
        (sending,) = submit(transport, target, payload=payload)
        run_until(transport, lambda: sending.connection and sending.connection.unsent)
        stuck.give()
        collect(transport, 1)
        submit(transport, target)
        collect(transport, 1)
        assert server.connections == 1
    assert sending.exchange.outcome is None
    assert seen == [payload, PAYLOAD]


def test_many_calls_share_the_loop(server_tls: ssl.SSLContext) -> None:
    with ScriptedServer(answering(HELLO), tls=server_tls) as server, Transport() as transport:
        target = server.target(slots=8)
        submit(transport, target, 60)
        back = collect(transport, 60)
        assert server.connections <= 8
    assert {sending.exchange.body for sending in back} == {b"hello"}


@given(
    st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5),
    st.lists(st.integers(0, 2_000), max_size=12) | st.just(list(range(2_000))),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_however_the_ciphertext_comes_the_answer_is_the_same(
    server_tls: ssl.SSLContext, texts: list[bytes], cuts: list[int]
) -> None:
    """Byte by byte among others: a socket of its own for each handshake, each piece a write."""

    def serve(peer: Peer) -> None:
        tls, outgoing = asked(peer, server_tls)
        for text in (CHUNKED, *(b"%x\r\n%b\r\n" % (len(text), text) for text in texts)):
            tls.write(text)
        tls.write(b"0\r\n\r\n")
        stream = outgoing.read()
        inner = sorted({cut for cut in cuts if 0 < cut < len(stream)})
        peer.send(*(stream[a:b] for a, b in pairwise([0, *inner, len(stream)])))
        peer.wait_for_close()

    with ScriptedServer(serve) as server:
        exchange = ask(Target.at(server.url.replace("http://", "https://"))).exchange
    assert exchange.outcome is None
    assert exchange.body == b"".join(texts)
    assert exchange.read_ends[-1] == len(exchange.body)
    assert exchange.read_ends == sorted(exchange.read_ends)
    assert len(exchange.read_ns) == len(exchange.read_ends) == exchange.reads


# What is trusted


@pytest.mark.parametrize(
    ("kind", "messages"),
    [
        ("other name", ("is not for '127.0.0.1'", "the name that it was issued for")),
        ("expired", ("the server's certificate has expired",)),
        ("self-signed", ("is self-signed", "SSL_CERT_FILE")),
        ("unknown authority", ("an authority that this machine does not know", "SSL_CERT_FILE")),
    ],
)
def test_a_certificate_that_cannot_be_verified_is_refused_unless_the_user_says_so(
    kind: str,
    messages: tuple[str, ...],
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    match kind:
        case "other name":
            certificate = authority.issue("other", "DNS:other.example")
        case "expired":
            certificate = authority.issue("expired", valid=LONG_PAST)
        case "self-signed":
            certificate = authority.self_signed("alone")
        case _:
            certificate = Authority(tmp_path_factory.mktemp("stranger")).issue("strange")
    seen: list[bytes] = []

    def serve(peer: Peer) -> None:
        seen.append(peer.read_request())
        peer.send(CLOSING)

    with ScriptedServer(serve, tls=certificate.server()) as server:
        exchange = ask(server.target()).exchange
        failed(exchange, Outcome.TLS_FAILED, *messages, "--insecure")
        assert exchange.connect_start_ns is not None
        assert (exchange.connect_end_ns, exchange.sent_ns) == (None, None)
        assert seen == []
        assert ask(server.target(insecure=True)).exchange.body == b"hello"
        assert seen == [PAYLOAD]


def test_a_servers_own_certificate_can_be_trusted(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = authority.self_signed("own")
    monkeypatch.setenv("SSL_CERT_FILE", str(alone.path))
    with ScriptedServer(answering(HELLO), tls=alone.server()) as server:
        assert ask(server.target()).exchange.body == b"hello"


# What is not TLS


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b"220 mail\r\n", b"\0" * 9]
)
def test_a_server_that_speaks_no_tls_is_told_as_such(said: bytes) -> None:
    def serve(peer: Peer) -> None:
        peer.send(said)
        peer.wait_for_close()

    with ScriptedServer(serve) as server:
        exchange = ask(Target.at(server.url.replace("http://", "https://"))).exchange
    failed(exchange, Outcome.TLS_FAILED, "does not speak TLS on this port", "http://")


def test_a_server_that_answers_in_tls_is_told_as_such() -> None:
    alert = b"\x15\x03\x03\x00\x02\x02\x46"
    with ScriptedServer(answering(alert)) as server:
        exchange = ask(server.target()).exchange
    failed(exchange, Outcome.MALFORMED, "not HTTP/1.x but TLS: use https://")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_tls_that_is_too_old_is_refused_with_the_reason(authority: Authority) -> None:
    with warnings.catch_warnings():
        context = authority.issue("old").server()
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    with ScriptedServer(answering(HELLO), tls=context) as server:
        exchange = ask(server.target()).exchange
    failed(exchange, Outcome.TLS_FAILED, "no TLS from version 1.2 on")


def test_a_server_that_wants_a_certificate_of_ours_is_told_as_such(authority: Authority) -> None:
    context = authority.issue("asking").server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.root.path)
    with ScriptedServer(answering(HELLO), tls=context) as server:
        exchange = ask(server.target()).exchange
    failed(exchange, Outcome.TLS_FAILED, "certificate required")


@pytest.mark.parametrize("ending", ["closed", "reset"])
def test_a_connection_that_ends_during_the_handshake_has_failed_there(ending: str) -> None:
    def serve(peer: Peer) -> None:
        peer.socket.recv(1)
        if ending == "reset":
            peer.reset()
        else:
            peer.socket.recv(1 << 16)

    with ScriptedServer(serve) as server:
        exchange = ask(Target.at(server.url.replace("http://", "https://"))).exchange
    failed(exchange, Outcome.TLS_FAILED, f"{ending} during the TLS handshake with the server")


def test_no_name_of_a_server_makes_anything_crash() -> None:
    with ScriptedServer(silent) as server:
        target = Target.at(server.url)
        for host in (".", "a" * 70 + ".example", "x..y"):
            strange = Target(Url(f"https://{host}:{server.port}"), target.addresses)
            failed(ask(strange).exchange, Outcome.TLS_FAILED, "no server name like")


# Time-outs


@pollers
def test_a_handshake_that_does_not_end_runs_into_the_connect_time_out(
    poller: Callable[[], Poller],
) -> None:
    with ScriptedServer(silent) as server, Transport(poller()) as transport:
        url = Url(server.url.replace("http://", "https://"))
        # That an address answered is no reason to give its share of the time to the others.
        target = Target(url, (server.address,) * 3, timeouts=Timeouts(connect_s=SHORT_S))
        submit(transport, target)
        (sending,) = collect(transport, 1)
        assert server.connections == 1
        assert target.connections == 0
    failed(
        sending.exchange,
        Outcome.CONNECT_TIMEOUT,
        "no connection within 0.15 s: the TLS handshake with the server did not end",
    )


@pytest.mark.parametrize(
    ("limits", "pieces", "outcome"),
    [
        (Timeouts(first_byte_s=SHORT_S), [], Outcome.FIRST_BYTE_TIMEOUT),
        (Timeouts(first_byte_s=SHORT_S), [CHUNKED], Outcome.FIRST_BYTE_TIMEOUT),
        (Timeouts(idle_s=SHORT_S), [HELLO[:-2]], Outcome.IDLE_TIMEOUT),
        (Timeouts(total_s=SHORT_S), [HELLO[:-2]], Outcome.TOTAL_TIMEOUT),
    ],
)
def test_an_encrypted_answer_has_the_same_time_outs(
    limits: Timeouts, pieces: list[bytes], outcome: Outcome, server_tls: ssl.SSLContext
) -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(*pieces)
        peer.wait_for_close()

    with ScriptedServer(serve, tls=server_tls) as server:
        exchange = ask(server.target(timeouts=limits)).exchange
    failed(exchange, outcome)
    assert exchange.body == (b"hel" if pieces == [HELLO[:-2]] else b"")


# Ends


def goodbye(peer: Peer) -> None:
    assert isinstance(peer.socket, ssl.SSLSocket)
    peer.socket.unwrap().close()


@pytest.mark.parametrize("said", [True, False])
def test_a_body_that_ends_with_the_connection_is_whole_only_with_a_goodbye(
    said: bool, server_tls: ssl.SSLContext
) -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\npart")
        if said:
            goodbye(peer)

    with ScriptedServer(serve, tls=server_tls) as server:
        exchange = ask(server.target()).exchange
    assert exchange.body == b"part"
    if said:
        assert exchange.outcome is None
    else:
        failed(exchange, Outcome.TRUNCATED, "the server closed the connection in the middle")


@pollers
def test_a_goodbye_with_the_last_bytes_ends_the_body_though_the_socket_stays_open(
    poller: Callable[[], Poller], server_tls: ssl.SSLContext
) -> None:
    def serve(peer: Peer) -> None:
        tls, outgoing = asked(peer, server_tls)
        tls.write(b"HTTP/1.1 200 OK\r\n\r\nall")
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        peer.send(outgoing.read())
        peer.wait_for_close()

    with ScriptedServer(serve) as server, Transport(poller()) as transport:
        submit(transport, Target.at(server.url.replace("http://", "https://")))
        (sending,) = collect(transport, 1)
    assert (sending.exchange.outcome, sending.exchange.body) == (None, b"all")


@pytest.mark.parametrize("ending", ["goodbye", "closed", "reset"])
@pytest.mark.parametrize(
    ("pieces", "outcome", "body"),
    [
        ([], Outcome.RESET, b""),
        ([HELLO[:-1]], Outcome.TRUNCATED, b"hell"),
        ([CHUNKED, b"3\r\nabc\r\n"], Outcome.TRUNCATED, b"abc"),
    ],
)
def test_an_encrypted_answer_that_ends_too_early_is_no_success(
    ending: str,
    pieces: list[bytes],
    outcome: Outcome,
    body: bytes,
    server_tls: ssl.SSLContext,
) -> None:
    received = Signal()

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(*pieces)
        received.wait()
        if ending == "goodbye":
            goodbye(peer)
        elif ending == "reset":
            peer.reset()

    with ScriptedServer(serve, tls=server_tls) as server, Transport() as transport:
        (sending,) = submit(transport, server.target())

        def has_come() -> bool:
            framer = sending.connection.framer if sending.connection else None
            return framer is not None and framer.body_bytes == len(body)

        run_until(transport, has_come)
        received.give()
        collect(transport, 1)
    how = "reset" if ending == "reset" else "closed"
    failed(sending.exchange, outcome, f"the server {how} the connection")
    assert sending.exchange.body == body


@pytest.mark.parametrize(
    ("pieces", "outcome"), [([], Outcome.TLS_FAILED), ([HELLO[:-2]], Outcome.TRUNCATED)]
)
def test_bytes_that_cannot_be_decrypted_end_the_call(
    pieces: list[bytes], outcome: Outcome, server_tls: ssl.SSLContext
) -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(*pieces)
        os.write(peer.socket.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))
        peer.wait_for_close()

    with ScriptedServer(serve, tls=server_tls) as server:
        exchange = ask(server.target()).exchange
    failed(exchange, outcome, "encryption")
    assert exchange.body == (b"hel" if pieces else b"")


@pytest.mark.parametrize("ending", ["goodbye", "closed"])
def test_an_idle_connection_that_the_server_ended_is_replaced(
    ending: str, server_tls: ssl.SSLContext
) -> None:
    over = Signal()

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(HELLO)
        if peer.number == 0:
            over.wait()
            if ending == "goodbye":
                goodbye(peer)
        else:
            peer.wait_for_close()

    with ScriptedServer(serve, tls=server_tls) as server, Transport() as transport:
        target = server.target()
        submit(transport, target)
        collect(transport, 1)
        over.give()
        run_until(transport, lambda: target.connections == 0)
        submit(transport, target)
        (sending,) = collect(transport, 1)
        assert server.connections == 2
    assert (sending.exchange.outcome, sending.exchange.body) == (None, b"hello")


@pytest.mark.usefixtures("far_ahead")
def test_a_handshake_that_fails_before_the_planned_instant_is_made_again_at_it(
    server_tls: ssl.SSLContext,
) -> None:
    first_is_over = Signal()

    def serve(peer: Peer) -> None:
        if peer.number == 0:
            peer.socket.recv(1)
            peer.reset()
            first_is_over.give()
            return
        ours = server_tls.wrap_socket(peer.socket, server_side=True)
        while ours.recv(1 << 16):
            ours.sendall(HELLO)
        ours.close()

    with ScriptedServer(serve) as server, Transport() as transport:
        target = Target.at(server.url.replace("http://", "https://"))
        planned_ns = monotonic_ns() + 300 * NS_PER_MS
        sending = transport.submit(target, PAYLOAD, planned_ns, 0)
        run_until(transport, lambda: server.connections == 1 and target.connections == 0)
        first_is_over.wait()
        collect(transport, 1)
        assert server.connections == 2
    assert (sending.exchange.outcome, sending.exchange.body) == (None, b"hello")
    assert sending.exchange.connect_start_ns is not None
    assert sending.exchange.connect_start_ns >= planned_ns


def test_a_call_cut_during_the_handshake_was_not_sent() -> None:
    with ScriptedServer(silent) as server, Transport() as transport:
        target = Target.at(server.url.replace("http://", "https://"))
        (sending,) = submit(transport, target)
        run_until(transport, lambda: sending.connection and sending.connection.opening)
        assert transport.cut_all("Ctrl-C") == [sending]
        assert target.connections == 0
    failed(sending.exchange, Outcome.NOT_SENT, "Ctrl-C")


def test_a_connection_that_is_closed_says_goodbye(server_tls: ssl.SSLContext) -> None:
    ends: list[bytes] = []
    done = threading.Event()

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(CLOSING)
        assert isinstance(peer.socket, ssl.SSLSocket)
        peer.socket.suppress_ragged_eofs = False  # without a goodbye, recv would raise
        try:
            ends.append(peer.socket.recv(1))
        finally:
            done.set()

    with ScriptedServer(serve, tls=server_tls) as server:
        assert ask(server.target()).exchange.outcome is None
        assert done.wait(20)
    assert ends == [b""]


def test_localhost_over_tls_is_reached_on_whichever_address_the_server_listens(
    server_tls: ssl.SSLContext,
) -> None:
    for host in ["127.0.0.1"] + (["::1"] if has_ipv6() else []):
        with ScriptedServer(answering(HELLO), host, tls=server_tls) as server:
            exchange = ask(Target.at(f"https://localhost:{server.port}")).exchange
            assert exchange.outcome is None


def test_sockets_are_the_only_thing_that_is_opened(server_tls: ssl.SSLContext) -> None:
    """No handshake leaves a descriptor behind, whether it succeeds or not."""
    folder = "/proc/self/fd"
    if not os.path.isdir(folder):
        pytest.skip("this system does not list a process's descriptors")

    def sockets() -> int:
        found = 0
        for name in os.listdir(folder):
            with suppress(FileNotFoundError):
                found += os.readlink(f"{folder}/{name}").startswith("socket:")
        return found

    def serve(peer: Peer) -> None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        answering(CLOSING)(peer)

    with ScriptedServer(serve, tls=server_tls) as server, Transport() as transport:
        good = server.target()
        bad = Target(Url("https://other.example"), good.addresses)
        submit(transport, good)
        collect(transport, 1)
        before = sockets()
        for target in (good, bad, good, bad):
            submit(transport, target)
            collect(transport, 1)
        assert good.connections == bad.connections == 0
        run_until(transport, lambda: sockets() <= before)
