"""Reading what a report is made of: the documents, and of their records what a plot can show.

A run of 100,000 requests is read once, record by record. Of each request a few numbers are kept,
and of a few requests everything: an even sample of them for the time line, and those whose prompt
and answer a reader may want to see.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from minionbench.errors import MinionbenchError
from minionbench.exchange import Outcome
from minionbench.metrics import record as whole
from minionbench.metrics.request import Absence, NegativeInterval, Quantity
from minionbench.records import RequestRecord, decode_journal
from minionbench.report.labels import Place, candidate_names, places, run_names
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult, MetricResult
from minionbench.traces import Trace, decode_facts, traces
from minionbench.units import seconds

DRAWN = 120
"""Requests of a cell up to which the time line shows all of them."""
BLOCK = 60
"""Requests in a row that it shows of a larger one."""
TOLD = 3
"""Requests of each kind (slowest, failed) that are shown with prompt and answer."""
LONGEST_TEXT = 1_500
"""Characters of a prompt or an answer that are shown."""

TRACES = "traces.jsonl"


class CallTime(NamedTuple):
    """When one call of a request waited and was answered, in seconds since the cell's begin."""

    side: str
    planned_s: float
    sent_s: float | None
    first_s: float | None
    last_s: float | None
    end_s: float | None
    ok: bool


class Drawn(NamedTuple):
    """One request of the time line."""

    number: int
    """Its place in the cell's plan."""
    phase: str
    ok: bool
    planned_s: float
    calls: tuple[CallTime, ...]


class Told(NamedTuple):
    """One request with what was said."""

    why: str
    """`slowest`, `failed` or `first`."""
    number: int
    """Its place in the cell's plan."""
    item_id: str
    outcome: str
    failure: str | None
    latency_s: float | None
    prompt: str | None
    """The first call's last message; None where texts are not kept."""
    answer: str | None
    expected: str | None


class Course(NamedTuple):
    """One request as a point of the run's course."""

    sent_s: float
    ttft_s: float | None
    latency_s: float | None
    ok: bool


class Requests:
    """What is known of a cell's requests beyond its document."""

    def __init__(self, rows: int) -> None:
        self.is_part = rows > DRAWN
        """Whether the time line shows a part of the requests."""
        middle = (rows - BLOCK) // 2
        self._shown = range(middle, middle + BLOCK) if self.is_part else range(rows)
        """Places in the plan of those that it shows."""
        self.begin_ns: int | None = None
        self.measured = 0
        self.failures: Counter[str] = Counter()
        """Failed requests by what was said of the failure."""
        self.values: dict[str, list[float]] = {name: [] for name in QUANTITIES}
        """Of each quantity its values in seconds, of the measured requests that have one."""
        self.failed: dict[str, int] = dict.fromkeys(QUANTITIES, 0)
        """Requests that count as infinitely slow."""
        self.left_out: dict[str, Counter[str]] = {name: Counter() for name in QUANTITIES}
        self.items: set[str] = set()
        """Ids of the different items asked."""
        self.course: list[Course] = []
        self.drawn: list[Drawn] = []
        self._slowest: list[tuple[float, int, RequestRecord]] = []
        self._failed: list[RequestRecord] = []
        self._first: RequestRecord | None = None

    def take(self, record: RequestRecord) -> None:
        """Adds one request."""
        sent_ns = whole.sent_ns(record)
        if record.index in self._shown or not self.is_part:
            self.drawn.append(_drawn(record))
        if record.phase != "measured":
            return
        self.measured += 1
        self.items.add(record.item_id)
        found: dict[str, float | None] = {}
        for name, quantity in QUANTITIES.items():
            try:
                value = quantity.or_absence(record)
            except NegativeInterval as fault:
                self.left_out[name][str(fault)] += 1
                continue
            if not isinstance(value, Absence):
                self.values[name].append(value)
                found[name] = value
            elif value is Absence.FAILED:
                self.failed[name] += 1
            else:
                self.left_out[name][value.value] += 1
        latency = found.get("total_latency_s")
        if sent_ns is not None:
            self.course.append(Course(seconds(sent_ns), found.get("ttft_s"), latency, record.ok))
        self._tell(record, latency)

    def _tell(self, record: RequestRecord, latency: float | None) -> None:
        if self._first is None or record.index < self._first.index:
            self._first = record
        if record.outcome is not Outcome.OK and record.outcome not in _CENSORED:
            said = record.failure.message if record.failure else str(record.outcome)
            self.failures[said] += 1
            if len(self._failed) < TOLD:
                self._failed.append(record)
        elif latency is not None:
            entry = (latency, -record.index, record)
            if len(self._slowest) < TOLD:
                heapq.heappush(self._slowest, entry)
            elif entry[:2] > self._slowest[0][:2]:
                heapq.heapreplace(self._slowest, entry)

    def told(self) -> list[Told]:
        """The requests that are shown with what was said: the first, the failed, the slowest."""
        first = [] if self._first is None else [self._first]
        slowest = [record for *_, record in sorted(self._slowest, key=lambda e: -e[0])]
        shown: dict[int, Told] = {}
        for why, records in (("failed", self._failed), ("slowest", slowest), ("first", first)):
            for record in records:
                shown.setdefault(record.index, _told(why, record))
        return list(shown.values())


