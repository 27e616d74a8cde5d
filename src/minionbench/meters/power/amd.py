"""AMD GPUs: AMD SMI's counter of each GPU's energy, else the power that the kernel's driver shows.

Unverified: written to its documentation, and not yet tried on such a GPU.

AMD SMI is a Python package that comes with ROCm. Where it is there, its counter is the measurement
and its power, in whole watts, the cross-check. Some of its versions show a counter that stands
still: such a one is left out, and the power alone is measured. Without AMD SMI the kernel's
hardware monitor is read. A processor with a GPU inside (an APU) shows the power of all of it, the
processor's cores included.

Source: AMD SMI Python API reference, amdsmi_get_energy_count (energy_accumulator ×
counter_resolution = µJ) and amdsmi_get_power_info (W); ROCm/amdsmi issue 38 (a counter that stands
still); Linux, drivers/gpu/drm/amd/pm/amdgpu_pm.c, "hwmon interfaces for GPU power" (µW).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minionbench.clock import monotonic_ns, sleep_s
from minionbench.meters.power.hwmon import Unreadable, chips, figure
from minionbench.meters.power.meter import Found, PowerSettings
from minionbench.traces import Look, Scope, Stream

NAME = "AMD GPU"
UNVERIFIED = "unverified: written to its documentation, not yet tried on such a GPU"
NOT_THERE = "neither AMD SMI nor the kernel's hardware monitors show an AMD GPU"
STANDS_STILL = "AMD SMI's counter of energy stands still, so that the power alone is measured"
PROCESSOR = "rapl/intel-rapl:0"
"""Stream of the processor that an APU's GPU is part of."""
MOVES_WITHIN = (0.01, 0.04, 0.15)
"""Seconds after which a counter is looked at again; AMD SMI renews it every millisecond, and no GPU
draws so little that it would not move within them."""


def find(wanted: PowerSettings) -> tuple[Found, ...]:
    """The machine's AMD GPUs as one meter, or why there is none."""
    smi = _by_smi()
    if smi is not None and smi.meter is not None:
        return (smi,)
    return (by_kernel(wanted.hwmon) or smi or _unavailable(NOT_THERE),)


class _Read(NamedTuple):
    """A stream, and how it is read: whole numbers in its unit, or Unreadable."""

    stream: Stream
    read: Callable[[], int]


