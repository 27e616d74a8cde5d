"""What became of each session of a sweep, one line when it begins and one when it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from minionbench.clock import ClockAnchor
from minionbench.engines.engine import EngineFacts
from minionbench.errors import SchemaError, SetupError
from minionbench.exchange import Side
from minionbench.measuring import NOT_OURS, Cell, Measured
from minionbench.meters.memory import MemoryReading
from minionbench.meters.vram import VramReading
from minionbench.prices import OwnClock
from minionbench.records import RequestRecord
from minionbench.run_plan import PlannedCandidate
from minionbench.schema.part import REFUSALS
from minionbench.store import append_line, whole_lines
from minionbench.verdict import RunFacts

SESSIONS = "sessions.jsonl"
NO_MEMORY = "the session ended before the engine's peak memory was written down"
_KEPT_ELSEWHERE = ("cell", "records")
"""Fields of what was measured that are in the plan and in the journal."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Records that an earlier attempt at a session has left, with the clock of their instants."""

    indexes: tuple[int, ...]
    clock: ClockAnchor
    boot: str | None = None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One repeat of one cell on engines of its own: begun, failed, or measured."""

    place: int
    """Of the cell in the plan."""
    repeat: int
    started: str
    """ISO 8601, UTC."""
    clock: ClockAnchor | None = None
    """By which its records' instants have a date and an hour; None in those of old."""
    boot: str | None = None
    """Which start of the machine that clock counts from; None where that is not known."""
    earlier: tuple[Part, ...] = ()
    """Records that are not its own but of attempts before it."""
    start_s: float | None = None
    """Until the engines were ready; None where they never were."""
    engines: dict[Side, EngineFacts] = {}
    planned: PlannedCandidate | None = None
    """The candidate with what its engines say of themselves; None before they serve."""
    why: str | None = None
    """Why it could not be measured; None for one that was, or has only begun."""
    measured: dict[str, Any] | None = None
    """What was measured beside the records, as plain values; None where nothing was."""

    @property
    def clocks(self) -> tuple[OwnClock, ...]:
        """Those of its records, those that it has taken over included."""
        parts = [
            OwnClock(repeat=self.repeat, indexes=part.indexes, clock=part.clock)
            for part in self.earlier
        ]
        own = [] if self.clock is None else [OwnClock(repeat=self.repeat, clock=self.clock)]
        return (*parts, *own)

    def again(self, records: Sequence[RequestRecord]) -> tuple[Part, ...]:
        """What an attempt after this one takes over: these records of it and of those before."""
        known = {index for part in self.earlier for index in part.indexes}
        own = tuple(record.index for record in records if record.index not in known)
        if self.clock is None or not own:
            return self.earlier
        return (*self.earlier, Part(indexes=own, clock=self.clock, boot=self.boot))

    def with_measured(self, measured: Measured) -> Session:
        """The session when it has ended."""
        plain = {
            field: msgspec.to_builtins(getattr(measured, field))
            for field in measured.__struct_fields__
            if field not in _KEPT_ELSEWHERE
        }
        return msgspec.structs.replace(self, measured=plain)

    def outcome(self, cell: Cell, records: Sequence[RequestRecord]) -> Measured:
        """What was measured, with its records; of a session that broke off, all that is known."""
        if self.measured is None:
            return _broken_off(self, cell, records)
        types = {field.name: field.type for field in msgspec.structs.fields(Measured)}
        known = {
            name: msgspec.convert(value, types[name])
            for name, value in self.measured.items()
            if name in types
        }
        return Measured(cell=cell, records=tuple(records), **known)


def _broken_off(session: Session, cell: Cell, records: Sequence[RequestRecord]) -> Measured:
    ours = [engine for engine in session.engines.values() if engine.embedded]
    no_memory = NO_MEMORY if ours else NOT_OURS
    return Measured(
        cell=cell,
        records=tuple(records),
        facts=RunFacts(
            engine_local=True if ours else None,
            pinned=all(engine.free_cpus is not None for engine in ours) if ours else None,
            interrupted=len(records) < len(cell.requests),
            planned_requests=len(cell.requests),
        ),
        memory=MemoryReading(peak_bytes=None, reason=no_memory),
        vram=VramReading(peak_bytes=None, reason=no_memory),
        given_up=None if len(records) == len(cell.requests) else "the session broke off",
        taken_over=len(records),
    )


def keep(folder: Path, session: Session) -> None:
    """Puts on file that a session has begun, or how it ended, in one write.

    Raises SetupError when it cannot, as on a full disk.
    """
    path = folder / SESSIONS
    try:
        append_line(path, msgspec.json.encode(session) + b"\n")
    except OSError as error:
        raise SetupError(
            f"What became of a session could not be written to {path}: {error.strerror or error}. "
            "Make room, and go on with --resume."
        ) from error


def read_sessions(folder: Path) -> dict[tuple[int, int], Session]:
    """The latest that is known of each session, by its place and repeat.

    A torn last line is left out. Raises SchemaError for any other line that is no session's.
    """
    path = folder / SESSIONS
    try:
        lines = list(whole_lines(path))
        sessions = map(msgspec.json.Decoder(Session).decode, lines)
        return {(session.place, session.repeat): session for session in sessions}
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from error
    except REFUSALS as error:
        raise SchemaError(f"{path} holds a line that is not a session's: {error}") from error
