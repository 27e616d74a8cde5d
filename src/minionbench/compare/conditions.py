"""Conditions: what has to be the same for two results to be compared, and what may differ.

What an experiment varies (model, quantisation, protocol, reasoning) is no condition. Everything
else that moves the numbers is: machine, engine, workload, load, limits, caches, who counts the
tokens. A difference has a name, by which a user can say that it is meant.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from minionbench.compare.measurement import Measurement
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult

ONLY_NOTED = (
    "software.*",
    "program",
    "repeats",
    "settings.warmup_requests",
    "settings.max_total_tokens",
    "settings.other.*",
)
"""Conditions that hardly move a figure: where they differ it is said, and nothing refused."""

_SETTINGS = (
    "temperature",
    "prefix_cache",
    "items",
    "max_total_tokens",
    "input_tokens",
    "max_output_tokens",
    "forced_output_tokens",
    "warmup_requests",
    "objective",
)
"""Settings of a cell that are conditions."""

_NO_CONDITIONS = frozenset(
    ("account", "compared", "server", "text_kept", "repeat_unit", "sessions", "protocol", "flags")
)
"""Settings that are results, or the factor itself."""

_ADDRESSES = ("base_url", "engine_cpus")
"""Flags that say where an engine is, not how it works."""

_MADE_UP_HOSTS = "a container's host name is made up anew each time"


class Difference(NamedTuple):
    """One condition that is not the same on both sides."""

    name: str
    base: str
    new: str
    cell: str
    refuses: bool
    """Whether it makes the comparison meaningless, unless the user says otherwise."""
    unknown: bool
    """Whether one side does not say."""

    @property
    def text(self) -> str:
        """The difference in words."""
        return f"{self.name}: {self.base} on the base side, {self.new} on the new one"


def conditions(
    run: BenchmarkRun, candidate: BenchmarkCandidate, cell: CellResult | None
) -> dict[str, Any]:
    """Under what a cell was measured, as flat plain values; None for what is not known."""
    system, factors = run.system_info, candidate.factors
    in_container = system.container is not None and system.container != "none"
    found: dict[str, Any] = {
        "host": _MADE_UP_HOSTS if in_container else system.hostname,
        "machine.cpu": system.cpu_info,
        "machine.cpus": system.cpu_count,
        "machine.ram_gb": None if system.total_ram_gb is None else round(system.total_ram_gb),
        "machine.gpu": system.gpu_info,
        "machine.platform": system.platform,
        "state.governor": system.governor,
        "state.virtualisation": system.virtualisation,
        "state.container": system.container,
        "state.usable_cpus": system.usable_cpus,
        "state.cpu_limit": system.cgroup_cpu_limit,
        "state.memory_limit_gb": system.cgroup_memory_limit_gb,
        "software.kernel": system.kernel or system.platform_version,
        "software.python": system.python_version,
        "software.cuda": system.cuda_version,
        "program": run.metadata.program_version,
        "stamps": system.stamp_source,
    }
    if factors is not None:
        found["engine"] = factors.engine
        found |= dict(_flat("flags", factors.flags))
    if cell is None:
        return found
    found |= {f"workload.{name}": value for name, value in _fields(cell.workload)}
    found |= {f"load.{name}": value for name, value in _fields(cell.load)}
    found["repeats"] = cell.repeats
    found |= {f"settings.{name}": cell.settings.get(name) for name in _SETTINGS}
    found |= {
        f"settings.other.{name}": value
        for name, value in cell.settings.items()
        if name not in _SETTINGS and name not in _NO_CONDITIONS and not isinstance(value, dict)
    }
    own_flags = cell.settings.get("flags")
    if isinstance(own_flags, dict):
        found |= dict(_flat("flags", own_flags))
    found["tokens"] = _who_counted(cell)
    return found


def _fields(part: msgspec.Struct) -> Iterable[tuple[str, Any]]:
    return [(name, getattr(part, name)) for name in part.__struct_fields__]


def _flat(prefix: str, values: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if name in _ADDRESSES:
            continue
        if isinstance(value, dict):
            yield from _flat(f"{prefix}.{name}", value)
        else:
            yield f"{prefix}.{name}", value


def _who_counted(cell: CellResult) -> str | None:
    """Who counted the tokens, and which."""
    for name in ("tokens_per_sec", "tpot_s"):
        metric = cell.metrics.get(name)
        counts = metric.metadata.get("tokens") if metric is not None else None
        if metric is not None and metric.value is not None and isinstance(counts, dict):
            return f"{counts.get('counted')}, by {counts.get('by')}"
    return None


def differences(
    base: Sequence[Measurement], new: Sequence[Measurement], varied: Sequence[str] = ()
) -> list[Difference]:
    """In which conditions the measurements of a cell are not all the same, in the order of names.

    Those of one side are held against each other, too. `varied` are names, or patterns of them, of
    what differs on purpose: these are not listed. A prefix such as `machine` stands for all its
    conditions.
    """
    measured = [one for one in (*base, *new) if one.broken is None]
    names = dict.fromkeys(name for one in measured for name in one.conditions)
    found = []
    for name in names:
        if is_named(name, varied):
            continue
        a, b = (_values(side, name) for side in (base, new))
        known = {text for text in (*a, *b) if text is not None}
        unknown = None in (*a, *b)
        if len(known) > 1 or (known and unknown):
            found.append(
                Difference(
                    name=name,
                    base=_words(a),
                    new=_words(b),
                    cell=measured[0].where,
                    refuses=len(known) > 1 and not is_named(name, ONLY_NOTED),
                    unknown=unknown and len(known) <= 1,
                )
            )
    return found


def is_named(name: str, patterns: Sequence[str]) -> bool:
    """Whether a condition is one of those that are named, by itself, its prefix or a pattern."""
    return any(
        name == pattern or name.startswith(f"{pattern}.") or fnmatch.fnmatchcase(name, pattern)
        for pattern in patterns
    )


_NULLS = ("flags.", "load.", "settings.", "machine.gpu", "state.cpu_limit", "state.memory_limit_gb")
"""Conditions of which None says that there is none, so that it is a value like others."""


def _values(side: Sequence[Measurement], name: str) -> list[str | None]:
    """The different values of a side, in order; None for one that is not known."""
    found: dict[str | None, None] = {}
    for one in side:
        if one.broken is None:
            value = one.conditions.get(name)
            if value is None and not (name.startswith(_NULLS) and one.conditions):
                found[None] = None
            else:
                found["none" if value is None else _text(value)] = None
    return list(found)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _words(values: Sequence[str | None]) -> str:
    return " and ".join("not known" if value is None else value for value in values) or "not known"
