"""What an Ollama server is asked: what it has and holds, what a model can do; and pulling a model.

Source: ollama/ollama, docs/api.md, api/types.go, envconfig/config.go.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from minionbench import units
from minionbench.engines.foreign import one_line
from minionbench.engines.probe import ProbeAnswer, ProbeError
from minionbench.engines.server_kind import Asker
from minionbench.errors import DeploymentError, UsageError
from minionbench.transport.http import Url

OLLAMA_PORT = 11_434
PULL_IDLE_S = 120.0
"""Silence within a pull: digests of large files are checked without a word."""
PULL_STEP_PERCENT = 5
NO_LEVELS = ("gptoss", "gpt-oss")
"""Families whose reasoning has levels and no end, as servers from before `thinking.values` do not
say."""
OLD_LEVELS = ("low", "medium", "high")


class Shown(NamedTuple):
    """What `/api/show` says of a model; None or nothing where it does not."""

    family: str | None
    quantization: str | None
    parameter_count: int | None
    context_tokens: int | None
    """Longest that the model was made for."""
    capabilities: tuple[str, ...] | None
    """None at servers too old to list them."""
    thinking: tuple[bool | str, ...] | None
    """Values that the switch for reasoning takes; None at servers that do not list them."""
    thinking_default: bool | str | None

    @property
    def can_reason(self) -> bool:
        """Whether reasoning can be asked for."""
        if self.thinking is not None:
            return any(value is not False for value in self.thinking)
        return "thinking" in (self.capabilities or ())

    @property
    def levels(self) -> tuple[str, ...]:
        """Words for how hard to reason; none where it is only on or off."""
        if self.thinking is not None:
            return tuple(value for value in self.thinking if isinstance(value, str))
        return OLD_LEVELS if self.can_reason and self.family in NO_LEVELS else ()

    @property
    def has_on(self) -> bool:
        """Whether reasoning can be asked for without a level."""
        if self.thinking is not None:
            return True in self.thinking
        return self.can_reason and not self.levels

    @property
    def has_off(self) -> bool:
        """Whether reasoning can be switched off."""
        if self.thinking is not None:
            return False in self.thinking
        return not self.levels


class Loaded(NamedTuple):
    """A model in memory, as `/api/ps` tells."""

    size_bytes: int | None
    vram_bytes: int | None
    context_tokens: int | None


def installed_models(environment: Mapping[str, str]) -> tuple[str, dict[str, int | None]]:
    """The version of the Ollama server that `OLLAMA_HOST` names, and its models with their bytes.

    Raises:
        DeploymentError: there is no such server; the message says how to start it.
    """
    asker = Asker(Url(ollama_address(environment)))
    return version(asker), installed(asker)


def ollama_address(environment: Mapping[str, str]) -> str:
    """The address of the Ollama server, from `OLLAMA_HOST` in the forms that Ollama itself takes.

    `host`, `host:port`, `:port`, `http://host:port/path`; an address that means "every interface"
    to the server is the loopback to us. Without a scheme the port is 11434 unless told.

    Raises:
        DeploymentError: the variable's value is no address.
    """
    value = environment.get("OLLAMA_HOST", "").strip().strip("\"'").strip()
    scheme, separator, rest = value.rpartition("://")
    if not separator:
        scheme, default_port = "http", OLLAMA_PORT
    else:
        default_port = {"http": 80, "https": 443}.get(scheme, OLLAMA_PORT)
    authority, _, path = rest.partition("/")
    if authority.count(":") > 1 and not authority.startswith("[") and "@" not in authority:
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


def full_name(model: str) -> str:
    """A name with its tag, as Ollama completes it: `llama3.2` is `llama3.2:latest`."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def model_at(model: str, names: Mapping[str, object]) -> str | None:
    """A model's name as a server lists it; None where it is not listed."""
    return next((name for name in names if full_name(name) == full_name(model)), None)


def address(asker: Asker) -> str:
    """The server's address, as a message names it."""
    root = asker.root
    return f"{'https' if root.tls else 'http'}://{root.authority}{root.path}"


def version(asker: Asker, model: str = "llama3.2") -> str:
    """The server's version.

    Raises DeploymentError when none answers; the message says how to start it and to get `model`.
    """
    try:
        answer = asker.ask("/api/version")
    except ProbeError as error:
        if error.distrusted:
            raise DeploymentError(f"No prompt goes to {address(asker)}: {error}") from error
        raise DeploymentError(
            f"No Ollama server answers at {address(asker)}: {error}. "
            f"Start it with `ollama serve`, then `ollama pull {model}`"
        ) from error
    if answer.status in (401, 403):
        raise DeploymentError(
            f"The server at {address(asker)} wants a key, or another ({answer.complaint()}); name "
            "the environment variable that holds it with --api-key-env"
        )
    if answer.status in (429, *range(500, 600)):
        raise DeploymentError(
            f"The server at {address(asker)} does not serve at present ({answer.complaint()}); "
            "start Ollama anew, or wait until it, or the proxy before it, is ready"
        )
    said = json_object(answer).get("version")
    if answer.status != 200 or not isinstance(said, str):
        raise DeploymentError(
            f"What answers at {address(asker)} is not Ollama ({answer.complaint()}); say with "
            "OLLAMA_HOST where Ollama is"
        )
    return one_line(said, 100)


