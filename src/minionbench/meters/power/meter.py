"""What a meter of power or energy is to the rest of the program, and how one is found.

Each kind of meter is a module with one function, `find(wanted) -> tuple[Found, ...]`, that looks
what there is on this machine; `catalog.find_meters` asks them all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import msgspec

from minionbench.errors import UsageError
from minionbench.traces import Look, Stream

Status: TypeAlias = Literal["measured", "modelled", "unavailable"]


class Meter(Protocol):
    """Something that can be looked at again and again. Not to be shared by two threads at once."""

    @property
    def streams(self) -> tuple[Stream, ...]:
        """What it shows; the same from its opening to its close."""

    def look(self) -> tuple[Look, ...]:
        """What its streams show now.

        A meter that sends its readings of its own accord gives those that came since the last
        look, with the instants at which they came: several of a stream, or none. Never raises: a
        stream that cannot be read gives a look that says why.
        """

    def close(self) -> None:
        """Gives back what it holds; a second call does nothing."""


class PowerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which meters are wanted, and where those of the system are found.

    Raises UsageError for settings that contradict each other.
    """

    off: bool = False
    """Look at no meter at all."""
    command: str | None = None
    """A program that prints what a meter at the wall shows, one JSON object per line."""
    file: Path | None = None
    """A file that another program appends such lines to."""
    tdp_w: float | None = None
    """Thermal design power of the processors, for a modelled figure; None for none."""
    idle_s: float = 5.0
    """How long the loaded, idle machine is looked at before and after the requests."""
    powercap: Path = Path("/sys/class/powercap")
    """Root of the kernel's tree of energy counters."""
    hwmon: Path = Path("/sys/class/hwmon")
    """Root of the kernel's tree of hardware monitors."""
    drm: Path = Path("/sys/class/drm")
    """Root of the kernel's tree of graphics cards."""
    i2c: Path = Path("/sys/bus/i2c/drivers")
    """Root of the kernel's tree of drivers of small chips, among them power monitors."""
    proc: Path = Path("/proc")

    def __post_init__(self) -> None:
        if self.command is not None and self.file is not None:
            raise UsageError(
                "A meter at the wall is read from a command or from a file; name one of "
                "--meter-command and --meter-file"
            )
        if self.off and (self.command or self.file or self.tdp_w is not None):
            raise UsageError(
                "--no-meters switches all meters off; leave out --meter-command, --meter-file and "
                "--tdp"
            )
        if self.tdp_w is not None and not 0 < self.tdp_w < 100_000:
            raise UsageError(f"--tdp {self.tdp_w:g} is no power of a processor in watts")
        if not 0 <= self.idle_s <= 600:
            raise UsageError(f"{self.idle_s:g} s of idling; it must be 0 to 600 s")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of meter, or one device of a kind, as this machine has it.

    Raises ValueError for one that is neither there nor says why it is not.
    """

    name: str
    """For a person: `RAPL`, `NVIDIA H200 (GPU 0)`."""
    status: Status
    reason: str | None = None
    """Why it is unavailable; None where it is there."""
    remedy: str | None = None
    """The command, setting or permission that would make it work; None where nothing would."""
    resolution: str | None = None
    """How finely it tells, for a person: `61 µJ, about every 1 ms`."""
    note: str | None = None
    """What else to know: `unverified: written to its documentation`."""
    meter: Meter | None = None
    """Opened, to be closed by whoever asked; None where it is unavailable."""

    def __post_init__(self) -> None:
        if (self.meter is None) != (self.status == "unavailable"):
            raise ValueError(f"{self.name}: {self.status}, meter {self.meter!r}")
        if self.meter is None and not self.reason:
            raise ValueError(f"{self.name}: unavailable without a reason")

    @property
    def why(self) -> str:
        """Reason and remedy in one sentence; empty where it is there."""
        return "; ".join(part for part in (self.reason, self.remedy) if part)
