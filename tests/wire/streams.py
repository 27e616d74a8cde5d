"""Answers that servers could give, in every dialect: what they say, and the bytes that say it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import strategies as st

from minionbench.exchange import Usage

DIALECTS = ("openai", "completions", "responses", "anthropic", "ollama")
MEDIA_TYPE = dict.fromkeys(DIALECTS, "text/event-stream") | {"ollama": "application/x-ndjson"}


@dataclass(frozen=True)
class Said:
    """What an answer says, whatever its dialect."""

    tokens: tuple[tuple[str, str], ...]
    """Kind ("visible" or "reasoning") and text of each token-bearing event."""
    cut: bool = False
    """Whether it ends at its limit, or else by itself."""
    prompt_tokens: int = 7
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    model: str = "the-model"

    @property
    def visible(self) -> str:
        return "".join(text for kind, text in self.tokens if kind == "visible")

    @property
    def reasoning(self) -> str:
        return "".join(text for kind, text in self.tokens if kind == "reasoning")

    @property
    def completion_tokens(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Hand:
    """How a server writes."""

    spaced: bool = False
    """JSON with a space after colons and commas."""
    ascii: bool = False
    """Every other character escaped."""
    line_end: bytes = b"\n"
    noise: tuple[bytes, ...] = ()
    """What stands before the events, one after the other, as far as it goes."""
    sequence: Iterator[int] = field(default_factory=count)

    def json(self, value: object) -> bytes:
        separators = (", ", ": ") if self.spaced else (",", ":")
        text = json.dumps(value, ensure_ascii=self.ascii, separators=separators)
        # As Go's encoder has it; clients cut lines there.
        for character in "\u2028\u2029\x85":
            text = text.replace(character, f"\\u{ord(character):04x}")
        return text.encode()

    def event(self, value: object, name: str | None = None) -> bytes:
        data = value if isinstance(value, bytes) else self.json(value)
        named = b"" if name is None else b"event: " + name.encode() + b"\n"
        return (named + b"data: " + data + b"\n\n").replace(b"\n", self.line_end)

    def typed(self, kind: str, **fields: object) -> bytes:
        """An event that names its type twice, as Anthropic and the Responses API have it."""
        return self.event({"type": kind, **fields}, kind)


def openai_events(said: Said, hand: Hand, *, raw: bool = False) -> Iterator[bytes]:
    """Chat completions; raw ones hold no reasoning and no roles."""
    common = {
        "id": "cmpl-1",
        "object": "text_completion" if raw else "chat.completion.chunk",
        "created": 1,
        "model": said.model,
    }

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        inner: dict[str, Any] = {"text": delta.get("content", "")} if raw else {"delta": delta}
        choice = {"index": 0, **inner, "logprobs": None, "finish_reason": finish_reason}
        return hand.event({**common, "choices": [choice], "usage": None})

    if not raw:
        yield chunk({"role": "assistant", "content": ""})
    for kind, text in said.tokens:
        yield chunk({"content" if kind == "visible" else "reasoning_content": text})
    yield chunk({}, "length" if said.cut else "stop")
    counts: dict[str, Any] = {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.completion_tokens,
        "total_tokens": said.prompt_tokens + said.completion_tokens,
    }
    if said.cached_tokens is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": said.cached_tokens}
    if said.reasoning_tokens is not None:
        counts["completion_tokens_details"] = {"reasoning_tokens": said.reasoning_tokens}
    yield hand.event({**common, "choices": [], "usage": counts})
    yield hand.event(b"[DONE]")


def responses_events(said: Said, hand: Hand) -> Iterator[bytes]:
    """The Responses API."""

    def typed(kind: str, **fields: object) -> bytes:
        return hand.typed(kind, **fields, sequence_number=next(hand.sequence))

    response: dict[str, Any] = {"id": "resp_1", "object": "response", "model": said.model}
    yield typed("response.created", response={**response, "status": "in_progress", "output": []})
    yield typed("response.in_progress", response={**response, "status": "in_progress"})
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    yield typed("response.output_item.added", output_index=0, item={"type": "message"})
    for kind, text in said.tokens:
        if kind == "visible":
            yield typed("response.output_text.delta", **place, delta=text, logprobs=[])
        else:
            yield typed("response.reasoning_text.delta", **place, delta=text)
    yield typed("response.output_text.done", **place, text=said.visible, logprobs=[])
    response["usage"] = {
        "input_tokens": said.prompt_tokens,
        "input_tokens_details": {"cached_tokens": said.cached_tokens or 0},
        "output_tokens": said.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": said.reasoning_tokens or 0},
        "total_tokens": said.prompt_tokens + said.completion_tokens,
    }
    if said.cut:
        response |= {
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
        }
        yield typed("response.incomplete", response=response)
    else:
        response |= {"status": "completed", "incomplete_details": None}
        yield typed("response.completed", response=response)


def anthropic_events(said: Said, hand: Hand) -> Iterator[bytes]:
    """Messages: a block for each run of one kind."""
    cached = said.cached_tokens
    usage: dict[str, Any] = {"input_tokens": said.prompt_tokens - (cached or 0), "output_tokens": 1}
    if cached is not None:
        usage |= {"cache_read_input_tokens": cached, "cache_creation_input_tokens": 0}
    yield hand.typed(
        "message_start",
        message={
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": said.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        },
    )
    block, index = None, -1
    for kind, text in said.tokens:
        name = "text" if kind == "visible" else "thinking"
        if name != block:
            if block is not None:
                yield hand.typed("content_block_stop", index=index)
            block, index = name, index + 1
            signature = {"signature": ""} if name == "thinking" else {}
            content = {"type": name, name: "", **signature}
            yield hand.typed("content_block_start", index=index, content_block=content)
            yield hand.typed("ping")
        delta = {"type": f"{name}_delta", name: text}
        yield hand.typed("content_block_delta", index=index, delta=delta)
    if block is not None:
        yield hand.typed("content_block_stop", index=index)
    last: dict[str, Any] = {"output_tokens": said.completion_tokens}
    if said.reasoning_tokens is not None:
        last["output_tokens_details"] = {"thinking_tokens": said.reasoning_tokens}
    reason = "max_tokens" if said.cut else "end_turn"
    yield hand.typed(
        "message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=last
    )
    yield hand.typed("message_stop")


def ollama_lines(said: Said, hand: Hand) -> Iterator[bytes]:
    """Ollama's chat, one line per token."""

    def line(message: dict[str, str], *, done: bool = False, **fields: object) -> bytes:
        instant = f"2026-08-01T12:00:00.{next(hand.sequence):09}Z"
        value = {"model": said.model, "created_at": instant, "message": message, "done": done}
        return hand.json({**value, **fields}) + hand.line_end

    for kind, text in said.tokens:
        if kind == "visible":
            yield line({"role": "assistant", "content": text})
        else:
            yield line({"role": "assistant", "content": "", "thinking": text})
    counts: dict[str, int] = {"prompt_eval_count": said.prompt_tokens}
    if said.cached_tokens is not None:
        counts["prompt_eval_cached_count"] = said.cached_tokens
    yield line(
        {"role": "assistant", "content": ""},
        done=True,
        done_reason="length" if said.cut else "stop",
        total_duration=9_000_000,
        load_duration=1_000_000,
        **counts,
        prompt_eval_duration=2_000_000,
        eval_count=said.completion_tokens,
        eval_duration=5_500_000,
    )


