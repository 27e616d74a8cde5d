"""Lists of items: the ids that a file names, and those that a run asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from minionbench.errors import SchemaError, UsageError
from minionbench.records import RequestRecord, decode_journal
from minionbench.schema import BenchmarkRun
from minionbench.store.journal import read_records

EXPECTED = (
    "a JSON list of item ids, JSON Lines with an id or an object with item_id each, a run's "
    "document, or its journal"
)


def read_item_ids(path: str | Path) -> tuple[str, ...]:
    """The item ids that a file names, in its order.

    The file is a JSON list of ids; JSON Lines, each an id or an object with `item_id`; or the
    document or journal of a run, whose measured items are taken, each once.

    Raises UsageError when it cannot be read or names none, SchemaError when it is something else.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"The list of items {path} does not exist.") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"The list of items {path} cannot be read: {error}") from error
    whole = _parsed(data)
    if isinstance(whole, list):
        found = [_id(path, number, entry) for number, entry in enumerate(whole, 1)]
    elif isinstance(whole, dict) and "candidates" in whole:
        found = list(item_ids_of_run(path, BenchmarkRun.load(path)))
    else:
        found = _of_lines(path, data)
    if not found:
        raise UsageError(f"{path} names no item.")
    return tuple(found)


def item_ids_of_run(
    document_path: Path, run: BenchmarkRun, cell_id: str | None = None
) -> tuple[str, ...]:
    """The items that a run measured, cell after cell, or those of one cell.

    Raises UsageError when there is no such cell or no records were kept, SchemaError when the
    records are not those of the document.
    """
    cells = [cell for candidate in run.candidates for cell in candidate.cells]
    chosen = [cell for cell in cells if cell_id in (None, cell.cell_id)]
    if not chosen:
        names = ", ".join(cell.cell_id for cell in cells) or "none"
        wanted = "measured nothing" if cell_id is None else f"has no cell {cell_id!r}"
        raise UsageError(f"{document_path} {wanted}; its cells are: {names}.")
    records = (record for cell in chosen for record in _in_order(document_path, cell))
    return measured_item_ids(records)


def _in_order(document_path: Path, cell: Any) -> list[RequestRecord]:
    return sorted(read_records(document_path, cell), key=lambda record: record.index)


def measured_item_ids(records: Iterable[RequestRecord]) -> tuple[str, ...]:
    """The items of records, each once, warm-up left out."""
    return tuple(dict.fromkeys(r.item_id for r in records if r.phase == "measured"))


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _of_lines(path: Path, data: bytes) -> list[str]:
    lines = [line for line in data.removeprefix(b"\xef\xbb\xbf").splitlines() if line.strip()]
    entries = [_parsed(line) for line in lines]
    if entries and all(isinstance(entry, dict) and "phase" in entry for entry in entries[:-1]):
        journal = _of_journal(data)
        if journal is not None:
            return journal
    return [_id(path, number, entry) for number, entry in enumerate(entries, 1)]


def _of_journal(data: bytes) -> list[str] | None:
    """The items of a journal in the order in which they were planned; None where it is none."""
    try:
        records = list(decode_journal(data.splitlines(keepends=True)))
    except SchemaError:
        return None
    cells = {cell: at for at, cell in enumerate(dict.fromkeys(record.cell for record in records))}
    records.sort(key=lambda record: (cells[record.cell], record.index))
    return list(measured_item_ids(records)) or None


def _id(path: Path, number: int, entry: Any) -> str:
    if isinstance(entry, dict):
        entry = entry.get("item_id")
    if not isinstance(entry, str) or not entry:
        raise SchemaError(
            f"{path}, entry {number}: an item id was expected; a list of items is {EXPECTED}."
        )
    return entry


def listed(item_ids: Sequence[str]) -> str:
    """Ids as JSON Lines, the form that `read_item_ids` reads again."""
    return "".join(json.dumps(item_id, ensure_ascii=False) + "\n" for item_id in item_ids)
