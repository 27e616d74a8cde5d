"""Proxies of the environment: which is used for what, and calls that go through a real one."""

from __future__ import annotations

import base64
import select
import socket
import ssl
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.clock import monotonic_ns
from minionbench.errors import DeploymentError
from minionbench.exchange import Exchange, Outcome, Timeouts
from minionbench.transport.connection import Target
from minionbench.transport.http import MAX_HEAD_BYTES, Url
from minionbench.transport.loop import Transport
from minionbench.transport.poller import Poller
from minionbench.transport.proxy import is_this_machine, proxy_for
from minionbench.transport.stream import UnknownHost
from minionbench.units import NS_PER_S
from tests.transport.certificates import Authority
from tests.transport.support import (
    CLOSING,
    HELLO,
    PAYLOAD,
    Peer,
    ScriptedServer,
    answering,
    ask,
    collect,
    dead_port,
    pollers,
    run_until,
    silent,
    submit,
)

SHORT_S = 0.15
PASSWORD = "s3cret-pass/word"
USER = f"me:{PASSWORD.replace('/', '%2F')}@"
BASIC = b"Basic " + base64.b64encode(f"me:{PASSWORD}".encode())
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def failed(exchange: Exchange, outcome: Outcome, *messages: str) -> None:
    assert exchange.failure is not None
    assert exchange.outcome is outcome, exchange.failure.message
    for message in messages:
        assert message in exchange.failure.message
    assert "s3cret" not in exchange.failure.message
    assert BASIC[6:].decode() not in exchange.failure.message


# Which proxy


def chosen(url: str, **environment: str) -> str | None:
    proxy = proxy_for(Url(url), environment)
    return None if proxy is None else f"{proxy.url.host}:{proxy.url.port} {proxy.variable}"


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("http://h", {}, None),
        ("http://h", {"http_proxy": "http://p:1"}, "p:1 http_proxy"),
        ("http://h", {"HTTP_PROXY": "http://p:1"}, "p:1 HTTP_PROXY"),
        ("http://h", {"HTTP_PROXY": "http://p:1", "http_proxy": "http://q:2"}, "q:2 http_proxy"),
        ("http://h", {"HTTP_PROXY": "http://p:1", "http_proxy": ""}, None),
        ("http://h", {"https_proxy": "http://p:1"}, None),
        ("https://h", {"http_proxy": "http://p:1"}, None),
        ("https://h", {"HTTPS_PROXY": "http://p:1"}, "p:1 HTTPS_PROXY"),
        ("https://h", {"ALL_PROXY": "http://p:1"}, "p:1 ALL_PROXY"),
        ("https://h", {"ALL_PROXY": "http://p:1", "https_proxy": "q:2"}, "q:2 https_proxy"),
        ("https://h", {"ALL_PROXY": "http://p:1", "https_proxy": ""}, None),
        ("http://h", {"http_proxy": "p"}, "p:80 http_proxy"),
        ("http://h", {"http_proxy": " p:3128/ "}, "p:3128 http_proxy"),
        ("http://h", {"http_proxy": "HTTPS://p"}, "p:443 http_proxy"),
        ("http://h", {"http_proxy": "http://[::1]:8/x"}, "::1:8 http_proxy"),
        ("http://h", {"http_proxy": f"http://{USER}p:1"}, "p:1 http_proxy"),
        ("http://h", {"http_proxy": f"{USER}p:1"}, "p:1 http_proxy"),
    ],
)
def test_the_environment_names_the_proxy(
    url: str, environment: dict[str, str], expected: str | None
) -> None:
    assert chosen(url, **environment) == expected


