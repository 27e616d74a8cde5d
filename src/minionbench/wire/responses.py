"""OpenAI's Responses API, streaming: events that name their type.

Reasoning text (`reasoning_text`) is read token by token where a server shows it. Where only a
summary of it comes, that is kept as reasoning too, but it is no tokens' arrival: the reasoning
itself stays hidden, and a server's count of it says so.

Source: OpenAI API reference and SDK 3.54.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from minionbench.exchange import Call, Endpoint, Exchange, Reply, Usage
from minionbench.wire.asking import chat_messages, event_stream_headers, merged, post, sampling
from minionbench.wire.frame import Frames
from minionbench.wire.openai import DONE
from minionbench.wire.reading import known, known_word, read_reply
from minionbench.wire.reasoning import generated_tokens, reasoning_fields
from minionbench.wire.said import NOTHING, NotInProtocol, Said, ServerError, decoded_if_known
from minionbench.wire.sse import EventStream
from minionbench.wire.stencil import Slots


class _InputDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int | None = None


class Counts(msgspec.Struct, frozen=True):
    """Token counts of a response."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    service_tier: Any = None
    """Of the response that the counts come in."""


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    model: str | None = None
    usage: Counts | None = None
    incomplete_details: _Incomplete | None = None
    error: Any = None
    service_tier: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str
    delta: Any = None
    response: _Response | None = None


_decode_event = msgspec.json.Decoder(_Event).decode

_ENDS = {"response.completed": "completed", "response.incomplete": "incomplete"}
_STATES = ("response.created", "response.queued", "response.in_progress")
_KNOWN = (
    *(*_ENDS, *_STATES, "response.failed", "response.refusal.delta", "response.output_text.delta"),
    *("response.reasoning_text.delta", "response.reasoning_summary_text.delta", "error"),
)


class Responses:
    """The `responses` dialect. Its finish reasons are `completed`, or why it is incomplete."""

    name = "responses"
    frame_name = "an event of the Responses API"
    closing = "response.completed"
    media_types: tuple[str, ...] = ("text/event-stream",)
    slots = Slots(("delta",), words=("obfuscation",), numbers=("sequence_number",))

    def request(self, call: Call, endpoint: Endpoint) -> bytes:
        """`POST …/responses`, not to be stored by the provider.

        Seeds and forced lengths are not offered by this protocol; of a forced length the upper
        limit is sent. Where reasoning is on, a summary of it is asked for.
        """
        body: dict[str, Any] = {
            "model": endpoint.model,
            "input": chat_messages(call),
            "stream": True,
            "store": False,
            **sampling(call, endpoint),
            **_reasoning(endpoint),
        }
        body.pop("seed", None)
        most = generated_tokens(call.limits, endpoint)
        if most is not None:
            body["max_output_tokens"] = most
        if call.schema is not None and endpoint.manners.schema:
            schema = {"name": "answer", "strict": True, "schema": call.schema}
            body["text"] = {"format": {"type": "json_schema", **schema}}
        return post(endpoint, "/responses", body, event_stream_headers(endpoint))

    def reply(self, exchange: Exchange, endpoint: Endpoint) -> Reply:
        """The reply that an exchange amounts to; a failed one keeps what had arrived before."""
        return read_reply(exchange, endpoint, self)

    def frames(self, body: bytes) -> Frames:
        """The events of a body."""
        return EventStream(body)

    def said(self, data: bytes) -> Said:
        """What an event says; of a type that is not known, nothing.

        Some compatible servers send `[DONE]` behind the last event: it closes nothing by itself,
        since no finish reason comes with it.
        """
        if data == DONE:
            return Said(closes=True)
        event = decoded_if_known(data, _decode_event, _KNOWN)
        if event is None:
            return NOTHING
        kind = event.type
        if kind == "response.output_text.delta":
            return Said(visible=_text(event))
        if kind == "response.reasoning_text.delta":
            return Said(reasoning=_text(event))
        if kind == "response.reasoning_summary_text.delta":
            return Said(aside=_text(event))
        if kind == "response.refusal.delta":
            return Said(visible=_text(event), refusal=True)
        if kind == "error":
            raise ServerError(msgspec.json.decode(data))
        response = event.response
        if kind == "response.failed":
            raise ServerError(response.error if response is not None else None)
        if response is None:
            raise NotInProtocol(f"{kind} without a response")
        if kind in _STATES:
            return Said(model=response.model)
        details = response.incomplete_details
        counts = response.usage
        if counts is not None and response.service_tier is not None:
            counts = msgspec.structs.replace(counts, service_tier=response.service_tier)
        return Said(
            finish_reason=(details.reason if details is not None else None) or _ENDS[kind],
            model=response.model,
            counts=counts,
            closes=True,
        )

    def usage(self, counts: Sequence[Counts]) -> Usage:
        """The counts of the closing event."""
        last = counts[-1]
        prompt, output = last.input_tokens_details, last.output_tokens_details
        return Usage(
            prompt_tokens=known(last.input_tokens),
            completion_tokens=known(last.output_tokens),
            cached_tokens=known(prompt.cached_tokens if prompt is not None else None),
            cache_write_tokens=known(prompt.cache_write_tokens if prompt is not None else None),
            reasoning_tokens=known(output.reasoning_tokens if output is not None else None),
            service_tier=known_word(last.service_tier),
        )


def _text(event: _Event) -> str:
    if not isinstance(event.delta, str):
        raise NotInProtocol(f"the delta of {event.type} is no text")
    return event.delta


def _reasoning(endpoint: Endpoint) -> dict[str, Any]:
    """The switch, with the degree where this protocol has it."""
    fields = reasoning_fields(endpoint.reasoning, endpoint.manners.switch)
    effort = fields.pop("reasoning_effort", None)
    if effort is None:
        return fields
    asked: dict[str, Any] = {"effort": effort}
    if endpoint.reasoning is not None and endpoint.reasoning.on:
        asked["summary"] = "auto"
    return merged(fields, {"reasoning": asked})
