"""The factorial: which cells a sweep has, and which combinations of its levels make none."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import NamedTuple

import msgspec

from minionbench.deployments.deployment import Deployment
from minionbench.deployments.single import Local, Remote
from minionbench.embedding_first import check_embedders
from minionbench.engines.families import LocalQuant
from minionbench.engines.providers import providers
from minionbench.engines.remote import RemoteModel, check_reasoning
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Request, Side
from minionbench.experiment import asked_cells, planned_candidates
from minionbench.load import ClosedLoop, Load
from minionbench.measuring import Cell
from minionbench.prices import Price
from minionbench.protocols.catalog import protocol_name
from minionbench.protocols.hybrid import Protocols, TwoModels
from minionbench.run_plan import PlannedCandidate
from minionbench.run_settings import Measurable, RunSettings
from minionbench.sides import ServedModel, check_dialects, served_models
from minionbench.sweep.definition import OLLAMA, Definition
from minionbench.units import number_of
from minionbench.workloads.workload import Workload

LONGEST_NAME = 100
"""Characters of a cell's name, which may have 128 with its number."""
REASONING_WORDS = {True: "reasoning", False: "plain", None: "default"}


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """Combinations of levels that make no cell, and why."""

    cells: tuple[str, ...]
    why: str


class Candidate(NamedTuple):
    """What is measured: one deployment with its models, over all workloads and loads."""

    settings: RunSettings
    models: Mapping[Side, ServedModel]
    member: Deployment
    cells: tuple[Cell, ...]

    @property
    def deployments(self) -> dict[str, Deployment]:
        """The deployment of each cell by its id."""
        return dict.fromkeys((cell.cell_id for cell in self.cells), self.member)

    def settings_of(self, cell: Cell) -> RunSettings:
        """The settings of one of its cells."""
        return msgspec.structs.replace(self.settings, load=cell.load)

    @property
    def planned(self) -> PlannedCandidate:
        """As the plan has it before its engines serve."""
        asked = {self.member: list(self.cells)}
        return planned_candidates(self.settings, self.models, asked, {})[0]


class Grid(NamedTuple):
    """The cells of a sweep, grouped by what they measure."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    crossing: int

    @property
    def cells(self) -> list[tuple[Candidate, Cell]]:
        """All cells, each with its candidate."""
        return [(candidate, cell) for candidate in self.candidates for cell in candidate.cells]

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the factorial, one sentence each."""
        cells, left_out = len(self.cells), sum(len(one.cells) for one in self.left_out)
        notes = []
        same = self.crossing - cells - left_out
        if same:
            notes.append(
                f"{number_of(cells, 'cell')} of {self.crossing} combinations: a local deployment "
                "has no remote model and a remote one no quantisation, so that "
                f"{number_of(same, 'combination')} would repeat a cell"
            )
        notes += [f"Left out: {', '.join(one.cells)}: {one.why}" for one in self.left_out]
        return notes


class _Levels(NamedTuple):
    """One combination of the levels that decide what is measured."""

    deployment: Measurable
    quant: LocalQuant | None
    reasoning: bool | None
    remote_model: RemoteModel | str | None


