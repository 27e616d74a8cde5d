"""What requests took: calls, tokens and seconds, summed over records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minionbench.metrics.record import end_ns, sent_ns
from minionbench.records import RequestRecord
from minionbench.units import seconds


def spending(records: Sequence[RequestRecord]) -> dict[str, Any]:
    """Calls, tokens and seconds of requests, as a document can hold them.

    `prompt_tokens` and `completion_tokens` are None where a call that was answered came without a
    count. `calls_cut_at_limit` did not end by themselves. `seconds` is the sum over
    requests from the first sending to the last end.
    """
    calls = [call for record in records for call in record.calls if call.reply.sent_ns is not None]
    usages = [call.reply.usage for call in calls if call.reply.failure is None]
    prompt = [None if usage is None else usage.prompt_tokens for usage in usages]
    completion = [None if usage is None else usage.completion_tokens for usage in usages]
    spans = [
        seconds(end - start)
        for record in records
        if (start := sent_ns(record)) is not None and (end := end_ns(record)) is not None
    ]
    return {
        "requests": len(records),
        "calls": len(calls),
        "calls_cut_at_limit": sum(call.reply.cut_at_limit for call in calls),
        "prompt_tokens": _sum(prompt),
        "completion_tokens": _sum(completion),
        "seconds": math.fsum(spans),
    }


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
