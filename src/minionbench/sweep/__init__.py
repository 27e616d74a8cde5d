"""Sweeps: a factorial of workloads, deployments, models and loads, measured as one designed run."""

from __future__ import annotations

from minionbench.sweep.definition import Definition
from minionbench.sweep.run import Sweep, SweepOutcome, run_sweep

__all__ = ["Definition", "Sweep", "SweepOutcome", "run_sweep"]
