"""OpenAI chat completions, streaming, as OpenAI and the many compatible servers speak it.

Read strictly: a stream counts as a success only when every event parsed, a finish reason came,
`[DONE]` closed it, and the body was whole. Two names for streamed reasoning are in use,
`reasoning_content` (DeepSeek, llama.cpp) and `reasoning` (vLLM, OpenRouter); both are read.

Source: OpenAI API reference and SDK 3.54, llama.cpp server README, vLLM OpenAI-compatible server.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from minionbench.errors import UsageError
from minionbench.exchange import (
    Call,
    Endpoint,
    EngineTimings,
    Exchange,
    Failure,
    Outcome,
    Reply,
    Usage,
)
from minionbench.transport.http import Url, request_bytes
from minionbench.wire.arrival import ArrivalLog
from minionbench.wire.failures import failure_of_error_object, failure_of_status, hide
from minionbench.wire.sse import NotAnEventStream, events, rest_after_events


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None


class _Timings(msgspec.Struct):
    cache_n: int | None = None
    prompt_n: int | None = None
    prompt_ms: float | None = None
    predicted_n: int | None = None
    predicted_ms: float | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    model: str | None = None
    usage: _Usage | None = None
    timings: _Timings | None = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_encode = msgspec.json.Encoder().encode

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not the JSON that was expected."""
_LARGEST = 2**53
"""No count or duration is larger, and JSON carries up to here exactly."""
_Number = TypeVar("_Number", int, float)
_BROKEN_OFF = ("abort", "error", "insufficient_system_resource")
"""Finish reasons of an answer that the server gave up: vLLM and SGLang, OpenRouter, DeepSeek."""


class OpenAIChat:
    """The `openai` dialect."""

    name = "openai"

    def request(self, call: Call, endpoint: Endpoint) -> bytes:
        """`POST …/chat/completions` with `stream: true` and usage asked for.

        The endpoint's `extra_body` is merged in last, so that a user can override anything.
        """
        limits = call.limits
        body: dict[str, Any] = {
            "model": endpoint.model,
            "messages": [{"role": m.role, "content": m.content} for m in call.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": limits.temperature,
        }
        if limits.seed is not None:
            body["seed"] = limits.seed
        if limits.forced_output_tokens is not None:
            body["max_tokens"] = limits.forced_output_tokens
            body["ignore_eos"] = True
        elif limits.max_output_tokens is not None:
            body["max_tokens"] = limits.max_output_tokens
        if call.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": call.schema},
            }
        body |= endpoint.extra_body
        headers = [
            ("Content-Type", "application/json"),
            ("Accept", "text/event-stream"),
            ("User-Agent", "minionbench"),
        ]
        if endpoint.key is not None:
            headers.append(("Authorization", f"Bearer {endpoint.key.reveal()}"))
        headers.extend(endpoint.headers)
        try:
            payload = _encode(body)
        except UnicodeEncodeError as error:
            raise UsageError(
                "A message holds half a character, which UTF-8 cannot carry"
            ) from error
        url = Url(endpoint.base_url)
        return request_bytes("POST", url, "/chat/completions", tuple(headers), payload)

    def reply(self, exchange: Exchange, endpoint: Endpoint) -> Reply:
        """The reply that an exchange amounts to; a failed one keeps what had arrived before."""
        reading = _Reading(exchange)
        if exchange.status is not None and not 200 <= exchange.status < 300:
            reading.fail(Outcome.HTTP_ERROR, failure_of_status(exchange))
        elif exchange.body:
            reading.read()
        reading.conclude()
        return reading.reply(endpoint)


