"""What is chosen among: models by their own metrics, or deployments by those of their cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from minionbench.errors import UsageError
from minionbench.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    CellResult,
    MetricResult,
)
from minionbench.select import words
from minionbench.select.criteria import DEFAULT_WEIGHTS, SHORT, Criteria
from minionbench.select.place import Place, load_word
from minionbench.select.score import metric_of
from minionbench.units import number_of

SESSION = "session"
COST = "cost_usd"
ACCURACY = "accuracy_pct"
OF_A_REGISTRY = ("cove_pass_rate", "retrieval_score")
"""Metrics that only the registry benchmark measures."""
RULE_OF_MODELS = "fewer MB of files (unknown last), then the version's name"
RULE_OF_DEPLOYMENTS = "the higher score, then the name"


class Option(NamedTuple):
    """One of those that are chosen among."""

    name: str
    candidate: BenchmarkCandidate
    cells: tuple[CellResult, ...]
    """Those whose verdicts count."""
    at: Mapping[Place, CellResult] | None = None
    """The cell of each place; None for a model, which is judged by metrics of its own."""

    def metric(self, name: str, place: Place | None) -> MetricResult | None:
        """A metric of its own, or of its cell at a place; None where there is none.

        A local deployment calls nobody who charges: its requests cost 0.
        """
        if place is None or self.at is None:
            return self.candidate.metrics.get(name)
        cell = self.at.get(place)
        if cell is None:
            return None
        found = cell.metrics.get(name)
        if found is None and name == COST and self._is_local and _is_measured(cell):
            return MetricResult.ok(0.0, unit="USD", method="by definition: no call is charged")
        return found

    @property
    def _is_local(self) -> bool:
        factors = self.candidate.factors
        return factors is not None and factors.deployment == "local"


class Contest(NamedTuple):
    """The options of a run, and what they are held against each other by."""

    options: tuple[Option, ...]
    criteria: Criteria
    """With the weights that count where none were named."""
    shares: Mapping[str, float]
    """The weights by metric, each before its place where options are judged by cells; their sum
    is 1."""
    places: Mapping[str, tuple[str, Place | None]]
    """The metric and place behind each such name."""
    rule: str
    """How a tie is broken."""
    notes: tuple[str, ...] = ()

    @property
    def by_cells(self) -> bool:
        """Whether the options are judged by their cells."""
        return any(option.at is not None for option in self.options)

    def at(self, workload: str | None) -> list[Place]:
        """The places of a workload, of all for None."""
        found = {place: None for option in self.options for place in option.at or ()}
        return [place for place in found if workload in (None, place.workload)]

    def key(self, metric: str, place: Place) -> str:
        """A metric's name with its place, as far as there are several."""
        loads = {one.load for one in self.at(None)}
        load = f"{place.load}." if len(loads) > 1 else ""
        return f"{place.workload}.{load}{metric}"


def holds_deployments(run: BenchmarkRun) -> bool:
    """Whether a run's candidates are deployments rather than models of a registry.

    So they are where each repeat is a session of its own, as in a sweep, and where something else
    than a local model that is asked as it stands is among them.
    """
    return any(
        cell.settings.get("repeat_unit") == SESSION for one in run.candidates for cell in one.cells
    ) or any(
        one.factors.deployment != "local" or one.factors.protocol is not None
        for one in run.candidates
        if one.factors is not None and one.cells
    )


def is_by_cells(run: BenchmarkRun, criteria: Criteria) -> bool:
    """Whether options are judged by their cells.

    Deployments are, and so is what is asked for by a workload; and candidates of which nothing is
    known that only the registry benchmark measures, unless its metrics are asked for.
    """
    named = any("." in name for name in criteria.weights or ())
    if named or criteria.workloads or criteria.loads or holds_deployments(run):
        return True
    gated = {gate.metric for gate in criteria.gates if gate.workload is None}
    of_a_registry = any(
        one.metrics[name].status != "skipped" for one in run.candidates for name in OF_A_REGISTRY
    )
    has_cells = any(cell.metrics for one in run.candidates for cell in one.cells)
    asked = {*(criteria.weights or ()), *gated}
    return has_cells and not of_a_registry and asked.isdisjoint({*OF_A_REGISTRY, "latency_ms"})


