"""The kernel's energy counters (powercap), where processors say what they have taken (RAPL).

A zone is a folder with a name and a counter in microjoules that begins anew when it has reached its
range. What is summed up is `package-N`, each socket or die, and `dram`, which no package contains.
`core` and `uncore` are inside their package. `psys` is the platform's, holds the packages on most
machines and not on all, and is shown apart. The same package is told once more by the
memory-mapped interface (`intel-rapl-mmio`), which is left out where the first one is there.

Source: Linux, Documentation/power/powercap/powercap.rst and drivers/powercap/intel_rapl_common.c;
Intel, Software Developer's Manual, volume 3, 16.10 (counters are renewed about every millisecond).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from minionbench.clock import monotonic_ns
from minionbench.meters.power.hwmon import read_small
from minionbench.meters.power.meter import Found, PowerSettings
from minionbench.traces import Look, Scope, Stream
from minionbench.units import NS_PER_MS

NAME = "RAPL"
UPDATE_NS = NS_PER_MS
NO_TREE = (
    "the kernel shows no energy counters in {root}: virtual machines, containers and most "
    "processors but x86 have none; on others `sudo modprobe intel_rapl_msr` brings them"
)
ONLY_ROOT = "the kernel's energy counters are there, and this user may not read them"
STANDS_AT_ZERO = "its counter stands at 0"

_FOLDER = re.compile(r"intel-rapl(-mmio)?:[0-9]+(:[0-9]+)?")
_PACKAGE = re.compile(r"package-([0-9]+)(?:-die-([0-9]+))?")
_SCOPES: dict[str, Scope] = {"dram": "dram", "core": "core", "uncore": "uncore", "psys": "psys"}
_COUNTED: frozenset[Scope] = frozenset({"package", "dram"})
"""What adds up to the device: one that is there and cannot be read leaves the sum unknown."""


class Zone(NamedTuple):
    """A folder of the tree."""

    folder: Path
    name: str
    scope: Scope
    parent: str | None
    """Folder's name of the zone that it is a part of."""

    @property
    def counter(self) -> Path:
        """The file with what it has counted, in microjoules."""
        return self.folder / "energy_uj"

    def read(self) -> int:
        """Raises OSError or ValueError where there is nothing to be read."""
        return int(read_small(self.counter))


def find(wanted: PowerSettings) -> tuple[Found, ...]:
    """The processors' energy counters as one meter, or why there is none."""
    root = wanted.powercap
    zones = list(_zones(root))
    if not any(zone.scope == "package" for zone in zones):
        return (_unavailable(NO_TREE.format(root=root)),)
    kept: list[Zone] = []
    notes: list[str] = []
    refusals: list[OSError] = []
    silent: list[Zone] = []
    packages = 0
    for zone in zones:
        try:
            value = zone.read()
        except PermissionError as error:
            refusals.append(error)
        except (OSError, ValueError) as error:
            notes.append(f"{zone.name} cannot be read: {_why(error)}")
        else:
            if value == 0 and zone.scope == "package":
                # Where another one counts, it has a stream, which says so at every look.
                silent.append(zone)
                continue
            if value == 0:
                notes.append(f"{zone.name} is left out: {STANDS_AT_ZERO}")
                continue
            packages += zone.scope == "package"
            kept.append(zone)
            continue
        # It has a stream all the same, which says at every look why it shows nothing.
        if zone.scope in _COUNTED:
            kept.append(zone)
    notes += [f"{zone.name} tells nothing: {STANDS_AT_ZERO}" for zone in silent]
    kept = [zone for zone in zones if zone in kept or zone in silent]
    if not packages:
        if refusals:
            return (_unavailable(ONLY_ROOT, _remedy(root)),)
        return (_unavailable(f"no package's energy counter can be read: {'; '.join(notes)}"),)
    if refusals:
        notes.append(f"some counters may not be read by this user: {_remedy(root)}")
    names = ", ".join(zone.name for zone in kept)
    return (
        Found(
            name=NAME,
            status="measured",
            resolution=f"1 µJ, about every 1 ms ({names})",
            note="; ".join(notes) or None,
            meter=RaplMeter(kept),
        ),
    )


