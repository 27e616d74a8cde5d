"""A comparison in the forms that programs read, and where they are written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

import click

from minionbench.cli.comparison_table import as_markdown, as_table, outcome, reason
from minionbench.cli.text import escaped, in_one_line
from minionbench.errors import SetupError

if TYPE_CHECKING:
    from minionbench.compare import Answer, CellComparison, Comparison

Judged = Callable[["Answer"], bool]
"""Whether a metric fails its check."""


def is_worse(one: Answer) -> bool:
    """What fails where nothing else is said."""
    return one.verdict == "worse"


def as_json(comparisons: Sequence[Comparison]) -> str:
    """For a program: a list with an object per comparison."""
    document = [plain(one) for one in comparisons]
    return escaped(json.dumps(document, indent=2, ensure_ascii=False))


def plain(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain values; the measurements themselves are left out."""
    return {
        "verdict": str(comparison.verdict),
        "base": {"name": comparison.base.name, "runs": list(comparison.base.run_ids)},
        "new": {"name": comparison.new.name, "runs": list(comparison.new.run_ids)},
        "forced": comparison.forced,
        "varied": list(comparison.varied),
        "level": comparison.level,
        "power": comparison.power,
        "questions": comparison.questions,
        "notes": list(comparison.notes),
        "cells": [
            {
                "cell": cell.cell,
                "base": cell.base,
                "new": cell.new,
                "replicate": cell.unit,
                "paired": cell.paired,
                "differences": [difference._asdict() for difference in cell.differences],
                "notes": list(cell.notes),
                "metrics": {one.metric: _plain_answer(one) for one in cell.answers},
            }
            for cell in comparison.cells
        ],
    }


def _plain_answer(one: Answer) -> dict[str, Any]:
    fields = {name: getattr(one, name) for name in one.__struct_fields__ if name != "metric"}
    return fields | {"verdict": str(one.verdict), "notes": list(one.notes)}


def as_junit(comparisons: Sequence[Comparison], fails: Judged = is_worse) -> str:
    """JUnit's XML: a suite per cell, a case per metric; what cannot be told and does not fail is
    skipped."""
    suites = []
    for comparison in comparisons:
        for cell in comparison.cells:
            cases = [_case(one, cell, fails(one)) for one in cell.answers]
            failures = sum(map(fails, cell.answers))
            skipped = sum(one.verdict == "cannot tell" and not fails(one) for one in cell.answers)
            suites.append(
                f"  <testsuite name={_attribute(f'{cell.cell}: {cell.new}')} "
                f'tests="{len(cases)}" failures="{failures}" errors="0" skipped="{skipped}">\n'
                + "".join(cases)
                + "  </testsuite>\n"
            )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n{"".join(suites)}</testsuites>'


def _case(one: Answer, cell: CellComparison, failed: bool) -> str:
    said = reason(one, cell) or one.why
    name = _attribute(one.metric)
    start = f"    <testcase classname={_attribute(f'minionbench.{cell.cell}')} name={name}"
    if failed:
        what = _attribute(f"{one.verdict}: {said}")
        return f'{start}><failure type="{escape(str(one.verdict))}" message={what}/></testcase>\n'
    if one.verdict == "cannot tell":
        return f"{start}><skipped message={_attribute(said)}/></testcase>\n"
    return f"{start}/>\n"


def _attribute(text: str) -> str:
    # What XML cannot hold is what a terminal should not see either, but for two that are nothing.
    return quoteattr(in_one_line(text).translate({0xFFFE: "�", 0xFFFF: "�"}))


def as_github(comparisons: Sequence[Comparison], fails: Judged = is_worse) -> str:
    """Commands of GitHub's workflows: an error per metric that fails, a warning for what cannot be
    told, a notice for what is better; then the outcome."""
    lines = []
    for comparison in comparisons:
        for cell in comparison.cells:
            for one in cell.answers:
                level = (
                    "error"
                    if fails(one)
                    else {"cannot tell": "warning", "better": "notice"}.get(one.verdict)
                )
                if level is not None:
                    said = f"{one.verdict}: {reason(one, cell) or one.why}"
                    title = _command(f"{one.metric} of {cell.cell}", inside=True)
                    lines.append(f"::{level} title={title}::{_command(said)}")
        lines.append(in_one_line(outcome(comparison)))
    return "\n".join(lines)


