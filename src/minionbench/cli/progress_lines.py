"""How a run goes on, for programs: one JSON object per line on standard output.

`{"event": "run"}` comes once, `stage` and `request` while the run goes on, `metric` when it is
done, and `done` last. A reader that is too slow, or has stopped reading, must not hold up what is
measured: what does not fit into the pipe at once is left out, and `done` says how many lines that
were. The metrics are never left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minionbench.cli.progress import Progress
from minionbench.cli.so_far import latency_of, ttft_of
from minionbench.cli.text import escaped
from minionbench.clock import monotonic_ns
from minionbench.metrics.record import output_tokens
from minionbench.units import seconds

if TYPE_CHECKING:
    from minionbench.measuring import Cell
    from minionbench.records import RequestRecord

FITS = 4_096
"""Bytes that a pipe takes whole when it says that it takes any: POSIX's PIPE_BUF on Linux."""


class ProgressLines(Progress):
    """Writes progress as lines of JSON, and for people on standard error as always."""

    def __init__(self, descriptor: int | None = None) -> None:
        """`descriptor` is where the lines go; None for standard output."""
        super().__init__()
        self._descriptor = _standard_output() if descriptor is None else descriptor
        self.left_out_lines = 0
        """Lines that the reader was too slow for."""

    def plan(self, run_id: str, model: str, cells: Sequence[Cell]) -> None:
        """Says which run this is and what it will do."""
        super().plan(run_id, model, cells)
        self._tell(
            "run",
            run_id=run_id,
            model=model,
            requests=self.so_far.total,
            cells=[cell.cell_id for cell in cells],
        )

    def stage(self, text: str) -> None:
        """Says what is being done now."""
        super().stage(text)
        self._tell("stage", stage=text, left_s=self.so_far.left_s())

    def record(self, record: RequestRecord) -> None:
        """Says how a request ended; what it does not have is None."""
        super().record(record)
        so_far = self.so_far
        self._tell(
            "request",
            cell=record.cell,
            index=record.index,
            item_id=record.item_id,
            phase=record.phase,
            repeat=record.repeat,
            outcome=record.outcome.value,
            ttft_s=ttft_of(record),
            total_latency_s=latency_of(record),
            output_tokens=output_tokens(record),
            finished=so_far.finished,
            failed=so_far.failed,
            requests=so_far.total,
            left_s=so_far.left_s(),
            cost_usd=so_far.cost_usd if so_far.cost_of and not so_far.uncosted else None,
        )

    def last(self, **facts: Any) -> str:
        """The line that ends the output, newline included."""
        return line("done", elapsed_s=self._elapsed_s(), left_out=self.left_out_lines, **facts)

    def _tell(self, event: str, **facts: Any) -> None:
        told = line(event, elapsed_s=self._elapsed_s(), **facts).encode()
        # Whoever reads the progress may go away; the run goes on without them.
        with contextlib.suppress(OSError, ValueError):
            if self._descriptor is not None and len(told) <= FITS:
                _, takes, _ = select.select([], [self._descriptor], [], 0)
                if takes:
                    os.write(self._descriptor, told)
                    return
        self.left_out_lines += 1

    def _elapsed_s(self) -> float:
        return round(seconds(monotonic_ns() - self._start_ns), 6)


def _standard_output() -> int | None:
    """Its descriptor; None where Python was started with it closed, or another takes its place."""
    try:
        return sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return None


def line(event: str, **facts: Any) -> str:
    """One event as one line; control characters are escaped."""
    return escaped(json.dumps({"event": event, **facts}, ensure_ascii=False)) + "\n"
