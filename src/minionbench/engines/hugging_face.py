"""Engines for models of Hugging Face's form: vLLM's or transformers' own server, where installed.

The server is started on loopback under a keeper (`server_child.py`), so that it dies with the
harness, and asked like any other server with OpenAI's API. It is offline: nothing is fetched, and
no code that lies in the model's folder is run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from minionbench import clock, units
from minionbench.engines import placement
from minionbench.engines.engine import Engine, EngineFacts, EngineSettings
from minionbench.engines.engine_process import EngineProcess
from minionbench.engines.probe import ProbeError, ask
from minionbench.engines.server_kind import VLLM
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Endpoint, Manners, Secret
from minionbench.transport.http import Url

COMMAND = (sys.executable, "-P", "-m", "minionbench.engines.server_child")
DEFAULT_CONTEXT_TOKENS = 8_192
"""Context when none is asked for and the model has more, as for the embedded engine."""
PROBE_S = 5.0
BETWEEN_PROBES_S = 0.1
CHECK_S = 60.0
"""For a Python to say which packages it has, from a cold disk too."""
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
INSTALL = (
    "install vLLM (`pip install vllm`, which wants a GPU) or transformers with PyTorch "
    "(`pip install 'transformers[serving]' torch`) so that `vllm` or `transformers` is on the PATH"
)
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
KEY_VARIABLE = "VLLM_API_KEY"
"""Where vLLM looks for the key that it is to ask for; it must not stand in the command."""
TRANSFORMERS = Manners(ignores_end=False, schema=False, closing_mark=False)
NEEDED = ("fastapi", "uvicorn", "torch")
"""Packages that transformers' server needs and its installation alone does not bring."""
_FIND = (
    "import importlib.util, sys; "
    "print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n) is None))"
)
_VERSION = re.compile(r"-([0-9][A-Za-z0-9.+!]*)\.dist-info")


class HubServer(NamedTuple):
    """An installed program that can serve a model of Hugging Face's form."""

    name: Literal["vllm", "transformers"]
    executable: Path

    @property
    def version(self) -> str | None:
        """Of its package, which lies in the same environment; None where it does not."""
        for packages in self.executable.resolve().parent.parent.glob("lib*/python*/site-packages"):
            for found in packages.glob(f"{self.name}-*.dist-info"):
                match = _VERSION.search(found.name)
                if match is not None:
                    return match[1]
        return None

    @property
    def lacking(self) -> tuple[str, ...]:
        """What it needs and does not have; empty also where that cannot be told."""
        python = self.executable.resolve().with_name("python")
        if self.name == "vllm" or not python.exists():
            return ()
        try:
            told = subprocess.run(
                [python, "-c", _FIND, *NEEDED],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=True,
                timeout=CHECK_S,
            )
        except (OSError, subprocess.SubprocessError):
            return ()
        return tuple(told.stdout.split())


def installed_server(environment: Mapping[str, str] = os.environ) -> HubServer | None:
    """The server that is installed beside this program or on the PATH, vLLM before transformers."""
    places = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    names: tuple[Literal["vllm", "transformers"], ...] = ("vllm", "transformers")
    for name in names:
        found = shutil.which(name, path=places)
        if found is not None:
            return HubServer(name, Path(found))
    return None


