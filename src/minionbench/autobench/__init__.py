"""The registry benchmark: every model of a registry measured, in one document."""

from __future__ import annotations

from minionbench.autobench.procedure import Procedure
from minionbench.autobench.run import AutobenchOutcome, run_autobench, run_benchmark

__all__ = ["AutobenchOutcome", "Procedure", "run_autobench", "run_benchmark"]
