"""Making a report or a single plot of runs, and writing it to a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from minionbench.errors import UsageError
from minionbench.report.charts import (
    comparison,
    course,
    crossed,
    distribution,
    heat,
    intervals,
    metered,
    timeline,
)
from minionbench.report.charts.scene import Scene, scene
from minionbench.report.drawing import picture, png
from minionbench.report.figure import NARROW, WIDE, Figure
from minionbench.report.page import page
from minionbench.report.reading import material
from minionbench.report.text import listed
from minionbench.schema import BenchmarkRun, write_atomically

Runs = Sequence[tuple[Path, BenchmarkRun]]

MAKERS: tuple[Callable[[Scene], list[Figure]], ...] = (
    intervals.figures,
    crossed.fronts,
    heat.figures,
    crossed.throughput,
    distribution.figures,
    timeline.figures,
    course.figures,
    metered.figures,
)
"""What makes figures, in the order of the page: first what decides, then what explains."""

PLOTS = {
    "overview": "all options with their intervals",
    "comparison": "the first run held against each of the others",
    "front": "quality against time, cost and energy",
    "heat-map": "candidates by workloads",
    "throughput": "throughput against latency",
    "ttft": "distribution of the time to first token",
    "latency": "distribution of the total latency",
    "response": "distribution of the response time",
    "timeline": "each request from its planned instant on",
    "course": "latency over the run",
    "energy": "power of the device over the run",
    "memory": "memory of the engine over the run",
}
"""Each plot by its name, with what it shows."""

FORMATS = (".svg", ".png")


class Report(NamedTuple):
    """A report that was written."""

    path: Path
    bytes: int
    figures: tuple[str, ...]
    """Names of its figures."""
    notes: tuple[str, ...]
    """What could not be read."""


def write_report(
    runs: Runs, path: Path, *, with_text: bool = True, with_plots: bool = True
) -> Report:
    """Writes the report of these runs as one HTML file.

    `with_text` is whether prompts and answers are shown, `with_plots` whether figures are drawn or
    tables only.

    Raises UsageError where the file is one of the runs' documents, SetupError where what draws is
    not installed, or the file cannot be written.
    """
    for document, _ in runs:
        if path.resolve() == document.resolve():
            raise UsageError(
                f"{path} is the document of a run; the report would take its place. Name another "
                "file with -o."
            )
    made = scene(material(runs))
    found = comparison.compared(made)
    figures = _figures(made, found)
    refused = None if found is None else found.refused
    content = "".join(
        page(made, figures, refused, with_text=with_text, with_plots=with_plots)
    ).encode()
    write_atomically(path, content)
    names = tuple(figure.key for figure in figures)
    return Report(path, len(content), names, made.read.notes)


def write_plot(
    runs: Runs, what: str, path: Path, *, narrow: bool = False, dark: bool = False, scale: float = 2
) -> Figure:
    """Writes one plot of these runs as SVG or PNG, which the path's ending decides; returns it.

    Raises UsageError for an ending that is neither, and where the runs have nothing to plot so;
    SetupError where what draws is not installed, or the file cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise UsageError(f"A plot is written as .svg or .png; {path} ends in neither.")
    made = scene(material(runs))
    found = comparison.compared(made) if what == "comparison" else None
    figures = {figure.key: figure for figure in _figures(made, found)}
    figure = figures.get(what)
    if figure is None:
        there = listed(list(figures)) or "none"
        refused = f" {found.refused}" if found is not None and found.refused else ""
        noted = "".join(f" {note}" for note in made.read.notes)
        raise UsageError(
            f"There is no plot {what} of this: {_needs(what)}. Plots there are: {there}."
            f"{noted}{refused}"
        )
    drawn = picture(figure.draw(NARROW if narrow else WIDE), dark=dark)
    content = drawn.encode() if ending == ".svg" else png(drawn, scale)
    write_atomically(path, content)
    return figure


def _figures(made: Scene, found: comparison.Compared | None) -> list[Figure]:
    first = comparison.figures(made, found)
    return [*first, *(figure for make in MAKERS for figure in make(made))]


_NEEDS = {
    "overview": "no cell has a value",
    "comparison": "it needs several runs that can be compared",
    "front": "it needs several candidates with two metrics of quality, time, cost and energy",
    "heat-map": "it needs several candidates in several workloads or under several loads",
    "throughput": "it needs several cells with throughput and latency",
    "response": "it needs records, and is left out where nothing waited before it was sent",
    "energy": "no meter of energy or power was there",
    "memory": "no trace of memory was kept",
}


def _needs(what: str) -> str:
    return _NEEDS.get(what, "it needs the run's records, which lie beside its document")
