"""minionbench measures language models so that its numbers can be trusted.

from minionbench import Experiment, Prefill, Local, Q3B

run = Experiment(workload=Prefill(), deployment=Local("llama3.2"), quant=Q3B()).run()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minionbench.experiment import Experiment as Experiment

__version__ = "0.1.0"

_home = {
    "Experiment": "minionbench.experiment",
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
