"""Hugging Face's hub on loopback, as small as can be: files of data sets at their commits."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Asked(NamedTuple):
    """One request as it came in."""

    method: str
    path: str
    token: str | None = None
    """What it came with as authorization."""


class FakeHub:
    """What it has, and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[tuple[str, str, str], bytes] = {}
        """By repository, commit and name."""
        self.branches: dict[tuple[str, str], str] = {}
        """The commit of a branch of a repository."""
        self.gated: set[str] = set()
        self.broken: int | None = None
        """Status of every answer, where it is to fail."""
        self.cut = False
        """Whether bodies end before they are whole."""
        self.claimed_size: int | None = None
        """What it says the size of each file is."""
        self.more: dict[str, str] = {}
        """Headers of every answer that is a file, in place of or beside its own."""
        self.elsewhere: str | None = None
        """Where bodies are, if not here."""
        self.asked: list[Asked] = []

    def add(self, repository: str, commit: str, name: str, content: bytes) -> None:
        self.files[repository, commit, name] = content

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a path."""
        if self.broken is not None:
            return self.broken, {}, b"broken"
        parts = path.strip("/").split("/")
        if parts[0] != "datasets" or "resolve" not in parts:
            return 404, {}, b"not here"
        at = parts.index("resolve")
        repository, revision = "/".join(parts[1:at]), parts[at + 1]
        name = "/".join(parts[at + 2 :])
        if repository in self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b""
        if repository not in {known for known, _, _ in self.files}:
            return 401, {"X-Error-Code": "RepoNotFound"}, b""
        commit = self.branches.get((repository, revision), revision)
        if commit not in {c for known, c, _ in self.files if known == repository}:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        content = self.files.get((repository, commit, name))
        if content is None:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
        etag = hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, **self.more}
        if self.elsewhere is None:
            return 200, headers, content
        linked = {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        return 302, {**headers, **linked, "Location": self.elsewhere + path}, b""


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """The hub, for as long as the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.reply(with_body=False)

        def do_GET(self) -> None:
            self.reply(with_body=True)

        def reply(self, *, with_body: bool) -> None:
            hub.asked.append(Asked(self.command, self.path, self.headers["Authorization"]))
            status, headers, body = hub.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            size = len(body) if hub.claimed_size is None else hub.claimed_size
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if with_body:
                self.wfile.write(body[: len(body) // 2] if hub.cut else body)
            if hub.cut:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = FakeHub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
