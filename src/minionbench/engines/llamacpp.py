"""The embedded engine: llama.cpp's server in a child process that is watched and never outlives us.

It is reached over loopback HTTP like any other server, so that one path measures all.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

from minionbench import clock, units
from minionbench.engines import placement
from minionbench.engines.engine import Engine, EngineFacts, EngineSettings
from minionbench.engines.engine_process import COMMAND, KILL_S, EngineProcess, ending
from minionbench.engines.foreign import one_line
from minionbench.engines.gguf import GgufInfo, read_gguf, require_file
from minionbench.engines.probe import ProbeError, ask
from minionbench.engines.thinking import TemplateReasoning, template_reasoning
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Endpoint, Manners, Reasoning, Secret
from minionbench.transport.http import Url
from minionbench.units import number_of

DEFAULT_CONTEXT_TOKENS = 8_192
"""Context of a slot when none is asked for and the model has more: room for the built-in
workloads, without the gigabytes of cache that a context of 128,000 takes."""
PROBE_S = 5.0
CHECK_S = 60.0
"""For importing the engine's package, from a cold disk too."""


class LlamaCppEngine(Engine):
    """A model served by xllamacpp in a process of our own."""

    def __init__(
        self,
        process: EngineProcess,
        endpoint: Endpoint,
        facts: EngineFacts,
        template: TemplateReasoning,
        memory_limit_bytes: int | None = None,
    ) -> None:
        super().__init__(endpoint, facts, pid=process.pid, log_path=process.log_path)
        self._process = process
        self._template = template
        self._memory_limit_bytes = memory_limit_bytes

    def set_reasoning(self, reasoning: Reasoning) -> None:
        """Has the model reason, or not, where its chat template lets it be told.

        Raises:
            DeploymentError: it cannot be told, and does the other thing.
        """
        self.endpoint.reasoning = self._template.wish(reasoning, self.facts.model)

    def ended(self) -> str | None:
        """None while the process lives; else one sentence how it ended, and its last words."""
        how = self._process.how_it_ended()
        if how is None:
            return None
        sentence = f"The engine {how}{_held_to(self._memory_limit_bytes)}"
        return sentence if self._process.stopped else self._process.with_last_words(sentence)

    def stop(self) -> None:
        """Ends the process within seconds, by force if need be.

        Raises:
            DeploymentError: even SIGKILL did not end it; a driver holds it in the kernel.
        """
        self._process.end()


def start(
    model_path: Path, model: str, settings: EngineSettings, *, log_folder: Path
) -> LlamaCppEngine:
    """Starts a server for a model file and returns once it has answered a first request.

    The engine is told to serve `model` as the model's name. Its log is a new file in
    `log_folder`.

    Raises:
        UsageError: no such file, one that cannot be read, or a context longer than the model's own.
        DeploymentError: the engine cannot be started or cannot load the model; the message has
            its own last words and says what to do.
    """
    require_file(model_path)
    if settings.adapter is not None:
        require_file(settings.adapter)
    try:
        str(model_path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The name {str(model_path)!r} is not valid UTF-8; rename the file"
        ) from error
    file, doubt = _look_at(model_path)
    child_settings = _child_settings(model_path, model, settings, file)
    key = Secret(secrets.token_urlsafe(32))
    started_ns = clock.monotonic_ns()
    deadline_ns = started_ns + round(settings.start_timeout_s * units.NS_PER_S)
    process = EngineProcess(log_folder)
    try:
        report = process.converse(child_settings, key, deadline_ns)
        if "url" not in report:
            raise DeploymentError(_start_failure(report, process, model_path, doubt, settings))
        url = Url(f"{report['url']}/v1")
        properties = _await_health(url, key, process, deadline_ns)
        _warm_up(url, model, key, process, deadline_ns, embeddings=settings.embeddings)
    except BaseException:  # Ctrl-C too: nothing is left behind
        process.end()
        raise
    start_ns = clock.monotonic_ns() - started_ns
    extra_body = {"cache_prompt": settings.cache_prompt, **settings.extra_body}
    engine_cpus = tuple(int(cpu) for cpu in report["cpus"]) if report["cpus"] else None
    facts = EngineFacts(
        name="xllamacpp",
        version=version_of(str(report["version"])),
        embedded=True,
        model=model,
        model_path=str(model_path),
        model_file=file,
        threads=child_settings["threads"],
        context_tokens=_slot_context(properties),
        slots=child_settings["slots"],
        gpu_layers=settings.gpu_layers,
        devices=tuple(one_line(str(device)) for device in report["devices"]),
        has_gpu=bool(report["gpu"]),
        engine_cpus=engine_cpus,
        free_cpus=_free_cpus(engine_cpus),
        cache_prompt=bool(extra_body["cache_prompt"]),
        load_s=units.seconds(int(report["load_ns"])),
        start_s=units.seconds(start_ns),
        notes=_notes(child_settings["threads"], settings, bool(report["gpu"]), doubt),
    )
    template = template_reasoning(_template(properties))
    endpoint = Endpoint(
        f"http://{url.authority}/v1",
        model,
        dialect="completions" if settings.raw else "openai",
        key=key,
        manners=Manners(
            switch="none" if settings.raw else template.switch, raw=settings.raw, logprobs=True
        ),
        slots=child_settings["slots"],
        headers=settings.headers,
        extra_body=extra_body,
        timeouts=settings.timeouts,
    )
    return LlamaCppEngine(process, endpoint, facts, template, settings.memory_limit_bytes)


