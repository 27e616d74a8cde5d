"""The verdict: whether the numbers of a cell are to be believed, and if not, why and what to do.

Each rule looks at one way in which a measurement goes wrong. It passes, or gives a reason with
the measured value, the limit and advice, or says that it could not be checked: what is unknown is
never taken for good. The worst reason is the verdict. A rule is a pure function of the cell's
records and of what the runner knows of the run.
"""

from __future__ import annotations

from minionbench.verdict.evidence import RunFacts
from minionbench.verdict.finding import NotChecked, Passed, Reason, Severity, Status
from minionbench.verdict.judge import Verdict, judge, worst

__all__ = [
    "NotChecked",
    "Passed",
    "Reason",
    "RunFacts",
    "Severity",
    "Status",
    "Verdict",
    "judge",
    "worst",
]
