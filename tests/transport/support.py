"""Servers that do exactly what a test tells them, byte for byte, and a way to ask them."""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

import pytest

from minionbench.clock import monotonic_ns
from minionbench.exchange import Timeouts
from minionbench.transport.connection import Sending, Target
from minionbench.transport.http import Url, request_bytes
from minionbench.transport.loop import Transport
from minionbench.transport.poller import Poller, SelectorPoller, platform_poller
from minionbench.transport.stream import Address
from minionbench.units import NS_PER_S

PATIENCE_NS = 20 * NS_PER_S
"""Upper limit of a wait for something that must happen; it takes milliseconds when all is well."""

PAYLOAD = request_bytes("POST", Url("http://h"), "/", (), b"{}")
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def polling() -> Poller:
    """What waits where there is neither epoll nor kqueue."""
    return SelectorPoller(selectors.PollSelector())


def selecting() -> Poller:
    """What waits on Windows."""
    return SelectorPoller(selectors.SelectSelector())


pollers = pytest.mark.parametrize("poller", [platform_poller, polling, selecting])


class Signal:
    """What one thread gives and another waits for, as often as it was given."""

    def __init__(self) -> None:
        self._given = threading.Semaphore(0)

    def give(self, times: int = 1) -> None:
        self._given.release(times)

    def wait(self) -> None:
        assert self.wait_s(PATIENCE_NS / NS_PER_S), "the signal never came"

    def wait_s(self, timeout_s: float) -> bool:
        """Whether the signal comes within so many seconds."""
        return self._given.acquire(timeout=timeout_s)


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, number: int) -> None:
        self.socket = connection
        self.number = number
        """How many connections the server had taken before this one."""
        self._unread = bytearray()

    def read_request(self) -> bytes:
        """The next request, head and body; empty when the client has closed."""
        while (head_end := self._unread.find(b"\r\n\r\n") + 4) < 4:
            if not self._read():
                return b""
        head = self._unread[:head_end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while len(self._unread) < head_end + length:
            if not self._read():
                return b""
        request = bytes(self._unread[: head_end + length])
        del self._unread[: head_end + length]
        return request

    def _read(self) -> bool:
        data = self.socket.recv(1 << 20)
        self._unread += data
        return bool(data)

    def send(self, *pieces: bytes) -> None:
        """Writes each piece with a system call of its own."""
        for piece in pieces:
            self.socket.sendall(piece)

    def reset(self) -> None:
        """Ends the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def wait_for_close(self) -> None:
        """Returns when the client has closed its end."""
        with suppress(OSError):
            while self.socket.recv(1 << 20):
                pass


class ScriptedServer:
    """Listens on loopback; a test's function serves each connection in a thread of its own.

    When the function returns, the connection is closed. What it raises, the `with` block raises,
    but for errors of a connection that the client or the end of the test has closed. With `tls`
    everything is encrypted, and the function is called after the handshake.
    """

    def __init__(
        self,
        serve: Callable[[Peer], None],
        host: str = "127.0.0.1",
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._serve = serve
        self._tls = tls
        self._listener = socket.create_server((host, 0), backlog=1_024, family=_family(host))
        self.address = Address(_family(host), self._listener.getsockname())
        self.port: int = self._listener.getsockname()[1]
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}/v1"
        self.connections = 0
        self._failures: list[BaseException] = []
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._open = True

    def __enter__(self) -> ScriptedServer:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._open = False
            for connection in [self._listener, *self._sockets]:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_NS / NS_PER_S)
            assert not thread.is_alive(), "a thread of the server did not end"
        self._listener.close()
        if self._failures and error is None:
            raise self._failures[0]

    def target(
        self,
        *,
        slots: int | None = None,
        timeouts: Timeouts | None = None,
        insecure: bool = False,
    ) -> Target:
        return Target.at(self.url, slots=slots, timeouts=timeouts, insecure=insecure)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            with self._lock:
                if not self._open:
                    connection.close()
                    return
                self._sockets.add(connection)
                peer = Peer(connection, self.connections)
                self.connections += 1
            self._start(self._work, peer)

    def _work(self, peer: Peer) -> None:
        try:
            if isinstance(peer.socket, ssl.SSLSocket):
                peer.socket.do_handshake()
            self._serve(peer)
        except OSError:
            pass
        except BaseException as error:  # noqa: BLE001 - shown by the thread of the test
            self._failures.append(error)
        finally:
            with self._lock:
                self._sockets.discard(peer.socket)
                peer.socket.close()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def has_ipv6() -> bool:
    """Whether this machine's loopback has an IPv6 address."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def answering(*pieces: bytes) -> Callable[[Peer], None]:
    """Answers each request with these pieces, as long as the client asks."""

    def serve(peer: Peer) -> None:
        while peer.read_request():
            peer.send(*pieces)

    return serve


def silent(peer: Peer) -> None:
    """Reads, and never says anything."""
    peer.wait_for_close()


@contextmanager
def dead_port() -> Iterator[int]:
    """A port of loopback that refuses connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port of loopback that neither takes connections nor refuses them: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
        for filler in fillers:
            filler.close()


def target_of(port: int, *, slots: int | None = None, timeouts: Timeouts | None = None) -> Target:
    return Target.at(f"http://127.0.0.1:{port}/v1", slots=slots, timeouts=timeouts)


def submit(
    transport: Transport, target: Target, count: int = 1, payload: bytes = PAYLOAD
) -> list[Sending]:
    """Submits so many calls, each of a request of its own, all to be sent now."""
    now_ns = monotonic_ns()
    return [transport.submit(target, payload, now_ns, owner) for owner in range(count)]


def collect(transport: Transport, count: int) -> list[Sending]:
    """Runs the loop until so many calls have come back."""
    back: list[Sending] = []
    deadline_ns = monotonic_ns() + PATIENCE_NS
    while len(back) < count:
        assert monotonic_ns() < deadline_ns, f"only {len(back)} of {count} calls came back"
        back += transport.step(until_ns=deadline_ns)
    assert len(back) == count
    return back


def run_until(transport: Transport, condition: Callable[[], object]) -> None:
    """Runs the loop until the condition holds; no call may end meanwhile."""
    deadline_ns = monotonic_ns() + PATIENCE_NS
    while not condition():
        assert monotonic_ns() < deadline_ns, "what was waited for did not happen"
        assert transport.step(until_ns=monotonic_ns() + 1_000_000) == []


def ask(target: Target, payload: bytes = PAYLOAD) -> Sending:
    """One call by itself, over a transport of its own."""
    with Transport() as transport:
        transport.submit(target, payload, monotonic_ns(), "the only one")
        (sending,) = collect(transport, 1)
    return sending
