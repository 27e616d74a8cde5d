"""The budgets of a sweep: tokens and money of all its sessions together.

What may be spent is on file before it is: a sweep that is killed and resumed knows the most that
it can have spent, calls that were under way and calls whose cost nobody knows included.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from minionbench.allowance import Allowance
from minionbench.clock import ClockAnchor
from minionbench.errors import SchemaError, SetupError, UsageError
from minionbench.exchange import COST_NOTHING, Usage
from minionbench.measuring import Cell
from minionbench.prices.limit import dollars
from minionbench.records import RequestRecord
from minionbench.run_plan import PlannedCandidate
from minionbench.run_settings import RunSettings
from minionbench.schema.part import REFUSALS
from minionbench.sides import cost_limit
from minionbench.store import append_line, whole_lines
from minionbench.sweep.grid import Candidate
from minionbench.units import number_of

SPENT = "spent.jsonl"


class Spent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most that all sessions so far can have spent; the last line of the file counts."""

    tokens: int
    usd: float


class Purse:
    """What a sweep may still spend.

    Each session has an allowance of its own, since what one server refuses is no matter of
    another's; what they spend comes out of one purse.
    """

    def __init__(self, settings: RunSettings, folder: Path) -> None:
        """`folder` is that of the sweep; what is spent is put on file there."""
        self._path = folder / SPENT
        self._filed = Spent(tokens=0, usd=0.0)
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
        """Books what earlier sessions have spent.

        Raises UsageError where there is a limit and that is not known, SchemaError and SetupError
        where the file of it is damaged or cannot be read.
        """
        if self._max_tokens is None and self._max_usd is None:
            return
        filed = self._read()
        if filed is None:
            filed = self._told_by(records, {cell.cell_id: candidate for candidate, cell in cells})
        self._filed = filed
        self.spent_tokens, self.spent_usd = filed.tokens, filed.usd

    def _told_by(self, records: Sequence[RequestRecord], candidates: dict[str, Candidate]) -> Spent:
        """What records say that was spent; in a sweep that put it nowhere else."""
        clock = ClockAnchor.now()
        tokens, usd, unknown = 0, 0.0, 0
        for record in records:
            pricing = candidates[record.cell].planned.charges.pricing(clock)
            for call in record.calls:
                if call.reply.outcome in COST_NOTHING:
                    continue
                counted = _counted(call.reply.usage)
                if self._max_tokens is not None and counted is None:
                    unknown += 1
                elif counted is not None:
                    tokens += counted
                if self._max_usd is None or pricing is None or call.side != "remote":
                    continue
                cost = pricing.charge(call.reply).usd
                if cost is None:
                    unknown += 1
                else:
                    usd += cost
        if unknown:
            limit = "--max-cost" if self._max_usd is not None else "--max-tokens-total"
            raise UsageError(
                f"The limit ({limit}) cannot be kept: {self._path.name}, which says what the sweep "
                f"has spent, is not there, and what {number_of(unknown, 'call')} took is not "
                "known. Begin a new sweep without --resume."
            )
        return Spent(tokens=tokens, usd=usd)

    def allowance(self, settings: RunSettings, planned: PlannedCandidate) -> Allowance:
        """What one session may spend.

        Raises UsageError where there is no price to keep a limit on the cost by.
        """
        limit = None
        if self._max_usd is not None and settings.max_cost_usd is not None:
            left_usd = max(self._max_usd - self.spent_usd, 1e-12)
            left = msgspec.structs.replace(settings, max_cost_usd=left_usd)
            limit = cost_limit(left, planned.charges)
        allowance = Allowance(self._max_tokens, limit, before_sending=self._keep_most)
        allowance.charge(self.spent_tokens)
        return allowance

    def settle(self, allowance: Allowance) -> None:
        """Takes out what a session has spent."""
        self.spent_tokens = allowance.spent_tokens + allowance.reserved_tokens
        if allowance.cost_limit is not None:
            self.spent_usd += allowance.cost_limit.most_spent_usd
        if allowance.keeps_budget:
            self._keep(Spent(tokens=self.spent_tokens, usd=self.spent_usd))
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

    def _keep_most(self, allowance: Allowance) -> None:
        """Puts on file the most that can have been spent when the next call has ended."""
        if not allowance.keeps_budget:
            return
        limit = allowance.cost_limit
        tokens = allowance.spent_tokens + allowance.reserved_tokens
        usd = self.spent_usd + (0.0 if limit is None else limit.most_spent_usd)
        if tokens > self._filed.tokens or usd > self._filed.usd:
            self._keep(Spent(tokens=max(tokens, self._filed.tokens), usd=max(usd, self._filed.usd)))

    def _keep(self, spent: Spent) -> None:
        try:
            # Requests are being measured: a disk that is waited for would be seen in them.
            append_line(self._path, msgspec.json.encode(spent) + b"\n", force=False)
        except OSError as error:
            raise SetupError(
                f"What the sweep has spent could not be written to {self._path}: "
                f"{error.strerror or error}. Make room, and go on with --resume."
            ) from error
        self._filed = spent

    def _read(self) -> Spent | None:
        """The most that can have been spent; None where nothing is on file."""
        try:
            lines = list(whole_lines(self._path))
            return msgspec.json.decode(lines[-1], type=Spent) if lines else None
        except OSError as error:
            raise SetupError(f"{self._path} cannot be read: {error.strerror}") from error
        except REFUSALS as error:
            raise SchemaError(f"{self._path} does not say what was spent: {error}") from error

    @property
    def told(self) -> str | None:
        """What was spent of a limit on the cost, in one sentence; None without one."""
        if self._max_usd is None:
            return None
        return f"Of at most {dollars(self._max_usd)} {dollars(self.spent_usd)} was spent"


def _counted(usage: Usage | None) -> int | None:
    """Tokens of a call; None where its server did not count all of them."""
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return usage.prompt_tokens + usage.completion_tokens
