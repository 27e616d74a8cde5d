"""Making the chosen model the active one in the registry."""

from __future__ import annotations

from pathlib import Path

from minionbench.errors import UsageError
from minionbench.registry import (
    Activation,
    RegistryEntry,
    find_model,
    located,
    model_files,
    model_size,
    promote,
    read_models,
)
from minionbench.schema import BenchmarkCandidate
from minionbench.select.choice import Selection
from minionbench.units import BYTES_PER_MB


def promote_choice(selection: Selection, registry: Path) -> Activation:
    """Makes the chosen candidate's version the active one of a registry.

    Raises UsageError when there is no choice, the options are deployments, several candidates of
    the run have its version, the registry has no such version, or its model is not the one that
    was measured.
    """
    if selection.of_deployments:
        raise UsageError(
            f"{selection.run_id} chooses among deployments, and a registry holds models, so that "
            "nothing can be promoted. Leave out --promote; to make a model the active one take "
            "`minionbench registry promote VERSION`, or a run of `minionbench autobench`."
        )
    chosen = selection.chosen
    if chosen is None:
        raise UsageError("No candidate was chosen, so that none can be promoted.")
    same = [one for one in selection.assessments if one.version == chosen.version]
    if len(same) > 1:
        raise UsageError(
            f"{len(same)} candidates of the run are called {chosen.version}, so that nobody can "
            "tell which of them the registry means. Nothing was promoted."
        )
    _require_same_model(chosen.candidate, registry)
    return promote(registry, chosen.version)


def _require_same_model(candidate: BenchmarkCandidate, registry: Path) -> None:
    entry = find_model(read_models(registry), candidate.version).entry
    assert isinstance(entry, RegistryEntry)
    if candidate.model_path != entry.model_path:
        raise UsageError(
            f"{candidate.version} was measured at {candidate.model_path}, and the registry has it "
            f"at {entry.model_path}. Nothing was promoted; measure it again."
        )
    if entry.model_path is None or candidate.file_size_mb is None:
        return
    path = located(entry.model_path, registry)
    try:
        size = model_size(path).bytes if path.is_dir() else _files_size(path)
    except OSError as error:
        raise UsageError(
            f"The model of {candidate.version} cannot be looked at: {error}"
        ) from error
    if size is not None and abs(size / BYTES_PER_MB - candidate.file_size_mb) > 1e-6:
        raise UsageError(
            f"The model of {candidate.version} has another size now than when it was measured "
            f"({size / BYTES_PER_MB:g} MB, {candidate.file_size_mb:g} MB then). Nothing was "
            "promoted; measure it again."
        )


def _files_size(path: Path) -> int:
    """Bytes of a model's file, and of its other parts where it is split."""
    return sum(part.stat().st_size for part in model_files(path).values())