class _Reading:
    """One exchange while its events are read."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.outcome: Outcome | None = None
        self.failure: Failure | None = None
        self.log = ArrivalLog(exchange)
        self.text: list[str] = []
        self.thoughts: list[str] = []
        self.finish_reason: str | None = None
        self.model: str | None = None
        self.usage: _Usage | None = None
        self.timings: _Timings | None = None
        self.done = False

    def fail(self, outcome: Outcome, failure: Failure) -> None:
        if self.outcome is None:
            self.outcome, self.failure = outcome, failure

    def read(self) -> None:
        """Reads the events, up to the first that is a failure."""
        exchange = self.exchange
        kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
        coding = exchange.headers.get("content-encoding", "identity").lower()
        if kind != "text/event-stream" or coding != "identity":
            self._refuse_body(kind, coding)
            return
        body, wrong_byte = exchange.body, None
        if not body.isascii():
            try:
                body.decode("utf-8")
            except UnicodeDecodeError as error:
                wrong_byte = error.start
                body = body[:wrong_byte]
        try:
            self._read_events(body)
        except NotAnEventStream as error:
            self._malformed(str(error))
        if wrong_byte is not None:
            self._malformed(f"invalid UTF-8 at byte {wrong_byte} of the answer")

    def _read_events(self, body: bytes) -> None:
        log = self.log
        for event in events(body):
            data = event.data
            if data == b"[DONE]":
                self.done = True
                log.event(event.end)
                continue
            if event.field == b"error":
                self._no_chunk(data, error=True)
                return
            try:
                chunk = _decode_chunk(data)
            except _UNREADABLE as error:
                self._malformed(f"an event is not a completion chunk: {error}")
                return
            choices = chunk.choices
            if chunk.error is not None or choices is None:
                self._no_chunk(data, error=chunk.error is not None)
                return
            if self.done:
                self._malformed("events follow the stream's [DONE]")
                return
            visible = reasoning = None
            if choices:
                choice = choices[0]
                if choice.index != 0 or len(choices) > 1:
                    self._malformed("the server sends several answers at once; one was asked for")
                    return
                delta = choice.delta
                if delta is not None:
                    visible = delta.content or delta.refusal
                    reasoning = delta.reasoning_content or delta.reasoning
                if choice.finish_reason is not None:
                    self.finish_reason = choice.finish_reason
            if visible or reasoning:
                if visible:
                    self.text.append(visible)
                if reasoning:
                    self.thoughts.append(reasoning)
                log.token_event(event.end, visible, reasoning)
            else:
                log.event(event.end)
            if chunk.usage is not None:
                self.usage = chunk.usage
            if chunk.timings is not None:
                self.timings = chunk.timings
            if self.model is None:
                self.model = chunk.model or None

    def _no_chunk(self, data: bytes, *, error: bool) -> None:
        """Takes an event that says what went wrong, or that is JSON of some other kind."""
        try:
            decoded = msgspec.json.decode(data)
        except _UNREADABLE:
            decoded = None
        if isinstance(decoded, dict):
            error = error or decoded.get("object") == "error"
            decoded = decoded.get("error", decoded)
        if error:
            self.fail(Outcome.STREAM_ERROR, failure_of_error_object(decoded, data))
        else:
            self._malformed("an event is not a completion chunk: it has no choices")

    def _malformed(self, message: str) -> None:
        self.fail(Outcome.MALFORMED, Failure(message=message))

    def _refuse_body(self, kind: str, coding: str) -> None:
        exchange = self.exchange
        if kind == "application/json":
            try:
                error = msgspec.json.decode(exchange.body, type=dict[str, Any]).get("error")
            except _UNREADABLE:
                error = None
            if error is not None:
                failure = failure_of_error_object(error, exchange.body)
                self.fail(Outcome.STREAM_ERROR, failure)
                return
        what = f"content type {kind or 'none'}"
        if coding != "identity":
            what += f", compressed with {coding}"
        beginning = exchange.body[:80].decode("utf-8", "replace")
        self._malformed(f"the answer is no event stream ({what}); it begins {beginning!r}")

    def conclude(self) -> None:
        """Settles the outcome: what the connection did, and whether the stream says it is whole."""
        exchange = self.exchange
        if exchange.outcome is not None:
            # It comes first, since a cut body ends in a cut event; but what a server says of its
            # own error before it closes says more.
            if self.outcome is not Outcome.STREAM_ERROR:
                self.outcome, self.failure = exchange.outcome, exchange.failure
        elif self.outcome is None:
            self._require_end()

    def _require_end(self) -> None:
        rest = rest_after_events(self.exchange.body)
        if rest:
            self._malformed(f"the answer ends inside an event: {rest[:40]!r}")
        elif not self.done:
            message = "the stream ended without [DONE]"
            self.fail(Outcome.MISSING_END, Failure(message=message))
        elif self.finish_reason is None:
            message = "the stream ended without a finish reason"
            self.fail(Outcome.MISSING_END, Failure(message=message))
        elif self.finish_reason in _BROKEN_OFF:
            message = f"the server broke the answer off (finish reason {self.finish_reason})"
            self.fail(Outcome.STREAM_ERROR, Failure(message=message))

    def reply(self, endpoint: Endpoint) -> Reply:
        """The reply as read so far."""
        exchange, log = self.exchange, self.log
        secrets = [endpoint.key.reveal()] if endpoint.key is not None else []

        def shown(text: str | None) -> str | None:
            return None if text is None else hide(text, secrets)

        failure = self.failure
        if failure is not None:
            failure = msgspec.structs.replace(
                failure, message=hide(failure.message, secrets), code=shown(failure.code)
            )
        return Reply(
            outcome=self.outcome or Outcome.OK,
            failure=failure,
            text=None if log.first_event_ns is None else hide("".join(self.text), secrets),
            reasoning=hide("".join(self.thoughts), secrets) if self.thoughts else None,
            finish_reason=shown(self.finish_reason),
            model=shown(self.model),
            usage=_usage(self.usage),
            engine=_engine(self.timings),
            planned_ns=exchange.planned_ns,
            admitted_ns=exchange.admitted_ns,
            connect_start_ns=exchange.connect_start_ns,
            connect_end_ns=exchange.connect_end_ns,
            sent_ns=exchange.sent_ns,
            sent_end_ns=exchange.sent_end_ns,
            first_byte_ns=exchange.first_byte_ns,
            first_event_ns=log.first_event_ns,
            first_reasoning_ns=log.first_reasoning_ns,
            first_visible_ns=log.first_visible_ns,
            event_ns=tuple(log.token_ns),
            end_ns=exchange.end_ns,
            replaced_connections=exchange.replaced_connections,
            arrival=log.arrival(),
        )


def _usage(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = prompt.cached_tokens if prompt is not None else None
    return Usage(
        prompt_tokens=_known(usage.prompt_tokens),
        completion_tokens=_known(usage.completion_tokens),
        cached_tokens=_known(usage.prompt_cache_hit_tokens if cached is None else cached),
        reasoning_tokens=_known(completion.reasoning_tokens if completion is not None else None),
    )


def _engine(timings: _Timings | None) -> EngineTimings | None:
    if timings is None:
        return None
    return EngineTimings(
        cached_tokens=_known(timings.cache_n),
        prompt_tokens=_known(timings.prompt_n),
        prompt_ms=_known(timings.prompt_ms),
        predicted_tokens=_known(timings.predicted_n),
        predicted_ms=_known(timings.predicted_ms),
    )


def _known(value: _Number | None) -> _Number | None:
    """A count or a duration; None for what cannot be one, such as llama.cpp's −1 for "not set"."""
    return value if value is not None and 0 <= value <= _LARGEST else None
