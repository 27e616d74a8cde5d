"""What engines hold while they serve: main memory, GPU memory, and their cache of keys and values.

Each is a meter like those of power, and is looked at less often: a look at a process tree takes
some tens of microseconds, a page of a server's metrics milliseconds of the server's own time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from minionbench.clock import monotonic_ns
from minionbench.meters.memory import resident_bytes
from minionbench.meters.power.meter import Meter
from minionbench.meters.server_metrics import cache_share
from minionbench.meters.vram import ENDED, TreeVram
from minionbench.traces import Look, Stream
from minionbench.units import NS_PER_S

PAGE_APART_NS = 5 * NS_PER_S
"""Between two pages that a server is asked for. It writes them between its answers: at a page per
second, of some ten milliseconds, one gap between tokens in a hundred would be the page's."""
NO_PAGE = "the server gave no page of its metrics"
NOT_TOLD = "the server's page of metrics does not tell it any more"


class Watched(NamedTuple):
    """An engine that is looked at."""

    side: str
    """`local`, `remote`: what its streams are called by."""
    pid: int | None
    """Root of its process tree; None when it was not started here."""
    on_gpu: bool | None
    """Whether it computes on a GPU; None where that is not known."""
    page: Callable[[], str | None]
    """Its own account of its work, in Prometheus' form; None where it gives none."""
    model: str | None = None
    """What it calls the model."""


def engine_meters(watched: Sequence[Watched], *, proc: Path = Path("/proc")) -> tuple[Meter, ...]:
    """Meters of what these engines hold, to be closed by whoever asked; where there are any.

    A server is asked for its metrics once, to see whether they tell the use of its cache.
    """
    found: list[Meter] = []
    for engine in watched:
        if engine.pid is not None:
            found.append(ResidentMemory(engine.side, engine.pid, proc=proc))
            if engine.on_gpu is not False:
                vram = GpuMemory(engine.side, engine.pid, proc=proc)
                if vram.watches:
                    found.append(vram)
        page = engine.page()
        if page is not None and cache_share(page, engine.model) is not None:
            found.append(CacheUse(engine.side, engine.page, engine.model))
    return tuple(found)


class ResidentMemory:
    """Main memory of a process tree."""

    def __init__(self, side: str, pid: int, *, proc: Path = Path("/proc")) -> None:
        """`pid` is the root of the tree."""
        self._pid = pid
        self._proc = proc
        self._stream = Stream(
            stream_id=f"rss/{side}",
            quantity="memory",
            unit="bytes",
            covers=f"resident memory of the {side} engine",
            scope="process-tree",
            method="resident set of all processes of the tree",
        )

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The one stream."""
        return (self._stream,)

    def look(self) -> tuple[Look, ...]:
        """What the tree holds now."""
        held = resident_bytes(self._pid, proc=self._proc)
        return (_look(self._stream, held, ENDED),)

    def close(self) -> None:
        """Nothing is held open."""


class GpuMemory:
    """Memory that a process tree holds on NVIDIA GPUs."""

    def __init__(self, side: str, pid: int, *, proc: Path = Path("/proc")) -> None:
        """`pid` is the root of the tree."""
        self._tree = TreeVram(pid, proc=proc)
        self._stream = Stream(
            stream_id=f"vram/{side}",
            quantity="memory",
            unit="bytes",
            covers=f"GPU memory of the {side} engine",
            scope="process-tree",
            method="NVML, memory of the processes of the tree on all GPUs",
        )

    @property
    def watches(self) -> bool:
        """Whether there is a GPU to look at."""
        return self._tree.watches

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The one stream."""
        return (self._stream,)

    def look(self) -> tuple[Look, ...]:
        """What the tree holds now; nothing where a slow driver was asked too short a while ago."""
        if not self._tree.is_due:
            return ()
        held = self._tree.sample()
        return (_look(self._stream, held, self._tree.why_unknown),)

    def close(self) -> None:
        """Gives the driver's library back."""
        self._tree.close()


class CacheUse:
    """The share of a server's cache of keys and values that is in use, as the server says."""

    def __init__(self, side: str, page: Callable[[], str | None], model: str | None) -> None:
        """`page` asks the server for its metrics."""
        self._page = page
        self._model = model
        self._next_ns = 0
        self._stream = Stream(
            stream_id=f"kv/{side}",
            quantity="share",
            unit="permille",
            covers=f"cache of keys and values of the {side} server",
            scope="server",
            method="the server's own metrics",
        )

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The one stream."""
        return (self._stream,)

    def look(self) -> tuple[Look, ...]:
        """What the server says now; nothing where it was asked too short a while ago."""
        if monotonic_ns() < self._next_ns:
            return ()
        page = self._page()
        self._next_ns = monotonic_ns() + PAGE_APART_NS
        share = None if page is None else cache_share(page, self._model)
        permille = None if share is None else round(1000 * share)
        return (_look(self._stream, permille, NO_PAGE if page is None else NOT_TOLD),)

    def close(self) -> None:
        """Nothing is held open."""


def _look(stream: Stream, value: int | None, why: str) -> Look:
    return Look(stream.stream_id, monotonic_ns(), value, why if value is None else None)
