"""The budgets of a sweep: tokens and money of all its sessions together."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from minionbench.allowance import Allowance
from minionbench.clock import ClockAnchor
from minionbench.measuring import Cell
from minionbench.prices.limit import dollars
from minionbench.records import RequestRecord
from minionbench.run_plan import PlannedCandidate
from minionbench.run_settings import RunSettings
from minionbench.sides import cost_limit
from minionbench.sweep.grid import Candidate


class Purse:
    """What a sweep may still spend.

    Each session has an allowance of its own, since what one server refuses is no matter of
    another's; what they spend comes out of one purse.
    """

    def __init__(self, settings: RunSettings) -> None:
        self._max_tokens = settings.max_total_tokens
        self._max_usd = settings.max_cost_usd
        self.spent_tokens = 0
        self.spent_usd = 0.0
        self.empty: str | None = None
        """Why nothing more may be asked; None while something may."""
        self._only_money = False
        """Whether what is used up is money alone, which local cells do not cost."""

    def has_for(self, candidate: Candidate) -> bool:
        """Whether a candidate may still be asked something."""
        return self.empty is None or (self._only_money and "remote" not in candidate.member.sides)

    def charge(
        self, records: Sequence[RequestRecord], cells: Sequence[tuple[Candidate, Cell]]
    ) -> None:
        """Books what earlier sessions have spent, as far as their servers counted it."""
        candidates = {cell.cell_id: candidate for candidate, cell in cells}
        pricings = {
            name: candidate.planned.charges.pricing(ClockAnchor.now())
            for name, candidate in candidates.items()
        }
        for record in records:
            for call in record.calls:
                usage = call.reply.usage
                if usage is not None:
                    tokens = (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
                    self.spent_tokens += tokens
            pricing = pricings.get(record.cell)
            if pricing is not None:
                self.spent_usd += pricing.request_usd(record) or 0.0

    def allowance(self, settings: RunSettings, planned: PlannedCandidate) -> Allowance:
        """What one session may spend.

        Raises UsageError where there is no price to keep a limit on the cost by.
        """
        limit = None
        if self._max_usd is not None and settings.max_cost_usd is not None:
            left_usd = max(self._max_usd - self.spent_usd, 1e-12)
            left = msgspec.structs.replace(settings, max_cost_usd=left_usd)
            limit = cost_limit(left, planned.charges)
        allowance = Allowance(self._max_tokens, limit)
        allowance.charge(self.spent_tokens)
        return allowance

    def settle(self, allowance: Allowance) -> None:
        """Takes out what a session has spent."""
        self.spent_tokens = allowance.spent_tokens
        if allowance.cost_limit is not None:
            self.spent_usd += allowance.cost_limit.spent_usd
        if allowance.refusal is not None and allowance.exhausted == allowance.refusal:
            self.empty = allowance.exhausted
            self._only_money = self._max_tokens is None and self._max_usd is not None
            if self._only_money and self._max_usd is not None:
                # A session knows only of what was left when it began.
                left = max(self._max_usd - self.spent_usd, 0.0)
                self.empty = (
                    f"the next request could cost more than the {dollars(left)} that are left of "
                    f"{dollars(self._max_usd)}"
                )

    @property
    def told(self) -> str | None:
        """What was spent of a limit on the cost, in one sentence; None without one."""
        if self._max_usd is None:
            return None
        return f"Of at most {dollars(self._max_usd)} {dollars(self.spent_usd)} was spent"
