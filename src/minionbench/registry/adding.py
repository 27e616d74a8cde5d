"""Adding a model to the registry, with what its file says of itself and the hashes of its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from minionbench.clock import utc_now
from minionbench.errors import UsageError
from minionbench.registry.hashes import FILES, hash_model, model_files
from minionbench.registry.reading import find_place, own_model
from minionbench.registry.source import RegistrySource
from minionbench.registry.writing import change_registry

if TYPE_CHECKING:
    from minionbench.engines.gguf import GgufInfo


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What the user says of a model; None is left to the model's file."""

    version: str | None = None
    base_model: str | None = None
    quantization: str | None = None
    distilled_from: str | None = None
    commit_hash: str | None = None


class Added(NamedTuple):
    """An entry that was written."""

    version: str
    fields: dict[str, Any]
    replaced: bool
    notes: tuple[str, ...]


def add_model(
    registry: Path, model: Path, said: Description | None = None, *, replace: bool = False
) -> Added:
    """Puts a model into the registry, which is made where there is none.

    `reference/q8_0` and its like are the models that come with the program; their entries keep
    that name, which holds wherever the program is installed.

    A GGUF file, alone or the only one in its folder, says its base model and weight format where
    the user does not. The version is the name of the file or folder where none is given.

    With `replace` an entry of the same version is written anew in its place: it stays active and
    last good where it was, what the user and the file leave open is kept, and so are the fields
    that are not known here. Its metrics are kept only if its files are the same.

    Raises UsageError when there is no model, its file is damaged, or the version is taken; what
    else can happen is in `change_registry`.
    """
    said = said or Description()
    own = None if os.path.lexists(model) else own_model(model.as_posix())
    kept_as = str(model) if own is not None else None
    model = own or model.expanduser().absolute()
    try:
        str(model).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{str(model)!r} is no path that JSON can hold; rename it.") from error
    hashes = hash_model(model)
    header = _header(model)
    version = _version(said.version, model)
    facts = {
        "base_model": said.base_model or (header.name if header else None),
        "quantization": said.quantization or (header.quantization if header else None),
        "distilled_from": said.distilled_from,
        "commit_hash": said.commit_hash,
    }
    now = utc_now().isoformat(timespec="seconds")

    def change(source: RegistrySource) -> Added:
        models = source.models
        notes = []
        taken = any(other.version == version for other in models)
        if taken and not replace:
            raise UsageError(
                f"The registry has a version {version} already. Give the model another one with "
                "--version, or --replace that one."
            )
        place = find_place(models, version) if taken else None
        old: dict[str, Any] = {} if place is None else models[place].fields
        files = msgspec.to_builtins(hashes)
        kept = old.get("metrics") or {}
        if kept and old.get(FILES) != files:
            kept = {}
            notes.append("Its files are not those of before, so that its metrics were dropped.")
        fields = {
            "version": version,
            "base_model": facts["base_model"] or old.get("base_model"),
            "distilled_from": facts["distilled_from"] or old.get("distilled_from"),
            "quantization": facts["quantization"] or old.get("quantization"),
            "model_path": kept_as or str(model),
            "timestamp": now,
            "metrics": kept,
            "active": old.get("active", False),
            "last_good": old.get("last_good", False),
            "commit_hash": facts["commit_hash"] or old.get("commit_hash"),
        }
        fields |= {name: value for name, value in old.items() if name not in fields}
        fields[FILES] = files
        if place is None:
            source.append(fields)
        else:
            source.replace(place, fields)
        return Added(version, fields, taken, tuple(notes))

    return change_registry(registry, change, create=True)


def _header(model: Path) -> GgufInfo | None:
    """What a GGUF model says of itself; None for one in another format."""
    from minionbench.engines.gguf import read_gguf

    if model.is_dir():
        inside = [path for name, path in model_files(model).items() if _is_gguf(name)]
        if len(inside) != 1:
            return None
        return read_gguf(inside[0])
    return read_gguf(model) if _is_gguf(model.name) else None


def _is_gguf(name: str) -> bool:
    return name.lower().endswith(".gguf")


def _version(said: str | None, model: Path) -> str:
    if said is None:
        version = model.stem if _is_gguf(model.name) else model.name
    else:
        version = said
    if not version.strip() or version != version.strip() or not version.isprintable():
        raise UsageError(
            f"{version!r} cannot be a version: it needs visible characters, and none that a "
            "terminal would not show; give one with --version."
        )
    return version
