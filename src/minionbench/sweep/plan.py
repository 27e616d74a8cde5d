"""The plan of a sweep, on file before anything is sent: by it a killed sweep goes on.

It holds what a run's plan holds, for all cells, and the order of the sessions. No text of a prompt,
no key and no URL's password is in it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from minionbench.errors import SchemaError, SetupError, UsageError
from minionbench.run_plan import PlannedCandidate, RunPlan
from minionbench.schema.atomic import write_atomically
from minionbench.store import SWEEP_PLAN
from minionbench.sweep.grid import LeftOut

FORMAT = 1
"""Form of the plan; one of another form is not followed."""


class SweepPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sweep was going to do when it began."""

    format: int = FORMAT
    run: RunPlan
    """Candidates and cells, and what a document says of the run as a whole."""
    order: tuple[tuple[int, int], ...]
    """(place of a cell, repeat) of each session, in the order in which they run."""
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    arguments: tuple[str, ...] | None = None
    """The arguments of the command line that says the same again; None where there is none, or
    where one of them may be secret."""
    folder: str | None = None
    """The folder that relative paths among the arguments start from."""

    def save(self, folder: Path) -> None:
        """Writes the plan into the run's folder."""
        content = msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"
        write_atomically(folder / SWEEP_PLAN, content)

    @property
    def candidate_of(self) -> dict[str, int]:
        """The place of each cell's candidate, by the cell's id."""
        return {
            cell_id: place
            for place, candidate in enumerate(self.run.candidates)
            for cell_id in candidate.cells
        }

    def difference(self, other: SweepPlan) -> str | None:
        """What another plan would measure otherwise, in words; None where it is the same sweep."""
        mine, its = self.run.cells, other.run.cells
        if [cell.cell_id for cell in mine] != [cell.cell_id for cell in its]:
            changed = sorted({cell.cell_id for cell in mine} ^ {cell.cell_id for cell in its})
            return f"its cells are others ({', '.join(changed[:3]) or 'in another order'})"
        for one, two in zip(mine, its, strict=True):
            for field in one.__struct_fields__:
                if getattr(one, field) != getattr(two, field):
                    return f"{field} of {one.cell_id} has changed"
        for mine_, its_ in zip(self.run.candidates, other.run.candidates, strict=True):
            for field in mine_.__struct_fields__:
                if getattr(mine_, field) != getattr(its_, field):
                    return f"{field} of {_named(mine_)} has changed"
        return None if self.order == other.order else "the order of its sessions has changed"


def _named(candidate: PlannedCandidate) -> str:
    remote = candidate.factors.remote_model
    model = candidate.factors.model
    return model if remote in (None, model) else f"{model} with {remote}"


def read_sweep_plan(folder: Path) -> SweepPlan:
    """The plan in a sweep's folder.

    Raises UsageError when there is none, SchemaError when it is damaged or of another form,
    SetupError when it cannot be read.
    """
    path = folder / SWEEP_PLAN
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            f"{folder.name} is no sweep, or was not begun: it has no {SWEEP_PLAN} to go on by."
        ) from error
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from error
    try:
        form = msgspec.json.decode(content, type=_FormOf).format
        if form != FORMAT:
            raise SchemaError(f"it is of form {form}, and this version follows {FORMAT}")
        plan = msgspec.json.decode(content, type=SweepPlan)
        cells = {cell.cell_id for cell in plan.run.cells}
        if cells != set(plan.candidate_of):
            raise SchemaError("its cells are not those of its candidates")
        if any(not 0 <= place < len(cells) or repeat < 0 for place, repeat in plan.order):
            raise SchemaError("its order names a cell that it does not have")
    except (msgspec.MsgspecError, UsageError, ValueError, RecursionError) as error:
        raise SchemaError(f"{path} cannot be read as the plan of a sweep: {error}") from error
    if plan.run.run_id != folder.name:
        raise SchemaError(f"{path} is the plan of {plan.run.run_id}, not of {folder.name}")
    return plan


class _FormOf(msgspec.Struct):
    """The one field that says how to read the others."""

    format: int
