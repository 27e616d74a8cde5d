"""A measured registry as a person reads it: a line per model, what is missing, what has changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from minionbench.cli.table import ABSENT, COLOURS, heading, interval, reason_of, value
from minionbench.cli.text import aligned, printable, wrapped
from minionbench.metrics.table import METRICS
from minionbench.units import MS_PER_S, significant

if TYPE_CHECKING:
    from minionbench.autobench.last_time import Change, SinceLastTime
    from minionbench.schema import BenchmarkCandidate, BenchmarkRun, MetricResult

LONGEST_NAME = 24
"""Characters of a version in a table; the notes below name it in full."""


class Column(NamedTuple):
    """One metric of the table, of the candidate or of one of its cells."""

    title: str
    unit: str
    metric: str
    workload: str | None = None
    factor: float = 1.0


SPEED = (
    Column("latency", "ms", "latency_ms"),
    Column("decode rate", "tokens/s", "tokens_per_sec"),
    Column("TTFT", "ms", "ttft_s", "prefill", float(MS_PER_S)),
    Column("peak RAM", "MB", "peak_ram_mb"),
    Column("peak VRAM", "MB", "peak_vram_mb"),
)
QUALITY = (
    Column("CoVe pass rate", "%", "cove_pass_rate"),
    Column("retrieval", "nDCG@10, %", "retrieval_score"),
    Column("perplexity", "", "perplexity"),
    Column("KL to base", "nat", "kl_to_base"),
)


def report(
    run: BenchmarkRun, path: Path, since: Sequence[SinceLastTime], columns: int
) -> Iterator[str]:
    """The lines of a measured registry's report."""
    yield from heading(run, columns)
    if not run.candidates:
        yield "No models."
    for what, metrics in (
        ("Speed and memory: one stream, cold prefix; medians", SPEED),
        ("Quality", QUALITY),
    ):
        shown = [column for column in metrics if any(_has(c, column) for c in run.candidates)]
        if shown:
            yield ""
            yield click.style(what, bold=True)
            yield from (f"  {line}" for line in _table(run.candidates, shown, metrics is SPEED))
    yield from _missing(run.candidates, columns)
    yield from _verdicts(run.candidates, columns)
    noted = [(c.version, note) for c in run.candidates for note in c.notes]
    notes = [*(f"{version}: {note}" for version, note in noted), *run.metadata.notes]
    if notes:
        yield ""
        for note in notes:
            yield from wrapped(note, columns, "", "  ")
    if since:
        yield ""
        yield click.style("Against last time", bold=True)
        for model in since:
            yield from _changes(model, columns)
    yield ""
    yield f"Document: {path}"


def _metric(candidate: BenchmarkCandidate, column: Column) -> MetricResult | None:
    if column.workload is None:
        return candidate.metrics.get(column.metric)
    cells = [cell for cell in candidate.cells if cell.workload.name == column.workload]
    return cells[0].metrics.get(column.metric) if cells else None


def _has(candidate: BenchmarkCandidate, column: Column) -> bool:
    metric = _metric(candidate, column)
    return metric is not None and metric.value is not None


def _table(
    candidates: Sequence[BenchmarkCandidate], columns: Sequence[Column], with_size: bool
) -> Iterator[str]:
    size_head = (["size"], ["MB"]) if with_size else ([], [])
    rows = [
        ["model", *size_head[0], *(column.title for column in columns)],
        ["", *size_head[1], *(column.unit for column in columns)],
    ]
    for candidate in candidates:
        size = candidate.file_size_mb
        sizes = [ABSENT if size is None else significant(size)] if with_size else []
        found = [(_metric(candidate, column), column.factor) for column in columns]
        rows.append([_name(candidate.version), *sizes, *(value(m, f) for m, f in found)])
        intervals = [interval(m, f) if _bounded(m) else "" for m, f in found]
        if any(intervals):
            rows.append(["", *([""] * len(sizes)), *intervals])
    lines = list(aligned(rows, [False] + [True] * (len(rows[0]) - 1)))
    yield lines[0]
    yield click.style(lines[1], dim=True)
    yield from lines[2:]


