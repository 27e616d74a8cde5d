"""minionbench measures language models so that its numbers can be trusted.

from minionbench import Experiment, Prefill, Local, Q3B

run = Experiment(workload=Prefill(), deployment=Local("llama3.2"), quant=Q3B()).run()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minionbench.deployments.single import Local as Local
    from minionbench.deployments.single import Remote as Remote
    from minionbench.engines.families import Q1_5B as Q1_5B
    from minionbench.engines.families import Q3B as Q3B
    from minionbench.engines.families import Q8B as Q8B
    from minionbench.engines.families import Quant as Quant
    from minionbench.engines.remote import Claude as Claude
    from minionbench.engines.remote import DeepSeek as DeepSeek
    from minionbench.engines.remote import OpenAI as OpenAI
    from minionbench.experiment import Experiment as Experiment
    from minionbench.metrics.slo import Objective as Objective
    from minionbench.protocols.hybrid import Hybrid as Hybrid
    from minionbench.protocols.hybrid import Protocols as Protocols
    from minionbench.sweep.run import Sweep as Sweep
    from minionbench.workloads.builtin import Balanced as Balanced
    from minionbench.workloads.builtin import Decode as Decode
    from minionbench.workloads.builtin import Prefill as Prefill

__version__ = "0.1.0"

_home = {
    "Experiment": "minionbench.experiment",
    "Sweep": "minionbench.sweep.run",
    "Prefill": "minionbench.workloads.builtin",
    "Balanced": "minionbench.workloads.builtin",
    "Decode": "minionbench.workloads.builtin",
    "Local": "minionbench.deployments.single",
    "Remote": "minionbench.deployments.single",
    "Hybrid": "minionbench.protocols.hybrid",
    "Protocols": "minionbench.protocols.hybrid",
    "Q1_5B": "minionbench.engines.families",
    "Q3B": "minionbench.engines.families",
    "Q8B": "minionbench.engines.families",
    "Quant": "minionbench.engines.families",
    "Claude": "minionbench.engines.remote",
    "DeepSeek": "minionbench.engines.remote",
    "OpenAI": "minionbench.engines.remote",
    "Objective": "minionbench.metrics.slo",
}
"""Where each public name is defined; it is loaded when first used, so that importing is cheap."""

__all__ = ["__version__", *_home]


def __getattr__(name: str) -> object:
    module = _home.get(name)
    if module is None:
        raise AttributeError(f"module 'minionbench' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_home})
