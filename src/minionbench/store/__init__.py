"""The store: run ids, journals and documents on disk, so that no finished request is ever lost."""

from __future__ import annotations

from minionbench.store.journal import FinishedRecords, Journal, read_journal, read_records
from minionbench.store.listing import LATEST, RunEntry, list_runs, load_run
from minionbench.store.place import registry_path, runs_dir, state_dir
from minionbench.store.run_folder import RunFolder, reserve

__all__ = [
    "LATEST",
    "FinishedRecords",
    "Journal",
    "RunEntry",
    "RunFolder",
    "list_runs",
    "load_run",
    "read_journal",
    "read_records",
    "registry_path",
    "reserve",
    "runs_dir",
    "state_dir",
]
