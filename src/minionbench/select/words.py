"""The reasons of a choice, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from minionbench.metrics.table import METRICS
from minionbench.select.score import Figure, Score, Share
from minionbench.units import significant

if TYPE_CHECKING:
    from minionbench.schema import BenchmarkCandidate, CellResult, MetricResult
    from minionbench.select.criteria import Gate

_OPEN = "…"


def points(score: Score) -> str:
    """A score with its interval."""
    return f"{score.point:.3f} ({score.low:.3f}–{score.high:.3f})"


def value(figure: Figure, metric: str) -> str:
    """A value with its unit and interval."""
    unit = METRICS[metric].unit
    said = significant(figure.value) + ("" if unit == "1" else f" {unit}")
    if figure.exact:
        return said
    low, high = (_OPEN if b is None else significant(b) for b in (figure.low, figure.high))
    return f"{said} ({low}–{high})"


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def chosen(score: Score, tied: Sequence[str], rule: str) -> str:
    """Why the chosen one is chosen."""
    if not tied:
        return f"best score: {points(score)}"
    return (
        f"score {points(score)}, within the intervals of {listed(tied)}: a tie, broken by the "
        f"rule: {rule}"
    )


def tied(score: Score, chosen: str, rule: str) -> str:
    """Why one that is as good was not chosen."""
    return (
        f"score {points(score)}, within the intervals of the best: a tie with {chosen}, which was "
        f"preferred by the rule: {rule}"
    )


def behind(score: Score, best: str, best_score: Score) -> str:
    """Why one is behind."""
    return (
        f"score {points(score)}, below that of {best}, {points(best_score)}, beyond the intervals"
    )


def dominated(score: Score, by: str, by_score: Score) -> str:
    """Who is better at everything."""
    metrics = listed(by_score.surely_better_in(score))
    return f"score {points(score)}; dominated by {by}: worse in {metrics}, and better in nothing"


def fails(gate: Gate, figure: Figure, cell: CellResult | None = None) -> str:
    """Which gate was failed, and how; `cell` is the one that failed it."""
    where = "" if cell is None else f" in {cell.cell_id}"
    return f"fails the gate {gate.text}: it is {value(figure, gate.metric)}{where}"


def barely(gate: Gate, figure: Figure, cell: CellResult | None = None) -> str:
    """That a gate is met by the value, and not by its whole interval."""
    where = "" if cell is None else f" in {cell.cell_id}"
    return (
        f"Meets {gate.text} with {value(figure, gate.metric)}{where}, but the interval reaches "
        "beyond the gate."
    )


def missing_in(gate: Gate, cell: CellResult | None) -> str:
    """Why there is nothing to hold against a gate; `cell` is None where a cell is lacking."""
    if cell is None:
        return f"missing {gate.metric}: a cell of the workload {gate.workload} is lacking"
    metric = cell.metrics.get(gate.metric)
    if metric is None:
        return f"missing {gate.metric}: {cell.cell_id} does not have it"
    return f"missing {gate.metric} in {cell.cell_id}: {_why(metric)}"


def _why(metric: MetricResult) -> str:
    return f"{metric.status}: {metric.error_message or metric.metadata.get('reason')}"


def missing(name: str, candidate: BenchmarkCandidate) -> str:
    """Why a metric has no value."""
    metric = candidate.metrics.get(name)
    if metric is not None:
        return f"missing {name}: {_why(metric)}"
    inside = [cell.cell_id for cell in candidate.cells if name in cell.metrics]
    if inside:
        return f"missing {name}: only its cells have it ({', '.join(inside)}), not the candidate"
    return f"missing {name}: the document does not have it"


def verdict(cell: CellResult) -> str:
    """What speaks against a cell."""
    status = cell.verdict.status
    rules = [reason.rule for reason in cell.verdict.reasons if reason.severity == status]
    return f"{cell.cell_id} is {status}: {', '.join(dict.fromkeys(rules))}"


def share_notes(share: Share) -> Iterator[str]:
    """What should be known of one metric's part in a score."""
    figure, metric = share.figure, share.metric
    unit = METRICS[metric].unit
    if share.beyond is not None:
        yield (
            f"{metric} of {value(figure, metric)} lies beyond the reference point "
            f"{share.beyond:g}{'' if unit == '1' else f' {unit}'}, and counts {share.worth:g}."
        )
    if figure.exact:
        yield f"{metric} has no interval: its value was taken as exact."
    elif figure.low is None or figure.high is None:
        sides = [
            side for side, bound in (("low", figure.low), ("high", figure.high)) if bound is None
        ]
        ends = "ends" if len(sides) == 2 else "end"
        yield (
            f"The interval of {metric} is open at its {listed(sides)} {ends}: there the end of the "
            "scale was taken."
        )
