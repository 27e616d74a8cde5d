"""A run as a person reads it in 80 columns: figures, what is missing, what to distrust."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from minionbench.cli.cost_line import costs
from minionbench.cli.energy_line import energy
from minionbench.cli.goodput_line import goodput
from minionbench.cli.protocol_table import compared, is_compared, protocol, taken
from minionbench.cli.text import aligned, printable, wrapped
from minionbench.metrics.table import METRICS
from minionbench.units import MS_PER_S, significant

if TYPE_CHECKING:
    from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult, MetricResult

ABSENT = "–"
MOST_CANDIDATES = 50
"""Candidates without cells that are listed one by one."""


class Column(NamedTuple):
    """One metric of the table."""

    metric: str
    title: str
    is_duration: bool


COLUMNS = (
    Column("ttft_s", "TTFT", True),
    Column("total_latency_s", "total latency", True),
    Column("tokens_per_sec", "decode rate", False),
    Column("tpot_s", "TPOT", True),
)
WITH_REASONING = (COLUMNS[0], Column("ttfo_s", "TTFO", True), *COLUMNS[1:3])
"""Where models reasoned: the first visible token, of which nothing else tells where the reasoning
was hidden, in the place of TPOT, which the decode rate tells too."""
RESPONSE_TIME = Column("response_time_s", "response time", True)
"""What a user waits where requests arrive by a plan, from the planned instant."""

MOST_NOTES = 5
"""Rules that could not be checked, up to which each is named."""
OWN_FIGURES = ("cove_pass_rate", "retrieval_score", "perplexity", "kl_to_base")
"""Metrics of the registry benchmark that say how good a model is."""
NOT_CHECKED = "not checked: "
"""With this a verdict's notes begin; said once for all of them here."""

COLOURS = {"valid": "green", "suspect": "yellow", "invalid": "red"}


def report(run: BenchmarkRun, path: Path | None, columns: int = 80) -> Iterator[str]:
    """The lines of a run's report, with colours that `click.echo` drops where none belong.

    `path` is where the document lies; None where it lies nowhere.
    """
    yield from heading(run, columns)
    beside = is_compared(run)
    if beside:
        yield ""
        yield from compared(run, columns)
    listing = []
    for candidate in run.candidates:
        if beside:
            yield ""
            yield from beside_others(candidate, columns)
        elif candidate.cells:
            yield ""
            yield from measured(candidate, columns)
        elif candidate.factors:
            yield ""
            yield from unmeasured(candidate, columns)
        else:
            listing.append(candidate)
    if listing:
        yield ""
        yield from listed(listing, columns)
    if not run.candidates:
        yield "No candidates."
    if run.metadata.notes:
        yield ""
        for note in run.metadata.notes:
            yield from wrapped(note, columns)
    if path is not None:
        yield ""
        yield f"Document: {path}"


def heading(run: BenchmarkRun, columns: int) -> Iterator[str]:
    """Which run this is, when and where it was made, and whether it is whole."""
    about = run.metadata
    parts = [datetime.fromisoformat(about.timestamp).strftime("%Y-%m-%d %H:%M")]
    if run.system_info.cpu_info:
        parts.append(run.system_info.cpu_info)
    if about.dry_run:
        parts.append("dry run")
    yield click.style(about.run_id, bold=True)
    yield from wrapped(" · ".join(parts), columns)
    if about.finished is False:
        yield click.style("Cut short: what follows is from the requests that finished.", fg="red")


def measured(candidate: BenchmarkCandidate, columns: int) -> Iterator[str]:
    """A candidate with its cells."""
    yield from named(candidate, columns)
    yield ""
    yield from (f"  {line}" for line in figures(candidate.cells))
    yield ""
    if right := answers(candidate.cells):
        yield from wrapped(right, columns, "  ", "    ")
    if good := goodput(candidate.cells):
        yield from wrapped(good, columns, "  ", "    ")
    yield from taken(candidate, columns)
    if figures_of_its_own := quality(candidate):
        yield from wrapped(figures_of_its_own, columns, "  ", "    ")
    yield from wrapped(memory(candidate), columns, "  ")
    if used := energy(candidate.cells):
        yield from wrapped(used, columns, "  ", "    ")
    if spent := costs(candidate.cells):
        yield from wrapped(spent, columns, "  ", "    ")
    yield from wrapped(method(candidate.cells), columns, "  ")
    missing = list(absences(candidate))
    if missing:
        yield ""
        yield "  Not measured"
        for line in missing:
            yield from wrapped(line, columns, "    ", "      ")
    yield ""
    yield from doubts(candidate.cells, columns)
    for note in candidate.notes:
        yield from wrapped(note, columns, "  Note: ")


