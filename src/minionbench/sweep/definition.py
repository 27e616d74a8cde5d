"""What a sweep varies, level by level, and what stays the same in all of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from minionbench.deployments.single import Local, Remote
from minionbench.engines.catalog import ModelSpec
from minionbench.engines.families import LocalQuant
from minionbench.engines.providers import providers
from minionbench.engines.remote import RemoteModel
from minionbench.errors import UsageError
from minionbench.load import ClosedLoop, Load
from minionbench.prices import Price
from minionbench.protocols.hybrid import Protocols, TwoModels
from minionbench.run_settings import Measurable, RunSettings
from minionbench.workloads.workload import Workload

DEFAULT_REPEATS = 5
"""Sessions of each cell: enough for an interval over sessions that is not twice as wide as it has
to be (Student's t with 4 degrees of freedom)."""
OLLAMA = "ollama"
VARIED = ("workloads", "deployment", "quant", "reasoning", "remote_model", "load")
"""Settings that a sweep varies, so that they are no further setting of it."""

T = TypeVar("T")
Levels: TypeAlias = T | Sequence[T] | None
"""One level of a factor, several, or None for none of one's own."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep: the levels of each factor, and all else as settings that every cell has.

    Raises UsageError for levels or settings that make no sweep.
    """

    workloads: tuple[Workload, ...]
    deployments: tuple[Measurable, ...]
    reasoning: tuple[bool | None, ...] = (None,)
    quants: tuple[LocalQuant | None, ...] = (None,)
    remote_models: tuple[RemoteModel | str | None, ...] = (None,)
    loads: tuple[Load, ...] = (ClosedLoop(),)
    servers: Mapping[str, str] = {}
    """Where a provider, or `ollama`, is to be found, by its name, in place of its own address."""
    prices: Mapping[str, Price] = {}
    """What tokens cost, by `provider/model`."""
    common: RunSettings
    """What all cells have in common; its own levels of the factors count for nothing."""

    def __post_init__(self) -> None:
        for name, levels in (
            ("workload", self.workloads),
            ("deployment", self.deployments),
            ("reasoning", self.reasoning),
            ("quant", self.quants),
            ("remote_model", self.remote_models),
            ("load", self.loads),
        ):
            if not levels:
                raise UsageError(f"The sweep has no level of {name}; leave it out, or name one")
            for place, level in enumerate(levels):
                if level in levels[:place]:
                    raise UsageError(f"The sweep has the level {level!r} of {name} twice")
        for model in self.remote_models:
            if isinstance(model, RemoteModel):
                model.text  # noqa: B018 - a provider without a default model is found out here
        for deployment in self.deployments:
            _check_names(deployment)
        known = (OLLAMA, *providers().by_name)
        for server in self.servers:
            if server not in known:
                raise UsageError(
                    f"There is no server {server!r} to be found elsewhere; there are "
                    f"{', '.join(known)}"
                )
        for model_name in self.prices:
            ModelSpec.parse(model_name)

    @classmethod
    def of(
        cls,
        workload: Levels[Workload],
        deployment: Levels[Measurable] = None,
        reasoning: Levels[bool] = None,
        quant: Levels[LocalQuant] = None,
        remote_model: Levels[RemoteModel | str] = None,
        load: Levels[Load | int] = None,
        *,
        repeats: int = DEFAULT_REPEATS,
        servers: Mapping[str, str] | None = None,
        prices: Mapping[str, Price | str] | None = None,
        **settings: Any,
    ) -> Definition:
        """The sweep that these levels mean, each one or a sequence.

        A whole number as a load is so many streams. `settings` are fields of `RunSettings`.

        Raises UsageError for what makes no sweep.
        """
        known = {field.name for field in msgspec.structs.fields(RunSettings)} - set(VARIED)
        unknown = sorted(set(settings) - known)
        if unknown:
            raise UsageError(
                f"A sweep has no setting {', '.join(unknown)}; it has {', '.join(sorted(known))}"
            )
        workloads = _levels(workload)
        if None in workloads:
            raise UsageError("No workload is named")
        remote_models = _levels(remote_model)
        default = Local() if remote_models == (None,) else Remote()
        deployments = tuple(one or default for one in _levels(deployment))
        return cls(
            workloads=workloads,
            deployments=tuple(single for one in deployments for single in _single(one)),
            reasoning=_levels(reasoning),
            quants=_levels(quant),
            remote_models=remote_models,
            loads=tuple(map(_load, _levels(load))),
            servers=dict(servers or {}),
            prices={
                model: price if isinstance(price, Price) else Price.parse(price)
                for model, price in (prices or {}).items()
            },
            common=RunSettings(
                workloads=workloads,
                deployment=next(
                    (one for one in deployments if not isinstance(one, Local)), default
                ),
                repeats=repeats,
                **settings,
            ),
        )

    @property
    def crossing(self) -> int:
        """Combinations of all levels, those that make no cell included."""
        product = 1
        for levels in (
            *(self.workloads, self.deployments, self.reasoning),
            *(self.quants, self.remote_models, self.loads),
        ):
            product *= len(levels)
        return product


def _levels(given: Any) -> tuple[Any, ...]:
    if isinstance(given, Sequence) and not isinstance(given, str):
        return tuple(given)
    return (given,)


def _load(level: Load | int | None) -> Load:
    if level is None:
        return ClosedLoop()
    if isinstance(level, bool):
        raise UsageError("A load is a number of streams, ClosedLoop(…) or OpenLoop(…)")
    return ClosedLoop(concurrency=level) if isinstance(level, int) else level


def _single(deployment: Measurable) -> tuple[Measurable, ...]:
    """Several protocols over two models as deployments of one each."""
    if isinstance(deployment, Protocols):
        return tuple(map(deployment.of_one, deployment.names))
    return (deployment,)


def _check_names(deployment: Measurable) -> None:
    """Refuses a model's name that is none, before it makes every cell of its level fail."""
    sides = (
        (deployment.local, deployment.remote)
        if isinstance(deployment, TwoModels)
        else (deployment,)
    )
    for side in sides:
        if side.model is not None and side.url is None:
            ModelSpec.parse(side.model)
