"""The plan of a run, on file beside its journal before anything is sent.

A run that is killed leaves its journal and no document. With the plan, what the journal holds can
still be made into one. It has all that a document says beyond the records: what was to be measured,
on what, by which command. It holds no text of a prompt, no key and no URL's password.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from minionbench import __version__
from minionbench.clock import ClockAnchor
from minionbench.engines.engine import EngineFacts
from minionbench.errors import SchemaError, SetupError, UsageError
from minionbench.exchange import Limits, Request, Side
from minionbench.load import ClosedLoop, Load, OpenLoop
from minionbench.measuring import Cell
from minionbench.prices import Charges
from minionbench.schema import Factors, SystemInfo
from minionbench.store import RUN_PLAN
from minionbench.system import GitFacts

FORMAT = 3
"""Form of the plan; one of another form is not read."""
CONSTANT = float("inf")
"""Burstiness of arrivals at a constant gap; JSON has no infinity, so that it is null there."""


class PlannedItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request of the plan, without its texts."""

    item_id: str
    source: str
    input_tokens: int
    limits: Limits


class PlannedLoad(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A load in plain values; None where its kind has no such value."""

    kind: Literal["closed", "open"]
    concurrency: int | None = None
    rate_per_s: float | None = None
    burstiness: float | None = None
    """None for a constant gap."""


class PlannedCell(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cell of the plan."""

    cell_id: str
    workload: str
    version: int
    source: str
    seed: int
    load: PlannedLoad
    repeats: int
    warmup: tuple[PlannedItem, ...]
    items: tuple[PlannedItem, ...]

    @classmethod
    def of(cls, cell: Cell) -> PlannedCell:
        """The cell as the plan has it."""
        return cls(
            cell_id=cell.cell_id,
            workload=cell.workload,
            version=cell.version,
            source=cell.source,
            seed=cell.seed,
            load=_planned_load(cell.load),
            repeats=cell.repeats,
            warmup=tuple(map(_planned_item, cell.warmup)),
            items=tuple(map(_planned_item, cell.requests)),
        )

    def cell(self) -> Cell:
        """The cell again; its requests have no texts."""
        return Cell(
            cell_id=self.cell_id,
            workload=self.workload,
            version=self.version,
            source=self.source,
            seed=self.seed,
            load=_load(self.load),
            repeats=self.repeats,
            warmup=tuple(map(_request, self.warmup)),
            requests=tuple(map(_request, self.items)),
        )


class PlannedCandidate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A deployment of the plan."""

    cells: tuple[str, ...]
    """Ids of its cells, in their order."""
    sides: tuple[Side, ...]
    """The sides that its calls go to."""
    factors: Factors = msgspec.field(name="factors_json")
    """What is measured."""
    settings: dict[str, Any]
    """Settings that its cells have in common, as the document shows them."""
    charges: Charges = Charges()
    """By which prices its requests are charged."""

    @classmethod
    def of(cls, factors: Factors, **fields: Any) -> PlannedCandidate:
        """The deployment as the plan has it."""
        return cls(factors=factors, **fields)

    def engines(self, serving: Mapping[Side, EngineFacts]) -> dict[Side, EngineFacts]:
        """Those of the engines that this deployment asks."""
        return {side: serving[side] for side in self.sides}


class RunPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a run's document says and its records do not."""

    format: int = FORMAT
    program_version: str = __version__
    run_id: str
    timestamp: str
    """When the run began, ISO 8601."""
    command_line: str
    """Redacted, as the document shows it."""
    seed: int
    git: GitFacts
    system: SystemInfo = msgspec.field(name="system_json")
    clock: ClockAnchor | None = None
    """By which the records' instants have a date and an hour; None where nothing asks for them."""
    engines: dict[Side, EngineFacts] = {}
    """What serves each side; nothing while no engine serves yet."""
    candidates: tuple[PlannedCandidate, ...]
    cells: tuple[PlannedCell, ...]
    """Of all candidates, in the order in which they are measured."""
    cold: bool | None
    """Whether the prefix cache is to be cold; None where that was not asked for."""

    @classmethod
    def drawn(cls, cells: Sequence[Cell], system: SystemInfo, **fields: Any) -> RunPlan:
        """The plan of a run before its engines serve."""
        planned = tuple(map(PlannedCell.of, cells))
        return cls(system=system, cells=planned, clock=ClockAnchor.now(), **fields)

    def with_engines(
        self, engines: Mapping[Side, EngineFacts], candidates: Sequence[PlannedCandidate]
    ) -> RunPlan:
        """The plan when the engines serve; what is known of them belongs to the factors too."""
        return msgspec.structs.replace(self, engines=dict(engines), candidates=tuple(candidates))

    @property
    def started(self) -> datetime:
        """When the run began."""
        return datetime.fromisoformat(self.timestamp)

    def encoded(self) -> bytes:
        """The plan as a file holds it."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def read_plan(folder: Path) -> RunPlan:
    """The plan in a run's folder.

    Raises UsageError when there is none, SchemaError when it is damaged or of another form,
    SetupError when it cannot be read.
    """
    path = folder / RUN_PLAN
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"{folder.name} has no plan {RUN_PLAN} to make a document by.") from error
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from error
    try:
        form = _decode_form(content).format
        if form != FORMAT:
            raise SchemaError(f"it is of form {form}, and this version reads {FORMAT}")
        plan = _decode(content)
        for cell in plan.cells:
            cell.cell()
        planned = [cell_id for candidate in plan.candidates for cell_id in candidate.cells]
        if planned != [cell.cell_id for cell in plan.cells]:
            raise SchemaError("its cells are not those of its candidates")
        if plan.started.tzinfo is None:
            raise SchemaError(f"its instant {plan.timestamp} has no offset")
    except (msgspec.MsgspecError, UsageError, ValueError, RecursionError) as error:
        raise SchemaError(f"{path} cannot be read as the plan of a run: {error}") from error
    if plan.run_id != folder.name:
        raise SchemaError(f"{path} is the plan of {plan.run_id}, not of {folder.name}")
    return plan


class _FormOf(msgspec.Struct):
    """The one field that says how to read the others."""

    format: int


_decode_form = msgspec.json.Decoder(_FormOf).decode
_decode = msgspec.json.Decoder(RunPlan).decode


def _planned_item(request: Request) -> PlannedItem:
    return PlannedItem(
        item_id=request.item_id,
        source=request.source,
        input_tokens=request.input_tokens,
        limits=request.limits,
    )


def _request(item: PlannedItem) -> Request:
    return Request(
        item_id=item.item_id,
        messages=(),
        limits=item.limits,
        source=item.source,
        input_tokens=item.input_tokens,
    )


def _planned_load(load: Load) -> PlannedLoad:
    if isinstance(load, ClosedLoop):
        return PlannedLoad(kind="closed", concurrency=load.concurrency)
    constant = load.burstiness == CONSTANT
    return PlannedLoad(
        kind="open",
        rate_per_s=load.rate_per_s,
        burstiness=None if constant else load.burstiness,
    )


def _load(load: PlannedLoad) -> Load:
    if load.kind == "closed" and load.concurrency is not None:
        return ClosedLoop(concurrency=load.concurrency)
    if load.kind == "open" and load.rate_per_s is not None:
        burstiness = CONSTANT if load.burstiness is None else load.burstiness
        return OpenLoop(rate_per_s=load.rate_per_s, burstiness=burstiness)
    raise SchemaError(f"a load of kind {load.kind!r} lacks what belongs to it")
