"""Servers that somebody else started: found, asked what they serve, and used as they are."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from minionbench.engines.engine import EngineFacts, EngineSettings
from minionbench.engines.foreign import one_line
from minionbench.engines.probe import ProbeAnswer, ProbeError, ask
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Endpoint, Secret
from minionbench.transport.http import Url

PROBE_S = 5.0
"""For one question to a server."""
OLLAMA_PORT = 11_434
MODELS_IN_MESSAGE = 10
MAX_MODEL_NAME = 500

_NAMES = {"llamacpp": "llama.cpp", "vllm": "vllm", "sglang": "sglang", "library": "ollama"}
"""`owned_by` in a server's list of models to the engine's name."""
_COMPLETIONS = "/chat/completions"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Server(NamedTuple):
    """A server's address with the path under which its OpenAI routes are, and what it serves."""

    url: Url
    base_url: str
    models: tuple[str, ...] | None
    """None when the server does not list them."""
    owner: str | None
    context_tokens: int | None
    """Longest context of the first model, where the list tells."""


class AttachedEngine:
    """A server that was running before, and will be afterwards."""

    def __init__(self, endpoint: Endpoint, facts: EngineFacts) -> None:
        self._endpoint = endpoint
        self._facts = facts

    @property
    def endpoint(self) -> Endpoint:
        """Where and how to send calls."""
        return self._endpoint

    @property
    def facts(self) -> EngineFacts:
        """What the run document says of the engine."""
        return self._facts

    @property
    def name(self) -> str:
        """`facts.name`."""
        return self._facts.name

    @property
    def version(self) -> str | None:
        """`facts.version`."""
        return self._facts.version

    @property
    def pid(self) -> int | None:
        """None: the process is not ours, and may be on another machine."""
        return None

    @property
    def log_path(self) -> Path | None:
        """None: the log is with whoever started the server."""
        return None

    def ended(self) -> str | None:
        """None while connections are accepted (it opens one to find out); else one sentence."""
        url = Url(self._endpoint.base_url)
        try:
            socket.create_connection((url.host, url.port), PROBE_S).close()
        except OSError as error:
            return f"The server at {self._endpoint.base_url} is gone: {one_line(str(error))}."
        return None

    def stop(self) -> None:
        """Does nothing: the server is somebody else's."""


def attach(url: str, model: str | None, settings: EngineSettings) -> AttachedEngine:
    """Finds an OpenAI-compatible server and the model to ask there.

    `url` is its address with or without `/v1`. Without a model, the server has to serve exactly
    one. A model `provider/name` that the server does not list is looked for as `name` as well.

    Raises:
        UsageError: `url` is no server's address.
        DeploymentError: no such server, model or key; the message says what was tried.
    """
    key = _key(settings.api_key_env)
    server = _find(url, key, settings.api_key_env)
    chosen = _choose_model(server, model)
    name = _NAMES.get(server.owner or "", "openai-compatible")
    return _attached(server, chosen, name, key, settings)


def attach_ollama(
    model: str, settings: EngineSettings, environment: Mapping[str, str] = os.environ
) -> AttachedEngine:
    """Finds the Ollama server that `OLLAMA_HOST` names, and checks that it has the model.

    Raises:
        DeploymentError: no server, or no such model; the message has the command that helps.
    """
    server = find_ollama(environment, model, settings.api_key_env)
    address = server.base_url.removesuffix("/v1")
    if server.models is None or _full_name(model) not in map(_full_name, server.models):
        has = _listed(server.models) if server.models else "no models"
        raise DeploymentError(
            f"The Ollama server at {address} does not have {model}; it has {has}. "
            f"Get it with `ollama pull {model}`"
        )
    note = (
        "Ollama cuts a prompt longer than its own context without saying so; its context is set "
        "with OLLAMA_CONTEXT_LENGTH where the server is started"
    )
    return _attached(server, model, "ollama", _key(settings.api_key_env), settings, note)


def find_ollama(
    environment: Mapping[str, str], model: str = "llama3.2", key_variable: str | None = None
) -> Server:
    """The Ollama server that `OLLAMA_HOST` names, and the models that it has.

    Raises:
        DeploymentError: there is none; the message says how to start it and to get `model`.
    """
    address = ollama_address(environment)
    try:
        return _find(address, _key(key_variable), key_variable)
    except _NoAnswer as error:
        raise DeploymentError(
            f"No Ollama server answers at {address}: {error.reason}. "
            f"Start it with `ollama serve`, then `ollama pull {model}`"
        ) from error


