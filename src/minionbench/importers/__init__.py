"""Importers: what other programs measured, as run documents."""

from __future__ import annotations

from minionbench.importers.importing import KINDS, Imported, import_files, read_results

__all__ = ["KINDS", "Imported", "import_files", "read_results"]
