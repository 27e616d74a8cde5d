"""How a run goes on, on standard error: one living line on a terminal, plain lines elsewhere.

No thread redraws it: it is written between requests, in the time of the harness, and a line costs
some ten microseconds. A table library would cost a hundred times that, and show in the figures.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from minionbench.cli.text import in_one_line, width
from minionbench.clock import monotonic_ns
from minionbench.units import NS_PER_MS, number_of, seconds

if TYPE_CHECKING:
    from minionbench.measuring import Cell
    from minionbench.records import RequestRecord

REDRAW_NS = 100 * NS_PER_MS
"""Least time between two drawings of the living line."""
BAR = 24
"""Characters of the bar."""
ESTIMATE_FROM = 3
"""Finished requests from which the time that is left can be told."""


class Progress:
    """Writes down how a run goes on; an observer of the run."""

    def __init__(self, out: TextIO | None = None) -> None:
        # Python has no stderr where a process is started with it closed.
        self.out: TextIO = out or sys.stderr or io.StringIO()
        self.live = self.out.isatty()
        self.run_id: str | None = None
        """The run's id, None before it has one; for messages about a run that failed."""
        self.finished = 0
        self.failed = 0
        self._total = 0
        self._calls_of: dict[str, int] = {}
        """Calls that a request of each cell is likely to make: they tell how the time goes."""
        self._calls = 0
        self._calls_left = 0
        self._stage = ""
        self._start_ns = monotonic_ns()
        self._requests_start_ns: int | None = None
        self._drawn_ns = 0

    def plan(self, run_id: str, model: str, cells: Sequence[Cell]) -> None:
        """Notes how much there is to do."""
        self.run_id = run_id
        self._total = sum(cell.total for cell in cells)
        self._calls_of = {cell.cell_id: cell.calls for cell in cells}
        self._calls_left = sum(cell.total * cell.calls for cell in cells)
        named = in_one_line(model) or "the model of the server"
        self._say(f"{run_id}: {named}, {number_of(self._total, 'request')}")

    def stage(self, text: str) -> None:
        """Shows what is being done now."""
        self._stage = in_one_line(text)
        if self.live:
            self._draw(monotonic_ns())
        else:
            elapsed_s = seconds(monotonic_ns() - self._start_ns)
            left_s = self._left_s(monotonic_ns())
            rest = "" if left_s is None else f"  ({left(left_s)})"
            self._say(f"[{elapsed_s:4.0f} s] {self._stage}{rest}")

    def record(self, record: RequestRecord) -> None:
        """Counts a request that has ended."""
        self.finished += 1
        self.failed += not record.ok
        calls = self._calls_of.get(record.cell, 1)
        self._calls += calls
        self._calls_left -= calls
        now_ns = monotonic_ns()
        if self._requests_start_ns is None:
            self._requests_start_ns = record.planned_ns
        if self.live and now_ns - self._drawn_ns >= REDRAW_NS:
            self._draw(now_ns)

    def left_out(self, requests: int, calls: int) -> None:
        """Takes requests off the plan that will not be sent."""
        self._total -= requests
        self._calls_left -= calls

    def done(self) -> None:
        """Takes the living line away."""
        if self.live:
            self._write("\r\x1b[K")

    def _say(self, line: str) -> None:
        self._write(f"\r\x1b[K{line}\n" if self.live else f"{line}\n")

    def _draw(self, now_ns: int) -> None:
        self._drawn_ns = now_ns
        parts = [f"{bar(self.finished, self._total)} {self.finished}/{self._total}"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        left_s = self._left_s(now_ns)
        if left_s is not None:
            parts.append(left(left_s))
        line = "  ".join([*parts, self._stage])
        # A line that the terminal wraps could not be taken away again.
        columns = min(width(), shutil.get_terminal_size((80, 24)).columns)
        self._write(f"\r\x1b[K{line[: columns - 1]}")

    def _left_s(self, now_ns: int) -> int | None:
        """Seconds until the end if the rest goes as it has gone; None while nobody can tell."""
        if self._requests_start_ns is None or self.finished < ESTIMATE_FROM:
            return None
        each_s = seconds(now_ns - self._requests_start_ns) / self._calls
        return max(0, round(each_s * self._calls_left))

    def _write(self, text: str) -> None:
        # Whoever reads the progress may go away; the run goes on without them.
        with contextlib.suppress(OSError, ValueError):
            self.out.write(text)
            self.out.flush()


def left(left_s: int) -> str:
    """The time that is left, as a person says it."""
    return f"{left_s // 60} min left" if left_s >= 120 else f"{left_s} s left"


def bar(done: int, total: int) -> str:
    """A bar filled by the share that is done."""
    filled = BAR * done // total if total else 0
    return "━" * filled + "─" * (BAR - filled)
