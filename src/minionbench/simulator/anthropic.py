"""Anthropic's messages: POST /v1/messages.

Source: Anthropic API reference and SDK 2.12, October 2026.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from minionbench.simulator.asked import Asked, Body, Refused, Turn, content_text, words
from minionbench.simulator.encoding import HOLE, Served, around, named_event, to_json
from minionbench.simulator.refusal import error_fields
from minionbench.simulator.server_kind import ServerKind

_FIELDS = words(
    "model messages max_tokens system stream temperature top_p top_k stop_sequences thinking"
    " output_config metadata service_tier tools tool_choice container context_management"
    " cache_control speed inference_geo betas"
)
_LEAST_BUDGET = 1_024
_SIGNATURE = b64encode(b"simulated signature").decode()
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "filter": "refusal",
    "context": "model_context_window_exceeded",
}


def read(body: Body, server: ServerKind) -> Asked:
    """What a request's body asks for.

    Raises Refused where the server would.
    """
    if server == "anthropic":
        for name in body.fields:
            if name not in _FIELDS:
                raise Refused("bad_request", f"{name}: Extra inputs are not permitted")
    limit = body.whole("max_tokens", 1)
    if limit is None:
        raise Refused("bad_request", "max_tokens: Field required")
    body.number("temperature", 0, 1)
    thinking = body.part("thinking")
    kind = thinking.text("type")
    if kind not in (None, "enabled", "adaptive", "disabled", "between_tools"):
        raise Refused("bad_request", "thinking.type: Input should be enabled, adaptive or disabled")
    budget = _budget(thinking, kind, limit)
    if kind in ("enabled", "adaptive") and body.fields.get("temperature", 1) != 1:
        raise Refused("bad_request", "`temperature` may only be set to 1 when thinking is enabled.")
    output = body.part("output_config")
    wanted = output.part("format")
    turns, marked = _turns(body)
    if body.fields.get("cache_control") is not None:
        marked = len(turns)
    return Asked(
        route="messages",
        model=body.need_text("model"),
        turns=turns,
        stream=body.flag("stream", False),
        max_tokens=limit,
        stop=body.texts("stop_sequences"),
        schema=wanted.part("schema").fields if wanted.text("type") == "json_schema" else None,
        reasoning=None if kind is None else kind in ("enabled", "adaptive"),
        effort=output.text("effort"),
        reasoning_tokens=budget,
        thinking=kind,
        reasoning_shown=thinking.text("display") != "omitted",
        cache=marked > 0,
        cache_turns=marked,
    )


def _budget(thinking: Body, kind: str | None, limit: int) -> int | None:
    if kind != "enabled":
        return None
    budget = thinking.whole("budget_tokens")
    if budget is None:
        raise Refused("bad_request", "thinking.enabled.budget_tokens: Field required")
    if budget < _LEAST_BUDGET:
        raise Refused(
            "bad_request",
            f"thinking.enabled.budget_tokens: Input should be greater than or equal to "
            f"{_LEAST_BUDGET}",
        )
    if budget >= limit:
        raise Refused("bad_request", "`max_tokens` must be greater than `thinking.budget_tokens`.")
    return budget


def _turns(body: Body) -> tuple[tuple[Turn, ...], int]:
    """The conversation, the system text first; and how many turns a cache mark covers."""
    entries = body.array("messages")
    if not entries:
        raise Refused("bad_request", "messages: at least one message is required")
    contents = [("system", body.fields["system"])] if "system" in body else []
    for index, entry in enumerate(entries):
        role = entry.get("role") if isinstance(entry, dict) else None
        if role not in ("user", "assistant"):
            raise Refused(
                "bad_request", f"messages.{index}.role: Input should be user or assistant"
            )
        contents.append((str(role), entry.get("content")))
    turns: list[Turn] = []
    marked = 0
    for role, content in contents:
        text = content_text(content, "content")
        if not text and role == "user":
            raise Refused(
                "bad_request", f"messages.{len(turns)}: user messages must have non-empty content"
            )
        turns.append(Turn(role, text))
        if isinstance(content, list) and any(
            isinstance(part, dict) and part.get("cache_control") for part in content
        ):
            marked = len(turns)
    return tuple(turns), marked


class MessagesEncoder:
    """Named events from `message_start` to `message_stop`, or one `message`."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, served: Served) -> None:
        self._served = served
        self._generated = served.generated
        self._index = -1
        self._open: str | None = None
        """Kind of the content block that is being written."""

    def opening(self) -> bytes:
        """`message_start` with the tokens of the prompt, and a ping."""
        message = self._message([], None)
        message["usage"] = self._usage(output_tokens=1)
        return named_event("message_start", {"type": "message_start", "message": message}) + (
            self.keep_alive()
        )

    def pieces(self, reasoning: Sequence[str], text: Sequence[str]) -> bytes:
        """A delta per piece; a block begins with its first piece."""
        out = []
        if reasoning:
            out.append(self._begin("thinking"))
            out += self._deltas("thinking", reasoning)
        if text:
            out.append(self._begin("text"))
            out += self._deltas("text", text)
        return b"".join(out)

    def _deltas(self, kind: str, pieces: Sequence[str]) -> list[bytes]:
        delta = {"type": f"{kind}_delta", kind: HOLE}
        before, after = around(
            {"type": "content_block_delta", "index": self._index, "delta": delta}
        )
        before = b"event: content_block_delta\ndata: " + before
        after += b"\n\n"
        return [before + to_json(piece) + after for piece in pieces]

    def _begin(self, kind: str) -> bytes:
        if self._open == kind:
            return b""
        ended = self._end()
        if kind == "text" and self._left_out:
            ended = self._begin("thinking") + self._end()
        self._open = kind
        self._index += 1
        block = {"type": "text", "text": ""}
        if kind == "thinking":
            block = {"type": "thinking", "thinking": "", "signature": ""}
        return ended + named_event(
            "content_block_start",
            {"type": "content_block_start", "index": self._index, "content_block": block},
        )

    @property
    def _left_out(self) -> bool:
        """Whether a block of thinking is due that has no text, only its signature."""
        generated = self._generated
        return self._index < 0 and bool(generated.reasoning) and not generated.shown

    def _end(self) -> bytes:
        if self._open is None:
            return b""
        signed = b""
        if self._open == "thinking":
            delta = {"type": "signature_delta", "signature": _SIGNATURE}
            signed = named_event(
                "content_block_delta",
                {"type": "content_block_delta", "index": self._index, "delta": delta},
            )
        self._open = None
        return signed + named_event(
            "content_block_stop", {"type": "content_block_stop", "index": self._index}
        )

    def closing(self) -> bytes:
        """Ends the block; `message_delta` with the stop reason and all tokens; `message_stop`."""
        out = b""
        generated = self._generated
        if self._left_out:
            out += self._begin("thinking")
        if self._open != "text" and generated.finish != "length":
            out += self._begin("text")
        out += self._end()
        delta = {
            "stop_reason": self._stop_reason(),
            "stop_sequence": generated.stop_sequence,
            "stop_details": self._stop_details(),
        }
        usage = self._usage(generated.output_tokens)
        return (
            out
            + named_event(
                "message_delta", {"type": "message_delta", "delta": delta, "usage": usage}
            )
            + named_event("message_stop", {"type": "message_stop"})
        )

    def keep_alive(self) -> bytes:
        """A ping."""
        return named_event("ping", {"type": "ping"})

    def strange(self) -> bytes:
        """An event of an unknown name."""
        return named_event("ping", {"type": "ping", "novelty": 1})

    def failing(self, refused: Refused) -> bytes:
        """An `error` event."""
        served = self._served
        return named_event(
            "error",
            error_fields(refused, "anthropic", served.server, f"req_{served.call_id}"),
        )

    def whole(self) -> bytes:
        """The message as one object."""
        generated = self._generated
        content: list[dict[str, Any]] = []
        if generated.reasoning:
            content.append(
                {
                    "type": "thinking",
                    "thinking": generated.shown_reasoning,
                    "signature": _SIGNATURE,
                }
            )
        if generated.text or not content:
            content.append({"type": "text", "text": generated.answer})
        return to_json(self._message(content, self._stop_reason()))

    def _message(self, content: list[dict[str, Any]], stop: str | None) -> dict[str, Any]:
        ended = stop is not None
        return {
            "id": f"msg_{self._served.call_id}",
            "type": "message",
            "role": "assistant",
            "model": self._served.asked.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": self._generated.stop_sequence if ended else None,
            "stop_details": self._stop_details() if ended else None,
            "usage": self._usage(self._generated.output_tokens),
        }

    def _stop_reason(self) -> str:
        if self._generated.stop_sequence is not None:
            return "stop_sequence"
        return _STOP_REASONS.get(self._generated.finish, "end_turn")

    def _stop_details(self) -> dict[str, Any] | None:
        if self._generated.finish != "filter":
            return None
        return {"type": "refusal", "category": None, "explanation": None}

    def _usage(self, output_tokens: int) -> dict[str, Any]:
        generated, asked = self._served.generated, self._served.asked
        written = 0
        if asked.cache:
            written = generated.cacheable_tokens - generated.cached_tokens
        usage: dict[str, Any] = {
            "input_tokens": generated.prompt_tokens - generated.cached_tokens - written,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": generated.cached_tokens,
            "output_tokens": output_tokens,
        }
        if output_tokens > 1 or generated.output_tokens <= 1:
            usage["output_tokens_details"] = {"thinking_tokens": len(generated.reasoning)}
        return usage
