"""The registry benchmark: every model of the registry becomes a candidate of one document."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from minionbench import __version__
from minionbench.errors import UsageError
from minionbench.registry import (
    RegistryEntry,
    Size,
    UnusableEntry,
    model_size,
    model_type,
    read_registry,
)
from minionbench.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    MetricResult,
    RunMetadata,
    registry_metrics,
)
from minionbench.store import RunFolder, registry_path, reserve, runs_dir
from minionbench.system import git_facts, redact, system_info
from minionbench.units import BYTES_PER_MB

DRY_RUN = "dry run: the model was listed, not measured"
NOT_MEASURED = (
    "this version lists the models of a registry and does not measure them; "
    "`minionbench run -m llamacpp/PATH.gguf` measures one"
)


class AutobenchOutcome(NamedTuple):
    """A registry benchmark that has ended, and where its document is."""

    run: BenchmarkRun
    path: Path

    @property
    def exit_code(self) -> int:
        """0 for a dry run, or when every metric was measured; else 1."""
        measured = all(
            metric.status == "ok"
            for candidate in self.run.candidates
            for metric in candidate.metrics.values()
        )
        return 0 if self.run.metadata.dry_run or measured else 1


def run_benchmark(
    registry_path: str | os.PathLike[str] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
    *,
    argv: Sequence[str] | None = None,
) -> Path:
    """Writes the document of a registry and returns its path; see `run_autobench`."""
    return run_autobench(registry_path, output_dir, dry_run, argv=argv).path


def run_autobench(
    registry: str | os.PathLike[str] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
    *,
    argv: Sequence[str] | None = None,
) -> AutobenchOutcome:
    """Writes one document with a candidate for each model of a registry.

    This version lists: the metrics of a model that is there are `skipped` with the reason, those
    of one that is not are `error`, in a dry run and without.

    Args:
        registry: the registry's file; None for the state directory's, which a dry run may do
            without.
        output_dir: the folder of the document; None for the state directory's.
        dry_run: only list the models.
        argv: the command that the document shows; None takes this process's own.

    Raises:
        UsageError: the registry is not there, or cannot be read.
        SchemaError: the registry is not a JSON list. It is never written to.
        SetupError: the document cannot be written.
    """
    path, entries, notes = _entries(registry, dry_run)
    with reserve(runs_dir(output_dir)) as folder:
        candidates = _candidates(entries, path.parent, DRY_RUN if dry_run else NOT_MEASURED)
        run = BenchmarkRun(
            metadata=_metadata(folder, dry_run, argv, notes),
            system_info=system_info(),
            candidates=tuple(candidates),
        )
        return AutobenchOutcome(run, folder.write(run))


def _entries(
    named: str | os.PathLike[str] | None, dry_run: bool
) -> tuple[Path, list[RegistryEntry | UnusableEntry], list[str]]:
    """The registry's path, its entries, and what the document should note about it."""
    if named is not None:
        if not os.fspath(named):
            raise UsageError("The registry has no name; give --registry a path.")
        path = Path(named).absolute()
    else:
        path = registry_path()
        if not os.path.lexists(path):
            expected = f"There is no registry yet: it is expected at {_shown(path)}."
            if dry_run:
                return path, [], [expected]
            raise UsageError(f"{expected} Put a JSON list of models there, or name one.")
    entries = read_registry(path)
    notes = [f"The registry is {_shown(path)}."]
    repeated = sum(count > 1 for count in Counter(entry.version for entry in entries).values())
    if repeated:
        notes.append(f"Versions that stand in the registry more than once: {repeated}.")
    return path, entries, notes


def _metadata(
    folder: RunFolder, dry_run: bool, argv: Sequence[str] | None, notes: list[str]
) -> RunMetadata:
    git = git_facts()
    return RunMetadata(
        run_id=folder.run_id,
        timestamp=folder.timestamp,
        git_sha=git.sha,
        git_branch=git.branch,
        git_dirty=git.dirty,
        command_line=redact(sys.argv if argv is None else argv),
        dry_run=dry_run,
        program_version=__version__,
        finished=True,
        notes=tuple(notes),
    )


