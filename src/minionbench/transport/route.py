"""How a server is reached: directly or through a proxy, in the clear or encrypted."""

from __future__ import annotations

from minionbench.transport.http import Url
from minionbench.transport.opening import Layer, Opening
from minionbench.transport.proxy import Proxy, Tunnel
from minionbench.transport.stream import ByteStream


class Route:
    """Where a connection to a server goes, and what is laid over it before the first request.

    Encrypted servers are reached through a proxy by a tunnel; to others the proxy passes each
    request on, which it has to be written for.
    """

    __slots__ = (
        "_absolute",
        "_authorization",
        "_layers",
        "entrance",
        "proxy",
        "round_trips",
        "where",
    )

    def __init__(self, url: Url, *, insecure: bool = False, proxy: Proxy | None = None) -> None:
        """`insecure` takes any certificate of the server's; a proxy's is always verified.

        Raises DeploymentError when the trusted certificates that the user named cannot be read.
        """
        self.proxy = proxy
        self.entrance = url if proxy is None else proxy.url
        """The URL whose host and port the connection goes to."""
        self.where = self.entrance.authority
        """The same for messages."""
        self._absolute = self._authorization = b""
        layers: list[Layer] = []
        if proxy is not None:
            self.where = f"the proxy {proxy.url.authority} of {proxy.variable}"
            if proxy.url.tls:
                layers.append(_encryption(proxy.url, "the proxy"))
            if url.tls:
                layers.append(Tunnel(proxy, url))
            else:
                self._absolute = f"http://{url.authority}".encode("ascii")
                self._authorization = proxy.authorization()
        if url.tls:
            layers.append(_encryption(url, "the server", insecure=insecure))
        self._layers = tuple(layers)
        self.round_trips = 1 + sum(layer.round_trips for layer in layers)
        """From the first packet to the first request, at most."""

    def opening(self, stream: ByteStream) -> Opening | None:
        """What is to be done with a new connection; None where it can be used as it is."""
        return Opening(stream, self._layers) if self._layers else None

    def as_sent(self, payload: bytes) -> bytes:
        """A request as it goes over this route: to a proxy that passes it on, with the whole URL.

        Source: RFC 9112 3.2.2 (absolute-form).
        """
        if not self._absolute:
            return payload
        line, _, rest = payload.partition(b"\r\n")
        method, _, target = line.partition(b" ")
        line = method + b" " + self._absolute + target
        return line + b"\r\n" + self._authorization + rest


def _encryption(url: Url, who: str, *, insecure: bool = False) -> Layer:
    # Loaded here, since most runs never leave the machine.
    from minionbench.transport.tls import Encryption

    return Encryption(url.host, who, insecure=insecure)
