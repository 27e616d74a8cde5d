"""What is in the store: finished runs, runs under way, and what interrupted ones left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from minionbench.errors import UsageError
from minionbench.schema import BenchmarkRun
from minionbench.store.run_folder import (
    AUTOBENCH_PLAN,
    DATA,
    RECORDS,
    RUN_ID,
    RUN_PLAN,
    SWEEP_PLAN,
    is_running,
    recover_command,
)
from minionbench.units import number_of

LATEST = "latest"

State = Literal["complete", "invalid", "running", "interrupted"]


class RunEntry(NamedTuple):
    """One run of the store.

    `complete`: its document is there and valid. `invalid`: there is a document by its name that
    is not one. `running`: its process is alive. `interrupted`: it ended without a document.
    """

    run_id: str
    state: State
    document_path: Path | None
    """None when there is no document."""
    folder: Path | None
    """The folder with records and logs; None when there is none."""
    run: BenchmarkRun | None
    """The document; None unless it is complete."""
    problem: str | None
    """What is wrong with an invalid document."""

    @property
    def records_path(self) -> Path | None:
        """The journal; None when there is none."""
        if self.folder is None:
            return None
        path = self.folder / RECORDS
        return path if path.is_file() else None

    @property
    def way_on(self) -> str | None:
        """The command that makes more of an interrupted run; None where there is none."""
        if self.state != "interrupted" or self.folder is None:
            return None
        if (self.folder / AUTOBENCH_PLAN).is_file():
            return f"minionbench autobench --resume {self.run_id}"
        if (self.folder / SWEEP_PLAN).is_file():
            return f"minionbench sweep --resume {self.run_id}"
        return recover_command(self.run_id) if (self.folder / RUN_PLAN).is_file() else None

    def kept(self) -> int:
        """Finished requests in the journal; of an interrupted run, what is left of it."""
        if self.records_path is None:
            return 0
        with self.records_path.open("rb") as file:
            return sum(line.endswith(b"\n") for line in file)


def list_runs(runs_dir: Path) -> list[RunEntry]:
    """All runs in a folder of documents, the oldest first.

    A folder that does not exist yet has no runs. Raises UsageError when it cannot be read.
    """
    try:
        documents = {path.stem: path for path in _documents(runs_dir)}
        folders = {path.name: path for path in _run_folders(runs_dir / DATA)}
    except OSError as error:
        raise UsageError(f"The folder {runs_dir} cannot be read: {error.strerror}") from error
    return [
        _entry(name, documents.get(name), folders.get(name))
        for name in sorted(documents.keys() | folders.keys())
    ]


def load_run(which: str, runs_dir: Path) -> tuple[Path, BenchmarkRun]:
    """A document and where it lies: by run id, by path, or the latest one.

    `which` is `latest`, a run id with or without its `benchmark_`, or a path.

    Raises UsageError when there is no such run, SchemaError when its document is not valid.
    """
    if which == LATEST:
        return _latest(runs_dir)
    run_id = which if which.startswith("benchmark_") else f"benchmark_{which}"
    if RUN_ID.fullmatch(run_id) is None:
        return Path(which), BenchmarkRun.load(which)
    path = runs_dir / f"{run_id}.json"
    if path.exists():
        return path, BenchmarkRun.load(path)
    folder = runs_dir / DATA / run_id
    if folder.is_dir():
        entry = _entry(run_id, None, folder)
        if entry.state == "running":
            raise UsageError(f"Run {run_id} has no document yet: it is still running.")
        way_on = f" `{entry.way_on}` takes it from there." if entry.way_on else ""
        raise UsageError(
            f"Run {run_id} was interrupted and has no document; the records of its "
            f"{number_of(entry.kept(), 'finished request')} are in {folder}.{way_on}"
        )
    raise UsageError(
        f"There is no run {run_id} in {runs_dir}; `minionbench runs list` shows those there are."
    )


def _latest(runs_dir: Path) -> tuple[Path, BenchmarkRun]:
    # The ids are instants, so that their order is the order of time.
    finished = document_paths(runs_dir)
    if finished:
        path = finished[-1]
        return path, BenchmarkRun.load(path)
    raise UsageError(
        f"There is no finished run in {runs_dir} yet; `minionbench run` makes the first."
    )


def document_paths(runs_dir: Path) -> list[Path]:
    """The documents of a folder by the names that runs give them, the oldest first.

    A folder that does not exist yet has none. Raises OSError when it cannot be read.
    """
    return sorted(path for path in _documents(runs_dir) if RUN_ID.fullmatch(path.stem))


def _documents(runs_dir: Path) -> Iterator[Path]:
    """The files by the name of documents."""
    for entry in _scan(runs_dir):
        if entry.name.startswith("benchmark_") and entry.name.endswith(".json"):
            yield Path(entry.path)


def _run_folders(data: Path) -> Iterator[Path]:
    for entry in _scan(data):
        if RUN_ID.fullmatch(entry.name) and entry.is_dir():
            yield Path(entry.path)


def _scan(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        yield from entries


def _entry(name: str, document: Path | None, folder: Path | None) -> RunEntry:
    if document is None:
        assert folder is not None
        # Asked before looking for the document again: a run writes it before it lets go.
        running = is_running(folder)
        written = folder.parent.parent / f"{name}.json"
        if not written.exists():
            state: State = "running" if running else "interrupted"
            return RunEntry(name, state, None, folder, None, None)
        document = written
    try:
        return RunEntry(name, "complete", document, folder, BenchmarkRun.load(document), None)
    except UsageError as error:
        return RunEntry(name, "invalid", document, folder, None, str(error))
