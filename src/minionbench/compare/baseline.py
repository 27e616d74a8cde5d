"""Baselines: the measurements that later ones are held against, in a file or on a branch.

A baseline holds what a comparison needs, not the documents: it can be kept in a repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from minionbench.compare.measurement import Measurement
from minionbench.errors import SchemaError, UsageError
from minionbench.schema import write_atomically

FORMAT: Literal["minionbench-baseline"] = "minionbench-baseline"
VERSION = 1
MOST_ITEMS = 2_000
"""Items of a replicate up to which a baseline keeps each one's values."""


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Measurements to hold others against."""

    format: Literal["minionbench-baseline"] = FORMAT
    version: int = VERSION
    measurements: tuple[Measurement, ...]

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Its runs, in the order in which they came."""
        return tuple(dict.fromkeys(one.run_id for one in self.measurements))

    def encoded(self) -> bytes:
        """The baseline as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    def with_runs(self, more: tuple[Measurement, ...], keep: int) -> Baseline:
        """These runs and more, of which the last so many are kept; a run that is there already is
        taken anew."""
        again = {one.run_id for one in more}
        kept = (*(one for one in self.measurements if one.run_id not in again), *more)
        last = list(dict.fromkeys(one.run_id for one in kept))[-keep:]
        return Baseline(measurements=tuple(one for one in kept if one.run_id in last))


def baseline_of(measured: tuple[Measurement, ...]) -> Baseline:
    """A baseline of measurements; the items of very long runs are left out."""
    return Baseline(measurements=tuple(map(_short, measured)))


def _short(one: Measurement) -> Measurement:
    if all(len(replicate.asked) <= MOST_ITEMS for replicate in one.replicates):
        return one
    bare = tuple(
        msgspec.structs.replace(replicate, items={}, asked=()) for replicate in one.replicates
    )
    return msgspec.structs.replace(one, replicates=bare)


def is_baseline(path: Path) -> bool:
    """Whether a file is a baseline, and no run document."""
    try:
        with path.open("rb") as file:
            return f'"{FORMAT}"'.encode() in file.read(200)
    except OSError:
        return False


def read_baseline(path: Path) -> Baseline:
    """The baseline of a file.

    Raises UsageError when it cannot be read, SchemaError when it is none.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"The baseline {path} cannot be read: {error.strerror}") from error
    return decoded_baseline(content, str(path))


def decoded_baseline(content: bytes, source: str) -> Baseline:
    """The baseline that a file's content holds; `source` is named in messages.

    Raises SchemaError when it is none.
    """
    try:
        found = msgspec.json.decode(content, type=Baseline)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise SchemaError(f"{source} is not a baseline: {error}") from error
    if found.version != VERSION:
        raise SchemaError(
            f"{source} is a baseline of version {found.version}; this program knows {VERSION}"
        )
    return found


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Writes a baseline; raises SetupError when it cannot be written."""
    write_atomically(path, baseline.encoded())
