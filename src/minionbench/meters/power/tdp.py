"""A modelled figure where nothing is measured: the processors' design power by the time in use.

Energy = TDP × share of all processors' time that was spent on something. What a processor takes
when idle, what it takes beyond its design power for a while, and all else in the machine are not
in it, so that it may be wrong by a factor of two either way. It is called modelled wherever it
stands, and stands aside where a processor is measured.

Source: proc_stat(5); the design power is the user's to name (`--tdp`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from minionbench.clock import monotonic_ns
from minionbench.meters.power.meter import Found, PowerSettings
from minionbench.traces import Look, Stream
from minionbench.units import NS_PER_MS, significant

NAME = "TDP"
UPDATE_NS = 10 * NS_PER_MS
"""A tick of the kernel's account of time."""
_IDLE = (3, 4)
"""Columns of idle time and of waiting for a disk."""
_STOLEN = 7
"""From here on: time of other virtual machines, and of guests, which stands in a column before."""
_MICRO = 1_000_000


def find(wanted: PowerSettings) -> tuple[Found, ...]:
    """The modelled figure where a design power is named; nothing else."""
    if wanted.tdp_w is None:
        return ()
    meter = TdpMeter(wanted.tdp_w, wanted.proc)
    first = meter.look()[0]
    if first.value is None:
        meter.close()
        return (Found(name=NAME, status="unavailable", reason=first.why),)
    return (
        Found(
            name=NAME,
            status="modelled",
            resolution=f"{significant(wanted.tdp_w)} W × share of the processors' time, each 10 ms",
            meter=meter,
        ),
    )


class TdpMeter:
    """What processors of a design power would have taken for the time in which they were in use."""

    def __init__(self, tdp_w: float, proc: Path) -> None:
        """`proc` is the kernel's tree of processes."""
        self._tdp_w = tdp_w
        self._stat = proc / "stat"
        self._stream = Stream(
            stream_id="tdp",
            quantity="energy",
            unit="uJ",
            covers="processors (modelled)",
            scope="package",
            update_ns=UPDATE_NS,
            basis="modelled",
            method=f"TDP {significant(tdp_w)} W × share of the processors' time in use",
        )

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The modelled counter."""
        return (self._stream,)

    def look(self) -> tuple[Look, ...]:
        """Design power × time in use since the machine was started."""
        try:
            used_s = self._used_s() if sys.platform.startswith("linux") else _used_elsewhere_s()
        except (OSError, ValueError, IndexError, ZeroDivisionError) as error:
            why = f"the processors' time in use cannot be read: {error}"
            return (Look(self._stream.stream_id, monotonic_ns(), None, why),)
        value = round(self._tdp_w * used_s * _MICRO)
        return (Look(self._stream.stream_id, monotonic_ns(), value),)

    def close(self) -> None:
        """Nothing is held open between two looks."""

    def _used_s(self) -> float:
        """Seconds in use, the mean of all processors."""
        lines = self._stat.read_text().splitlines()
        columns = [int(field) for field in lines[0].split()[1:]]
        busy = sum(n for i, n in enumerate(columns[:_STOLEN]) if i not in _IDLE)
        processors = sum(line[:3] == "cpu" and line[3:4].isdigit() for line in lines)
        return busy / os.sysconf("SC_CLK_TCK") / processors


def _used_elsewhere_s() -> float:
    import psutil

    times = psutil.cpu_times()
    used = sum(value for name, value in times._asdict().items() if name not in ("idle", "iowait"))
    return float(used) / (psutil.cpu_count() or 1)
