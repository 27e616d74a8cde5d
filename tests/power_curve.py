"""Power as a script has it, and what counters and meters would show of it, whenever looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

from minionbench.traces import Look
from minionbench.units import NS_PER_MS, NS_PER_S


class Curve:
    """Power that stays the same for `step_ms`, then jumps to the next level; the last one holds."""

    def __init__(self, watts: Sequence[float], step_ms: int = 100) -> None:
        self.watts = list(watts)
        self._step_ns = step_ms * NS_PER_MS
        self._until = [0.0, *accumulate(w * self._step_ns / NS_PER_S for w in self.watts)]

    def power_w(self, at_ns: int) -> float:
        """The power at an instant; from 0 on."""
        return self.watts[min(at_ns // self._step_ns, len(self.watts) - 1)]

    def joules(self, at_ns: int) -> float:
        """What was used from 0 until an instant."""
        step = min(at_ns // self._step_ns, len(self.watts) - 1)
        return self._until[step] + self.watts[step] * (at_ns - step * self._step_ns) / NS_PER_S

    def used(self, start_ns: int, end_ns: int) -> float:
        """What was used between two instants, in joules."""
        return self.joules(end_ns) - self.joules(start_ns)

    def counter(
        self, at_ns: int, *, update_ns: int = 1, wraps_at: int | None = None, begin: int = 0
    ) -> int:
        """A counter of microjoules that is renewed every so often, and may begin anew."""
        counted = begin + int(self.joules(at_ns // update_ns * update_ns) * 1e6)
        return counted if wraps_at is None else counted % wraps_at


def counted(
    curve: Curve,
    instants: Iterable[int],
    stream_id: str = "meter",
    *,
    update_ns: int = 1,
    wraps_at: int | None = None,
    begin: int = 0,
) -> list[Look]:
    """Looks at a counter of microjoules."""
    return [
        Look(stream_id, at, curve.counter(at, update_ns=update_ns, wraps_at=wraps_at, begin=begin))
        for at in instants
    ]


def sampled(curve: Curve, instants: Iterable[int], stream_id: str = "power") -> list[Look]:
    """Looks at the power, in milliwatts."""
    return [Look(stream_id, at, round(curve.power_w(at) * 1000)) for at in instants]


def every(period_ms: float, until_ms: float, *, start_ms: float = 0) -> list[int]:
    """Instants that far apart, in nanoseconds."""
    count = int((until_ms - start_ms) / period_ms)
    return [round((start_ms + i * period_ms) * NS_PER_MS) for i in range(count + 1)]


class Powercap:
    """A tree of energy counters like the kernel's, as it is at one instant of a script."""

    RANGE = 262_143_328_850

    def __init__(self, root: Path) -> None:
        self.root = root
        self._zones: dict[Path, tuple[Curve, int, int]] = {}
        root.mkdir(exist_ok=True)

    def zone(
        self, folder: str, name: str, curve: Curve, *, wraps_at: int = RANGE, begin: int = 1_000
    ) -> Path:
        """Adds a zone: `intel-rapl:0` or, below it, `intel-rapl:0/intel-rapl:0:0`."""
        path = self.root / folder
        path.mkdir(parents=True)
        (path / "name").write_text(f"{name}\n")
        (path / "max_energy_range_uj").write_text(f"{wraps_at}\n")
        self._zones[path] = (curve, wraps_at, begin)
        self.at(0)
        return path

    def at(self, at_ns: int) -> None:
        """Has all counters show what they have counted until an instant."""
        for path, (curve, wraps_at, begin) in self._zones.items():
            if path.exists():
                value = curve.counter(at_ns, update_ns=NS_PER_MS, wraps_at=wraps_at, begin=begin)
                (path / "energy_uj").write_text(f"{value}\n")


class ScriptedClock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns
