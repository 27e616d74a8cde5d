"""Data sets: which format a file has, and its items as requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from os import PathLike, fspath
from typing import NamedTuple, Protocol

from minionbench.errors import UsageError
from minionbench.workloads import financebench, hub, openassistant, problems
from minionbench.workloads.financebench import FinanceBench
from minionbench.workloads.jsonl import Line, shown
from minionbench.workloads.openassistant import OpenAssistant
from minionbench.workloads.plain import Plain
from minionbench.workloads.problems import Problems
from minionbench.workloads.table_file import read_rows
from minionbench.workloads.workload import Count, Item

FORMATS = {
    "financebench": "FinanceBench (question, answer, evidence)",
    "openassistant": "OpenAssistant trees (message_tree_id, prompt)",
    "gsm8k": 'GSM8K (question, answer that ends in "#### N")',
    "math": "MATH (problem, solution)",
    "jsonl": "plain requests (prompt or messages; answer and id where known)",
}
"""The formats that are read, with the fields by which each is recognised."""


class DataSet(Protocol):
    """The items of a file."""

    @property
    def name(self) -> str:
        """One of `FORMATS`."""
        ...

    @property
    def source(self) -> str:
        """The name and the first 12 digits of the file's SHA-256."""
        ...

    @property
    def default_input_tokens(self) -> int | None:
        """The length of an item where none is asked for; None where each has its own length."""
        ...

    @property
    def max_output_tokens(self) -> int:
        """A generous limit of an answer."""
        ...

    def __len__(self) -> int: ...

    def items(self, n: int, seed: int, input_tokens: int | None, count: Count) -> Iterator[Item]:
        """The first n items of a seed; item i is the same whatever n is."""
        ...

    def item(self, item_id: str, count: Count) -> Item:
        """The item of an id.

        Raises UsageError when the file has none.
        """
        ...


class Chosen(NamedTuple):
    """A data set that was asked for, and where it came from."""

    data_set: DataSet
    origin: str | None
    """Repository, commit, file and licence of one from the hub; None for a file of the user's."""

    @property
    def source(self) -> str:
        """What a document says of the items' source."""
        own = self.data_set.source
        return own if self.origin is None else f"{own} {self.origin}"


def choose_data_set(
    dataset: str | PathLike[str],
    workload: str,
    *,
    download: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Chosen:
    """The data set that a user names for a workload: a path, `FORMAT:PATH`, `hub` or `hub:…`.

    Only with `download` is anything fetched from the hub; `say` is told what.

    Raises:
        UsageError: it is not there, cannot be read, or has another format than the one named.
        SetupError: the hub cannot be reached.
        SchemaError: a line is not what its format says.
    """
    named = fspath(dataset)
    if not hub.is_hub(named):
        if download:
            raise UsageError("Only data sets of the hub are downloaded: --dataset hub or hub:NAME")
        return Chosen(open_data_set(dataset), None)
    fetched = hub.fetch(hub.hub_file(named, workload), download=download, say=say)
    return Chosen(open_data_set(fetched.path), fetched.origin)


def open_data_set(dataset: str | PathLike[str]) -> DataSet:
    """Read a data set given as `PATH`, its format recognised, or as `FORMAT:PATH`.

    Raises:
        UsageError: the file cannot be read, or has another format than the one named.
        SchemaError: a line is not what its format says; it names file, line and field.
    """
    path = fspath(dataset)
    named, colon, rest = path.partition(":")
    expected = named.lower() if colon and named.lower() in FORMATS else None
    lines = read_rows(rest if expected else path)
    first = lines.lines[0]
    name = recognise(first)
    if expected not in (None, name):
        raise UsageError(
            f"{lines.file} was named as {expected}, but it looks like {FORMATS[name]}."
        )
    match name:
        case "financebench":
            return FinanceBench(lines)
        case "openassistant":
            return OpenAssistant(lines)
        case "jsonl":
            return Plain(lines)
        case _:
            return Problems(name, lines)


def recognise(line: Line) -> str:
    """The format that a file has, by the fields of its first line.

    Raises:
        SchemaError: the fields are those of no known format.
    """
    fields = line.fields
    if all(name in fields for name in financebench.FIELDS):
        return "financebench"
    if all(name in fields for name in openassistant.FIELDS):
        return "openassistant"
    if all(name in fields for name in problems.GSM8K_FIELDS):
        return "gsm8k"
    if all(name in fields for name in problems.MATH_FIELDS):
        return "math"
    if "prompt" in fields or "messages" in fields:
        return "jsonl"
    found = ", ".join(shown(name) for name in list(fields)[:8]) or "none"
    raise line.error(
        f"the fields ({found}) are those of no known data set. Expected one of: "
        + "; ".join(FORMATS.values())
        + "."
    )
