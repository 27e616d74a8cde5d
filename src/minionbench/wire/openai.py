"""OpenAI chat completions, streaming, as OpenAI and the many compatible servers speak it.

Two names for streamed reasoning are in use, `reasoning_content` (DeepSeek, llama.cpp) and
`reasoning` (vLLM, OpenRouter); both are read.

Source: OpenAI API reference and SDK 3.54, llama.cpp server README, vLLM OpenAI-compatible server,
DeepSeek API documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from minionbench.exchange import Call, Endpoint, EngineTimings, Exchange, Reply, Usage
from minionbench.wire.asking import (
    chat_messages,
    event_stream_headers,
    json_schema_format,
    length,
    post,
    sampling,
)
from minionbench.wire.frame import Frames
from minionbench.wire.reading import known, known_word, read_reply
from minionbench.wire.reasoning import reasoning_fields
from minionbench.wire.said import NotInProtocol, Said, ServerError
from minionbench.wire.sse import EventStream
from minionbench.wire.stencil import Slots

DONE = b"[DONE]"
CLOSED = Said(closes=True)
SEVERAL_ANSWERS = "it holds a second answer, and one was asked for"


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


NO_LOGPROBS = msgspec.Raw(b"null")


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = NO_LOGPROBS
    """Read only where it holds something, since a server that was not asked for it need not keep
    to its form."""


class _Likely(msgspec.Struct, gc=False):
    token: str
    logprob: float


class _Token(msgspec.Struct, gc=False):
    token: str
    top_logprobs: list[_Likely]


class _Logprobs(msgspec.Struct, gc=False):
    content: list[_Token] | None = None


class _PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int | None = None


class Counts(msgspec.Struct, frozen=True):
    """Token counts as OpenAI's completions and DeepSeek name them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    service_tier: Any = None
    """Of the chunk that the counts come in."""


class Timings(msgspec.Struct, frozen=True):
    """llama.cpp's own timings."""

    cache_n: int | None = None
    prompt_n: int | None = None
    prompt_ms: float | None = None
    predicted_n: int | None = None
    predicted_ms: float | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    model: str | None = None
    usage: Counts | None = None
    timings: Timings | None = None
    error: Any = None
    object: str | None = None
    service_tier: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_logprobs = msgspec.json.Decoder(_Logprobs).decode


class OpenAIChat:
    """The `openai` dialect."""

    name = "openai"
    frame_name = "a completion chunk"
    closing = "[DONE]"
    media_types: tuple[str, ...] = ("text/event-stream",)
    slots = Slots(("content", "reasoning_content", "reasoning"), words=("obfuscation",))

    def request(self, call: Call, endpoint: Endpoint) -> bytes:
        """`POST …/chat/completions` with `stream: true` and usage asked for."""
        manners = endpoint.manners
        body: dict[str, Any] = {
            "model": endpoint.model,
            "messages": chat_messages(call),
            "stream": True,
            "stream_options": {"include_usage": True},
            **sampling(call, endpoint),
            **length(call, endpoint),
            **json_schema_format(call, endpoint),
            **reasoning_fields(endpoint.reasoning, manners.switch),
        }
        if call.limits.likeliest is not None and manners.logprobs:
            body |= {"logprobs": True, "top_logprobs": call.limits.likeliest}
        return post(endpoint, "/chat/completions", body, event_stream_headers(endpoint))

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
        visible = reasoning = likeliest = None
        refusal = False
        finish_reason = None
        if choices:
            choice = choices[0]
            if choice.index != 0 or len(choices) > 1:
                raise NotInProtocol(SEVERAL_ANSWERS)
            delta = choice.delta
            if delta is not None:
                visible = delta.content or delta.refusal
                refusal = bool(delta.refusal)
                reasoning = delta.reasoning_content or delta.reasoning
            finish_reason = choice.finish_reason
            if visible and choice.logprobs != NO_LOGPROBS:
                likeliest = _likeliest(choice.logprobs)
        counts = chunk.usage
        if counts is not None and chunk.service_tier is not None:
            counts = msgspec.structs.replace(counts, service_tier=chunk.service_tier)
        return Said(
            visible=visible or "",
            reasoning=reasoning or "",
            refusal=refusal,
            finish_reason=finish_reason,
            model=chunk.model,
            counts=counts,
            engine=engine_of(chunk.timings) if chunk.timings is not None else None,
            likeliest=likeliest,
        )

    def usage(self, counts: Sequence[Counts]) -> Usage:
        """The last counts: they grow with the answer."""
        return usage_of(counts)


def _likeliest(logprobs: msgspec.Raw) -> tuple[tuple[str, float], ...] | None:
    """The likeliest tokens in the place of the first one that is no white space; None where they
    are not told, or not as numbers."""
    try:
        tokens = _decode_logprobs(logprobs).content or []
    except msgspec.MsgspecError:
        return None
    first = next((one for one in tokens if one.token.strip()), None)
    if first is None or not first.top_logprobs:
        return None
    return tuple((one.token, one.logprob) for one in first.top_logprobs)


def no_chunk(error: Any, kind: str | None, data: bytes) -> Exception:
    """What is wrong with JSON that holds no choices: the server's own error, or another kind."""
    if error is not None:
        return ServerError(error)
    if kind == "error":
        return ServerError(msgspec.json.decode(data))
    return NotInProtocol("it has no choices")


def usage_of(counts: Sequence[Counts]) -> Usage:
    """The last of these counts as all dialects have them."""
    last = counts[-1]
    prompt, completion = last.prompt_tokens_details, last.completion_tokens_details
    cached = prompt.cached_tokens if prompt is not None else None
    return Usage(
        prompt_tokens=known(last.prompt_tokens),
        completion_tokens=known(last.completion_tokens),
        cached_tokens=known(last.prompt_cache_hit_tokens if cached is None else cached),
        cache_write_tokens=known(prompt.cache_write_tokens if prompt is not None else None),
        reasoning_tokens=known(completion.reasoning_tokens if completion is not None else None),
        service_tier=known_word(last.service_tier),
    )


def engine_of(timings: Timings) -> EngineTimings:
    """llama.cpp's timings as all engines' are kept."""
    return EngineTimings(
        cached_tokens=known(timings.cache_n),
        prompt_tokens=known(timings.prompt_n),
        prompt_ms=known(timings.prompt_ms),
        predicted_tokens=known(timings.predicted_n),
        predicted_ms=known(timings.predicted_ms),
    )
