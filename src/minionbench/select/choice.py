"""The choice: which candidates come into question, which is best, and why each is where it is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from minionbench.errors import NotComparable
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult, MetricResult
from minionbench.select import words
from minionbench.select.criteria import Criteria, Gate
from minionbench.select.score import Figure, Score, figure, score

RULE = "fewer MB of files (unknown last), then the version's name"
"""How a tie at the top is broken."""

_GRAVITY = {"valid": 0, "suspect": 1, "invalid": 2}
_LARGEST_OF_CELLS = frozenset({"peak_ram_mb", "peak_vram_mb"})
"""Metrics whose `workload` says only where the largest value was seen."""


Loads: TypeAlias = dict[str, set[bytes]]
"""By workload the loads, as JSON, under which any candidate was measured."""


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
    """A candidate that comes into question."""

    candidate: BenchmarkCandidate
    score: Score
    key: tuple[Any, ...]
    """Its place by the rule: smaller is better."""


def choose(run: BenchmarkRun, criteria: Criteria | None = None) -> Selection:
    """The best candidate of a run, and the reason for each one's place.

    A candidate comes into question when no cell's verdict is worse than the criteria allow, it
    meets every gate, and has a value for every metric that is weighted or gated. The best one has
    the highest score among those that no other dominates. Whoever's interval of the score reaches
    that of the best one is tied with it, and `RULE` decides.

    A score depends on its candidate alone, and the choice does not depend on the order of the
    candidates.

    Raises NotComparable when a metric that is asked for was not measured in the same way for all.
    """
    criteria = criteria or Criteria()
    whole = [gate.metric for gate in criteria.gates if gate.workload is None]
    asked = dict.fromkeys((*criteria.shares, *whole))
    _require_comparable(run.candidates, list(asked))
    loads = _loads_of(run.candidates, criteria.gates)
    contenders: list[_Contender] = []
    assessments: list[Assessment] = []
    for candidate in run.candidates:
        judged = _judged(candidate, criteria, list(asked), loads)
        if isinstance(judged, _Contender):
            contenders.append(judged)
        else:
            assessments.append(judged)
    assessments += _ranked(contenders, criteria, loads)
    assessments.sort(key=_place)
    return Selection(run.metadata.run_id, criteria, tuple(assessments), _about(run))


def _judged(
    candidate: BenchmarkCandidate, criteria: Criteria, asked: Sequence[str], loads: Loads
) -> _Contender | Assessment:
    """The candidate as a contender, or why it is none."""
    figures: dict[str, Figure] = {}
    missing = []
    for name in asked:
        value = _figure(candidate.metrics, name)
        if value is None:
            missing.append(words.missing(name, candidate))
        else:
            figures[name] = value
    failed = []
    for held in _held_against(candidate, criteria.gates, loads):
        if held.figure is None:
            if held.gate.workload is not None:
                missing.append(words.missing_in(held.gate, held.cell))
        elif not held.gate.holds(held.figure.value):
            failed.append(words.fails(held.gate, held.figure, held.cell))
    doubted = [
        words.verdict(cell)
        for cell in candidate.cells
        if _GRAVITY[cell.verdict.status] > _GRAVITY[criteria.worst_verdict]
    ]
    for standing, reasons in (
        (Standing.GATED, failed),
        (Standing.NOT_BELIEVED, doubted),
        (Standing.UNRANKED, missing),
    ):
        if reasons:
            return Assessment(
                version=candidate.version,
                standing=standing,
                score=None,
                on_front=False,
                reasons=(*failed, *doubted, *missing),
                notes=(),
                candidate=candidate,
            )
    value_of = {name: figures[name] for name in criteria.shares}
    size = candidate.file_size_mb
    # The whole candidate at last, so that no order of the document shows.
    key = (size is None, size or 0.0, candidate.version, candidate.encoded())
    return _Contender(candidate, score(value_of, criteria.shares, criteria.scales), key)


class _Held(NamedTuple):
    """What is held against a gate."""

    gate: Gate
    cell: CellResult | None
    """None for the candidate's own metric, and where a cell is lacking."""
    figure: Figure | None
    """None where there is no value."""


def _held_against(
    candidate: BenchmarkCandidate, gates: Sequence[Gate], loads: Loads
) -> Iterator[_Held]:
    """For each gate the candidate's own figure, or that of each cell of the gate's workload.

    A cell that others have and this candidate lacks is one without a figure.
    """
    for gate in gates:
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


