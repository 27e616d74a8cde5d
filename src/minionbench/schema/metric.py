"""A metric's result: a value, or the reason why there is none."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Self

from msgspec import Meta

from minionbench.names import REGISTRY_METRICS
from minionbench.schema.part import Part, PlainObject
from minionbench.schema.plain import EMPTY, PartError, check_depth


class MetricStatus(StrEnum):
    """Whether a metric has a value."""

    OK = "ok"
    SKIPPED = "skipped"
    """Not measured, for a reason that is no failure."""
    ERROR = "error"
    """Meant to be measured, and failed."""


class MetricResult(Part):
    """One metric of a candidate or a cell.

    `ok` has a finite value and no error message; `skipped` has no value and says why in
    `metadata["reason"]`; `error` has no value and an error message.

    `metadata` is a JSON object with any keys. Three have a form of their own where they stand,
    since every reader asks for them: `unit` is text, `n` (how many the value is drawn from) a
    count, and `interval` an object with `low` and `high`, each a number or null for "open".
    """

    status: MetricStatus
    value: float | None = None
    error_message: str | None = None
    metadata: PlainObject = EMPTY

    @classmethod
    def ok(cls, value: float, /, **metadata: Any) -> Self:
        """A measured value with what belongs to it (unit, n, interval …)."""
        return cls(status=MetricStatus.OK, value=value, metadata=metadata)

    @classmethod
    def skipped(cls, reason: str, **metadata: Any) -> Self:
        """No value, and the reason that nobody has to worry about."""
        return cls(status=MetricStatus.SKIPPED, metadata={"reason": reason, **metadata})

    @classmethod
    def error(cls, message: str, /, **metadata: Any) -> Self:
        """No value, and the message of what failed."""
        return cls(status=MetricStatus.ERROR, error_message=message, metadata=metadata)

    def __post_init__(self) -> None:
        """Holds a new metric to its rules. Runs for each metric of a document: it is kept lean."""
        status, metadata = self.status, self.metadata
        if metadata:
            _check_metadata(metadata)
        if status is _OK:
            if self.value is None:
                raise PartError("status is ok, so there must be a value", "value")
        elif self.value is not None:
            raise PartError(f"status is {status}, so there must be no value", "value")
        elif status is _ERROR:
            if not self.error_message:
                raise PartError("status is error, so there must be a message", "error_message")
            return
        elif not (reason := metadata.get("reason")) or type(reason) is not str:
            raise PartError("status is skipped, so this must say why", "metadata", "reason")
        if self.error_message is not None:
            raise PartError(f"status is {status}, so there must be no message", "error_message")


# As names of the module, which are found faster than those of a class.
_OK = MetricStatus.OK
_ERROR = MetricStatus.ERROR


def _check_metadata(metadata: dict[str, Any]) -> None:
    unit, n, interval = metadata.get("unit"), metadata.get("n"), metadata.get("interval")
    if unit is not None and type(unit) is not str:
        raise PartError("expected text", "metadata", "unit")
    if n is not None and (type(n) is not int or n < 0):
        raise PartError("expected a count", "metadata", "n")
    if interval is not None:
        if type(interval) is not dict:
            raise PartError("expected an object with low and high", "metadata", "interval")
        for end in ("low", "high"):
            if end not in interval:
                raise PartError("this field is missing", "metadata", "interval", end)
            bound = interval[end]
            if bound is not None and type(bound) is not float and type(bound) is not int:
                raise PartError("expected a number or null", "metadata", "interval", end)
    check_depth("metadata", metadata)


_NAME = r"^[a-z][a-z0-9_]{0,63}$"
_is_name = re.compile(_NAME.strip("^$")).fullmatch

Metrics = Annotated[
    dict[str, MetricResult], Meta(extra_json_schema={"propertyNames": {"pattern": _NAME}})
]
"""Metrics by their names; who has such a field calls `check_names`."""

_proven = set(REGISTRY_METRICS)
"""Names that are known to have the form: the same few stand in a document again and again."""

_MOST_PROVEN = 1_000


def check_names(metrics: dict[str, MetricResult]) -> None:
    """Refuses metrics, the value of the field of that name, of which one has an odd name."""
    if _proven.issuperset(metrics):
        return
    for name in metrics:
        if name not in _proven:
            if not _is_name(name):
                raise PartError(f"expected a name of the form {_NAME}", "metrics", name)
            if len(_proven) < _MOST_PROVEN:
                _proven.add(name)


def registry_metrics(result: MetricResult) -> dict[str, MetricResult]:
    """The metrics that every candidate has, all with the same result."""
    return dict.fromkeys(REGISTRY_METRICS, result)


RULES: list[dict[str, Any]] = [
    {
        "if": {"properties": {"status": {"const": "ok"}}},
        "then": {"properties": {"value": {"type": "number"}, "error_message": {"type": "null"}}},
    },
    {
        "if": {"properties": {"status": {"const": "skipped"}}},
        "then": {
            "properties": {
                "value": {"type": "null"},
                "error_message": {"type": "null"},
                "metadata": {
                    "properties": {"reason": {"type": "string", "minLength": 1}},
                    "required": ["reason"],
                },
            }
        },
    },
    {
        "if": {"properties": {"status": {"const": "error"}}},
        "then": {
            "properties": {
                "value": {"type": "null"},
                "error_message": {"type": "string", "minLength": 1},
            }
        },
    },
]
"""The rules of metrics in JSON Schema's words."""

KNOWN_KEYS: dict[str, Any] = {
    "unit": {"type": ["string", "null"]},
    "n": {"type": ["integer", "null"], "minimum": 0},
    "interval": {
        "type": ["object", "null"],
        "properties": {"low": {"type": ["number", "null"]}, "high": {"type": ["number", "null"]}},
        "required": ["low", "high"],
    },
}
"""The form of the keys of `metadata` that have one, likewise."""
