"""Anthropic's Messages API, streaming.

Counts are cumulative: of each count the latest that was told holds. What comes of input tokens in
three parts (new, written to the cache, read from it) is added up.

Source: Anthropic API documentation and SDK 2.12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from minionbench.errors import UsageError
from minionbench.exchange import Call, Endpoint, Exchange, Reply, Usage
from minionbench.wire.asking import post
from minionbench.wire.frame import Frames
from minionbench.wire.reading import known, known_word, read_reply
from minionbench.wire.reasoning import generated_tokens, reasoning_fields, reasoning_tokens
from minionbench.wire.said import NOTHING, NotInProtocol, Said, ServerError, decoded_if_known
from minionbench.wire.sse import EventStream
from minionbench.wire.stencil import Slots

VERSION = "2023-06-01"
"""Of the protocol; a header of the endpoint can name another."""
DEFAULT_MAX_TOKENS = 4_096
"""The protocol wants a limit; this one where the call has none. Every model takes it."""
LEAST_THINKING_TOKENS = 1_024


class _OutputDetails(msgspec.Struct, frozen=True):
    thinking_tokens: int | None = None


class _CacheCreation(msgspec.Struct, frozen=True):
    ephemeral_1h_input_tokens: int | None = None


class Counts(msgspec.Struct, frozen=True):
    """Token counts of a message, as far as they are told by now."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _CacheCreation | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None
    service_tier: Any = None
    speed: Any = None


class _Message(msgspec.Struct):
    model: str | None = None
    usage: Counts | None = None


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    thinking: str | None = None


class _Delta(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct, gc=False):
    type: str
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: Counts | None = None
    error: Any = None


_decode_event = msgspec.json.Decoder(_Event).decode
_KNOWN = (
    *("message_start", "message_delta", "message_stop", "error"),
    *("content_block_start", "content_block_delta"),
)


class Anthropic:
    """The `anthropic` dialect."""

    name = "anthropic"
    frame_name = "an event of the Messages API"
    closing = "message_stop"
    media_types: tuple[str, ...] = ("text/event-stream",)
    slots = Slots(("text", "thinking"))

    def request(self, call: Call, endpoint: Endpoint) -> bytes:
        """`POST …/v1/messages`, with the system messages in their field.

        Seeds and forced lengths are not offered by this protocol; of a forced length the upper
        limit is sent. No temperature is sent along with reasoning, which refuses any but 1.

        Raises UsageError for a budget of thinking under the protocol's least.
        """
        manners, reasoning = endpoint.manners, endpoint.reasoning
        thinks = reasoning is not None and reasoning.on and manners.switch != "none"
        fields = reasoning_fields(reasoning, manners.switch)
        if "budget_tokens" in fields.get("thinking", ()) and reasoning is not None:
            _require_enough(reasoning_tokens(reasoning))
        most = generated_tokens(call.limits, endpoint)
        if most is None:
            most = DEFAULT_MAX_TOKENS
            if thinks and reasoning is not None:
                most += reasoning_tokens(reasoning)
        body: dict[str, Any] = {
            "model": endpoint.model,
            "messages": [
                {"role": message.role, "content": message.content}
                for message in call.messages
                if message.role != "system"
            ],
            "max_tokens": most,
            "stream": True,
            **fields,
        }
        system = [message.content for message in call.messages if message.role == "system"]
        if system:
            body["system"] = "\n\n".join(system)
        if manners.temperature and not thinks:
            body["temperature"] = call.limits.temperature
        if call.schema is not None and manners.schema:
            form = {"type": "json_schema", "schema": call.schema}
            body["output_config"] = body.get("output_config", {}) | {"format": form}
        headers = [("Accept", "text/event-stream"), ("anthropic-version", VERSION)]
        if endpoint.key is not None:
            headers.append(("x-api-key", endpoint.key.reveal()))
        return post(endpoint, "/v1/messages", body, tuple(headers))

    def reply(self, exchange: Exchange, endpoint: Endpoint) -> Reply:
        """The reply that an exchange amounts to; a failed one keeps what had arrived before."""
        return read_reply(exchange, endpoint, self)

    def frames(self, body: bytes) -> Frames:
        """The events of a body."""
        return EventStream(body)

    def said(self, data: bytes) -> Said:
        """What an event says; of a type that is not known, nothing, as the protocol asks."""
        event = decoded_if_known(data, _decode_event, _KNOWN)
        if event is None:
            return NOTHING
        kind = event.type
        if kind == "content_block_delta":
            delta = event.delta
            if delta is None:
                raise NotInProtocol("content_block_delta without a delta")
            if delta.type == "text_delta":
                return Said(visible=_required(delta.text, "text_delta"))
            if delta.type == "thinking_delta":
                return Said(reasoning=_required(delta.thinking, "thinking_delta"))
            return NOTHING
        if kind == "content_block_start":
            block = event.content_block
            if block is None:
                raise NotInProtocol("content_block_start without a block")
            return Said(visible=block.text or "", reasoning=block.thinking or "")
        if kind == "message_start":
            if event.message is None:
                raise NotInProtocol("message_start without a message")
            return Said(model=event.message.model, counts=event.message.usage)
        if kind == "message_delta":
            reason = event.delta.stop_reason if event.delta is not None else None
            return Said(finish_reason=reason, counts=event.usage)
        if kind == "message_stop":
            return Said(closes=True)
        raise ServerError(event.error)

    def usage(self, counts: Sequence[Counts]) -> Usage:
        """The latest of each count, the parts of the input added up."""

        def latest(name: str) -> int | None:
            told = (getattr(count, name) for count in reversed(counts))
            return next((known(number) for number in told if number is not None), None)

        new, read = latest("input_tokens"), latest("cache_read_input_tokens")
        written = latest("cache_creation_input_tokens")
        details = [count.output_tokens_details for count in counts]
        thinking = [d.thinking_tokens for d in details if d is not None]
        kept = [c.cache_creation for c in counts if c.cache_creation is not None]
        tiers = [word for c in counts if (word := known_word(c.service_tier)) is not None]
        speeds = [word for c in counts if (word := known_word(c.speed)) is not None]
        return Usage(
            prompt_tokens=None if new is None else new + (read or 0) + (written or 0),
            completion_tokens=latest("output_tokens"),
            cached_tokens=read,
            cache_write_tokens=written,
            cache_write_1h_tokens=known(kept[-1].ephemeral_1h_input_tokens) if kept else None,
            reasoning_tokens=known(thinking[-1]) if thinking else None,
            service_tier=tiers[-1] if tiers else None,
            speed=speeds[-1] if speeds else None,
        )


def _required(text: str | None, kind: str) -> str:
    if text is None:
        raise NotInProtocol(f"a {kind} without its text")
    return text


def _require_enough(tokens: int) -> None:
    if tokens < LEAST_THINKING_TOKENS:
        raise UsageError(
            f"A thinking budget of {tokens:,} tokens is too small: this model's protocol wants at "
            f"least {LEAST_THINKING_TOKENS:,}"
        )
