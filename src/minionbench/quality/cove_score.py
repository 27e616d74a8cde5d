"""The pass rate of Chain-of-Verification: a pure function of pairs and records.

Only the final answer is judged, by the rules of `claims`. A planted draft is passed when every
part of the final answer is right, a clean draft when every part still is. The pass rate is the
mean of the two rates, so that a model that always agrees gets exactly 50 and one that always
complains at most 50. A request that failed, abstained or cannot be read is not passed, and stays
in the denominator; only what the end of the run cut off is left out, with its pair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from minionbench.exchange import Outcome
from minionbench.metrics.cell import all_failed
from minionbench.metrics.value import MetricValue, error, estimated, interval, skipped
from minionbench.quality.bootstrap import mean_estimate, percent
from minionbench.quality.claims import Claims, read_claims
from minionbench.quality.cove_items import CovePair, Draft, by_kind, item_id
from minionbench.quality.spending import spending
from minionbench.records import RequestRecord
from minionbench.stats import LEVEL

METRIC = "cove_pass_rate"

TEXTS_NOT_KEPT = "the texts were not kept, so the answers cannot be judged"

_CENSORED = (Outcome.CUT, Outcome.NOT_SENT)
"""Outcomes of requests that the end of the run cut off: neither passed nor failed."""


class Judgement(StrEnum):
    """What became of one request."""

    PASSED = "passed"
    WRONG = "wrong"
    """Every part could be read, and at least one is not right."""
    UNREAD = "unread"
    """At least one part could not be read from the final answer."""
    ABSTAINED = "abstained"
    """The procedure ended without an answer, such as after a plan without a question."""
    FAILED = "failed"
    """A call failed."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One request's judgement and, where there is an answer, what it claims."""

    judgement: Judgement
    claims: Claims | None

    @property
    def passed(self) -> bool:
        """Whether the final answer is right in every part."""
        return self.judgement is Judgement.PASSED


def judge_answer(pair: CovePair, record: RequestRecord) -> Judged | None:
    """The judgement of one request; None when it was cut off by the end of the run.

    Raises:
        ValueError: the record was kept without its texts.
    """
    if record.outcome in _CENSORED:
        return None
    if not record.ok:
        return Judged(judgement=Judgement.FAILED, claims=None)
    if record.answer is None:
        if record.abstained is None:
            raise ValueError(TEXTS_NOT_KEPT)
        return Judged(judgement=Judgement.ABSTAINED, claims=None)
    claims = read_claims(pair.parts, record.answer)
    if not claims.read:
        return Judged(judgement=Judgement.UNREAD, claims=claims)
    right = Judgement.PASSED if claims.all_right else Judgement.WRONG
    return Judged(judgement=right, claims=claims)


def cove_pass_rate(
    pairs: Sequence[CovePair],
    records: Sequence[RequestRecord],
    base: Sequence[RequestRecord] = (),
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    level: float = LEVEL,
) -> MetricValue:
    """The pass rate over pairs, 0 to 100, and in its metadata what goes with it.

    `records` are those of the planted and clean drafts, `base` those of the same questions without
    a draft; only measured ones count. `settings` (variant, limits, temperature) is passed on to
    the metadata. `seed` is that of the bootstrap.

    Raises:
        ValueError: a record of an item that is not among the pairs.
    """
    context: dict[str, Any] = {} if settings is None else {"settings": dict(settings)}
    try:
        scored = _Scored(pairs, records, base)
    except _TextsNotKept:
        return skipped(METRIC, TEXTS_NOT_KEPT, **context)
    context |= scored.counts()
    if not scored.complete:
        reason = "no pair was measured" if not scored.left_out else "no pair was measured whole"
        return skipped(METRIC, reason, **context)
    if scored.judgements[Judgement.FAILED] == scored.judgements.total():
        return error(METRIC, all_failed([r for r in scored.used if not r.ok]), **context)
    estimate = mean_estimate(scored.pair_scores(), "pairs", seed=seed, level=level)
    return estimated(
        METRIC,
        percent(estimate),
        method="mean of the pass rates over planted and over clean drafts",
        **context,
        **scored.details(seed, level, estimate.point),
    )


class _TextsNotKept(Exception):
    pass


