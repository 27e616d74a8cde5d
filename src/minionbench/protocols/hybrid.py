"""Hybrid: a local model and a remote one that answer together, and several protocols over both."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from minionbench.deployments.deployment import Deployment
from minionbench.deployments.single import Local, Remote
from minionbench.errors import UsageError
from minionbench.exchange import Plan, Request, Side
from minionbench.protocols.catalog import ALL, hybrid_protocol, protocols


class NamedModel(Protocol):
    """A remote model that knows its own name, as `OpenAI("gpt-…")`."""

    @property
    def text(self) -> str:
        """`provider/model`."""
        ...


class OwnProtocol(Protocol):
    """A protocol of one's own: how requests become calls of both sides."""

    def plan(self, request: Request) -> Plan:
        """A fresh generator of the calls that answer a request."""
        ...


class TwoModels:
    """The models of the two sides.

    Each is named as `provider/model`, or is a `Local` or `Remote` that may have a server's URL.
    Both may run on this machine: `reference/q8_0` or a GGUF file is embedded on either side.
    """

    def __init__(
        self,
        local: str | Local | None = None,
        remote: str | Remote | NamedModel | None = None,
        *,
        url: str | None = None,
        remote_url: str | None = None,
    ) -> None:
        """`remote` None takes it from the experiment's `remote_model`.

        Raises UsageError where a side's URL is given twice.
        """
        if isinstance(local, Local):
            if url is not None and local.url is not None:
                raise UsageError("The local server's URL is given twice")
            local = Local(local.model, url=local.url or url)
        elif local is None and url is None:
            local = Local()
        else:
            local = Local(local, url=url)
        self.local = local
        """The model that has the document."""
        self.remote_named: NamedModel | None = None
        """The remote model where it was given as an object of its provider."""
        if not isinstance(remote, str | Remote | None):
            self.remote_named = remote
            remote = remote.text
        if isinstance(remote, Remote):
            if remote_url is not None and remote.url is not None:
                raise UsageError("The remote server's URL is given twice")
            remote = Remote(remote.model, url=remote.url or remote_url)
        else:
            remote = Remote(remote, url=remote_url)
        self.remote = remote
        """The model that the protocol asks for plans and decisions."""


class Hybrid(TwoModels):
    """A protocol over a local model and a remote one.

    As `Hybrid("ollama/llama3.2", "openai/gpt-…", protocol="minions", max_rounds=2)`; the further
    settings are those of `Minion` or `MinionS`. A protocol of one's own is given as an object.
    """

    name = "hybrid"
    sides: tuple[Side, ...] = ("local", "remote")
    asks_once = False

    def __init__(
        self,
        local: str | Local | None = None,
        remote: str | Remote | NamedModel | None = None,
        protocol: str | OwnProtocol = "minion",
        *,
        url: str | None = None,
        remote_url: str | None = None,
        **settings: Any,
    ) -> None:
        """Raises UsageError for a protocol that there is not, or a setting that it has not."""
        super().__init__(local, remote, url=url, remote_url=remote_url)
        if not isinstance(protocol, str) and settings:
            raise UsageError("A protocol of your own has its settings already")
        self.follows: OwnProtocol = (
            hybrid_protocol(protocol, settings) if isinstance(protocol, str) else protocol
        )
        """The protocol itself."""

    @property
    def protocol(self) -> str:
        """The protocol's name."""
        named = getattr(self.follows, "protocol", None)
        return named if isinstance(named, str) else type(self.follows).__name__

    @property
    def settings(self) -> dict[str, Any]:
        """What a document has to say of how the protocol ran."""
        return {"protocol": self.protocol, **(_told(self.follows) or {})}

    @property
    def prepares(self) -> bool:
        """The protocol's."""
        return bool(getattr(self.follows, "prepares", False))

    def within(self, contexts: Mapping[Side, int | None]) -> Hybrid:
        """The same, with a protocol that heeds the contexts of the models that serve."""
        heeding = getattr(self.follows, "within", None)
        if heeding is None:
            return self
        own = copy.copy(self)
        own.follows = heeding(contexts)
        return own

    def plan(self, request: Request) -> Plan:
        """The protocol's plan."""
        return self.follows.plan(request)

    def __repr__(self) -> str:
        return f"Hybrid({self.local!r}, {self.remote!r}, protocol={self.protocol!r})"


class Protocols(TwoModels):
    """Several protocols over the same two models, to be measured on the same items.

    As `Protocols("ollama/llama3.2", "openai/gpt-…", ("local", "remote", "minion"))`. Each protocol
    takes those of the settings that it knows.
    """

    name = "hybrid"

    def __init__(
        self,
        local: str | Local | None = None,
        remote: str | Remote | NamedModel | None = None,
        protocols_: Sequence[str] = ALL,
        *,
        url: str | None = None,
        remote_url: str | None = None,
        **settings: Any,
    ) -> None:
        """Raises UsageError for a protocol that there is not, or a setting that none of them
        takes."""
        super().__init__(local, remote, url=url, remote_url=remote_url)
        self.names = tuple(protocols_)
        """The protocols' names, in the order of the table."""
        self.members: tuple[Deployment, ...] = protocols(
            self.names, self.local, self.remote, settings
        )
        """The deployments that are measured, in the same order."""

    def of_one(self, name: str) -> Protocols:
        """The same models with one of the protocols alone."""
        one = copy.copy(self)
        one.names = (name,)
        one.members = (self.members[self.names.index(name)],)
        return one

    def __repr__(self) -> str:
        return f"Protocols({self.local!r}, {self.remote!r}, {self.names!r})"


def _told(protocol: OwnProtocol) -> dict[str, Any] | None:
    settings = getattr(protocol, "settings", None)
    return dict(settings) if isinstance(settings, dict) else None