def installed_version() -> str:
    """The version of the embedded engine that a child process can load, as `version_of` tells it.

    Raises:
        DeploymentError: it is not installed or cannot be loaded; the message says what to do.
    """
    try:
        process = subprocess.run(
            [*COMMAND, "--check"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=CHECK_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeploymentError(f"The embedded engine cannot be tried: {error}") from error
    try:
        report = json.loads(process.stdout)
    except ValueError:
        how = ending(process.returncode, starved=False)
        raise DeploymentError(f"The embedded engine {how}") from None
    if "error" in report:
        raise DeploymentError(_import_failure(one_line(str(report["message"])), report["package"]))
    return version_of(str(report["version"]))


def version_of(package: str) -> str:
    """The package's version with llama.cpp's build, which is its last part."""
    build = package.rpartition(".")[2]
    return f"{package} (llama.cpp b{build})" if build.isdigit() else package


def _look_at(model_path: Path) -> tuple[GgufInfo | None, str | None]:
    """The file's header, or why it is not understood: the engine has the last word on that."""
    try:
        return read_gguf(model_path), None
    except UsageError as error:
        return None, str(error)


def _child_settings(
    model_path: Path, model: str, settings: EngineSettings, file: GgufInfo | None
) -> dict[str, Any]:
    own = file.context_length if file is not None else None
    context_tokens = settings.context_tokens
    if context_tokens is None and (settings.needed_tokens or 0) > DEFAULT_CONTEXT_TOKENS:
        # Where the default may be too short, so that a model that has no more says so at once.
        context_tokens = settings.needed_tokens
    if context_tokens is None:
        useful = max(DEFAULT_CONTEXT_TOKENS, settings.useful_tokens or 0)
        context_tokens = min(useful, own or DEFAULT_CONTEXT_TOKENS)
    elif own is not None and context_tokens > own:
        raise UsageError(
            f"A context of {number_of(context_tokens, 'token')} was asked for, but {model_path} "
            f"was made for {own:,} at most; ask for no more, or for none to get the largest "
            "sensible"
        )
    cpus = placement.usable_cpus()
    threads = settings.threads or placement.default_threads(cpus, placement.cpu_quota())
    return {
        "model_path": str(model_path.resolve()),
        "model": model,
        "context_tokens": context_tokens,
        "slots": settings.slots or 1,
        "threads": threads,
        "gpu_layers": -1 if settings.gpu_layers is None else settings.gpu_layers,
        "cache_prompt": settings.cache_prompt,
        "embeddings": settings.embeddings,
        "adapter": None if settings.adapter is None else str(settings.adapter.resolve()),
        "memory_limit_bytes": settings.memory_limit_bytes,
        "cpus": list(placement.engine_cpus(cpus, threads)) if settings.pin else None,
        "parent_pid": os.getpid(),
    }


def _notes(
    threads: int, settings: EngineSettings, has_gpu: bool, doubt: str | None
) -> tuple[str, ...]:
    notes = []
    if doubt is not None:
        notes.append(f"The model's file was not understood here: {doubt}")
    cores = len(placement.usable_cpus())
    if threads >= cores > 1:
        notes.append(
            f"The engine has {threads} threads on {cores} cores, so none is left to the harness: "
            "each of them waits for those that have lost their core"
        )
    if settings.adapter is not None:
        notes.append(f"The LoRA adapter {settings.adapter.name} lies over the model, at scale 1")
    if settings.gpu_layers and not has_gpu:
        asked = number_of(settings.gpu_layers, "layer")
        notes.append(f"There is no GPU: what was asked for it, {asked}, is on the CPU")
    return tuple(notes)


def _await_health(url: Url, key: Secret, process: EngineProcess, deadline_ns: int) -> Any:
    """Waits until the server says that it is ready; its properties, as it reports them."""
    root = Url(f"http://{url.authority}")
    reason = "it never answered"
    while clock.monotonic_ns() < deadline_ns and process.is_alive():
        try:
            answer = ask(root, "/health", timeout_s=PROBE_S)
            if answer.status == 200:
                return ask(root, "/props", key=key, timeout_s=PROBE_S).json()
            reason = answer.complaint()
        except ProbeError as error:
            reason = str(error)
        clock.sleep_s(0.02)
    raise DeploymentError(
        process.with_last_words(f"The engine loaded the model but does not become ready: {reason}.")
    )


def _slot_context(properties: Any) -> int | None:
    try:
        context = properties["default_generation_settings"]["n_ctx"]
    except (KeyError, TypeError):
        return None
    return context if isinstance(context, int) else None


def _template(properties: Any) -> str | None:
    template = properties.get("chat_template") if isinstance(properties, dict) else None
    return template if isinstance(template, str) and template else None


def _warm_up(
    url: Url,
    model: str,
    key: Secret,
    process: EngineProcess,
    deadline_ns: int,
    *,
    embeddings: bool,
) -> None:
    """One request of one token, so that the first measured one does not pay for the start."""
    route = "/embeddings" if embeddings else "/chat/completions"
    body: dict[str, Any] = {"model": model, "input": "Hello"}
    if not embeddings:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 1,
            "temperature": 0,
            "cache_prompt": False,
        }
    left_s = max(1.0, units.seconds(deadline_ns - clock.monotonic_ns()))
    try:
        answer = ask(url, route, key=key, body=body, timeout_s=left_s)
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
                f"The model may not be one for {'embeddings' if embeddings else 'chat'}."
            )
        )