class _Scored:
    """All judgements, sorted by pair and draft."""

    def __init__(
        self,
        pairs: Sequence[CovePair],
        records: Sequence[RequestRecord],
        base: Sequence[RequestRecord],
    ) -> None:
        drafts: tuple[Draft, ...] = ("planted", "clean", "base")
        place = {item_id(pair, draft): (pair, draft) for pair in pairs for draft in drafts}
        self._of: dict[tuple[str, Draft], list[tuple[RequestRecord, Judged]]] = {}
        self._cut: set[str] = set()
        for record in (*records, *base):
            if record.phase != "measured":
                continue
            if record.item_id not in place:
                raise ValueError(f"{record.item_id} is not an item of these pairs")
            pair, draft = place[record.item_id]
            try:
                judged = judge_answer(pair, record)
            except ValueError as fault:
                raise _TextsNotKept from fault
            if judged is None:
                self._cut.add(pair.pair_id)
            else:
                self._of.setdefault((pair.pair_id, draft), []).append((record, judged))
        self.complete = [
            pair for pair in pairs if self.of(pair, "planted") and self.of(pair, "clean")
        ]
        begun = {pair_id for pair_id, draft in self._of if draft != "base"} | self._cut
        self.left_out = len(begun) - len(self.complete)
        both: tuple[Draft, ...] = ("planted", "clean")
        used = [one for pair in self.complete for draft in both for one in self.of(pair, draft)]
        self.used = [record for record, _ in used]
        self.judgements = Counter(judged.judgement for _, judged in used)
        self._base_used = [record for pair in self.complete for record, _ in self.of(pair, "base")]

    def of(self, pair: CovePair, draft: Draft) -> list[tuple[RequestRecord, Judged]]:
        """Records and judgements of one draft, one per repeat."""
        return self._of.get((pair.pair_id, draft), [])

    def counts(self) -> dict[str, Any]:
        """How many requests count and what became of them."""
        return {
            "requests": self.judgements.total(),
            "failed": self.judgements[Judgement.FAILED],
            "judgements": {kind.value: self.judgements[kind] for kind in Judgement},
            "left_out": {"pairs cut off by the end of the run": self.left_out}
            if self.left_out
            else {},
        }

    def rates(self, draft: Draft, pairs: Sequence[CovePair]) -> list[float]:
        """Each pair's share of repeats that passed with a draft; pairs without any left out."""
        judged = ([one for _, one in self.of(pair, draft)] for pair in pairs)
        return [sum(one.passed for one in some) / len(some) for some in judged if some]

    def pair_scores(self) -> list[float]:
        """Each pair's mean of its planted and its clean rate."""
        planted, clean = self.rates("planted", self.complete), self.rates("clean", self.complete)
        return [(p + c) / 2 for p, c in zip(planted, clean, strict=True)]

    def details(self, seed: int, level: float, rate: float) -> dict[str, Any]:
        """What stands beside the pass rate."""

        def shown(scores: list[float]) -> dict[str, Any] | None:
            if not scores:
                return None
            estimate = percent(mean_estimate(scores, "pairs", seed=seed, level=level))
            return {"value": estimate.point, "n": estimate.n, "interval": interval(estimate)}

        base = self.rates("base", self.complete)
        kinds = {kind: self._kind(members) for kind, members in by_kind(self.complete).items()}
        return {
            "planted_pass_rate": shown(self.rates("planted", self.complete)),
            "clean_pass_rate": shown(self.rates("clean", self.complete)),
            "base_accuracy": shown(base),
            "net_gain": {
                # The drafts themselves pass every clean and no planted item.
                "over_draft": 100 * rate - 50,
                "over_base": 100 * (rate - sum(base) / len(base)) if base else None,
            },
            **self._corrections(),
            "detection": self._detection(),
            "kinds": kinds,
            "spent": spending(self.used),
            "spent_base": spending(self._base_used) if self._base_used else None,
        }

    def _kind(self, pairs: Sequence[CovePair]) -> dict[str, Any]:
        planted, clean = self.rates("planted", pairs), self.rates("clean", pairs)
        base = self.rates("base", pairs)
        n = len(pairs)
        return {
            "pairs": n,
            "pass_rate": 50 * (sum(planted) + sum(clean)) / n,
            "planted_pass_rate": 100 * sum(planted) / n,
            "clean_pass_rate": 100 * sum(clean) / n,
            "base_accuracy": 100 * sum(base) / len(base) if base else None,
        }

    def _corrections(self) -> dict[str, float]:
        """Share of planted errors put right, and of clean drafts in which something was not."""
        corrected = [
            judged.claims is not None and judged.claims.right[pair.error]
            for pair in self.complete
            for _, judged in self.of(pair, "planted")
        ]
        spoilt = [
            bool(_changed(pair, "clean", judged))
            for pair in self.complete
            for _, judged in self.of(pair, "clean")
        ]
        return {
            "correction_rate": 100 * sum(corrected) / len(corrected),
            "over_correction_rate": 100 * sum(spoilt) / len(spoilt),
        }

    def _detection(self) -> dict[str, Any]:
        """How well the changed parts are the planted errors.

        A part is flagged when the final answer states another value than the draft did.
        """
        hits = flagged = planted = 0
        for pair in self.complete:
            for _, judged in self.of(pair, "planted"):
                changed = _changed(pair, "planted", judged)
                planted += 1
                flagged += len(changed)
                hits += pair.error in changed
            for _, judged in self.of(pair, "clean"):
                flagged += len(_changed(pair, "clean", judged))
        return {
            "planted": planted,
            "flagged": flagged,
            "hits": hits,
            "precision": 100 * hits / flagged if flagged else None,
            "recall": 100 * hits / planted,
        }


def _changed(pair: CovePair, draft: Draft, judged: Judged) -> set[int]:
    """The parts about which the final answer states another value than the draft."""
    if judged.claims is None:
        return set()
    before = read_claims(pair.parts, pair.planted if draft == "planted" else pair.clean)
    after = judged.claims
    return {
        number
        for number, value in enumerate(after.values)
        if value is not None
        and value != before.values[number]
        and not (after.right[number] and before.right[number])
    }
