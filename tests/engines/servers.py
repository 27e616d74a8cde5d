"""Small servers on loopback that answer as the servers of the field do."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, TypeAlias


class Asked(NamedTuple):
    """A request that a server got."""

    what: str
    """`GET /path`."""
    body: Any
    headers: dict[str, str]


Answer: TypeAlias = tuple[int, Any]
"""Status and body: bytes as they are, a list as NDJSON, anything else as JSON."""
Routes: TypeAlias = Mapping[str, Answer | Callable[[Any], Answer]]

NOT_FOUND: Answer = (404, {"error": {"message": "no such route"}})


def encoded(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, list):
        return b"".join(json.dumps(line).encode() + b"\n" for line in content)
    return json.dumps(content).encode()


@contextmanager
def server(
    routes: Routes, header: str = "test", tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[Asked]]]:
    """A server with such routes, `GET /path` each; its address, and what it was asked.

    `header` is what its Server header says. Routes may be changed while it runs.
    """
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        server_version = header
        sys_version = ""

        def do_GET(self) -> None:
            self.serve()

        def do_POST(self) -> None:
            self.serve()

        def serve(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            sent = self.rfile.read(length)
            body = json.loads(sent) if sent else None
            what = f"{self.command} {self.path}"
            asked.append(Asked(what, body, dict(self.headers.items())))
            answer = routes.get(what, NOT_FOUND)
            status, content = answer(body) if callable(answer) else answer
            payload = encoded(content)
            self.send_response(status)
            if isinstance(content, bytes) and content.startswith(b"data:"):
                self.send_header("Content-Type", "text/event-stream")
            elif isinstance(content, list):
                self.send_header("Content-Type", "application/x-ndjson")
            else:
                self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    if tls is not None:
        running.socket = tls.wrap_socket(running.socket, server_side=True)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{running.server_port}", asked
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def listing(*names: str, **more: Any) -> Answer:
    """A list of models as OpenAI's route gives it."""
    entries = [{"id": name, "object": "model", **more} for name in names]
    return 200, {"object": "list", "data": entries}


def chat(text: str = "Hi", *, prompt_tokens: int = 11, cached: int = 0) -> Callable[[Any], Answer]:
    """A chat route that always says the same, streamed where it is asked to."""
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": 2,
        "total_tokens": prompt_tokens + 2,
        "prompt_tokens_details": {"cached_tokens": cached},
    }

    def answer(body: Any) -> Answer:
        if not body.get("stream"):
            choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
            return 200, {"choices": [choice], "usage": usage}
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
            for piece in text
        ]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        chunks.append({"choices": [], "usage": usage})
        events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        return 200, "".join([*events, "data: [DONE]\n\n"]).encode()

    return answer


class Ollama:
    """An Ollama server with models that come and go; what it is asked is in `asked`."""

    def __init__(self, **models: dict[str, Any]) -> None:
        """Each model is what `/api/show` says of it; the names' `_` stand for `:`."""
        self.models = {name.replace("_", ":"): shown for name, shown in models.items()}
        self.pullable: dict[str, dict[str, Any]] = {}
        self.pulling: list[dict[str, Any]] = []
        """Lines of a pull before the last."""
        self.loaded: dict[str, int] = {}
        """Context of each loaded model."""
        self.size, self.vram = 2_000_000_000, 2_000_000_000
        self.tells_context = True
        self.most_context: int | None = None
        """Context above which the server loads no model, without saying so."""
        self.prompt_tokens: Callable[[Any], int] = lambda body: 12
        self.cached: int | None = None
        self.asked: list[Asked] = []

    @contextmanager
    def running(self) -> Iterator[dict[str, str]]:
        """The environment that leads to the server."""
        routes: Routes = {
            "GET /api/version": (200, {"version": "0.30.1"}),
            "GET /api/tags": lambda body: self._tags(),
            "GET /api/ps": lambda body: self._ps(),
            "POST /api/show": self._show,
            "POST /api/generate": self._generate,
            "POST /api/chat": self._chat,
            "POST /api/pull": self._pull,
        }
        with server(routes, header="") as (url, asked):
            self.asked = asked
            yield {"OLLAMA_HOST": url}

    def bodies(self, what: str) -> list[Any]:
        """What was posted to a route."""
        return [one.body for one in self.asked if one.what == what]

    def _tags(self) -> Answer:
        return 200, {"models": [{"name": name, "size": self.size} for name in self.models]}

    def _ps(self) -> Answer:
        models = []
        for name, context in self.loaded.items():
            entry = {"name": name, "size": self.size, "size_vram": self.vram}
            models.append(entry | ({"context_length": context} if self.tells_context else {}))
        return 200, {"models": models}

    def _show(self, body: Any) -> Answer:
        name = body["model"]
        full = name if ":" in name else f"{name}:latest"
        if full not in self.models:
            return 404, {"error": f"model '{name}' not found"}
        return 200, self.models[full]

    def _generate(self, body: Any) -> Answer:
        assert body["keep_alive"] == 0
        self.loaded.pop(body["model"], None)
        return 200, {"model": body["model"], "done": True, "done_reason": "unload"}

    def _chat(self, body: Any) -> Answer:
        context = body["options"]["num_ctx"]
        if self.most_context is not None:
            context = min(context, self.most_context)
        was_there = self.loaded.get(body["model"]) == context
        self.loaded[body["model"]] = context
        last: dict[str, Any] = {
            "model": body["model"],
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "done_reason": "stop",
            "total_duration": 5_000_000_000,
            "load_duration": 20_000_000 if was_there else 3_250_000_000,
            "prompt_eval_count": self.prompt_tokens(body),
            "prompt_eval_duration": 1_000_000,
            "eval_count": 2,
            "eval_duration": 2_000_000,
        }
        if self.cached is not None:
            last["prompt_eval_cached_count"] = self.cached
        if not body["stream"]:
            return 200, {**last, "message": {"role": "assistant", "content": "Hi"}}
        pieces = [
            {
                "model": body["model"],
                "message": {"role": "assistant", "content": piece},
                "done": False,
            }
            for piece in ("Hi", "!")
        ]
        return 200, [*pieces, last]

    def _pull(self, body: Any) -> Answer:
        name = body["model"]
        lines: list[Any] = [{"status": "pulling manifest"}, *self.pulling]
        if name not in self.pullable:
            return 200, [*lines, {"error": "pull model manifest: file does not exist"}]
        self.models[name] = self.pullable[name]
        return 200, [*lines, {"status": "success"}]


def shown(
    *capabilities: str, context: int = 131_072, thinking: Any = None, **more: Any
) -> dict[str, Any]:
    """What `/api/show` says of a model of 3.2 B weights."""
    said: dict[str, Any] = {
        "details": {"family": "llama", "parameter_size": "3.2B", "quantization_level": "Q4_K_M"},
        "model_info": {
            "general.architecture": "llama",
            "general.parameter_count": 3_212_749_888,
            "llama.context_length": context,
        },
        "capabilities": list(capabilities or ("completion", "tools")),
        **more,
    }
    return said | ({} if thinking is None else {"thinking": thinking})
