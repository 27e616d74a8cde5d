"""The peaks of memory that a model had before its run was interrupted.

They belong to an engine that is gone: the one that is started on resuming is asked only what is
left, and may never need as much. They are kept on file after each task; requests that were
answered later than that, by an engine that was killed, leave the peak open above.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from minionbench.errors import SetupError
from minionbench.metrics.value import MetricValue
from minionbench.schema.atomic import write_atomically
from minionbench.stats import LEVEL
from minionbench.store import RunFolder

PEAKS = ("peak_ram_mb", "peak_vram_mb")
IN_PARTS = "the largest of the engines that the model had, since the run was interrupted"
NOT_SEEN = "an engine was killed before its peak was kept, so that this is the least it was"


class Peaks(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a model's engines so far."""

    requests: int = 0
    """Measured requests that ended before they were looked at last."""
    metrics: dict[str, MetricValue] = {}
    """`peak_ram_mb` and `peak_vram_mb`."""

    def save(self, path: Path) -> None:
        """Writes the file in one go.

        Raises SetupError when it cannot, as on a full disk.
        """
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as refused:
            raise SetupError(f"{path.parent} cannot be made: {refused.strerror}") from refused
        write_atomically(path, msgspec.json.encode(self))


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """What an interrupted run has left of a model's peaks."""

    peaks: Peaks = Peaks()
    taken_over: int = 0
    """Requests that are not asked again."""

    @property
    def is_whole(self) -> bool:
        """Whether every engine that answered them was looked at afterwards."""
        return self.peaks.requests >= self.taken_over

    def joined(self, metrics: Mapping[str, MetricValue]) -> dict[str, MetricValue]:
        """Peaks of the present engine with those before it: the largest of each."""
        if not self.taken_over:
            return dict(metrics)
        return {name: self._joined(name, value) for name, value in metrics.items()}

    def _joined(self, name: str, now: MetricValue) -> MetricValue:
        known = [
            (value.value, value)
            for value in (now, self.peaks.metrics.get(name))
            if value is not None and value.value is not None
        ]
        if not known:
            return now
        peak, largest = max(known, key=lambda entry: entry[0])
        about = {**largest.metadata, "parts": IN_PARTS}
        if not self.is_whole or len(known) < 2:
            about["interval"] = {"low": peak, "high": None, "level": LEVEL, "method": NOT_SEEN}
        return msgspec.structs.replace(largest, metadata=about)


def peaks_path(folder: RunFolder, slug: str) -> Path:
    """Where the peaks of a model are kept."""
    return folder.folder / "peaks" / f"{slug}.json"


def load_peaks(path: Path) -> Peaks:
    """What `save` wrote; nothing seen when it is not there or not whole."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Peaks)
    except (OSError, msgspec.MsgspecError):
        return Peaks()
