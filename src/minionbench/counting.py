"""Counting afterwards what a server did not count: generated tokens, by its own tokenizer.

Nothing is counted while something is measured. What the server itself counted is never replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from minionbench import clock
from minionbench.engines.engine import Engine
from minionbench.exchange import Outcome, Reply, Side
from minionbench.measuring import Measured
from minionbench.metrics.request import hides_reasoning, output_tokens
from minionbench.records import CallRecord, RequestRecord
from minionbench.runner import StopSwitch
from minionbench.units import NS_PER_S

LONGEST_S = 120.0
"""For all answers together: a rate is not worth more waiting."""


class Amendable(Protocol):
    """Where the records were put."""

    def amend(self, records: Sequence[RequestRecord]) -> None:
        """Puts these records in the place of those of the same requests."""
        ...


def count_afterwards(
    measured: Sequence[Measured],
    engines: Mapping[Side, Engine],
    journal: Amendable,
    *,
    stop: StopSwitch,
) -> list[Measured]:
    """The same cells, with `tokenizer_tokens` in the replies that have no other count.

    Only where the text was kept and the server has a tokenizer to ask; the first question that it
    does not answer is the last one. The journal has the same counts afterwards.

    Raises SetupError when the journal cannot be written.
    """
    counter = _Counter(engines, stop)
    found = [
        msgspec.structs.replace(
            cell, records=tuple(counter.counted(record) for record in cell.records)
        )
        for cell in measured
    ]
    if not counter.amended:
        return list(measured)
    journal.amend(counter.amended)
    return found


class _Counter:
    def __init__(self, engines: Mapping[Side, Engine], stop: StopSwitch) -> None:
        self.amended: list[RequestRecord] = []
        self._engines = dict(engines)
        self._stop = stop
        self._deadline_ns = clock.monotonic_ns() + round(LONGEST_S * NS_PER_S)

    def counted(self, record: RequestRecord) -> RequestRecord:
        if record.phase != "measured":
            return record
        calls = tuple(map(self._call, record.calls))
        if calls == record.calls:
            return record
        amended = msgspec.structs.replace(record, calls=calls)
        self.amended.append(amended)
        return amended

    def _call(self, call: CallRecord) -> CallRecord:
        reply = call.reply
        engine = self._engines.get(call.side)
        if engine is None or not _is_uncounted(reply):
            return call
        if self._stop.why is not None or clock.monotonic_ns() > self._deadline_ns:
            self._engines.clear()
            return call
        tokens = engine.count_tokens((reply.reasoning or "") + (reply.text or ""))
        if tokens is None:
            del self._engines[call.side]
            return call
        return msgspec.structs.replace(
            call, reply=msgspec.structs.replace(reply, tokenizer_tokens=tokens)
        )


def _is_uncounted(reply: Reply) -> bool:
    """Whether an answer came whole, was not counted, and is there to be counted."""
    return (
        reply.outcome is Outcome.OK
        and reply.text is not None
        and output_tokens(reply) is None
        and not hides_reasoning(reply)
    )
