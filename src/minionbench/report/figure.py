"""A figure of a report: a plot for wide and for narrow pages, its words, and its table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from minionbench.report.drawing import Spec
from minionbench.report.table import Table


class Room(NamedTuple):
    """How much room a plot has."""

    width: int
    """Of the whole plot, in pixels."""
    narrow: bool
    """Whether panels have to stand below each other, and names have to be short."""

    @property
    def name_length(self) -> int:
        """Characters of a name beside a plot."""
        return 20 if self.narrow else 38


WIDE = Room(960, narrow=False)
NARROW = Room(344, narrow=True)
"""What is left of the narrowest telephone."""

Draw: TypeAlias = Callable[[Room], Spec]


class Figure(NamedTuple):
    """One plot with everything that belongs to it."""

    key: str
    """What `minionbench plot --what` calls it."""
    title: str
    finding: str
    """What there is to see, in words: for every reader, and instead of the plot for some."""
    method: str
    """Units, counts, intervals, and what was left out."""
    draw: Draw
    table: Table