QUANTITIES: dict[str, Quantity[RequestRecord, float]] = {
    "ttft_s": whole.ttft_s,
    "total_latency_s": whole.total_latency_s,
    "response_time_s": whole.response_time_s,
}
"""The quantities whose distributions a report shows, by their metrics' names."""

_CENSORED = (Outcome.CUT, Outcome.NOT_SENT)


_COST = "cost_usd"
_PAYS_NOBODY = MetricResult.ok(0.0, unit="USD")


class Option(NamedTuple):
    """One cell of one candidate of one run: what a reader may choose."""

    key: str
    """Names it within the report."""
    run: int
    candidate: BenchmarkCandidate
    cell: CellResult
    name: str
    """Of the candidate, short."""
    place: Place
    is_free: bool
    """Whether nobody charges for it, while somebody does for others of the report."""
    requests: Requests | None
    """None where there are no records to read."""

    def metric(self, name: str) -> MetricResult | None:
        """A metric of the cell; where only the candidate has it, and has no other cell, its.

        `cost_usd` is what a remote model charges: beside deployments that are charged for, a local
        one, which asks none, pays 0.
        """
        own = self.cell.metrics.get(name)
        if own is None and len(self.candidate.cells) == 1:
            own = self.candidate.metrics.get(name)
        return _PAYS_NOBODY if own is None and name == _COST and self.is_free else own

    def value(self, name: str) -> float | None:
        """A metric's value; None where there is none."""
        metric = self.metric(name)
        return None if metric is None else metric.value


class Material(NamedTuple):
    """All that a report is made of."""

    paths: tuple[Path, ...]
    runs: tuple[BenchmarkRun, ...]
    run_names: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    """Of each run the names of its candidates."""
    options: tuple[Option, ...]
    traces: tuple[tuple[Trace, ...], ...]
    """Of each run what its meters said."""
    notes: tuple[str, ...]
    """What could not be read, and why."""


def material(runs: Sequence[tuple[Path, BenchmarkRun]], *, with_records: bool = True) -> Material:
    """Reads what belongs to these runs; what is missing beside a document becomes a note."""
    documents = [run for _, run in runs]
    names = candidate_names(documents)
    every_place = iter(
        places([c for run in documents for candidate in run.candidates for c in candidate.cells])
    )
    charged = any(
        (metric := cell.metrics.get(_COST)) is not None and metric.value is not None
        for run in documents
        for candidate in run.candidates
        for cell in candidate.cells
    )
    options: list[Option] = []
    traced: list[tuple[Trace, ...]] = []
    notes: list[str] = []
    for number, (path, run) in enumerate(runs):
        found: dict[str, Requests] = {}
        if with_records:
            found, said = _requests(path, run)
            notes += said
        for name, candidate in zip(names[number], run.candidates, strict=True):
            factors = candidate.factors
            is_free = charged and factors is not None and factors.deployment == "local"
            for cell in candidate.cells:
                key = f"o{len(options)}"
                requests = found.get(cell.cell_id)
                options.append(
                    Option(key, number, candidate, cell, name, next(every_place), is_free, requests)
                )
        read, said = _traces(path, run)
        traced.append(read)
        notes += said
    return Material(
        paths=tuple(path for path, _ in runs),
        runs=tuple(documents),
        run_names=tuple(run_names(documents)),
        names=tuple(tuple(of_run) for of_run in names),
        options=tuple(options),
        traces=tuple(traced),
        notes=tuple(dict.fromkeys(notes)),
    )