@pytest.mark.parametrize(
    ("host", "list_of_hosts", "exempt"),
    [
        ("h.example", "", False),
        ("h.example", "*", True),
        ("h.example", "h.example", True),
        ("h.example", "H.Example", True),
        ("h.example", "a, h.example ,b", True),
        ("h.example", "a h.example b", True),
        ("h.example", "example", True),
        ("h.example", ".example", True),
        ("h.example", "*.example", True),
        ("h.example", "ample", False),
        ("h.example", "x.h.example", False),
        ("h.example", ".", False),
        ("h.example", "h.example:443", True),
        ("h.example", "h.example:80", False),
        ("h.example.", "h.example", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "11.0.0.0/8", False),
        ("10.1.2.3", "2.3", False),
        ("10.1.2.3", "10.1.2", False),
        ("[fd00::1]", "fd00::1", True),
        ("[fd00::1]", "[fd00::1]:443", True),
        ("[fd00::1]", "[fd00::1]:80", False),
        ("[fd00::1]", "fd00::/8", True),
        ("[fd00::1]", "10.0.0.0/8", False),
    ],
)
def test_hosts_are_exempt_by_name_number_and_network(
    host: str, list_of_hosts: str, exempt: bool
) -> None:
    expected = None if exempt else "p:1 all_proxy"
    for variable in ("no_proxy", "NO_PROXY"):
        environment = {"all_proxy": "http://p:1", variable: list_of_hosts}
        assert chosen(f"https://{host}", **environment) == expected
    both = {"all_proxy": "http://p:1", "no_proxy": list_of_hosts, "NO_PROXY": "*"}
    assert chosen(f"https://{host}", **both) == expected


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "0.0.0.0"]
)
def test_this_machine_is_reached_without_a_proxy(host: str) -> None:
    assert chosen(f"http://{host}:8000", all_proxy="http://p:1") is None


@given(st.text(max_size=20) | st.ip_addresses().map(str), st.text(max_size=30))
def test_no_list_of_hosts_makes_anything_crash(host: str, list_of_hosts: str) -> None:
    is_this_machine(host)
    environment = {"all_proxy": "http://p:1", "no_proxy": list_of_hosts}
    proxy_for(Url("https://h.example"), environment)
    proxy_for(Url("https://[fd00::1]"), environment)


@pytest.mark.parametrize("scheme", ["socks", "socks4", "socks4a", "socks5", "SOCKS5h"])
def test_a_socks_proxy_is_refused_by_name(scheme: str) -> None:
    with pytest.raises(DeploymentError, match="ALL_PROXY names a SOCKS proxy") as caught:
        chosen("https://h", ALL_PROXY=f"{scheme}://{USER}p:1080")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["ftp://{}p:1", "http://{}", "{}p:port", "http://{}p:99999", "{}p q", "http://{}p?x"]
)
def test_what_is_no_proxys_address_is_refused_without_repeating_it(value: str) -> None:
    for user in ("", USER, "me:s3cret-pass"):
        with pytest.raises(DeploymentError, match="https_proxy is not a proxy's address") as caught:
            chosen("https://h", https_proxy=value.format(user))
        assert "s3cret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_a_proxy_that_cannot_be_resolved_is_named() -> None:
    environment = {"https_proxy": f"http://{USER}nowhere.invalid:1"}
    with pytest.raises(UnknownHost, match=r"'nowhere\.invalid'") as caught:
        Target.at("https://api.example/v1", environment=environment)
    assert "s3cret" not in str(caught.value)


# A tunnel


