"""Every backend that the page on deployments has a row for, running on this machine.

The embedded engine is the real one, and the servers and providers are the simulator's. Three kinds
of server that it does not pose as are a front with their marks: their own lists and routes, and the
simulator behind their chat route.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from minionbench.deployments.single import Local, Remote
from minionbench.engines.engine import EngineSettings
from minionbench.simulator import Fixed, SimulatedModel, Simulator, SimulatorSettings
from minionbench.simulator.server_kind import ServerKind
from minionbench.simulator.settings import ReasoningMode

MODEL = "Qwen3-8B"

POSES: dict[str, ServerKind] = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llama-server": "llamacpp",
    "lm-studio": "lmstudio",
}
"""Servers by their URL that the simulator poses as."""


class Provided(NamedTuple):
    """A provider's model."""

    server: ServerKind
    model: str
    dialect: str

    @property
    def provider(self) -> str:
        return self.model.partition("/")[0]


PROVIDED = {
    "openai-chat": Provided("openai", "openai/gpt-5.5", "openai"),
    "openai-responses": Provided("openai", "openai/gpt-5.5", "responses"),
    "deepseek": Provided("deepseek", "deepseek/deepseek-flash", "openai"),
    "anthropic": Provided("anthropic", "anthropic/claude-sonnet-5", "anthropic"),
}


class Front(NamedTuple):
    """What a kind of server is known by: its routes, and its Server header."""

    owner: str | None
    routes: Mapping[str, Callable[[int], bytes]] = {}
    """Of a path, the answer after so many requests."""
    header: str = "uvicorn"


def _tgi_metrics(requests: int) -> bytes:
    name = "tgi_request_duration"
    return (
        f'{name}_bucket{{le="1"}} {requests}\n{name}_bucket{{le="+Inf"}} {requests}\n'
        f"{name}_sum {requests * 0.25}\n{name}_count {requests}\n"
    ).encode()


FRONTS = {
    "tgi": Front(
        None,
        {
            "/info": lambda n: b'{"model_id": "m", "max_total_tokens": 8192, "version": "3.3"}',
            "/metrics": _tgi_metrics,
        },
    ),
    "tensorrt-llm": Front("tensorrt_llm", {"/version": lambda n: b'{"version": "1.2"}'}),
    "mlx": Front(
        None, {"/health": lambda n: b'{"status": "ok"}'}, header="BaseHTTP/0.6 Python/3.12"
    ),
}

NAMES = ("embedded", "ollama", *POSES, *FRONTS, *PROVIDED)
"""Every backend, as the ids of the tests have it."""


class Backend(NamedTuple):
    """A deployment that can be measured."""

    deployment: Local | Remote
    engine: EngineSettings
    simulator: Simulator | None
    """None for the embedded engine."""


@contextmanager
def running(
    name: str,
    model_file: Path,
    *,
    reasoning: ReasoningMode = "switch",
    faults: tuple[tuple[str, float], ...] = (),
) -> Iterator[Backend]:
    """The backend of a name, and whatever it takes to reach it in the environment."""
    if name == "embedded":
        yield Backend(Local(f"llamacpp/{model_file}"), EngineSettings(), None)
        return
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        provided = PROVIDED.get(name)
        if provided is not None:
            server, model = provided.server, provided.model.partition("/")[2]
        else:
            server = "ollama" if name == "ollama" else POSES.get(name, "any")
            model = "qwen3:8b" if name == "ollama" else MODEL
        settings = SimulatorSettings(
            server=server,
            models=(SimulatedModel(name=model, reasoning=reasoning),),
            timing=Fixed(ttft_ms=1, itl_ms=0.05),
            answer_tokens=8,
            reasoning_tokens=6,
            faults=faults,
        )
        simulator = stack.enter_context(Simulator(settings))
        if provided is not None:
            anthropic = provided.provider == "anthropic"
            url = simulator.base_url if anthropic else simulator.openai_url
            patch.setenv(f"{provided.provider.upper()}_BASE_URL", url)
            engine = EngineSettings(dialect=provided.dialect)
            yield Backend(Remote(provided.model), engine, simulator)
        elif name == "ollama":
            patch.setenv("OLLAMA_HOST", simulator.ollama_url)
            yield Backend(Local("ollama/qwen3:8b"), EngineSettings(), simulator)
        elif name in POSES:
            yield Backend(Local(None, url=simulator.base_url), EngineSettings(), simulator)
        else:
            url = stack.enter_context(_fronted(FRONTS[name], simulator))
            yield Backend(Local(None, url=url), EngineSettings(), simulator)


@contextmanager
def _fronted(front: Front, simulator: Simulator) -> Iterator[str]:
    """A server with a kind's own GET routes, and the simulator behind its POST routes."""
    behind = urlsplit(simulator.base_url)
    entry = {"id": MODEL, "object": "model"}
    if front.owner is not None:
        entry["owned_by"] = front.owner
    listing = json.dumps({"object": "list", "data": [entry]}).encode()
    routes = {"/v1/models": lambda n: listing, **front.routes}
    answered: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = front.header
        sys_version = ""
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            found = routes.get(self.path)
            body = b"{}" if found is None else found(len(answered))
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            connection = http.client.HTTPConnection(str(behind.hostname), behind.port)
            try:
                connection.request("POST", self.path, sent, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answered.append(self.path)
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.getheader("Content-Type") or "")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                while piece := answer.read1():
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")
            finally:
                connection.close()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
