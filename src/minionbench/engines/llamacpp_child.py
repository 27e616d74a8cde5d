"""The engine's own process: llama.cpp's server on loopback, for as long as the harness lives.

Started as `python -m minionbench.engines.llamacpp_child` by `llamacpp.py`. Standard input brings
one line of JSON with the settings, the key among them, and then stays open: its end means that the
harness is gone. Standard output takes one line of JSON back, once the model is loaded or has
failed to. Standard error, where llama.cpp writes as well, is the log.

It ends with the harness by two ways. Linux sends SIGKILL when the parent dies, which works even
while a model is loading; and the end of standard input, which needs no Linux, ends it as soon as
the model is loaded (loading holds Python's lock, so that nothing can be watched meanwhile).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
MAX_SETTINGS_BYTES = 65_536
VERBOSITY = 2
"""llama.cpp's warnings and errors: enough for a failed load to explain itself (−1 is silent about
it), and not one line per request (3 writes eight)."""
HARNESS_GONE, CANNOT_IMPORT, CANNOT_LOAD = 0, 3, 4
"""Exit codes."""


def die_with_parent() -> None:
    """Asks Linux to kill this process when the thread that started it ends."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def read_settings(descriptor: int) -> dict[str, Any] | None:
    """The line of settings; None when the harness went away before it was complete.

    Read without a buffer, so that what follows is left to `wait_for_end`.
    """
    line = b""
    while not line.endswith(b"\n") and len(line) < MAX_SETTINGS_BYTES:
        piece = os.read(descriptor, 4_096)
        if not piece:
            return None
        line += piece
    settings: dict[str, Any] = json.loads(line)
    return settings


def wait_for_end(descriptor: int) -> None:
    """Blocks until the other end of the pipe is closed, by whatever death."""
    while os.read(descriptor, 4_096):
        pass


def pin(cpus: list[int] | None) -> list[int] | None:
    """Keeps this process and every thread it will start on `cpus`; what came of it."""
    if not cpus or not hasattr(os, "sched_setaffinity"):
        return None
    try:
        os.sched_setaffinity(0, cpus)
    except OSError:  # a core went away, or the container does not allow it
        return None
    return cpus


def limit_memory(limit_bytes: int | None) -> None:
    """Has the kernel refuse this process more memory of its own than that.

    What is asked for beyond the limit is refused, so that llama.cpp fails and not the machine. The
    model's file is mapped and does not count.
    """
    if limit_bytes is not None:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def engine_package(report: int) -> Any:
    """The engine's package; None when it cannot be imported, which is then reported."""
    try:
        import xllamacpp
    except ImportError as error:
        _tell(report, {"error": "import", "message": str(error), "package": error.name})
        return None
    return xllamacpp


def serve(xllamacpp: Any, settings: dict[str, Any]) -> Any:
    """Loads the model and starts to serve it; the server lives as long as what is returned."""
    params = xllamacpp.CommonParams()
    params.model.path = settings["model_path"]
    params.model_alias = {settings["model"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # the kernel gives one that nobody has
    params.api_keys = [settings["key"]]
    params.n_ctx = settings["context_tokens"] * settings["slots"]
    params.n_parallel = settings["slots"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.n_gpu_layers = settings["gpu_layers"]
    # Else layers and context that were not asked for are chosen from the memory free at the moment.
    params.fit_params = False
    params.cache_prompt = settings["cache_prompt"]
    if not settings["cache_prompt"]:
        params.cache_ram_mib = 0  # a second cache of prompts, of up to 8 GB, in the host's memory
    if settings["embeddings"]:
        params.embedding = True
        # A text has to fit one batch, since all its tokens may look at each other.
        params.n_batch = params.n_ubatch = settings["context_tokens"]
    if settings["adapter"] is not None:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(settings["adapter"], 1.0)]
    params.verbosity = VERBOSITY
    params.ui = False
    params.endpoint_slots = False
    return xllamacpp.Server(params)


def check() -> int:
    """Reports the engine package's version, or why there is none, and ends."""
    xllamacpp = engine_package(1)
    if xllamacpp is None:
        return CANNOT_IMPORT
    _tell(1, {"version": str(xllamacpp.__version__)})
    return 0


def main() -> int:
    """Serves until the harness is gone; never returns to Python's own shutdown after a load."""
    if "--check" in sys.argv:
        return check()
    if "--die-with-parent" in sys.argv:
        die_with_parent()
    # Ctrl-C in a terminal is for the harness, which then ends this process in its own order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = read_settings(0)
    # The parent may have died before it could be asked for the signal.
    if settings is None or os.getppid() != settings["parent_pid"]:
        return HARNESS_GONE
    report = os.dup(1)
    os.dup2(2, 1)  # whatever the native code prints belongs to the log
    pinned = pin(settings["cpus"])
    xllamacpp = engine_package(report)
    if xllamacpp is None:
        return CANNOT_IMPORT
    from minionbench import clock

    limit_memory(settings["memory_limit_bytes"])
    started_ns = clock.monotonic_ns()
    try:
        server = serve(xllamacpp, settings)
    except Exception as error:  # noqa: BLE001 - native code; whatever it was, the harness tells it
        _tell(report, {"error": "load", "message": f"{type(error).__name__}: {error}"})
        os._exit(CANNOT_LOAD)
    loaded_ns = clock.monotonic_ns() - started_ns
    devices = xllamacpp.get_device_info()
    _tell(
        report,
        {
            "url": server.listening_address,
            "version": str(xllamacpp.__version__),
            "load_ns": loaded_ns,
            "cpus": pinned,
            "devices": [str(device["description"]) for device in devices],
            "gpu": any(device["type"].name.endswith("GPU") for device in devices),
        },
    )
    os.close(report)
    wait_for_end(0)
    # Taking a server down that has never had a request can hang for ever: leave without it.
    os._exit(HARNESS_GONE)


def _tell(descriptor: int, report: dict[str, Any]) -> None:
    try:
        os.write(descriptor, json.dumps(report).encode() + b"\n")
    except OSError:
        os._exit(HARNESS_GONE)  # nobody is left to be told


if __name__ == "__main__":
    sys.exit(main())
