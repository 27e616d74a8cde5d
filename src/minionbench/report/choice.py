"""Which cell to choose: of each workload the options held against each other, in words.

Options are compared where the same was asked in the same way: one workload under one load. What
counts is what every believable option has a value for, of quality, time, cost and energy. Each
counts equally, on the scales of `minionbench select`, and whoever another one dominates is out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minionbench.report.measures import bounded, said, title, unit_of, why_absent
from minionbench.report.reading import Material, Option
from minionbench.report.text import listed
from minionbench.select import REFERENCES, Score
from minionbench.select.score import score
from minionbench.units import number_of

AXES: dict[str, tuple[str, ...]] = {
    "quality": ("accuracy_pct", "cove_pass_rate", "retrieval_score"),
    "time": ("total_latency_s", "response_time_s"),
    "cost": ("cost_usd",),
    "energy": ("energy_wh_per_request", "energy_j_per_token", "energy_wh"),
}
"""What is asked of an option, each with the metrics that can tell it, the best first."""


class Ranked(NamedTuple):
    """An option that came into question."""

    option: Option
    score: Score
    on_front: bool
    """Whether none of the others is no worse in anything and surely better in something."""


class Group(NamedTuple):
    """The options of one workload under one load, and which of them to choose."""

    name: str
    options: tuple[Option, ...]
    axes: tuple[str, ...]
    """The metrics that counted."""
    ranked: tuple[Ranked, ...]
    """The best first."""
    out: tuple[tuple[Option, str], ...]
    """Those that did not come into question, and why."""
    silent: tuple[str, ...]
    """Of what is asked, what not every option has a value for, in words."""

    @property
    def is_repeated(self) -> bool:
        """Whether all options are the same thing, measured in several runs."""
        things = {repr((o.candidate.version, o.candidate.factors)) for o in self.options}
        return len(things) == 1 and len({o.run for o in self.options}) == len(self.options) > 1

    @property
    def best(self) -> Ranked | None:
        """The one with the highest score; None where none came into question."""
        return self.ranked[0] if self.ranked else None

    @property
    def tied(self) -> tuple[Ranked, ...]:
        """Those whose interval of the score reaches the best one's."""
        if not self.ranked:
            return ()
        best = self.ranked[0]
        return tuple(
            one for one in self.ranked[1:] if one.on_front and one.score.high >= best.score.low
        )


def groups(read: Material) -> list[Group]:
    """The options of each workload under each load, in the order of the documents."""
    found: dict[tuple[str, str | None], list[Option]] = {}
    for option in read.options:
        if any(option.value(name) is not None for name in _ASKED) or _is_timed(option):
            found.setdefault(option.place, []).append(option)
    return [_group(options) for options in found.values()]


def _is_timed(option: Option) -> bool:
    metric = option.metric("total_latency_s")
    return metric is not None and metric.status == "error"


_ASKED = tuple(name for names in AXES.values() for name in names)


def _group(options: Sequence[Option]) -> Group:
    out: list[tuple[Option, str]] = []
    believed = []
    for option in options:
        verdict = option.cell.verdict
        if verdict.status == "invalid":
            rules = [one.rule for one in verdict.reasons if one.severity == "invalid"]
            out.append((option, f"not to be believed: {', '.join(dict.fromkeys(rules))}"))
        elif failed := _failed(option):
            out.append((option, failed))
        elif all(option.value(name) is None for name in _ASKED):
            out.append((option, "nothing of it could be measured"))
        else:
            believed.append(option)
    axes, silent = _axes(believed)
    shares = {name: 1 / len(axes) for name in axes}
    scores = []
    for option in believed:
        figures = {name: bounded(option.metric(name)) for name in axes}
        known = {name: value for name, value in figures.items() if value is not None}
        scores.append((option, score(known, shares, REFERENCES)))
    ranked = [
        Ranked(option, own, not any(other.dominates(own) for _, other in scores))
        for option, own in scores
    ]
    ranked.sort(key=lambda one: (not one.on_front, -one.score.point, one.option.name))
    return Group(
        name=options[0].place.name,
        options=tuple(options),
        axes=tuple(axes),
        ranked=tuple(ranked) if axes else (),
        out=tuple(out),
        silent=tuple(silent),
    )


