"""Measurements as a comparison takes them: by hand, and drawn from a known truth."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from minionbench.compare import Side
from minionbench.compare.measurement import Measurement, Observation, Replicate
from minionbench.stats import median

CONDITIONS: dict[str, Any] = {"host": "one", "engine": "engine 1", "workload.version": 1}
FACTORS: dict[str, Any] = {"model": "a", "reasoning": None}


def failed(why: str = "All 8 requests failed") -> Observation:
    """What was to be measured and failed."""
    return Observation(value=None, failed=True, why=why)


def skipped(why: str = "not asked for") -> Observation:
    """What was not measured, for a reason that is no failure."""
    return Observation(value=None, why=why)


def replicate(
    run_id: str = "benchmark_20260101_000000",
    *,
    session: int | None = None,
    requests: int | None = 20,
    failures: int = 0,
    items: Mapping[str, Mapping[str, float | None]] | None = None,
    asked: Sequence[str] = (),
    **metrics: float | Observation,
) -> Replicate:
    """A replicate with these values."""
    return Replicate(
        run_id=run_id,
        session=session,
        requests=requests,
        failed=None if requests is None else failures,
        metrics={
            name: one if isinstance(one, Observation) else Observation(value=one, items=20)
            for name, one in metrics.items()
        },
        items={name: dict(values) for name, values in (items or {}).items()},
        asked=tuple(asked),
    )


def measurement(*replicates: Replicate, **fields: Any) -> Measurement:
    """A cell with these replicates."""
    made: dict[str, Any] = {
        "run_id": replicates[0].run_id if replicates else "benchmark_20260101_000000",
        "candidate": "a",
        "factors": FACTORS,
        "cell_id": "decode",
        "workload": "decode",
        "load": "1 stream",
        "conditions": CONDITIONS,
        "replicates": replicates,
    }
    return Measurement(**(made | fields))


def run_id(number: int) -> str:
    """The id of a run, by its number."""
    return f"benchmark_20260101_{number:06}"


def side(name: str, *runs: Mapping[str, Any], first: int = 0, **fields: Any) -> Side:
    """A side of runs with these values each."""
    return Side(
        name=name,
        measurements=tuple(
            measurement(replicate(run_id(first + number), **values), **fields)
            for number, values in enumerate(runs)
        ),
    )


def latencies(name: str, values: Sequence[float], *, first: int = 0, **fields: Any) -> Side:
    """A side of runs with these total latencies."""
    return side(name, *({"total_latency_s": value} for value in values), first=first, **fields)


class Truth:
    """How runs come about: items of their own length, an effect of each run, and requests whose
    latencies hang together from one to the next.

    The latency of request k on item i in run r is exp(item + run + noise): the noise of a request
    is ρ times that of the one before, and the rest drawn anew.
    """

    def __init__(
        self,
        seed: int,
        *,
        items: int = 16,
        between: float = 0.02,
        noise: float = 0.08,
        rho: float = 0.7,
        passes: int = 2,
    ) -> None:
        self.rng = random.Random(seed)
        self.between, self.noise, self.rho, self.passes = between, noise, rho, passes
        self.lengths = [self.rng.gauss(0, 0.5) for _ in range(items)]

    def run(self, number: int, shift: float = 0.0, *, drift: float = 0.0) -> Measurement:
        """One run whose latencies are exp(shift) times as long; `drift` is added to its effect."""
        draw = self.rng.gauss
        metrics: dict[str, float] = {}
        items: dict[str, dict[str, float | None]] = {}
        effect = draw(0, self.between) + drift
        for name in ("ttft_s", "total_latency_s", "tpot_s"):
            values: list[list[float]] = [[] for _ in self.lengths]
            error = draw(0, self.noise)
            for _ in range(self.passes):
                for item, length in enumerate(self.lengths):
                    new = draw(0, self.noise * math.sqrt(1 - self.rho**2))
                    error = self.rho * error + new
                    values[item].append(math.exp(length + shift + effect + error))
            middles = [median(one) for one in values]
            metrics[name] = median(middles)
            items[name] = {f"item-{i}": middle for i, middle in enumerate(middles)}
        asked = list(items["ttft_s"])
        return measurement(replicate(run_id(number), items=items, asked=asked, **metrics))

    def side(self, name: str, runs: int, shift: float = 0.0, *, first: int = 0) -> Side:
        """A side of so many runs."""
        return Side(
            name=name,
            measurements=tuple(self.run(first + number, shift) for number in range(runs)),
        )
