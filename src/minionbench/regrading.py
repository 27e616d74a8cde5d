"""Regrading: the stored answers of a run judged again, into a document beside the first one.

A regraded document is of the same run: it keeps the run's id, its instants and all that was
measured, and differs in `accuracy_pct`, in what follows from it, and in a note that says so. It
lies in the run's own folder beside its records, where it is taken neither for a run of its own nor
for the run's document.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from minionbench import __version__
from minionbench.assembly import metric_result
from minionbench.clock import utc_now
from minionbench.errors import SetupError, UsageError
from minionbench.metrics.value import skipped
from minionbench.prices import METRIC as COST
from minionbench.prices import Pricing
from minionbench.prices.cost import PER_CORRECT, Costs, per_correct
from minionbench.quality.grading.accuracy import METRIC, Judgements, LeftOut, value_of
from minionbench.quality.grading.judgement import Grader
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult, MetricResult
from minionbench.store import read_records

OTHER_QUALITY = ("cove_pass_rate", "retrieval_score")
"""Metrics of cells whose answers are judged as parts of a procedure, not one by one."""
NAME = "regraded-{number}.json"


class Flipped(NamedTuple):
    """An item of which another share of answers is right than before."""

    item_id: str
    before: float
    after: float


class RegradedCell(NamedTuple):
    """What became of a cell's accuracy."""

    cell_id: str
    before: MetricResult | None
    """None where the document had none."""
    after: MetricResult
    flipped: tuple[Flipped, ...] | None
    """None where the document does not say which items were right."""


class Regraded(NamedTuple):
    """A run judged again."""

    run: BenchmarkRun
    path: Path
    cells: tuple[RegradedCell, ...]


def regrade_run(path: Path, run: BenchmarkRun, grader: Grader | None = None) -> Regraded:
    """Judges the answers of a run again and writes the document of that.

    `path` is where the run's document lies. `grader` judges every answer; None takes for each the
    one of its reference. The run's own document stays as it is.

    Raises:
        UsageError: no records or no texts were kept, or there is no answer to judge.
        SchemaError: the records are not those that the document was computed from.
        SetupError: the new document cannot be written.
    """
    judged = {
        cell.cell_id: Judgements(read_records(path, cell), grader)
        for candidate in run.candidates
        for cell in candidate.cells
        if cell.records is not None and not any(name in cell.metrics for name in OTHER_QUALITY)
    }
    _require_answers(run, judged)
    cells: list[RegradedCell] = []
    candidates = tuple(_candidate(candidate, judged, cells) for candidate in run.candidates)
    labels = sorted({one.grader.label for of in judged.values() for one in of.judged})
    note = (
        f"the answers were judged again on {utc_now():%Y-%m-%d} by {', '.join(labels)} of version "
        f"{__version__}; all else is as it was measured"
    )
    about = run.metadata.but(notes=(*run.metadata.notes, note))
    again = run.but(metadata=about, candidates=candidates)
    return Regraded(again, _write(again, _folder(path, run)), tuple(cells))


def _require_answers(run: BenchmarkRun, judged: dict[str, Judgements]) -> None:
    """Raises UsageError where nothing can be judged, and says why."""
    run_id = run.metadata.run_id
    if not judged:
        raise UsageError(
            f"Run {run_id} kept no records of answers that are judged one by one, so there is "
            "nothing to judge again."
        )
    if any(of.judged for of in judged.values()):
        return
    reasons = {reason for of in judged.values() for reason in of.left_out}
    if LeftOut.NOT_KEPT.value in reasons:
        raise UsageError(
            f"The texts of run {run_id} were not kept (--no-text), so its answers cannot be judged "
            "again."
        )
    why = "; ".join(sorted(reasons)) or "no request was measured"
    raise UsageError(f"No answer of run {run_id} can be judged: {why}.")


def _candidate(
    candidate: BenchmarkCandidate, judged: dict[str, Judgements], said: list[RegradedCell]
) -> BenchmarkCandidate:
    cells = tuple(_cell(cell, judged.get(cell.cell_id), said) for cell in candidate.cells)
    metrics = dict(candidate.metrics)
    for name in (METRIC, PER_CORRECT):
        if len(cells) == 1 and name in metrics and name in cells[0].metrics:
            # A candidate with a single cell has that cell's metrics.
            metrics[name] = cells[0].metrics[name]
    return candidate.but(cells=cells, metrics=metrics)


def _cell(cell: CellResult, judgements: Judgements | None, said: list[RegradedCell]) -> CellResult:
    records = cell.records
    if records is not None:
        # Relative to the new document, which lies beside them.
        records = records.but(path=PurePosixPath(records.path).name)
    metrics = dict(cell.metrics)
    if judgements is not None:
        before, after = metrics.get(METRIC), metric_result(value_of(judgements))
        metrics[METRIC] = after
        if PER_CORRECT in metrics:
            metrics[PER_CORRECT] = _cost_of_right_answers(metrics, judgements)
        said.append(RegradedCell(cell.cell_id, before, after, _flipped(before, judgements)))
    return cell.but(records=records, metrics=metrics)


def _cost_of_right_answers(
    metrics: Mapping[str, MetricResult], judgements: Judgements
) -> MetricResult:
    """What a right answer cost, by the prices that the document holds."""
    cost = metrics.get(COST)
    if cost is None or cost.value is None:
        return metrics[PER_CORRECT]
    try:
        pricing = msgspec.convert(cost.metadata.get("charged_by"), Pricing)
    except (msgspec.ValidationError, UsageError) as error:
        why = f"the document does not hold the prices by which {COST} was computed: {error}"
        return metric_result(skipped(PER_CORRECT, why))
    costs = Costs([one.record for one in judgements.judged], pricing)
    return metric_result(per_correct(costs, judgements.shares()))


def _flipped(before: MetricResult | None, judgements: Judgements) -> tuple[Flipped, ...] | None:
    listed = before.metadata.get("not_right") if before is not None else None
    if not isinstance(listed, dict):
        return None
    changed: list[Flipped] = []
    for item_id, share in judgements.shares().items():
        earlier = listed.get(item_id, 1.0)
        if isinstance(earlier, int | float) and earlier != share:
            changed.append(Flipped(item_id, float(earlier), share))
    return tuple(changed)


def _folder(path: Path, run: BenchmarkRun) -> Path:
    """The folder of the run's records.

    Raises UsageError when they lie in several: a document lies beside all of its records.
    """
    folders = {
        (path.parent / cell.records.path).parent
        for candidate in run.candidates
        for cell in candidate.cells
        if cell.records is not None
    }
    if len(folders) != 1:
        raise UsageError(f"The records of {path} lie in several folders; nothing was written.")
    return folders.pop()


def _write(run: BenchmarkRun, folder: Path) -> Path:
    """Writes a document under the next free name of a folder."""
    for path in _names(folder):
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
        except FileExistsError:
            continue
        except OSError as error:
            raise SetupError(f"{path} cannot be written: {error.strerror}") from error
        try:
            run.save(path)
        except BaseException:  # Ctrl-C too: a name without a document would stay taken
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return path
    raise AssertionError("names never end")


def _names(folder: Path) -> Iterator[Path]:
    number = 0
    while True:
        number += 1
        yield folder / NAME.format(number=number)
