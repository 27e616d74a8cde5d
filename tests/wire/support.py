"""Exchanges made by hand: what was received, and when, to the nanosecond."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any

from minionbench.exchange import Call, Endpoint, Exchange, Limits, Message, Reply
from minionbench.wire.openai import OpenAIChat

STREAM = {"content-type": "text/event-stream"}
ENDPOINT = Endpoint("http://h/v1", "m")
DONE = b"data: [DONE]\n\n"


def exchange_of(
    *reads: bytes, status: int | None = 200, headers: dict[str, str] | None = None
) -> Exchange:
    """An exchange whose reads brought these parts of the body, at 1000, 1001, 1002 … ns."""
    exchange = Exchange(planned_ns=1)
    exchange.admitted_ns, exchange.sent_ns, exchange.sent_end_ns = 2, 3, 4
    exchange.status = status
    exchange.headers = STREAM if headers is None else headers
    exchange.body = b"".join(reads)
    exchange.read_ends = list(accumulate(map(len, reads)))
    exchange.read_ns = [1_000 + i for i in range(len(reads))]
    exchange.reads = exchange.kernel_reads = len(reads)
    exchange.first_byte_ns = 1_000 if reads else None
    exchange.end_ns = 999 + len(reads)
    return exchange


def reply_to(*reads: bytes, endpoint: Endpoint = ENDPOINT, **facts: Any) -> Reply:
    """What the OpenAI dialect reads from such an exchange."""
    return OpenAIChat().reply(exchange_of(*reads, **facts), endpoint)


def event(chunk: object) -> bytes:
    """One event that holds this chunk."""
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def delta(content: str | None = None, finish: str | None = None, **fields: Any) -> bytes:
    """An event of one choice."""
    if content is not None:
        fields["content"] = content
    return event({"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]})


def usage(prompt: int = 7, completion: int = 2, **fields: Any) -> bytes:
    """The extra event with the counts."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, **fields}
    return event({"choices": [], "usage": counts})


GOOD = (delta("", role="assistant"), delta("Hel"), delta("lo"), delta(finish="stop"), usage(), DONE)
"""The events of a good answer, one per read."""


def call(text: str = "hi", **limits: Any) -> Call:
    return Call(side="local", messages=(Message("user", text),), limits=Limits(**limits))