def short_names(run: BenchmarkRun, criteria: Criteria) -> dict[str, tuple[str, ...]]:
    """What short names mean in a run."""
    if not is_by_cells(run, criteria):
        return SHORT
    return {
        "latency": (latency_of(run),),
        "ttft": ("ttft_s",),
        "throughput": ("requests_per_sec",),
        "goodput": ("goodput_per_sec",),
        "quality": (ACCURACY,),
        "accuracy": (ACCURACY,),
        "cost": (COST,),
        "energy": ("energy_wh_per_request",),
        "ram": ("peak_ram_mb",),
        "vram": ("peak_vram_mb",),
    }


def latency_of(run: BenchmarkRun) -> str:
    """The metric that says how long a user waits: from the planned instant in an open loop."""
    loads = {cell.load.kind for candidate in run.candidates for cell in candidate.cells}
    return "total_latency_s" if loads <= {"closed"} else "response_time_s"


def contest(run: BenchmarkRun, criteria: Criteria) -> Contest:
    """The options of a run and what they are judged by.

    Raises UsageError for a workload or load that the run does not have.
    """
    return (
        _of_deployments(run, criteria) if is_by_cells(run, criteria) else _of_models(run, criteria)
    )


def _of_models(run: BenchmarkRun, criteria: Criteria) -> Contest:
    if criteria.weights is None:
        criteria = msgspec.structs.replace(criteria, weights=dict(DEFAULT_WEIGHTS))
    return Contest(
        options=tuple(Option(one.version, one, one.cells) for one in run.candidates),
        criteria=criteria,
        shares=criteria.shares,
        places={name: (name, None) for name in criteria.shares},
        rule=RULE_OF_MODELS,
    )


def _of_deployments(run: BenchmarkRun, criteria: Criteria) -> Contest:
    options = tuple(_options(run, criteria))
    bare = Contest(options, criteria, {}, {}, RULE_OF_DEPLOYMENTS)
    notes: list[str] = []
    if criteria.weights is None:
        weights, notes = _default_weights(bare, latency_of(run))
        criteria = msgspec.structs.replace(criteria, weights=weights)
    shares: dict[str, float] = {}
    places: dict[str, tuple[str, Place | None]] = {}
    for name, share in criteria.shares.items():
        metric, workload = metric_of(name), name.rpartition(".")[0] or None
        held = bare.at(workload)
        if not held:
            raise UsageError(
                f"The run has no cell{f' of the workload {workload}' if workload else ''} by which "
                f"{metric} could be judged{_of_those(bare)}."
            )
        known = [place for place in held if _known(options, metric, place)]
        if known and len(known) < len(held):
            without = sorted({place.workload for place in held} - {p.workload for p in known})
            if without:
                notes.append(
                    f"{metric} has no value for anybody over {words.listed(without)}, and counts "
                    "elsewhere only."
                )
        for place, part in _parts(known or held):
            key = bare.key(metric, place)
            shares[key] = shares.get(key, 0.0) + share * part
            places[key] = (metric, place)
    if COST in map(metric_of, shares) and any(
        option.metric(COST, place) is not None and COST not in cell.metrics
        for option in options
        for place, cell in (option.at or {}).items()
    ):
        notes.append(f"{COST} of a local deployment is 0: nobody charges for its calls.")
    return Contest(options, criteria, shares, places, RULE_OF_DEPLOYMENTS, tuple(notes))


def _of_those(bare: Contest) -> str:
    workloads = sorted({place.workload for place in bare.at(None)})
    return f"; it has {words.listed(workloads)}" if workloads else ""


