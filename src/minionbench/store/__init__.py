"""The store: run ids, journals and documents on disk, so that no finished request is ever lost."""

from __future__ import annotations

from minionbench.store.item_list import item_ids_of_run, listed, read_item_ids
from minionbench.store.journal import (
    FinishedRecords,
    Journal,
    read_all_records,
    read_journal,
    read_records,
)
from minionbench.store.line_file import append_line, whole_lines
from minionbench.store.listing import LATEST, RunEntry, document_paths, list_runs, load_run
from minionbench.store.lock import open_of_all_users, take
from minionbench.store.place import registry_path, runs_dir, state_dir
from minionbench.store.pruning import PrunedRun, prune_runs
from minionbench.store.run_folder import (
    AUTOBENCH_PLAN,
    DATA,
    RECORDS,
    RUN_ID,
    RUN_PLAN,
    SWEEP_PLAN,
    RunFolder,
    is_running,
    recover_command,
    reopen,
    reserve,
    run_id_of,
    was_abandoned,
)
from minionbench.store.trace_file import (
    TRACES,
    TraceFile,
    begun,
    boot_id,
    read_facts,
    read_trace,
)

__all__ = [
    "AUTOBENCH_PLAN",
    "DATA",
    "LATEST",
    "RECORDS",
    "RUN_ID",
    "RUN_PLAN",
    "SWEEP_PLAN",
    "TRACES",
    "FinishedRecords",
    "Journal",
    "PrunedRun",
    "RunEntry",
    "RunFolder",
    "TraceFile",
    "append_line",
    "begun",
    "boot_id",
    "document_paths",
    "is_running",
    "item_ids_of_run",
    "list_runs",
    "listed",
    "load_run",
    "open_of_all_users",
    "prune_runs",
    "read_all_records",
    "read_facts",
    "read_item_ids",
    "read_journal",
    "read_records",
    "read_trace",
    "recover_command",
    "registry_path",
    "reopen",
    "reserve",
    "run_id_of",
    "runs_dir",
    "state_dir",
    "take",
    "was_abandoned",
    "whole_lines",
]
