"""The models that a run is done with, one line each, so that a resumed run leaves them alone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from minionbench.errors import SchemaError, SetupError
from minionbench.schema import BenchmarkCandidate
from minionbench.schema.part import REFUSALS
from minionbench.store import append_line, whole_lines

DONE = "done.jsonl"


class Finished(NamedTuple):
    """What became of one model."""

    candidate: BenchmarkCandidate
    """Without the references of its cells to their records, which are known at the run's end."""
    stamp_source: str | None


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """A model as the file holds it."""

    place: int
    stamp_source: str | None
    candidate: BenchmarkCandidate


_decode = msgspec.json.Decoder(_Line).decode


def keep(folder: Path, place: int, finished: Finished) -> None:
    """Puts a model that a run is done with on file, in one write.

    Raises SetupError when it cannot, as on a full disk.
    """
    line = _Line(place=place, stamp_source=finished.stamp_source, candidate=finished.candidate)
    content = msgspec.json.encode(line) + b"\n"
    path = folder / DONE
    try:
        append_line(path, content)
    except OSError as error:
        raise SetupError(
            f"What was measured of a model could not be written to {path}: "
            f"{error.strerror or error}. Make room, and go on with --resume."
        ) from error


def read_done(folder: Path) -> dict[int, Finished]:
    """The models that are done, by their places in the plan; a torn last line is left out.

    Raises SchemaError for any other line that is no candidate's.
    """
    try:
        lines = list(whole_lines(folder / DONE))
    except OSError as error:
        raise SetupError(f"{folder / DONE} cannot be read: {error.strerror}") from error
    found: dict[int, Finished] = {}
    for line in lines:
        try:
            known = _decode(line)
        except REFUSALS as error:
            raise SchemaError(f"{folder / DONE} holds a line that is not a model's") from error
        found[known.place] = Finished(known.candidate, known.stamp_source)
    return found
