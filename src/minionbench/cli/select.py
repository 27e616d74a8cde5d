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

if TYPE_CHECKING:
    from minionbench.registry import Activation
    from minionbench.select import Assessment, Score, Selection, Share

COLOURS = {"chosen": "green", "tied": "yellow"}


@click.command(name="select")
@click.argument("run", default="latest")
@click.option(
    "--weights",
    metavar="NAME=W,…",
    help="Names are metrics, or latency, throughput, cove, retrieval, quality (the two before), "
    "ram, vram; what is not named does not count.  "
    "[default: latency=1,throughput=1,cove=1,retrieval=1]",
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
    gates: tuple[str, ...],
    references: tuple[str, ...],
    worst_verdict: Any,
    promote: bool,
    registry: Path | None,
    output_dir: Path | None,
    form: str,
) -> int:
    """Choose the best model of a run.

    RUN is a run id, the path of a document, or `latest`. Each candidate gets a score between
    reference points, and the reason for its place. Leaves with 1 when no candidate comes into
    question.
    """
    from minionbench.select import (
        DEFAULT_WEIGHTS,
        Criteria,
        choose,
        parse_gate,
        parse_references,
        parse_weights,
        promote_choice,
    )
    from minionbench.store import load_run, runs_dir

    criteria = Criteria(
        weights=dict(DEFAULT_WEIGHTS) if weights is None else parse_weights(weights),
        gates=tuple(map(parse_gate, gates)),
        references=parse_references(references),
        worst_verdict=worst_verdict,
    )
    _, document = load_run(run, runs_dir(output_dir))
    selection = choose(document, criteria)
    activation = None
    if promote and selection.chosen is not None:
        activation = promote_choice(selection, chosen(registry))
    click.echo(FORMATS[form](selection, activation))
    if promote and activation is None:
        click.echo("minionbench: no candidate was chosen; nothing was promoted", err=True)
    return 0 if selection.chosen is not None else 1


def as_table(selection: Selection, activation: Activation | None) -> str:
    """For a person at a terminal."""
    return "\n".join(report(selection, activation, width()))


def report(selection: Selection, activation: Activation | None, columns: int) -> Iterator[str]:
    """The choice, a line per candidate, and the reasons."""
    yield click.style(selection.run_id, bold=True)
    for line in heading(selection):
        yield from wrapped(line, columns)
    yield ""
    if not selection.assessments:
        yield "No candidates."
        return
    rows = [["candidate", "score", "interval", "place"]]
    rows += [
        [one_line(one.version), *score_cells(one.score), str(one.standing)]
        for one in selection.assessments
    ]
    lines = list(aligned(rows, [False, True, True, False]))
    yield click.style(lines[0], bold=True)
    for line, one in zip(lines[1:], selection.assessments, strict=True):
        colour = COLOURS.get(one.standing)
        yield click.style(line, fg=colour) if colour else line
    for one in selection.assessments:
        yield ""
        yield click.style(one_line(one.version), bold=True)
        for reason in one.reasons:
            yield from wrapped(reason, columns, "  ", "    ")
        for share in one.score.shares if one.score else ():
            yield from wrapped(counted(share), columns, "    ", "      ")
        for note in one.notes:
            yield from wrapped(note, columns, "  Note: ", "    ")
    yield ""
    yield from wrapped(outcome(selection), columns)
    if activation is not None:
        yield from activated(activation)


def heading(selection: Selection) -> Iterator[str]:
    """By what was judged."""
    criteria = selection.criteria
    scales = criteria.scales
    parts = [
        f"{name} {weight:.3g} ({scales[name].zero:g} counts 0, {scales[name].one:g} counts 1)"
        for name, weight in criteria.shares.items()
    ]
    yield f"Score: {', '.join(parts)}."
    if criteria.gates:
        yield f"Gates: {', '.join(gate.text for gate in criteria.gates)}."
    yield from selection.notes


def score_cells(score: Score | None) -> list[str]:
    """A score and its interval as two cells."""
    if score is None:
        return [ABSENT, ""]
    return [f"{score.point:.3f}", f"{score.low:.3f}–{score.high:.3f}"]


def counted(share: Share) -> str:
    """What one metric brings to a score."""
    from minionbench.select.words import value

    said = value(share.figure, share.metric)
    return f"{share.metric} {said} counts {share.worth:.3f} × {share.weight:.3g}"


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
            "candidates": [plain(one) for one in selection.assessments],
            "promoted": None if activation is None else activation.version,
        },
        indent=2,
        ensure_ascii=False,
    )
    return escaped(document)


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
