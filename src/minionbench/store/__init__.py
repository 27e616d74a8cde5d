"""The store: run ids, journals and documents on disk, so that no finished request is ever lost."""

from __future__ import annotations

from minionbench.store.journal import FinishedRecords, Journal, read_journal, read_records
from minionbench.store.listing import LATEST, RunEntry, list_runs, load_run
from minionbench.store.lock import take
from minionbench.store.place import registry_path, runs_dir, state_dir
from minionbench.store.pruning import PrunedRun, prune_runs
from minionbench.store.run_folder import DATA, RunFolder, is_running, reopen, reserve

__all__ = [
    "DATA",
    "LATEST",
    "FinishedRecords",
    "Journal",
    "PrunedRun",
    "RunEntry",
    "RunFolder",
    "is_running",
    "list_runs",
    "load_run",
    "prune_runs",
    "read_journal",
    "read_records",
    "registry_path",
    "reopen",
    "reserve",
    "runs_dir",
    "state_dir",
    "take",
]