class AmdMeter:
    """Energy or power of each GPU."""

    def __init__(self, reads: Sequence[_Read], end: Callable[[], None] | None = None) -> None:
        """`end` gives back what the reading goes through."""
        self._reads: tuple[_Read, ...] = tuple(reads)
        self._end = end
        self._closed = False

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Of each GPU its counter, its power, or both."""
        return tuple(one.stream for one in self._reads)

    def look(self) -> tuple[Look, ...]:
        """What each GPU shows now."""
        return () if self._closed else tuple(map(_look, self._reads))

    def close(self) -> None:
        """Gives AMD SMI back."""
        if not self._closed and self._end is not None:
            self._end()
        self._closed = True


def _look(one: _Read) -> Look:
    begun_ns = monotonic_ns()
    try:
        value = one.read()
    except Unreadable as error:
        return Look(one.stream.stream_id, monotonic_ns(), None, str(error))
    return Look(one.stream.stream_id, (begun_ns + monotonic_ns()) // 2, value)


class _Gpu(NamedTuple):
    """A GPU, and what is told of it."""

    reads: tuple[_Read, ...]
    """A GPU that tells nothing has a stream all the same, which says so at every look: nobody is
    to take it for one that needs nothing."""
    tells: bool
    stuck: bool = False
    """Whether it has a counter that stands still."""


def by_smi(amdsmi: Any) -> Found:
    """The GPUs that AMD SMI lists, through the package itself."""
    try:
        amdsmi.amdsmi_init()
    except amdsmi.AmdSmiException as error:
        return _unavailable(_refused(error))
    try:
        handles = amdsmi.amdsmi_get_processor_handles()
        gpus = [_asked(amdsmi, index, handle) for index, handle in enumerate(handles)]
    except amdsmi.AmdSmiException as error:
        _shut(amdsmi)
        return _unavailable(_refused(error))
    if not any(gpu.tells for gpu in gpus):
        _shut(amdsmi)
        return _unavailable("AMD SMI lists no GPU that tells its energy or its power")
    reads = [read for gpu in gpus for read in gpu.reads]
    stuck = any(gpu.stuck for gpu in gpus)
    counted = all(gpu.reads[0].stream.quantity == "energy" for gpu in gpus)
    return Found(
        name=f"{NAME} (AMD SMI)",
        status="measured",
        resolution="about 15 µJ, every 1 ms" if counted else "1 W",
        note=f"{STANDS_STILL}; {UNVERIFIED}" if stuck else UNVERIFIED,
        meter=AmdMeter(reads, lambda: _shut(amdsmi)),
    )


def _by_smi() -> Found | None:
    """None where AMD SMI is not there."""
    try:
        package = importlib.import_module("amdsmi")
    # The package looks for its library while it is imported, and fails in ways of its own.
    except Exception:  # noqa: BLE001 - whatever it is, AMD SMI is not there
        return None
    return by_smi(package)


def _asked(amdsmi: Any, index: int, handle: Any) -> _Gpu:
    """What a GPU tells."""

    def read_energy() -> int:
        return _energy_uj(_answer(amdsmi, amdsmi.amdsmi_get_energy_count, handle))

    def read_power() -> int:
        return _power_mw(_answer(amdsmi, amdsmi.amdsmi_get_power_info, handle))

    covers = f"GPU {index}"
    moves = _moves(read_energy)
    energy = Stream(
        stream_id=f"amd/{index}/energy",
        quantity="energy",
        unit="uJ",
        covers=covers,
        scope="gpu",
        method="AMD SMI, energy count",
    )
    power = Stream(
        stream_id=f"amd/{index}/power",
        quantity="power",
        unit="mW",
        covers=covers,
        scope="gpu",
        checks=energy.stream_id if moves else None,
        method="AMD SMI, socket power in whole watts",
    )
    reads = [_Read(energy, read_energy)] if moves else []
    tells_power = _readable(read_power)
    if tells_power or not moves:
        reads.append(_Read(power, read_power))
    return _Gpu(tuple(reads), bool(moves) or tells_power, stuck=moves is False)


def _energy_uj(answer: Mapping[str, Any]) -> int:
    """The counter in µJ; its field was called `power` before ROCm 6.4."""
    count = answer.get("energy_accumulator", answer.get("power"))
    resolution_uj = answer.get("counter_resolution")
    if type(count) is not int or not isinstance(resolution_uj, int | float) or resolution_uj <= 0:
        raise Unreadable("AMD SMI gives no count of energy")
    return round(count * resolution_uj)


def _power_mw(answer: Mapping[str, Any]) -> int:
    """Power of the whole socket; fields that a GPU does not have hold the text `N/A`."""
    for field in ("socket_power", "current_socket_power", "average_socket_power"):
        watts = answer.get(field)
        if isinstance(watts, int | float) and not isinstance(watts, bool):
            return round(watts * 1000)
    raise Unreadable("AMD SMI gives no power of the socket")


def _answer(amdsmi: Any, ask: Callable[[Any], Any], handle: Any) -> Mapping[str, Any]:
    try:
        answer = ask(handle)
    except amdsmi.AmdSmiException as error:
        raise Unreadable(_refused(error)) from error
    return answer if isinstance(answer, Mapping) else {}


def _moves(read: Callable[[], int]) -> bool | None:
    """Whether a counter grows; None where it cannot be read."""
    try:
        first = read()
        for pause_s in MOVES_WITHIN:
            sleep_s(pause_s)
            if read() != first:
                return True
    except Unreadable:
        return None
    return False


def _readable(read: Callable[[], int]) -> bool:
    try:
        read()
    except Unreadable:
        return False
    return True


def _shut(amdsmi: Any) -> None:
    try:
        amdsmi.amdsmi_shut_down()
    except amdsmi.AmdSmiException:
        return  # Where the driver went away meanwhile there is nothing left to give back.


def _refused(error: Exception) -> str:
    return f"AMD SMI refused: {' '.join(str(error).split()) or type(error).__name__}"


def by_kernel(hwmon: Path) -> Found | None:
    """The GPUs that the kernel's hardware monitors show; None where they show none."""
    gpus = [_shown(index, folder) for index, folder in enumerate(chips(hwmon, ("amdgpu",)))]
    if not gpus:
        return None
    if not any(gpu.tells for gpu in gpus):
        return _unavailable("the kernel's driver shows neither energy nor power of the AMD GPU")
    return Found(
        name=f"{NAME} (amdgpu)",
        status="measured",
        resolution="as finely and as often as the driver itself is told",
        note=UNVERIFIED,
        meter=AmdMeter([read for gpu in gpus for read in gpu.reads]),
    )


def _shown(index: int, folder: Path) -> _Gpu:
    """What the monitor of a GPU shows: a counter, power, or both."""
    # Only an APU has a voltage of the Northbridge.
    apu = (folder / "in1_input").exists()
    covers = f"GPU {index} and the processor that it is part of" if apu else f"GPU {index}"
    scope: Scope = "soc" if apu else "gpu"
    inside = (PROCESSOR,) if apu else ()

    def read_energy() -> int:
        return figure(folder / "energy1_input")

    def read_power() -> int:
        microwatts = figure(folder / power_file)
        return round(microwatts / 1000)

    average = (folder / "power1_average").exists()
    power_file = "power1_average" if average else "power1_input"
    counts, tells_power = _readable(read_energy), _readable(read_power)
    energy = Stream(
        stream_id=f"amd/{index}/energy",
        quantity="energy",
        unit="uJ",
        covers=covers,
        scope=scope,
        inside=inside,
        method="amdgpu, energy1_input",
    )
    power = Stream(
        stream_id=f"amd/{index}/power",
        quantity="power",
        unit="mW",
        covers=covers,
        scope=scope,
        inside=inside,
        checks=energy.stream_id if counts else None,
        method=f"amdgpu, {power_file}",
    )
    reads = [_Read(energy, read_energy)] if counts else []
    if tells_power or not counts:
        reads.append(_Read(power, read_power))
    return _Gpu(tuple(reads), counts or tells_power)


def _unavailable(reason: str) -> Found:
    note = None if reason == NOT_THERE else UNVERIFIED
    return Found(name=NAME, status="unavailable", reason=reason, note=note)
