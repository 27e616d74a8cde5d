"""What the loop holds: a server, a call on its way, and the connection it goes over."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from operator import sub

from minionbench.clock import ClockBridge
from minionbench.exchange import Exchange, Timeouts
from minionbench.transport.gate import Gate
from minionbench.transport.http import ResponseFramer, Url
from minionbench.transport.opening import Opening
from minionbench.transport.proxy import proxy_for
from minionbench.transport.route import Route
from minionbench.transport.stream import Address, ByteStream, Stream, UnknownHost, resolve

MAX_BODY_BYTES = 64 * 2**20
"""Largest body that is taken; a thousand times the longest answer of today's models."""
OFFSET_TOLERANCE_NS = 200
"""Change of the clocks' offset during an answer below which one offset serves all its reads."""

ADDRESSES_IN_MESSAGE = 3


class Target:
    """A server as the loop knows it: its addresses, its gate, its idle connections."""

    def __init__(
        self,
        url: Url,
        addresses: tuple[Address, ...],
        *,
        slots: int | None = None,
        timeouts: Timeouts | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        route: Route | None = None,
    ) -> None:
        """`addresses` are those of the route's entrance; without a route it is the direct one."""
        self.url = url
        self.addresses = addresses
        self.route = route or Route(url)
        self.gate: Gate[Sending] = Gate(slots)
        self.timeouts = timeouts or Timeouts()
        self.max_body_bytes = max_body_bytes
        self.idle: list[Connection] = []
        self.connections = 0
        """Open or being opened, the idle ones included."""

    @property
    def room(self) -> bool:
        """Whether a connection may be made ready for a call that has no slot yet."""
        slots = self.gate.slots
        return slots is None or max(self.gate.taken, self.connections - len(self.idle)) < slots

    def prefer(self, address: Address) -> None:
        """Puts an address that answered first, so that the next connection begins with it."""
        if self.addresses[0] != address:
            self.addresses = (address, *(a for a in self.addresses if a != address))

    @classmethod
    def at(
        cls,
        base_url: str,
        *,
        slots: int | None = None,
        timeouts: Timeouts | None = None,
        insecure: bool = False,
        environment: Mapping[str, str] = os.environ,
    ) -> Target:
        """The server at a URL; see `to`. Raises UsageError for a bad URL too."""
        return cls.to(
            Url(base_url),
            slots=slots,
            timeouts=timeouts,
            insecure=insecure,
            environment=environment,
        )

    @classmethod
    def to(
        cls,
        url: Url,
        *,
        slots: int | None = None,
        timeouts: Timeouts | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        insecure: bool = False,
        environment: Mapping[str, str] = os.environ,
    ) -> Target:
        """The server at a URL, by the proxy that the environment names for it, if any.

        The name of the server, or of the proxy, is resolved here, once. `insecure` takes a
        certificate that cannot be verified.

        Raises DeploymentError for an unknown host, a bad proxy and trusted certificates that
        cannot be read.
        """
        route = Route(url, insecure=insecure, proxy=proxy_for(url, environment))
        try:
            addresses = resolve(route.entrance)
        except UnknownHost as error:
            if route.proxy is None:
                raise
            raise UnknownHost(error.host, error.reason, variable=route.proxy.variable) from error
        return cls(
            url,
            addresses,
            slots=slots,
            timeouts=timeouts,
            max_body_bytes=max_body_bytes,
            route=route,
        )