def grid(definition: Definition) -> Grid:
    """The factorial of a sweep's levels.

    A factor that does not apply to a deployment has one level there. What cannot be measured is
    left out, with the reason.

    Raises UsageError where no cell is left, and for an embedding model that runs elsewhere.
    """
    check_embedders(one for deployment in definition.deployments for one in _members(deployment))
    workloads = [_DrawnOnce(workload) for workload in definition.workloads]
    names = _Names(definition)
    candidates: list[Candidate] = []
    reasons: dict[str, list[str]] = {}
    for levels in _combinations(definition):
        cells: list[Cell] = []
        made: tuple[RunSettings, Mapping[Side, ServedModel], Deployment] | None = None
        for workload in workloads:
            cell_names = [names.of(levels, workload.name, load) for load in definition.loads]
            try:
                settings = _settings(definition, levels, workload)
                models: Mapping[Side, ServedModel] = served_models(settings)
                check_dialects(settings, models)
                _check_reasoning(settings, models)
                ((member, (cell,)),) = asked_cells(settings).items()
            except (UsageError, DeploymentError) as error:
                reasons.setdefault(str(error), []).extend(cell_names)
                continue
            made = made or (settings, models, member)
            cells += [
                msgspec.structs.replace(cell, cell_id=name, load=load)
                for name, load in zip(cell_names, definition.loads, strict=True)
            ]
        if made is not None:
            settings, models, member = made
            whole = msgspec.structs.replace(settings, workloads=tuple(workloads))
            candidates.append(Candidate(whole, models, member, tuple(cells)))
    left_out = tuple(LeftOut(cells=tuple(cells), why=why) for why, cells in reasons.items())
    if not candidates:
        why = "; ".join(reasons)
        raise UsageError(f"No combination of the sweep's levels can be measured: {why}")
    return Grid(tuple(candidates), left_out, definition.crossing)


def blocks(cells: int, repeats: int, seed: int) -> tuple[tuple[int, int], ...]:
    """(place of a cell, repeat) in the order in which the sessions run.

    Each block holds every cell once, in an order of its own drawn from the seed: what drifts in the
    course of a sweep meets all cells alike, and the repeats of a cell are far apart.
    """
    order: list[tuple[int, int]] = []
    for repeat in range(repeats):
        places = list(range(cells))
        random.Random(f"sweep/{seed}/{repeat}").shuffle(places)
        order += [(place, repeat) for place in places]
    return tuple(order)


class _DrawnOnce:
    """A workload whose requests are drawn once for all cells."""

    def __init__(self, workload: Workload) -> None:
        self.name = workload.name
        self.version = workload.version
        self.source = workload.source
        self._workload = workload
        self._drawn: dict[tuple[int, int], tuple[Request, ...]] = {}

    def requests(self, n: int, seed: int) -> Iterator[Request]:
        """As the workload's own."""
        if (n, seed) not in self._drawn:
            self._drawn[n, seed] = tuple(islice(self._workload.requests(n, seed), n))
        return iter(self._drawn[n, seed])


def _combinations(definition: Definition) -> Iterator[_Levels]:
    """The combinations that differ; what does not apply to a deployment is one level of None."""
    for deployment in definition.deployments:
        sides = _sides(deployment)
        quants = definition.quants if "local" in sides else (None,)
        remote_models = definition.remote_models if "remote" in sides else (None,)
        for levels in product(quants, definition.reasoning, remote_models):
            yield _Levels(deployment, *levels)


def _sides(deployment: Measurable) -> set[Side]:
    return {side for member in _members(deployment) for side in member.sides}


def _members(deployment: Measurable) -> tuple[Deployment, ...]:
    return deployment.members if isinstance(deployment, Protocols) else (deployment,)


def _settings(definition: Definition, levels: _Levels, workload: Workload) -> RunSettings:
    common = definition.common
    remote_text = _remote_text(levels)
    engine = common.engine
    if OLLAMA in definition.servers:
        engine = msgspec.structs.replace(engine, ollama_host=definition.servers[OLLAMA])
    deployment = _at_its_server(levels.deployment, remote_text, definition.servers)
    remote_engine = common.remote_engine
    if isinstance(deployment, Remote) and remote_engine is not None:
        # A remote deployment has one side: how it is reached is said there.
        engine, remote_engine = remote_engine, None
    return msgspec.structs.replace(
        common,
        workloads=(workload,),
        deployment=deployment,
        quant=levels.quant,
        reasoning=levels.reasoning,
        remote_model=levels.remote_model,
        remote_price=_price(remote_text, definition.prices) or common.remote_price,
        max_cost_usd=common.max_cost_usd if "remote" in _sides(deployment) else None,
        engine=engine,
        remote_engine=remote_engine,
    )


