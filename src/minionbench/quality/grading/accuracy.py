"""Accuracy: how many of a cell's answers are right. A pure function of its records.

In the denominator is every request that came to its end and whose right answer is known: also
those that failed, abstained, answered nothing or nothing readable. To refuse an answer never
improves a figure; how the answered ones alone did stands beside it. Left out, and counted, are
requests that the end of the run cut off, those without a known answer or with one that no fixed
rule can judge, and those whose texts were not kept.

An item that is asked again gives no new information at temperature 0. The figure is therefore the
mean over items of the share of its requests that are right, and the interval is Wilson's with the
number of items, the shares summed as successes. Where an item's share is neither 0 nor 1 that is
wider than need be, never narrower: no variable between 0 and 1 spreads more than yes and no do.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from minionbench.exchange import Outcome
from minionbench.metrics.cell import all_failed
from minionbench.metrics.value import MetricValue, error, estimated, skipped
from minionbench.quality.bootstrap import percent
from minionbench.quality.grading.catalog import grader_of
from minionbench.quality.grading.final import visible
from minionbench.quality.grading.judgement import Grader
from minionbench.records import RequestRecord
from minionbench.stats import LEVEL, proportion_estimate

METRIC = "accuracy_pct"
MOST_LISTED = 10_000
"""Items that are not all right, up to which the metadata lists them."""

_CUT_OFF = (Outcome.CUT, Outcome.NOT_SENT)


class Fate(StrEnum):
    """What became of a request whose right answer is known. Only `RIGHT` is right."""

    RIGHT = "right"
    WRONG = "wrong"
    UNREAD = "unread"
    """Nothing in the answer could be read as what was asked for."""
    EMPTY = "empty"
    """The answer holds nothing but white space or reasoning."""
    ABSTAINED = "abstained"
    """The deployment gave no answer."""
    FAILED = "failed"


class LeftOut(StrEnum):
    """Why a request cannot be judged, whatever it answered."""

    CUT_OFF = "cut off by the end of the run"
    NOT_KEPT = "the texts were not kept, so the answers cannot be judged"
    NO_REFERENCE = "no right answer is known"
    FORCED = "the length of the answers was forced, so they do not end where the model would"


class Judged(NamedTuple):
    """One request, judged."""

    record: RequestRecord
    fate: Fate
    grader: Grader
    read: str | None
    """What was taken for the answer; None where nothing was."""
    why: str | None


def judge_record(record: RequestRecord, grader: Grader | None = None) -> Judged | str:
    """What became of a request, or why it cannot be judged.

    `grader` None takes the one that belongs to the reference.
    """
    if record.outcome in _CUT_OFF:
        return LeftOut.CUT_OFF.value
    if record.forced_output_tokens is not None:
        return LeftOut.FORCED.value
    reference = record.reference
    if reference is None:
        # Where texts are not kept neither are references: a prompt tells the two apart.
        kept = any(call.prompt is not None for call in record.calls)
        return (LeftOut.NO_REFERENCE if kept or not record.calls else LeftOut.NOT_KEPT).value
    chosen = grader or grader_of(reference, record.item_id)
    impossible = chosen.judge("", reference)
    if impossible.grade is None:
        return impossible.why or LeftOut.NO_REFERENCE.value
    if not record.ok:
        return Judged(record, Fate.FAILED, chosen, None, None)
    if record.answer is None:
        if record.abstained is None:
            return LeftOut.NOT_KEPT.value
        return Judged(record, Fate.ABSTAINED, chosen, None, record.abstained)
    if not visible(record.answer).strip():
        return Judged(record, Fate.EMPTY, chosen, None, None)
    judgement = chosen.judge(record.answer, reference, cut=_cut_at_limit(record))
    assert judgement.grade is not None
    fate = Fate(judgement.grade.value)
    return Judged(record, fate, chosen, judgement.read, judgement.why)


def _cut_at_limit(record: RequestRecord) -> bool:
    if record.answer_call is None:
        return False
    return record.calls[record.answer_call].reply.cut_at_limit


class Judgements:
    """The judged requests of a cell, and why the others were left out."""

    def __init__(self, records: Sequence[RequestRecord], grader: Grader | None = None) -> None:
        """Only measured records count; `grader` None takes the one of each reference."""
        self.judged: list[Judged] = []
        self.left_out: Counter[str] = Counter()
        for record in records:
            if record.phase != "measured":
                continue
            judged = judge_record(record, grader)
            if isinstance(judged, Judged):
                self.judged.append(judged)
            else:
                self.left_out[judged] += 1

    @property
    def fates(self) -> Counter[Fate]:
        """How many requests became what."""
        return Counter(one.fate for one in self.judged)

    def shares(self, *, answered: bool = False) -> dict[str, float]:
        """Each item's share of right requests; of the answered ones only, where asked for."""
        items: dict[str, list[bool]] = {}
        for one in self.judged:
            if not answered or one.fate is not Fate.FAILED:
                items.setdefault(one.record.item_id, []).append(one.fate is Fate.RIGHT)
        return {item: sum(right) / len(right) for item, right in items.items()}

    def metadata(self) -> dict[str, Any]:
        """The counts that go with the figure."""
        fates = self.fates
        shares = self.shares()
        not_right = {item: share for item, share in shares.items() if share < 1}
        answered = list(self.shares(answered=True).values())
        return {
            "graders": sorted({one.grader.label for one in self.judged}),
            "requests": len(self.judged),
            **{fate.value: fates[fate] for fate in Fate},
            "cut_at_limit": sum(_cut_at_limit(one.record) for one in self.judged),
            "repeats": len({one.record.repeat for one in self.judged}),
            "of_answered": {
                "value": 100 * math.fsum(answered) / len(answered) if answered else None,
                "items": len(answered),
            },
            "left_out": dict(self.left_out.most_common()),
            "not_right": not_right if len(not_right) <= MOST_LISTED else None,
        }


def accuracy(
    records: Sequence[RequestRecord], grader: Grader | None = None, *, level: float = LEVEL
) -> MetricValue:
    """`accuracy_pct` of a cell, with its Wilson interval over items and what went into it.

    `grader` None lets each answer be judged by the grader of its reference. Skipped where no
    answer can be judged, an error where every request failed.
    """
    judgements = Judgements(records, grader)
    return value_of(judgements, level)


def value_of(judgements: Judgements, level: float = LEVEL) -> MetricValue:
    """The metric of what was judged."""
    if not judgements.judged:
        left_out = dict(judgements.left_out.most_common())
        return skipped(METRIC, _why_nothing(judgements.left_out), left_out=left_out)
    metadata = judgements.metadata()
    failed = [one.record for one in judgements.judged if one.fate is Fate.FAILED]
    if len(failed) == len(judgements.judged):
        return error(METRIC, all_failed(failed), **metadata)
    shares = judgements.shares().values()
    estimate = proportion_estimate(math.fsum(shares), len(shares), level)
    over_items = msgspec.structs.replace(estimate, method=f"{estimate.method} over items")
    return estimated(
        METRIC,
        percent(over_items),
        method="mean over items of the share of an item's requests that are right",
        **metadata,
    )


def _why_nothing(left_out: Counter[str]) -> str:
    if not left_out:
        return "no request was measured"
    if len(left_out) == 1:
        return next(iter(left_out))
    return "; ".join(f"{count:,} requests: {why}" for why, count in left_out.most_common())
