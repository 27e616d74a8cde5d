"""The choice: which candidates come into question, which is best, and why each is where it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult, MetricResult
from minionbench.select import words
from minionbench.select.comparable import Loads, loads_of, require_comparable
from minionbench.select.contest import Contest, Option, contest, holds_deployments
from minionbench.select.criteria import Criteria, Gate
from minionbench.select.place import Place
from minionbench.select.score import Figure, Score, figure, score

_GRAVITY = {"valid": 0, "suspect": 1, "invalid": 2}


class Standing(StrEnum):
    """Where a candidate stands."""

    CHOSEN = "chosen"
    TIED = "tied"
    """As good as the chosen one within the intervals; a rule decided against it."""
    BEHIND = "behind"
    """Its score is below the best one's, beyond the intervals."""
    DOMINATED = "dominated"
    """Another one is no worse in any metric, and better beyond the intervals in one."""
    UNRANKED = "cannot be ranked"
    """A metric that is asked for has no value."""
    GATED = "fails a gate"
    NOT_BELIEVED = "not to be believed"
    """The verdict of one of its cells is worse than may be chosen."""


_ORDER = {standing: place for place, standing in enumerate(Standing)}


class Assessment(NamedTuple):
    """What is to be said of one candidate."""

    version: str
    """The model's; of a deployment its name in the run, which has to tell apart more than that."""
    standing: Standing
    score: Score | None
    """None unless it came into question."""
    on_front: bool
    """Whether no other candidate that came into question dominates it."""
    reasons: tuple[str, ...]
    """Why it stands there; at least one."""
    notes: tuple[str, ...]
    """What else should be known: reference points passed, intervals that are missing, doubts."""
    candidate: BenchmarkCandidate


class Selection(NamedTuple):
    """The choice among a run's candidates."""

    run_id: str
    criteria: Criteria
    assessments: tuple[Assessment, ...]
    """The chosen one first, then those tied with it, behind it, dominated, and out of question."""
    notes: tuple[str, ...]
    """What should be known of the run as a whole."""
    of_deployments: bool = False
    """Whether what is chosen among are deployments, rather than models of a registry."""
    by_cells: bool = False
    """Whether they were judged by their cells."""
    parts: tuple[tuple[str, Selection], ...] = ()
    """The choice over each workload alone, and under each load alone, where there are several."""

    @property
    def front(self) -> tuple[Assessment, ...]:
        """Those that nobody dominates, the best first."""
        return tuple(one for one in self.assessments if one.on_front)

    @property
    def chosen(self) -> Assessment | None:
        """The best candidate; None where none came into question."""
        first = self.assessments[0] if self.assessments else None
        return first if first is not None and first.standing is Standing.CHOSEN else None

    @property
    def tied(self) -> tuple[Assessment, ...]:
        """Those as good as the chosen one, which the rule decided against."""
        return tuple(one for one in self.assessments if one.standing is Standing.TIED)


class _Contender(NamedTuple):
    """An option that comes into question."""

    option: Option
    score: Score
    key: tuple[Any, ...]
    """Its place by the rule: smaller is better."""


def choose(run: BenchmarkRun, criteria: Criteria | None = None) -> Selection:
    """The best option of a run, and the reason for each one's place.

    Options are the models of a registry, by their own metrics; or deployments, as in a sweep, by
    those of their cells: a weight is shared equally by the workloads, and by the loads of each. One
    comes into question when no cell's verdict is worse than the criteria allow, it meets every
    gate, and has a value for every metric that is weighted or gated. The best one has the highest
    score among those that no other dominates. Whoever's interval of the score reaches that of the
    best one is tied with it, and a rule decides: among models `RULE_OF_MODELS`, among deployments
    `RULE_OF_DEPLOYMENTS`.

    A score depends on its option alone, and the choice does not depend on the order of the
    candidates.

    Raises NotComparable when a metric that is asked for was not measured in the same way for all,
    UsageError for a workload or load that the run does not have.
    """
    criteria = criteria or Criteria()
    whole = _choice(run, criteria)
    if not whole.by_cells:
        return whole
    return whole._replace(parts=tuple(_parts(run, criteria, whole)))


