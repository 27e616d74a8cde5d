"""Short names: of what is compared only that is said which differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

from minionbench.report.text import in_one_line, number
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult, LoadDocument

Aspect = Callable[[BenchmarkCandidate], str | None]


def _model(candidate: BenchmarkCandidate) -> str | None:
    return candidate.factors.model if candidate.factors else None


def _deployment(candidate: BenchmarkCandidate) -> str | None:
    return candidate.factors.deployment if candidate.factors else None


def _protocol(candidate: BenchmarkCandidate) -> str | None:
    factors = candidate.factors
    return factors.protocol if factors else None


def _remote(candidate: BenchmarkCandidate) -> str | None:
    factors = candidate.factors
    if factors is None or factors.remote_model is None or factors.remote_model == factors.model:
        return None
    return factors.remote_model


def _quantization(candidate: BenchmarkCandidate) -> str | None:
    factors = candidate.factors
    name = candidate.quantization or (factors.quantization if factors else None)
    # Names of models often say it themselves.
    said = (_model(candidate) or candidate.version).lower()
    return None if name is not None and name.lower() in said else name


def _reasoning(candidate: BenchmarkCandidate) -> str | None:
    factors = candidate.factors
    if factors is None or factors.reasoning is None:
        return None
    return "reasoning" if factors.reasoning else "no reasoning"


def _version(candidate: BenchmarkCandidate) -> str | None:
    return candidate.version


_ASPECTS: tuple[Aspect, ...] = (_deployment, _model, _remote, _protocol, _quantization, _reasoning)
"""What tells candidates apart, in the order in which it is said."""


def candidate_names(runs: Sequence[BenchmarkRun]) -> list[list[str]]:
    """A name for each candidate of each run, no two alike, as short as that allows.

    It is made of the fewest aspects that tell the candidates apart; where that is not enough, of
    the run as well.
    """
    everyone = [candidate for run in runs for candidate in run.candidates]
    said = _parts(runs, everyone)
    if len(runs) > 1 and len(set(map(tuple, said))) == 1:
        said = [[] for _ in everyone]  # the runs are what differs
    if len(runs) > 1:
        counted = Counter(map(tuple, said))
        of_run = [
            mark
            for mark, run in zip(run_names(runs), runs, strict=True)
            for _ in range(len(run.candidates))
        ]
        said = [
            [*parts, mark] if counted[tuple(parts)] > 1 else parts
            for parts, mark in zip(said, of_run, strict=True)
        ]
    names = _told_apart([in_one_line(" · ".join(parts)) for parts in said])
    each = iter(names)
    return [[next(each) for _ in run.candidates] for run in runs]


def _parts(runs: Sequence[BenchmarkRun], everyone: Sequence[BenchmarkCandidate]) -> list[list[str]]:
    # Versions of a registry are names that people gave.
    given = any(not one.factors or one.version != one.factors.model for one in everyone)
    told = all(len({one.version for one in run.candidates}) == len(run.candidates) for run in runs)
    if given and told and not any(one.factors and one.factors.protocol for one in everyone):
        return [[one.version] for one in everyone]
    short = _short_models(everyone)
    held = [
        [None if (said := aspect(one)) is None else short.get(said, said) for aspect in _ASPECTS]
        for one in everyone
    ]
    places = [k for k in range(len(_ASPECTS)) if len({aspects[k] for aspects in held}) > 1]
    fewest = _fewest(held, places)
    return [
        _joined(aspects, fewest) or [_model(one) or one.version]
        for one, aspects in zip(everyone, held, strict=True)
    ]


def _short_models(everyone: Sequence[BenchmarkCandidate]) -> dict[str, str]:
    """Models by their names without the provider, where that leaves no two alike."""
    models = {model for one in everyone for model in (_model(one), _remote(one)) if model}
    short = {model: model.rpartition("/")[2] for model in models}
    alike = len(set(short.values())) < len(models) or "" in short.values()
    return {} if len(everyone) < 2 or alike else short


def _joined(aspects: Sequence[str | None], said: Sequence[int]) -> list[str]:
    """The aspects that are said, two models that answer together as one of them."""
    parts: list[str] = []
    for k in said:
        aspect = aspects[k]
        if aspect is not None and _ASPECTS[k] is _remote and _ASPECTS.index(_model) in said:
            parts[-1] = f"{parts[-1]} + {aspect}"
        elif aspect is not None:
            parts.append(aspect)
    return parts


def _fewest(held: Sequence[Sequence[str | None]], places: Sequence[int]) -> Sequence[int]:
    """The fewest aspects that are as telling as all of them; of two sets that with the model.

    Where there are hybrids, what a deployment is says more than whose model is in it.
    """
    whole = len({tuple(aspects[k] for k in places) for aspects in held})
    deployment, model = _ASPECTS.index(_deployment), _ASPECTS.index(_model)
    hybrid = any(aspects[deployment] == "hybrid" for aspects in held)
    first = deployment if hybrid else model
    for size in range(1, len(places)):
        sets = [
            some
            for some in combinations(places, size)
            if len({tuple(aspects[k] for k in some) for aspects in held}) == whole
        ]
        if sets:
            return max(sets, key=lambda some: first in some)
    return places


def run_names(runs: Sequence[BenchmarkRun]) -> list[str]:
    """A name for each run: the instant that its id is made of, no two alike.

    The day is left out where it is the same for all.
    """
    instants = [run.metadata.run_id.removeprefix("benchmark_").partition("_") for run in runs]
    one_day = len({day for day, _, _ in instants}) == 1
    return _told_apart(
        [
            ("" if one_day else f"{day[:4]}-{day[4:6]}-{day[6:]} ")
            + f"{time[:2]}:{time[2:4]}:{time[4:]}"
            for day, _, time in instants
        ]
    )


def _told_apart(names: list[str]) -> list[str]:
    seen: Counter[str] = Counter()
    counted = Counter(names)
    told = []
    for name in names:
        seen[name] += 1
        told.append(name if counted[name] == 1 else f"{name} #{seen[name]}")
    return told


def load_name(load: LoadDocument) -> str:
    """How requests were sent, in a few words."""
    if load.kind == "closed":
        return f"{load.concurrency} stream" + ("" if load.concurrency == 1 else "s")
    if load.kind == "open":
        return f"{number(load.rate_per_s)} requests/s, {load.arrivals}"
    return f"replay of {in_one_line(load.trace or '')}"


class Place(NamedTuple):
    """Where a cell stands beside the others of its candidate."""

    workload: str
    load: str | None
    """None where all cells were sent in the same way."""

    @property
    def name(self) -> str:
        """Both in one line."""
        return self.workload if self.load is None else f"{self.workload} · {self.load}"


def places(cells: Sequence[CellResult]) -> list[Place]:
    """A place for each cell; loads are named where they differ."""
    loads = {load_name(cell.load) for cell in cells}
    return [
        Place(in_one_line(cell.workload.name), None if len(loads) < 2 else load_name(cell.load))
        for cell in cells
    ]