def installed(asker: Asker) -> dict[str, int | None]:
    """The models that the server has, with the bytes of each."""
    entries = json_object(asked(asker, "/api/tags", "say which models it has")).get("models")
    found: dict[str, int | None] = {}
    for entry in entries if isinstance(entries, list) else ():
        name = entry.get("name") or entry.get("model") if isinstance(entry, dict) else None
        if isinstance(name, str) and name:
            found[name] = count_of(entry.get("size"))
    return found


def show(asker: Asker, model: str) -> Shown:
    """What the server says of a model that it has.

    Raises DeploymentError when it says nothing.
    """
    document = json_object(asked(asker, "/api/show", f"describe {model}", {"model": model}))
    details = document.get("details")
    details = details if isinstance(details, dict) else {}
    info = document.get("model_info")
    info = info if isinstance(info, dict) else {}
    capabilities = document.get("capabilities")
    thinking = document.get("thinking")
    values = thinking.get("values") if isinstance(thinking, dict) else None
    default = thinking.get("default") if isinstance(thinking, dict) else None
    quantization = details.get("quantization_level")
    architecture = info.get("general.architecture")
    return Shown(
        family=_text(details.get("family")),
        # Ollama writes "unknown" where the file does not tell.
        quantization=_text(quantization) if quantization != "unknown" else None,
        parameter_count=count_of(info.get("general.parameter_count")),
        context_tokens=count_of(info.get(f"{architecture}.context_length")),
        capabilities=tuple(one_line(str(name), 40) for name in capabilities)
        if isinstance(capabilities, list)
        else None,
        thinking=tuple(value for value in values if isinstance(value, bool | str))
        if isinstance(values, list)
        else None,
        thinking_default=default if isinstance(default, bool | str) else None,
    )


def loaded(asker: Asker, model: str) -> Loaded | None:
    """The model in memory; None when it is not there, or the server does not say."""
    try:
        document = json_object(asker.ask("/api/ps"))
    except ProbeError:
        return None
    entries = document.get("models")
    for entry in entries if isinstance(entries, list) else ():
        name = entry.get("name") or entry.get("model") if isinstance(entry, dict) else None
        if isinstance(name, str) and full_name(name) == full_name(model):
            return Loaded(
                count_of(entry.get("size")),
                count_of(entry.get("size_vram")),
                count_of(entry.get("context_length")),
            )
    return None


def pull(asker: Asker, model: str, say: Callable[[str], None]) -> None:
    """Has the server fetch the model, saying how far it is.

    Raises DeploymentError when it cannot.
    """
    failed = f"The Ollama server at {address(asker)} could not pull {model}"
    said = ""
    succeeded = False
    body = {"model": model, "stream": True}
    try:
        for line in asker.lines("/api/pull", body, idle_s=PULL_IDLE_S):
            try:
                report = json.loads(line)
            except ValueError:
                report = None
            if not isinstance(report, dict):
                raise DeploymentError(f"{failed}: it answers {one_line(line[:200].decode())!r}")
            if report.get("error") is not None:
                raise DeploymentError(f"{failed}: {one_line(str(report['error']))}")
            succeeded = report.get("status") == "success"
            text = f"pulling {model}: {_progress(report)}"
            if text != said:
                say(text)
                said = text
    except ProbeError as error:
        raise DeploymentError(f"{failed}: {error}. What it has fetched is kept") from error
    if not succeeded:
        raise DeploymentError(f"{failed}: it ended without saying that it succeeded")


def _progress(report: Mapping[str, Any]) -> str:
    status = one_line(str(report.get("status", "")), 80)
    total, completed = count_of(report.get("total")), count_of(report.get("completed"))
    if not total or completed is None:
        return status
    percent = min(100, 100 * completed // total) // PULL_STEP_PERCENT * PULL_STEP_PERCENT
    return f"{percent} % of {total / units.BYTES_PER_MB:,.0f} MB"


def asked(
    asker: Asker, target: str, purpose: str, body: Any = None, timeout_s: float | None = None
) -> ProbeAnswer:
    """An answer of status 200.

    Raises DeploymentError, with the server's own words, when it is another.
    """
    try:
        answer = asker.ask(target, body, timeout_s=timeout_s)
    except ProbeError as error:
        raise DeploymentError(
            f"The Ollama server at {address(asker)} did not {purpose}: {error}"
        ) from error
    if answer.status != 200 or json_object(answer).get("error") is not None:
        raise DeploymentError(
            f"The Ollama server at {address(asker)} did not {purpose}: {answer.complaint()}"
        )
    return answer


def json_object(answer: ProbeAnswer) -> dict[str, Any]:
    """The JSON object of an answer; an empty one where it is none."""
    document = answer.json()
    return document if isinstance(document, dict) else {}


def _text(value: object) -> str | None:
    return one_line(value, 100) if isinstance(value, str) and value else None


def count_of(value: object) -> int | None:
    """A count from foreign JSON; None for what is none."""
    return value if type(value) is int and value >= 0 else None
