"""SHA-256 of a model's files: stored when it is added, compared when it is verified."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from minionbench.errors import UsageError
from minionbench.registry.reading import (
    RegisteredModel,
    UnusableEntry,
    find_model,
    located,
    read_models,
    why,
)
from minionbench.registry.size import MOST_FILES

FILES = "files"
"""Field of an entry that holds its files' hashes; programs that do not know it pass it over."""

_PART = re.compile(r"(.+)-00001-of-(\d{5})(\.gguf)", re.IGNORECASE)


class FileHash(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file held when the model was added."""

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, msgspec.Meta(ge=0)]


class FileProblem(NamedTuple):
    """A file that is not as it was stored."""

    file: str
    """Relative to the model's folder, or the model's own name; with forward slashes."""
    state: Literal["changed", "missing", "unreadable", "new"]
    detail: str


class Verified(NamedTuple):
    """What is to be said of a model's files.

    `intact`: all are as they were stored. `damaged`: some are not. `unverified`: its files are
    there, but no hashes were stored. `unusable`: there is no model to look at.
    """

    version: str
    state: Literal["intact", "damaged", "unverified", "unusable"]
    path: Path | None
    problems: tuple[FileProblem, ...] = ()
    reason: str | None = None
    """Why it is unverified or unusable."""

    @property
    def off(self) -> bool:
        """Whether something is wrong with the model."""
        return self.state in ("damaged", "unusable")


def model_files(path: Path) -> dict[str, Path]:
    """The files of a model by name: itself, all parts of a split GGUF file, or a folder's.

    Names are relative to the model's folder, with forward slashes, in their order. Links are
    followed; a folder that is reached twice counts once.

    Raises UsageError when a part cannot be looked at.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            found = _folder_files(path)
        elif stat.S_ISREG(status.st_mode):
            found = {part.name: part for part in _parts(path)}
        else:
            raise UsageError(f"{path} is neither a file nor a folder.")
    except (OSError, ValueError) as error:
        where = Path(getattr(error, "filename", None) or path)
        if where == path and isinstance(error, FileNotFoundError):
            raise UsageError(f"There is no model at {path}.") from error
        raise UsageError(f"{where} cannot be looked at: {why(error)}") from error
    for name in found:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{name!r} in {path} is no name that JSON can hold.") from error
    return dict(sorted(found.items()))


def _parts(path: Path) -> list[Path]:
    match = _PART.fullmatch(path.name)
    if match is None:
        return [path]
    return [
        path.with_name(f"{match[1]}-{part:05}-of-{match[2]}{match[3]}")
        for part in range(1, int(match[2]) + 1)
    ]


def _folder_files(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    waiting = [PurePosixPath()]
    status = folder.stat()
    seen = {(status.st_dev, status.st_ino)}
    looked_at = 0
    while waiting:
        inside = waiting.pop()
        with os.scandir(folder / inside) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                looked_at += 1
                if looked_at > MOST_FILES:
                    raise UsageError(f"{folder} holds more than {MOST_FILES} files: no model's.")
                status = os.stat(entry.path)
                if stat.S_ISREG(status.st_mode):
                    found[str(inside / entry.name)] = Path(entry.path)
                elif stat.S_ISDIR(status.st_mode):
                    identity = (status.st_dev, status.st_ino)
                    if identity not in seen:
                        seen.add(identity)
                        waiting.append(inside / entry.name)
    return found


def hash_model(path: Path) -> dict[str, FileHash]:
    """The hashes of a model's files by name.

    Raises UsageError when a file cannot be read, or there is none.
    """
    hashes = {}
    for name, file in model_files(path).items():
        try:
            hashes[name] = _hashed(file)
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {why(error)}") from error
    if not hashes:
        raise UsageError(f"There are no files in {path}.")
    return hashes


def _hashed(file: Path) -> FileHash:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
        return FileHash(digest.hexdigest(), content.tell())


def stored_hashes(fields: Mapping[str, Any]) -> dict[str, FileHash] | None:
    """The hashes that stand in an entry; None when there are none.

    Raises UsageError when what stands there has another form.
    """
    if fields.get(FILES) is None:
        return None
    try:
        stored = msgspec.convert(fields[FILES], dict[str, FileHash])
    except msgspec.ValidationError as error:
        raise UsageError(f"its field {FILES!r} has another form: {error}") from error
    for name in stored:
        path = PurePosixPath(name)
        if "\0" in name or path.is_absolute() or ".." in path.parts:
            raise UsageError(f"its field {FILES!r} names {name!r}, which is not inside the model")
    return stored or None


def verify_registry(registry: Path, versions: Sequence[str] = ()) -> list[Verified]:
    """Reads the files of all models, or of those named, and compares them with what was stored.

    Raises UsageError when the registry cannot be read or has no such version, SchemaError when
    it is not a JSON list.
    """
    models = read_models(registry)
    if versions:
        models = [find_model(models, version) for version in dict.fromkeys(versions)]
    return [_verified(model, registry) for model in models]


def _verified(model: RegisteredModel, registry: Path) -> Verified:
    entry = model.entry
    if isinstance(entry, UnusableEntry):
        return Verified(entry.version, "unusable", None, reason=entry.problem)
    if not entry.model_path:
        return Verified(entry.version, "unusable", None, reason="its entry names no model_path")
    try:
        path = located(entry.model_path, registry)
    except UsageError as error:
        return Verified(entry.version, "unusable", None, reason=str(error))
    try:
        stored = stored_hashes(model.fields)
    except UsageError as error:
        return Verified(entry.version, "unusable", path, reason=str(error))
    if stored is None:
        try:
            model_files(path)
        except UsageError as error:
            return Verified(entry.version, "unusable", path, reason=str(error))
        reason = "no hashes were stored; `minionbench registry add --replace` stores them"
        return Verified(entry.version, "unverified", path, reason=reason)
    problems = tuple(_problems(path, stored))
    return Verified(entry.version, "damaged" if problems else "intact", path, problems)


def _problems(path: Path, stored: Mapping[str, FileHash]) -> list[FileProblem]:
    folder = path if path.is_dir() else path.parent
    problems = []
    for name, was in stored.items():
        try:
            size = (folder / name).stat().st_size
            if size != was.bytes:
                detail = f"it had {was.bytes:,} bytes, and has {size:,}"
                problems.append(FileProblem(name, "changed", detail))
            elif _hashed(folder / name) != was:
                detail = "its size is the same, its content is not"
                problems.append(FileProblem(name, "changed", detail))
        except (FileNotFoundError, NotADirectoryError):
            problems.append(FileProblem(name, "missing", f"there is no {folder / name}"))
        except OSError as error:
            problems.append(FileProblem(name, "unreadable", why(error)))
    if path.is_dir():
        try:
            new = model_files(path).keys() - stored.keys()
        except UsageError as error:
            problems.append(FileProblem(".", "unreadable", str(error)))
        else:
            detail = "it was not there when the model was added"
            problems += [FileProblem(name, "new", detail) for name in sorted(new)]
    return problems