class HuggingFaceEngine(Engine):
    """A model served by somebody else's program in a process of our own."""

    def __init__(
        self, process: EngineProcess, pid: int, endpoint: Endpoint, facts: EngineFacts
    ) -> None:
        """`pid` is the server's; `process` is its keeper."""
        super().__init__(endpoint, facts, pid=pid, log_path=process.log_path)
        self._process = process

    def ended(self) -> str | None:
        """None while the server lives; else one sentence how it ended, and its last words."""
        how = self._process.how_it_ended()
        if how is None:
            return None
        sentence = f"The engine {how}"
        return sentence if self._process.stopped else self._process.with_last_words(sentence)

    def stop(self) -> None:
        """Ends the server and all that it started, by force if need be.

        Raises:
            DeploymentError: even SIGKILL did not end it; a driver holds it in the kernel.
        """
        self._process.end()
        # Should the keeper have been killed, its group may still be there.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def start(
    server: HubServer, folder: Path, model: str, settings: EngineSettings, *, log_folder: Path
) -> HuggingFaceEngine:
    """Starts a server for a model's folder and returns once it has answered a first request.

    Its log is a new file in `log_folder`.

    Raises:
        UsageError: the folder's configuration cannot be read, or the context is longer than the
            model's own.
        DeploymentError: the server cannot be started or cannot serve the model; the message has
            its last words.
    """
    context_tokens, longest = _context(folder, settings)
    cpus = placement.usable_cpus()
    threads = settings.threads or placement.default_threads(cpus, placement.cpu_quota())
    pinned = list(placement.engine_cpus(cpus, threads)) if settings.pin else None
    port = _free_port()
    key = Secret(secrets.token_urlsafe(32)) if server.name == "vllm" else None
    slots = settings.slots or 1
    # transformers knows the model it was started with by its path alone.
    served_as = model if server.name == "vllm" else str(folder.resolve())
    command = _command(server, folder.resolve(), served_as, port, slots, context_tokens)
    limit_bytes = None if NVIDIA_DRIVER.exists() else settings.memory_limit_bytes
    started_ns = clock.monotonic_ns()
    deadline_ns = started_ns + round(settings.start_timeout_s * units.NS_PER_S)
    process = EngineProcess(log_folder, COMMAND)
    url = Url(f"http://127.0.0.1:{port}/v1")
    try:
        report = process.converse(
            {
                "command": command,
                "environment": {**OFFLINE, "OMP_NUM_THREADS": str(threads)},
                "key_variable": KEY_VARIABLE if key is not None else None,
                "cpus": pinned,
                "memory_limit_bytes": limit_bytes,
                "parent_pid": os.getpid(),
            },
            key or Secret("none"),
            deadline_ns,
        )
        if "pid" not in report:
            raise DeploymentError(_not_started(server, report, process))
        _await_health(server, folder, url, process, int(report["pid"]), settings, deadline_ns)
        _warm_up(url, served_as, key, process, deadline_ns)
    except BaseException:  # Ctrl-C too: nothing is left behind
        process.end()
        raise
    engine_cpus = tuple(int(cpu) for cpu in report["cpus"]) if report["cpus"] else None
    facts = EngineFacts(
        name=server.name,
        version=server.version,
        embedded=True,
        model=model,
        model_path=str(folder),
        threads=threads,
        context_tokens=context_tokens or longest,
        slots=slots,
        engine_cpus=engine_cpus,
        free_cpus=None
        if engine_cpus is None
        else tuple(cpu for cpu in placement.usable_cpus() if cpu not in engine_cpus),
        cache_prompt=False,
        start_s=units.seconds(clock.monotonic_ns() - started_ns),
        notes=_notes(server, settings, limit_bytes),
    )
    endpoint = Endpoint(
        f"http://{url.authority}/v1",
        served_as,
        key=key,
        slots=slots,
        headers=settings.headers,
        extra_body=settings.extra_body,
        timeouts=settings.timeouts,
        manners=VLLM.manners if server.name == "vllm" else TRANSFORMERS,
    )
    return HuggingFaceEngine(process, int(report["pid"]), endpoint, facts)


def _context(folder: Path, settings: EngineSettings) -> tuple[int | None, int | None]:
    """(context to ask for, the model's own), each None where nothing is to be said."""
    path = folder / "config.json"
    try:
        said = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from error
    if not isinstance(said, dict):
        raise UsageError(f"{path} holds no object")
    inner = said.get("text_config")
    own = said.get("max_position_embeddings")
    if own is None and isinstance(inner, dict):
        own = inner.get("max_position_embeddings")
    longest = own if isinstance(own, int) and own > 0 else None
    asked = settings.context_tokens
    if asked is not None and longest is not None and asked > longest:
        raise UsageError(
            f"A context of {asked:,} tokens was asked for, but {folder} was made for "
            f"{longest:,} at most; ask for no more, or for none to get the largest sensible"
        )
    if asked is None and longest is not None:
        asked = min(DEFAULT_CONTEXT_TOKENS, longest)
    return asked, longest


