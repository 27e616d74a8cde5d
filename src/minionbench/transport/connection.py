"""What the loop holds: a server, a call on its way, and the connection it goes over."""

from __future__ import annotations

from collections.abc import Hashable
from operator import sub

from minionbench.clock import ClockBridge
from minionbench.errors import DeploymentError
from minionbench.exchange import Exchange, Timeouts
from minionbench.transport.gate import Gate
from minionbench.transport.http import ResponseFramer, Url
from minionbench.transport.stream import Address, Stream, resolve

MAX_BODY_BYTES = 64 * 2**20
"""Largest body that is taken; a thousand times the longest answer of today's models."""
OFFSET_TOLERANCE_NS = 200
"""Change of the clocks' offset during an answer below which one offset serves all its reads."""


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
    ) -> None:
        self.url = url
        self.addresses = addresses
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
        cls, base_url: str, *, slots: int | None = None, timeouts: Timeouts | None = None
    ) -> Target:
        """The server at a URL; its name is resolved here, once.

        Raises UsageError for a bad URL, DeploymentError for an unknown host and for an https URL,
        which nothing must be sent to in the clear.
        """
        url = Url(base_url)
        if url.tls:
            raise DeploymentError(
                f"{base_url} needs TLS, which this version does not speak. "
                "Give an http:// URL, of a local proxy that adds TLS for instance"
            )
        return cls(url, resolve(url), slots=slots, timeouts=timeouts)


class Sending:
    """One call on its way: handed in with `Transport.submit`, given back when it has ended."""

    __slots__ = ("admitted", "connection", "ended", "exchange", "owner", "payload", "target")

    def __init__(self, target: Target, payload: bytes, planned_ns: int, owner: Hashable) -> None:
        self.target = target
        self.payload = payload
        self.owner = owner
        """The request that the call belongs to; slots are shared out among requests."""
        self.exchange = Exchange(planned_ns)
        self.admitted = False
        self.ended = False
        self.connection: Connection | None = None


class Connection:
    """A stream with what is under way on it."""

    __slots__ = (
        "addresses",
        "connected",
        "fd",
        "framer",
        "max_body_bytes",
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
        self.stream = stream
        self.target = target
        self.addresses = addresses
        """The one that the stream goes to, then those that are left to be tried."""
        self.fd = stream.fd
        self.receive = stream.receive
        self.started_ns = started_ns
        self.connected = False
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
