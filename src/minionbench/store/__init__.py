"""The store: run ids, journals and documents on disk, so that no finished request is ever lost."""

from __future__ import annotations

from minionbench.store.item_list import item_ids_of_run, listed, read_item_ids
from minionbench.store.journal import FinishedRecords, Journal, read_journal, read_records
from minionbench.store.listing import LATEST, RunEntry, list_runs, load_run
from minionbench.store.lock import take
from minionbench.store.place import registry_path, runs_dir, state_dir
from minionbench.store.pruning import PrunedRun, prune_runs
from minionbench.store.run_folder import (
    AUTOBENCH_PLAN,
    DATA,
    RECORDS,
    RUN_ID,
    RUN_PLAN,
    RunFolder,
    is_running,
    recover_command,
    reopen,
    reserve,
    was_abandoned,
)

__all__ = [
    "AUTOBENCH_PLAN",
    "DATA",
    "LATEST",
    "RECORDS",
    "RUN_ID",
    "RUN_PLAN",
    "FinishedRecords",
    "Journal",
    "PrunedRun",
    "RunEntry",
    "RunFolder",
    "is_running",
    "item_ids_of_run",
    "list_runs",
    "listed",
    "load_run",
    "prune_runs",
    "read_item_ids",
    "read_journal",
    "read_records",
    "recover_command",
    "registry_path",
    "reopen",
    "reserve",
    "runs_dir",
    "state_dir",
    "take",
    "was_abandoned",
]