def ollama_address(environment: Mapping[str, str]) -> str:
    """The address of the Ollama server, from `OLLAMA_HOST` in the forms that Ollama itself takes.

    `host`, `host:port`, `:port`, `http://host:port/path`; an address that means "every interface"
    to the server is the loopback to us. Without a scheme the port is 11434 unless told.

    Raises:
        DeploymentError: the variable's value is no address.

    Source: ollama/ollama, envconfig/config.go.
    """
    value = environment.get("OLLAMA_HOST", "").strip().strip("\"'").strip()
    scheme, separator, rest = value.rpartition("://")
    if not separator:
        scheme, default_port = "http", OLLAMA_PORT
    else:
        default_port = {"http": 80, "https": 443}.get(scheme, OLLAMA_PORT)
    authority, _, path = rest.partition("/")
    if authority.count(":") > 1 and not authority.startswith("["):
        authority = f"[{authority}]"  # a bare IPv6 address
    if authority.startswith(":"):
        authority = f"127.0.0.1{authority}"
    try:
        url = Url(f"{scheme}://{authority or '127.0.0.1'}")
    except UsageError as error:
        raise DeploymentError(f"OLLAMA_HOST is no server's address: {error}") from error
    host = url.host
    try:
        if ipaddress.ip_address(host).is_unspecified:
            host = "127.0.0.1" if ":" not in host else "::1"
    except ValueError:
        pass  # a name, not an address
    host = f"[{host}]" if ":" in host else host
    port = url.port if ":" in authority.rpartition("]")[2] else default_port
    return f"{scheme}://{host}:{port}{'/' + path.rstrip('/') if path.strip('/') else ''}"


class _NoAnswer(DeploymentError):
    """Nothing that speaks HTTP was reached."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def require_plain_http(url: Url, text: str) -> None:
    """Raises DeploymentError for an https address: the measured path has no TLS yet."""
    if url.tls:
        raise DeploymentError(
            f"{text} needs TLS, which this version does not speak yet; it will with remote "
            "deployments. Use an http:// address, for example of a server on this machine"
        )


def _key(variable: str | None) -> Secret | None:
    if variable is None:
        return None
    if _VARIABLE.fullmatch(variable) is None:
        # What was given is not repeated: it may be the key itself.
        raise UsageError(
            "--api-key-env takes the NAME of the environment variable that holds the key, not the "
            "key; a name has letters, digits and _ only"
        )
    value = os.environ.get(variable, "").strip()
    if not value:
        raise DeploymentError(
            f"The environment variable {variable}, which should hold the server's key, is "
            f"{'empty' if variable in os.environ else 'not set'}"
        )
    if not value.isascii() or not value.isprintable():
        raise DeploymentError(
            f"The environment variable {variable} holds characters that no key has"
        )
    return Secret(value)


def _find(text: str, key: Secret | None, key_variable: str | None) -> Server:
    given = text.strip()
    if "://" not in given:
        given = f"http://{given}"
    given = given.rstrip("/").removesuffix(_COMPLETIONS)
    if "?" in given or "#" in given:
        raise UsageError(f"A server's address has no ? or #: {given.partition('?')[0]!r}…")
    url = Url(given)
    require_plain_http(url, given)
    candidates = [given, f"{given}/v1"] if url.path else [f"{given}/v1", given]
    answers = []
    for base_url in candidates:
        try:
            answer = ask(Url(base_url), "/models", key=key, timeout_s=PROBE_S)
        except ProbeError as error:
            raise _NoAnswer(
                f"No server answers at {given}: {error}. Start the server, or correct --url",
                str(error),
            ) from error
        server = _server(base_url, answer)
        if server is not None:
            return server
        answers.append((base_url, answer))
    return _without_list(given, answers, key_variable)


def _without_list(
    given: str, answers: list[tuple[str, ProbeAnswer]], key_variable: str | None
) -> Server:
    """A server that does not list its models, or the reason why it cannot be used."""
    statuses = {answer.status for _, answer in answers}
    complaint = answers[0][1].complaint()
    if statuses & {401, 403}:
        raise DeploymentError(
            f"The server at {given} wants a key ({complaint}). "
            + (
                "Name the environment variable that holds it with --api-key-env"
                if key_variable is None
                else f"The one in {key_variable} is not accepted"
            )
        )
    if not statuses <= {404, 405, 501}:
        raise DeploymentError(
            f"The server at {given} does not say which models it has ({complaint}); "
            "it may be starting, or not be an OpenAI-compatible server"
        )
    base_url = answers[0][0]
    return Server(Url(base_url), base_url, None, None, None)


def _server(base_url: str, answer: ProbeAnswer) -> Server | None:
    """The server, when its answer is a list of models as OpenAI's is."""
    document = answer.json()
    entries = document.get("data") if isinstance(document, dict) else None
    if answer.status != 200 or not (isinstance(entries, list) or entries is None):
        return None
    if entries is None and not (isinstance(document, dict) and document.get("object") == "list"):
        return None  # Ollama writes `"data": null` when it has no model
    models = [entry for entry in entries or () if isinstance(entry, dict)]
    names = tuple(
        entry["id"] for entry in models if isinstance(entry.get("id"), str) and entry["id"]
    )
    owner = models[0].get("owned_by") if models else None
    context = models[0].get("max_model_len") if models else None
    return Server(
        Url(base_url),
        base_url,
        names,
        owner if isinstance(owner, str) else None,
        context if isinstance(context, int) else None,
    )


