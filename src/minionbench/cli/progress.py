"""How a run goes on, on standard error: two living lines on a terminal, plain lines elsewhere.

No thread redraws them: they are written between requests, in the time of the harness, and that
costs some ten microseconds. A table library would cost a hundred times that, and show in the
figures.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from minionbench.cli.so_far import SoFar
from minionbench.cli.text import in_one_line, width
from minionbench.clock import monotonic_ns
from minionbench.units import MS_PER_S, NS_PER_MS, number_of, seconds

if TYPE_CHECKING:
    from minionbench.measuring import Cell
    from minionbench.records import RequestRecord

REDRAW_NS = 100 * NS_PER_MS
"""Least time between two drawings of the living lines."""
BAR = 24
"""Characters of the bar."""
CLEAR = "\r\x1b[J"
"""To the beginning of the line, and everything below away."""
UP = "\x1b[1A"


class Progress:
    """Writes down how a run goes on; an observer of the run."""

    def __init__(self, out: TextIO | None = None) -> None:
        # Python has no stderr where a process is started with it closed.
        self.out: TextIO = out or sys.stderr or io.StringIO()
        self.live = self.out.isatty()
        self.run_id: str | None = None
        """The run's id, None before it has one; for messages about a run that failed."""
        self.so_far = SoFar()
        self._stage = ""
        self._start_ns = monotonic_ns()
        self._drawn_ns = 0

    @property
    def finished(self) -> int:
        """Requests that have ended."""
        return self.so_far.finished

    def plan(self, run_id: str, model: str, cells: Sequence[Cell]) -> None:
        """Notes how much there is to do."""
        self.run_id = run_id
        self.so_far.plan(cells)
        named = in_one_line(model) or "the model of the server"
        self._say(f"{run_id}: {named}, {number_of(self.so_far.total, 'request')}")

    def costs(
        self, cost_of: Callable[[RequestRecord], float | None], most_usd: float | None
    ) -> None:
        """Notes how money is reckoned."""
        self.so_far.cost_of, self.so_far.most_cost_usd = cost_of, most_usd

    def stage(self, text: str) -> None:
        """Shows what is being done now."""
        self._stage = in_one_line(text)
        self.so_far.next_stage()
        now_ns = monotonic_ns()
        if self.live:
            self._draw(now_ns)
        else:
            left_s = self.so_far.left_s(now_ns)
            rest = "" if left_s is None else f"  ({left(left_s)})"
            self._say(f"[{seconds(now_ns - self._start_ns):4.0f} s] {self._stage}{rest}")

    def record(self, record: RequestRecord) -> None:
        """Counts a request that has ended."""
        self.so_far.add(record)
        now_ns = monotonic_ns()
        if self.live and now_ns - self._drawn_ns >= REDRAW_NS:
            self._draw(now_ns)

    def left_out(self, requests: int, calls: int) -> None:
        """Takes requests off the plan that will not be sent."""
        self.so_far.left_out(requests, calls)

    def done(self) -> None:
        """Takes the living lines away."""
        if self.live:
            self._write(CLEAR)

    def _say(self, line: str) -> None:
        self._write(f"{CLEAR}{line}\n" if self.live else f"{line}\n")

    def _draw(self, now_ns: int) -> None:
        self._drawn_ns = now_ns
        so_far = self.so_far
        parts = [f"{bar(so_far.finished, so_far.total)} {so_far.finished}/{so_far.total}"]
        if so_far.failed:
            parts.append(f"{so_far.failed} failed")
        left_s = so_far.left_s(now_ns)
        if left_s is not None:
            parts.append(left(left_s))
        lines = ["  ".join([*parts, self._stage]), "  ".join(figures(so_far, now_ns))]
        # A line that the terminal wraps could not be taken away again.
        columns = min(width(), shutil.get_terminal_size((80, 24)).columns)
        first, second = (line[: columns - 1] for line in lines)
        self._write(f"{CLEAR}{first}" + (f"\n{second}{UP}\r" if second else ""))

    def _write(self, text: str) -> None:
        # Whoever reads the progress may go away; the run goes on without them.
        with contextlib.suppress(OSError, ValueError):
            self.out.write(text)
            self.out.flush()


def figures(so_far: SoFar, now_ns: int) -> list[str]:
    """The stage's figures so far, as short as can be; nothing of what is not known."""
    shown = []
    ttft_s = so_far.ttft_s()
    if ttft_s is not None:
        text = f"{ttft_s:.2f} s" if ttft_s >= 1 else f"{ttft_s * MS_PER_S:.3g} ms"
        shown.append(f"TTFT {text}")
    rate = so_far.tokens_per_s(now_ns)
    if rate is not None:
        shown.append(f"{rate:,.0f} tokens/s")
    if so_far.cost_of is not None and so_far.cost_usd:
        known = "" if not so_far.uncosted else f" and {number_of(so_far.uncosted, 'unknown cost')}"
        limit = "" if so_far.most_cost_usd is None else f" of ${so_far.most_cost_usd:,.2f}"
        shown.append(f"${so_far.cost_usd:,.4f}{limit}{known}")
    return shown


def left(left_s: int) -> str:
    """The time that is left, as a person says it."""
    return f"{left_s // 60} min left" if left_s >= 120 else f"{left_s} s left"


def bar(done: int, total: int) -> str:
    """A bar filled by the share that is done."""
    filled = BAR * done // total if total else 0
    return "━" * filled + "─" * (BAR - filled)
