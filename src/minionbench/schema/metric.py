"""A metric's result: a value, or the reason why there is none."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field

from minionbench.names import REGISTRY_METRICS
from minionbench.schema.part import FROM_DOCUMENT, Part, check_fields, is_plain, plain_object, rule


class MetricStatus(StrEnum):
    """Whether a metric has a value."""

    OK = "ok"
    SKIPPED = "skipped"
    """Not measured, for a reason that is no failure."""
    ERROR = "error"
    """Meant to be measured, and failed."""


# The rules of `MetricResult.model_post_init` in JSON Schema's words.
_RULES: list[dict[str, Any]] = [
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

_KNOWN_KEYS: dict[str, Any] = {
    "unit": {"type": ["string", "null"]},
    "n": {"type": ["integer", "null"], "minimum": 0},
    "interval": {
        "type": ["object", "null"],
        "properties": {"low": {"type": ["number", "null"]}, "high": {"type": ["number", "null"]}},
        "required": ["low", "high"],
    },
}


def _add_rules(schema: dict[str, Any]) -> None:
    schema["allOf"] = _RULES
    schema["properties"]["metadata"]["properties"] = _KNOWN_KEYS


class MetricResult(Part):
    """One metric of a candidate or a cell.

    `ok` has a finite value and no error message; `skipped` has no value and says why in
    `metadata["reason"]`; `error` has no value and an error message.

    `metadata` is a JSON object with any keys. Three have a form of their own where they stand,
    since every reader asks for them: `unit` is text, `n` (how many the value is drawn from) a
    count, and `interval` an object with `low` and `high`, each a number or null for "open".
    """

    model_config = ConfigDict(json_schema_extra=_add_rules)

    status: Annotated[MetricStatus, Field(strict=False)]
    value: float | None = None
    error_message: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

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

    def model_post_init(self, context: Any, /) -> None:
        """Holds a new metric to its rules."""
        # Runs for every metric: of a large registry's document it is a third of the load.
        if context is not FROM_DOCUMENT or len(self.__pydantic_fields_set__) != _FIELDS:
            check_fields(self, context is FROM_DOCUMENT)
        fields = self.__dict__
        status, value, message = fields["status"], fields["value"], fields["error_message"]
        metadata: dict[str, Any] = fields["metadata"]
        if metadata:
            if context is not FROM_DOCUMENT or not is_plain(metadata.values()):
                plain = plain_object(metadata, "metadata")
                if plain is not metadata:
                    # The dict is this instance's own, so that filling it anew surprises nobody.
                    metadata.clear()
                    metadata.update(plain)
            if not _KNOWN_KEYS.keys().isdisjoint(metadata):
                _check_known_keys(metadata)
        if status is MetricStatus.OK:
            if value is None:
                raise rule("status is ok, so there must be a value", "value")
        elif value is not None:
            raise rule(f"status is {status}, so there must be no value", "value")
        elif status is MetricStatus.ERROR:
            if not message:
                raise rule("status is error, so there must be a message", "error_message")
            return
        elif not (reason := metadata.get("reason")) or not isinstance(reason, str):
            raise rule("status is skipped, so this must say why", "metadata", "reason")
        if message is not None:
            raise rule(f"status is {status}, so there must be no message", "error_message")


_FIELDS = len(MetricResult.model_fields)


def _check_known_keys(metadata: dict[str, Any]) -> None:
    unit, n, interval = metadata.get("unit"), metadata.get("n"), metadata.get("interval")
    if unit is not None and not isinstance(unit, str):
        raise rule("expected text", "metadata", "unit")
    if n is not None and (type(n) is not int or n < 0):
        raise rule("expected a count", "metadata", "n")
    if interval is None:
        return
    if not isinstance(interval, dict):
        raise rule("expected an object with low and high", "metadata", "interval")
    for end in ("low", "high"):
        if end not in interval:
            raise rule("this field is missing", "metadata", "interval", end)
        bound = interval[end]
        if bound is not None and type(bound) not in (int, float):
            raise rule("expected a number or null", "metadata", "interval", end)


def registry_metrics(result: MetricResult) -> dict[str, MetricResult]:
    """The metrics that every candidate has, all with the same result."""
    return dict.fromkeys(REGISTRY_METRICS, result)