def _choose_model(server: Server, wanted: str | None) -> str:
    models = server.models
    if wanted is None:
        if models is None:
            raise DeploymentError(
                f"The server at {server.base_url} does not list its models; name one with --model"
            )
        if len(models) != 1:
            raise DeploymentError(
                f"The server at {server.base_url} serves "
                f"{_listed(models) if models else 'no model'}; name one with --model"
            )
        if len(models[0]) > MAX_MODEL_NAME:
            raise DeploymentError(f"The server at {server.base_url} names its model absurdly")
        return models[0]
    if models is None:
        return wanted
    for name in (wanted, wanted.partition("/")[2]):
        if name and _full_name(name) in map(_full_name, models):
            return name
    raise DeploymentError(
        f"The server at {server.base_url} does not serve {wanted}; it serves "
        f"{_listed(models) if models else 'no model'}"
    )


def _full_name(model: str) -> str:
    """A name with its tag, as Ollama completes it: `llama3.2` is `llama3.2:latest`."""
    return model if ":" in model else f"{model}:latest"


def _listed(models: tuple[str, ...]) -> str:
    shown = ", ".join(one_line(model, 80) for model in models[:MODELS_IN_MESSAGE])
    more = len(models) - MODELS_IN_MESSAGE
    return shown if more <= 0 else f"{shown} and {more} more"


def _attached(
    server: Server,
    model: str,
    name: str,
    key: Secret | None,
    settings: EngineSettings,
    *notes: str,
) -> AttachedEngine:
    root = Url(server.base_url.removesuffix("/v1"))
    version, context_tokens = _version(root, name, key)
    # Only llama.cpp's server is known to take it; another may refuse a field that it does not know.
    cold = {"cache_prompt": settings.cache_prompt} if name == "llama.cpp" else {}
    asked = {
        "threads": settings.threads,
        "context": settings.context_tokens,
        "GPU layers": settings.gpu_layers,
    }
    ignored = [what for what, value in asked.items() if value is not None]
    if ignored:
        notes += (f"Not applied, since the server was started elsewhere: {', '.join(ignored)}",)
    if server.models is None:
        notes += ("The server does not list its models: the name is as given",)
    facts = EngineFacts(
        name=name,
        version=version,
        embedded=False,
        model=model,
        context_tokens=context_tokens or server.context_tokens,
        slots=settings.slots,
        cache_prompt=settings.cache_prompt if cold else None,
        notes=notes,
    )
    endpoint = Endpoint(
        server.base_url,
        model,
        key=key,
        slots=settings.slots,
        headers=settings.headers,
        extra_body={**cold, **settings.extra_body},
        timeouts=settings.timeouts,
    )
    return AttachedEngine(endpoint, facts)


def _version(root: Url, name: str, key: Secret | None) -> tuple[str | None, int | None]:
    """The server's version and the context of a slot, each None where it does not say."""
    route = {"ollama": "/api/version", "vllm": "/version", "llama.cpp": "/props"}.get(name)
    if route is None:
        return None, None
    try:
        document: Any = ask(root, route, key=key, timeout_s=PROBE_S).json()
    except ProbeError:
        return None, None
    if not isinstance(document, dict):
        return None, None
    version = document.get("build_info" if name == "llama.cpp" else "version")
    generation = document.get("default_generation_settings")
    context = generation.get("n_ctx") if isinstance(generation, dict) else None
    return (
        one_line(version, 100) if isinstance(version, str) and version else None,
        context if isinstance(context, int) else None,
    )
