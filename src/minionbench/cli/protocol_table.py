"""Protocols beside each other, and what a hybrid's requests took, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from minionbench.cli.text import aligned, printable, wrapped
from minionbench.units import duration, number_of, significant

if TYPE_CHECKING:
    from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult, MetricResult

ABSENT = "–"
TALLIED = {
    "rounds": "round",
    "jobs": "job",
    "abstained_jobs": "job without an answer",
    "failed_jobs": "failed job",
    "plans_refused": "refused plan",
    "repairs": "repair",
}
PLURAL = {"abstained_jobs": "jobs without an answer"}


def is_compared(run: BenchmarkRun) -> bool:
    """Whether a run holds several protocols over the same items."""
    return len(run.candidates) > 1 and all(
        candidate.factors is not None
        and candidate.cells
        and "account" in candidate.cells[0].settings
        for candidate in run.candidates
    )


def compared(run: BenchmarkRun, columns: int) -> Iterator[str]:
    """The protocols of a run beside each other, workload by workload."""
    yield from models(run.candidates, columns)
    for same in zip(*(candidate.cells for candidate in run.candidates), strict=False):
        rows = list(zip(map(protocol, run.candidates), same, strict=True))
        about = same[0]
        yield ""
        asked = number_of(about.workload.items, "item")
        times = number_of(about.repeats, "time")
        yield from wrapped(f"{about.workload.name}: the same {asked}, asked {times}", columns, "  ")
        yield ""
        yield from (f"  {line}" for line in answered(rows))
        against = [(name, cell) for name, cell in rows if "compared" in cell.settings]
        if against:
            yield ""
            yield "  Held against remote-only, item by item"
            yield from (f"  {line}" for line in held(against))
    yield ""
    yield from wrapped(WORDS, columns, "  ")


WORDS = (
    "Right: answers that are right of all, with Wilson's interval over items. Remote tokens and $ "
    "are means per request, latency is the median over items. +a −b: a items right where "
    "remote-only was not, b the reverse, with the p of the exact McNemar test; that of latency is "
    "of the sign test. Gap: the share of the gap between local-only and remote-only that is "
    "closed, (accuracy − local-only's)/(remote-only's − local-only's); ratio: accuracy ÷ "
    "remote-only's."
)


def models(candidates: Sequence[BenchmarkCandidate], columns: int) -> Iterator[str]:
    """Which models the protocols join."""
    local = remote = None
    for candidate in candidates:
        factors = candidate.factors
        if factors is None:
            continue
        remote = factors.remote_model or remote
        if factors.deployment != "remote":
            local = factors.model
    named = [f"{side} {model}" for side, model in (("local", local), ("remote", remote)) if model]
    for line in wrapped("Protocols over " + ", ".join(named), columns, "", "  "):
        yield click.style(line, bold=True)


def protocol(candidate: BenchmarkCandidate) -> str:
    """A row's name."""
    factors = candidate.factors
    assert factors is not None
    return printable(factors.protocol or factors.deployment)


def answered(rows: Sequence[tuple[str, CellResult]]) -> Iterator[str]:
    """Accuracy, remote tokens, cost and latency of each protocol."""
    head = ["protocol", "right", "%", "remote", "tokens", "$/request", "latency", ""]
    under = ["", "", "95%", "in", "out", "", "s", "95%"]
    lines = []
    for name, cell in rows:
        accuracy = cell.metrics.get("accuracy_pct")
        latency = cell.metrics.get("total_latency_s")
        tokens = cell.settings.get("account", {}).get("tokens", {}).get("remote")
        lines.append(
            [
                name,
                right(accuracy),
                bounds(accuracy),
                count(tokens, "prompt_tokens"),
                count(tokens, "completion_tokens"),
                value(cell.metrics.get("cost_usd")),
                value(latency),
                bounds(latency),
            ]
        )
    yield from titled([head, under], lines)


def held(rows: Sequence[tuple[str, CellResult]]) -> Iterator[str]:
    """What each protocol gains and loses against remote-only."""
    head = ["protocol", "right", "p", "latency", "p", "saved", "", "gap", "ratio"]
    under = ["", "", "", "×", "", "%", "95%", "%", "%"]
    lines = []
    for name, cell in rows:
        about = cell.settings["compared"]
        accuracy, latency, cost = about["accuracy"], about["latency"], about["cost"]
        saving = cost.get("saving_pct")
        lines.append(
            [
                name,
                f"+{accuracy['better']} −{accuracy['worse']}" if "better" in accuracy else ABSENT,
                p_value(accuracy),
                figure(latency.get("times")),
                p_value(latency),
                figure(saving),
                range_of(saving),
                figure(about.get("gap_closed")),
                figure(about.get("ratio")),
            ]
        )
    yield from titled([head, under], lines)