def _parts(
    run: BenchmarkRun, criteria: Criteria, whole: Selection
) -> Iterator[tuple[str, Selection]]:
    """The choices over one workload, and under one load, where there are several."""
    places = contest(run, criteria).at(None)
    weights = criteria.weights
    workloads = list(dict.fromkeys(place.workload for place in places))
    for workload in workloads if len(workloads) > 1 else ():
        own = weights
        if weights is not None:
            own = {n: w for n, w in weights.items() if n.rpartition(".")[0] in ("", workload)}
            if not any(own.values()):
                continue
        gates = tuple(gate for gate in criteria.gates if gate.workload in (None, workload))
        alone = msgspec.structs.replace(criteria, weights=own, workloads=(workload,), gates=gates)
        yield workload, _choice(run, alone)
    loads = list(dict.fromkeys(place.load for place in places))
    for load in loads if len(loads) > 1 else ():
        yield load, _choice(run, msgspec.structs.replace(criteria, loads=(load,)))


def _choice(run: BenchmarkRun, criteria: Criteria) -> Selection:
    held = contest(run, criteria)
    asked = dict(held.places)
    if not held.by_cells:
        whole = [gate.metric for gate in criteria.gates if gate.workload is None]
        asked |= {name: (name, None) for name in whole}
    require_comparable(held.options, asked)
    loads = loads_of(run.candidates, criteria.gates, held)
    contenders: list[_Contender] = []
    assessments: list[Assessment] = []
    for option in held.options:
        judged = _judged(option, held, asked, loads)
        if isinstance(judged, _Contender):
            contenders.append(judged)
        else:
            assessments.append(judged)
    assessments += _ranked(contenders, held, loads)
    assessments.sort(key=_place)
    return Selection(
        run.metadata.run_id,
        held.criteria,
        tuple(assessments),
        (*_about(run, held), *held.notes),
        of_deployments=holds_deployments(run),
        by_cells=held.by_cells,
    )


def _judged(
    option: Option,
    held: Contest,
    asked: Mapping[str, tuple[str, Place | None]],
    loads: Loads,
) -> _Contender | Assessment:
    """The option as a contender, or why it is none."""
    criteria = held.criteria
    figures: dict[str, Figure] = {}
    missing: dict[str, list[str]] = {}
    for name, (metric, place) in asked.items():
        result = option.metric(metric, place)
        value = None if result is None else figure(result)
        if value is not None:
            figures[name] = value
        elif place is None:
            missing.setdefault(words.why_missing(name, option.candidate), []).append(name)
        else:
            cell = (option.at or {}).get(place)
            missing.setdefault(words.why_missing_at(metric, place, cell), []).append(name)
    failed = []
    for one in _held_against(option, held, loads):
        if one.figure is None:
            if one.place is not None:
                why = words.why_missing_at(one.gate.metric, one.place, one.cell)
                name = held.key(one.gate.metric, one.place)
                if name not in (gone := missing.setdefault(why, [])):
                    gone.append(name)
            elif one.gate.workload is not None:
                missing.setdefault(words.why_missing_in(one.gate, one.cell), []).append(
                    one.gate.metric
                )
        elif not one.gate.holds(one.figure.value):
            failed.append(words.fails(one.gate, one.figure, one.cell))
    worst = _GRAVITY[criteria.worst_verdict]
    bad = [cell for cell in option.cells if _GRAVITY[cell.verdict.status] > worst]
    doubted = [*words.verdicts(bad)]
    lacking = [*words.missing(missing, by_cells=held.by_cells)]
    for standing, reasons in (
        (Standing.GATED, failed),
        (Standing.NOT_BELIEVED, doubted),
        (Standing.UNRANKED, lacking),
    ):
        if reasons:
            return Assessment(
                version=option.name,
                standing=standing,
                score=None,
                on_front=False,
                reasons=(*failed, *doubted, *lacking),
                notes=(),
                candidate=option.candidate,
            )
    value_of = {name: figures[name] for name in held.shares}
    scales = {metric: criteria.scale(metric) for metric, _ in held.places.values()}
    own = score(value_of, held.shares, scales)
    size = option.candidate.file_size_mb
    # The whole candidate at last, so that no order of the document shows.
    key: tuple[Any, ...] = (size is None, size or 0.0)
    if held.by_cells:
        key = (-own.point,)
    return _Contender(option, own, (*key, option.name, option.candidate.encoded()))


class _Held(NamedTuple):
    """What is held against a gate."""

    gate: Gate
    cell: CellResult | None
    """None for the candidate's own metric, and where a cell is lacking."""
    figure: Figure | None
    """None where there is no value."""
    place: Place | None = None
    """None for a model."""