def _start_failure(
    report: dict[str, Any],
    process: EngineProcess,
    model_path: Path,
    doubt: str | None,
    settings: EngineSettings,
) -> str:
    kind = report.get("error")
    message = one_line(str(report.get("message", "")))
    if kind == "timeout":
        return process.with_last_words(
            f"The engine did not load {model_path} within {settings.start_timeout_s:g} s. "
            "Give it longer, or take a smaller model."
        )
    if kind == "import":
        return _import_failure(message, report.get("package"))
    if kind == "load":
        what = doubt or (
            f"The engine cannot load {model_path}; it may be damaged, of a kind that this version "
            "of llama.cpp does not know, or too large for the memory"
        )
        return process.with_last_words(f"{what}.{_held_to(settings.memory_limit_bytes)}")
    how = process.how_it_ended(KILL_S) or "said nothing that is understood."
    how += _held_to(settings.memory_limit_bytes)
    what = f"While it was starting with {model_path}, the engine {how}"
    return process.with_last_words(what if doubt is None else f"{what} {doubt}.")


def _held_to(memory_limit_bytes: int | None) -> str:
    """A sentence about the memory limit; nothing where there was none."""
    if memory_limit_bytes is None:
        return ""
    return (
        f" It was held to {memory_limit_bytes / units.BYTES_PER_MB:,.0f} MB of memory of its own."
    )


def _import_failure(message: str, package: object) -> str:
    if "libgomp" in message:
        return (
            f"The embedded engine needs the system's OpenMP library: {message}. "
            "On Debian and Ubuntu install it with `apt-get install libgomp1`"
        )
    if package == "xllamacpp":
        return "The embedded engine is not installed; install it with `pip install xllamacpp`"
    return (
        f"The embedded engine cannot be loaded: {message}. "
        "Install it again with `pip install --force-reinstall xllamacpp`"
    )


def _free_cpus(engine: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if engine is None:
        return None
    return tuple(cpu for cpu in placement.usable_cpus() if cpu not in engine)
