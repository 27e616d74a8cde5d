"""The value of a metric: a number, or the reason why there is none; never something between."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import msgspec

from minionbench.metrics.table import METRICS
from minionbench.stats import Estimate

Status: TypeAlias = Literal["ok", "skipped", "error"]


class MetricValue(msgspec.Struct, frozen=True, kw_only=True):
    """A metric as a document carries it.

    `ok`: a finite value. `skipped`: no value, `metadata["reason"]` says why. `error`: no value,
    `error_message` says why. `metadata` holds only what JSON can: no infinity, no NaN.
    """

    status: Status
    value: float | None
    error_message: str | None
    metadata: dict[str, Any]

    def __post_init__(self) -> None:
        if self.status == "ok":
            right = self.value is not None and math.isfinite(self.value)
            right = right and self.error_message is None
        elif self.status == "skipped":
            right = self.value is None and self.error_message is None
            right = right and bool(self.metadata.get("reason"))
        else:
            right = self.value is None and bool(self.error_message)
        if not right:
            raise ValueError(
                f"not an `{self.status}` metric: {self.value!r}, {self.error_message!r}"
            )

    @property
    def reason(self) -> str | None:
        """Why there is no value, whichever status says so; None where there is one."""
        if self.status == "skipped":
            return str(self.metadata["reason"])
        return self.error_message


def ok(name: str, value: float, **metadata: Any) -> MetricValue:
    """A measured metric."""
    return MetricValue(
        status="ok",
        value=value,
        error_message=None,
        metadata={"unit": METRICS[name].unit, **metadata},
    )


def skipped(name: str, reason: str, **metadata: Any) -> MetricValue:
    """A metric that was not measured, and why."""
    return MetricValue(
        status="skipped",
        value=None,
        error_message=None,
        metadata={"unit": METRICS[name].unit, "reason": reason, **metadata},
    )


def error(name: str, message: str, **metadata: Any) -> MetricValue:
    """A metric that should have been measured and could not be, and why."""
    return MetricValue(
        status="error",
        value=None,
        error_message=message,
        metadata={"unit": METRICS[name].unit, **metadata},
    )


def estimated(name: str, estimate: Estimate, **metadata: Any) -> MetricValue:
    """A measured metric with its count and interval."""
    return ok(name, estimate.point, n=estimate.n, interval=interval(estimate), **metadata)


def interval(estimate: Estimate) -> dict[str, Any]:
    """An estimate's interval as JSON can hold it.

    A bound that is missing or infinite is None, and `note` says why.
    """
    low, high = (
        None if bound is None or math.isinf(bound) else bound
        for bound in (estimate.low, estimate.high)
    )
    shown = {"low": low, "high": high, "level": estimate.level, "method": estimate.method}
    if low != estimate.low or high != estimate.high:
        return {**shown, "note": "a bound falls among the failed requests"}
    return shown if estimate.note is None else {**shown, "note": estimate.note}


def rescaled(name: str, value: MetricValue, factor: float, **metadata: Any) -> MetricValue:
    """The same measurement under another name, in a unit that is `factor` times smaller."""
    merged = {**value.metadata, "unit": METRICS[name].unit, **metadata}
    if value.value is None:
        return msgspec.structs.replace(value, metadata=merged)
    if "interval" in merged:
        merged["interval"] = _rescaled_bounds(merged["interval"], factor)
    if "percentiles" in merged:
        merged["percentiles"] = {
            label: {
                "value": entry["value"] * factor,
                "interval": _rescaled_bounds(entry["interval"], factor),
            }
            for label, entry in merged["percentiles"].items()
        }
    return msgspec.structs.replace(value, value=value.value * factor, metadata=merged)


def _rescaled_bounds(bounds: dict[str, Any], factor: float) -> dict[str, Any]:
    scaled = {end: None if bounds[end] is None else bounds[end] * factor for end in ("low", "high")}
    return {**bounds, **scaled}
