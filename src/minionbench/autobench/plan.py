"""The plan of a run: written before anything is measured, so that a killed run can go on by it."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from minionbench import __version__
from minionbench.autobench.listing import Listed
from minionbench.autobench.procedure import Procedure
from minionbench.errors import SetupError, UsageError
from minionbench.schema.atomic import write_atomically
from minionbench.store import AUTOBENCH_PLAN

PLAN = AUTOBENCH_PLAN
FORMAT = 1
"""Form of the plan; one of another form is not followed."""
LONGEST_SLUG = 100
"""Characters of a model's name within an id, which may have 128."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was going to do when it began."""

    format: int = FORMAT
    program_version: str = __version__
    run_id: str
    started: datetime
    registry: str
    registry_sha256: str | None
    """Of the registry's content; None when it could not be read again."""
    notes: tuple[str, ...]
    """What the document says about the registry."""
    models: tuple[Listed, ...]
    slugs: tuple[str, ...]
    """Name of each model within the ids of its cells."""
    order: tuple[int, ...]
    """Places of the models in the order in which they are measured."""
    procedure: Procedure
    sources: tuple[str, ...]
    """Where the items of the cells are from."""

    def save(self, folder: Path) -> None:
        """Writes the plan into the run's folder.

        Raises UsageError when it holds a path that JSON cannot hold.
        """
        try:
            content = msgspec.json.encode(self)
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{error.object!r} is no path that JSON can hold: it is not valid UTF-8. Rename it."
            ) from error
        write_atomically(folder / PLAN, content)


def read_plan(folder: Path) -> Plan:
    """The plan in a run's folder.

    Raises UsageError when there is none that this version can follow.
    """
    try:
        content = (folder / PLAN).read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            f"{folder.name} is no run of the registry benchmark: it has no plan to resume by."
        ) from error
    except OSError as error:
        raise SetupError(f"{folder / PLAN} cannot be read: {error.strerror}") from error
    try:
        plan = msgspec.json.decode(content, type=Plan)
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"The plan of {folder.name} is not one that this version can follow: {error}."
        ) from error
    if plan.format != FORMAT:
        raise UsageError(
            f"The plan of {folder.name} has form {plan.format}; this version follows {FORMAT}."
        )
    return plan


def slugs(versions: Sequence[str]) -> tuple[str, ...]:
    """For each version a name of its own that is fit for an id."""
    taken: set[str] = set()
    names = []
    for version in versions:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", version).lstrip("._-")[:LONGEST_SLUG] or "model"
        name, number = plain, 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}-{number}"
        # Names that differ in case only are one name to some file systems.
        taken.add(name.lower())
        names.append(name)
    return tuple(names)


def order_of(number: int, seed: int) -> tuple[int, ...]:
    """The order in which so many models are measured: drawn, so that no place is favoured."""
    places = list(range(number))
    random.Random(f"autobench/{seed}").shuffle(places)
    return tuple(places)


def digest_of(path: Path) -> str | None:
    """SHA-256 of a file; None when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return None
