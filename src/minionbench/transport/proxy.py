"""Proxies that the environment names, and the tunnel through one.

Source: curl(1) "ENVIRONMENT" and Python's urllib.request.getproxies_environment for the variables,
RFC 9110 9.3.6 for CONNECT, RFC 7617 for the credentials.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Generator, Mapping
from http import HTTPStatus
from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Outcome, Secret
from minionbench.transport.http import MAX_HEAD_BYTES, Url, status_of
from minionbench.transport.opening import Opening, OpeningFailed

_BEGINNING = b"HTTP/1."


class Proxy(NamedTuple):
    """An HTTP proxy, and the variable that names it."""

    url: Url
    variable: str
    credentials: Secret | None
    """Value of `Proxy-Authorization`; None where the variable holds no user name."""

    def authorization(self) -> bytes:
        """The header line that carries the credentials; empty where there are none."""
        if self.credentials is None:
            return b""
        return f"Proxy-Authorization: {self.credentials.reveal()}\r\n".encode("ascii")

    def refusal(self, status: int, target: str) -> str:
        """What a proxy's own answer to a request for `target` means, and what to do."""
        proxy = f"the proxy {self.url.authority}"
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            if self.credentials is None:
                return (
                    f"{proxy} wants a user name and a password (HTTP 407). Put them into "
                    f"{self.variable}, as in http://NAME:PASSWORD@{self.url.authority}"
                )
            return f"{proxy} does not accept the user name and password of {self.variable}"
        try:
            said = f"HTTP {status} {HTTPStatus(status).phrase}"
        except ValueError:
            said = f"HTTP {status}"
        return (
            f"{proxy} did not connect to {target} ({said}). Where the server can be reached "
            "without a proxy, name its host in NO_PROXY"
        )


def proxy_for(url: Url, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for a server's URL; None where it is reached directly.

    `http_proxy` or `https_proxy` by the URL's scheme, then `all_proxy`; a name in small letters
    goes before the same in capitals, and an empty value means no proxy. This machine itself and
    what `no_proxy` names are reached directly. A proxy without a port is asked at its scheme's.

    Raises DeploymentError for a value that is no HTTP proxy's address.
    """
    if is_this_machine(url.host) or _is_exempt(url, direct_hosts(environment)[1] or ""):
        return None
    return named_proxy("https" if url.tls else "http", environment)


def named_proxy(scheme: Literal["http", "https"], environment: Mapping[str, str]) -> Proxy | None:
    """The proxy that the environment names for URLs of a scheme, whoever is to be reached.

    Raises DeploymentError for a value that is no HTTP proxy's address.
    """
    for name in (f"{scheme}_proxy", "all_proxy"):
        variable, value = _read(environment, name)
        if value is not None:
            return _parse(variable, value.strip()) if value.strip() else None
    return None


def direct_hosts(environment: Mapping[str, str]) -> tuple[str, str | None]:
    """The variable that names the hosts which are reached directly, and its value; None where it
    is not set."""
    return _read(environment, "no_proxy")


def is_this_machine(host: str) -> bool:
    """Whether a host of a URL is the loopback, by its name or number alone."""
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and (address.is_loopback or address.is_unspecified)


class Tunnel:
    """A proxy's own connection to a server, made for us by CONNECT."""

    __slots__ = ("_proxy", "_target")

    round_trips = 2  # its own, and the proxy's on to the server

    def __init__(self, proxy: Proxy, url: Url) -> None:
        self._proxy = proxy
        host = f"[{url.host}]" if ":" in url.host else url.host
        self._target = f"{host}:{url.port}"

    def lay(self, opening: Opening, early: bytes) -> Generator[None, bytes, bytes]:
        """Asks for the tunnel. Raises OpeningFailed when the proxy refuses."""
        proxy = f"the proxy {self._proxy.url.authority}"
        opening.doing = f"the request for a tunnel through {proxy}"
        opening.outcome = Outcome.CONNECT_FAILED
        line = f"CONNECT {self._target} HTTP/1.1\r\nHost: {self._target}\r\n".encode("ascii")
        opening.send(line + self._proxy.authorization() + b"\r\n")
        head = early
        while head.startswith(_BEGINNING[: len(head)]) and len(head) <= MAX_HEAD_BYTES:
            before, end, rest = head.partition(b"\r\n\r\n")
            if not end:
                head += yield
                continue
            # Whatever the other lines say of a body, after a 2xx what follows is the tunnel's.
            status = status_of(before.partition(b"\r\n")[0])
            if status is None or status == HTTPStatus.SWITCHING_PROTOCOLS:
                break
            if 200 <= status < 300:
                return rest
            if status >= 200:
                message = self._proxy.refusal(status, self._target)
                raise OpeningFailed(Outcome.CONNECT_FAILED, message, http_status=status)
            head = rest  # what came was an interim response
        raise OpeningFailed(
            Outcome.CONNECT_FAILED,
            f"{proxy} does not answer as an HTTP proxy does. Check {self._proxy.variable}",
        )


def _read(environment: Mapping[str, str], name: str) -> tuple[str, str | None]:
    """A variable in small letters or else in capitals: its name as it is set, and its value."""
    upper = name.upper()
    return (name, environment[name]) if name in environment else (upper, environment.get(upper))


def _parse(variable: str, value: str) -> Proxy:
    scheme, separator, rest = value.rpartition("://")
    scheme = scheme.lower() if separator else "http"
    userinfo, at, place = rest.rpartition("@")
    if scheme.startswith("socks"):
        raise DeploymentError(
            f"{variable} names a SOCKS proxy, which minionbench does not speak to. Name an HTTP "
            f"proxy there, or name the server's host in NO_PROXY"
        )
    try:
        url = Url(f"{scheme}://{place.partition('/')[0]}")
    except UsageError:
        # The value is not repeated, nor is the error that does: it may hold a password.
        raise DeploymentError(
            f"{variable} is not a proxy's address; it has to look like http://proxy.example:3128"
        ) from None
    if not at:
        return Proxy(url, variable, None)
    name, _, password = userinfo.partition(":")
    pair = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    return Proxy(url, variable, Secret(f"Basic {base64.b64encode(pair).decode('ascii')}"))


def _is_exempt(url: Url, no_proxy: str) -> bool:
    """Whether a list of hosts, as `no_proxy` holds it, names the URL's.

    Entries are names, which stand for the names below them too, IP addresses, networks such as
    `10.0.0.0/8`, and `*` for all, each with or without a port.
    """
    host = url.host.rstrip(".")
    address = _address(host)
    for entry in no_proxy.lower().replace(",", " ").split():
        if entry == "*":
            return True
        name, port = _split_port(entry)
        if port is not None and port != str(url.port):
            continue
        if address is not None:
            try:
                if address in ipaddress.ip_network(name, strict=False):
                    return True
            except ValueError:
                pass  # a name: no address is below it
        else:
            name = name.removeprefix("*").strip(".")
            if name and (host == name or host.endswith(f".{name}")):
                return True
    return False


def _split_port(entry: str) -> tuple[str, str | None]:
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        return name, port.removeprefix(":") or None
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port or None
    return entry, None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
