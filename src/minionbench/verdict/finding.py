"""What a rule finds: a reason to distrust, nothing wrong, or that it could not be checked."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from minionbench.units import NS_PER_S, duration, significant

Severity: TypeAlias = Literal["suspect", "invalid"]
Status: TypeAlias = Literal["valid", "suspect", "invalid"]

SUSPECT_SHARE = 0.01
"""Share of requests above which a fault reaches the 99th percentile."""
INVALID_SHARE = 0.10
"""Share of requests above which a fault reaches the 90th percentile."""
RELATIVE_ERROR = 0.01
"""What a delay of the harness may be of the TTFT that it could be mistaken for."""
INVALID_FACTOR = 10
"""An error this many times over its limit leaves nothing to interpret: 10 % instead of 1 %."""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a cell's numbers are not simply to be believed."""

    rule: str
    severity: Severity
    measured: float
    limit: float
    unit: str
    message: str
    """One sentence: what was found."""
    advice: str
    """One sentence: what to do about it."""


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that found nothing wrong."""

    rule: str
    measured: float
    limit: float
    unit: str
    note: str | None = None
    """Why it passed where `measured` does not say so by itself."""


class NotChecked(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that could not be applied, and why."""

    rule: str
    why: str


Finding: TypeAlias = Reason | Passed | NotChecked


def held(
    rule: str,
    measured: float,
    limit: float,
    unit: str,
    *,
    message: str,
    advice: str,
    invalid_above: float | None = None,
    severity: Severity = "suspect",
) -> Finding:
    """Holds a measured value against its limit, and against a second one where there is one."""
    if measured <= limit:
        return Passed(rule=rule, measured=measured, limit=limit, unit=unit)
    if invalid_above is not None and measured > invalid_above:
        severity = "invalid"
    return Reason(
        rule=rule,
        severity=severity,
        measured=measured,
        limit=limit,
        unit=unit,
        message=message,
        advice=advice,
    )


def percent(share: float) -> str:
    """A share as a person reads it: 0.0123 → 1.23 %."""
    return f"{significant(100 * share)} %"


def ns(value_ns: float) -> str:
    """Nanoseconds as a person reads them."""
    return duration(value_ns / NS_PER_S)