class RaplMeter:
    """The energy counters of a tree's zones."""

    def __init__(self, zones: list[Zone]) -> None:
        """Reads how far each counter goes; one that does not say is taken never to begin anew."""
        folders = {zone.folder.name for zone in zones}
        self._zones = [(zone, _stream(zone, folders)) for zone in zones]

    @property
    def streams(self) -> tuple[Stream, ...]:
        """One for each zone."""
        return tuple(stream for _, stream in self._zones)

    def look(self) -> tuple[Look, ...]:
        """What each zone has counted; of one that is gone, why it shows nothing."""
        looks = []
        for zone, stream in self._zones:
            value: int | None = None
            why: str | None = None
            try:
                value = zone.read()
                if value == 0 and zone.scope in _COUNTED:
                    value, why = None, f"{STANDS_AT_ZERO}: {zone.counter}"
            except (OSError, ValueError) as error:
                why = f"its counter {zone.counter} cannot be read: {_why(error)}"
            looks.append(Look(stream.stream_id, monotonic_ns(), value, why))
        return tuple(looks)

    def close(self) -> None:
        """Nothing is held open between two looks."""


def _zones(root: Path) -> Iterator[Zone]:
    """The zones of a tree that tell something, each once."""
    try:
        # The kernel lists all zones side by side; below each other they are the same ones again.
        tops = [path for path in root.iterdir() if path.name.startswith("intel-rapl")]
        below = [path for top in tops for path in top.glob("intel-rapl*:*")]
        folders = [path for path in (*tops, *below) if _is_zone(path)]
    except OSError:
        return
    by_name = {path.name: path for path in reversed(folders)}
    zones = [zone for name in sorted(by_name) if (zone := _zone(by_name[name])) is not None]
    own = [zone for zone in zones if not zone.folder.name.startswith("intel-rapl-mmio")]
    if any(zone.scope == "package" for zone in own):
        zones = own
    yield from zones


def _is_zone(path: Path) -> bool:
    return _FOLDER.fullmatch(path.name) is not None


def _zone(folder: Path) -> Zone | None:
    try:
        name = (folder / "name").read_text().strip()
    except OSError:
        return None
    scope: Scope | None = "package" if _PACKAGE.fullmatch(name) else _SCOPES.get(name)
    if scope is None:
        return None
    parts = folder.name.split(":")
    return Zone(folder, name, scope, ":".join(parts[:2]) if len(parts) > 2 else None)


def _stream(zone: Zone, folders: set[str]) -> Stream:
    contained = zone.scope in ("core", "uncore") and zone.parent in folders
    try:
        wraps_at: int | None = int((zone.folder / "max_energy_range_uj").read_text())
    except (OSError, ValueError):
        wraps_at = None
    return Stream(
        stream_id=f"rapl/{zone.folder.name}",
        quantity="energy",
        unit="uJ",
        covers=_covers(zone),
        scope=zone.scope,
        inside=(f"rapl/{zone.parent}",) if contained else (),
        wraps_at=wraps_at or None,
        update_ns=UPDATE_NS,
        method=f"powercap, {zone.folder.name} ({zone.name})",
    )


def _covers(zone: Zone) -> str:
    match = _PACKAGE.fullmatch(zone.name)
    if match is not None:
        die = "" if match[2] is None else f", die {match[2]}"
        return f"processor package {match[1]}{die}"
    if zone.name == "psys":
        return "platform (psys)"
    what = {"dram": "memory", "core": "cores", "uncore": "uncore"}[zone.name]
    number = (zone.parent or "").partition(":")[2]
    return f"{what} of processor package {number}" if number else what


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _remedy(root: Path) -> str:
    return f"`sudo chmod a+r {root}/intel-rapl*/energy_uj` until the next restart, or run as root"


def _unavailable(reason: str, remedy: str | None = None) -> Found:
    return Found(name=NAME, status="unavailable", reason=reason, remedy=remedy)
