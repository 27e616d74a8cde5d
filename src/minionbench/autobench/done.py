"""The models that a run is done with, one line each, so that a resumed run leaves them alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from minionbench.errors import SchemaError, SetupError
from minionbench.schema import BenchmarkCandidate
from minionbench.schema.part import FROM_DOCUMENT

DONE = "done.jsonl"
BLOCK = 65_536
"""Bytes that are read at once in search of the last whole line."""


class Finished(NamedTuple):
    """What became of one model."""

    candidate: BenchmarkCandidate
    """Without the references of its cells to their records, which are known at the run's end."""
    stamp_source: str | None


def keep(folder: Path, place: int, finished: Finished) -> None:
    """Puts a model that a run is done with on file, in one write.

    Raises SetupError when it cannot, as on a full disk.
    """
    line = {
        "place": place,
        "stamp_source": finished.stamp_source,
        "candidate": json.loads(finished.candidate.model_dump_json()),
    }
    content = json.dumps(line).encode() + b"\n"
    path = folder / DONE
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            _cut_torn_line(file)
            if os.write(file, content) != len(content):
                raise OSError("no space left")
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise SetupError(
            f"What was measured of a model could not be written to {path}: "
            f"{error.strerror or error}. Make room, and go on with --resume."
        ) from error


def read_done(folder: Path) -> dict[int, Finished]:
    """The models that are done, by their places in the plan; a torn last line is left out.

    Raises SchemaError for any other line that is no candidate's.
    """
    try:
        content = (folder / DONE).read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SetupError(f"{folder / DONE} cannot be read: {error.strerror}") from error
    found = {}
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            continue
        try:
            fields = json.loads(line)
            candidate = BenchmarkCandidate.model_validate_json(
                json.dumps(fields["candidate"]), context=FROM_DOCUMENT
            )
            found[int(fields["place"])] = Finished(candidate, fields["stamp_source"])
        except (ValueError, KeyError, TypeError) as error:
            raise SchemaError(f"{folder / DONE} holds a line that is not a model's") from error
    return found


def _cut_torn_line(file: int) -> None:
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - BLOCK)
        found = os.pread(file, end - start, start).rfind(b"\n")
        end = start if found < 0 else start + found + 1
        if found >= 0:
            break
    os.ftruncate(file, end)