def completions_events(said: Said, hand: Hand) -> Iterator[bytes]:
    """Raw completions."""
    return openai_events(said, hand, raw=True)


EVENTS: dict[str, Callable[[Said, Hand], Iterator[bytes]]] = {
    "openai": openai_events,
    "completions": completions_events,
    "responses": responses_events,
    "anthropic": anthropic_events,
    "ollama": ollama_lines,
}
FINISH_REASONS = {
    "openai": ("stop", "length"),
    "completions": ("stop", "length"),
    "responses": ("completed", "max_output_tokens"),
    "anthropic": ("end_turn", "max_tokens"),
    "ollama": ("stop", "length"),
}
"""Of an answer that ended by itself, and of one that was cut at its limit."""
NOISE = {
    "openai": (b": keep-alive\n\n", b"\n", b":\n\n", b"id: 1\n\n"),
    "completions": (b": keep-alive\n\n", b"\n\n"),
    "responses": (b": keep-alive\n\n", b'data: {"type":"response.new.thing","delta":{}}\n\n'),
    "anthropic": (
        b'event: ping\ndata: {"type":"ping"}\n\n',
        b'event: new\ndata: {"type":"new","delta":"x"}\n\n',
        b": keep-alive\n\n",
    ),
    "ollama": (b"\n",),
}


def written(dialect: str, said: Said, hand: Hand) -> list[bytes]:
    """The events of an answer, each with the noise before it."""
    events = list(EVENTS[dialect](said, hand))
    for index, noise in enumerate(hand.noise[: len(events)]):
        events[index] = noise.replace(b"\n", hand.line_end) + events[index]
    return events


def expected_usage(dialect: str, said: Said) -> Usage:
    """The counts that an answer's bytes hold, as every dialect's reply has them."""
    none = 0 if dialect == "responses" else None
    cached = none if said.cached_tokens is None else said.cached_tokens
    reasoning = none if said.reasoning_tokens is None else said.reasoning_tokens
    return Usage(
        prompt_tokens=said.prompt_tokens,
        completion_tokens=said.completion_tokens,
        cached_tokens=cached,
        cache_write_tokens=0 if dialect == "anthropic" and cached is not None else None,
        reasoning_tokens=None if dialect == "ollama" else reasoning,
    )


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5) | st.sampled_from(
    [" the", " and", ", ", "\n", '"', "\\", "\\n", " 東京", "🙂", "0", '","', "}]}\n\n", "data: "]
)


@st.composite
def answers(draw: st.DrawFn, dialect: str) -> Said:
    """What an answer could say: runs of reasoning and of visible text."""
    kinds = ["visible"] if dialect == "completions" else ["visible", "reasoning"]
    runs = draw(
        st.lists(st.tuples(st.sampled_from(kinds), st.lists(words, max_size=12)), max_size=3)
    )
    return Said(
        tokens=tuple((kind, text) for kind, texts in runs for text in texts),
        cut=draw(st.booleans()),
        prompt_tokens=draw(st.integers(4, 10**6)),
        cached_tokens=draw(st.none() | st.integers(0, 4)),
        reasoning_tokens=draw(st.none() | st.integers(0, 10**5)),
        model=draw(st.sampled_from(["m", "org/model:7b", 'a"b', "modèle"])),
    )


@st.composite
def hands(
    draw: st.DrawFn,
    dialect: str,
    line_ends: tuple[bytes, ...] = (b"\n", b"\r\n"),
    noises: tuple[bytes, ...] | None = None,
) -> Hand:
    """How a server could write it."""
    noise = st.sampled_from((b"", b"", *(NOISE[dialect] if noises is None else noises)))
    return Hand(
        spaced=draw(st.booleans()),
        ascii=draw(st.booleans()),
        line_end=draw(st.sampled_from(line_ends)),
        noise=tuple(draw(st.lists(noise, max_size=8))),
    )
