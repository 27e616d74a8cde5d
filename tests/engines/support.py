"""Questions that tests put to engines, and what they look at from outside."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from minionbench import clock
from minionbench.exchange import Endpoint
from minionbench.transport.http import Url

PATIENCE_S = 20.0
"""Upper limit of a wait for something that must happen; it takes milliseconds when all is well."""


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true before patience ends."""
    deadline_ns = clock.monotonic_ns() + round(PATIENCE_S * 1e9)
    while clock.monotonic_ns() < deadline_ns:
        if condition():
            return True
        clock.sleep_s(0.01)
    return condition()


def state_of(pid: int) -> str:
    """The kernel's letter for what a process is doing; X when there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return status.rpartition(")")[2].split()[0]


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has reaped yet counts as ended."""
    return state_of(pid) in "ZX"


def children() -> set[int]:
    """Processes that this one has started and that still run."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return {pid for pid in found if not is_gone(pid)}


def post(endpoint: Endpoint, body: dict[str, Any], *, path: str = "/chat/completions") -> Any:
    """Status and parsed answer of a request as the measured path would send it, unstreamed."""
    url = Url(endpoint.base_url)
    connection = http.client.HTTPConnection(url.host, url.port, timeout=PATIENCE_S)
    headers = {"Content-Type": "application/json"}
    if endpoint.key is not None:
        headers["Authorization"] = f"Bearer {endpoint.key.reveal()}"
    try:
        connection.request("POST", url.path + path, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def chat(
    endpoint: Endpoint, text: str, max_tokens: int = 4, *, closed: bool = True, **more: Any
) -> list[dict[str, Any]]:
    """The events of a streamed answer, without the closing one, where it is `closed` by one."""
    body = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **endpoint.extra_body,
        **more,
    }
    status, answer = post(endpoint, body)
    assert status == 200, answer
    events = [e.removeprefix("data: ") for e in answer.decode().split("\n\n") if e]
    assert (events[-1] == "[DONE]") is closed
    return [json.loads(event) for event in events if event != "[DONE]"]


def texts(events: list[dict[str, Any]]) -> list[str]:
    """The pieces of visible text, in order."""
    deltas = [c["delta"] for event in events for c in event["choices"]]
    return [delta["content"] for delta in deltas if delta.get("content")]


@contextmanager
def http_server(routes: dict[str, tuple[int, bytes]]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server on loopback with fixed answers; its address, and the headers of each request.

    Each header dictionary has the request's path under `:path`. Other paths answer 404.
    """
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({**dict(self.headers.items()), ":path": self.path})
            status, body = routes.get(self.path, (404, b'{"error": {"message": "no such route"}}'))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server on loopback that does what it likes with its one connection; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)

        def accept() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(PATIENCE_S)
                serve(peer)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join()


def closed_port() -> int:
    """A port on loopback where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def only_as_root() -> bool:
    """Whether this user may read everything, so that permissions cannot be tested."""
    return os.geteuid() == 0
