"""Records: the facts of one request as they are stored, in integer nanoseconds.

A record is written when its request has ended, and not changed but for what can be known only
after the run (`Reply.tokenizer_tokens`). Everything else that the program says about a request is
derived from its record and can be derived again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

from minionbench.errors import SchemaError
from minionbench.exchange import Call, Failure, Outcome, Reference, Reply, Side

RECORD_VERSION = 1
"""Form of the records; raised when a field changes its meaning."""

Phase: TypeAlias = Literal["warmup", "measured"]
"""Warm-up requests are recorded, but count in no metric."""


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One model call of a request: what was asked of whom, and what came back."""

    side: Side
    role: Literal["assistant", "supervisor", "worker"]
    round: int
    job: int | None
    attempt: int = 0
    """Which asking of the same thing, from 0."""
    prompt: tuple[tuple[str, str], ...] | None
    """(role, content) of each message; None when texts are not kept."""
    reply: Reply


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one request."""

    cell: str
    """Id of the cell that the request belongs to."""
    index: int
    """Place in the cell's plan, warm-up and repeats counted through."""
    item_id: str
    phase: Phase
    repeat: int
    """Which repeat of the cell, from 0."""
    planned_ns: int
    outcome: Outcome
    """`OK` when an answer was given; else how the request failed."""
    failure: Failure | None = None
    calls: tuple[CallRecord, ...]
    answer: str | None = None
    """Text of the answer; None when there is none, or when texts are not kept."""
    answer_call: int | None = None
    """Index into `calls` of the call that produced the answer."""
    answer_is_part: bool = False
    """Whether the answer is a part of that call's text, as a field of JSON is."""
    answer_at: int | None = None
    """Character of that text at which a part begins; None where that is not known."""
    abstained: str | None = None
    tally: dict[str, int] | None = None
    """What a protocol counted on its way; None for a deployment that counts nothing."""
    reference: Reference | None = None
    """The right answer, so that the given one can be judged again later."""
    input_tokens: int
    """Length of the item by the reference tokenizer."""
    forced_output_tokens: int | None = None
    version: int = RECORD_VERSION

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return self.outcome is Outcome.OK


def call_record(call: Call, reply: Reply, *, keep_text: bool) -> CallRecord:
    """Joins a call and its reply; without `keep_text` prompt, answer and reasoning are left out."""
    if not keep_text:
        reply = msgspec.structs.replace(reply, text=None, reasoning=None)
    prompt = tuple((m.role, m.content) for m in call.messages) if keep_text else None
    return CallRecord(
        side=call.side,
        role=call.role,
        round=call.round,
        job=call.job,
        attempt=call.attempt,
        prompt=prompt,
        reply=reply,
    )


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(RequestRecord)


def encode_record(record: RequestRecord) -> bytes:
    """A record as one line of JSON, newline included."""
    return _encoder.encode(record) + b"\n"


def decode_record(line: bytes) -> RequestRecord:
    """The record that a line holds.

    Raises SchemaError when the line is not a record.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SchemaError(f"not a request record: {error}") from error


def decode_journal(lines: Iterable[bytes]) -> Iterator[RequestRecord]:
    """The records of a journal; a last line that was cut off by a kill is left out.

    Raises SchemaError for any other line that is not a record; it says which line that is.
    """
    for number, line in enumerate(lines, 1):
        if line.endswith(b"\n"):
            try:
                record = decode_record(line)
            except SchemaError as error:
                raise SchemaError(f"line {number} is {error}") from error
            yield record
