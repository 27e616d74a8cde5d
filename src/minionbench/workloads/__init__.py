"""Sources of requests: built-in generators, and data sets by path.

Names load when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minionbench.workloads.builtin import Balanced, Decode, Prefill
    from minionbench.workloads.workload import Workload

_HOMES = {
    "Balanced": "builtin",
    "Decode": "builtin",
    "Prefill": "builtin",
    "Workload": "workload",
}

__all__ = ["Balanced", "Decode", "Prefill", "Workload"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