def _options(run: BenchmarkRun, criteria: Criteria) -> Iterator[Option]:
    everywhere = {
        Place(cell.workload.name, load_word(cell.load))
        for candidate in run.candidates
        for cell in candidate.cells
    }
    for flag, asked, known in (
        ("workload", criteria.workloads, {place.workload for place in everywhere}),
        ("load", criteria.loads, {place.load for place in everywhere}),
    ):
        if strangers := [name for name in asked if name not in known]:
            there = words.listed(sorted(known)) if known else "none"
            raise UsageError(f"The run has no {flag} {strangers[0]!r}; it has {there}.")
    names = _names(run.candidates)
    for name, candidate in zip(names, run.candidates, strict=True):
        at: dict[Place, CellResult] = {}
        for cell in candidate.cells:
            place = Place(cell.workload.name, load_word(cell.load))
            if (not criteria.workloads or place.workload in criteria.workloads) and (
                not criteria.loads or place.load in criteria.loads
            ):
                if place in at:
                    raise UsageError(
                        f"{at[place].cell_id} and {cell.cell_id} measured the same workload under "
                        f"the same load for {candidate.version}, so that nobody can tell which of "
                        "them counts."
                    )
                at[place] = cell
        yield Option(name, candidate, tuple(at.values()), at)


def _names(candidates: Sequence[BenchmarkCandidate]) -> list[str]:
    """What a sweep calls its cells after, without workload and load; else the version."""
    names = []
    for candidate in candidates:
        own = {_name(cell) for cell in candidate.cells}
        names.append((own.pop() if len(own) == 1 else "") or candidate.version)
    counted = Counter(names)
    return [
        name if counted[name] == 1 or not one.cells else one.cells[0].cell_id
        for name, one in zip(names, candidates, strict=True)
    ]


def _name(cell: CellResult) -> str:
    rest = cell.cell_id.removeprefix(cell.workload.name)
    if rest and rest[0] != ".":
        return ""
    return rest.removesuffix(f".{load_word(cell.load)}").removeprefix(".")


def _parts(places: Sequence[Place]) -> Iterator[tuple[Place, float]]:
    """Each place with its share: workloads count equally, and so do the loads of each."""
    loads = Counter(place.workload for place in places)
    for place in places:
        yield place, 1 / len(loads) / loads[place.workload]


def _known(options: Sequence[Option], metric: str, place: Place) -> bool:
    found = (option.metric(metric, place) for option in options)
    return any(one is not None and one.value is not None for one in found)


def _told(options: Sequence[Option], metric: str, place: Place) -> bool:
    """Whether a cell itself has a value: where nobody charges, cost tells nobody apart."""
    cells = [option.at[place] for option in options if option.at and place in option.at]
    found = (cell.metrics.get(metric) for cell in cells)
    return any(one is not None and one.value is not None for one in found)


def _is_measured(cell: CellResult) -> bool:
    return any(metric.value is not None for metric in cell.metrics.values())


def _default_weights(bare: Contest, latency: str) -> tuple[dict[str, float], list[str]]:
    """Latency, right answers and cost, as far as all that were measured have them; and what is to
    be said of the others."""
    everywhere = bare.at(None)
    measured = [
        option for option in bare.options if option.at and all(map(_is_measured, option.cells))
    ]
    weights, notes = {latency: 1.0}, []
    for metric in (ACCURACY, COST):
        held = [place for place in everywhere if _told(bare.options, metric, place)]
        lacking = [option for option in measured if _lacks(option, metric, held)]
        if held and not lacking:
            weights[metric] = 1.0
        elif held:
            notes.append(
                f"{metric} is not weighed: {number_of(len(lacking), 'option')} of {len(measured)} "
                f"({words.listed([one.name for one in lacking[:3]])}"
                f"{' …' if len(lacking) > 3 else ''}) cannot be judged by it. Named among the "
                "weights it counts, and they cannot be ranked."
            )
        else:
            notes.append(f"{metric} is not weighed: nothing has a value for it.")
    return weights, notes


def _lacks(option: Option, metric: str, places: Sequence[Place]) -> bool:
    found = (option.metric(metric, place) for place in places)
    return any(one is None or one.value is None for one in found)
