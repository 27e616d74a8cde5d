"""The run in words: what it is, whether to believe it, what to choose, what is missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from minionbench.errors import MinionbenchError
from minionbench.report.charts.scene import Scene
from minionbench.report.measures import why_absent
from minionbench.report.table import Column, Table, count_item, number_item, text_item
from minionbench.report.text import ABSENT, in_one_line, listed, number, sentence, shortened
from minionbench.schema import BenchmarkRun
from minionbench.select import choose, holds_deployments
from minionbench.units import number_of

REGISTRY_METRICS = ("cove_pass_rate", "retrieval_score")
"""What only the registry benchmark measures."""
MOST_REASONS = 200
MOST_NAMED = 4
"""Candidates that the heading names; more are counted."""


def heading(scene: Scene) -> str:
    """What the report is about, in a line."""
    names = list(dict.fromkeys(name for of_run in scene.read.names for name in of_run))
    places = {option.cell.workload.name for option in scene.read.options}
    about = listed(names, 3) if names else "no candidates"
    if len(names) > MOST_NAMED:
        about = f"{len(names)} options"
        about += f" in {number_of(len(places), 'workload')}" if places else ""
    many = len(scene.read.runs)
    return (
        shortened(about, 110) if many == 1 else f"{number_of(many, 'run')}: {shortened(about, 100)}"
    )


def facts(scene: Scene) -> Iterator[tuple[str, str]]:
    """What a reader should know first of the runs, as pairs."""
    runs = scene.read.runs
    ids = [run.metadata.run_id for run in runs]
    yield ("run" if len(runs) == 1 else "runs"), listed(ids, 6)
    yield "measured", listed(list(dict.fromkeys(map(_when, runs))), 6)
    cells = scene.read.options
    read = [option.requests for option in cells if option.requests is not None]
    counted = f"{number_of(len(cells), 'cell')}"
    if read:
        total = sum(requests.measured for requests in read)
        failed = sum(sum(requests.failures.values()) for requests in read)
        counted += f", {number_of(total, 'measured request')}"
        counted += f", {failed:,} of them failed" if failed else ", none of them failed"
    yield "content", counted


def circumstances(scene: Scene) -> Iterator[tuple[str, str]]:
    """Where and how the runs were made, as pairs."""
    runs = scene.read.runs
    machines = list(dict.fromkeys(filter(None, map(_machine, runs))))
    if machines:
        yield "machine", listed(machines, 4)
    commands = list(dict.fromkeys(shortened(run.metadata.command_line, 300) for run in runs))
    if any(commands):
        yield "command", listed(commands, 3)


def _when(run: BenchmarkRun) -> str:
    at = datetime.fromisoformat(run.metadata.timestamp)
    zone = " UTC" if at.utcoffset() is not None and not at.utcoffset() else ""
    return f"{at:%Y-%m-%d %H:%M}{zone}"


def _machine(run: BenchmarkRun) -> str:
    system = run.system_info
    parts = [system.cpu_info or ""]
    if system.usable_cpus or system.cpu_count:
        parts.append(number_of(system.usable_cpus or system.cpu_count or 0, "processor"))
    if system.total_ram_gb:
        parts.append(f"{number(system.total_ram_gb)} GB of memory")
    if system.gpu_info:
        parts.append(system.gpu_info)
    parts.append(" ".join(filter(None, (system.platform, system.platform_version))))
    return in_one_line(", ".join(part for part in parts if part))


def belief(scene: Scene) -> tuple[str, str]:
    """(tone, sentence): whether the figures are to be believed, as a whole."""
    if any(run.metadata.dry_run for run in scene.read.runs):
        return "doubt", "A dry run is among this: nothing was measured there."
    cells = scene.read.options
    counts = Counter(option.cell.verdict.status for option in cells)
    cut = (
        " The run was cut short: this is of the requests that finished."
        if any(run.metadata.finished is False for run in scene.read.runs)
        else ""
    )
    if not cells:
        return "doubt", f"No cell was measured.{cut}"
    many = len(cells)
    if counts["valid"] == many:
        which = "The cell is" if many == 1 else f"All {many} cells are"
        tone = "doubt" if cut else "good"
        return tone, f"{which} valid: the figures can be believed.{cut}"
    said = [
        f"{counts[status]} of {number_of(many, 'cell')} {'is' if counts[status] == 1 else 'are'} "
        f"{status}"
        for status in ("invalid", "suspect")
        if counts[status]
    ]
    rules = Counter(
        reason.rule
        for option in cells
        for reason in option.cell.verdict.reasons
        if reason.severity != "note"
    )
    why = listed([rule for rule, _ in rules.most_common()], 4)
    tone = "bad" if counts["invalid"] else "doubt"
    care = []
    if counts["invalid"]:
        care.append(f"Invalid figures are not to be used{', and are never chosen' * (many > 1)}.")
    if counts["suspect"]:
        part = "; they take part in the choice" * (many > 1)
        care.append(f"Suspect figures are to be taken with care{part}.")
    text = f"{sentence(listed(said))} ({why}); see below what to do about it. {' '.join(care)}"
    return tone, f"{text}{cut}"


def overall(scene: Scene) -> str:
    """Who is chosen most often, where there is more than one choice; empty else."""
    held = [group for group in scene.groups if len(group.ranked) > 1 and not group.is_repeated]
    if len(held) < 2:
        return ""
    best = Counter(group.ranked[0].option.name for group in held)
    (name, times), *others = best.most_common()
    if times == 1:
        return (
            "Which option is best depends on the workload: none has the highest score in more "
            f"than one of {len(held)}."
        )
    close = sum(
        name in {one.option.name for one in (group.ranked[0], *group.tied)} for group in held
    )
    clear = sum(group.ranked[0].option.name == name and not group.tied for group in held)
    of = f"all {times}" if times == len(held) else f"{times} of {len(held)}"
    text = f"{name} has the highest score in {of}, beyond the intervals in {clear or 'none'}"
    text += f"; it is among the best within them in {close}." if close > times else "."
    if others:
        rest = listed([f"{other} ({count})" for other, count in others], 4)
        text += f" Elsewhere: {rest}."
    return text


def registry_choice(scene: Scene) -> Iterator[str]:
    """What `minionbench select` says of runs of the registry benchmark."""
    for run in scene.read.runs:
        measured = any(
            metric is not None and metric.value is not None
            for candidate in run.candidates
            for metric in (candidate.metrics.get(name) for name in REGISTRY_METRICS)
        )
        if not measured or len(run.candidates) < 2 or holds_deployments(run):
            continue
        try:
            selection = choose(run)
        except MinionbenchError as error:
            yield f"As a registry: {error}"
            continue
        best = selection.chosen
        if best is None:
            yield "As a registry: no candidate comes into question for minionbench select."
            continue
        tied = listed([one.version for one in selection.tied], 4)
        yield (
            f"As a registry, minionbench select chooses {best.version} by latency, decode rate, "
            f"verification and retrieval: {best.reasons[0]}."
            + (f" Tied with {tied}." if tied and tied not in best.reasons[0] else "")
        )


def marked(text: str, name: str) -> str:
    """HTML in which a name (HTML as well) is set off, where its figures follow it."""
    if not name:
        return text
    pattern = rf"(?<= ){re.escape(name)}(?=:| \()"
    return re.sub(pattern, lambda found: f"<strong>{found[0]}</strong>", text, count=1)


def candidates(scene: Scene) -> Table:
    """What stands behind each short name."""
    columns = tuple(
        Column(name, numeric)
        for name, numeric in (
            *(("candidate", False), ("run", False), ("deployment", False), ("model", False)),
            *(("remote model", False), ("protocol", False), ("weight format", False)),
            *(("reasoning", False), ("parameters", True), ("file, MB", True), ("engine", False)),
            ("notes", False),
        )
    )
    rows = []
    read = scene.read
    for names, run_name, run in zip(read.names, read.run_names, read.runs, strict=True):
        for name, candidate in zip(names, run.candidates, strict=True):
            factors = candidate.factors
            reasoning = factors.reasoning if factors else None
            said = (
                factors.deployment if factors else None,
                factors.model if factors else candidate.model_path,
                factors.remote_model if factors else None,
                factors.protocol if factors else None,
                candidate.quantization,
                "as the model likes" if reasoning is None else "on" if reasoning else "off",
            )
            rows.append(
                (
                    text_item(name, colour=scene.colours.get(name, "")),
                    text_item(run_name),
                    *(text_item(in_one_line(text or ABSENT)) for text in said),
                    count_item(candidate.parameter_count),
                    number_item(candidate.file_size_mb),
                    text_item(in_one_line((factors.engine if factors else None) or ABSENT)),
                    text_item(shortened(" ".join(candidate.notes), 300)),
                )
            )
    return Table("The candidates behind the names of this report.", columns, tuple(rows))


class FoundReason(NamedTuple):
    """Something a rule of validity found, and in which cells."""

    rule: str
    severity: str
    where: str
    message: str
    advice: str


def reasons(scene: Scene) -> list[FoundReason]:
    """What rules found, the gravest first; the same in several cells is one row."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for option in scene.read.options:
        for reason in option.cell.verdict.reasons:
            key = (reason.severity, reason.rule, reason.message, reason.advice or "")
            found.setdefault(key, []).append(f"{option.place.name} · {option.name}")
    order = {"invalid": 0, "suspect": 1, "note": 2}
    rows = [
        FoundReason(rule, severity, _where(cells, len(scene.read.options)), message, advice)
        for (severity, rule, message, advice), cells in found.items()
    ]
    rows.sort(key=lambda row: order[row.severity])
    return rows[:MOST_REASONS]


