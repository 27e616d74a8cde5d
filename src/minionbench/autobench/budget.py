"""The time that one model may take."""

from __future__ import annotations

from minionbench.clock import monotonic_ns
from minionbench.runner import StopSwitch
from minionbench.units import NS_PER_S, seconds


class Budget(StopSwitch):
    """A wish to end one model's measurement: when its time is up, or when the whole run ends."""

    def __init__(self, run: StopSwitch, budget_s: float | None) -> None:
        self._run = run
        self._own: str | None = None
        self._budget_s = budget_s
        self._start_ns = monotonic_ns()

    @property
    def why(self) -> str | None:
        """Why this model's measurement is to end; None while it may go on."""
        if self._own is None and self._run.why is not None:
            self._own = self._run.why
        if self._own is None and self.left_s == 0:
            self._own = f"the model's budget of {spoken_time(self._budget_s or 0)} was used up"
        return self._own

    @why.setter
    def why(self, why: str | None) -> None:
        self._own = why

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, 0 when none are; None where there is no limit."""
        if self._budget_s is None:
            return None
        left_ns = self._start_ns + round(self._budget_s * NS_PER_S) - monotonic_ns()
        return max(0.0, seconds(left_ns))


def spoken_time(duration_s: float) -> str:
    """A duration as a person gives it: 600 → 10 min, 90 → 90 s."""
    for unit, size in (("h", 3_600), ("min", 60)):
        if duration_s >= 2 * size or duration_s == size:
            return f"{duration_s / size:g} {unit}"
    return f"{duration_s:g} s"