class TunnelServer:
    """What a proxy does with a connection: notes what it is asked, and passes bytes on."""

    def __init__(self, port: int, answer: tuple[bytes, ...] = (ESTABLISHED,)) -> None:
        self._port = port
        self._answer = answer
        self.asked: list[bytes] = []

    def __call__(self, peer: Peer) -> None:
        self.asked.append(peer.read_request())
        peer.send(*self._answer)
        with socket.create_connection(("127.0.0.1", self._port)) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                for source in select.select([peer.socket, server], [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    (server if source is peer.socket else peer.socket).sendall(data)


@pytest.fixture
def far_away(trusted: Authority) -> Iterator[ScriptedServer]:
    """A server that only a proxy can reach by its name."""
    tls = trusted.issue("api", "DNS:api.example").server()
    with ScriptedServer(answering(HELLO), tls=tls) as server:
        yield server


API = "https://api.example/v1"


@pollers
@pytest.mark.parametrize(
    "answer",
    [
        (ESTABLISHED,),
        (b"HTTP/1.0 200 OK\r\nVia: x\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",),  # RFC 9110 9.3.6: to be ignored
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + ESTABLISHED,),
        tuple(bytes([byte]) for byte in ESTABLISHED),
    ],
    ids=["plain", "1.0", "length", "coding", "interim", "byte by byte"],
)
def test_an_encrypted_server_is_reached_by_a_tunnel(
    poller: Callable[[], Poller], answer: tuple[bytes, ...], far_away: ScriptedServer
) -> None:
    passed_on = TunnelServer(far_away.port, answer)
    with ScriptedServer(passed_on) as proxy, Transport(poller()) as transport:
        environment = {"HTTPS_PROXY": f"http://{USER}127.0.0.1:{proxy.port}"}
        target = Target.at(API, environment=environment)
        for _ in range(2):
            submit(transport, target)
            (sending,) = collect(transport, 1)
            exchange = sending.exchange
            assert (exchange.outcome, exchange.body) == (None, b"hello")
            if sys.platform.startswith("linux"):
                assert exchange.kernel_reads <= exchange.reads == 1
        assert exchange.connect_start_ns is None  # the tunnel is used again
        assert proxy.connections == far_away.connections == 1
    assert passed_on.asked == [
        b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n"
        b"Proxy-Authorization: " + BASIC + b"\r\n\r\n"
    ]


def test_without_a_user_name_a_proxy_is_told_none_and_an_ipv6_number_has_brackets() -> None:
    passed_on = TunnelServer(0, (b"HTTP/1.1 403 No\r\n\r\n",))
    with ScriptedServer(passed_on) as proxy:
        environment = {"all_proxy": f"127.0.0.1:{proxy.port}"}
        ask(Target.at("https://[fd00::1]:8443/v1", environment=environment))
    assert passed_on.asked == [b"CONNECT [fd00::1]:8443 HTTP/1.1\r\nHost: [fd00::1]:8443\r\n\r\n"]


def test_a_proxy_that_is_spoken_to_in_tls_passes_tls_on(
    trusted: Authority, far_away: ScriptedServer
) -> None:
    tls = trusted.issue("proxy").server()
    passed_on = TunnelServer(far_away.port)
    with ScriptedServer(passed_on, tls=tls) as proxy, Transport() as transport:
        target = Target.at(API, environment={"https_proxy": f"https://127.0.0.1:{proxy.port}"})
        for _ in range(2):
            submit(transport, target)
            (sending,) = collect(transport, 1)
            assert (sending.exchange.outcome, sending.exchange.body) == (None, b"hello")
        assert proxy.connections == 1


def test_insecure_is_said_of_the_server_and_not_of_the_proxy(
    authority: Authority, far_away: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.self_signed("another").path))
    tls = authority.issue("proxy").server()
    with ScriptedServer(TunnelServer(far_away.port)) as proxy:
        environment = {"https_proxy": f"http://127.0.0.1:{proxy.port}"}
        failed(ask(Target.at(API, environment=environment)).exchange, Outcome.TLS_FAILED)
        assert ask(Target.at(API, environment=environment, insecure=True)).exchange.body == b"hello"
    with ScriptedServer(TunnelServer(far_away.port), tls=tls) as proxy:
        environment = {"https_proxy": f"https://127.0.0.1:{proxy.port}"}
        exchange = ask(Target.at(API, environment=environment, insecure=True)).exchange
    failed(exchange, Outcome.TLS_FAILED, "the proxy's certificate", "SSL_CERT_FILE")
    assert "--insecure" not in str(exchange.failure)


