"""NVIDIA Jetson boards: the INA3221 power monitors on the supply rails of the module.

Unverified: written to its documentation, and not yet tried on such a board.

Each channel shows a voltage and a current; the power is their product. Which rails make up the
module is known by their names: where the rail that everything is fed from has a channel, it is that
one; else those are added up that a board's documentation adds up. Each rail is shown beside the
sum. Rails of other names are not guessed at. What the carrier board draws beside the module is in
none of them.

Source: Linux, Documentation/hwmon/ina3221.rst (in*_input in mV, curr*_input in mA, in*_label) and
arch/arm64/boot/dts/nvidia/tegra234-p3701.dtsi and -p3767.dtsi (the rails of Orin); NVIDIA Jetson
Linux Developer Guide, "Software-Based Power Consumption Modeling"; rbonghi/jetson_stats, issue 51
(which rails are the whole on which board).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from minionbench.clock import monotonic_ns
from minionbench.meters.power.hwmon import Unreadable, chips, figure, text_of
from minionbench.meters.power.meter import Found, PowerSettings
from minionbench.traces import Look, Stream

NAME = "NVIDIA Jetson"
UNVERIFIED = "unverified: written to its documentation, not yet tried on such a board"
NO_MONITOR = "there is no INA3221 power monitor among the kernel's hardware monitors"
CHIPS = ("ina3221", "ina3221x")
CHANNELS = (1, 2, 3)
FEEDS = frozenset({"VDD_IN", "POM_5V_IN"})
"""Rails that feed everything on a module: Orin NX and Nano, Xavier NX; Nano and TX1."""
WHOLES: tuple[frozenset[str], ...] = (
    frozenset({"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"}),
    frozenset({"GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"}),
)
"""Rails that together are a module's power: AGX Orin, AGX Xavier."""
MODULE = "jetson/module"
"""Stream of the whole."""


class Rail(NamedTuple):
    """A channel of a power monitor."""

    name: str
    folder: Path
    channel: int

    @property
    def stream_id(self) -> str:
        """As `jetson/VDD_IN`."""
        return f"jetson/{self.name}"

    def power_mw(self) -> int:
        """What the rail draws now; raises Unreadable where the monitor does not say."""
        voltage_mv = figure(self.folder / f"in{self.channel}_input")
        current_ma = figure(self.folder / f"curr{self.channel}_input")
        return round(voltage_mv * current_ma / 1000)


def find(wanted: PowerSettings) -> tuple[Found, ...]:
    """The board's power monitors as one meter, or why there is none."""
    rails = _rails(wanted.hwmon)
    if not rails:
        return (Found(name=NAME, status="unavailable", reason=NO_MONITOR),)
    whole = _whole(rails)
    names = ", ".join(sorted(rail.name for rail in rails))
    if not whole:
        reason = f"nobody knows which of the rails {names} make up the whole"
        return (Found(name=NAME, status="unavailable", reason=reason, note=UNVERIFIED),)
    for rail in whole:
        try:
            rail.power_mw()
        except Unreadable as error:
            reason = f"{rail.name}: {error}"
            return (Found(name=NAME, status="unavailable", reason=reason, note=UNVERIFIED),)
    return (
        Found(
            name=f"{NAME} ({names})",
            status="measured",
            resolution="products of whole mV and mA",
            note=UNVERIFIED,
            meter=JetsonMeter(rails, whole),
        ),
    )


class JetsonMeter:
    """Power of the module and of each of its rails."""

    def __init__(self, rails: Sequence[Rail], whole: Sequence[Rail]) -> None:
        """`whole` are those of the rails that make up the module."""
        self._rails = tuple(rails)
        self._whole = tuple(rail.stream_id for rail in whole)
        module = Stream(
            stream_id=MODULE,
            quantity="power",
            unit="mW",
            covers=f"module ({' + '.join(rail.name for rail in whole)})",
            scope="soc",
            method="INA3221, voltage × current",
        )
        self._streams = (module, *(_stream(rail) for rail in rails))

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The module, and each rail."""
        return self._streams

    def look(self) -> tuple[Look, ...]:
        """What the module and each rail draw now."""
        begun_ns = monotonic_ns()
        looks = {rail.stream_id: _look(rail) for rail in self._rails}
        # Each figure comes over a slow bus: the sum is of some instant in between.
        at_ns = (begun_ns + monotonic_ns()) // 2
        parts = [looks[stream_id] for stream_id in self._whole]
        known = [part.value for part in parts if part.value is not None]
        if len(known) == len(parts):
            return (Look(MODULE, at_ns, sum(known)), *looks.values())
        why = next(part.why for part in parts if part.value is None)
        return (Look(MODULE, at_ns, None, why), *looks.values())

    def close(self) -> None:
        """Nothing is held open."""


def _stream(rail: Rail) -> Stream:
    return Stream(
        stream_id=rail.stream_id,
        quantity="power",
        unit="mW",
        covers=f"supply rail {rail.name}",
        scope="soc",
        inside=(MODULE,),
        method=f"INA3221, channel {rail.channel}",
    )


def _look(rail: Rail) -> Look:
    begun_ns = monotonic_ns()
    try:
        power_mw = rail.power_mw()
    except Unreadable as error:
        return Look(rail.stream_id, monotonic_ns(), None, f"{rail.name}: {error}")
    return Look(rail.stream_id, (begun_ns + monotonic_ns()) // 2, power_mw)


def _whole(rails: Sequence[Rail]) -> tuple[Rail, ...]:
    """The rails that make up the module; none where their names do not tell."""
    feeds = tuple(rail for rail in rails if rail.name in FEEDS)
    if len(feeds) == 1:
        return feeds
    for names in WHOLES:
        found = tuple(rail for rail in rails if rail.name in names)
        if len(found) == len(names):
            return found
    return ()


def _rails(hwmon: Path) -> tuple[Rail, ...]:
    """The channels that have a name and a voltage; one that is not connected has neither."""
    found: dict[str, Rail] = {}
    for folder in chips(hwmon, CHIPS):
        for channel in CHANNELS:
            name = text_of(folder / f"in{channel}_label")
            if name and name != "NC" and (folder / f"in{channel}_input").exists():
                found.setdefault(name, Rail(name, folder, channel))
    return tuple(found.values())
