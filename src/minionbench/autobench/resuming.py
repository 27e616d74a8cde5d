"""What an interrupted run has left: which one it was, and which of its records count."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from minionbench.autobench.done import Finished
from minionbench.autobench.plan import PLAN, Plan
from minionbench.autobench.task import Tasks
from minionbench.errors import MinionbenchError, UsageError
from minionbench.records import RequestRecord
from minionbench.schema import BenchmarkRun
from minionbench.store import DATA, RunFolder, is_running, read_journal


def latest_interrupted(documents: Path) -> str:
    """Id of the latest run of the registry benchmark that did not come to its end."""
    found = [
        plan.parent.name
        for plan in (documents.absolute() / DATA).glob(f"*/{PLAN}")
        if not is_complete(documents, plan.parent.name) and not is_running(plan.parent)
    ]
    if not found:
        raise UsageError(
            f"No run of the registry benchmark in {documents} was interrupted: there is nothing to "
            "resume."
        )
    return max(found)


def is_complete(documents: Path, run_id: str) -> bool:
    """Whether a run's document says that it came to its end."""
    path = documents / f"{run_id}.json"
    try:
        return path.exists() and BenchmarkRun.load(path).metadata.finished is not False
    except MinionbenchError:
        return False


def earlier_records(
    plan: Plan, tasks: Tasks, folder: RunFolder, done: Mapping[int, Finished]
) -> dict[str, list[RequestRecord]]:
    """The records of models that the run is not done with, by cell.

    A request that was cut off by the end of the run is asked again, and its first record is of no
    use any more; of warm-up nothing is taken over either.
    """
    wanted = {
        f"{plan.slugs[place]}.{cell_id}"
        for place in plan.order
        if place not in done
        for cell_id in tasks.cell_ids
    }
    path = folder.folder / "records.jsonl"
    if not path.exists():
        return {}
    kept: dict[str, list[RequestRecord]] = {}
    for record in read_journal(path):
        if record.cell in wanted and record.phase == "measured" and not was_cut(record):
            kept.setdefault(record.cell, []).append(record)
    return kept


def was_cut(record: RequestRecord) -> bool:
    """Whether a request was cut off by the end of the run, so that it is asked again."""
    return record.outcome.value in ("cut", "not_sent")