def _remote_text(levels: _Levels) -> str | None:
    """The remote model as `provider/model`; None where there is none."""
    chosen = levels.remote_model
    if chosen is not None:
        return chosen.text if isinstance(chosen, RemoteModel) else chosen
    deployment = levels.deployment
    if isinstance(deployment, Local):
        return None
    return (deployment.remote if isinstance(deployment, TwoModels) else deployment).model


def _price(model: str | None, prices: Mapping[str, Price]) -> Price | None:
    return None if model is None else prices.get(model)


def _at_its_server(
    deployment: Measurable, remote_text: str | None, servers: Mapping[str, str]
) -> Measurable:
    """The deployment with its remote side where the sweep says that its provider is."""
    provider = (remote_text or "").partition("/")[0]
    url = servers.get(provider) if provider in providers().by_name else None
    if url is None or isinstance(deployment, Local):
        return deployment
    if isinstance(deployment, TwoModels):
        if deployment.remote.url is not None:
            return deployment
        moved = copy.copy(deployment)
        moved.remote = Remote(deployment.remote.model, url=url)
        return moved
    return deployment if deployment.url is not None else Remote(deployment.model, url=url)


def _check_reasoning(settings: RunSettings, models: Mapping[Side, ServedModel]) -> None:
    """Refuses a wish that is known beforehand to be in vain.

    Raises DeploymentError for it. What only a server can tell is found out in its session.
    """
    wish = settings.reasoning_wish
    if wish is None:
        return
    for side, model in models.items():
        if side == "local" and wish.on and len(models) > 1:
            continue  # the wish to reason is the remote model's
        spec = model.spec
        if spec.remote:
            info = providers().by_name[spec.provider]
            traits, _ = info.traits(spec.name or "")
            check_reasoning(f"{spec.name} of {info.title}", traits, wish)
        elif spec.provider == "reference" and wish.on:
            raise DeploymentError(f"{spec.text} does not reason")


class _Names:
    """Names of cells: their levels, those left out that all cells share."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._taken: set[str] = set()
        kinds = [_kind(deployment) for deployment in definition.deployments]
        self._ambiguous = {kind for kind in kinds if kinds.count(kind) > 1}

    def of(self, levels: _Levels, workload: str, load: Load) -> str:
        """A name that no other cell has."""
        definition = self._definition
        kind = _kind(levels.deployment)
        parts = [workload, kind]
        if kind in self._ambiguous:
            parts += _models_of(levels.deployment)
        if len(definition.quants) > 1 and levels.quant is not None:
            parts.append(levels.quant.label)
        if len(definition.remote_models) > 1 and levels.remote_model is not None:
            parts.append((_remote_text(levels) or "").rpartition("/")[2])
        if len(definition.reasoning) > 1:
            parts.append(REASONING_WORDS[levels.reasoning])
        if len(definition.loads) > 1:
            parts.append(load_name(load))
        return self._free(".".join(map(_plain, parts)))

    def _free(self, name: str) -> str:
        name = name.lstrip("._-")[:LONGEST_NAME] or "cell"
        free, number = name, 1
        while free.lower() in self._taken:
            number += 1
            free = f"{name}-{number}"
        self._taken.add(free.lower())
        return free


def load_name(load: Load) -> str:
    """A load in a word: `c4` for four streams, `r2.5` for 2.5 requests per second."""
    return f"c{load.concurrency}" if isinstance(load, ClosedLoop) else f"r{load.rate_per_s:g}"


def _kind(deployment: Measurable) -> str:
    """`local`, `remote`, or the protocol's name."""
    member = _members(deployment)[0]
    return protocol_name(member) or member.name


def _models_of(deployment: Measurable) -> Sequence[str]:
    if isinstance(deployment, TwoModels):
        return [one for one in (deployment.local.model, deployment.remote.model) if one]
    return [one for one in (deployment.model or deployment.url,) if one]


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-") or "x"
