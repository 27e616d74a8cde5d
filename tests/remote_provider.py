"""A provider of remote models on loopback, as small as can be: OpenAI's chat, one model."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple

from minionbench import clock

MODEL = "gpt-5.5"
KEY = "sk-planted-0123456789abcdef"
Reasons = Literal["as told", "always", "never", "hidden", "inline"]


class Asked(NamedTuple):
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Provider:
    """What it is to do, and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.reasons: Reasons = "as told"
        self.refusal: tuple[int, str] | None = None
        """Status and message for every chat request."""
        self.asked: list[Asked] = []

    @property
    def chats(self) -> list[Asked]:
        """The requests for an answer."""
        return [asked for asked in self.asked if asked.path.endswith("/chat/completions")]

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead OpenAI's models here."""
        return {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": KEY}


def _events(reasons: Reasons, body: dict[str, Any]) -> Iterator[bytes]:
    told = body.get("reasoning_effort", "none") != "none"
    thinks = reasons in ("always", "hidden", "inline") or (reasons == "as told" and told)
    deltas: list[dict[str, str]] = [{"role": "assistant"}]
    if thinks and reasons == "inline":
        deltas.append({"content": "<think>so</think>"})
    elif thinks and reasons != "hidden":
        deltas += [{"reasoning_content": "so "}, {"reasoning_content": "it is"}]
    deltas += [{"content": "4"}, {"content": "2"}]
    for delta in deltas:
        yield _event([{"index": 0, "delta": delta, "finish_reason": None}])
    yield _event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    reasoning = 2 if thinks and reasons != "inline" else 0
    counts = {
        "prompt_tokens": 30,
        "completion_tokens": 2 + reasoning + (1 if thinks and reasons == "inline" else 0),
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    yield _event([], usage=counts)
    yield b"data: [DONE]\n\n"


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    chunk = {"object": "chat.completion.chunk", "model": MODEL, "choices": choices, **more}
    return f"data: {json.dumps(chunk)}\n\n".encode()


@contextmanager
def remote_provider() -> Iterator[Provider]:
    """The provider, for as long as the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._take({})
            if self._key_is_right():
                self._say(200, {"object": "list", "data": [{"id": MODEL}]})

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            self._take(body)
            if not self._key_is_right():
                return
            if provider.refusal is not None:
                status, message = provider.refusal
                self._say(status, {"error": {"message": message}})
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for event in _events(provider.reasons, body):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
                clock.sleep_s(0.001)  # so that tokens arrive one after the other
            self.wfile.write(b"0\r\n\r\n")

        def _take(self, body: dict[str, Any]) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            provider.asked.append(Asked(self.path, headers, body))

        def _key_is_right(self) -> bool:
            given = self.headers.get("Authorization", "")
            if given == f"Bearer {KEY}":
                return True
            self._say(401, {"error": {"message": f"Incorrect API key provided: {given}"}})
            return False

        def _say(self, status: int, document: Any) -> None:
            payload = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider = Provider(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
