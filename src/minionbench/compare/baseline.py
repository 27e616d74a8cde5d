"""Baselines: the measurements that later ones are held against, in a file or on a branch.

A baseline holds what a comparison needs, not the documents: it can be kept in a repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from minionbench.compare.measurement import Measurement, info
from minionbench.errors import SchemaError, SetupError, UsageError
from minionbench.schema import write_atomically

FORMAT: Literal["minionbench-baseline"] = "minionbench-baseline"
VERSION = 1
MOST = 1e30
"""More than any figure of a run can be."""
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
    try:
        for one in found.measurements:
            _check(one)
    except ValueError as error:
        raise SchemaError(f"{source} is no baseline that can be true: {error}") from error
    return found


def _check(one: Measurement) -> None:
    """Raises ValueError for figures that no run can have."""
    if not one.replicates:
        raise ValueError(f"{one.run_id} has no replicate")
    for replicate in one.replicates:
        requests, failed = replicate.requests, replicate.failed
        if not 0 <= (failed or 0) <= (0 if requests is None else requests):
            raise ValueError(f"of {requests} requests of {replicate.label} {failed} failed")
        for name, seen in replicate.metrics.items():
            known = info(name)
            unit = None if known is None else known.unit
            least, most = 0 if unit in ("s", "%") else -MOST, 100 if unit == "%" else MOST
            if seen.value is not None and not least <= seen.value <= most:
                raise ValueError(f"{name} of {replicate.label} is {seen.value}")
            if seen.items is not None and seen.items < 1:
                raise ValueError(f"{name} of {replicate.label} is of {seen.items} items")


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Writes a baseline; raises SetupError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{path.parent} cannot be made: {error.strerror}") from error
    write_atomically(path, baseline.encoded())