def _candidates(
    entries: Sequence[RegistryEntry | UnusableEntry], folder: Path, reason: str
) -> list[BenchmarkCandidate]:
    """One candidate per entry, in the registry's order; `reason` is why nothing is measured."""
    unmeasured = registry_metrics(MetricResult.skipped(reason))
    times = Counter(entry.version for entry in entries)
    looked_at: dict[Path, _Model] = {}
    candidates = []
    for entry in entries:
        notes = []
        if times[entry.version] > 1:
            notes.append(f"This version stands in the registry {times[entry.version]} times.")
        if isinstance(entry, UnusableEntry):
            candidates.append(
                BenchmarkCandidate(
                    version=entry.version,
                    metrics=_failed(f"The registry's entry cannot be used: {entry.problem}"),
                    notes=tuple(notes),
                )
            )
            continue
        model = _model(entry, folder, looked_at)
        candidates.append(
            BenchmarkCandidate(
                version=entry.version,
                model_type=entry.model_type,
                model_path=entry.model_path,
                base_model=entry.base_model,
                quantization=entry.quantization,
                distilled_from=entry.distilled_from,
                file_size_mb=None if model.bytes is None else model.bytes / BYTES_PER_MB,
                parameter_count=model.parameters,
                metrics=unmeasured if model.problem is None else _failed(_shown(model.problem)),
                notes=(*notes, *map(_shown, model.notes), *_contradiction(entry, model)),
            )
        )
    return candidates


def _failed(message: str) -> dict[str, MetricResult]:
    return registry_metrics(MetricResult.error(message))


def _shown(path: Path | str) -> str:
    """A path, or a message with one, as a document can hold it: stray bytes become escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode()


class _Model(NamedTuple):
    """What is found at a model's path."""

    problem: str | None
    """Why it cannot be measured; None when it can."""
    bytes: int | None = None
    parameters: int | None = None
    format: str | None = None
    """The weight format that the file itself names."""
    notes: tuple[str, ...] = ()


def _model(entry: RegistryEntry, folder: Path, looked_at: dict[Path, _Model]) -> _Model:
    """What is at the entry's path; a path that several entries share is looked at once."""
    if not entry.model_path:
        return _Model("The registry's entry names no model_path")
    try:
        path = folder / Path(entry.model_path).expanduser()
    except RuntimeError:
        return _Model(f"Model path names an unknown user's home: {entry.model_path}")
    if path not in looked_at:
        looked_at[path] = _look_at(path)
    return looked_at[path]


def _look_at(path: Path) -> _Model:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _Model(f"Model path does not exist: {path}")
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        return _Model(f"Model path cannot be looked at: {path}: {why}")
    if path.suffix.lower() == ".gguf" and path.is_file():
        return _look_at_gguf(path)
    return _sized(model_size(path))


def _look_at_gguf(path: Path) -> _Model:
    from minionbench.engines.gguf import read_gguf

    try:
        info = read_gguf(path)
    except UsageError as error:
        model = _sized(model_size(path))
        notes = (*model.notes, f"The parameters were not counted: {error}")
        return model._replace(notes=notes)
    return _Model(None, info.file_size_bytes, info.parameter_count, info.quantization)


def _sized(size: Size) -> _Model:
    notes = () if size.problem is None else (f"The size is not known: {size.problem}",)
    return _Model(None, size.bytes, notes=notes)


def _contradiction(entry: RegistryEntry, model: _Model) -> tuple[str, ...]:
    """What to note where the registry and the file disagree about the weight format.

    Names differ from tool to tool ("4bit", "Q4_K_M"), so that only two things can be compared:
    whether the weights are quantized at all, and two names that are both of GGUF's kind.
    """
    if model.format is None:
        return ()
    said = (entry.quantization or "").strip()
    quantized = [model_type(name, None) == "quantized" for name in (said, model.format)]
    of_gguf = re.fullmatch(r"(I?Q\d|MXFP|NVFP|TQ|BF16|F16|F32).*", said.upper()) is not None
    if quantized[0] == quantized[1] and not (of_gguf and said.upper() != model.format):
        return ()
    named = f"{said!r}" if said else "nothing"
    return (f"The registry says {named} of the weight format, and the file {model.format!r}.",)
