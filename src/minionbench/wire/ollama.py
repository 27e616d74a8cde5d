"""Ollama's own protocol, `/api/chat`: one JSON object per line.

`num_ctx` and `keep_alive` come with the endpoint's `extra_body`; a prompt longer than the context
is refused, not cut.

Source: Ollama's api/types.go and API documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from minionbench.exchange import Call, Endpoint, EngineTimings, Exchange, Reply, Usage
from minionbench.units import NS_PER_MS
from minionbench.wire.asking import bearer, chat_messages, post, sampling
from minionbench.wire.frame import Frames, Lines
from minionbench.wire.reading import known, read_reply
from minionbench.wire.reasoning import generated_tokens, reasoning_fields
from minionbench.wire.said import NotInProtocol, Said, ServerError
from minionbench.wire.stencil import Slots


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None


class Counts(msgspec.Struct, frozen=True, gc=False):
    """Token counts of the last line."""

    prompt: int | None
    cached: int | None
    generated: int | None


class _Line(msgspec.Struct, gc=False):
    message: _Message | None = None
    model: str | None = None
    done: bool | None = None
    done_reason: str | None = None
    error: Any = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_cached_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None


_decode_line = msgspec.json.Decoder(_Line).decode


class Ollama:
    """The `ollama` dialect."""

    name = "ollama"
    frame_name = "a line of Ollama's chat"
    closing = '"done": true'
    media_types: tuple[str, ...] = (
        "application/x-ndjson",
        "application/ndjson",
        "application/json",
    )
    slots = Slots(("content", "thinking"), words=("created_at",))

    def request(self, call: Call, endpoint: Endpoint) -> bytes:
        """`POST …/api/chat`. Neither prompt nor answer is cut where they pass the context.

        Forced lengths are not offered by this protocol; the upper limit is sent.
        """
        options = sampling(call, endpoint)
        most = generated_tokens(call.limits, endpoint)
        if most is not None:
            options["num_predict"] = most
        body: dict[str, Any] = {
            "model": endpoint.model,
            "messages": chat_messages(call),
            "stream": True,
            "truncate": False,
            "shift": False,
            "options": options,
            **reasoning_fields(endpoint.reasoning, endpoint.manners.switch),
        }
        if call.schema is not None and endpoint.manners.schema:
            body["format"] = call.schema
        headers = (("Accept", "application/x-ndjson"), *bearer(endpoint))
        return post(endpoint, "/api/chat", body, headers)

    def reply(self, exchange: Exchange, endpoint: Endpoint) -> Reply:
        """The reply that an exchange amounts to; a failed one keeps what had arrived before."""
        return read_reply(exchange, endpoint, self)

    def frames(self, body: bytes) -> Frames:
        """The lines of a body."""
        return Lines(body)

    def said(self, data: bytes) -> Said:
        """What a line says."""
        line = _decode_line(data)
        if line.error is not None:
            raise ServerError(line.error)
        if line.done is None:
            raise NotInProtocol("it does not say whether the answer is done")
        message = line.message
        visible = reasoning = None
        if message is not None:
            visible, reasoning = message.content, message.thinking
        if not line.done:
            return Said(visible=visible or "", reasoning=reasoning or "", model=line.model)
        return Said(
            visible=visible or "",
            reasoning=reasoning or "",
            model=line.model,
            finish_reason=line.done_reason,
            counts=Counts(line.prompt_eval_count, line.prompt_eval_cached_count, line.eval_count),
            engine=_engine(line),
            closes=True,
        )

    def usage(self, counts: Sequence[Counts]) -> Usage:
        """The counts of the last line; those of reasoning are within the generated ones, untold."""
        last = counts[-1]
        return Usage(
            prompt_tokens=known(last.prompt),
            completion_tokens=known(last.generated),
            cached_tokens=known(last.cached),
        )


def _engine(line: _Line) -> EngineTimings:
    """The durations of the last line.

    How many tokens of the prompt were really processed is known only where the line tells how many
    came from the cache.
    """
    prompt, cached = known(line.prompt_eval_count), known(line.prompt_eval_cached_count)
    processed = None if prompt is None or cached is None else known(prompt - cached)
    return EngineTimings(
        cached_tokens=cached,
        prompt_tokens=processed,
        prompt_ms=_ms(line.prompt_eval_duration),
        predicted_tokens=known(line.eval_count),
        predicted_ms=_ms(line.eval_duration),
        load_ms=_ms(line.load_duration),
        total_ms=_ms(line.total_duration),
    )


def _ms(duration_ns: int | None) -> float | None:
    duration_ns = known(duration_ns)
    return None if duration_ns is None else duration_ns / NS_PER_MS