def _ranked(contenders: Sequence[_Contender], criteria: Criteria, loads: Loads) -> list[Assessment]:
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
            reason = words.chosen(one.score, _named(top[1:]), RULE)
        elif better is not None:
            standing = Standing.DOMINATED
            reason = words.dominated(one.score, better.candidate.version, better.score)
        elif any(one is other for other in top):
            standing = Standing.TIED
            reason = words.tied(one.score, chosen.candidate.version, RULE)
        else:
            standing = Standing.BEHIND
            reason = words.behind(one.score, best.candidate.version, best.score)
        assessments.append(
            Assessment(
                version=one.candidate.version,
                standing=standing,
                score=one.score,
                on_front=better is None,
                reasons=(reason,),
                notes=(*_notes(one, criteria, loads),),
                candidate=one.candidate,
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
    return [one.candidate.version for one in contenders]


def _notes(contender: _Contender, criteria: Criteria, loads: Loads) -> list[str]:
    notes = [note for share in contender.score.shares for note in words.share_notes(share)]
    candidate = contender.candidate
    for gate, cell, value in _held_against(candidate, criteria.gates, loads):
        assert value is not None
        bounds = [bound for bound in (value.low, value.high) if bound is not None]
        if len(bounds) < 2 or not all(map(gate.holds, bounds)):
            notes.append(words.barely(gate, value, cell))
    doubted = [cell for cell in candidate.cells if cell.verdict.status != "valid"]
    notes += [words.verdict(cell) for cell in doubted]
    if not candidate.cells:
        notes.append("It has no cells, and so no verdict.")
    return notes


def _place(assessment: Assessment) -> tuple[Any, ...]:
    candidate = assessment.candidate
    point = 0.0 if assessment.score is None else -assessment.score.point
    whole = candidate.encoded()
    return (_ORDER[assessment.standing], point, assessment.version, whole)


def _about(run: BenchmarkRun) -> tuple[str, ...]:
    notes = []
    if run.metadata.dry_run:
        notes.append("The run was a dry run: nothing was measured.")
    if run.metadata.finished is False:
        notes.append("The run was cut short.")
    repeated = Counter(candidate.version for candidate in run.candidates)
    several = sorted(version for version, count in repeated.items() if count > 1)
    if several:
        notes.append(f"Versions that several candidates have: {', '.join(several)}.")
    return tuple(notes)


def _require_comparable(candidates: Sequence[BenchmarkCandidate], asked: Sequence[str]) -> None:
    """Refuses values that were measured in different ways, where the document says so."""
    for name in asked:
        ways: dict[str, str] = {}
        for candidate in candidates:
            metric = candidate.metrics.get(name)
            if metric is None or metric.value is None:
                continue
            ways.setdefault(_way(name, metric.metadata), candidate.version)
        if len(ways) > 1:
            shown = "; ".join(f"{version}: {way}" for way, version in sorted(ways.items()))
            raise NotComparable(
                f"{name} was not measured in the same way for all candidates, so that they cannot "
                f"be held against each other. {shown}. Measure them in one run, or give {name} no "
                "weight and no gate."
            )


def _loads_of(candidates: Sequence[BenchmarkCandidate], gates: Sequence[Gate]) -> Loads:
    """The loads under which any candidate was measured, by the workloads that gates name.

    Raises NotComparable when a workload's items are not the same for all.
    """
    loads: Loads = {}
    for workload in {gate.workload for gate in gates if gate.workload is not None}:
        cells = [
            (candidate.version, cell)
            for candidate in candidates
            for cell in candidate.cells
            if cell.workload.name == workload
        ]
        asked: dict[bytes, str] = {}
        for version, cell in cells:
            asked.setdefault(cell.workload.encoded(), version)
        if len(asked) > 1:
            raise NotComparable(
                f"{workload} had other items for some candidates than for others "
                f"({', '.join(sorted(asked.values()))}), so that they cannot be held against one "
                "gate. Measure them in one run."
            )
        loads[workload] = {cell.load.encoded() for _, cell in cells}
    return loads


def _way(name: str, metadata: Mapping[str, Any]) -> str:
    """How a value was measured, as far as its metadata says."""
    keys = ["corpus", "settings", "tokens"]
    if name not in _LARGEST_OF_CELLS:
        keys.append("workload")
    said = {key: metadata[key] for key in keys if metadata.get(key) is not None}
    if isinstance(tokens := said.get("tokens"), dict):
        # How many there were is what each model answered, not how they were counted.
        said["tokens"] = {key: tokens.get(key) for key in ("by", "counted")}
    return json.dumps(said, sort_keys=True)