def beside_others(candidate: BenchmarkCandidate, columns: int) -> Iterator[str]:
    """What a table of several protocols does not say of one of them."""
    yield click.style(protocol(candidate), bold=True)
    yield from taken(candidate, columns)
    failed = [line for line in absences(candidate) if line.startswith("error")]
    for line in failed:
        yield from wrapped(line, columns, "  ", "    ")
    yield from doubts(candidate.cells, columns)


def unmeasured(candidate: BenchmarkCandidate, columns: int) -> Iterator[str]:
    """A deployment of which nothing was measured, and why."""
    yield from named(candidate, columns)
    yield ""
    reasons = {reason_of(metric) for metric in candidate.metrics.values()}
    if len(reasons) == 1:
        yield from wrapped(f"Not measured: {reasons.pop()}", columns, "  ", "    ")
    else:
        for line in absences(candidate):
            yield from wrapped(line, columns, "  ", "    ")
    for note in candidate.notes:
        yield from wrapped(note, columns, "  Note: ")


def named(candidate: BenchmarkCandidate, columns: int) -> Iterator[str]:
    """The heading of a candidate."""
    for line in wrapped(title(candidate), columns, "", "  "):
        yield click.style(line, bold=True)


def title(candidate: BenchmarkCandidate) -> str:
    """What was measured, in one line."""
    factors = candidate.factors
    parts = [factors.model if factors else candidate.version]
    if factors and factors.protocol and factors.deployment == "hybrid":
        parts[0] += f" with {factors.remote_model} by {factors.protocol}"
    if candidate.quantization:
        parts.append(candidate.quantization)
    if candidate.parameter_count is not None:
        parts.append(f"{count(candidate.parameter_count)} parameters")
    if candidate.file_size_mb is not None:
        parts.append(f"{significant(candidate.file_size_mb)} MB")
    if factors and factors.engine:
        parts.append(factors.engine)
    if factors and factors.reasoning is not None:
        parts.append("reasoning" if factors.reasoning else "no reasoning")
    return " · ".join(parts)


def count(number: int) -> str:
    """A large count as a person says it: 1,234,567 → 1.23 M."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{significant(number / size)} {unit}"
    return str(number)


def figures(cells: Sequence[CellResult]) -> Iterator[str]:
    """The table: a row per cell, its interval in a second row below the value."""
    columns = columns_of(cells)
    units = [unit_of(column, cells) for column in columns]
    head = ["workload", "requests", *(column.title for column in columns)]
    under = ["", "", *(name for name, _ in units)]
    rows: list[list[str]] = []
    for cell in cells:
        values, intervals = [printable(cell.workload.name), requests(cell)], ["", ""]
        for column, (_, factor) in zip(columns, units, strict=True):
            metric = cell.metrics.get(column.metric)
            values.append(value(metric, factor))
            intervals.append(interval(metric, factor))
        rows += [values, intervals] if any(intervals) else [values]
    lines = list(aligned([head, under, *rows], [False] + [True] * (len(head) - 1)))
    yield click.style(lines[0], bold=True)
    yield click.style(lines[1], dim=True)
    yield from lines[2:]


def columns_of(cells: Sequence[CellResult]) -> tuple[Column, ...]:
    """The metrics that are shown of these cells."""
    first, total, rate, per_token = COLUMNS
    arriving = any(cell.load.kind == "open" for cell in cells)
    if any(map(reasoned, cells)):
        first, visible, total, rate = WITH_REASONING
        return (first, visible, RESPONSE_TIME if arriving else total, rate)
    return (first, RESPONSE_TIME, total, rate) if arriving else (first, total, rate, per_token)


def reasoned(cell: CellResult) -> bool:
    """Whether an answer showed or counted reasoning."""
    metric = cell.metrics.get("ttfo_s")
    seen = metric.metadata.get("reasoning") if metric else None
    return isinstance(seen, dict) and any(seen.get(how) for how in ("streamed", "hidden"))


def unit_of(column: Column, cells: Sequence[CellResult]) -> tuple[str, float]:
    """The unit that a column is shown in, and the factor to it.

    Durations are in ms, unless all are seconds or one is minutes.
    """
    if not column.is_duration:
        return "tokens/s", 1.0
    known = [
        metric.value
        for cell in cells
        if (metric := cell.metrics.get(column.metric)) and metric.value is not None
    ]
    if known and (min(known) >= 1 or max(known) >= 100):
        return "s", 1.0
    return "ms", float(MS_PER_S)


def value(metric: MetricResult | None, factor: float) -> str:
    """A metric's value; a dash where it was not measured, `error` where it could not be."""
    if metric is None or metric.status == "skipped":
        return ABSENT
    if metric.value is None:
        return "error"
    return significant(metric.value * factor)


