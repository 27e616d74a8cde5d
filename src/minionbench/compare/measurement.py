"""What a comparison needs of a document: each cell's conditions and its replicates.

A baseline file holds these, so that they can be compared when the documents are gone.
"""

from __future__ import annotations

from typing import Any

import msgspec

from minionbench.metrics.table import METRICS, MetricInfo

FAILED_PCT = MetricInfo(
    name="failed_pct",
    unit="%",
    better="lower",
    description="Share of the measured requests that failed",
    formula="100 × failed requests/(failed + answered requests)",
)
"""No metric of documents: a comparison derives it from the counts that stand in them."""


def info(name: str) -> MetricInfo | None:
    """What is known of a metric; None for a name that this version does not know."""
    return FAILED_PCT if name == FAILED_PCT.name else METRICS.get(name)


class Observation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric of one replicate."""

    value: float | None
    """None where there is none."""
    failed: bool = False
    """Whether there is none because it was to be measured and failed: it ranks as the worst."""
    why: str | None = None
    """Why there is no value."""
    items: int | None = None
    """Items that the value is drawn from."""
    low: float | None = None
    """Interval of the value over its items, as the document has it."""
    high: float | None = None
    level: float | None = None
    percentiles: dict[str, float] = {}
    not_right: dict[str, float] | None = None
    """Of accuracy: each item that is not all right, with its share; None where they are not
    listed."""


class Replicate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of a cell, or one of its sessions."""

    run_id: str
    session: int | None
    """Which session of the run, from 0; None where the run as a whole is the replicate."""
    requests: int | None
    """Measured requests, failed ones included; None where that is not known."""
    failed: int | None
    metrics: dict[str, Observation]
    items: dict[str, dict[str, float | None]] = {}
    """Of metrics per request, each item's median over its repeats; None where that is among the
    failures."""
    asked: tuple[str, ...] = ()
    """The items that were asked, where the records told."""

    @property
    def label(self) -> str:
        """Which replicate this is, in a message."""
        return self.run_id if self.session is None else f"{self.run_id}, session {self.session + 1}"


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One cell of one candidate of one document."""

    run_id: str
    candidate: str
    """What was measured, in one line."""
    factors: dict[str, Any]
    """What an experiment varies: model, quantisation, protocol …"""
    cell_id: str | None
    """None where the candidate as a whole is meant."""
    workload: str | None
    load: str | None
    """The load in words."""
    place: int = 0
    """Which of the candidate's cells with this workload and load, from 0."""
    conditions: dict[str, Any]
    """Under what it was measured, by the name of the condition; None where that is not known."""
    replicates: tuple[Replicate, ...]
    broken: str | None = None
    """Why nothing was measured at all; None where something was."""
    doubts: tuple[str, ...] = ()
    """The rules that make the numbers suspect."""
    invalid: tuple[str, ...] = ()
    """The rules by which the harness measured wrongly, so that they are not to be believed."""
    notes: tuple[str, ...] = ()

    @property
    def sessions(self) -> bool:
        """Whether the replicates are sessions of one run."""
        return any(replicate.session is not None for replicate in self.replicates)

    @property
    def where(self) -> str:
        """Which cell this is, in words."""
        return self.cell_id or "candidate"
