"""Which model is in use: promoting another one, and going back to the last good one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from minionbench.errors import UsageError
from minionbench.registry.reading import (
    RegisteredModel,
    RegistryEntry,
    find_place,
    located,
    why,
)
from minionbench.registry.source import RegistrySource
from minionbench.registry.writing import change_registry


class Activation(NamedTuple):
    """Which model is in use now, and what was before."""

    version: str
    """The active one."""
    before: tuple[str, ...]
    """Those that were active before; one in a sound registry, or none."""
    last_good: str | None
    """What a rollback goes back to."""
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether another model is in use than before."""
        return self.before != (self.version,)


def promote(registry: Path, version: str, *, check: bool = True) -> Activation:
    """Makes a version the only active one; the one that was active becomes `last_good`.

    A version that is active already stays so, and nothing else changes. With `check` its files
    have to be there.

    Raises UsageError when there is no such version, or no model at its path; what else can happen
    is in `change_registry`.
    """

    def change(source: RegistrySource) -> Activation:
        models = source.models
        place = find_place(models, version)
        active = [i for i, model in enumerate(models) if model.active]
        notes = []
        good = [i for i, model in enumerate(models) if model.last_good]
        if active != [place]:
            if check:
                _require_model(models[place], registry)
            if len(active) == 1:
                good = active
            elif active:
                notes.append(
                    "Several versions were active "
                    f"({', '.join(models[i].version for i in active)}), so that none of them "
                    "became last_good."
                )
            _mark(source, place, good)
        return _activation(models, place, active, good, notes)

    return change_registry(registry, change)


def rollback(registry: Path, *, check: bool = True) -> Activation:
    """Makes the last good version the only active one; it stays the last good one.

    Raises UsageError when no version, or more than one, is marked `last_good`, when it is active
    already, or there is no model at its path; what else can happen is in `change_registry`.
    """

    def change(source: RegistrySource) -> Activation:
        models = source.models
        active = [i for i, model in enumerate(models) if model.active]
        good = [i for i, model in enumerate(models) if model.last_good]
        if not good:
            raise UsageError(
                "There is nothing to go back to: no version is marked last_good. "
                "`minionbench registry promote VERSION` makes one active."
            )
        if len(good) > 1:
            marked = ", ".join(models[i].version for i in good)
            raise UsageError(
                f"Several versions are marked last_good: {marked}. "
                "`minionbench registry promote VERSION` makes one of them active."
            )
        # The version must be one that can be told from the others.
        place = find_place(models, models[good[0]].version)
        if active == [place]:
            raise UsageError(
                f"There is nothing to go back to: {models[place].version}, the last good version, "
                "is the active one."
            )
        if check:
            _require_model(models[place], registry)
        _mark(source, place, good)
        return _activation(models, place, active, good, [])

    return change_registry(registry, change)


def _mark(source: RegistrySource, place: int, good: list[int]) -> None:
    """Writes the marks; entries that have neither mark and get none are not touched."""
    for i, model in enumerate(source.models):
        if not isinstance(model.fields, dict):
            continue
        fields = dict(model.fields)
        for name, marked in (("active", i == place), ("last_good", i in good)):
            if marked or fields.get(name):
                fields[name] = marked
            elif i == place:
                fields.setdefault(name, False)
        source.replace(i, fields)


def _require_model(model: RegisteredModel, registry: Path) -> None:
    assert isinstance(model.entry, RegistryEntry)
    if not model.entry.model_path:
        return
    path = located(model.entry.model_path, registry)
    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"Version {model.version} cannot be used: {path}: {why(error)}. With --no-check it is "
            "made active all the same."
        ) from error


def _activation(
    models: list[RegisteredModel], place: int, active: list[int], good: list[int], notes: list[str]
) -> Activation:
    return Activation(
        version=models[place].version,
        before=tuple(models[i].version for i in active),
        last_good=models[good[0]].version if len(good) == 1 else None,
        notes=tuple(notes),
    )
