"""The page: one HTML file with everything in it, that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

from minionbench.report.charts.scene import Scene
from minionbench.report.choice import Group, rule, words
from minionbench.report.drawing import inline, svg
from minionbench.report.figure import NARROW, WIDE, Figure
from minionbench.report.measures import title
from minionbench.report.palette import style_rules
from minionbench.report.reading import LONGEST_TEXT, Told
from minionbench.report.summary import (
    belief,
    candidates,
    circumstances,
    facts,
    heading,
    marked,
    not_measured,
    overall,
    reasons,
    registry_choice,
)
from minionbench.report.table import Column, Table, number_item, table_html, text_item
from minionbench.report.text import markup, number, shortened
from minionbench.units import number_of


def page(
    scene: Scene,
    figures: Sequence[Figure],
    refused: str | None,
    *,
    with_text: bool,
    with_plots: bool,
) -> Iterator[str]:
    """The page in pieces.

    `refused` is why runs cannot be compared; None where they were, or there is only one.
    `with_text` is whether prompts and answers are shown; without `with_plots` figures are tables.

    Raises SetupError where plots are wanted and what draws them is not installed.
    """
    style = style_rules() + _file("style.css")
    script = _file("sort.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    name = heading(scene)
    sections = list(_sections(scene, figures, refused, with_text=with_text, with_plots=with_plots))
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{markup(name)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#summary">Skip to the summary</a>\n'
    )
    yield _header(scene, name)
    links = "".join(f'<li><a href="#{key}">{markup(text)}</a></li>' for key, text, _ in sections)
    yield f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n<main>\n'
    for key, text, body in sections:
        label = f"{key}-heading"
        yield (
            f'<section id="{key}" aria-labelledby="{label}"><h2 id="{label}">{markup(text)}</h2>'
            f"{body}</section>\n"
        )
    yield f"</main>\n{_footer(scene)}<script>{script}</script>\n</body>\n</html>\n"


def _file(name: str) -> str:
    return files("minionbench.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """A piece of the page as the content policy names it."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _header(scene: Scene, name: str) -> str:
    return (
        f'<header><p class="brand">minionbench report</p><h1>{markup(name)}</h1>'
        f"{_pairs(facts(scene))}</header>\n"
    )


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"<div><dt>{markup(k)}</dt><dd>{markup(v)}</dd></div>" for k, v in pairs)
    return f"<dl>{lines}</dl>" if lines else ""


def _footer(scene: Scene) -> str:
    versions = sorted({run.metadata.program_version or "?" for run in scene.read.runs})
    return (
        "<footer><p>Made from the run documents alone, by minionbench "
        f"{markup(', '.join(versions))}. This file loads nothing and sends nothing.</p></footer>\n"
    )


def _sections(
    scene: Scene,
    figures: Sequence[Figure],
    refused: str | None,
    *,
    with_text: bool,
    with_plots: bool,
) -> Iterator[tuple[str, str, str]]:
    """(id, heading, HTML) of each section."""
    yield "summary", "Summary", _summary(scene, refused)
    for figure in figures:
        yield f"figure-{figure.key}", figure.title, _figure(figure, with_plots=with_plots)
    around = _pairs(circumstances(scene))
    yield "measured", "What was measured", table_html(candidates(scene)) + around
    yield "belief", "Why to believe it, and why not", _belief(scene)
    told = [
        (f"{option.place.name} · {option.name}", option.requests.told())
        for option in scene.read.options
        if option.requests is not None
    ]
    if any(requests for _, requests in told):
        yield "requests", "Requests to look at", _told(told, with_text=with_text)
    absent = not_measured(scene)
    if absent:
        yield "absent", "Not measured, and why", _absent(absent)


def _summary(scene: Scene, refused: str | None) -> str:
    tone, sentence = belief(scene)
    blocks = [f'<p class="verdict {tone}">{markup(sentence)}</p>']
    blocks += [_paragraph(note, "note") for note in scene.read.notes]
    if refused is not None:
        blocks.append(_paragraph(f"The runs stand side by side, uncompared. {refused}", "note"))
    total = overall(scene)
    if total:
        blocks.append(_paragraph(total, "lead"))
    chosen = [group for group in scene.groups if group.axes or group.out]
    if chosen:
        blocks.append(f'<ul class="choices">{"".join(map(_choice, chosen))}</ul>')
        rules = dict.fromkeys(
            rule(group) for group in chosen if len(group.options) > 1 and not group.is_repeated
        )
        blocks += [_paragraph(text, "method") for text in rules if text]
    for text in registry_choice(scene):
        blocks.append(_paragraph(text, "lead"))
    if not scene.read.options:
        blocks.append(_paragraph("No cell was measured.", "lead"))
    return "".join(blocks)


