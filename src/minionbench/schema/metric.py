"""A metric's result: a value, or the reason why there is none."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, JsonValue, ValidationInfo, model_validator

from minionbench.schema.part import Part, check_complete, plain_object, rule


class MetricStatus(StrEnum):
    """Whether a metric has a value."""

    OK = "ok"
    SKIPPED = "skipped"
    """Not measured, for a reason that is no failure."""
    ERROR = "error"
    """Meant to be measured, and failed."""


REGISTRY_METRICS = (
    "latency_ms",
    "tokens_per_sec",
    "peak_vram_mb",
    "peak_ram_mb",
    "cove_pass_rate",
    "retrieval_score",
)
"""The metrics that every candidate has, measured or not: those of the registry benchmark."""

# The rules of `MetricResult._check` in JSON Schema's words.
_RULES: list[JsonValue] = [
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


class MetricResult(Part):
    """One metric of a candidate or a cell.

    `ok` has a finite value and no error message; `skipped` has no value and says why in
    `metadata["reason"]`; `error` has no value and an error message.

    `metadata` is a JSON object. Its recommended keys: `unit`; `n` (how many the value is drawn
    from); `method`; `interval` {`low`, `high`, `level`, `method`}; `percentiles` {`p50`: …};
    `left_out` {reason: count}; `reason`; `workload` (on a candidate's metric that summarises
    cells).
    """

    model_config = ConfigDict(json_schema_extra={"allOf": _RULES})

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

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        # Runs once per metric: in a large registry this function is most of a document's load.
        if info.mode == "json" and len(self.__pydantic_fields_set__) != _FIELDS:
            check_complete(self)
        fields = self.__dict__
        status, value, message = fields["status"], fields["value"], fields["error_message"]
        metadata: dict[str, Any] = fields["metadata"]
        plain = plain_object(metadata, "metadata")
        if plain is not metadata:
            # The dict is this instance's own copy, so that filling it anew surprises nobody.
            metadata.clear()
            metadata.update(plain)
        if status is MetricStatus.OK:
            if value is None:
                raise rule("status is ok, so there must be a value", "value")
        elif value is not None:
            raise rule(f"status is {status}, so there must be no value", "value")
        elif status is MetricStatus.ERROR:
            if not message:
                raise rule("status is error, so there must be a message", "error_message")
            return self
        elif not (reason := metadata.get("reason")) or not isinstance(reason, str):
            raise rule("status is skipped, so this must say why", "metadata", "reason")
        if message is not None:
            raise rule(f"status is {status}, so there must be no message", "error_message")
        return self


_FIELDS = len(MetricResult.model_fields)


def registry_metrics(result: MetricResult) -> dict[str, MetricResult]:
    """The metrics that every candidate has, all with the same result."""
    return dict.fromkeys(REGISTRY_METRICS, result)
