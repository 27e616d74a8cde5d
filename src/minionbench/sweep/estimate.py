"""How long a sweep will take and what it will cost: from earlier runs, or from what is assumed.

What is known from nowhere is unknown, and no number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from minionbench.assembly import asked, load_document
from minionbench.clock import ClockAnchor, utc_now
from minionbench.errors import MinionbenchError, UsageError
from minionbench.exchange import Limits
from minionbench.load import ClosedLoop
from minionbench.measuring import Cell
from minionbench.prices import Pricing
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult, Factors, LoadDocument
from minionbench.stats import median
from minionbench.store import RUN_ID
from minionbench.sweep.grid import Candidate, Grid
from minionbench.units import duration, number_of, significant
from minionbench.wire.reasoning import reasoning_tokens

MOST_READ = 200
"""Documents, the newest ones, that are looked through for what a cell took before."""
ALIKE = 0.1
"""Relative difference of the longest prompts up to which two cells ask for about the same."""
TEMPLATE_TOKENS = 16
"""What a chat template adds to a message, generously."""


class Assumed(msgspec.Struct, frozen=True, kw_only=True):
    """What the user takes for granted where nothing is known; None for nothing.

    Raises UsageError for a time that is none.
    """

    request_s: float | None = None
    """From sending a request to the end of its answer."""
    start_s: float | None = None
    """Until the engines of a session are ready."""

    def __post_init__(self) -> None:
        for value in (self.request_s, self.start_s):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{value} is no time that could be assumed")


class CellEstimate(NamedTuple):
    """What all sessions of a cell will take, as far as that is known."""

    cell_id: str
    requests: int
    """Of all sessions, warm-up included."""
    time_s: float | None
    time_from: str
    """Where the time is known from, or why it is not."""
    cost_usd: float | None
    cost_from: str
    cost_is_most: bool
    """Whether the cost is the most that it can come to, by the limits of the answers."""

    @property
    def time(self) -> str:
        """The time in words."""
        return "unknown" if self.time_s is None else duration(self.time_s)

    @property
    def cost(self) -> str:
        """The cost in words."""
        if self.cost_usd is None:
            return "unknown"
        return f"{'at most ' if self.cost_is_most else ''}${significant(self.cost_usd)}"


class SweepEstimate(NamedTuple):
    """What a whole sweep will take."""

    cells: tuple[CellEstimate, ...]

    @property
    def notes(self) -> list[str]:
        """What is known of time and cost, in words."""
        return [self._time(), self._cost()]

    def _time(self) -> str:
        known = [cell.time_s for cell in self.cells if cell.time_s is not None]
        if not known:
            return (
                f"Estimated time: unknown ({self.cells[0].time_from}); --assume-latency S says "
                "what a request may take"
            )
        return f"Estimated time: {duration(math.fsum(known))}{self._of(len(known))}"

    def _cost(self) -> str:
        known = [cell for cell in self.cells if cell.cost_usd is not None]
        if not known:
            return f"Estimated cost: unknown ({self.cells[0].cost_from})"
        total = math.fsum(cell.cost_usd or 0.0 for cell in known)
        most = "at most " if any(cell.cost_is_most for cell in known) else ""
        return f"Estimated cost: {most}${significant(total)}{self._of(len(known))}"

    def _of(self, known: int) -> str:
        """Of how many cells, where it is not of all."""
        if known == len(self.cells):
            return f" for {number_of(known, 'cell')}"
        return f" for {known} of {number_of(len(self.cells), 'cell')}; of the others it is unknown"


class _Before(NamedTuple):
    """What a cell took in an earlier run."""

    run_id: str
    request_s: float | None
    cost_usd: float | None
    start_s: float | None


def estimate(cells: Grid, documents: Path, assumed: Assumed) -> SweepEstimate:
    """What the sweep will take, by the runs in a folder of documents and by what is assumed."""
    earlier = list(_earlier(documents))
    return SweepEstimate(
        tuple(_cell(candidate, cell, earlier, assumed) for candidate, cell in cells.cells)
    )


def _cell(
    candidate: Candidate,
    cell: Cell,
    earlier: Sequence[tuple[BenchmarkRun, BenchmarkCandidate, CellResult]],
    assumed: Assumed,
) -> CellEstimate:
    factors = candidate.planned.factors
    before = _before(factors, cell, earlier)
    time_s, time_from = _time(cell, before, assumed)
    cost_usd, cost_from, is_most = _cost(candidate, cell, before)
    requests = cell.repeats * (len(cell.warmup) + len(cell.requests))
    return CellEstimate(cell.cell_id, requests, time_s, time_from, cost_usd, cost_from, is_most)


def _time(cell: Cell, before: _Before | None, assumed: Assumed) -> tuple[float | None, str]:
    start_s = assumed.start_s
    if before is not None and before.request_s is not None:
        request_s, source = before.request_s, before.run_id
        start_s = before.start_s if before.start_s is not None else start_s
    elif assumed.request_s is not None:
        request_s, source = assumed.request_s, "assumed"
    else:
        return None, "no earlier run measured it, and nothing is assumed"
    load = cell.load
    if isinstance(load, ClosedLoop):
        one_s = math.ceil(len(cell.requests) / load.concurrency) * request_s
        warmup_s = math.ceil(len(cell.warmup) / load.concurrency) * request_s
    else:
        one_s = len(cell.requests) / load.rate_per_s + request_s
        warmup_s = len(cell.warmup) * request_s
    if start_s is None:
        source += ", without the start of its engines"
    return cell.repeats * (one_s + warmup_s + (start_s or 0.0)), source


def _cost(
    candidate: Candidate, cell: Cell, before: _Before | None
) -> tuple[float | None, str, bool]:
    sides = candidate.member.sides
    if "remote" not in sides:
        return 0.0, "local", False
    requests = cell.repeats * (len(cell.warmup) + len(cell.requests))
    if before is not None and before.cost_usd is not None:
        return requests * before.cost_usd, before.run_id, False
    pricing = candidate.planned.charges.pricing(ClockAnchor.now())
    if pricing is None:
        why = candidate.planned.charges.why_none or "no price"
        return None, f"no earlier run knows its cost; {why}", False
    if len(sides) > 1 or not candidate.member.asks_once:
        return None, "how many calls a protocol makes is not known before", False
    each = [
        _most_usd(candidate, request.input_tokens, request.limits, len(request.messages), pricing)
        for request in (*cell.requests, *cell.warmup)
    ]
    known = [cost for cost in each if cost is not None]
    if len(known) < len(each):
        return None, "an answer has no limit", False
    return cell.repeats * math.fsum(known), "the limits of the answers", True


def _most_usd(
    candidate: Candidate, input_tokens: int, limits: Limits, messages: int, pricing: Pricing
) -> float | None:
    most = limits.forced_output_tokens or limits.max_output_tokens
    if most is None:
        return None
    wish = candidate.settings.reasoning_wish
    if wish is not None and wish.on:
        most += reasoning_tokens(wish)
    prompt = input_tokens + TEMPLATE_TOKENS * (messages + 1)
    return pricing.tariff.possible(utc_now()).dearest(prompt).at_most_usd(prompt, most)


def _before(
    factors: Factors,
    cell: Cell,
    earlier: Sequence[tuple[BenchmarkRun, BenchmarkCandidate, CellResult]],
) -> _Before | None:
    """The latest earlier cell that is about the same; None where there is none."""
    wanted, load = _key(factors), load_document(cell.load, cell.seed)
    mine = asked(cell)["input_tokens"]
    for run, candidate, other in earlier:
        if candidate.factors is None or _key(candidate.factors) != wanted:
            continue
        if other.workload.name != cell.workload or _load_key(other.load) != _load_key(load):
            continue
        if not _alike(mine, other.settings.get("input_tokens")):
            continue
        return _Before(
            run.metadata.run_id,
            _value(other, "total_latency_s"),
            _value(other, "cost_usd"),
            _start_s(other.settings),
        )
    return None


def _key(factors: Factors) -> tuple[Any, ...]:
    return (
        factors.deployment,
        factors.model,
        factors.remote_model,
        factors.protocol,
        factors.reasoning,
        factors.quantization,
    )


def _load_key(load: LoadDocument) -> tuple[Any, ...]:
    return (load.kind, load.concurrency, load.rate_per_s, load.burstiness)


def _alike(mine: Any, its: Any) -> bool:
    try:
        return bool(abs(mine[1] - its[1]) <= ALIKE * max(mine[1], its[1]))
    except (TypeError, IndexError):
        return True


def _value(cell: CellResult, name: str) -> float | None:
    metric = cell.metrics.get(name)
    return None if metric is None else metric.value


def _start_s(settings: Mapping[str, Any]) -> float | None:
    sessions = settings.get("sessions")
    if not isinstance(sessions, list):
        return None
    known = [
        session["start_s"]
        for session in sessions
        if isinstance(session, dict) and isinstance(session.get("start_s"), int | float)
    ]
    return median(known) if known else None


def _earlier(
    documents: Path,
) -> Iterator[tuple[BenchmarkRun, BenchmarkCandidate, CellResult]]:
    """The cells of earlier runs, the latest run first; what cannot be read is passed over."""
    paths = [path for path in documents.glob("benchmark_*.json") if RUN_ID.fullmatch(path.stem)]
    for path in sorted(paths, reverse=True)[:MOST_READ]:
        try:
            run = BenchmarkRun.load(path)
        except MinionbenchError:
            continue
        for candidate in run.candidates:
            for cell in candidate.cells:
                yield run, candidate, cell
