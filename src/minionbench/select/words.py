"""The reasons of a choice, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from minionbench.metrics.table import METRICS
from minionbench.select.score import Figure, Score, Share, metric_of
from minionbench.units import significant

if TYPE_CHECKING:
    from minionbench.schema import BenchmarkCandidate, CellResult, MetricResult
    from minionbench.select.criteria import Gate
    from minionbench.select.place import Place

_OPEN = "…"


def points(score: Score) -> str:
    """A score with its interval."""
    return f"{score.point:.3f} ({score.low:.3f}–{score.high:.3f})"


def value(figure: Figure, metric: str) -> str:
    """A value with its unit and interval."""
    unit = METRICS[metric_of(metric)].unit
    said = significant(figure.value) + ("" if unit == "1" else f" {unit}")
    if figure.exact:
        return said
    low, high = (_OPEN if b is None else significant(b) for b in (figure.low, figure.high))
    return f"{said} ({low}–{high})"


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def together(names: Sequence[str]) -> list[str]:
    """Metrics with their places, those of one metric as one: `ttft_s (in 4 cells)`."""
    by_metric: dict[str, list[str]] = {}
    for name in names:
        by_metric.setdefault(metric_of(name), []).append(name)
    return [
        own[0] if len(own) == 1 else f"{metric} (in {len(own)} cells)"
        for metric, own in by_metric.items()
    ]


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
    metrics = listed(together(by_score.surely_better_in(score)))
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


def why_missing_in(gate: Gate, cell: CellResult | None) -> str:
    """Why there is nothing to hold against a gate; `cell` is None where a cell is lacking."""
    if cell is None:
        return f": a cell of the workload {gate.workload} is lacking"
    metric = cell.metrics.get(gate.metric)
    if metric is None:
        return f": {cell.cell_id} does not have it"
    return f" in {cell.cell_id}: {_why(metric)}"


def why_missing_at(name: str, place: Place, cell: CellResult | None) -> str:
    """Why a deployment has no value at a place; `cell` is None where it has none there."""
    if cell is None:
        return f": it has no cell of {place.workload} under {place.load}"
    metric = cell.metrics.get(name)
    return ": its cells do not have it" if metric is None else f": {_why(metric)}"


def _why(metric: MetricResult) -> str:
    return f"{metric.status}: {metric.error_message or metric.metadata.get('reason')}"


def why_missing(name: str, candidate: BenchmarkCandidate) -> str:
    """Why a metric of the candidate's own has no value."""
    metric = candidate.metrics.get(name)
    if metric is not None:
        return f": {_why(metric)}"
    inside = [cell.cell_id for cell in candidate.cells if name in cell.metrics]
    if inside:
        return f": only its cells have it ({', '.join(inside)}), not the candidate"
    return ": the document does not have it"


def missing(whys: Mapping[str, Sequence[str]], *, by_cells: bool) -> Iterator[str]:
    """What is missing and why, each metric alone or those of cells with one reason together."""
    for why, names in whys.items():
        for one in [listed(together(names))] if by_cells else names:
            yield f"missing {one}{why}"


def verdicts(cells: Iterable[CellResult]) -> Iterator[str]:
    """What speaks against cells, those of which the same is said together."""
    same: dict[str, list[str]] = {}
    for cell in cells:
        status = cell.verdict.status
        rules = [reason.rule for reason in cell.verdict.reasons if reason.severity == status]
        said = f"{status}: {', '.join(dict.fromkeys(rules))}"
        same.setdefault(said, []).append(cell.cell_id)
    for said, names in same.items():
        yield f"{listed(names)} {'is' if len(names) == 1 else 'are'} {said}"


def share_notes(shares: Sequence[Share]) -> Iterator[str]:
    """What should be known of the metrics' parts in a score."""
    notes: dict[tuple[str, str], list[Share]] = {}
    for share in shares:
        for text in _about_one(share):
            notes.setdefault((metric_of(share.metric), text), []).append(share)
    for (_, text), own in notes.items():
        (whose,) = together([share.metric for share in own])
        of = f" of {value(own[0].figure, own[0].metric)}" if len(own) == 1 else ""
        yield text.format(metric=whose, of=of)


def _about_one(share: Share) -> Iterator[str]:
    """What is to be said of one share, with a place for the metric's name and its value."""
    figure = share.figure
    unit = METRICS[metric_of(share.metric)].unit
    if share.beyond is not None:
        yield (
            f"{{metric}}{{of}} lies beyond the reference point "
            f"{share.beyond:g}{'' if unit == '1' else f' {unit}'}, and counts {share.worth:g}."
        )
    if figure.exact:
        yield "{metric} has no interval: its value was taken as exact."
    elif figure.low is None or figure.high is None:
        sides = [
            side for side, bound in (("low", figure.low), ("high", figure.high)) if bound is None
        ]
        ends = "ends" if len(sides) == 2 else "end"
        yield (
            f"The interval of {{metric}} is open at its {listed(sides)} {ends}: there the end of "
            "the scale was taken."
        )


def counted(shares: Sequence[Share]) -> Iterator[str]:
    """What each metric brings to a score; that of several cells as one."""
    by_metric: dict[str, list[Share]] = {}
    for share in shares:
        by_metric.setdefault(metric_of(share.metric), []).append(share)
    for metric, own in by_metric.items():
        weight = math.fsum(share.weight for share in own)
        if len(own) == 1:
            (share,) = own
            said, worth = f"{share.metric} {value(share.figure, metric)}", share.worth
        else:
            low, high = (f(share.figure.value for share in own) for f in (min, max))
            unit = METRICS[metric].unit
            ends = dict.fromkeys((significant(low), significant(high)))
            said = f"{metric} {' to '.join(ends)}"
            said += f"{'' if unit == '1' else f' {unit}'} in {len(own)} cells"
            worth = math.fsum(share.weight * share.worth for share in own) / weight
        yield f"{said} counts {worth:.3f} × {weight:.3g}"
