"""Deployments that ask one model once: on the user's own machine, or at somebody else's."""

from __future__ import annotations

from minionbench.deployments.deployment import ask_once
from minionbench.exchange import Plan, Request, Side


class Local:
    """A model on the user's own machine or network: embedded, Ollama, or any server by URL.

    `model` is `provider/model`; a bare name is a model of Ollama, as in `Local("llama3.2")`. With
    a server's `url` it is the model's name there, or None where the server is to say it.
    """

    name = "local"
    sides: tuple[Side, ...] = ("local",)
    asks_once = True
    prepares = False

    def __init__(self, model: str | None = "reference/q8_0", *, url: str | None = None) -> None:
        self.model = model
        self.url = url

    def __repr__(self) -> str:
        return f"Local({self.model!r}{'' if self.url is None else f', url={self.url!r}'})"

    def plan(self, request: Request) -> Plan:
        """Asks once."""
        return ask_once("local", request)


class Remote:
    """A model on somebody else's machine: a provider's, or at any OpenAI-compatible server by URL.

    `model` is `provider/model`; None takes it from the experiment's `remote_model`. With a
    server's `url` and a model that names no provider, it is the model's name there.
    """

    name = "remote"
    sides: tuple[Side, ...] = ("remote",)
    asks_once = True
    prepares = False

    def __init__(self, model: str | None = None, *, url: str | None = None) -> None:
        self.model = model
        self.url = url

    def __repr__(self) -> str:
        shown = [repr(self.model)] if self.model is not None else []
        shown += [f"url={self.url!r}"] if self.url is not None else []
        return f"Remote({', '.join(shown)})"

    def plan(self, request: Request) -> Plan:
        """Asks once."""
        return ask_once("remote", request)
