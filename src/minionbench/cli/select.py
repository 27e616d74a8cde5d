"""`minionbench select`: the best candidate of a run, and the reason for each one's place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minionbench.cli.output import folder_option, markdown_row
from minionbench.cli.registry import activated, chosen, one_line
from minionbench.cli.table import ABSENT
from minionbench.cli.text import aligned, escaped, printable, width, wrapped
from minionbench.errors import UsageError

if TYPE_CHECKING:
    from minionbench.registry import Activation
    from minionbench.select import Assessment, Score, Selection

COLOURS = {"chosen": "green", "tied": "yellow"}
MOST_IN_DETAIL = 8
"""Options whose figures are told one by one."""
MOST_NAMED = 2
"""Options that one cell of a table names."""


@click.command(name="select")
@click.argument("run", default="latest")
@click.option(
    "--weights",
    metavar="NAME=W,…",
    help="Names are metrics, WORKLOAD.METRIC, or short ones: latency, throughput, quality, ram, "
    "vram; of models cove, retrieval; of deployments ttft, goodput, accuracy, cost, energy. What "
    "is not named does not count.  [default: of models latency, throughput, cove, retrieval; of "
    "deployments latency, accuracy, cost, as far as known]",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME,…",
    help="Judge by these alone, all with the same weight.",
)
@click.option(
    "-w",
    "--workload",
    "workloads",
    multiple=True,
    metavar="NAME,…",
    help="Judge by the cells of these workloads alone.  [default: all of a sweep's]",
)
@click.option(
    "--load",
    "loads",
    multiple=True,
    metavar="LOAD,…",
    help="Judge by the cells of these loads alone: c4 for four streams, r2.5 for 2.5 requests per "
    "second.",
)
@click.option(
    "--require",
    "gates",
    multiple=True,
    metavar="GATE",
    help="A condition such as 'cove_pass_rate>=90'; may be given again.",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="METRIC=ZERO:ONE",
    help="The values that count 0 and 1, such as latency_ms=5000:50; may be given again.",
)
@click.option(
    "--worst-verdict",
    type=click.Choice(["valid", "suspect", "invalid"]),
    default="suspect",
    show_default=True,
    help="The worst verdict with which a candidate may be chosen.",
)
@click.option(
    "--promote",
    is_flag=True,
    help="Make the chosen model the active one of the registry.",
)
@click.option(
    "--registry",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where it is promoted.  [default: in the state directory]",
)
@folder_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "md"]),
    default="table",
    show_default=True,
    help="How to print the result: for people (table, md) or for programs.",
)
def command(
    run: str,
    weights: str | None,
    metrics: tuple[str, ...],
    workloads: tuple[str, ...],
    loads: tuple[str, ...],
    gates: tuple[str, ...],
    references: tuple[str, ...],
    worst_verdict: Any,
    promote: bool,
    registry: Path | None,
    output_dir: Path | None,
    form: str,
) -> int:
    """Choose the best model or deployment of a run.

    RUN is a run id, the path of a document, or `latest`. Each candidate gets a score between
    reference points, and the reason for its place: models of a registry by their own metrics,
    deployments by those of their cells. Leaves with 1 when no candidate comes into question.
    """
    import msgspec

    from minionbench.select import (
        Criteria,
        choose,
        parse_gate,
        parse_references,
        parse_weights,
        promote_choice,
        short_names,
    )
    from minionbench.store import load_run, runs_dir

    if metrics and weights is not None:
        raise UsageError("--metric weighs all metrics the same, --weights each: give one of them")
    criteria = Criteria(
        gates=tuple(map(parse_gate, gates)),
        references=parse_references(references),
        worst_verdict=worst_verdict,
        workloads=listed(workloads),
        loads=listed(loads),
    )
    if metrics:
        weights = ",".join(f"{name}=1" for name in listed(metrics))
    _, document = load_run(run, runs_dir(output_dir))
    if weights is not None:
        named = parse_weights(weights, short_names(document, criteria))
        criteria = msgspec.structs.replace(criteria, weights=named)
    selection = choose(document, criteria)
    activation = None
    if promote and selection.chosen is not None:
        activation = promote_choice(selection, chosen(registry))
    click.echo(FORMATS[form](selection, activation))
    if promote and activation is None:
        click.echo("minionbench: no candidate was chosen; nothing was promoted", err=True)
    return 0 if selection.chosen is not None else 1


def listed(values: tuple[str, ...]) -> tuple[str, ...]:
    """`decode,prefill` as two names."""
    names = (name.strip() for value in values for name in value.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def as_table(selection: Selection, activation: Activation | None) -> str:
    """For a person at a terminal."""
    return "\n".join(report(selection, activation, width()))


def report(selection: Selection, activation: Activation | None, columns: int) -> Iterator[str]:
    """The choice, a line per candidate, and the reasons."""
    from minionbench.select.words import counted

    yield click.style(selection.run_id, bold=True)
    for line in heading(selection):
        yield from wrapped(line, columns)
    yield ""
    if not selection.assessments:
        yield "No candidates."
        return
    rows = [["candidate", "score", "interval", "place", "front"]]
    rows += [
        [
            one_line(one.version),
            *score_cells(one.score),
            str(one.standing),
            "yes" if one.on_front else "",
        ]
        for one in selection.assessments
    ]
    lines = list(aligned(rows, [False, True, True, False, False]))
    yield click.style(lines[0], bold=True)
    for line, one in zip(lines[1:], selection.assessments, strict=True):
        colour = COLOURS.get(one.standing)
        yield click.style(line, fg=colour) if colour else line
    if selection.parts:
        yield ""
        yield from aligned([["over", "chosen", "tied with"], *parts(selection)], [False] * 3)
    detailed = detail(selection)
    for one in selection.assessments:
        yield ""
        yield click.style(one_line(one.version), bold=True)
        for reason in one.reasons:
            yield from wrapped(reason, columns, "  ", "    ")
        if one not in detailed:
            continue
        for line in counted(one.score.shares) if one.score else ():
            yield from wrapped(line, columns, "    ", "      ")
        for note in one.notes:
            yield from wrapped(note, columns, "  Note: ", "    ")
    left = [one for one in selection.assessments if one.score and one not in detailed]
    if left:
        yield ""
        yield from wrapped(
            f"What counts of the other {len(left)} with a score is in --format json.", columns
        )
    yield ""
    yield from wrapped(outcome(selection), columns)
    if activation is not None:
        yield from activated(activation)


def detail(selection: Selection) -> list[Assessment]:
    """Those of whom everything is said: of many deployments the chosen one and those tied."""
    everyone = list(selection.assessments)
    if len(everyone) <= MOST_IN_DETAIL:
        return everyone
    return [one for one in everyone if one.standing in COLOURS][:MOST_IN_DETAIL]


def parts(selection: Selection) -> Iterator[list[str]]:
    """The choice over each workload, and under each load, as cells of a table."""
    for name, part in selection.parts:
        best = part.chosen
        tied = [one_line(one.version) for one in part.tied]
        more = f" and {len(tied) - MOST_NAMED} more" if len(tied) > MOST_NAMED else ""
        yield [
            one_line(name),
            ABSENT if best is None else one_line(best.version),
            ", ".join(tied[:MOST_NAMED]) + more,
        ]


def heading(selection: Selection) -> Iterator[str]:
    """By what was judged."""
    criteria = selection.criteria
    scales = criteria.scales
    parts = [
        f"{name} {weight:.3g} ({scales[name].zero:g} counts 0, {scales[name].one:g} counts 1)"
        for name, weight in criteria.shares.items()
    ]
    yield f"Score: {', '.join(parts)}."
    if selection.by_cells:
        yield "A weight is shared equally by the workloads, and by the loads of each."
    if criteria.gates:
        yield f"Gates: {', '.join(gate.text for gate in criteria.gates)}."
    yield from selection.notes


def score_cells(score: Score | None) -> list[str]:
    """A score and its interval as two cells."""
    if score is None:
        return [ABSENT, ""]
    return [f"{score.point:.3f}", f"{score.low:.3f}–{score.high:.3f}"]


def outcome(selection: Selection) -> str:
    """The choice in a sentence."""
    best = selection.chosen
    if best is None:
        return "No candidate comes into question."
    if selection.tied:
        names = ", ".join(one.version for one in selection.tied)
        return f"Chosen: {best.version}, by a rule: within the intervals it is tied with {names}."
    return f"Chosen: {best.version}."


def as_markdown(selection: Selection, activation: Activation | None) -> str:
    """A table to paste into an issue or a page."""
    lines = [f"**{outcome(selection)}** ({selection.run_id})", ""]
    lines += [line for said in heading(selection) for line in (printable(said), "")]
    lines.append(markdown_row(["candidate", "score", "interval", "place", "why"]))
    lines.append(markdown_row(["---", "---:", "---:", "---", "---"]))
    for one in selection.assessments:
        why = "; ".join((*one.reasons, *one.notes))
        lines.append(markdown_row([one.version, *score_cells(one.score), str(one.standing), why]))
    if selection.parts:
        lines += ["", markdown_row(["over", "chosen", "tied with"]), markdown_row(["---"] * 3)]
        lines += map(markdown_row, parts(selection))
    if activation is not None:
        lines += ["", *activated(activation)]
    return "\n".join(lines)


def as_json(selection: Selection, activation: Activation | None) -> str:
    """For a program; the exit code says the same as `chosen`."""
    criteria = selection.criteria
    best = selection.chosen
    document = json.dumps(
        {
            "run_id": selection.run_id,
            "chosen": None if best is None else best.version,
            "tied_with": [one.version for one in selection.tied],
            "weights": criteria.shares,
            "references": {
                name: {"zero": scale.zero, "one": scale.one, "log": scale.log}
                for name, scale in criteria.scales.items()
            },
            "gates": [gate.text for gate in criteria.gates],
            "worst_verdict": criteria.worst_verdict,
            "notes": list(selection.notes),
            "workloads": list(criteria.workloads),
            "loads": list(criteria.loads),
            "candidates": [plain(one) for one in selection.assessments],
            "over": {name: short(part) for name, part in selection.parts},
            "promoted": None if activation is None else activation.version,
        },
        indent=2,
        ensure_ascii=False,
    )
    return escaped(document)


def short(selection: Selection) -> dict[str, Any]:
    """A choice over a part of the cells, for a program."""
    best = selection.chosen
    return {
        "chosen": None if best is None else best.version,
        "tied_with": [one.version for one in selection.tied],
        "pareto_front": [one.version for one in selection.front],
        "scores": {
            one.version: None if one.score is None else one.score.point
            for one in selection.assessments
        },
    }


def plain(assessment: Assessment) -> dict[str, Any]:
    """What is to be said of a candidate, for a program."""
    score = assessment.score
    return {
        "version": assessment.version,
        "standing": str(assessment.standing),
        "score": None
        if score is None
        else {
            "value": score.point,
            "low": score.low,
            "high": score.high,
            "shares": {
                share.metric: {
                    "weight": share.weight,
                    "value": share.figure.value,
                    "low": share.figure.low,
                    "high": share.figure.high,
                    "worth": share.worth,
                }
                for share in score.shares
            },
        },
        "on_pareto_front": assessment.on_front,
        "reasons": list(assessment.reasons),
        "notes": list(assessment.notes),
    }


FORMATS = {"table": as_table, "json": as_json, "md": as_markdown}
