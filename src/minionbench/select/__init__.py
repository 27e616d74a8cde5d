"""Choosing a candidate of a run: gates, a score between named reference points, and the reasons."""

from __future__ import annotations

from minionbench.select.choice import Assessment, Selection, Standing, choose
from minionbench.select.contest import holds_deployments, is_by_cells, short_names
from minionbench.select.criteria import (
    DEFAULT_WEIGHTS,
    Criteria,
    Gate,
    WorstVerdict,
    parse_gate,
    parse_references,
    parse_weights,
)
from minionbench.select.place import Place
from minionbench.select.promotion import promote_choice
from minionbench.select.scale import REFERENCES, Scale
from minionbench.select.score import Figure, Score, Share

__all__ = [
    "DEFAULT_WEIGHTS",
    "REFERENCES",
    "Assessment",
    "Criteria",
    "Figure",
    "Gate",
    "Place",
    "Scale",
    "Score",
    "Selection",
    "Share",
    "Standing",
    "WorstVerdict",
    "choose",
    "holds_deployments",
    "is_by_cells",
    "parse_gate",
    "parse_references",
    "parse_weights",
    "promote_choice",
    "short_names",
]
