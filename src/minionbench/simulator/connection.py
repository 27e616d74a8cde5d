"""One client's connection: its bytes, their arrival by the kernel's clock, what is being written.

The stamps are taken here and not by the transport that is measured, so that the simulator's log
is a second opinion.

Source: socket(7), SO_TIMESTAMPNS.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator

from minionbench.clock import monotonic_ns, sample_offset
from minionbench.simulator.http import RequestReader
from minionbench.simulator.job import Job
from minionbench.simulator.log import Write
from minionbench.simulator.steps import Step
from minionbench.units import NS_PER_S

SO_TIMESTAMPNS = 35
"""Its number on Linux; Python 3.11 has no name for it."""
STAMPS = sys.platform.startswith("linux")
_TIMESPEC = struct.Struct("@qq")
_READ_BYTES = 65_536
_ANCILLARY_BYTES = 64
_OFFSET_ATTEMPTS = 2


class Connection:
    """A client's socket and how far its answer has come."""

    __slots__ = (
        "admitted_ns",
        "close_after",
        "fd",
        "first_ns",
        "job",
        "last_ns",
        "last_write",
        "open",
        "peer_port",
        "pending",
        "reader",
        "sock",
        "stamped",
        "step",
        "steps",
        "then",
    )

    def __init__(self, sock: socket.socket, peer_port: int, max_body_bytes: int) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.fd = sock.fileno()
        self.peer_port = peer_port
        self.reader = RequestReader(max_body_bytes)
        self.open = True
        self.close_after = False
        self.first_ns = self.last_ns = 0
        self.stamped = False
        self.job: Job | None = None
        self.steps: Iterator[Step] | None = None
        self.step: Step | None = None
        """The next write; None while there is none."""
        self.admitted_ns = 0
        self.pending: memoryview | None = None
        """What the kernel has not taken yet."""
        self.last_write: Write | None = None
        self.then = "go on"
        """What follows when everything pending is written."""

    def receive(self) -> bytes:
        """Reads what has arrived and notes when; empty at the client's end.

        Raises OSError when the connection is gone, BlockingIOError when nothing has arrived.
        """
        first = len(self.reader) == 0
        if STAMPS:
            data, ancillary, _, _ = self.sock.recvmsg(_READ_BYTES, _ANCILLARY_BYTES)
            now_ns, stamp = monotonic_ns(), _stamp_ns(ancillary)
        else:
            data = self.sock.recv(_READ_BYTES)
            now_ns, stamp = monotonic_ns(), None
        self.stamped = stamp is not None
        self.last_ns = now_ns
        if stamp is not None:
            # A stamp later than the read is the clock's error, not the kernel's foresight.
            self.last_ns = min(now_ns, stamp - sample_offset(_OFFSET_ATTEMPTS).offset_ns)
        if first:
            self.first_ns = self.last_ns
        return data

    def reset(self) -> None:
        """Closes the connection so that the client sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Closes the connection; again is harmless."""
        self.open = False
        self.sock.close()


def _stamp_ns(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(value) == _TIMESPEC.size:
            whole_s, rest_ns = _TIMESPEC.unpack(value)
            return int(whole_s * NS_PER_S + rest_ns)
    return None


def listen(hosts: tuple[str, ...], port: int) -> list[socket.socket]:
    """Sockets that listen on each host at one port, stamps switched on; `port` 0 is any free one.

    Raises OSError when an address cannot be had.
    """
    listeners: list[socket.socket] = []
    try:
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if STAMPS:
                # What it accepts inherits it: stamped from the first byte.
                listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            listener.setblocking(False)
            listener.bind((host, port))
            listener.listen(4_096)
            port = listener.getsockname()[1]
    except BaseException:  # no socket is left open
        for listener in listeners:
            listener.close()
        raise
    return listeners