def titled(heads: Sequence[list[str]], lines: Sequence[list[str]]) -> Iterator[str]:
    """Rows below two lines of titles."""
    shown = list(aligned([*heads, *lines], [False] + [True] * (len(heads[0]) - 1)))
    yield click.style(shown[0], bold=True)
    yield click.style(shown[1], dim=True)
    yield from shown[2:]


def right(metric: MetricResult | None) -> str:
    """Right answers of all that could be judged."""
    if metric is None or metric.value is None:
        return ABSENT
    about = metric.metadata
    return f"{about.get('right', ABSENT)}/{about.get('requests', ABSENT)}"


def value(metric: MetricResult | None) -> str:
    """A metric's value."""
    if metric is None or metric.value is None:
        return "error" if metric is not None and metric.status == "error" else ABSENT
    return significant(metric.value)


def bounds(metric: MetricResult | None) -> str:
    """A metric's interval."""
    return "" if metric is None or metric.value is None else range_of(metric.metadata)


def range_of(about: Mapping[str, Any] | None) -> str:
    """The interval of a figure; nothing where the data cannot bound it on both sides."""
    found = (about or {}).get("interval") or {}
    low, high = found.get("low"), found.get("high")
    if low is None or high is None:
        return ""
    return (
        f"{significant(low)} to {significant(high)}"
        if low < 0
        else (f"{significant(low)}–{significant(high)}")
    )


def figure(about: Mapping[str, Any] | None) -> str:
    """The value of a comparison."""
    found = (about or {}).get("value")
    return ABSENT if found is None else significant(found)


def p_value(about: Mapping[str, Any]) -> str:
    """The p-value of a test."""
    p = about.get("p")
    if p is None:
        return ABSENT
    return "<0.001" if p < 0.001 else significant(p, 2)


def count(tokens: Mapping[str, Any] | None, name: str) -> str:
    """Mean tokens per request; none where the side was not asked."""
    if tokens is None:
        return "0"
    mean = tokens.get(name)
    return ABSENT if mean is None else f"{mean:,.0f}"


def taken(candidate: BenchmarkCandidate, columns: int) -> Iterator[str]:
    """What the requests of a hybrid took: calls, tokens, rounds and jobs, and time."""
    for cell in candidate.cells:
        account = cell.settings.get("account")
        if not account or "protocol" not in cell.settings:
            continue
        said = [sides(account), tally(account), lost(account), time(account)]
        text = f"{cell.workload.name}: " if len(candidate.cells) > 1 else ""
        yield from wrapped(text + " ".join(part for part in said if part), columns, "  ", "    ")


def sides(account: Mapping[str, Any]) -> str:
    """Calls and tokens of each side."""
    said = []
    for side, calls in account.get("calls", {}).items():
        tokens = account["tokens"][side]
        counted = f"{count(tokens, 'prompt_tokens')} tokens in, "
        counted += f"{count(tokens, 'completion_tokens')} out"
        said.append(f"{side} {significant(calls)} calls, {counted}")
    return f"Per request: {'; '.join(said)}." if said else ""


def tally(account: Mapping[str, Any]) -> str:
    """What the protocol counted over all requests."""
    found = account.get("tally", {})
    said = [
        number_of(found[name], noun, PLURAL.get(name))
        for name, noun in TALLIED.items()
        if found.get(name)
    ]
    return f"In all: {', '.join(said)}." if said else ""


def lost(account: Mapping[str, Any]) -> str:
    """How many requests ended without an answer, and why."""
    reasons = account.get("abstained", {})
    said = [f"{printable(why)} ({times})" for why, times in reasons.items()]
    return f"Without an answer: {'; '.join(said)}." if said else ""


def time(account: Mapping[str, Any]) -> str:
    """Where the time went, by the medians of its parts."""
    spent = account.get("time_s")
    if not spent:
        return ""
    names = ("local", "remote", "queueing", "paused", "harness")
    parts = [f"{n} {duration(spent[f'{n}_s'])}" for n in names if spent[f"{n}_s"]]
    return f"Median time {duration(spent['total_s'])}: {', '.join(parts)}."