def _choice(group: Group) -> str:
    best = group.best
    plain = best is None or len(group.options) == 1 or group.is_repeated
    text = markup(words(group))
    if not plain and best is not None:
        cell = markup(shortened(best.option.cell.cell_id, 120))
        text = f"{marked(text, markup(best.option.name))} <small>Cell: {cell}</small>"
    return f"<li><b>{markup(group.name)}</b> {text}</li>"


def _paragraph(text: str, kind: str) -> str:
    return f'<p class="{kind}">{markup(text)}</p>'


def _figure(figure: Figure, *, with_plots: bool) -> str:
    plots = ""
    if with_plots:
        label = f"{figure.title}. {figure.finding}"
        wide, narrow = (inline(svg(figure.draw(room)), label) for room in (WIDE, NARROW))
        plots = f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'
    return (
        f"<figure>{plots}<figcaption><p>{markup(figure.finding)}</p>"
        f'<p class="method">{markup(figure.method)}</p></figcaption></figure>'
        f"{table_html(figure.table)}"
    )


def _belief(scene: Scene) -> str:
    rows = reasons(scene)
    if not scene.read.options:
        return _paragraph("No cell was measured, so that there was nothing to check.", "lead")
    if not rows:
        return _paragraph("Every rule that could be checked found nothing wrong.", "lead")
    columns = tuple(
        Column(name, wordy=name.startswith("what"))
        for name in ("rule", "gravity", "where", "what was found", "what to do")
    )
    items = tuple(
        (
            text_item(row.rule),
            text_item(
                row.severity, tone={"invalid": "bad", "suspect": "doubt"}.get(row.severity, "muted")
            ),
            text_item(row.where),
            text_item(row.message),
            text_item(row.advice),
        )
        for row in rows
    )
    return table_html(Table("What the rules of validity found.", columns, items))


def _absent(absent: Sequence[tuple[str, str, str]]) -> str:
    columns = (Column("metric"), Column("why", wordy=True), Column("where"))
    rows = tuple(
        (text_item(", ".join(map(title, names.split(", ")))), text_item(why), text_item(where))
        for names, why, where in absent
    )
    return table_html(Table("Metrics without a value.", columns, rows))


def _told(cells: Iterable[tuple[str, Sequence[Told]]], *, with_text: bool) -> str:
    cells = list(cells)
    columns = (
        Column("cell"),
        Column("why shown"),
        Column("request", True),
        Column("item"),
        Column("latency, s", True),
        Column("outcome"),
        Column("what went wrong", wordy=True),
    )
    rows = tuple(
        (
            text_item(name),
            text_item(one.why),
            number_item(float(one.number), str(one.number)),
            text_item(shortened(one.item_id, 60)),
            number_item(one.latency_s),
            text_item(one.outcome, tone="good" if one.outcome == "ok" else "bad"),
            text_item(shortened(one.failure or "", 300)),
        )
        for name, requests in cells
        for one in requests
    )
    body = table_html(
        Table("The first, the slowest and the first failed of each cell.", columns, rows)
    )
    if not with_text:
        return body + _paragraph("Prompts and answers were left out of this report.", "method")
    shown = [
        _exchange(name, one)
        for name, requests in cells[:MOST_TOLD]
        for one in requests
        if one.prompt is not None or one.answer is not None
    ]
    if not shown:
        return body + _paragraph("Prompts and answers were not kept by the run.", "method")
    more = (
        _paragraph(f"Of {len(cells)} cells those of the first {MOST_TOLD} are shown.", "method")
        if len(cells) > MOST_TOLD
        else ""
    )
    return f"{body}{more}{''.join(shown)}"


MOST_TOLD = 30
"""Cells whose requests are shown with prompts and answers."""


def _exchange(cell: str, one: Told) -> str:
    latency = "" if one.latency_s is None else f", {number(one.latency_s)} s"
    parts = [
        f'<h4>{label}</h4><pre tabindex="0">{markup(_cut(text))}</pre>'
        for label, text in (
            ("Prompt", one.prompt),
            ("Answer", one.answer),
            ("Expected", one.expected),
        )
        if text is not None
    ]
    return (
        f"<details><summary>{markup(cell)}: {markup(one.why)}, request {one.number}"
        f"{markup(latency)}</summary>{''.join(parts)}</details>"
    )


def _cut(text: str) -> str:
    """A text as far as it is shown: its beginning and its end, where questions stand."""
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    left = number_of(len(text) - 2 * half, "character")
    return f"{text[:half]}\n[… {left} left out …]\n{text[-half:]}"
