from __future__ import annotations

import io
import re

import pytest

from minionbench.cli.progress import CLEAR, Progress, bar
from minionbench.clock import monotonic_ns
from minionbench.exchange import Outcome
from minionbench.load import ClosedLoop
from minionbench.measuring import Cell
from minionbench.units import NS_PER_MS
from tests import making
from tests.study import Questions


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def cells() -> list[Cell]:
    """One cell of five requests, asked twice, and two to warm up."""
    requests = tuple(Questions().requests(7, 0))
    return [
        Cell(
            cell_id="balanced",
            workload="balanced",
            version=1,
            source="test",
            seed=0,
            load=ClosedLoop(),
            repeats=2,
            warmup=requests[5:],
            requests=requests[:5],
        )
    ]


def watch(out: io.StringIO) -> Progress:
    now_ms = monotonic_ns() / NS_PER_MS
    progress = Progress(out)
    progress.plan("benchmark_20261121_201100", "reference/q8_0", cells())
    progress.stage("starting reference/q8_0")
    for i in range(4):
        outcome = Outcome.RESET if i == 3 else Outcome.OK
        progress.record(making.record(now_ms, now_ms, (now_ms,), outcome=outcome))
    progress.stage("balanced, repeat 1 of 2")
    progress.done()
    return progress


def test_plain_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    watch(out)
    said = re.sub(r"\[ *\d+ s\]", "[n s]", out.getvalue())
    lines = re.sub(r"\d+ s left", "n s left", said).splitlines()
    assert lines == [
        "benchmark_20261121_201100: reference/q8_0, 12 requests",
        "[n s] starting reference/q8_0",
        "[n s] balanced, repeat 1 of 2  (n s left)",
    ]


def test_on_a_terminal_two_lines_live_and_are_taken_away() -> None:
    out = Terminal()
    watch(out)
    first, rest = out.getvalue().split("\n", 1)
    assert first == f"{CLEAR}benchmark_20261121_201100: reference/q8_0, 12 requests"
    drawn = rest.split(CLEAR)
    assert drawn[-1] == ""
    progress, failed, left, stage = drawn[-2].split("\n")[0].split("  ")
    assert (progress, failed, stage) == (
        f"{bar(4, 12)} 4/12",
        "1 failed",
        "balanced, repeat 1 of 2",
    )
    assert left.endswith(" left")


def test_the_second_line_tells_the_stages_figures_and_the_cursor_goes_back_up() -> None:
    out = Terminal()
    progress = Progress(out)
    progress.plan("run", "model", cells())
    progress.stage("balanced")
    now_ms = monotonic_ns() / NS_PER_MS
    progress._drawn_ns = 0
    progress.record(making.record(now_ms - 500, now_ms - 500, (now_ms - 488, now_ms - 400)))
    living = out.getvalue().split(CLEAR)[-1]
    assert re.fullmatch(r"━.*balanced\nTTFT 12 ms  [34] tokens/s\x1b\[1A\r", living)


def test_a_new_stage_begins_its_figures_anew() -> None:
    out = Terminal()
    watch(out)
    assert "TTFT" not in out.getvalue().split(CLEAR)[-2]


def test_a_run_goes_on_when_nobody_can_be_told() -> None:
    out = Terminal()
    out.close()
    # `closed` makes every write fail, as a terminal that went away does.
    progress = Progress(Terminal())
    progress.out = out
    progress.stage("goes on")
    progress.record(making.record())
    progress.done()
    assert progress.finished == 1


def test_a_run_goes_on_without_any_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    progress = Progress()
    progress.plan("run", "model", cells())
    progress.stage("goes on")
    progress.done()


def test_a_models_name_cannot_command_the_terminal() -> None:
    out = io.StringIO()
    Progress(out).plan("run", "evil\x1b[2J", cells())
    assert "evil" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_the_living_line_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    out = Terminal()
    Progress(out).stage("a stage with quite a long description of what is going on")
    assert len(out.getvalue().removeprefix(CLEAR)) == 29


def test_the_bar_fills_with_what_is_done() -> None:
    assert bar(0, 12) == "─" * 24
    assert bar(6, 12) == "━" * 12 + "─" * 12
    assert bar(12, 12) == "━" * 24
    assert bar(0, 0) == "─" * 24
