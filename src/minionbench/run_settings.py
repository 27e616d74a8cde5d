"""All that decides what a run does."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import msgspec

from minionbench.deployments.deployment import Deployment
from minionbench.deployments.single import Local, Remote
from minionbench.engines.engine import EngineSettings
from minionbench.engines.families import LocalQuant
from minionbench.engines.remote import RemoteModel
from minionbench.errors import UsageError
from minionbench.exchange import Reasoning
from minionbench.load import ClosedLoop, Load
from minionbench.meters.power.meter import PowerSettings
from minionbench.metrics.slo import Objective
from minionbench.prices import Price
from minionbench.prices.electricity import check_electricity
from minionbench.prices.limit import check_most_usd
from minionbench.protocols.hybrid import Hybrid, Protocols
from minionbench.workloads.workload import Workload

DEFAULT_REQUESTS = 10
DEFAULT_WARMUP = 2
DEFAULT_REPEATS = 3

Measurable: TypeAlias = Local | Remote | Hybrid | Protocols
"""What a run can measure."""


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides what a run does.

    Raises UsageError for a count that makes no run.
    """

    workloads: tuple[Workload, ...]
    deployment: Measurable
    quant: LocalQuant | None = None
    reasoning: bool | None = None
    """Whether the model is to reason; None leaves it to the model's own default."""
    reasoning_effort: str | None = None
    """How hard, in the server's own word; None for the server's default."""
    reasoning_budget: int | None = None
    """Most tokens of reasoning, apart from those of the answer; None for the server's default."""
    remote_model: RemoteModel | str | None = None
    """The model of the remote side, where the deployment itself names none."""
    remote_price: Price | None = None
    """What the remote model's tokens cost; None for what the table or the catalogue has."""
    prices: Path | None = None
    """File with a table of prices, which goes before the catalogue."""
    max_cost_usd: float | None = None
    """What all calls of the remote model may cost, warm-up included; None for no limit."""
    electricity_usd_per_kwh: float | None = None
    """What electricity costs here; None where energy is not to be turned into money."""
    max_total_tokens: int | None = None
    """Most tokens of prompts and answers together, warm-up included; None for no limit."""
    num_requests: int = DEFAULT_REQUESTS
    """Different items of each workload."""
    warmup: int = DEFAULT_WARMUP
    """Items of each workload that are asked beforehand; none of them is measured."""
    items: tuple[str, ...] | None = None
    """Ids of the items to be asked, in this order, in place of so many drawn by the seed."""
    repeats: int = DEFAULT_REPEATS
    """How often each item is asked."""
    seed: int = 0
    load: Load = ClosedLoop()
    objective: Objective | None = None
    """What a good request is, for goodput and attainment; None for no such thing."""
    engine: EngineSettings = EngineSettings()
    """How the model is served; in a hybrid, the local one, and an embedded one on either side."""
    remote_engine: EngineSettings | None = None
    """How the remote model of a hybrid is reached; None for as the local one."""
    meters: PowerSettings = PowerSettings()
    """Which meters of power are looked at."""
    keep_text: bool = True
    output_dir: Path | None = None
    dry_run: bool = False
    """Draw the requests, write down the plan, measure nothing."""

    def __post_init__(self) -> None:
        for name, value, least in (
            ("number of requests", self.num_requests, 1),
            ("number of warm-up requests", self.warmup, 0),
            ("number of repeats", self.repeats, 1),
        ):
            if value < least:
                raise UsageError(f"The {name} is {value}; it must be at least {least}")
        if not self.workloads:
            raise UsageError("No workload is named")
        if self.items is not None and not self.items:
            raise UsageError("The list of items is empty")
        for name, limit in (
            ("budget of reasoning", self.reasoning_budget),
            ("budget of tokens", self.max_total_tokens),
        ):
            if limit is not None and limit < 1:
                raise UsageError(f"The {name} is {limit}; it must be at least 1")
        if self.max_cost_usd is not None:
            check_most_usd(self.max_cost_usd)
            if not any("remote" in member.sides for member in self.members):
                raise UsageError(
                    "A limit on the cost (--max-cost) goes with a remote model: what runs here "
                    "costs nothing; leave it out"
                )
        if self.electricity_usd_per_kwh is not None:
            check_electricity(self.electricity_usd_per_kwh)
        if self.reasoning is False and (self.reasoning_effort or self.reasoning_budget):
            raise UsageError("Reasoning is switched off: it has neither effort nor budget")

    @property
    def reasoning_wish(self) -> Reasoning | None:
        """Whether and how the model is to reason; None leaves it to the model.

        To name an effort or a budget is to ask for reasoning.
        """
        named = self.reasoning_effort is not None or self.reasoning_budget is not None
        if self.reasoning is None and not named:
            return None
        return Reasoning(
            on=self.reasoning is not False,
            effort=self.reasoning_effort,
            budget_tokens=self.reasoning_budget,
        )

    @property
    def members(self) -> tuple[Deployment, ...]:
        """The deployments that are measured side by side."""
        deployment = self.deployment
        return deployment.members if isinstance(deployment, Protocols) else (deployment,)
