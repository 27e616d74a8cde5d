"""A cell: one workload under one load, its metrics, its verdict and where its records are."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from minionbench.schema.metric import Metrics, check_names
from minionbench.schema.part import (
    Count,
    Name,
    Part,
    PlainObject,
    Sha256,
    Text,
    form,
)
from minionbench.schema.plain import EMPTY, PartError, check_depth

Severity = Literal["note", "suspect", "invalid"]
VerdictStatus = Literal["valid", "suspect", "invalid"]

_VERDICT_OF: dict[str, VerdictStatus] = {
    "note": "valid",
    "suspect": "suspect",
    "invalid": "invalid",
}
_GRAVITY = {"valid": 0, "suspect": 1, "invalid": 2}


class WorkloadDocument(Part):
    """Which items were asked."""

    name: Text
    version: int
    """Raised whenever the text for a given seed changes."""
    source: Text
    """`builtin:prefill@1`, or the data set's name."""
    seed: int
    items: Count
    """Different items that were asked for measurement; warm-up is not among them."""


class LoadDocument(Part):
    """How the requests were sent.

    `closed`: `concurrency` streams, each sending its next request when the last was answered.
    `open`: `rate_per_s` requests per second by a plan drawn before the run, `arrivals` apart.
    `replay`: the instants of a recorded `trace`.
    """

    kind: Literal["closed", "open", "replay"]
    concurrency: Annotated[int, Meta(ge=1)] | None = None
    rate_per_s: Annotated[float, Meta(gt=0)] | None = None
    arrivals: Literal["poisson", "gamma", "constant"] | None = None
    burstiness: Annotated[float, Meta(gt=0)] | None = None
    """Shape of the gamma distribution: 1 is Poisson, less is burstier."""
    trace: Text | None = None
    seed: int | None = None
    """Seed that the plan was drawn from; None where nothing was drawn."""

    def __post_init__(self) -> None:
        for field in NEEDED_BY_LOAD[self.kind]:
            if getattr(self, field) is None:
                raise PartError(f"a load of kind {self.kind} must state it", field)


NEEDED_BY_LOAD = {
    "closed": ("concurrency",),
    "open": ("rate_per_s", "arrivals"),
    "replay": ("trace",),
}
"""The fields that a load of each kind has to state."""


class ReasonDocument(Part):
    """One rule of validity that a run touched, or a note worth reading."""

    rule: Name
    severity: Severity
    measured: float | str | None
    """What was found; None where it could not be."""
    limit: float | str | None
    """What it is held against; None where there is no number to it."""
    unit: str | None
    message: Text
    """What was found, in a sentence."""
    advice: str | None
    """What to do about it; None where nothing is to be done."""


class VerdictDocument(Part):
    """Whether a cell's numbers are to be believed: as bad as its worst reason."""

    status: VerdictStatus
    reasons: tuple[ReasonDocument, ...] = ()

    def __post_init__(self) -> None:
        worst: VerdictStatus = "valid"
        for reason in self.reasons:
            worst = max(worst, _VERDICT_OF[reason.severity], key=_GRAVITY.__getitem__)
        if worst != self.status:
            raise PartError(
                f"the worst of the reasons makes the verdict {worst}, not {self.status}", "status"
            )


_SEGMENT = r"([A-Za-z0-9_-]|\.[A-Za-z0-9_-]|\.\.[A-Za-z0-9._-])[A-Za-z0-9._-]*"
_DOWNWARDS = rf"^[A-Za-z0-9][A-Za-z0-9._-]*(/{_SEGMENT})*$"
"""A relative path that no part of leads upwards."""


class RecordsReference(Part):
    """Where the facts are that a cell's numbers were computed from."""

    path: Annotated[str, form(_DOWNWARDS)]
    """Side file, relative to the document's folder, with forward slashes."""
    sha256: Sha256
    """Of the whole file."""
    rows: Count
    """Rows of the file that belong to this cell."""


class CellResult(Part):
    """How something was measured, and what came out."""

    cell_id: Name
    """Unique in the document; the records carry it."""
    workload: WorkloadDocument
    load: LoadDocument
    repeats: Annotated[int, Meta(ge=1)]
    settings: PlainObject = EMPTY
    """Temperature, seed, limits, warm-up and the like, as plain values."""
    metrics: Metrics
    verdict: VerdictDocument
    records: RecordsReference | None = None
    """None when no records were kept."""

    def __post_init__(self) -> None:
        check_names(self.metrics)
        check_depth("settings", self.settings)