def interval(metric: MetricResult | None, factor: float) -> str:
    """The interval of a metric's value; what the data cannot bound stays open."""
    if metric is None or metric.value is None:
        return ""
    bounds = metric.metadata.get("interval") or {}
    low, high = (
        None if (bound := bounds.get(end)) is None else significant(bound * factor)
        for end in ("low", "high")
    )
    if low is None or high is None:
        return "no interval" if low == high else f"≤ {high}" if low is None else f"≥ {low}"
    return f"{low}–{high}"


def requests(cell: CellResult) -> str:
    """How many requests count, as answered/all where some failed."""
    metric = cell.metrics.get("total_latency_s")
    counted = metric.metadata.get("requests") if metric else None
    if not isinstance(counted, int):
        return ABSENT
    failed = metric.metadata.get("failed") if metric else None
    return f"{counted - failed}/{counted}" if failed else str(counted)


def answers(cells: Sequence[CellResult]) -> str:
    """How many answers are right, in words; nothing where none was judged."""
    said = []
    for cell in cells:
        metric = cell.metrics.get("accuracy_pct")
        if metric is None or metric.value is None:
            continue
        about = metric.metadata
        share = f"{significant(metric.value)}%, {interval(metric, 1.0)}"
        if "right" not in about:  # another program's score
            said.append(f"{cell.workload.name} {share}")
            continue
        right = f"{about['right']} of {about.get('requests', ABSENT)}"
        said.append(f"{cell.workload.name} {right} ({share})")
    return f"Right answers: {'; '.join(said)}." if said else ""


def has_own_figures(candidate: BenchmarkCandidate) -> bool:
    """Whether the registry benchmark measured something of it that no column of its cells has."""
    metrics = candidate.metrics
    return any(name in metrics and metrics[name].value is not None for name in OWN_FIGURES)


def quality(candidate: BenchmarkCandidate) -> str:
    """What the registry benchmark measured beside speed and memory; empty where that is nothing."""
    said = []
    for name in OWN_FIGURES:
        metric = candidate.metrics.get(name)
        if metric is not None and metric.value is not None:
            unit = METRICS[name].unit
            shown = value(metric, 1.0) + ("" if unit == "1" else f" {unit}")
            said.append(f"{name} {shown} ({interval(metric, 1.0)})")
    return f"Quality: {'; '.join(said)}." if said else ""


def memory(candidate: BenchmarkCandidate) -> str:
    """The engine's peak memory, in words."""
    said = []
    for name, what in (("peak_ram_mb", "Peak RAM"), ("peak_vram_mb", "Peak VRAM")):
        metric = candidate.metrics[name]
        if metric.value is not None:
            said.append(f"{what} of the engine: {significant(metric.value)} MB.")
    return " ".join(said) or "Peak RAM of the engine: not measured."


def method(cells: Sequence[CellResult]) -> str:
    """What the figures are, in words."""
    levels = {
        bounds["level"]
        for cell in cells
        for metric in cell.metrics.values()
        if (bounds := metric.metadata.get("interval"))
    }
    level = f"{levels.pop():.0%} interval" if len(levels) == 1 else "interval"
    if imported := stated(cells):
        return imported
    return f"Figures are medians over requests, below them the median's {level}."


def stated(cells: Sequence[CellResult]) -> str:
    """What figures are that another program states; empty where they are our own."""
    metrics = [(name, m) for cell in cells for name, m in cell.metrics.items()]
    by = dict.fromkeys(str(b) for _, m in metrics if (b := m.metadata.get("stated_by")))
    if not by:
        return ""
    means = dict.fromkeys(name for name, m in metrics if m.metadata.get("statistic") == "mean")
    but = f", but means: {', '.join(means)}" if means else ""
    return f"Figures are those that {', '.join(by)} states: medians{but}."


def reason_of(metric: MetricResult) -> str | None:
    """Why a metric has no value; None where it has one."""
    return metric.error_message or metric.metadata.get("reason")


