"""The port of a wire protocol, and the protocols that this version speaks."""

from __future__ import annotations

from typing import Protocol

from minionbench.errors import UsageError
from minionbench.exchange import Call, Endpoint, Exchange, Reply

NAMES = ("openai", "completions", "responses", "anthropic", "ollama")


class Dialect(Protocol):
    """How one kind of server is spoken to. Pure: no clock, no socket."""

    name: str

    def request(self, call: Call, endpoint: Endpoint) -> bytes:
        """The whole HTTP request of a call."""
        ...

    def reply(self, exchange: Exchange, endpoint: Endpoint) -> Reply:
        """What an exchange says."""
        ...


def dialect(name: str) -> Dialect:
    """The dialect of a name.

    Raises UsageError for a name that this version does not speak.
    """
    if name == "openai":
        from minionbench.wire.openai import OpenAIChat

        return OpenAIChat()
    if name == "completions":
        from minionbench.wire.completions import Completions

        return Completions()
    if name == "responses":
        from minionbench.wire.responses import Responses

        return Responses()
    if name == "anthropic":
        from minionbench.wire.anthropic import Anthropic

        return Anthropic()
    if name == "ollama":
        from minionbench.wire.ollama import Ollama

        return Ollama()
    raise UsageError(f"There is no dialect {name!r} in this version; there are: {', '.join(NAMES)}")