def _where(cells: list[str], of: int) -> str:
    return "every cell" if len(cells) == of > 1 else listed(cells, 4)


def not_measured(scene: Scene) -> list[tuple[str, str, str]]:
    """(metrics, why, where) of what has no value, failures first."""
    found: dict[tuple[bool, str], dict[str, dict[str, None]]] = {}
    places = 0
    for names, run in zip(scene.read.names, scene.read.runs, strict=True):
        for name, candidate in zip(names, run.candidates, strict=True):
            for where, metrics in (
                (name, candidate.metrics),
                *((f"{cell.workload.name} · {name}", cell.metrics) for cell in candidate.cells),
            ):
                places += 1
                for metric_name, metric in metrics.items():
                    if metric.value is None:
                        key = (metric.status != "error", why_absent(metric))
                        found.setdefault(key, {}).setdefault(metric_name, {})[where] = None
    rows = []
    for (harmless, why), by_metric in sorted(found.items(), key=lambda entry: entry[0][0]):
        wheres = dict.fromkeys(where for some in by_metric.values() for where in some)
        failed = "" if harmless else "error: "
        rows.append(
            (
                ", ".join(by_metric),
                f"{failed}{why}",
                "everywhere" if len(wheres) == places > 1 else listed(list(wheres), 3),
            )
        )
    return rows[:MOST_REASONS]
