"""A server on loopback that poses as any other: known answers, known times, faults on demand."""

from __future__ import annotations

from minionbench.simulator.log import Entry, Write
from minionbench.simulator.settings import (
    RateLimits,
    Rule,
    SimulatedModel,
    SimulatorSettings,
)
from minionbench.simulator.simulator import Simulator
from minionbench.simulator.timing import Fixed, Speeds

__all__ = [
    "Entry",
    "Fixed",
    "RateLimits",
    "Rule",
    "SimulatedModel",
    "Simulator",
    "SimulatorSettings",
    "Speeds",
    "Write",
]