def _command(text: str, *, inside: bool = False) -> str:
    """A text that a workflow command may hold; `inside` is one of its properties."""
    text = in_one_line(text).replace("%", "%25")
    return text.replace(":", "%3A").replace(",", "%2C") if inside else text


def as_bmf(comparisons: Sequence[Comparison]) -> str:
    """Bencher Metric Format: the new side's values, the bounds by the interval of the change."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for comparison in comparisons:
        for cell in comparison.cells:
            measures = found.setdefault(_benchmark(comparison, cell, comparisons), {})
            for one in cell.answers:
                if one.new is None:
                    continue
                measure = {"value": one.new}
                low, high = bounds(one)
                if low is not None and high is not None:
                    measure |= {"lower_value": low, "upper_value": high}
                measures[one.metric] = measure
    return json.dumps(found, indent=2, ensure_ascii=False)


def _benchmark(
    comparison: Comparison, cell: CellComparison, comparisons: Sequence[Comparison]
) -> str:
    """The name of a cell; where several sides are held against the base, with that of the side."""
    side = f"{comparison.new.name}/" if len(comparisons) > 1 else ""
    return in_one_line(f"{side}{cell.new}/{cell.cell}")


def bounds(one: Answer) -> tuple[float | None, float | None]:
    """Between which values the new side's lies, the base's taken as it is."""
    if one.base is None or one.new is None or one.p is None:
        return None, None
    ends = [
        None if end is None else one.base * (1 + end) if one.scale == "relative" else one.base + end
        for end in (one.low, one.high)
    ]
    return (
        None if ends[0] is None else min(ends[0], one.new),
        None if ends[1] is None else max(ends[1], one.new),
    )


def as_action_benchmark(comparisons: Sequence[Comparison], better: str) -> str:
    """github-action-benchmark's `customSmallerIsBetter` or `customBiggerIsBetter`."""
    found = []
    for comparison in comparisons:
        for cell in comparison.cells:
            for one in cell.answers:
                if one.new is None or one.better != better:
                    continue
                entry: dict[str, Any] = {
                    "name": f"{_benchmark(comparison, cell, comparisons)}/{one.metric}",
                    "unit": one.unit,
                    "value": one.new,
                }
                low, high = bounds(one)
                if low is not None and high is not None:
                    entry["range"] = f"{low:.6g} to {high:.6g}"
                entry["extra"] = in_one_line(f"{one.verdict}: {reason(one, cell) or one.why}")
                found.append(entry)
    return json.dumps(found, indent=2, ensure_ascii=False)


def formed(form: str, comparisons: Sequence[Comparison], fails: Judged = is_worse) -> str:
    """A comparison in one of the forms."""
    if form == "junit":
        return as_junit(comparisons, fails)
    if form == "github":
        return as_github(comparisons, fails)
    if form.endswith("-is-better"):
        return as_action_benchmark(comparisons, "lower" if form[0] == "s" else "higher")
    simple = {"table": as_table, "json": as_json, "md": as_markdown, "bmf": as_bmf}
    return simple[form](comparisons)


def publish(
    comparisons: Sequence[Comparison],
    form: str,
    files: Sequence[tuple[str, Path]],
    fails: Judged = is_worse,
) -> None:
    """Prints a comparison and writes the files that were asked for.

    With `--format github` the page of the workflow's run gets the tables, too.
    """
    for other, path in files:
        _write(path, formed(other, comparisons, fails) + "\n")
    click.echo(formed(form, comparisons, fails))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if form == "github" and summary:
        _write(Path(summary), as_markdown(comparisons) + "\n", append=True)


def _write(path: Path, text: str, *, append: bool = False) -> None:
    try:
        with path.open("a" if append else "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}") from error
