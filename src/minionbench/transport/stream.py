"""Sockets whose reads carry the kernel's receive stamp.

A stream opens, sends and receives without blocking; what is above it does not know whether the
bytes pass through an encryption layer. Linux stamps each segment when it arrives
(`SO_TIMESTAMPNS`, CLOCK_REALTIME); where the kernel gives no stamp, the reader's own clock is all
there is, and the exchange says so.

Source: socket(7), SO_TIMESTAMPNS.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from contextlib import suppress
from typing import NamedTuple, Protocol

from minionbench.clock import monotonic_ns
from minionbench.errors import DeploymentError
from minionbench.transport.http import Url
from minionbench.units import NS_PER_S

READ_BYTES = 8_192
"""Bytes asked for per read: more than a burst of events, small enough to be allocated quickly."""

_SO_TIMESTAMPNS = 35
"""Number of SO_TIMESTAMPNS on Linux; Python 3.11 has no name for it."""
_SOL_SOCKET = int(socket.SOL_SOCKET)
_TIMESPEC = struct.Struct("@qq")
_ANCILLARY_BYTES = 64
_STAMPS = sys.platform.startswith("linux")
_IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR)


class UnknownHost(DeploymentError):
    """A host name that stands for no address."""

    def __init__(self, host: str, reason: str, *, variable: str | None = None) -> None:
        """`variable` is the one of the environment that names the host, where it is a proxy's."""
        whose = "" if variable is None else f" of the proxy in {variable}"
        check = "the URL" if variable is None else variable
        super().__init__(
            f"The host name {host!r}{whose} cannot be resolved ({reason}). Check {check} and the "
            "network"
        )
        self.host = host
        self.reason = reason


class EncryptionError(OSError):
    """What came cannot be decrypted, or the peer gave the encryption up with an alert."""


class UnannouncedEnd(OSError):
    """The peer closed the connection without TLS's own farewell: somebody else may have cut it."""


class ByteStream(Protocol):
    """A connection as the loop uses it, encrypted or not; see `Stream` for what each does."""

    @property
    def fd(self) -> int:
        """The descriptor to wait on."""

    def send(self, data: memoryview) -> int:
        """Writes what can be written now."""

    def receive(self) -> tuple[bytes, int | None, int]:
        """What has arrived, its kernel stamp, the instant after the read."""
        ...

    def stop_reading(self) -> None:
        """Makes the descriptor ready to be read, with the end of the stream."""

    def close(self) -> None:
        """Closes the connection."""


class Address(NamedTuple):
    """One place that a host name stands for."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]


def resolve(url: Url) -> tuple[Address, ...]:
    """The addresses of a URL's host, in the resolver's order; done before a run, never inside.

    `localhost` is both loopback addresses, whatever the resolver knows of it: a server may listen
    on either alone.

    Raises UnknownHost, a DeploymentError, when the name is not known.

    Source: RFC 6761 6.3 (localhost).
    """
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a host name"
        raise UnknownHost(url.host, reason or str(error)) from error
    addresses = [
        Address(family, sockaddr)  # type: ignore[arg-type]
        for family, _, _, _, sockaddr in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]
    if url.host == "localhost":
        addresses.append(Address(socket.AF_INET, ("127.0.0.1", url.port)))
        addresses.append(Address(socket.AF_INET6, ("::1", url.port, 0, 0)))
    return tuple(dict.fromkeys(addresses))


def keep_stamping() -> socket.socket | None:
    """A socket that keeps the kernel's stamping switched on as long as it is open.

    Linux switches it on with the first socket that asks and off with the last, and takes its time:
    what arrives meanwhile has no stamp. None where the kernel gives none.
    """
    if not _STAMPS:
        return None
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    return holder


class Stream:
    """One TCP connection to an address, non-blocking, its reads stamped by the kernel.

    The stamps are switched on before the connection is made, since data that is already queued
    would come without one.
    """

    __slots__ = ("_recvmsg", "_socket", "fd")

    def __init__(self, address: Address) -> None:
        """Raises OSError when no socket can be had or the address refuses at once."""
        self._socket = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if _STAMPS:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            code = self._socket.connect_ex(address.sockaddr)
            if code not in (0, *_IN_PROGRESS):
                raise OSError(code, os.strerror(code))
        except BaseException:  # Ctrl-C too: no socket is left open
            self._socket.close()
            raise
        self.fd = self._socket.fileno()
        self._recvmsg = self._socket.recvmsg if _STAMPS else None

    def connect_error(self) -> OSError | None:
        """Why the connection was not made; None when it was."""
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return OSError(code, os.strerror(code)) if code else None

    def send(self, data: memoryview) -> int:
        """Writes what the kernel will take now; how many bytes that was.

        Raises BlockingIOError when it takes none, OSError when the connection is gone.
        """
        return self._socket.send(data)

    def receive(self) -> tuple[bytes, int | None, int]:
        """What has arrived, its kernel stamp, and the monotonic instant after the read.

        The stamp is CLOCK_REALTIME in nanoseconds and belongs to the last segment of the bytes;
        None where the kernel gave none. Empty bytes mean that the peer has closed.

        Raises BlockingIOError when nothing has arrived, OSError when the connection is gone.
        """
        if self._recvmsg is None:
            data = self._socket.recv(READ_BYTES)
            return data, None, monotonic_ns()
        data, ancillary, _, _ = self._recvmsg(READ_BYTES, _ANCILLARY_BYTES)
        now_ns = monotonic_ns()
        for level, kind, value in ancillary:
            if kind == _SO_TIMESTAMPNS and level == _SOL_SOCKET:
                return data, kernel_stamp_ns(value), now_ns
        return data, None, now_ns

    def stop_reading(self) -> None:
        """Takes nothing more: the descriptor is ready to be read at once, and the end is there."""
        with suppress(OSError):  # the connection is gone: the end is there already
            self._socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Closes the connection; again is harmless."""
        self._socket.close()


def kernel_stamp_ns(timespec: bytes) -> int | None:
    """Nanoseconds of a `struct timespec` of two native 64-bit integers; None when it is cut."""
    if len(timespec) != _TIMESPEC.size:
        return None
    whole_s, rest_ns = _TIMESPEC.unpack(timespec)
    return int(whole_s * NS_PER_S + rest_ns)
