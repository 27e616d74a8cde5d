"""What every model is asked: the cells of speed, of Chain-of-Verification and of retrieval.

The requests are drawn once and are the same for all models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from minionbench.autobench.procedure import Procedure
from minionbench.deployments.deployment import Deployment
from minionbench.deployments.single import Local
from minionbench.exchange import Request
from minionbench.load import ClosedLoop
from minionbench.measuring import Cell
from minionbench.quality.cove import ChainOfVerification
from minionbench.quality.cove_drawn import built_in_pairs
from minionbench.quality.cove_items import CoveSet, read_pairs
from minionbench.quality.retrieval import ListwiseReranker, PointwiseReranker
from minionbench.quality.retrieval_task import RetrievalTask, retrieval_task

Kind: TypeAlias = Literal["speed", "cove-base", "cove", "retrieval"]


CALLS = 5
"""Calls that verifying a draft, and ranking a query's candidates, are likely to take."""


class Task(NamedTuple):
    """Cells that are measured together, through one deployment."""

    kind: Kind
    deployment: Deployment
    settings: dict[str, Any]
    """What a document has to say of how the cells were measured."""
    cells: tuple[Cell, ...]

    @property
    def requests(self) -> int:
        """Of all cells, repeats and warm-up included."""
        return sum(cell.total for cell in self.cells)

    @property
    def calls(self) -> int:
        """Calls that they are likely to make."""
        return sum(cell.total * cell.calls for cell in self.cells)


class Tasks:
    """All that one model is asked."""

    def __init__(self, procedure: Procedure) -> None:
        """Draws the requests.

        Raises UsageError for a file of pairs or a corpus that cannot be read.
        """
        self.procedure = procedure
        self.cove: CoveSet | None = None
        self.retrieval: RetrievalTask | None = None
        self._tasks: list[Task] = []
        if procedure.workloads:
            self._tasks.append(_speed(procedure))
        if procedure.asks_for("cove_pass_rate"):
            self.cove = _pairs(procedure)
            self._tasks += _verification(self.cove, procedure.seed)
        if procedure.asks_for("retrieval_score"):
            self.retrieval = _queries(procedure)
            if procedure.reranking != "embedding":
                self._tasks.append(_ranking(self.retrieval, procedure))

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the items are from: a file's name says what was in it."""
        return tuple(cell.source for task in self._tasks for cell in task.cells)

    def of(self, slug: str) -> list[Task]:
        """The tasks of one model, the ids of whose cells begin with its name."""
        return [
            task._replace(
                cells=tuple(
                    msgspec.structs.replace(cell, cell_id=f"{slug}.{cell.cell_id}")
                    for cell in task.cells
                )
            )
            for task in self._tasks
        ]

    @property
    def cell_ids(self) -> tuple[str, ...]:
        """The parts of the cells' ids that come after the model's name."""
        return tuple(cell.cell_id for task in self._tasks for cell in task.cells)


def _cell(
    name: str,
    workload: str,
    version: int,
    source: str,
    seed: int,
    requests: Sequence[Request],
    *,
    warmup: int = 0,
    repeats: int = 1,
    calls: int = 1,
) -> Cell:
    """A cell of one stream; the requests beyond those measured warm up."""
    measured = len(requests) - warmup
    return Cell(
        cell_id=name,
        workload=workload,
        version=version,
        source=source,
        seed=seed,
        load=ClosedLoop(),
        repeats=repeats,
        warmup=tuple(requests[measured:]),
        requests=tuple(requests[:measured]),
        calls=calls,
    )


def _speed(procedure: Procedure) -> Task:
    from minionbench.workloads.catalog import workload

    cells = []
    for name in procedure.workloads:
        drawn = workload(name)
        number = procedure.num_requests + procedure.warmup
        cells.append(
            _cell(
                name,
                name,
                drawn.version,
                drawn.source,
                procedure.seed,
                list(drawn.requests(number, procedure.seed)),
                warmup=procedure.warmup,
                repeats=procedure.repeats,
            )
        )
    return Task("speed", Local(), {}, tuple(cells))


def _pairs(procedure: Procedure) -> CoveSet:
    if procedure.cove_file is not None:
        return read_pairs(procedure.cove_file)
    return built_in_pairs(procedure.seed, procedure.cove_pairs, procedure.cove_kinds)


def _verification(pairs: CoveSet, seed: int) -> list[Task]:
    procedure = ChainOfVerification(Local())
    drawn = pairs.seed if pairs.seed is not None else seed
    about = (pairs.version, pairs.source, drawn)
    base = _cell("cove-base", "cove-base", *about, list(pairs.base_requests(seed=seed)))
    drafts = _cell("cove", "cove", *about, list(pairs.requests(seed=seed)), calls=CALLS)
    return [
        Task("cove-base", Local(), {}, (base,)),
        Task("cove", procedure, procedure.settings, (drafts,)),
    ]


def _queries(procedure: Procedure) -> RetrievalTask:
    from minionbench.quality.beir import read_beir
    from minionbench.quality.corpus_drawn import built_in_corpus

    if procedure.corpus is None:
        corpus = built_in_corpus(procedure.seed)
    else:
        corpus = read_beir(procedure.corpus)
    return retrieval_task(corpus, seed=procedure.seed, queries=procedure.queries)


def _ranking(task: RetrievalTask, procedure: Procedure) -> Task:
    reranker = (
        ListwiseReranker(Local())
        if procedure.reranking == "listwise"
        else PointwiseReranker(Local())
    )
    about = (task.corpus.version, task.corpus.source, task.seed)
    cell = _cell("retrieval", "retrieval", *about, list(task.requests()), calls=CALLS)
    return Task("retrieval", reranker, reranker.settings, (cell,))
