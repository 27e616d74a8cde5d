"""NVIDIA GPUs: the driver's counter of each GPU's energy, and samples of its power beside it.

The counter is the measurement; the power, integrated, is its cross-check. A GPU older than Volta
has no counter: its power alone is measured. Power is taken as it is at the instant where the
driver tells that, because on most GPUs since Ampere the plain query gives the mean of the last
second, which lags behind whatever changes. Both are of the whole board, whoever uses it; the parts
of a partitioned GPU (MIG) are not told apart.

Source: NVML API reference, nvmlDeviceGetTotalEnergyConsumption (millijoules since the driver was
loaded), nvmlDeviceGetFieldValues with NVML_FI_DEV_POWER_INSTANT, nvmlDeviceGetPowerUsage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from minionbench.clock import monotonic_ns
from minionbench.meters.nvml import (
    NO_DEVICE,
    NO_DRIVER,
    NOT_INSTALLED,
    handles,
    name_of,
    opened,
    refused,
    shut,
)
from minionbench.meters.power.meter import Found, PowerSettings
from minionbench.traces import Look, Stream
from minionbench.units import NS_PER_MS

NAME = "NVIDIA GPU"
POWER_INSTANT = 186
"""NVML_FI_DEV_POWER_INSTANT, which older versions of the package have no name for."""
TELLS_NOTHING = "the NVIDIA driver tells neither energy nor power"
INSTALL = "`pip install 'minionbench[energy]'`"
UPDATE_NS = 100 * NS_PER_MS
"""The longest that a driver takes to renew its power; how often it renews the counter is nowhere
said, and taken to be the same.

Source: Yang, Adamek, Armour, "Part-time Power Measurements", arXiv:2312.02741.
"""


def find(wanted: PowerSettings) -> tuple[Found, ...]:
    """The machine's NVIDIA GPUs as one meter, or why there is none."""
    nvml, why = opened()
    if nvml is None:
        return (_unavailable(why or NO_DRIVER),)
    try:
        gpus = [_Gpu.asked(nvml, index, handle) for index, handle in enumerate(handles(nvml))]
    except nvml.NVMLError as error:
        shut(nvml)
        return (_unavailable(refused(error)),)
    silent = [gpu.name for gpu in gpus if not gpu.tells]
    if len(silent) == len(gpus):
        shut(nvml)
        reason = f"{TELLS_NOTHING} of {_named(gpus)}" if gpus else NO_DEVICE
        return (_unavailable(reason),)
    return (
        Found(
            name=_named(gpus),
            status="measured",
            resolution=_resolution(gpus),
            note=f"{TELLS_NOTHING} of {', '.join(silent)}, so that the machine's energy stays open"
            if silent
            else None,
            meter=NvidiaMeter(nvml, gpus),
        ),
    )


class _Gpu(NamedTuple):
    """A GPU, and what the driver tells of it."""

    name: str
    counts: bool
    """Whether there is a counter of its energy."""
    tells: bool
    """Whether there is a counter, or power."""
    reads: tuple[tuple[Stream, Callable[[], int]], ...]
    """What it shows, and how that is read. One that tells nothing has a stream all the same, which
    says so at every look: nobody is to take it for a GPU that needs nothing."""

    @classmethod
    def asked(cls, nvml: ModuleType, index: int, handle: Any) -> _Gpu:
        """Asks the driver for everything once; raises NVMLError where it gives not even a name."""
        name = name_of(nvml, handle)

        def read_energy() -> int:
            return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))

        def read_power() -> int:
            return int(nvml.nvmlDeviceGetPowerUsage(handle))

        def read_power_now() -> int:
            (field,) = nvml.nvmlDeviceGetFieldValues(handle, [POWER_INSTANT])
            if field.nvmlReturn != nvml.NVML_SUCCESS:
                raise nvml.NVMLError(field.nvmlReturn)
            return int(field.value.uiVal)

        def told(read: Callable[[], int]) -> bool:
            try:
                read()
            except nvml.NVMLError:
                return False
            return True

        counts, now = told(read_energy), told(read_power_now)
        covers = f"GPU {index}, {name}"
        energy = Stream(
            stream_id=f"nvidia/{index}/energy",
            quantity="energy",
            unit="mJ",
            covers=covers,
            scope="gpu",
            update_ns=UPDATE_NS,
            method="NVML, total energy consumption",
        )
        power = Stream(
            stream_id=f"nvidia/{index}/power",
            quantity="power",
            unit="mW",
            covers=covers,
            scope="gpu",
            checks=energy.stream_id if counts else None,
            update_ns=UPDATE_NS,
            method=f"NVML, {'power at the instant' if now else 'power usage'}",
        )
        tells_power = now or told(read_power)
        reads: list[tuple[Stream, Callable[[], int]]] = [(energy, read_energy)] if counts else []
        if tells_power or not counts:
            reads.append((power, read_power_now if now else read_power))
        return cls(name, counts, counts or tells_power, tuple(reads))


class NvidiaMeter:
    """Energy counter and power of each GPU that the driver lists."""

    def __init__(self, nvml: ModuleType, gpus: Sequence[_Gpu]) -> None:
        """`nvml` is begun, and shut by `close`."""
        self._nvml: ModuleType | None = nvml
        self._reads = tuple(read for gpu in gpus for read in gpu.reads)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Of each GPU its counter, its power, or both."""
        return tuple(stream for stream, _ in self._reads)

    def look(self) -> tuple[Look, ...]:
        """What each GPU shows now; of one that is lost, why it shows nothing."""
        if self._nvml is None:
            return ()
        looks: list[Look] = []
        for stream, read in self._reads:
            begun_ns = monotonic_ns()
            value: int | None = None
            why: str | None = None
            try:
                value = read()
            except self._nvml.NVMLError as error:
                why = refused(error)
            # A driver may take milliseconds: what it says is as of some instant in between.
            looks.append(Look(stream.stream_id, (begun_ns + monotonic_ns()) // 2, value, why))
        return tuple(looks)

    def close(self) -> None:
        """Gives the driver's library back."""
        if self._nvml is not None:
            shut(self._nvml)
            self._nvml = None


def _named(gpus: Sequence[_Gpu]) -> str:
    names = ", ".join(f"{gpu.name} (GPU {index})" for index, gpu in enumerate(gpus))
    return names if "NVIDIA" in names else f"NVIDIA {names}"


def _resolution(gpus: Sequence[_Gpu]) -> str:
    if all(gpu.counts for gpu in gpus):
        return "1 mJ, about every 100 ms or more often"
    return "1 mW, about every 100 ms or more often (a GPU without a counter of its energy)"


def _unavailable(reason: str) -> Found:
    remedy = None
    if reason == NOT_INSTALLED:
        reason, remedy = "nvidia-ml-py, which reads the GPU's energy, is not installed", INSTALL
    return Found(name=NAME, status="unavailable", reason=reason, remedy=remedy)
