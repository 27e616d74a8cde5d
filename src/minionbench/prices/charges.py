"""By which prices the requests of a deployment are charged, and what each of its calls cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from minionbench.clock import ClockAnchor
from minionbench.exchange import COST_NOTHING, COUNTED_WHOLE, CUT_OFF, Reply
from minionbench.prices.price import Price, cost_usd
from minionbench.prices.tariff import Tariff, context_of
from minionbench.records import CallRecord, RequestRecord


class RemoteName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The remote model by whose name prices and energy are looked up."""

    provider: str | None
    """None for a server that is known by its address only."""
    model: str


class OwnClock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The clock of one session of a run that has several: between two of them the machine may have
    been restarted, and its monotonic clock have begun anew."""

    repeat: int
    """Of the records that are told by it."""
    indexes: tuple[int, ...] | None = None
    """Of those records, where others of the repeat are told by another one; None for all."""
    clock: ClockAnchor

    def tells(self, record: RequestRecord) -> bool:
        """Whether a record's instants are told by it."""
        return record.repeat == self.repeat and (
            self.indexes is None or record.index in self.indexes
        )


class Charges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a plan says of money, so that the same figures can be computed again later."""

    remote: RemoteName | None = None
    """None where no side is remote."""
    served_here: bool = False
    """Whether the remote side, too, is served on this machine."""
    tariff: Tariff | None = None
    """Of the remote side; None where there is none."""
    why_none: str | None = None
    """Why there is no tariff, and what to give."""
    electricity_usd_per_kwh: float | None = None
    """None where it was not given."""

    def pricing(
        self, clock: ClockAnchor | None, sessions: tuple[OwnClock, ...] = ()
    ) -> Pricing | None:
        """How the requests are charged; None where there is no tariff.

        `sessions` are clocks that some of the records have of their own.
        """
        if self.tariff is None or clock is None:
            return None
        return Pricing(tariff=self.tariff, clock=clock, sessions=sessions)


class Charge(NamedTuple):
    """What a call cost."""

    usd: float | None
    price: Price | None = None
    """By which it was reckoned; None where nothing was."""
    why: str | None = None
    """Why it is not known; None where it is."""


class Pricing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tariff, and the clock by which a call's instant is told to it."""

    tariff: Tariff
    clock: ClockAnchor
    sessions: tuple[OwnClock, ...] = ()
    """Clocks that some of the records have of their own; the first one that tells a record."""

    @classmethod
    def of(cls, price: Price, *, source: str = "given") -> Pricing:
        """One price for all calls, whenever they are made."""
        return cls(tariff=Tariff.of(price, source=source), clock=ClockAnchor.now())

    def clock_of(self, record: RequestRecord) -> ClockAnchor:
        """The clock of a record's instants."""
        own = (session.clock for session in self.sessions if session.tells(record))
        return next(own, self.clock)

    def charge(self, reply: Reply, clock: ClockAnchor | None = None) -> Charge:
        """What a call of the remote side cost; `clock` is that of its instants, None the run's."""
        if reply.outcome in COST_NOTHING:
            return Charge(0.0)
        if reply.outcome not in COUNTED_WHOLE:
            return Charge(None, why="an answer broke off, and nobody knows what was charged for it")
        usage = reply.usage
        if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
            return Charge(None, why="the server did not count all tokens")
        sent_ns = reply.planned_ns if reply.sent_ns is None else reply.sent_ns
        price = self.tariff.price((clock or self.clock).utc(sent_ns), usage)
        if price is None:
            words = ", ".join(f"{name} {word!a}" for name, word in context_of(usage).items())
            why = f"the provider served a call in {words}, of which {self.tariff.source} has no "
            return Charge(None, why=f"{why}price")
        usd = cost_usd(usage, price)
        if usd is None:
            return Charge(None, why="reasoning has its own price, and the server did not count it")
        return Charge(usd, price)

    def request_usd(self, record: RequestRecord) -> float | None:
        """What a request's remote calls cost; None where that of one is not known."""
        return Bill(self).add(record)


class Bill:
    """What requests cost, with all that went into it."""

    def __init__(self, pricing: Pricing) -> None:
        self.pricing = pricing
        self.prices: Counter[Price] = Counter()
        """Calls that were charged by each price."""
        self.unknown: Counter[str] = Counter()
        """Calls whose cost is not known, by the reason."""
        self.calls = 0
        """Of the remote side."""

    def add(self, record: RequestRecord) -> float | None:
        """Adds a request; what its remote calls cost, None where that of one is not known."""
        clock = self.pricing.clock_of(record)
        charges = [self._charge(call, clock) for call in record.calls if call.side == "remote"]
        known = [charge.usd for charge in charges if charge.usd is not None]
        return math.fsum(known) if len(known) == len(charges) else None

    def _charge(self, call: CallRecord, clock: ClockAnchor) -> Charge:
        self.calls += 1
        charge = self.pricing.charge(call.reply, clock)
        if charge.price is not None:
            self.prices[charge.price] += 1
        if charge.why is not None:
            self.unknown[charge.why] += 1
        return charge


def charged(records: Sequence[RequestRecord]) -> list[RequestRecord]:
    """The requests that a figure of cost is of: the measured ones that came to their end.

    Those that the end of the run cut off made a part of their calls only, and would look cheap.
    """
    return [r for r in records if r.phase == "measured" and r.outcome not in CUT_OFF]


def item_costs(records: Sequence[RequestRecord], pricing: Pricing) -> dict[str, float | None]:
    """The mean cost of each item's measured requests; None where that of one is not known."""
    items: dict[str, list[float | None]] = {}
    for record in charged(records):
        items.setdefault(record.item_id, []).append(pricing.request_usd(record))
    return {item: mean_or_unknown(costs) for item, costs in items.items()}


def mean_or_unknown(costs: Sequence[float | None]) -> float | None:
    """The mean; None where one of them is not known."""
    known = [usd for usd in costs if usd is not None]
    return math.fsum(known) / len(known) if len(known) == len(costs) and known else None
