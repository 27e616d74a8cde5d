"""Reading the registry: each entry is judged on its own, so that one bad one hides no other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from minionbench.errors import SchemaError, UsageError
from minionbench.schema import ModelType

FULL_PRECISION = frozenset(
    ["none", "full", "f32", "fp32", "float32", "f16", "fp16", "float16", "half", "bf16", "bfloat16"]
)
"""Formats in which weights are trained: naming one does not make a model a quantized one."""

MOST_LISTED = 20
"""Versions that a message lists."""


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


class RegisteredModel(NamedTuple):
    """An entry with all that stands in it."""

    entry: RegistryEntry | UnusableEntry
    fields: Any
    """The JSON value, fields that are not known here included; an object unless it is unusable."""

    @property
    def version(self) -> str:
        """What it is called."""
        return self.entry.version

    @property
    def active(self) -> bool:
        """Whether it is the model in use."""
        return has_mark(self.fields, "active")

    @property
    def last_good(self) -> bool:
        """Whether it is the model that a rollback goes back to."""
        return has_mark(self.fields, "last_good")


def has_mark(fields: object, name: str) -> bool:
    """Whether an entry's field is `true`; anything else that may stand there is not."""
    return isinstance(fields, dict) and fields.get(name) is True


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
    return [model.entry for model in read_models(path)]


def read_models(path: Path) -> list[RegisteredModel]:
    """The entries of a registry with all that stands in them; raises as `read_registry` does."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"There is no registry at {path}.") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"The registry {path} cannot be read: {why(error)}") from error
    return registered(parsed(content, path))


def parsed(content: bytes, path: Path) -> list[Any]:
    """The JSON list that a registry's bytes are; `path` is named in messages.

    Raises SchemaError when they are something else.
    """
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
    return entries


def registered(entries: Sequence[Any]) -> list[RegisteredModel]:
    """The entries of a list, each judged on its own."""
    return [RegisteredModel(_entry(index, entry), entry) for index, entry in enumerate(entries)]


def find_model(models: Sequence[RegisteredModel], version: str) -> RegisteredModel:
    """The one entry of a version that can be used.

    Raises UsageError when there is none, it cannot be used, or there are several.
    """
    return models[find_place(models, version)]


def find_place(models: Sequence[RegisteredModel], version: str) -> int:
    """The place of the one entry of a version; raises as `find_model` does."""
    places = [place for place, model in enumerate(models) if model.version == version]
    if not places:
        known = [model.version for model in models]
        more = f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
        there = f"there are {', '.join(known[:MOST_LISTED])}{more}" if known else "it is empty"
        raise UsageError(f"The registry has no version {version}: {there}.")
    if len(places) > 1:
        raise UsageError(
            f"Version {version} stands in the registry {len(places)} times, so that nobody can "
            "tell which is meant. Rename or remove all but one in the file."
        )
    entry = models[places[0]].entry
    if isinstance(entry, UnusableEntry):
        raise UsageError(f"Version {version} cannot be used: {entry.problem}")
    return places[0]


def located(model_path: str, registry: Path) -> Path:
    """Where a model is that an entry of a registry names; a relative path starts at its folder.

    `reference/q8_0` and its like are the models that come with the program, unless there is
    something at that path.

    Raises UsageError when the path begins with the home of a user who is not known.
    """
    return placed(model_path, registry.absolute().parent)


def placed(model_path: str, folder: Path) -> Path:
    """Where a model is that is named in a folder: `located`, by the registry's folder."""
    try:
        path = folder / Path(model_path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"Model path names an unknown user's home: {model_path}") from error
    own = own_model(model_path)
    return path if own is None or path.exists() else own


def own_model(named: str) -> Path | None:
    """The file of the model that comes with the program under this name; None for another name."""
    provider, slash, form = named.partition("/")
    if provider != "reference" or not slash:
        return None
    from minionbench.engines.catalog import REFERENCE_FORMATS, ModelSpec

    return ModelSpec.parse(named).file if form.lower() in REFERENCE_FORMATS else None


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


def why(error: Exception) -> str:
    """What the operating system says went wrong, without its number and file name."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