class Sending:
    """One call on its way: handed in with `Transport.submit`, given back when it has ended."""

    __slots__ = (
        "admitted",
        "connection",
        "ended",
        "exchange",
        "owner",
        "payload",
        "target",
        "unreached",
    )

    def __init__(self, target: Target, payload: bytes, planned_ns: int, owner: Hashable) -> None:
        self.target = target
        self.payload = target.route.as_sent(payload)
        self.owner = owner
        """The request that the call belongs to; slots are shared out among requests."""
        self.exchange = Exchange(planned_ns)
        self.admitted = False
        self.ended = False
        self.connection: Connection | None = None
        self.unreached: tuple[tuple[Address, str], ...] = ()
        """Addresses that no connection was made to, each with the reason."""

    def take_body(self) -> bytes:
        """Takes what has come of the answer's body out of it, for one who reads while it comes.

        The exchange is left with the body's rest and with marks that do not fit it: this is for
        questions whose time is not measured.
        """
        framer = None if self.connection is None else self.connection.framer
        if framer is None:
            body, self.exchange.body = self.exchange.body, b""
        else:
            body = b"".join(framer.body)
            framer.body.clear()
        return body

    def why_unreached(self) -> str:
        """One line on a server that no address of led to, for a message."""
        where = self.target.route.where
        hosts_of: dict[str, list[str]] = {}
        for address, reason in self.unreached:
            hosts_of.setdefault(reason, []).append(address.sockaddr[0])
        if len(self.unreached) == 1:
            return f"no connection to {where}: {self.unreached[0][1]}"
        reasons = [f"{reason} ({_some(hosts)})" for reason, hosts in hosts_of.items()]
        return f"no connection to {where}: {'; '.join(reasons)}"


def _some(hosts: list[str]) -> str:
    shown = hosts[:ADDRESSES_IN_MESSAGE]
    return ", ".join(shown) + (", …" if len(hosts) > len(shown) else "")


class Connection:
    """A stream with what is under way on it."""

    __slots__ = (
        "addresses",
        "connect_error",
        "connected",
        "fd",
        "framer",
        "max_body_bytes",
        "opening",
        "read_ends",
        "real_ns",
        "receive",
        "reused",
        "sending",
        "started_ns",
        "stream",
        "target",
        "unsent",
        "user_ns",
        "watched",
    )

    def __init__(
        self, stream: Stream, target: Target, addresses: tuple[Address, ...], started_ns: int
    ) -> None:
        self.stream: ByteStream = stream
        self.target = target
        self.addresses = addresses
        """The one that the stream goes to, then those that are left to be tried."""
        self.fd = stream.fd
        self.receive = stream.receive
        self.connect_error = stream.connect_error
        self.started_ns = started_ns
        self.connected = False
        """Whether a request can be sent on it."""
        self.opening: Opening | None = None
        """What is being laid over it; None before that begins, and when it is over."""
        self.reused = False
        self.watched = 0
        self.max_body_bytes = target.max_body_bytes
        self.sending: Sending | None = None
        self.framer: ResponseFramer | None = None
        """None while no request is under way on it."""
        self.unsent: memoryview | None = None
        self.read_ends: list[int] = []
        self.real_ns: list[int | None] = []
        self.user_ns: list[int] = []

    def lay(self, stream: ByteStream) -> None:
        """Reads and writes through a layer over the stream from now on."""
        self.stream = stream
        self.receive = stream.receive

    def begin(self) -> None:
        """Makes ready to take an answer down."""
        self.framer = ResponseFramer()
        self.read_ends = []
        self.real_ns = []
        self.user_ns = []

    def take_down(self, exchange: Exchange, bridge: ClockBridge) -> None:
        """Moves what was received into the call's exchange."""
        framer = self.framer
        if framer is None:
            return
        exchange.status = framer.status
        exchange.headers = framer.headers
        exchange.body = b"".join(framer.body)
        exchange.read_ends = self.read_ends
        exchange.read_ns = self._read_ns(bridge)
        exchange.reads = len(exchange.read_ns)
        exchange.kernel_reads = exchange.reads - self.real_ns.count(None)
        if exchange.reads:
            exchange.first_byte_ns = exchange.read_ns[0]
        if exchange.kernel_reads:
            # Where the kernel gave no stamp, the two are the same and the difference is 0.
            exchange.lateness_max_ns = max(map(sub, self.user_ns, exchange.read_ns))

    def _read_ns(self, bridge: ClockBridge) -> list[int]:
        """Instant of each read: the kernel's stamp where there is one, else the clock after it."""
        user, real = self.user_ns, self.real_ns
        if not user:
            return []
        offset_at = bridge.offset_at
        offset_ns = offset_at(user[0])
        if abs(offset_at(user[-1]) - offset_ns) <= OFFSET_TOLERANCE_NS:
            return [u if r is None else r - offset_ns for u, r in zip(user, real, strict=True)]
        return [u if r is None else r - offset_at(u) for u, r in zip(user, real, strict=True)]