@pytest.mark.parametrize(
    ("user", "answer", "status", "messages"),
    [
        (
            "",
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno!",
            407,
            ("wants a user name and a password", "HTTPS_PROXY", "http://NAME:PASSWORD@"),
        ),
        (
            USER,
            b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n",
            407,
            ("does not accept the user name and password of HTTPS_PROXY",),
        ),
        (
            USER,
            b"HTTP/1.1 502 \x1b[2J\r\n\r\n",
            502,
            ("did not connect to api.example:443 (HTTP 502 Bad Gateway)", "NO_PROXY"),
        ),
        (USER, b"HTTP/1.1 403 Forbidden\r\n\r\n", 403, ("(HTTP 403 Forbidden)",)),
        (USER, b"HTTP/1.1 799 ?\r\n\r\n", 799, ("(HTTP 799)",)),
        (USER, b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", 302, ("(HTTP 302 Found)",)),
        (USER, b"220 mail\r\n\r\n", None, ("does not answer as an HTTP proxy", "HTTPS_PROXY")),
        (USER, b"220 mail\r\n", None, ("does not answer as an HTTP proxy",)),
        (USER, b"HTTP/1.1 20", None, ("closed during the request for a tunnel",)),
        (
            USER,
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD_BYTES,
            None,
            ("does not answer as an HTTP proxy",),
        ),
        (USER, b"HTTP/1.1 2000 OK\r\n\r\n", None, ("does not answer as an HTTP proxy",)),
        (USER, b"HTTP/1.1 101 Switch\r\n\r\n", None, ("does not answer as an HTTP proxy",)),
        (USER, ESTABLISHED + b"220 mail\r\n", None, ("the server does not speak TLS",)),
    ],
)
def test_a_proxy_that_refuses_is_a_failure_of_its_own(
    user: str, answer: bytes, status: int | None, messages: tuple[str, ...]
) -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer)
        if not answer.endswith(b" 20"):
            peer.wait_for_close()

    with ScriptedServer(serve) as proxy, Transport() as transport:
        environment = {"HTTPS_PROXY": f"http://{user}127.0.0.1:{proxy.port}"}
        target = Target.at(API, environment=environment)
        submit(transport, target)
        (sending,) = collect(transport, 1)
        assert target.connections == 0
    exchange = sending.exchange
    outcome = Outcome.TLS_FAILED if "TLS" in messages[0] else Outcome.CONNECT_FAILED
    failed(exchange, outcome, *messages)
    assert exchange.failure is not None
    assert exchange.failure.http_status == status
    assert (exchange.connect_end_ns, exchange.sent_ns) == (None, None)


@pytest.mark.parametrize("ending", ["closed", "reset"])
def test_a_proxy_that_hangs_up_is_told(ending: str) -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        if ending == "reset":
            peer.reset()

    with ScriptedServer(serve) as proxy:
        environment = {"HTTPS_PROXY": f"http://{USER}127.0.0.1:{proxy.port}"}
        exchange = ask(Target.at(API, environment=environment)).exchange
    where = f"the request for a tunnel through the proxy 127.0.0.1:{proxy.port}"
    failed(exchange, Outcome.CONNECT_FAILED, f"the connection was {ending} during {where}")


def test_a_proxy_that_says_nothing_runs_into_the_connect_time_out() -> None:
    with ScriptedServer(silent) as proxy:
        environment = {"HTTPS_PROXY": f"http://{USER}127.0.0.1:{proxy.port}"}
        limits = Timeouts(connect_s=SHORT_S)
        exchange = ask(Target.at(API, environment=environment, timeouts=limits)).exchange
    failed(exchange, Outcome.CONNECT_TIMEOUT, "within 0.15 s: the request for a tunnel")