def _failed(option: Option) -> str:
    """Why an option has no time or quality although it should; empty where it has, or need not."""
    for name in (*AXES["time"], *AXES["quality"]):
        metric = option.metric(name)
        if metric is not None and metric.status == "error":
            return f"no {title(name)}: {why_absent(metric)}"
    return ""


def _axes(believed: Sequence[Option]) -> tuple[list[str], list[str]]:
    """The metrics that every option has, and what has to be left out, in words."""
    axes: list[str] = []
    silent: list[str] = []
    for axis, names in AXES.items():
        held = [name for name in names if name in REFERENCES]
        whole = [n for n in held if believed and all(o.value(n) is not None for o in believed)]
        if whole:
            axes.append(whole[0])
            continue
        some = max((sum(o.value(n) is not None for o in believed) for n in held), default=0)
        silent.append(f"{axis} ({_known(some, len(believed))})")
    return axes, silent


def _known(some: int, of: int) -> str:
    return "not measured" if some == 0 else f"known of {some} of {number_of(of, 'option')}"


def words(group: Group) -> str:
    """The choice in a sentence or two."""
    if len(group.options) == 1:
        return f"{_figures(group.options[0], group)}."
    best = group.best
    if best is not None and group.is_repeated:
        runs = [f"{one.name}: {_figures(one, group)}" for one in group.options]
        return f"The same in {number_of(len(runs), 'run')}. {'; '.join(runs[:4])}."
    if best is None:
        whose = listed([f"{option.name} ({why})" for option, why in group.out], 4)
        return f"No option comes into question: {whose}."
    if len(group.tied) == len(group.options) - 1:
        many = "both" if len(group.options) == 2 else f"all {len(group.options)}"
        return (
            f"The highest score has {best.option.name}: {_figures(best.option, group)}. It is no "
            f"clear choice: within the intervals {many} are as good, and more items would tell "
            "them apart."
        )
    text = f"Choose {_named(best.option, group)}: {_figures(best.option, group)}."
    if group.tied:
        names = listed([one.option.name for one in group.tied], 4)
        text += f" Within the intervals it is tied with {names}."
    elif len(group.ranked) == 2:
        text += " It is ahead of the other one beyond the intervals"
        text += f", {_next(group.ranked[1].option, group)}."
    elif len(group.ranked) > 2:
        text += f" It is ahead of all {len(group.ranked) - 1} others beyond the intervals; next is "
        text += f"{_next(group.ranked[1].option, group)}."
    return text


def _named(option: Option, group: Group) -> str:
    """An option by its name, and by where it runs where that differs."""
    kinds = {one.candidate.factors.deployment for one in group.options if one.candidate.factors}
    factors = option.candidate.factors
    if factors is None or len(kinds) < 2 or factors.deployment in option.name:
        return option.name
    return f"{option.name} ({factors.deployment})"


def _next(option: Option, group: Group) -> str:
    """The one that comes after the best, with its figures alone."""
    figures = [
        f"{title(name)} {unit_of(name, _values(name, group)).said(value)}"
        for name in group.axes
        if (value := option.value(name)) is not None
    ]
    return f"{_named(option, group)} with {listed(figures)}"


def _values(name: str, group: Group) -> list[float | None]:
    return [option.value(name) for option in group.options]


def _figures(option: Option, group: Group) -> str:
    parts = []
    for name in group.axes:
        unit = unit_of(name, _values(name, group))
        parts.append(f"{title(name)} {said(option.metric(name), unit)}")
    return ", ".join(parts) or "nothing of it could be measured"


def rule(group: Group) -> str:
    """By what was chosen; empty where nothing was."""
    if not group.axes:
        return ""
    text = f"Counted, equally: {listed([title(name) for name in group.axes])}"
    text += ", on the scales of minionbench select."
    if group.silent:
        text += f" Left out: {listed(list(group.silent))}."
    return text
