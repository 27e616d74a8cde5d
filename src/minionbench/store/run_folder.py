"""The folder of one run: its id, its journal and, when it is done, its document."""

from __future__ import annotations

import contextlib
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from minionbench.clock import utc_now
from minionbench.errors import SetupError, UsageError
from minionbench.schema import BenchmarkRun, write_atomically
from minionbench.store.journal import Journal
from minionbench.store.lock import is_locked, lock, take
from minionbench.store.trace_file import TRACES, TraceFile, read_trace
from minionbench.traces import Trace
from minionbench.units import number_of

DATA = "data"
"""Folder beside the documents that holds one folder per run."""
RECORDS = "records.jsonl"
LOGS = "logs"
LOCK = "lock"
RUN_PLAN = "experiment.json"
"""What a run is going to do: by it a run that was killed gets its document all the same."""
AUTOBENCH_PLAN = "plan.json"
"""What a run of the registry benchmark is going to do: by it an interrupted one goes on."""
SWEEP_PLAN = "sweep.json"
"""What a sweep is going to do: by it an interrupted one goes on, too."""

RUN_ID = re.compile(r"benchmark_[0-9]{8}_[0-9]{6}")

SECONDS_TRIED = 3_600
"""Seconds after the present one whose ids are tried: more runs than that never start at once."""


class RunFolder:
    """One run's place in the store, reserved for it alone.

    As a context manager it holds a lock that tells others that the run is alive; the kernel
    releases it with the process, however that ends.
    """

    def __init__(self, folder: Path, started: datetime, *, lock_held: int | None = None) -> None:
        """`lock_held` is that of a folder that is opened again; a new one's is made here."""
        self.folder = folder
        """`data/<run_id>/`: journal, logs and whatever else belongs to the run."""
        self.run_id = folder.name
        self.started = started
        """When the run began, in UTC."""
        self.runs_dir = folder.parent.parent
        """The folder of the documents."""
        self.document_path = self.runs_dir / f"{self.run_id}.json"
        """Where the document will be when the run is done."""
        self._journal: Journal | None = None
        self._traces: TraceFile | None = None
        self._planned = False
        self._written = False
        self._again = lock_held is not None
        self._lock = lock(folder / LOCK) if lock_held is None else lock_held

    @property
    def timestamp(self) -> str:
        """When the run began, as the document says it."""
        return self.started.isoformat(timespec="seconds")

    def journal(self) -> Journal:
        """The run's journal; the same one however often it is asked for."""
        if self._journal is None:
            self._journal = Journal(
                self.folder / RECORDS, f"{DATA}/{self.run_id}/{RECORDS}", go_on=self._again
            )
        return self._journal

    def traces(self) -> TraceFile:
        """Where what the meters say is kept; the same one however often it is asked for."""
        if self._traces is None:
            self._traces = TraceFile(self.folder / TRACES)
        return self._traces

    def trace(self, since: int = 0) -> Trace | None:
        """What the meters have said, from a byte of their file on; None where none was looked at.

        Raises SchemaError when the file is damaged, SetupError when it cannot be read.
        """
        return read_trace(self.folder / TRACES, since)

    def log_folder(self) -> Path:
        """The folder for the logs of engines, made when it is first asked for."""
        folder = self.folder / LOGS
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise SetupError(f"The folder {folder} cannot be made: {error.strerror}") from error
        return folder

    def keep_plan(self, content: bytes) -> None:
        """Puts the run's plan on file, in place of an earlier one; it stays until the document is.

        Raises SetupError when it cannot be written.
        """
        write_atomically(self.folder / RUN_PLAN, content)
        self._planned = True

    def write(self, run: BenchmarkRun) -> Path:
        """Writes the run's document, atomically, and returns its path.

        Raises SetupError when it cannot be written; the message says what is kept and where.
        """
        if run.metadata.run_id != self.run_id:
            raise ValueError(f"the document is of {run.metadata.run_id}, not of {self.run_id}")
        try:
            run.save(self.document_path)
        except SetupError as error:
            rows = self._journal.rows if self._journal else 0
            where = f"are kept in {self.folder / RECORDS}"
            kept = f"The records of {number_of(rows, 'finished request')} {where}."
            if self._planned:
                kept += f" `{recover_command(self.run_id)}` makes the document of them."
            raise SetupError(f"{error}. {kept if rows else 'Nothing was measured yet.'}") from error
        self._written = True
        return self.document_path

    def close(self) -> None:
        """Ends the run's hold on its folder; a folder with nothing in it is removed.

        The plan goes when the document has taken its place, or when there is nothing to plan for.
        """
        nothing_kept = self._journal is None or self._journal.rows == 0
        if self._traces is not None:
            self._traces.close()
            # One that no request was measured beside tells nothing.
            if nothing_kept and not self._again:
                self._traces.path.unlink(missing_ok=True)
        if self._journal is not None:
            self._journal.close()
            if not self._written and nothing_kept:
                self._journal.path.unlink(missing_ok=True)
        if self._written or (nothing_kept and not self._again):
            with contextlib.suppress(OSError):
                os.unlink(self.folder / RUN_PLAN)
        # Removed while it is held, so that nobody finds it free and takes the run for dead. One
        # that was there before tells how the run ended, and stays until the document says it.
        if self._written or not self._again:
            with contextlib.suppress(OSError):
                os.unlink(self.folder / LOCK)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        for folder in (self.folder / LOGS, self.folder):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def reserve(runs_dir: Path, now: datetime | None = None) -> RunFolder:
    """Takes the run id of the present second, or of the next free one, for a new run.

    The id is taken by making its folder, which only one process can do.

    Raises SetupError when the folder cannot be made.
    """
    started = utc_now() if now is None else now.astimezone(UTC)
    data = runs_dir.absolute() / DATA
    try:
        data.mkdir(parents=True, exist_ok=True)
        for seconds in range(SECONDS_TRIED):
            run_id = f"benchmark_{started + timedelta(seconds=seconds):%Y%m%d_%H%M%S}"
            folder = data / run_id
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            # A document may lie there without its folder: copied there, or of a dry run.
            if os.path.lexists(runs_dir / f"{run_id}.json"):
                folder.rmdir()
                continue
            return RunFolder(folder, started)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SetupError(
            f"The folder {runs_dir} cannot be used for runs: {why}. Name another one with "
            "--output-dir, or set $MILTON_STATE_DIR."
        ) from error
    raise SetupError(f"All run ids of the next {SECONDS_TRIED} seconds are taken in {runs_dir}.")


