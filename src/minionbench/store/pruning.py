"""Old runs go: documents with their folders, the oldest first, down to a number."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from minionbench.errors import SetupError, UsageError
from minionbench.store.lock import take
from minionbench.store.run_folder import DATA, LOCK, RUN_ID, is_running
from minionbench.units import number_of

_DOOMED = ".pruned-"
"""Put before the id of a folder that is being removed, so that nobody takes it for a run's."""


class PrunedRun(NamedTuple):
    """A run that was removed, or in a dry run would be."""

    run_id: str
    bytes: int
    """Of its document and of the files in its folder."""


def prune_runs(runs_dir: Path, keep: int, *, dry_run: bool = False) -> list[PrunedRun]:
    """Removes all but the newest `keep` runs of a folder of documents; returns those removed.

    Interrupted runs, and those whose document is not valid, are runs like any other. A run under
    way is never removed and does not count. Files whose names are not those of runs are left
    alone. If it is interrupted, the next call finishes what it began.

    Raises UsageError when `keep` is less than 1 or the folder cannot be read, SetupError when
    something cannot be removed; what went before is gone.
    """
    if keep < 1:
        raise UsageError(f"At least 1 run has to be kept, not {keep}.")
    data = runs_dir / DATA
    try:
        runs = {path.stem for path in runs_dir.glob("benchmark_*.json")}
        runs |= {path.name for path in data.glob("benchmark_*")}
        leftovers = [] if dry_run else list(data.glob(f"{_DOOMED}*"))
    except OSError as error:
        raise UsageError(f"The folder {runs_dir} cannot be read: {error.strerror}") from error
    # The ids are instants, so that their order is the order of time.
    ended = sorted(run for run in runs if RUN_ID.fullmatch(run) and not is_running(data / run))
    pruned = []
    try:
        for leftover in leftovers:
            _remove(leftover)
        for run_id in ended[:-keep]:
            document, folder = runs_dir / f"{run_id}.json", data / run_id
            size = sum(map(_size, (document, folder)))
            if dry_run or _prune(document, folder, data / f"{_DOOMED}{run_id}"):
                pruned.append(PrunedRun(run_id, size))
    except OSError as error:
        raise SetupError(
            f"{error.filename or runs_dir} could not be removed: {error.strerror}. "
            f"{number_of(len(pruned), 'older run is', 'older runs are')} gone."
        ) from error
    return pruned


def _prune(document: Path, folder: Path, doomed: Path) -> bool:
    """Removes a run unless it has been resumed since it was looked at."""
    held = None
    try:
        if folder.is_dir() and not folder.is_symlink():
            held = take(folder / LOCK)
        if os.path.lexists(folder):
            folder.rename(doomed)
        document.unlink(missing_ok=True)
        _remove(doomed)
    except BlockingIOError:
        return False
    finally:
        if held is not None:
            os.close(held)
    return True


def _size(path: Path) -> int:
    """Bytes that would be free without a file or folder; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        return sum(_size(inner) for inner in path.iterdir())
    return path.lstat().st_size if os.path.lexists(path) else 0


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
