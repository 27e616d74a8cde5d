"""Documents of older forms, brought to the present one step by step."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from minionbench.names import REGISTRY_METRICS
from minionbench.schema.complaint import schema_error

SCHEMA_VERSION: Final = 1
"""Form of the documents that this program writes."""

Document = dict[str, Any]


def migrated(document: bytes | str, source: str | None = None) -> str | None:
    """An older document in the present form; None when the document is not an older one.

    `source` is the file to name in messages. Raises SchemaError when the document is of a newer
    form than this program knows, or lies about its age.
    """
    try:
        tree = json.loads(document)
    except (ValueError, RecursionError):
        return None
    if not isinstance(tree, dict):
        return None
    version = tree.get("schema_version", _PROTOTYPE)
    if isinstance(version, bool) or not isinstance(version, int):
        return None
    if version > SCHEMA_VERSION:
        message = (
            f"the document is of form {version}, and this minionbench knows forms up to "
            f"{SCHEMA_VERSION}; a newer minionbench reads it"
        )
        raise schema_error(message, "schema_version", source)
    if version == SCHEMA_VERSION or version not in _STEPS:
        return None
    try:
        while version < SCHEMA_VERSION:
            tree = _STEPS[version](tree)
            version += 1
    except _TooYoung as error:
        message = (
            f"this field is missing (the document holds {error}, so it is not of the first form)"
        )
        raise schema_error(message, "schema_version", source) from error
    return json.dumps(tree)


class _TooYoung(Exception):
    """A document holds a field that its form did not have; its argument is the field's path."""


def _from_registry_prototype(old: Document) -> Document:
    """Adds to a document of the registry benchmark's prototype what it could not know.

    Only what is absent is added, as "unknown"; what is there is kept, and judged by the schema.
    The prototype let a skipped metric say why in `error_message`, or not at all.
    """
    new = {"schema_version": 1, **old}
    if isinstance(metadata := old.get("metadata"), dict):
        new["metadata"] = _with(
            metadata,
            "metadata",
            program_version=None,
            seed=None,
            finished=None,
            notes=["Written by the registry benchmark's prototype, and migrated when read."],
        )
    if isinstance(system := old.get("system_info"), dict):
        new["system_info"] = {
            "platform_version": None,
            **_with(
                system,
                "system_info",
                kernel=None,
                governor=None,
                virtualisation=None,
                container=None,
                usable_cpus=None,
                cgroup_cpu_limit=None,
                cgroup_memory_limit_gb=None,
                load_average_1m=None,
                packages={},
                stamp_source=None,
            ),
        }
    if isinstance(candidates := old.get("candidates"), list):
        new["candidates"] = [
            _prototype_candidate(candidate, f"candidates.{index}")
            if isinstance(candidate, dict)
            else candidate
            for index, candidate in enumerate(candidates)
        ]
    return new


def _prototype_candidate(old: Document, path: str) -> Document:
    new = {"parameter_count": None, **_with(old, path, factors=None, cells=[], notes=[])}
    if isinstance(metrics := old.get("metrics"), dict):
        new["metrics"] = {
            **dict.fromkeys(REGISTRY_METRICS, _ABSENT_METRIC),
            **{name: _prototype_metric(metric) for name, metric in metrics.items()},
        }
    return new


_ABSENT_METRIC = {
    "status": "skipped",
    "value": None,
    "error_message": None,
    "metadata": {"reason": "the document does not hold this metric"},
}


def _prototype_metric(old: Any) -> Any:
    if not isinstance(old, dict):
        return old
    new = {"value": None, "error_message": None, "metadata": {}, **old}
    metadata = new["metadata"]
    if new.get("status") == "skipped" and isinstance(metadata, dict):
        reason = metadata.get("reason") or new["error_message"] or "no reason was recorded"
        new["metadata"] = {**metadata, "reason": reason}
        new["error_message"] = None
    if new.get("status") == "error" and not new["error_message"]:
        new["error_message"] = "no message was recorded"
    return new


def _with(old: Document, path: str, **unknown: Any) -> Document:
    """The object with the fields that its form did not have."""
    for field in unknown:
        if field in old:
            raise _TooYoung(f"{path}.{field}")
    return {**old, **unknown}


_PROTOTYPE = 0
"""What a document without `schema_version` is counted as."""

_STEPS: dict[int, Callable[[Document], Document]] = {_PROTOTYPE: _from_registry_prototype}
"""For each older form, the step to the next."""
