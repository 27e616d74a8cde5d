"""Where a server's OpenAI routes are, and which models it lists."""

from __future__ import annotations

from typing import NamedTuple

from minionbench.engines.engine import EngineSettings
from minionbench.engines.foreign import listed
from minionbench.engines.ollama_server import full_name
from minionbench.engines.probe import ProbeAnswer, ProbeError
from minionbench.engines.server_kind import Asker
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Secret
from minionbench.transport.http import Url

MAX_MODEL_NAME = 500

_ROUTES = ("/chat/completions", "/completions", "/models")
"""Ends of addresses that users give for the server's own."""


class Server(NamedTuple):
    """A server's address with the path under which its OpenAI routes are, and what it serves."""

    base_url: str
    listing: ProbeAnswer
    """Its answer about its models."""
    models: tuple[str, ...] | None
    """None when the server does not list them."""
    context_tokens: int | None = None
    """Longest context of the first model, where the list tells."""


def asker_for(address: str, key: Secret | None, settings: EngineSettings) -> Asker:
    """Asks at an address as the settings say."""
    return Asker(Url(address), key=key, headers=settings.headers, insecure=settings.insecure)


def find_server(text: str, key: Secret | None, settings: EngineSettings) -> Server:
    """The server at an address, which may have its path or not.

    Raises:
        UsageError: it is no server's address.
        DeploymentError: no such server there; the message says what was tried.
    """
    given = text.strip()
    if "://" not in given:
        given = f"http://{given}"
    given = given.rstrip("/")
    for route in _ROUTES:
        given = given.removesuffix(route)
    if "?" in given or "#" in given:
        raise UsageError(f"A server's address has no ? or #: {given.partition('?')[0]!r}…")
    candidates = [given, f"{given}/v1"] if Url(given).path else [f"{given}/v1", given]
    answers = []
    for base_url in candidates:
        try:
            answer = asker_for(base_url, key, settings).ask("/models")
        except ProbeError as error:
            if error.distrusted:
                raise DeploymentError(f"No prompt goes to {given}: {error}") from error
            raise DeploymentError(
                f"No server answers at {given}: {error}. Start the server, or correct --url"
            ) from error
        server = _server(base_url, answer)
        if server is not None:
            return server
        answers.append(answer)
    refuse_without_key(given, answers, settings)
    if not {answer.status for answer in answers} <= {404, 405, 501}:
        raise DeploymentError(
            f"The server at {given} does not say which models it has "
            f"({_said(answers[0])}); it may be starting, or not be an OpenAI-compatible server"
        )
    return Server(candidates[0], answers[0], None)


def refuse_without_key(address: str, answers: list[ProbeAnswer], settings: EngineSettings) -> None:
    """Raises DeploymentError where one of the answers says that a key is missing or wrong."""
    if not {answer.status for answer in answers} & {401, 403}:
        return
    reference = settings.key_reference
    raise DeploymentError(
        f"The server at {address} wants a key ({answers[0].complaint()}). "
        + (
            "Name the environment variable that holds it with --api-key-env"
            if reference is None
            else f"The one in {reference.where} is not accepted"
        )
    )


def _said(answer: ProbeAnswer) -> str:
    """What an answer that is no list of models says, or what it is instead."""
    if answer.json() is None and answer.body.lstrip()[:1] == b"<":
        return f"HTTP {answer.status} with a page of HTML"
    if 300 <= answer.status < 400:
        return f"HTTP {answer.status}: it sends us elsewhere, which is not followed"
    return answer.complaint()


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
    context = models[0].get("max_model_len") if models else None
    return Server(base_url, answer, names, context if type(context) is int else None)


def choose_model(server: Server, wanted: str | None) -> str:
    """The name at the server of the model that is wanted; None for the only one.

    Raises DeploymentError where it does not serve that one, or more than one.
    """
    models = server.models
    if wanted is None:
        if models is None:
            raise DeploymentError(
                f"The server at {server.base_url} does not list its models; name one with --model"
            )
        if len(models) != 1:
            raise DeploymentError(
                f"The server at {server.base_url} serves "
                f"{listed(models) if models else 'no model'}; name one with --model"
            )
        if len(models[0]) > MAX_MODEL_NAME:
            raise DeploymentError(f"The server at {server.base_url} names its model absurdly")
        return models[0]
    if models is None:
        return wanted
    for name in (wanted, wanted.partition("/")[2]):
        if name and full_name(name) in map(full_name, models):
            return name
    raise DeploymentError(
        f"The server at {server.base_url} does not serve {wanted}; it serves "
        f"{listed(models) if models else 'no model'}"
    )
