"""Asking somebody's server by HTTP, with the standard library, so that no key gets astray."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from minionbench.errors import SetupError, UsageError
from minionbench.exchange import Secret
from minionbench.system import redact_text

TIMEOUT_S = 30.0
MOST_BYTES = 1 << 20
"""Of an answer, what is read at most."""
LONGEST_SAID = 300
"""Characters of a refusal that a message repeats."""


class Answered(NamedTuple):
    """What a server answered."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as an object; empty where it is none."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the key would go wherever the answer says."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        return None


class Server:
    """A server at an address, asked with a key where there is one."""

    def __init__(self, url: str, what: str, key: Secret | None = None) -> None:
        """`what` is how messages call it. Raises UsageError for an address that is none."""
        self.url = checked(url)
        self.what = what
        self.key = key
        host = urlsplit(self.url).hostname or ""
        local = host in ("localhost", "::1") or host.startswith("127.")
        # A proxy cannot reach this machine's own loopback.
        proxies = [urllib.request.ProxyHandler({})] if local else []
        self._opener = urllib.request.build_opener(_NoRedirects(), *proxies)
        self.unencrypted = key is not None and not local and self.url.startswith("http:")
        """Whether the key goes over a network as it is."""

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: tuple[int, ...] = (),
    ) -> Answered:
        """What the server answers, to a GET or, with a body, to a POST.

        A status of 400 or more that `accept` does not list raises SetupError with what the server
        said, and so does a server that cannot be reached.
        """
        headers = {"Content-Type": content_type, "User-Agent": "minionbench"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key.reveal()}"
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                return Answered(answer.status, answer.read(MOST_BYTES))
        except urllib.error.HTTPError as refusal:
            with refusal:
                found = Answered(refusal.code, refusal.read(MOST_BYTES))
            if refusal.code in accept:
                return found
            raise SetupError(self._refused(path, found)) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            why = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
            raise SetupError(
                f"{self.what} at {self.url} cannot be reached: {self._safe(why)}. Is it running, "
                "and is --url right?"
            ) from None

    def _refused(self, path: str, answer: Answered) -> str:
        said = answer.json()
        told = said.get("message") or said.get("error_code")
        words = str(told) if told else answer.body.decode("utf-8", "replace")
        words = " ".join(self._safe(words).split())[:LONGEST_SAID] or "no word"
        advice = ""
        if answer.status in (401, 403):
            advice = " Name the variable that holds your key with --api-key-env."
        elif 300 <= answer.status < 400:
            advice = " It sends callers elsewhere: give that address by --url."
        elif answer.status == 404:
            advice = " Is --url the address of the server itself?"
        return f"{self.what} at {self.url} refused {path}: {answer.status}, {words}.{advice}"

    def _safe(self, words: str) -> str:
        return redact_text(words, [] if self.key is None else [self.key.reveal()])


def checked(url: str) -> str:
    """An address without its last slash.

    Raises UsageError when it is no http or https address, or holds a user and a password.
    """
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or not url.strip().isprintable():
        raise UsageError("--url takes an address as http://127.0.0.1:5000 or https://HOST/PATH.")
    if parts.username or parts.password:
        raise UsageError(
            "--url takes no user and password; name the variable that holds the key by "
            "--api-key-env."
        )
    if parts.query or parts.fragment:
        raise UsageError("--url takes an address without ? and #.")
    return url.strip().rstrip("/")