def _bounded(metric: MetricResult | None) -> bool:
    """Whether the metric has an interval: memory has none by its nature."""
    return metric is not None and bool(metric.metadata.get("interval"))


def _name(version: str) -> str:
    name = printable(version)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _missing(candidates: Sequence[BenchmarkCandidate], columns: int) -> Iterator[str]:
    """What has no value and why, failures first; models with the same reason together."""
    found: dict[tuple[bool, str], dict[int, list[str]]] = {}
    for place, candidate in enumerate(candidates):
        for name, metric in candidate.metrics.items():
            reason = reason_of(metric)
            if metric.value is None and reason is not None:
                key = (metric.status != "error", reason)
                found.setdefault(key, {}).setdefault(place, []).append(name)
    if not found:
        return
    yield ""
    yield click.style("Not measured", bold=True)
    for (harmless, reason), models in sorted(found.items(), key=lambda item: item[0][0]):
        together: dict[tuple[str, ...], list[str]] = {}
        for place, names in models.items():
            together.setdefault(tuple(names), []).append(candidates[place].version)
        said = "; ".join(
            f"{'all models' if len(versions) == len(candidates) > 1 else ', '.join(versions)} "
            f"({_metrics(names, candidates)})"
            for names, versions in together.items()
        )
        error = "" if harmless else "error: "
        yield from wrapped(f"{error}{said}: {reason}", columns, "  ", "    ")


def _metrics(names: Sequence[str], candidates: Sequence[BenchmarkCandidate]) -> str:
    most = max(len(candidate.metrics) for candidate in candidates)
    return "everything" if len(names) == most > 1 else ", ".join(names)


def _verdicts(candidates: Sequence[BenchmarkCandidate], columns: int) -> Iterator[str]:
    """Which cells are not simply to be believed, and why."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for candidate in candidates:
        for cell in candidate.cells:
            for reason in cell.verdict.reasons:
                if reason.severity != "note":
                    cells = found.setdefault((reason.severity, reason.rule), {})
                    cells[cell.cell_id] = reason.message.partition("\n")[0]
    if not any(candidate.cells for candidate in candidates):
        return
    yield ""
    yield click.style("Verdict", bold=True)
    if not found:
        yield f"  {click.style('valid', fg=COLOURS['valid'])}: every cell"
    for (severity, rule), messages in sorted(found.items()):
        for line in wrapped(f"{severity}: {rule}: {', '.join(messages)}", columns, "  ", "    "):
            yield click.style(line, fg=COLOURS[severity])
        named, message = next(iter(messages.items()))
        first = f"{named}: " if len(messages) > 1 else ""
        yield from wrapped(f"{first}{message}", columns, "      ")


def _changes(model: SinceLastTime, columns: int) -> Iterator[str]:
    if model.run_id is None:
        yield from wrapped(f"{model.version}: not compared: {model.why_not}", columns, "  ", "    ")
        return
    yield from wrapped(f"{model.version}, since {model.run_id}:", columns, "  ", "    ")
    rows = [_change(change) for change in model.changes]
    for line in aligned(rows, [False, True, False, False, False]):
        yield f"    {line}"


def _change(change: Change) -> list[str]:
    unit = METRICS[change.metric].unit
    share = "" if change.share is None else f", {change.share:+.1%}"
    state = f"{change.state}{share if change.state != 'within the intervals' else ''}"
    return [
        change.metric,
        _with_interval(change.before),
        "→",
        f"{_with_interval(change.now)} {unit if unit != '1' else ''}".rstrip(),
        state,
    ]


def _with_interval(metric: MetricResult) -> str:
    bounds = interval(metric, 1.0) if _bounded(metric) else ""
    return value(metric, 1.0) + (f" ({bounds})" if bounds else "")
