"""Raw text completions of OpenAI-compatible servers, streaming: no chat template is applied.

Source: OpenAI API reference (completions), llama.cpp server README, vLLM OpenAI-compatible server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from minionbench.exchange import Call, Endpoint, Exchange, Reply, Usage
from minionbench.wire.asking import (
    event_stream_headers,
    json_schema_format,
    length,
    post,
    sampling,
)
from minionbench.wire.frame import Frames
from minionbench.wire.openai import (
    CLOSED,
    DONE,
    SEVERAL_ANSWERS,
    Counts,
    Timings,
    engine_of,
    no_chunk,
    usage_of,
)
from minionbench.wire.reading import read_reply
from minionbench.wire.said import NotInProtocol, Said
from minionbench.wire.sse import EventStream
from minionbench.wire.stencil import Slots

BETWEEN_MESSAGES = "\n\n"
"""What stands in the prompt between the contents of two messages: a blank line."""


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    model: str | None = None
    usage: Counts | None = None
    timings: Timings | None = None
    error: Any = None
    object: str | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class Completions:
    """The `completions` dialect."""

    name = "completions"
    frame_name = "a completion chunk"
    closing = "[DONE]"
    media_types: tuple[str, ...] = ("text/event-stream",)
    slots = Slots(("text",), words=("obfuscation",))

    def request(self, call: Call, endpoint: Endpoint) -> bytes:
        """`POST …/completions`: the prompt is the messages' contents, in order, roles left out,
        with a blank line between two.

        How to reason is a matter of the chat template, so nothing of it is sent.
        """
        body: dict[str, Any] = {
            "model": endpoint.model,
            "prompt": BETWEEN_MESSAGES.join(message.content for message in call.messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            **sampling(call, endpoint),
            **length(call, endpoint),
            **json_schema_format(call, endpoint),
        }
        return post(endpoint, "/completions", body, event_stream_headers(endpoint))

    def reply(self, exchange: Exchange, endpoint: Endpoint) -> Reply:
        """The reply that an exchange amounts to; a failed one keeps what had arrived before."""
        return read_reply(exchange, endpoint, self)

    def frames(self, body: bytes) -> Frames:
        """The events of a body."""
        return EventStream(body)

    def said(self, data: bytes) -> Said:
        """What a chunk says."""
        if data == DONE:
            return CLOSED
        chunk = _decode_chunk(data)
        choices = chunk.choices
        if chunk.error is not None or choices is None:
            raise no_chunk(chunk.error, chunk.object, data)
        visible = finish_reason = None
        if choices:
            choice = choices[0]
            if choice.index != 0 or len(choices) > 1:
                raise NotInProtocol(SEVERAL_ANSWERS)
            visible, finish_reason = choice.text, choice.finish_reason
        return Said(
            visible=visible or "",
            finish_reason=finish_reason,
            model=chunk.model,
            counts=chunk.usage,
            engine=engine_of(chunk.timings) if chunk.timings is not None else None,
        )

    def usage(self, counts: Sequence[Counts]) -> Usage:
        """The last counts: they grow with the answer."""
        return usage_of(counts)
