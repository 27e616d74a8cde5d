"""Comparing: sides of runs held against each other, with intervals, tests and plain verdicts."""

from __future__ import annotations

from minionbench.compare.baseline import (
    Baseline,
    baseline_of,
    decoded_baseline,
    is_baseline,
    read_baseline,
    write_baseline,
)
from minionbench.compare.branch import BASELINE_NAME, BaselineBranch
from minionbench.compare.comparison import (
    CellComparison,
    Comparison,
    Side,
    Wanting,
    compare,
    pairs_wanted,
)
from minionbench.compare.conditions import Difference
from minionbench.compare.criteria import (
    Criteria,
    amount,
    check_metric,
    parse_thresholds,
    scale_of,
    share,
)
from minionbench.compare.earlier import earlier_runs
from minionbench.compare.judging import Answer, Verdict
from minionbench.compare.reading import Wanted
from minionbench.compare.sessions import (
    Arm,
    arm,
    believable_pairs,
    nothing_measured,
    run_session,
    side_of,
    turns,
)
from minionbench.compare.sides import candidates_of, check_apart, read_side

__all__ = [
    "BASELINE_NAME",
    "Answer",
    "Arm",
    "Baseline",
    "BaselineBranch",
    "CellComparison",
    "Comparison",
    "Criteria",
    "Difference",
    "Side",
    "Verdict",
    "Wanted",
    "Wanting",
    "amount",
    "arm",
    "baseline_of",
    "believable_pairs",
    "candidates_of",
    "check_apart",
    "check_metric",
    "compare",
    "decoded_baseline",
    "earlier_runs",
    "is_baseline",
    "nothing_measured",
    "pairs_wanted",
    "parse_thresholds",
    "read_baseline",
    "read_side",
    "run_session",
    "scale_of",
    "share",
    "side_of",
    "turns",
    "write_baseline",
]
