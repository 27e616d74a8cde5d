"""Trees of the kernel's files, made for a test, and looks at meters of any kind."""

from __future__ import annotations

from pathlib import Path

from minionbench.clock import monotonic_ns
from minionbench.meters.power.meter import Meter
from minionbench.traces import Look


def chip(root: Path, number: int, name: str, **figures: object) -> Path:
    """A hardware monitor `hwmonN` with a name and a file for each figure."""
    folder = root / f"hwmon{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    for file, value in figures.items():
        (folder / file).write_text(f"{value}\n")
    return folder


def looked(meter: Meter) -> dict[str, Look]:
    """A look at a meter, by stream: each of its streams, at instants within the look."""
    before_ns = monotonic_ns()
    looks = meter.look()
    after_ns = monotonic_ns()
    assert [look.stream_id for look in looks] == [stream.stream_id for stream in meter.streams]
    assert all(before_ns <= look.at_ns <= after_ns for look in looks)
    return {look.stream_id: look for look in looks}
