"""What is done to every model of a registry: the same for all of them."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from minionbench.errors import UsageError
from minionbench.names import REGISTRY_METRICS
from minionbench.prices.electricity import check_electricity

LIKELIHOOD_METRICS = ("perplexity", "kl_to_base")
SELECTABLE = (*REGISTRY_METRICS, *LIKELIHOOD_METRICS)
"""The metrics that can be asked for; all of them unless some are named."""

WORKLOADS_OF: dict[str, tuple[str, ...]] = {
    "latency_ms": ("balanced",),
    "tokens_per_sec": ("decode",),
    "peak_ram_mb": ("prefill",),
    "peak_vram_mb": ("prefill",),
}
"""The workloads that a metric of speed or memory needs; Prefill, the longest, for memory."""


class Procedure(msgspec.Struct, frozen=True, kw_only=True):
    """Which metrics are measured, on what, and within which limits.

    Raises UsageError for a value that makes no measurement.
    """

    metrics: tuple[str, ...] = SELECTABLE
    num_requests: int = 10
    """Different items of each workload."""
    warmup: int = 2
    """Items of each workload that are asked beforehand and do not count."""
    repeats: int = 3
    """How often each item of a workload is asked."""
    seed: int = 0
    """Decides the items, and the order of the models."""
    budget_s: float | None = None
    """Time that one model may take, its loading included; None for no limit."""
    memory_limit_bytes: int | None = None
    """Memory that an engine may take; None for most of what the machine has available."""
    threads: int | None = None
    """Threads of the engine; None for its own default."""
    cove_pairs: int = 112
    """Pairs of drafts that are verified, where they are the built-in ones."""
    cove_file: str | None = None
    """File of pairs; None for the built-in ones."""
    cove_kinds: tuple[str, ...] | None = None
    """Kinds of built-in pairs; None for all that the models of the registry can know."""
    corpus: str | None = None
    """Folder of a corpus in BEIR's format; None for the built-in one."""
    queries: int | None = None
    """Queries that are asked; None for all."""
    reranking: Literal["listwise", "pointwise", "embedding"] = "listwise"
    """How the model retrieves; scores of different ways are never compared. `embedding` is for
    models that declare themselves embedding models, and no other way is for those."""

    electricity_usd_per_kwh: float | None = None
    """What electricity costs here; None where energy is not to be turned into money."""

    passages: int = 4
    """Texts of each workload whose likelihood is asked for, and as many again of the corpus."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in SELECTABLE]
        if unknown:
            raise UsageError(
                f"There is no metric {', '.join(unknown)} to measure here; there are "
                f"{', '.join(SELECTABLE)}."
            )
        if not self.metrics:
            raise UsageError("No metric is named.")
        for name, value, least in (
            ("number of requests", self.num_requests, 1),
            ("number of warm-up requests", self.warmup, 0),
            ("number of repeats", self.repeats, 1),
            ("number of pairs", self.cove_pairs, 1),
            ("number of queries", self.queries, 1),
            ("number of passages", self.passages, 1),
            ("memory limit", self.memory_limit_bytes, 1),
            ("number of threads", self.threads, 1),
        ):
            if value is not None and value < least:
                raise UsageError(f"The {name} is {value}; it must be at least {least}.")
        if self.electricity_usd_per_kwh is not None:
            check_electricity(self.electricity_usd_per_kwh)
        if self.budget_s is not None and not 0 < self.budget_s < math.inf:
            raise UsageError(f"The budget is {self.budget_s:g} s; it must be longer than 0.")

    @property
    def workloads(self) -> tuple[str, ...]:
        """The workloads that the metrics need, in the order in which they are measured."""
        if set(REGISTRY_METRICS[:4]) <= set(self.metrics):
            return ("prefill", "balanced", "decode")
        needed = {name for metric in self.metrics for name in WORKLOADS_OF.get(metric, ())}
        return tuple(name for name in ("prefill", "balanced", "decode") if name in needed)

    def asks_for(self, *names: str) -> bool:
        """Whether one of these metrics is to be measured."""
        return any(name in self.metrics for name in names)