@pytest.mark.parametrize("url", ["http://api.example", API])
def test_a_proxy_that_is_not_there_is_named_as_the_proxy(url: str) -> None:
    with dead_port() as port:
        environment = {"ALL_PROXY": f"http://{USER}127.0.0.1:{port}"}
        exchange = ask(Target.at(url, environment=environment)).exchange
    where = f"no connection to the proxy 127.0.0.1:{port} of ALL_PROXY: Connection refused"
    failed(exchange, Outcome.CONNECT_FAILED, where)


# Requests that a proxy passes on


def test_a_server_in_the_clear_is_asked_with_its_whole_url() -> None:
    seen: list[bytes] = []

    def serve(peer: Peer) -> None:
        while request := peer.read_request():
            seen.append(request)
            peer.send(HELLO)

    with ScriptedServer(serve) as proxy, Transport() as transport:
        environment = {"http_proxy": f"http://{USER}127.0.0.1:{proxy.port}"}
        target = Target.at("http://api.example:8000/v1", environment=environment)
        submit(transport, target, 2)
        collect(transport, 2)
    first, _, rest = PAYLOAD.partition(b"\r\n")
    assert first == b"POST / HTTP/1.1"
    expected = b"POST http://api.example:8000/ HTTP/1.1\r\nProxy-Authorization: " + BASIC + b"\r\n"
    assert seen == [expected + rest] * 2


def test_a_proxys_wish_for_a_password_is_no_answer_of_the_server() -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno"
    with ScriptedServer(answering(refusal)) as proxy:
        environment = {"http_proxy": f"http://127.0.0.1:{proxy.port}"}
        exchange = ask(Target.at("http://api.example", environment=environment)).exchange
        failed(exchange, Outcome.CONNECT_FAILED, "wants a user name and a password (HTTP 407)")
        assert (exchange.status, exchange.body) == (407, b"no")
        # Without a proxy it is the server's, however odd.
        assert ask(proxy.target()).exchange.outcome is None


def test_a_proxy_that_is_spoken_to_in_tls_passes_requests_on(
    server_tls: ssl.SSLContext, trusted: Authority
) -> None:
    with ScriptedServer(answering(CLOSING), tls=server_tls) as proxy:
        environment = {"http_proxy": f"https://127.0.0.1:{proxy.port}"}
        exchange = ask(Target.at("http://api.example", environment=environment)).exchange
    assert exchange.body == b"hello"


def test_the_longer_the_way_the_earlier_a_connection_is_made_ready(
    monkeypatch: pytest.MonkeyPatch, server_tls: ssl.SSLContext, trusted: Authority
) -> None:
    by_proxy = {"all_proxy": "http://127.0.0.1:1"}
    trips = [
        Target.at(url, environment=environment).route.round_trips
        for url, environment in (
            ("http://127.0.0.1", {}),
            ("http://api.example", by_proxy),
            ("https://127.0.0.1", {}),
            (API, by_proxy),
        )
    ]
    assert trips == [1, 1, 3, 5]
    monkeypatch.setattr("minionbench.transport.loop.CONNECT_LEAD_NS", 25 * NS_PER_S)
    with ScriptedServer(answering(HELLO), tls=server_tls) as server, Transport() as transport:
        planned_ns = monotonic_ns() + 60 * NS_PER_S  # longer than anything is waited for here
        sending = transport.submit(server.target(), PAYLOAD, planned_ns, 0)
        run_until(transport, lambda: sending.exchange.connect_end_ns)
        assert transport.cut_all("enough") == [sending]
    assert sending.exchange.outcome is Outcome.NOT_SENT


# Secrets


def test_credentials_are_shown_by_nothing() -> None:
    environment = {"https_proxy": f"http://{USER}127.0.0.1:3128"}
    target = Target.at(API, environment=environment)
    proxy = target.route.proxy
    assert proxy is not None
    shown = f"{target!r} {target.route!r} {proxy!r} {proxy} {target.route.where}"
    shown += proxy.refusal(407, "x") + proxy.refusal(502, "x")
    assert "s3cret" not in shown
    assert BASIC[6:].decode() not in shown