def _free_port() -> int:
    """A port that nobody has at the moment; neither server can be given an open socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _command(
    server: HubServer, folder: Path, model: str, port: int, slots: int, context: int | None
) -> list[str]:
    common = [str(server.executable), "serve", str(folder), "--host", "127.0.0.1"]
    common += ["--port", str(port)]
    if server.name == "transformers":
        return common
    length = [] if context is None else ["--max-model-len", str(context)]
    slot = ["--max-num-seqs", str(slots)]
    return [
        *common,
        *("--served-model-name", model),
        *length,
        *slot,
        "--no-enable-prefix-caching",
        "--disable-uvicorn-access-log",
    ]


def _not_started(server: HubServer, report: dict[str, Any], process: EngineProcess) -> str:
    why = report.get("message") or process.how_it_ended(PROBE_S) or report.get("error")
    return process.with_last_words(f"{server.executable} cannot be started: {why}.")


def _await_health(
    server: HubServer,
    folder: Path,
    url: Url,
    process: EngineProcess,
    pid: int,
    settings: EngineSettings,
    deadline_ns: int,
) -> None:
    """Waits until the server has loaded the model and says that it is ready."""
    root = Url(f"http://{url.authority}")
    reason = "it never answered"
    while clock.monotonic_ns() < deadline_ns and process.is_alive():
        try:
            answer = ask(root, "/health", timeout_s=PROBE_S)
            if answer.status == 200 and _listens(pid, url.port):
                return
            reason = answer.complaint()
        except ProbeError as error:
            reason = str(error)
        clock.sleep_s(BETWEEN_PROBES_S)
    how = process.how_it_ended()
    if how is None:
        said = (
            f"{server.name} did not serve {folder} within {settings.start_timeout_s:g} s "
            f"({reason}). Give it longer, or take a smaller model."
        )
    else:
        said = f"While it was starting with {folder}, {server.name} {how}"
    raise DeploymentError(process.with_last_words(said))


def _listens(pid: int, port: int) -> bool:
    """Whether it is our server that has the port: somebody may have been quicker to take it."""
    import psutil

    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for process in family
            for connection in process.net_connections("tcp")
        )
    except psutil.AccessDenied:
        return True  # not told here: then the first request has to be enough
    except psutil.Error:
        return False


def _warm_up(
    url: Url, model: str, key: Secret | None, process: EngineProcess, deadline_ns: int
) -> None:
    """One request of one token, so that the first measured one does not pay for the start."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 1,
        "temperature": 0,
    }
    left_s = max(1.0, units.seconds(deadline_ns - clock.monotonic_ns()))
    try:
        answer = ask(url, "/chat/completions", key=key, body=body, timeout_s=left_s)
    except ProbeError as error:
        how = process.how_it_ended(PROBE_S)
        reason = str(error) if how is None else f"it {how}"
        raise DeploymentError(
            process.with_last_words(f"The engine fails at its first request: {reason}")
        ) from error
    if answer.status != 200:
        raise DeploymentError(
            process.with_last_words(
                f"The engine refuses its first request: {answer.complaint()}. "
                "The model may not be one for chat."
            )
        )


def _notes(server: HubServer, settings: EngineSettings, limit_bytes: int | None) -> tuple[str, ...]:
    notes = []
    if settings.memory_limit_bytes is not None and limit_bytes is None:
        notes.append(
            "The memory limit was not applied: with it, a GPU's driver cannot reserve its addresses"
        )
    if settings.adapter is not None:
        notes.append(f"The adapter {settings.adapter.name} was not applied")
    if server.name == "transformers":
        notes.append(
            "transformers' server answers one request after the other; it is there to have a "
            "result at all, not for speed"
        )
    return tuple(notes)
