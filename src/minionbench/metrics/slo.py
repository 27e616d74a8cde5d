"""Service-level objectives: whether one request was answered quickly enough, and how many were.

An objective is a predicate on one record. What failed, or ended without an answer, does not meet
it. In an open loop its clock starts at the planned instant, since that is when a user begins to
wait; in a closed loop, whose next request waits for an answer, at the sending.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from minionbench.errors import UsageError
from minionbench.metrics import record as whole
from minionbench.metrics.request import Absence, NegativeInterval
from minionbench.metrics.value import MetricValue, error, estimated, skipped
from minionbench.records import RequestRecord
from minionbench.stats import LEVEL, proportion_estimate
from minionbench.units import number_of, seconds

ATTAINMENT, GOODPUT = "slo_attainment_pct", "goodput_per_sec"
NO_OBJECTIVE = "no service-level objective was given"

_NOT_MET = (Absence.FAILED, Absence.ABSTAINED, Absence.NO_TOKEN, Absence.NO_VISIBLE_TOKEN)
"""Without what was waited for no limit on its time is kept."""
_NOTHING_TO_WAIT_FOR = (Absence.TOO_SHORT, Absence.AT_ONCE)
"""Of an answer of one token, or of one piece, no token came late after the first."""


class Objective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The longest that a good request may take, in seconds; None where that does not matter.

    Raises UsageError for limits that are no time, and where there is none at all.
    """

    ttft_s: float | None = None
    """To the first generated token of any kind."""
    ttfo_s: float | None = None
    """To the first visible token."""
    tpot_s: float | None = None
    """Per output token after the first."""
    latency_s: float | None = None
    """To the last token: in an open loop the response time, in a closed one the total latency."""

    def __post_init__(self) -> None:
        if not self.limits:
            raise UsageError("A service-level objective needs a limit, as in ttft:200")
        for name, limit in self.limits.items():
            if not 0 < limit < math.inf:
                raise UsageError(f"The objective of {limit:g} s for {name} is no time")

    @property
    def limits(self) -> dict[str, float]:
        """The limits that there are, by name, in seconds."""
        return {
            name: limit
            for name in self.__struct_fields__
            if (limit := getattr(self, name)) is not None
        }

    def met_by(self, record: RequestRecord, *, from_planned: bool) -> bool | Absence:
        """Whether a request meets it; why that is not known where it is not.

        `from_planned` is whether the clock starts at the planned instant, as in an open loop.
        """
        unknown: Absence | None = None
        for name, limit in self.limits.items():
            value = _OBSERVED[name].or_absence(record)
            if value is Absence.CENSORED:
                return value
            if isinstance(value, Absence):
                if value in _NOT_MET:
                    return False
                if value not in _NOTHING_TO_WAIT_FOR:
                    unknown = value
                continue
            if from_planned and name != "tpot_s":
                value += _start_after_planned_s(record)
            if value > limit:
                return False
        return unknown or True


_OBSERVED = {
    "ttft_s": whole.ttft_s,
    "ttfo_s": whole.ttfo_s,
    "tpot_s": whole.tpot_s,
    "latency_s": whole.total_latency_s,
}


def _start_after_planned_s(record: RequestRecord) -> float:
    sent_ns = whole.sent_ns(record)
    assert sent_ns is not None  # it has an answer
    if sent_ns < record.planned_ns:
        raise NegativeInterval("a request was sent before its planned instant")
    return seconds(sent_ns - record.planned_ns)


class Judged:
    """The measured requests of a cell, held against an objective."""

    def __init__(
        self, objective: Objective, records: Sequence[RequestRecord], *, from_planned: bool
    ) -> None:
        """Raises NegativeInterval where instants contradict each other."""
        self._objective = objective
        self._from_planned = from_planned
        self._met: dict[int, bool] = {}
        """By the identity of each record that could be judged."""
        self._of_item: dict[str, list[bool]] = {}
        self.left_out = 0
        """Requests that the end of the run cut off or left unsent."""
        self.unknown: list[Absence] = []
        """Why it is not known of a request."""
        for record in records:
            met = objective.met_by(record, from_planned=from_planned)
            if met is Absence.CENSORED:
                self.left_out += 1
            elif isinstance(met, Absence):
                self.unknown.append(met)
            else:
                self._met[id(record)] = met
                self._of_item.setdefault(record.item_id, []).append(met)

    def good(self, records: Sequence[RequestRecord]) -> int:
        """How many of these records meet it."""
        return sum(self._met.get(id(record), False) for record in records)

    @property
    def about(self) -> dict[str, Any]:
        """What a metric's metadata has to say of the objective."""
        return {
            "objective": self._objective.limits,
            "clock": "from the planned instant" if self._from_planned else "from the sending",
        }

    @property
    def why_unknown(self) -> str | None:
        """Why no share can be given; None where it can: to leave such requests out would select."""
        if not self.unknown:
            return None
        total = len(self.unknown) + len(self._met)
        most = max(set(self.unknown), key=self.unknown.count)
        return f"{len(self.unknown)} of {number_of(total, 'request')}: {most.value}"

    def attainment(self, level: float = LEVEL) -> MetricValue:
        """The share of requests that meet it, in percent; failed ones are in the denominator.

        The interval's unit is the item: repeats of one are alike.
        """
        reason = self.why_unknown
        if reason is None and not self._met:
            reason = "no request was measured"
        if reason is not None:
            return skipped(ATTAINMENT, reason, **self.about)
        shares = [sum(met) / len(met) for met in self._of_item.values()]
        estimate = proportion_estimate(math.fsum(shares), len(shares), level)
        scaled = {
            end: None if (value := getattr(estimate, end)) is None else 100 * value
            for end in ("point", "low", "high")
        }
        return estimated(
            ATTAINMENT,
            msgspec.structs.replace(estimate, **scaled),
            **self.about,
            requests=len(self._met),
            good=sum(self._met.values()),
            left_out={Absence.CENSORED.value: self.left_out} if self.left_out else {},
        )


def without_objective() -> dict[str, MetricValue]:
    """The metrics of an objective where there is none."""
    return {name: skipped(name, NO_OBJECTIVE) for name in (GOODPUT, ATTAINMENT)}


def contradicting(message: str) -> dict[str, MetricValue]:
    """The metrics of an objective where no clock can be believed."""
    return {name: error(name, message) for name in (GOODPUT, ATTAINMENT)}


NAMES: Mapping[str, str] = {
    "ttft": "ttft_s",
    "ttfo": "ttfo_s",
    "tpot": "tpot_s",
    "latency": "latency_s",
    "e2el": "latency_s",
}
"""What a limit may be called on a command line; `e2el` is vLLM's name."""


def parse_objective(texts: Sequence[str]) -> Objective | None:
    """Limits such as `ttft:200`, in milliseconds; None where there are none.

    Raises UsageError for what is no limit.
    """
    limits: dict[str, float] = {}
    for text in texts:
        name, _, number = text.strip().partition(":")
        field = NAMES.get(name.strip().lower())
        if field is None:
            raise UsageError(
                f"There is no service-level objective {text!r}; there are ttft, ttfo, tpot and "
                "latency, in milliseconds, as in ttft:200"
            )
        try:
            limit_ms = float(number)
        except ValueError:
            raise UsageError(
                f"The objective {text!r} names no time; give milliseconds, as in {name}:200"
            ) from None
        if field in limits:
            raise UsageError(f"The objective for {name} is given twice")
        limits[field] = limit_ms / 1_000
    return Objective(**limits) if limits else None
