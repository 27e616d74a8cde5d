"""The comparison of two sides or more: what belongs together, what may be compared, verdicts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from minionbench.compare.conditions import Difference, differences
from minionbench.compare.criteria import NOT_COMPARED, Criteria
from minionbench.compare.judging import (
    Answer,
    Asked,
    Verdict,
    answer,
    ask,
    replicates_wanted,
)
from minionbench.compare.measurement import (
    FAILED_PCT,
    Measurement,
    Observation,
    Replicate,
)
from minionbench.errors import NotComparable, UsageError
from minionbench.inference import Spread, holm
from minionbench.metrics.table import METRICS
from minionbench.units import number_of

FEWEST_LEFT = 2
"""Runs of a side that must be left before others are left out."""

Earlier = Callable[[Measurement], Mapping[str, Spread]]
"""What earlier runs of the same thing say of how far its replicates lie apart, by metric."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a comparison: what it is called, and what was measured."""

    name: str
    measurements: tuple[Measurement, ...]

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The runs that it is made of."""
        return tuple(dict.fromkeys(one.run_id for one in self.measurements))


class CellComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of both sides."""

    cell: str
    """The cell's id on the base side; `candidate` where a candidate as a whole is meant."""
    base: str
    """What was measured on the base side, in one line."""
    new: str
    unit: str
    """What a replicate is: run, or session."""
    paired: bool
    """Whether the k-th replicates of both sides belong together."""
    answers: tuple[Answer, ...]
    differences: tuple[Difference, ...]
    """Conditions that are not the same."""
    notes: tuple[str, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A base held against one other side."""

    base: Side
    new: Side
    cells: tuple[CellComparison, ...]
    forced: bool
    """Whether it was made although the sides cannot be compared."""
    varied: tuple[str, ...]
    """Conditions that were said to differ on purpose."""
    level: float
    power: float
    questions: int
    """P-values that were adjusted together."""
    notes: tuple[str, ...]

    def verdicts(self, *, headline: bool = False) -> Iterator[Verdict]:
        """All verdicts, or those of headline metrics."""
        for cell in self.cells:
            yield from (a.verdict for a in cell.answers if a.headline or not headline)

    @property
    def verdict(self) -> Verdict:
        """All in one: worse where anything is; cannot tell where a headline metric is so; better
        where a headline metric is; else the same."""
        seen, headline = set(self.verdicts()), set(self.verdicts(headline=True))
        if Verdict.WORSE in seen:
            return Verdict.WORSE
        if Verdict.UNCLEAR in headline or not headline:
            return Verdict.UNCLEAR
        return Verdict.BETTER if Verdict.BETTER in headline else Verdict.SAME


class _Matched(msgspec.Struct, frozen=True):
    """The measurements of one cell on both sides, and what is asked of them."""

    base: tuple[Measurement, ...]
    new: tuple[Measurement, ...]
    differences: tuple[Difference, ...]
    asked: tuple[Asked, ...]
    paired: bool
    doubt: str | None
    """Why the numbers are not to be believed; None where they are."""
    notes: tuple[str, ...]


def compare(
    base: Side, new: Sequence[Side], criteria: Criteria, earlier: Earlier | None = None
) -> list[Comparison]:
    """The base held against each of the other sides, all p-values adjusted together.

    `earlier` is asked where each side has a single replicate.

    Raises NotComparable, which names each difference, unless the criteria force it; UsageError
    where the sides have nothing in common.
    """
    matched = [_matched(base, side, criteria, earlier) for side in new]
    questions = [
        one.contrast.p
        for cells, _ in matched
        for cell in cells
        for one in cell.asked
        if one.verdict is None and one.contrast is not None and one.contrast.p is not None
    ]
    adjusted = iter(holm(questions))
    return [
        Comparison(
            base=base,
            new=side,
            cells=tuple(_answered(cell, criteria, adjusted, len(questions)) for cell in cells),
            forced=any(d.refuses for cell in cells for d in cell.differences),
            varied=criteria.varied,
            level=criteria.level,
            power=criteria.power,
            questions=len(questions),
            notes=notes,
        )
        for side, (cells, notes) in zip(new, matched, strict=True)
    ]


class Wanting(msgspec.Struct, frozen=True):
    """How many pairs a metric needs."""

    metric: str
    deviation: float
    """Standard deviation of the differences between the sessions of a pair."""
    pairs: int | None
    """None where more than any number would be needed."""


def pairs_wanted(base: Side, new: Side, criteria: Criteria) -> Wanting | None:
    """The headline metric that needs the most pairs to be told of, by the pairs so far.

    The spread is taken around no change, so that looking at it says nothing of whether there is
    one, and the chance of a false alarm stays what it is; a change makes it look larger than it is.
    None where nothing can be said of it.

    Source: Kieser and Friede, Statistics in Medicine 22 (2003).
    """
    cells, _ = _matched(base, new, criteria, None)
    asked = [one for cell in cells for one in cell.asked]
    family = sum(one.contrast is not None and one.contrast.p is not None for one in asked)
    found = []
    for one in asked:
        seen = one.contrast
        if seen is None or not seen.paired or not criteria.is_headline(one.metric):
            continue
        if seen.error is None or seen.degrees is None:
            continue
        deviation = math.sqrt(seen.error**2 * seen.degrees + seen.point**2)
        wanted = replicates_wanted(deviation, one.metric, criteria, family=family, paired=True)
        found.append(Wanting(one.metric, deviation, wanted))
    return max(found, key=lambda one: math.inf if one.pairs is None else one.pairs, default=None)


# --- what belongs together ---------------------------------------------------------------------


def _matched(
    base: Side, new: Side, criteria: Criteria, earlier: Earlier | None
) -> tuple[list[_Matched], tuple[str, ...]]:
    cells: list[_Matched] = []
    notes: list[str] = []
    for ours, theirs in _candidates(base, new, notes):
        for a, b in _cells(ours, theirs, notes):
            cell = _asked(a, b, criteria, earlier)
            if cell.asked:
                cells.append(cell)
    if not cells:
        raise UsageError(
            f"{base.name} and {new.name} have nothing in common that could be compared: "
            f"{'; '.join(notes) or 'neither has a metric with a value'}"
        )
    refusing = dict.fromkeys(d.text for cell in cells for d in cell.differences if d.refuses)
    if refusing and not criteria.force:
        names = sorted({d.name for cell in cells for d in cell.differences if d.refuses})
        listed = "".join(f"\n  {text}" for text in refusing)
        raise NotComparable(
            f"{base.name} and {new.name} cannot be compared:{listed}\n"
            f"If a difference is what the comparison is about, name it, as --vary {names[0]}; "
            "--force compares all the same, and marks the result."
        )
    return cells, tuple(notes)


Group = tuple[Measurement, ...]


def _candidates(base: Side, new: Side, notes: list[str]) -> Iterator[tuple[Group, Group]]:
    """Candidates that belong together: the only ones, else those with the same factors."""
    ours, theirs = _by_factors(base), _by_factors(new)
    for mine, other in ((ours, theirs), (theirs, ours)):
        _take_in_lost(mine, other)
    if len(ours) == len(theirs) == 1:
        yield next(iter(ours.values())), next(iter(theirs.values()))
        return
    for key, group in ours.items():
        if key in theirs:
            yield group, theirs[key]
        else:
            notes.append(f"{group[0].candidate} is only on the base side")
    for key, group in theirs.items():
        if key not in ours:
            notes.append(f"{group[0].candidate} is only on the new side")
    if not ours.keys() & theirs.keys():
        notes.append("name one of each side with #CANDIDATE behind its run")


def _take_in_lost(mine: dict[str, Group], other: Mapping[str, Group]) -> None:
    """Counts runs that found no server among those of the side's only candidate.

    A server that does not answer cannot say what its model is, so that such a run is of no
    candidate that is known. Where a run measured something beside, it is one of its own.
    """
    reached = {one.run_id for group in mine.values() for one in group if one.broken is None}
    lost = [
        key
        for key, group in mine.items()
        if key not in other
        and all(one.broken is not None and one.run_id not in reached for one in group)
    ]
    if len(mine) - len(lost) == 1:
        (whole,) = mine.keys() - set(lost)
        for key in lost:
            mine[whole] += mine.pop(key)


def _by_factors(side: Side) -> dict[str, Group]:
    found: dict[str, Group] = {}
    for one in side.measurements:
        key = msgspec.json.encode(one.factors, order="deterministic").decode()
        found[key] = (*found.get(key, ()), one)
    return found


def _cells(base: Group, new: Group, notes: list[str]) -> Iterator[tuple[Group, Group]]:
    """Cells that belong together: of one workload and load, else of one workload."""
    ours, theirs = _by_cell(base), _by_cell(new)
    broken = [tuple(one for one in side if one.broken is not None) for side in (base, new)]
    alone = [key for key in theirs if key not in ours]
    for key, group in ours.items():
        other = theirs.get(key)
        if other is None:
            same = [k for k in alone if k[0] == key[0]]
            lone = [k for k in ours if k[0] == key[0] and k not in theirs]
            if len(same) == len(lone) == 1:
                alone.remove(same[0])
                other = theirs[same[0]]
        if other is None and broken[1]:
            other = ()
        if other is None:
            notes.append(f"{group[0].where} is only on the base side")
            continue
        yield _with_broken(group, broken[0]), _with_broken(other, broken[1])
    for key in alone:
        if broken[0]:
            yield _with_broken((), broken[0]), _with_broken(theirs[key], broken[1])
        else:
            notes.append(f"{theirs[key][0].where} is only on the new side")


CellKey = tuple[str | None, str | None, int]


def _by_cell(group: Group) -> dict[CellKey, Group]:
    found: dict[CellKey, Group] = {}
    for one in group:
        if one.broken is None:
            key = (one.workload, one.load, one.place)
            found[key] = (*found.get(key, ()), one)
    return found


def _with_broken(group: Group, broken: Group) -> Group:
    return (*group, *broken)


# --- what is asked -----------------------------------------------------------------------------


def _asked(base: Group, new: Group, criteria: Criteria, earlier: Earlier | None) -> _Matched:
    differing = differences(base, new, criteria.varied)
    measured = tuple(one for one in (*base, *new) if one.broken is None)
    names = _names(measured, criteria)
    left_out, doubt = (None, None) if criteria.force else _unbelievable(base, new, criteria.paired)
    if left_out is not None:
        (base, new), said = left_out
    replicates = tuple(_replicates(side, names) for side in (base, new))
    paired, notes = _paired(base, new, replicates, criteria)
    if left_out is not None:
        notes.append(said)
    spreads: Mapping[str, Spread] = {}
    if earlier is not None and len(replicates[0]) == len(replicates[1]) == 1:
        spreads = _spreads(base, new, earlier)
        if spreads:
            notes.append("How far runs lie apart is known from earlier runs of the same thing.")
    asked = [
        found
        for name in names
        if (
            found := ask(
                name,
                replicates[0],
                replicates[1],
                criteria,
                paired=paired,
                spread=spreads.get(name),
            )
        )
    ]
    for one in measured:
        notes += [note for note in one.notes if note not in notes]
    doubts = Counter(doubt for one in measured for doubt in one.doubts)
    if doubts:
        suspect = sum(bool(one.doubts) for one in measured)
        rules = ", ".join(f"{rule} ({count})" for rule, count in doubts.most_common())
        notes.append(f"{suspect} of {number_of(len(measured), 'run')} suspect: {rules}.")
    return _Matched(base, new, tuple(differing), tuple(asked), paired, doubt, tuple(notes))


def _unbelievable(
    base: Group, new: Group, paired: bool
) -> tuple[tuple[tuple[Group, Group], str] | None, str | None]:
    """What is left without the runs that the harness measured wrongly, and what to say of it; else
    why nothing is to be believed: too few would be left.

    Whether the harness was held up has nothing to do with what it measured, so that leaving such a
    run out favours no side. Of pairs both go.
    """
    wrong = [one for one in (*base, *new) if one.invalid]
    if not wrong:
        return None, None
    rules = Counter(rule for one in wrong for rule in one.invalid)
    named = ", ".join(f"{rule} ({count})" for rule, count in rules.most_common())
    if paired and len(base) == len(new):
        whole = [not (a.invalid or b.invalid) for a, b in zip(base, new, strict=True)]
        kept = tuple(
            tuple(one for one, keep in zip(side, whole, strict=True) if keep)
            for side in (base, new)
        )
    else:
        kept = tuple(tuple(one for one in side if not one.invalid) for side in (base, new))
    if any(
        len(rest) < max(FEWEST_LEFT, len(side) / 2)
        for rest, side in zip(kept, (base, new), strict=True)
        if len(rest) < len(side)
    ):
        counted = f"{len(wrong)} of {number_of(len(base) + len(new), 'run')}"
        return None, f"the harness measured {counted} wrongly, by {named}"
    gone = len(base) + len(new) - sum(map(len, kept))
    said = (
        f"{number_of(gone, 'run')} left out{' in pairs' if paired else ''}, since the harness "
        f"measured wrongly: {named}."
    )
    return ((kept[0], kept[1]), said), None


def _names(measured: Group, criteria: Criteria) -> list[str]:
    """The metrics to compare, in the order of the table."""
    if criteria.metrics:
        return list(criteria.metrics)
    present = {
        name for one in measured for replicate in one.replicates for name in replicate.metrics
    }
    names = [name for name in METRICS if name in present and name not in NOT_COMPARED]
    if not any(
        name in replicate.metrics and replicate.metrics[name].value is not None
        for name in names
        for one in measured
        for replicate in one.replicates
    ):
        # What says the same as others is all there is, as in a result of another program.
        names = [name for name in METRICS if name in present]
    closed = all((one.load or "").endswith(("stream", "streams")) for one in measured)
    if closed and "total_latency_s" in names and "response_time_s" in names:
        names.remove("response_time_s")  # nobody waits for a slot: it is the total latency
    reasons = any(one.factors.get("reasoning") for one in measured)
    if not reasons and "ttfo_s" in names and "ttft_s" in names and _has("ttft_s", measured):
        names.remove("ttfo_s")
    if any(replicate.requests for one in measured for replicate in one.replicates):
        names.append(FAILED_PCT.name)
    return names


def _has(name: str, measured: Group) -> bool:
    return all(
        (seen := replicate.metrics.get(name)) is not None and seen.why is None
        for one in measured
        for replicate in one.replicates
    )


def _replicates(side: Group, names: Sequence[str]) -> tuple[Replicate, ...]:
    """All replicates of a side; where nothing was measured, everything failed."""
    found: list[Replicate] = []
    for one in side:
        if one.broken is None:
            found += one.replicates
            continue
        failed = Observation(value=None, failed=True, why=one.broken)
        found += [
            msgspec.structs.replace(replicate, metrics=dict.fromkeys(names, failed))
            for replicate in one.replicates
        ]
    return tuple(found)


def _paired(
    base: Group, new: Group, replicates: Sequence[Sequence[Replicate]], criteria: Criteria
) -> tuple[bool, list[str]]:
    """Whether the k-th replicates belong together, and why not where it was asked for."""
    ours, theirs = replicates
    if criteria.paired:
        if len(ours) == len(theirs):
            return True, []
        return False, [
            f"Not paired: the base has {number_of(len(ours), 'replicate')}, "
            f"the new side {len(theirs)}."
        ]
    # The sessions of one run go through its cells in turn: each turn holds every cell once.
    together = len(base) == len(new) == 1 and base[0].run_id == new[0].run_id
    turns = [[replicate.session for replicate in side] for side in replicates]
    return together and None not in turns[0] and turns[0] == turns[1], []


def _spreads(base: Group, new: Group, earlier: Earlier) -> dict[str, Spread]:
    """The spreads of both sides' own histories, pooled where both have one."""
    known: list[Mapping[str, Spread]] = []
    for side in (base, new):
        whole = [one for one in side if one.broken is None]
        if whole:
            found = earlier(whole[0])
            if found not in known:
                known.append(found)
    pooled: dict[str, Spread] = {}
    for name in dict.fromkeys(name for spreads in known for name in spreads):
        parts = [spreads[name] for spreads in known if name in spreads]
        degrees = sum(part.degrees for part in parts)
        squares = sum(part.degrees * part.deviation**2 for part in parts)
        pooled[name] = Spread(deviation=(squares / degrees) ** 0.5, degrees=degrees)
    return pooled


# --- what is answered --------------------------------------------------------------------------


def _answered(
    cell: _Matched, criteria: Criteria, adjusted: Iterator[float], family: int
) -> CellComparison:
    answers: list[Answer] = []
    for one in cell.asked:
        tested = one.verdict is None and one.contrast is not None and one.contrast.p is not None
        p = next(adjusted) if tested else None
        answers.append(answer(one, criteria, p_adjusted=p, family=family, doubt=cell.doubt))
    whole = [one for one in cell.base if one.broken is None] or list(cell.base)
    other = [one for one in cell.new if one.broken is None] or list(cell.new)
    sessions = any(one.sessions for one in (*cell.base, *cell.new))
    return CellComparison(
        cell=whole[0].where if whole[0].cell_id is not None else other[0].where,
        base=whole[0].candidate,
        new=other[0].candidate,
        unit="session" if sessions else "run",
        paired=cell.paired,
        answers=tuple(answers),
        differences=cell.differences,
        notes=cell.notes,
    )