def reopen(runs_dir: Path, run_id: str, started: datetime) -> RunFolder:
    """Takes the folder of an interrupted run again, so that the run can go on.

    `started` is when the run began. What its journal holds stays.

    Raises UsageError when there is no such run or it is still going on, SetupError when its folder
    cannot be used.
    """
    folder = runs_dir.absolute() / DATA / run_id
    if RUN_ID.fullmatch(run_id) is None or not folder.is_dir():
        raise UsageError(f"There is no run {run_id} in {runs_dir}.")
    try:
        held = take(folder / LOCK)
    except BlockingIOError as error:
        raise UsageError(f"Run {run_id} is still going on.") from error
    except OSError as error:
        raise SetupError(f"The folder {folder} cannot be used: {error.strerror}") from error
    return RunFolder(folder, started, lock_held=held)


def was_abandoned(folder: Path) -> bool:
    """Whether a run that is over ended without a word: its lock is there, and nobody holds it."""
    return (folder / LOCK).exists() and not is_running(folder)


def recover_command(run_id: str) -> str:
    """What to type to get the document of a run that ended without one."""
    return f"minionbench runs recover {run_id}"


def run_id_of(which: str) -> str:
    """The whole id of a run, of which the date and time are enough."""
    return which if which.startswith("benchmark_") else f"benchmark_{which}"


def is_running(folder: Path) -> bool:
    """Whether the process of the run in this folder is alive."""
    return is_locked(folder / LOCK)