def absences(candidate: BenchmarkCandidate) -> Iterator[str]:
    """What has no value and why, failures first, one line per reason."""
    found: dict[tuple[bool, str | None], dict[str, list[str]]] = {}
    places: list[tuple[str, dict[str, MetricResult]]] = [("", candidate.metrics)]
    places += [(cell.workload.name, cell.metrics) for cell in candidate.cells]
    for where, metrics in places:
        for name, metric in metrics.items():
            if metric.value is None:
                key = (metric.status != "error", reason_of(metric))
                found.setdefault(key, {}).setdefault(name, []).append(where)
    for (harmless, reason), names in sorted(found.items(), key=lambda item: item[0][0]):
        said = [
            f"{name} ({', '.join(inside)})"
            if (inside := [where for where in wheres if where])
            and len(inside) < len(candidate.cells)
            else name
            for name, wheres in names.items()
        ]
        yield f"{'' if harmless else 'error: '}{', '.join(said)}: {reason}"


def doubts(cells: Sequence[CellResult], columns: int) -> Iterator[str]:
    """The verdicts: which cells are to be believed, and what speaks against the others."""
    verdicts = {cell.verdict.status for cell in cells}
    said = [
        click.style(status, fg=colour, bold=True)
        + ("" if len(verdicts) == 1 else f" ({', '.join(names)})")
        for status, colour in COLOURS.items()
        if (names := [printable(c.workload.name) for c in cells if c.verdict.status == status])
    ]
    yield f"  Verdict: {', '.join(said)}"
    found: dict[tuple[str, str, str | None], dict[str, list[str]]] = {}
    unchecked: dict[str, None] = {}
    for cell in cells:
        for reason in cell.verdict.reasons:
            if reason.severity == "note":
                unchecked[f"{reason.rule} ({reason.message.removeprefix(NOT_CHECKED)})"] = None
                continue
            key = (reason.severity, reason.rule, reason.advice)
            found.setdefault(key, {}).setdefault(reason.message, []).append(cell.workload.name)
    for (severity, rule, advice), messages in found.items():
        for message, names in messages.items():
            where = "" if len(names) == len(cells) else f" ({', '.join(names)})"
            yield from wrapped(f"{severity}: {rule}{where}: {message}", columns, "    ", "      ")
        if advice:
            yield from wrapped(advice, columns, "      → ")
    if len(unchecked) > MOST_NOTES:
        line = f"not checked: {len(unchecked)} rules; --format json says why"
        yield from wrapped(line, columns, "    ")
    elif unchecked:
        yield from wrapped(f"not checked: {'; '.join(unchecked)}", columns, "    ", "      ")


def listed(candidates: Sequence[BenchmarkCandidate], columns: int) -> Iterator[str]:
    """Candidates of which nothing was measured workload by workload: one line each."""
    head = ["version", "type", "format", "size, MB", "state"]
    rows = [
        [
            printable(candidate.version),
            candidate.model_type or ABSENT,
            candidate.quantization or ABSENT,
            ABSENT if candidate.file_size_mb is None else significant(candidate.file_size_mb),
            state(candidate),
        ]
        for candidate in candidates[:MOST_CANDIDATES]
    ]
    lines = aligned([head, *rows], [False, False, False, True, False])
    for i, line in enumerate(lines):
        short = line if len(line) <= columns else line[: columns - 1] + "…"
        yield click.style(short, bold=True) if i == 0 else short
    if len(candidates) > MOST_CANDIDATES:
        yield f"… and {len(candidates) - MOST_CANDIDATES} more; --format json has them all"


def details(candidate: BenchmarkCandidate, columns: int) -> Iterator[str]:
    """All that is known of a candidate without cells, in a paragraph."""
    yield from wrapped(f"{candidate.version}: {candidate.model_path or 'no path'}", columns)
    for line in absences(candidate):
        yield from wrapped(line, columns, "  ", "    ")
    for note in candidate.notes:
        yield from wrapped(note, columns, "  note: ")


def state(candidate: BenchmarkCandidate) -> str:
    """The candidate's metrics in a few words: the worst thing there is to say."""
    for metric in candidate.metrics.values():
        if metric.error_message:
            return printable(metric.error_message)
    values = sum(metric.value is not None for metric in candidate.metrics.values())
    if values:
        return f"{values} of {len(candidate.metrics)} metrics"
    return printable(reason_of(next(iter(candidate.metrics.values()))) or "")
