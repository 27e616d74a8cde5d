"""Requests whose calls have hand-sized counts, for tests of what they cost."""

from __future__ import annotations

from typing import Any

import msgspec

from minionbench.exchange import Outcome, Usage
from minionbench.records import CallRecord, RequestRecord
from tests.making import record, reply


def asked(
    *calls: tuple[str, int | None],
    item: str = "item-0",
    outcome: Outcome = Outcome.OK,
    **usage: Any,
) -> RequestRecord:
    """A request whose calls are (side, prompt tokens), each with one generated token."""
    made = []
    for side, tokens in calls:
        counts = {"completion_tokens": 1} | usage
        told = msgspec.structs.replace(
            reply(outcome=outcome),
            usage=None if tokens is None else Usage(prompt_tokens=tokens, **counts),
        )
        made.append(
            CallRecord(
                side=side,  # type: ignore[arg-type]
                role="worker",
                round=0,
                job=None,
                prompt=None,
                reply=told,
            )
        )
    return msgspec.structs.replace(record(item=item), calls=tuple(made))