def _held_against(option: Option, held: Contest, loads: Loads) -> Iterator[_Held]:
    """For each gate the option's own figure, or that of each cell of the gate's workload.

    A deployment's gate without a workload is held against each of its cells. A cell that others
    have and this one lacks is one without a figure.
    """
    candidate = option.candidate
    for gate in held.criteria.gates:
        if option.at is not None:
            for place in held.at(gate.workload):
                result = option.metric(gate.metric, place)
                value = None if result is None else figure(result)
                yield _Held(gate, option.at.get(place), value, place)
            continue
        if gate.workload is None:
            yield _Held(gate, None, _figure(candidate.metrics, gate.metric))
            continue
        cells = [cell for cell in candidate.cells if cell.workload.name == gate.workload]
        for cell in cells:
            yield _Held(gate, cell, _figure(cell.metrics, gate.metric))
        own = {cell.load.encoded() for cell in cells}
        if not cells or loads[gate.workload] - own:
            yield _Held(gate, None, None)


def _figure(metrics: Mapping[str, MetricResult], name: str) -> Figure | None:
    metric = metrics.get(name)
    return None if metric is None else figure(metric)


def _ranked(contenders: Sequence[_Contender], held: Contest, loads: Loads) -> list[Assessment]:
    """The contenders' places among each other."""
    if not contenders:
        return []
    by_rule = sorted(contenders, key=lambda one: one.key)
    by_score = sorted(by_rule, key=lambda one: -one.score.point)
    dominators = [_dominator(one, by_score) for one in by_rule]
    front = [one for one, better in zip(by_rule, dominators, strict=True) if better is None]
    best = max(front, key=lambda one: (one.score.point, one.score.low))
    top = [one for one in front if one.score.high >= best.score.low]
    chosen = top[0]
    assessments = []
    for one, better in zip(by_rule, dominators, strict=True):
        if one is chosen:
            standing = Standing.CHOSEN
            reason = words.chosen(one.score, _named(top[1:]), held.rule)
        elif better is not None:
            standing = Standing.DOMINATED
            reason = words.dominated(one.score, better.option.name, better.score)
        elif any(one is other for other in top):
            standing = Standing.TIED
            reason = words.tied(one.score, chosen.option.name, held.rule)
        else:
            standing = Standing.BEHIND
            reason = words.behind(one.score, best.option.name, best.score)
        assessments.append(
            Assessment(
                version=one.option.name,
                standing=standing,
                score=one.score,
                on_front=better is None,
                reasons=(reason,),
                notes=(*_notes(one, held, loads),),
                candidate=one.option.candidate,
            )
        )
    return assessments


def _dominator(one: _Contender, by_score: Sequence[_Contender]) -> _Contender | None:
    """The best of those that dominate a candidate; none of them has a lower score."""
    for other in by_score:
        if other.score.point < one.score.point:
            return None
        if other.score.dominates(one.score):
            return other
    return None


def _named(contenders: Sequence[_Contender]) -> list[str]:
    return [one.option.name for one in contenders]


def _notes(contender: _Contender, held: Contest, loads: Loads) -> list[str]:
    notes = [*words.share_notes(contender.score.shares)]
    option = contender.option
    for gate, cell, value, _ in _held_against(option, held, loads):
        assert value is not None
        bounds = [bound for bound in (value.low, value.high) if bound is not None]
        if len(bounds) < 2 or not all(map(gate.holds, bounds)):
            notes.append(words.barely(gate, value, cell))
    notes += words.verdicts(cell for cell in option.cells if cell.verdict.status != "valid")
    if not option.cells:
        notes.append("It has no cells, and so no verdict.")
    return notes


def _place(assessment: Assessment) -> tuple[Any, ...]:
    candidate = assessment.candidate
    point = 0.0 if assessment.score is None else -assessment.score.point
    whole = candidate.encoded()
    return (_ORDER[assessment.standing], point, assessment.version, whole)


def _about(run: BenchmarkRun, held: Contest) -> tuple[str, ...]:
    notes = []
    if run.metadata.dry_run:
        notes.append("The run was a dry run: nothing was measured.")
    if run.metadata.finished is False:
        notes.append("The run was cut short.")
    repeated = Counter(option.name for option in held.options)
    several = sorted(name for name, count in repeated.items() if count > 1)
    if several:
        notes.append(f"Versions that several candidates have: {', '.join(several)}.")
    return tuple(notes)
