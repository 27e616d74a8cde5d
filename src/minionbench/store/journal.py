"""The journal: every finished request is on file before the next thing happens."""

from __future__ import annotations

import errno
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from minionbench.errors import SchemaError, SetupError, UsageError
from minionbench.records import RequestRecord, decode_journal, encode_record
from minionbench.schema import CellResult, RecordsReference
from minionbench.units import number_of


class FinishedRecords(NamedTuple):
    """A journal to which nothing more will be added."""

    path: str
    """Relative to the document's folder, with forward slashes."""
    sha256: str
    rows: MappingProxyType[str, int]
    """Rows of each cell."""

    def reference(self, cell_id: str) -> RecordsReference:
        """What a cell writes into the document about its records."""
        return RecordsReference(path=self.path, sha256=self.sha256, rows=self.rows.get(cell_id, 0))


class Journal:
    """The records of one run, appended as the requests end.

    A record is one write to a file opened for appending, so that a killed process loses none
    that `append` has returned for; at worst the last line is torn, which readers leave out. Only
    a power cut can take more: forcing each record to the disk would disturb the measurement.
    """

    def __init__(self, path: Path, relative: str, *, go_on: bool = False) -> None:
        """With `go_on` an interrupted run's journal is appended to, a torn last line cut off.

        Raises SetupError when the file cannot be made, is there without `go_on`, or not with it.
        """
        self.path = path
        self.rows = 0
        """Records that were appended."""
        self._relative = relative
        self._size = 0
        self._torn = False
        """Whether a write may have left something behind that `_size` does not know of."""
        new = 0 if go_on else os.O_EXCL
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | new
        try:
            self._file: int | None = os.open(path, flags, 0o666)
            if go_on:
                self._count()
        except OSError as error:
            raise SetupError(f"The journal {path} cannot be made: {error.strerror}") from error

    def _count(self) -> None:
        """Takes over the whole lines that are there, and cuts off what follows them."""
        assert self._file is not None
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    self._size += len(line)
                    self.rows += 1
        os.ftruncate(self._file, self._size)

    def append(self, record: RequestRecord) -> None:
        """Puts a finished request on file.

        Raises SetupError when it cannot, as on a full disk; the records before it are kept.
        """
        if self._file is None:
            raise ValueError("the journal is closed")
        line = encode_record(record)
        try:
            if self._torn:
                self._mend()
            # Until the line is known to be whole: the write may be interrupted, too.
            self._torn = True
            written = os.write(self._file, line)
            if written != len(line):
                self._mend()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise SetupError(
                f"A finished request could not be written to {self.path}: {error.strerror}. "
                f"The {number_of(self.rows, 'request')} before it "
                f"{'is' if self.rows == 1 else 'are'} kept there. Make room, or name another "
                "folder with --output-dir, and run again."
            ) from error
        self._size += written
        self.rows += 1
        self._torn = False

    def _mend(self) -> None:
        """Cuts off a torn last line, so that what is appended next begins a line of its own."""
        assert self._file is not None
        rest = os.pread(self._file, os.fstat(self._file).st_size - self._size, self._size)
        whole = rest.rfind(b"\n") + 1
        os.ftruncate(self._file, self._size + whole)
        self._size += whole
        self.rows += rest.count(b"\n")
        self._torn = False

    def amend(self, records: Sequence[RequestRecord]) -> None:
        """Puts records in the place of those of the same requests, all of them or none.

        For what can be known only after a request has ended. Raises SetupError when it cannot; the
        records are then as they were.
        """
        if self._file is None:
            raise ValueError("the journal is closed")
        newer = {(one.cell, one.index, one.planned_ns): encode_record(one) for one in records}
        beside = self.path.with_name(f"{self.path.name}.amended")
        try:
            if self._torn:
                self._mend()
            with self.path.open("rb") as old, beside.open("xb") as new:
                for line in old:
                    new.write(newer.get(_decode_place(line), line))
                new.flush()
                os.fsync(new.fileno())
                size = new.tell()
            os.replace(beside, self.path)
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except (OSError, msgspec.MsgspecError) as error:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            said = error.strerror if isinstance(error, OSError) else str(error)
            raise SetupError(f"The records in {self.path} could not be amended: {said}") from error
        os.close(self._file)
        self._file, self._size = file, size

    def finish(self) -> FinishedRecords:
        """Forces the journal to the disk, closes it and says what it holds.

        Raises SetupError when the disk refuses.
        """
        if self._file is None:
            raise ValueError("the journal is closed")
        try:
            if self._torn:
                self._mend()
            os.fsync(self._file)
            self.close()
            digest, rows = _digest(self.path)
        except OSError as error:
            raise SetupError(
                f"The records in {self.path} could not be brought to the disk: {error.strerror}"
            ) from error
        return FinishedRecords(self._relative, digest, MappingProxyType(rows))

    def close(self) -> None:
        """Closes the file; what was appended stays."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class _CellOf(msgspec.Struct):
    """The one field of a record that is needed to count rows."""

    cell: str


class _PlaceOf(msgspec.Struct):
    """The fields of a record that say which request it is."""

    cell: str
    index: int
    planned_ns: int


_place = msgspec.json.Decoder(_PlaceOf)


def _decode_place(line: bytes) -> tuple[str, int, int]:
    found = _place.decode(line)
    return found.cell, found.index, found.planned_ns


_decode_cell = msgspec.json.Decoder(_CellOf).decode


def _digest(path: Path) -> tuple[str, dict[str, int]]:
    """SHA-256 of a finished journal, and its rows per cell."""
    digest = hashlib.sha256()
    rows: Counter[str] = Counter()
    with path.open("rb") as file:
        for line in file:
            digest.update(line)
            try:
                rows[_decode_cell(line).cell] += 1
            except msgspec.MsgspecError as error:
                raise SchemaError(f"another program has written into {path}") from error
    return digest.hexdigest(), dict(rows)


def read_journal(path: Path) -> Iterator[RequestRecord]:
    """The records of a journal, of a run that was interrupted too.

    Raises UsageError when it cannot be read, SchemaError for a line that is not a record.
    """
    try:
        with path.open("rb") as file:
            yield from decode_journal(file)
    except OSError as error:
        raise UsageError(f"The records {path} cannot be read: {error.strerror}") from error
    except SchemaError as error:
        raise SchemaError(f"{path} is damaged: {error}") from error


def read_records(document_path: Path, cell: CellResult) -> list[RequestRecord]:
    """The records of a cell, in the order in which the requests ended.

    `document_path` is the document that the cell is from: its records lie beside it.

    Raises UsageError when the cell has none or they cannot be read, SchemaError when they are
    not those that the document was computed from.
    """
    if cell.records is None:
        raise UsageError(f"No records were kept of cell {cell.cell_id} of {document_path}.")
    return read_all_records(document_path, [cell])[cell.cell_id]


def read_all_records(
    document_path: Path, cells: Iterable[CellResult]
) -> dict[str, list[RequestRecord]]:
    """The records of each cell by its id, in the order in which the requests ended.

    Cells share their journals: each is read once. A cell of which no records were kept has none.

    Raises UsageError when they cannot be read, SchemaError when they are not those that the
    document was computed from.
    """
    found: dict[str, list[RequestRecord]] = {}
    references: dict[tuple[str, str], dict[str, int]] = {}
    for cell in cells:
        found[cell.cell_id] = []
        if cell.records is not None:
            of_file = references.setdefault((cell.records.path, cell.records.sha256), {})
            of_file[cell.cell_id] = cell.records.rows
    for (name, sha256), rows in references.items():
        path = document_path.parent / name
        digest = hashlib.sha256()
        try:
            with path.open("rb") as file:
                for record in decode_journal(_hashed(file, digest)):
                    if record.cell in rows:
                        found[record.cell].append(record)
        except OSError as error:
            raise UsageError(
                f"The records {path} cannot be read: {error.strerror}. They lie beside their "
                "document; move the folder `data` together with it."
            ) from error
        counted = {cell_id: len(found[cell_id]) for cell_id in rows}
        if digest.hexdigest() != sha256 or counted != rows:
            raise SchemaError(
                f"{path} was changed after {document_path} was written: it is not what the "
                "document was computed from"
            )
    return found


def _hashed(lines: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for line in lines:
        digest.update(line)
        yield line
