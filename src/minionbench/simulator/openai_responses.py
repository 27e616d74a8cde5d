"""OpenAI's responses: POST /v1/responses, typed events with a sequence number.

Source: OpenAI API reference and SDK 3.54, October 2026.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minionbench.simulator.asked import Asked, Body, Refused, Turn, content_text, words
from minionbench.simulator.encoding import HOLE, Served, around, named_event, to_json
from minionbench.simulator.openai_chat import response_format
from minionbench.simulator.refusal import KINDS
from minionbench.simulator.server_kind import ServerKind

_FIELDS = words(
    "model input instructions max_output_tokens reasoning text stream store temperature top_p"
    " metadata tools tool_choice parallel_tool_calls include previous_response_id conversation"
    " prompt prompt_cache_key prompt_cache_retention safety_identifier service_tier stream_options"
    " top_logprobs truncation user background max_tool_calls"
)
_LEAST_OUTPUT = 16
_RAW_REASONING = ("vllm", "llamacpp", "lmstudio", "ollama")
"""Servers that stream the reasoning itself; the others a summary of it where one is asked for."""


def read(body: Body, server: ServerKind) -> Asked:
    """What a request's body asks for.

    Raises Refused where the server would.
    """
    if server == "openai":
        body.refuse_unknown(_FIELDS)
    reasoning = body.part("reasoning")
    effort = reasoning.text("effort")
    summary = reasoning.text("summary")
    if summary not in (None, "auto", "concise", "detailed"):
        raise Refused("bad_request", "Invalid value: 'reasoning.summary'.", param="reasoning")
    schema, json = response_format(body.part("text").part("format"))
    return Asked(
        route="responses",
        model=body.need_text("model"),
        turns=_turns(body),
        stream=body.flag("stream", False),
        max_tokens=body.whole("max_output_tokens", _LEAST_OUTPUT if server == "openai" else 1),
        schema=schema,
        json=json,
        reasoning=None if effort is None else effort not in ("none", "minimal"),
        effort=effort,
        reasoning_shown=summary is not None or server in _RAW_REASONING,
        cache_salt=body.text("prompt_cache_key") or "",
    )


def _turns(body: Body) -> tuple[Turn, ...]:
    turns = []
    instructions = body.text("instructions")
    if instructions:
        turns.append(Turn("system", instructions))
    given = body.fields.get("input")
    if isinstance(given, str) and given:
        return (*turns, Turn("user", given))
    if not isinstance(given, list) or not given:
        raise Refused("bad_request", "Missing required parameter: 'input'.", param="input")
    for index, item in enumerate(given):
        role = item.get("role") if isinstance(item, dict) else None
        if role in ("system", "developer", "user", "assistant"):
            turns.append(Turn(str(role), content_text(item.get("content"), f"input[{index}]")))
        elif not isinstance(item, dict) or item.get("type") not in ("reasoning", "item_reference"):
            raise Refused("bad_request", f"Invalid value: 'input[{index}]'.", param="input")
    return tuple(turns)


class ResponsesEncoder:
    """Events from `response.created` to `response.completed`, or one `response`."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, served: Served) -> None:
        self._served = served
        self._generated = served.generated
        self._number = -1
        self._item: str | None = None
        """Kind of the output item that is being written: `reasoning` or `message`."""
        self._index = -1
        self._raw = served.server in _RAW_REASONING
        self._written: dict[str, list[str]] = {"reasoning": [], "message": []}

    def opening(self) -> bytes:
        """`response.created` and `response.in_progress`."""
        response = self._response("in_progress", [])
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def pieces(self, reasoning: Sequence[str], text: Sequence[str]) -> bytes:
        """A delta per piece; an item begins with its first piece."""
        out = []
        for kind, pieces in (("reasoning", reasoning), ("message", text)):
            if pieces:
                out.append(self._begin(kind))
                out += self._deltas(kind, pieces)
                self._written[kind] += pieces
        return b"".join(out)

    def _deltas(self, kind: str, pieces: Sequence[str]) -> list[bytes]:
        name, place = self._delta_name(kind)
        more: dict[str, Any] = {"logprobs": []} if kind == "message" else {}
        fields = {"type": name, **self._place(kind), **place, "delta": HOLE, **more}
        before, after = around(fields)
        before = b"event: " + name.encode() + b"\ndata: " + before
        out: list[bytes] = []
        for piece in pieces:
            self._number += 1
            # The last field of the object, so that the rest of it is the same for each event.
            end = b'%b,"sequence_number":%d}\n\n' % (after[:-1], self._number)
            out += (before, to_json(piece), end)
        return out

    def _delta_name(self, kind: str) -> tuple[str, dict[str, int]]:
        if kind == "message":
            return "response.output_text.delta", {"content_index": 0}
        if self._raw:
            return "response.reasoning_text.delta", {"content_index": 0}
        return "response.reasoning_summary_text.delta", {"summary_index": 0}

    def _event(self, name: str, **fields: Any) -> bytes:
        self._number += 1
        return named_event(name, {"type": name, **fields, "sequence_number": self._number})

    def _place(self, kind: str) -> dict[str, Any]:
        return {"item_id": self._id(kind), "output_index": self._index}

    def _id(self, kind: str) -> str:
        return f"{'rs' if kind == 'reasoning' else 'msg'}_{self._served.call_id}"

    def _begin(self, kind: str) -> bytes:
        if self._item == kind:
            return b""
        ended = self._end("completed")
        if kind == "message" and self._left_out:
            ended = self._begin("reasoning") + self._end("completed")
        self._item, self._index = kind, self._index + 1
        item = self._reasoning_item("", "in_progress")
        if kind == "message":
            item = {**self._message_item("", "in_progress"), "content": []}
        added = self._event("response.output_item.added", output_index=self._index, item=item)
        return ended + added + self._part(kind, "added", "")

    @property
    def _left_out(self) -> bool:
        """Whether an item of reasoning is due that has no text."""
        generated = self._generated
        return self._index < 0 and bool(generated.reasoning) and not generated.shown

    def _part(self, kind: str, what: str, text: str) -> bytes:
        place = self._place(kind)
        if kind == "message":
            part = _output_text(text)
            return self._event(f"response.content_part.{what}", **place, content_index=0, part=part)
        if self._raw:
            part = {"type": "reasoning_text", "text": text}
            return self._event(f"response.content_part.{what}", **place, content_index=0, part=part)
        if not self._generated.shown:
            return b""
        part = {"type": "summary_text", "text": text}
        name = f"response.reasoning_summary_part.{what}"
        return self._event(name, **place, summary_index=0, part=part)

    def _end(self, status: str) -> bytes:
        kind = self._item
        if kind is None:
            return b""
        text, place = "".join(self._written[kind]), self._place(kind)
        self._item = None
        if kind == "message":
            item = self._message_item(text, status)
            done = self._event(
                "response.output_text.done", **place, content_index=0, text=text, logprobs=[]
            )
        else:
            item = self._reasoning_item(text, status)
            done = b""
            if self._raw:
                name = "response.reasoning_text.done"
                done = self._event(name, **place, content_index=0, text=text)
            elif self._generated.shown:
                name = "response.reasoning_summary_text.done"
                done = self._event(name, **place, summary_index=0, text=text)
        done += self._part(kind, "done", text)
        return done + self._event("response.output_item.done", output_index=self._index, item=item)

    def closing(self) -> bytes:
        """Ends the item; `response.completed` or `response.incomplete` with all of it."""
        generated = self._generated
        complete = generated.finish == "stop"
        status = "completed" if complete else "incomplete"
        out = b""
        if self._left_out:
            out += self._begin("reasoning")
        if self._item != "message" and (complete or generated.text):
            out += self._begin("message")
        out += self._end(status)
        return out + self._event(
            f"response.{status}", response=self._response(status, self._output(status))
        )

    def keep_alive(self) -> bytes:
        """A comment."""
        return b": keep-alive\n\n"

    def strange(self) -> bytes:
        """An event of a type that no client knows, and a comment."""
        return b": what is this\n\n" + self._event("response.novelty.delta", delta="?")

    def failing(self, refused: Refused) -> bytes:
        """An `error` event, then `response.failed`."""
        code = "server_error" if refused.kind != "rate_limit" else "rate_limit_exceeded"
        said = KINDS[refused.kind].code or code
        failed = self._response("failed", [])
        failed["error"] = {"code": code, "message": refused.message}
        return self._event("error", code=said, message=refused.message, param=None) + self._event(
            "response.failed", response=failed
        )

    def whole(self) -> bytes:
        """The response as one object."""
        status = "completed" if self._generated.finish == "stop" else "incomplete"
        return to_json(self._response(status, self._output(status)))

    def _output(self, status: str) -> list[dict[str, Any]]:
        generated = self._generated
        items = []
        if generated.reasoning:
            ended = status if not generated.text else "completed"
            items.append(self._reasoning_item(generated.shown_reasoning, ended))
        if generated.text or status == "completed":
            items.append(self._message_item(generated.answer, status))
        return items

    def _reasoning_item(self, text: str, status: str) -> dict[str, Any]:
        item: dict[str, Any] = {"id": self._id("reasoning"), "type": "reasoning", "summary": []}
        if text and self._raw:
            item["content"] = [{"type": "reasoning_text", "text": text}]
        elif text:
            item["summary"] = [{"type": "summary_text", "text": text}]
        return {**item, "status": status}

    def _message_item(self, text: str, status: str) -> dict[str, Any]:
        return {
            "id": self._id("message"),
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [_output_text(text)],
        }

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        asked = self._served.asked
        ended = status in ("completed", "incomplete")
        reason = None
        if status == "incomplete":
            filtered = self._generated.finish == "filter"
            reason = {"reason": "content_filter" if filtered else "max_output_tokens"}
        return {
            "id": f"resp_{self._served.call_id}",
            "object": "response",
            "created_at": self._served.created_s,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": reason,
            "instructions": None,
            "max_output_tokens": asked.max_tokens,
            "model": asked.model,
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": asked.effort, "summary": None},
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": self._usage() if ended and self._generated.reports_usage else None,
            "metadata": {},
        }

    def _usage(self) -> dict[str, Any]:
        generated = self._generated
        return {
            "input_tokens": generated.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": generated.cached_tokens,
                "cache_write_tokens": 0,
            },
            "output_tokens": generated.output_tokens,
            "output_tokens_details": {"reasoning_tokens": len(generated.reasoning)},
            "total_tokens": generated.prompt_tokens + generated.output_tokens,
        }


def _output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
