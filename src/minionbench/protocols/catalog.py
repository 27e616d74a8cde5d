"""The protocols by their names, and the settings that each of them takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from minionbench.deployments.deployment import Deployment
from minionbench.deployments.single import Local, Remote
from minionbench.errors import UsageError
from minionbench.protocols.minion import Minion
from minionbench.protocols.minions import MinionS
from minionbench.protocols.retrieval_augmented import RetrievalAugmented

HYBRID: dict[str, type[Minion] | type[MinionS]] = {"minion": Minion, "minions": MinionS}
"""Protocols in which two models answer together."""
LOCAL, REMOTE, RAG = "local", "remote", "rag"
ALL = (LOCAL, REMOTE, *HYBRID, RAG)
"""The hybrid protocols and what they are held against, as the command line names them."""


def hybrid_protocol(name: str, settings: Mapping[str, Any]) -> Minion | MinionS:
    """A hybrid protocol with its settings.

    Raises UsageError for a protocol that there is not, or a setting that it does not take.
    """
    if name not in HYBRID:
        raise UsageError(f"There is no hybrid protocol {name!r}; there are {', '.join(HYBRID)}")
    _refuse_unknown([name], [HYBRID[name]], settings)
    return HYBRID[name](**settings)


def protocols(
    names: Iterable[str], local: Local, remote: Remote, settings: Mapping[str, Any]
) -> tuple[Deployment, ...]:
    """The protocols of these names, in their order; each takes those of the settings it knows.

    Raises UsageError for a name that there is not or that stands there twice, or a setting that
    none of them takes.
    """
    chosen = tuple(names)
    if not chosen:
        raise UsageError(f"No protocol is named; there are {', '.join(ALL)}")
    for name in chosen:
        if name not in ALL:
            raise UsageError(f"There is no protocol {name!r}; there are {', '.join(ALL)}")
        if chosen.count(name) > 1:
            raise UsageError(f"The protocol {name} is named twice")
    kinds: dict[str, Any] = {**HYBRID, RAG: RetrievalAugmented}
    taking = [kinds[name] for name in chosen if name in kinds]
    _refuse_unknown(chosen, taking, settings)
    ready: dict[str, Deployment] = {LOCAL: local, REMOTE: remote}
    for name in chosen:
        if name in kinds:
            kind = kinds[name]
            own = {key: value for key, value in settings.items() if key in _settings_of(kind)}
            ready[name] = kind(**own)
    return tuple(ready[name] for name in chosen)


def protocol_name(deployment: Deployment) -> str | None:
    """What a document calls the way in which an answer comes about; None where the item is asked
    as it stands."""
    name = getattr(deployment, "protocol", None)
    return name if isinstance(name, str) else None


def told(deployment: Deployment) -> dict[str, Any] | None:
    """What a protocol was told, as plain values; None for a deployment that is none."""
    settings = getattr(deployment, "settings", None)
    return dict(settings) if isinstance(settings, Mapping) else None


def _settings_of(kind: Any) -> list[str]:
    return [name for name in inspect.signature(kind).parameters if name != "self"]


def _refuse_unknown(
    names: Iterable[str], kinds: Iterable[Any], settings: Mapping[str, Any]
) -> None:
    known = sorted({name for kind in kinds for name in _settings_of(kind)})
    for name in settings:
        if name not in known:
            raise UsageError(
                f"There is no setting {name} of {', '.join(names)}; there "
                f"{'are ' + ', '.join(known) if known else 'is none'}"
            )
