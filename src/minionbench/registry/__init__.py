"""The registry of models: a JSON list that is read entry by entry and changed without losses."""

from __future__ import annotations

from minionbench.registry.activation import Activation, promote, rollback
from minionbench.registry.adding import Added, Description, add_model
from minionbench.registry.hashes import (
    FileHash,
    FileProblem,
    Verified,
    hash_model,
    model_files,
    verify_registry,
)
from minionbench.registry.reading import (
    FULL_PRECISION,
    RegisteredModel,
    RegistryEntry,
    UnusableEntry,
    find_model,
    located,
    model_type,
    own_model,
    placed,
    read_models,
    read_registry,
)
from minionbench.registry.size import MOST_FILES, Size, model_size
from minionbench.registry.writing import change_registry

__all__ = [
    "FULL_PRECISION",
    "MOST_FILES",
    "Activation",
    "Added",
    "Description",
    "FileHash",
    "FileProblem",
    "RegisteredModel",
    "RegistryEntry",
    "Size",
    "UnusableEntry",
    "Verified",
    "add_model",
    "change_registry",
    "find_model",
    "hash_model",
    "located",
    "model_files",
    "model_size",
    "model_type",
    "own_model",
    "placed",
    "promote",
    "read_models",
    "read_registry",
    "rollback",
    "verify_registry",
]