def _requests(path: Path, run: BenchmarkRun) -> tuple[dict[str, Requests], list[str]]:
    """Of each cell what its records say, and what could not be read."""
    files: dict[str, list[CellResult]] = {}
    for candidate in run.candidates:
        for cell in candidate.cells:
            if cell.records is not None:
                files.setdefault(cell.records.path, []).append(cell)
    found: dict[str, Requests] = {}
    notes = []
    for relative, cells in files.items():
        try:
            found |= _read(path.parent / relative, cells)
        except OSError as error:
            notes.append(
                f"{run.metadata.run_id}: the records {relative} cannot be read "
                f"({error.strerror}), so that distributions and time lines are left out. They lie "
                "beside their document; move the folder data together with it."
            )
        except (MinionbenchError, _Changed) as error:
            notes.append(
                f"{run.metadata.run_id}: the records {relative} are not what the document was "
                f"computed from, so that distributions and time lines are left out: {error}."
            )
    return found, notes


class _Changed(Exception):
    """A file of records is not the one that the document speaks of."""


def _read(path: Path, cells: Sequence[CellResult]) -> dict[str, Requests]:
    rows = {cell.cell_id: cell.records.rows for cell in cells if cell.records is not None}
    expected = {cell.records.sha256 for cell in cells if cell.records is not None}
    found = {cell_id: Requests(count) for cell_id, count in rows.items()}
    seen: Counter[str] = Counter()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for record in decode_journal(_digested(file, digest.update)):
            seen[record.cell] += 1
            if (requests := found.get(record.cell)) is not None:
                requests.take(record)
    if expected != {digest.hexdigest()}:
        raise _Changed("its SHA-256 is another one")
    for cell_id, count in rows.items():
        if seen[cell_id] != count:
            raise _Changed(f"it has {seen[cell_id]} records of {cell_id}, not {count}")
    return found


def _digested(lines: Iterable[bytes], update: object) -> Iterator[bytes]:
    assert callable(update)
    for line in lines:
        update(line)
        yield line


def _drawn(record: RequestRecord) -> Drawn:
    calls = []
    for call in record.calls:
        reply = call.reply
        calls.append(
            CallTime(
                side=call.side,
                planned_s=seconds(reply.planned_ns),
                sent_s=_instant(reply.sent_ns),
                first_s=_instant(reply.first_token_ns),
                last_s=_instant(reply.last_token_ns),
                end_s=_instant(reply.end_ns),
                ok=reply.outcome is Outcome.OK,
            )
        )
    return Drawn(record.index, record.phase, record.ok, seconds(record.planned_ns), tuple(calls))


def _instant(at_ns: int | None) -> float | None:
    return None if at_ns is None else seconds(at_ns)


def _told(why: str, record: RequestRecord) -> Told:
    prompt = record.calls[0].prompt if record.calls else None
    answer = record.answer
    if answer is None and record.calls:
        answer = record.calls[-1].reply.text
    return Told(
        why=why,
        number=record.index,
        item_id=record.item_id,
        outcome=str(record.outcome),
        failure=None if record.failure is None else record.failure.message,
        latency_s=whole.total_latency_s(record) if record.ok else None,
        prompt=prompt[-1][1] if prompt else None,
        answer=answer,
        expected=None if record.reference is None else record.reference.value,
    )


def _traces(path: Path, run: BenchmarkRun) -> tuple[tuple[Trace, ...], list[str]]:
    """What the meters of a run said; nothing where it had none."""
    file_path = path.parent / "data" / run.metadata.run_id / TRACES
    try:
        with file_path.open("rb") as file:
            return traces(decode_facts(file)), []
    except FileNotFoundError:
        return (), []
    except (OSError, MinionbenchError) as error:
        return (), [f"{run.metadata.run_id}: what its meters said cannot be read: {error}"]
