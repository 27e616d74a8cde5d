"""What every plot is made from: what was read, what is chosen, and who has which colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from minionbench.report.charts.drawn import REST, colours
from minionbench.report.choice import Group, groups
from minionbench.report.reading import Material, Option

Varied: TypeAlias = Literal["candidates", "loads", "workloads"]


class Scene(NamedTuple):
    """The report's material with what was concluded from it."""

    read: Material
    groups: tuple[Group, ...]
    colours: Mapping[str, str]
    """By a candidate's name the role of its colour."""

    @property
    def varied(self) -> Varied:
        """What tells the options of one plot apart."""
        return varied(self.read.options)

    def colour(self, option: Option) -> str:
        """The role of an option's colour."""
        return self.colours.get(self.series(option), REST)

    def series(self, option: Option) -> str:
        """What an option is called inside a plot."""
        return series(option, self.varied)

    def panel(self, option: Option) -> str:
        """What the plot is called that an option is in, beside others that it can be told from."""
        if self.varied == "candidates":
            return option.place.name
        return option.place.workload if self.varied == "loads" else ""

    def full_name(self, option: Option) -> str:
        """What an option is called where it stands for itself."""
        if self.varied != "candidates":
            return option.place.name
        return f"{option.place.name} · {option.name}"


def varied(options: Sequence[Option]) -> Varied:
    """What tells options of one plot apart: who, else under which load, else in which workload."""
    if len({option.name for option in options}) > 1:
        return "candidates"
    return "loads" if any(option.place.load for option in options) else "workloads"


def series(option: Option, by: Varied) -> str:
    """What an option is called beside those that it is to be told from."""
    if by == "candidates":
        return option.name
    return option.place.load or "" if by == "loads" else option.place.workload


def scene(read: Material) -> Scene:
    """The scene of what was read."""
    found = tuple(groups(read))
    by = varied(read.options)
    best = [series(one.option, by) for group in found for one in group.ranked[:1]]
    ordered = [
        option
        for group in found
        for option in (*(one.option for one in group.ranked), *(one for one, _ in group.out))
    ]
    names = [series(option, by) for option in (*ordered, *read.options)]
    return Scene(read, found, colours(names, best))
