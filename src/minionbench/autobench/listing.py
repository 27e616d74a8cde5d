"""What a registry holds today: its entries as models, with their sizes and what is wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from minionbench.errors import UsageError
from minionbench.registry import RegistryEntry, Size, UnusableEntry, model_size, model_type, placed
from minionbench.schema import (
    BenchmarkCandidate,
    CellResult,
    Factors,
    MetricResult,
    registry_metrics,
)
from minionbench.schema.run import ModelType
from minionbench.units import BYTES_PER_MB


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the registry as it was when the run began."""

    version: str
    model_type: ModelType | None = None
    model_path: str | None = None
    """As the registry says it."""
    base_model: str | None = None
    quantization: str | None = None
    distilled_from: str | None = None
    path: str | None = None
    """Where it was looked for; None for an entry that names no place."""
    problem: str | None = None
    """Why it cannot be measured; None when it can."""
    size_bytes: int | None = None
    parameters: int | None = None
    mark: tuple[int, int] | None = None
    """Size and time of the last change of its file, or of the weights in its folder, by which a
    change is noticed later."""
    notes: tuple[str, ...] = ()

    def candidate(
        self,
        metrics: Mapping[str, MetricResult],
        *,
        factors: Factors | None = None,
        cells: Sequence[CellResult] = (),
        notes: Sequence[str] = (),
    ) -> BenchmarkCandidate:
        """The model as the document carries it."""
        size = self.size_bytes
        return BenchmarkCandidate(
            version=self.version,
            model_type=self.model_type,
            model_path=self.model_path,
            base_model=self.base_model,
            quantization=self.quantization,
            distilled_from=self.distilled_from,
            file_size_mb=None if size is None else size / BYTES_PER_MB,
            parameter_count=self.parameters,
            metrics=dict(metrics),
            factors=factors,
            cells=tuple(cells),
            notes=(*self.notes, *notes),
        )

    def unmeasured(self, result: MetricResult) -> BenchmarkCandidate:
        """The candidate of which nothing is measured: every metric is `result`, or its problem."""
        if self.problem is not None:
            result = MetricResult.error(self.problem)
        return self.candidate(registry_metrics(result))


def listed(entries: Sequence[RegistryEntry | UnusableEntry], folder: Path) -> list[Listed]:
    """The entries as models, in the registry's order; relative paths start at `folder`."""
    times = Counter(entry.version for entry in entries)
    looked_at: dict[Path, _Found] = {}
    models = []
    for entry in entries:
        notes: tuple[str, ...] = ()
        if times[entry.version] > 1:
            notes = (f"This version stands in the registry {times[entry.version]} times.",)
        if isinstance(entry, UnusableEntry):
            problem = f"The registry's entry cannot be used: {entry.problem}"
            models.append(Listed(version=entry.version, problem=problem, notes=notes))
            continue
        path, why = _place(entry, folder)
        found = _Found(why)
        if path is not None:
            if path not in looked_at:
                looked_at[path] = _look_at(path)
            found = looked_at[path]
        models.append(
            Listed(
                version=entry.version,
                model_type=entry.model_type,
                model_path=entry.model_path,
                base_model=entry.base_model,
                quantization=entry.quantization,
                distilled_from=entry.distilled_from,
                path=None if path is None else str(path),
                problem=None if found.problem is None else shown(found.problem),
                size_bytes=found.bytes,
                parameters=found.parameters,
                mark=found.mark,
                notes=(*notes, *map(shown, found.notes), *_contradiction(entry, found)),
            )
        )
    return models


def shown(path: Path | str) -> str:
    """A path, or a message with one, as a document can hold it: stray bytes become escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def mark_of(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change of a file, or of the weights in a folder; None when there
    are none."""
    try:
        files = [path] if path.is_file() else [f for f in path.iterdir() if _is_weights(f)]
        found = [file.stat() for file in files]
    except (OSError, ValueError):
        return None
    if not found:
        return None
    return sum(one.st_size for one in found), max(one.st_mtime_ns for one in found)


def _is_weights(path: Path) -> bool:
    return path.suffix.lower() in (".gguf", ".safetensors") and path.is_file()


class _Found(NamedTuple):
    """What is found at a model's path."""

    problem: str | None
    """Why it cannot be measured; None when it can."""
    bytes: int | None = None
    parameters: int | None = None
    format: str | None = None
    """The weight format that the file itself names."""
    mark: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


def _place(entry: RegistryEntry, folder: Path) -> tuple[Path | None, str | None]:
    """Where the model is, or why nobody can tell."""
    if not entry.model_path:
        return None, "The registry's entry names no model_path"
    try:
        return placed(entry.model_path, folder), None
    except UsageError as error:
        return None, str(error)


def _look_at(path: Path) -> _Found:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _Found(f"Model path does not exist: {path}")
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        return _Found(f"Model path cannot be looked at: {path}: {why}")
    if path.suffix.lower() == ".gguf" and path.is_file():
        return _look_at_gguf(path)
    return _sized(model_size(path))._replace(mark=mark_of(path))


def _look_at_gguf(path: Path) -> _Found:
    from minionbench.engines.gguf import read_gguf

    mark = mark_of(path)
    try:
        info = read_gguf(path)
    except UsageError as error:
        found = _sized(model_size(path))
        notes = (*found.notes, f"The parameters were not counted: {error}")
        return found._replace(notes=notes, mark=mark)
    return _Found(None, info.file_size_bytes, info.parameter_count, info.quantization, mark)


def _sized(size: Size) -> _Found:
    notes = () if size.problem is None else (f"The size is not known: {size.problem}",)
    return _Found(None, size.bytes, notes=notes)


def _contradiction(entry: RegistryEntry, found: _Found) -> tuple[str, ...]:
    """What to note where the registry and the file disagree about the weight format.

    Names differ from tool to tool ("4bit", "Q4_K_M"), so that only two things can be compared:
    whether the weights are quantized at all, and two names that are both of GGUF's kind.
    """
    if found.format is None:
        return ()
    said = (entry.quantization or "").strip()
    quantized = [model_type(name, None) == "quantized" for name in (said, found.format)]
    of_gguf = re.fullmatch(r"(I?Q\d|MXFP|NVFP|TQ|BF16|F16|F32).*", said.upper()) is not None
    if quantized[0] == quantized[1] and not (of_gguf and said.upper() != found.format):
        return ()
    named = f"{said!r}" if said else "nothing"
    return (f"The registry says {named} of the weight format, and the file {found.format!r}.",)
