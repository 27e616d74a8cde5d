"""Apple Silicon: the energy counters of the chip's parts, through `zeus-apple-silicon`.

Unverified: written to its documentation, and not yet tried on such a machine.

Counted are the processor, the GPU and the neural engine together, and the memory, as far as
the chip has counters of them: one of an engine that nothing uses stands still, their sum never
does. The GPU's static memory has a counter as well, which is left out: nobody says whether the
GPU's holds it. Screen, disk and power supply are in none of them.

Source: ml-energy/zeus-apple-silicon, README (AppleEnergyMonitor.get_cumulative_energy and
AppleEnergyMetrics, millijoules since a fixed instant; None for what a chip does not tell).
"""

from __future__ import annotations

import importlib
import platform
from collections.abc import Collection, Sequence
from typing import Any

from minionbench.clock import monotonic_ns
from minionbench.meters.power.meter import Found, PowerSettings
from minionbench.traces import Look, Stream

NAME = "Apple Silicon"
UNVERIFIED = "unverified: written to its documentation, not yet tried on such a machine"
NOT_HERE = "this is no Mac with Apple Silicon"
NOT_INSTALLED = "zeus-apple-silicon, which reads the chip's counters, is not installed"
INSTALL = "`pip install 'minionbench[energy]'`"
TOLD_NO_MORE = "the chip does not tell it any more"
NEVER_COUNTED = (
    "the processor's counter stands at 0, as on a virtual machine, where nothing is counted"
)
CHIP = {"cpu_total_mj": "processor", "gpu_mj": "GPU", "ane_mj": "neural engine"}
"""Fields of AppleEnergyMetrics that are added up, and what they are about."""
MEMORY = "dram_mj"
NEEDED = ("cpu_total_mj", "gpu_mj")
"""Fields without which there is no figure: it would lack what models are computed on."""


def find(wanted: PowerSettings) -> tuple[Found, ...]:
    """The chip's counters as one meter, or why there is none."""
    if (platform.system(), platform.machine()) != ("Darwin", "arm64"):
        return (_unavailable(NOT_HERE),)
    try:
        package = importlib.import_module("zeus_apple_silicon")
    except ImportError:
        return (_unavailable(NOT_INSTALLED, INSTALL),)
    return (by_package(package),)


def by_package(package: Any) -> Found:
    """The chip's counters through the package itself."""
    try:
        monitor = package.AppleEnergyMonitor()
        first = monitor.get_cumulative_energy()
    except RuntimeError as error:
        return _unavailable(f"the chip's counters cannot be read: {error}")
    known = [field for field in (*CHIP, MEMORY) if _counts(first, (field,)) is not None]
    for field in NEEDED:
        if field not in known:
            return _unavailable(f"the chip tells nothing of the energy of its {CHIP[field]}")
    if _counts(first, NEEDED[:1]) == 0:
        return _unavailable(NEVER_COUNTED)
    unknown = [what for field, what in (CHIP | {MEMORY: "memory"}).items() if field not in known]
    note = f"without {' and '.join(unknown)}, of which the chip tells nothing; " if unknown else ""
    return Found(
        name=NAME,
        status="measured",
        resolution="1 mJ",
        note=note + UNVERIFIED,
        meter=AppleMeter(monitor, known),
    )


class AppleMeter:
    """Counters of the chip and of its memory."""

    def __init__(self, monitor: Any, known: Collection[str]) -> None:
        """`monitor` is an AppleEnergyMonitor, which holds nothing that had to be given back, and
        `known` are the fields that it tells."""
        self._monitor = monitor
        fields = tuple(field for field in CHIP if field in known)
        chip = Stream(
            stream_id="apple/chip",
            quantity="energy",
            unit="mJ",
            covers=f"chip ({', '.join(CHIP[field] for field in fields)})",
            scope="soc",
            method=f"zeus-apple-silicon, {' + '.join(fields)}",
        )
        memory = Stream(
            stream_id="apple/memory",
            quantity="energy",
            unit="mJ",
            covers="memory",
            scope="dram",
            method=f"zeus-apple-silicon, {MEMORY}",
        )
        self._parts = [(chip, fields)]
        if MEMORY in known:
            self._parts.append((memory, (MEMORY,)))

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The chip, and its memory where that is counted."""
        return tuple(stream for stream, _ in self._parts)

    def look(self) -> tuple[Look, ...]:
        """What the counters show now."""
        begun_ns = monotonic_ns()
        why, told = TOLD_NO_MORE, None
        try:
            told = self._monitor.get_cumulative_energy()
        except RuntimeError as error:
            why = f"the chip's counters cannot be read: {error}"
        at_ns = (begun_ns + monotonic_ns()) // 2
        looks = []
        for stream, fields in self._parts:
            value = _counts(told, fields)
            looks.append(Look(stream.stream_id, at_ns, value, why if value is None else None))
        return tuple(looks)

    def close(self) -> None:
        """Nothing is held open."""


def _counts(told: Any, fields: Sequence[str]) -> int | None:
    """The sum of counters; None where one of them is not told."""
    values = [getattr(told, field, None) for field in fields]
    whole = [value for value in values if type(value) is int]
    return sum(whole) if len(whole) == len(values) else None


def _unavailable(reason: str, remedy: str | None = None) -> Found:
    note = None if reason == NOT_HERE else UNVERIFIED
    return Found(name=NAME, status="unavailable", reason=reason, remedy=remedy, note=note)
