"""The registry of models: a JSON list, each entry of which is read and judged on its own."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from minionbench.errors import SchemaError, UsageError
from minionbench.schema import ModelType

FULL_PRECISION = frozenset(
    ["none", "full", "f32", "fp32", "float32", "f16", "fp16", "float16", "half", "bf16", "bfloat16"]
)
"""Formats in which weights are trained: naming one does not make a model a quantized one."""

MOST_FILES = 100_000
"""Files looked at in one model's folder. A folder with more is no model's, but `/` or the like."""


class RegistryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the registry. Fields that the benchmark has no use for are left alone."""

    version: Annotated[str, msgspec.Meta(min_length=1)]
    model_path: str | None = None
    """File or folder; a relative one starts at the registry's folder."""
    base_model: str | None = None
    quantization: str | None = None
    distilled_from: str | None = None

    @property
    def model_type(self) -> ModelType:
        """What was done to the base model, by what the entry says of it."""
        return model_type(self.quantization, self.distilled_from)


class UnusableEntry(NamedTuple):
    """An entry that is not a model's."""

    version: str
    """Its own version where it has a usable one, else its place: `registry[3]`."""
    problem: str
    """What is wrong with it."""


class Size(NamedTuple):
    """How large a model's files are."""

    bytes: int | None
    problem: str | None
    """Why the size is not known; None when it is."""


def model_type(quantization: str | None, distilled_from: str | None) -> ModelType:
    """The type of a model, from its weight format and the adapter that it was distilled from."""
    quantized = (quantization or "").strip().lower() not in ("", *FULL_PRECISION)
    if distilled_from:
        return "quantized+distilled" if quantized else "distilled"
    return "quantized" if quantized else "base"


def read_registry(path: Path) -> list[RegistryEntry | UnusableEntry]:
    """The entries of a registry, in its order; those that cannot be used say why.

    The file is only read, never written.

    Raises UsageError when there is no such file or it cannot be read, SchemaError when it is not
    a JSON list.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"There is no registry at {path}.") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"The registry {path} cannot be read: {_why(error)}") from error
    try:
        entries = json.loads(content)
    except RecursionError as error:
        raise SchemaError(f"the registry {path} is nested too deeply to be one") from error
    except ValueError as error:
        raise SchemaError(
            f"the registry {path} is not valid JSON: {error}. It was left as it is; mend it, or "
            "name another one with --registry"
        ) from error
    if not isinstance(entries, list):
        kind = "an object" if isinstance(entries, dict) else f"a {type(entries).__name__}"
        raise SchemaError(f"the registry {path} must be a JSON list of models, and is {kind}")
    return [_entry(index, entry) for index, entry in enumerate(entries)]


def _entry(index: int, entry: object) -> RegistryEntry | UnusableEntry:
    try:
        model = msgspec.convert(entry, RegistryEntry)
        for text in (model.version, model.model_path, model.base_model, model.quantization):
            (text or "").encode()
        (model.distilled_from or "").encode()
    except msgspec.ValidationError as error:
        return UnusableEntry(_version(index, entry), f"registry[{index}]: {error}")
    except UnicodeEncodeError:
        return UnusableEntry(
            _version(index, entry), f"registry[{index}]: it holds text that is not valid Unicode"
        )
    return model


def _version(index: int, entry: object) -> str:
    version: Any = entry.get("version") if isinstance(entry, dict) else None
    if isinstance(version, str) and version and version.isprintable():
        return version
    return f"registry[{index}]"


def model_size(path: Path) -> Size:
    """The size of a model: of its file, or of all files in its folder and the folders in that.

    Links are followed, since model caches are made of them; a file that is reached twice counts
    once. A part that cannot be looked at makes the size unknown: a sum without it would be wrong.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return _folder_size(path)
    except (OSError, ValueError) as error:
        where = getattr(error, "filename", None) or path
        return Size(None, f"{where} cannot be looked at: {_why(error)}")
    if stat.S_ISREG(status.st_mode):
        return Size(status.st_size, None)
    return Size(None, f"{path} is neither a file nor a folder")


def _folder_size(folder: Path) -> Size:
    total = 0
    waiting = [os.fspath(folder)]
    # A link may lead to a folder above it, or to a file that another link leads to, too.
    seen: set[tuple[int, int]] = set()
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                status = os.stat(entry.path)
                identity = (status.st_dev, status.st_ino)
                if identity in seen:
                    continue
                seen.add(identity)
                if len(seen) > MOST_FILES:
                    return Size(None, f"{folder} holds more than {MOST_FILES} files")
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(entry.path)
                elif stat.S_ISREG(status.st_mode):
                    total += status.st_size
    return Size(total, None)


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
