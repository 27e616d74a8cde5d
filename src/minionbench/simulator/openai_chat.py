"""OpenAI's chat completions: POST /v1/chat/completions.

The same route is spoken by DeepSeek, vLLM, SGLang, llama.cpp, LM Studio and Ollama, each with its
own name for reasoning and its own way to switch it.

Source: OpenAI API reference and SDK 3.54; documentation of the other servers, October 2026.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minionbench.simulator.asked import Asked, Body, Refused, Turn, content_text, words
from minionbench.simulator.encoding import HOLE, Served, around, data_event, to_json
from minionbench.simulator.refusal import error_fields
from minionbench.simulator.server_kind import ServerKind
from minionbench.units import NS_PER_MS

_OPENAI_FIELDS = words(
    "messages model stream stream_options max_tokens max_completion_tokens temperature top_p n stop"
    " seed response_format reasoning_effort frequency_penalty presence_penalty logit_bias logprobs"
    " top_logprobs user tools tool_choice parallel_tool_calls metadata store service_tier verbosity"
    " prompt_cache_key prompt_cache_retention safety_identifier modalities prediction"
)
"""The fields that OpenAI itself takes; it refuses others."""
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_OFF = ("none", "minimal")
_PADDED_BYTES = 16

_SWITCHES: dict[ServerKind, tuple[str, ...]] = {
    "any": ("reasoning_effort", "thinking", "chat_template_kwargs", "think"),
    "openai": ("reasoning_effort",),
    "deepseek": ("thinking", "reasoning_effort"),
    "vllm": ("chat_template_kwargs",),
    "sglang": ("chat_template_kwargs",),
    "llamacpp": ("chat_template_kwargs", "reasoning_effort"),
    "lmstudio": ("reasoning_effort",),
    "ollama": ("reasoning_effort", "think"),
    "anthropic": (),
}
"""The fields by which each server lets reasoning be switched; it ignores the others."""


def read(body: Body, server: ServerKind) -> Asked:
    """What a request's body asks for.

    Raises Refused where the server would.
    """
    if server == "openai":
        body.refuse_unknown(_OPENAI_FIELDS)
    stream = body.flag("stream", False)
    if (body.whole("n", 1) or 1) != 1:
        raise Refused("bad_request", "Only one choice per request is simulated.", param="n")
    if "stream_options" in body and not stream:
        raise Refused(
            "bad_request",
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    options = body.part("stream_options")
    reasoning, effort = wish(body, server)
    schema, json = response_format(body.part("response_format"))
    return Asked(
        route="chat",
        model=body.need_text("model"),
        turns=messages(body),
        stream=stream,
        usage_in_stream=options.flag("include_usage", False),
        max_tokens=max_tokens(body),
        min_tokens=body.whole("min_tokens") or body.whole("min_new_tokens") or 0,
        ignore_eos=body.flag("ignore_eos", False),
        stop=body.texts("stop"),
        seed=body.whole("seed", -(2**63)),
        schema=schema,
        json=json,
        reasoning=reasoning,
        effort=effort,
        cache=body.flag("cache_prompt", True),
        cache_salt=body.text("cache_salt") or "",
        sampling=body.number("temperature", 0, 2),
        max_tokens_deprecated="max_tokens" in body,
        padded=server == "openai" and options.flag("include_obfuscation", True),
    )


def messages(body: Body) -> tuple[Turn, ...]:
    """The conversation in `messages`."""
    entries = body.array("messages")
    if not entries:
        raise Refused("bad_request", "Missing required parameter: 'messages'.", param="messages")
    turns = []
    for index, entry in enumerate(entries):
        where = f"messages[{index}]"
        role = entry.get("role") if isinstance(entry, dict) else None
        if role not in _ROLES:
            raise Refused("bad_request", f"Invalid value: '{where}.role'.", param=f"{where}.role")
        turns.append(Turn(str(role), content_text(entry.get("content"), f"{where}.content")))
    return tuple(turns)


def max_tokens(body: Body) -> int | None:
    """The limit on generated tokens, whichever of its names it has."""
    for name in ("max_completion_tokens", "max_tokens", "n_predict"):
        value = body.whole(name, -1 if name == "n_predict" else 1)
        if value is not None and value >= 0:
            return value
    return None


def response_format(wanted: Body) -> tuple[dict[str, Any] | None, bool]:
    """The JSON Schema of the answer, and whether it has to be JSON at all."""
    match wanted.text("type"):
        case "json_schema":
            holder = wanted.part("json_schema") if "json_schema" in wanted else wanted
            if "schema" not in holder:
                raise Refused(
                    "bad_request",
                    "Missing required parameter: 'response_format.json_schema.schema'.",
                    param="response_format",
                )
            return holder.part("schema").fields, True
        case "json_object":
            return (wanted.part("schema").fields if "schema" in wanted else None), True
        case "text" | None:
            return None, False
    raise Refused("bad_request", "Invalid value: 'response_format.type'.", param="response_format")


def wish(body: Body, server: ServerKind) -> tuple[bool | None, str | None]:
    """Whether reasoning is asked for, None where nothing is said; and how much."""
    wanted: bool | None = None
    effort: str | None = None
    for field in _SWITCHES[server]:
        if field not in body:
            continue
        match field:
            case "reasoning_effort":
                effort = body.text(field)
                wanted = effort not in _OFF if wanted is None else wanted
            case "thinking":
                kind = body.part(field).text("type")
                if kind not in ("enabled", "disabled"):
                    raise Refused("bad_request", "Invalid value: 'thinking.type'.", param=field)
                wanted = kind == "enabled"
            case "chat_template_kwargs":
                template = body.part(field)
                for name in ("enable_thinking", "thinking"):
                    if name in template:
                        wanted = template.flag(name, False)
            case _:
                value = body.fields[field]
                wanted = value not in (False, *_OFF)
    return wanted, effort


class ChatEncoder:
    """Chunks of `chat.completion.chunk`, or one `chat.completion`."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, served: Served) -> None:
        self._served = served
        asked, self._generated = served.asked, served.generated
        self._frame: dict[str, Any] = {
            "id": f"chatcmpl-{served.call_id}",
            "object": "chat.completion.chunk",
            "created": served.created_s,
            "model": asked.model,
        }
        if served.server == "openai":
            self._frame |= {"service_tier": "default", "system_fingerprint": "fp_simulated"}
        self._field = "reasoning" if served.server in ("vllm", "ollama") else "reasoning_content"
        self._text = self._around("content")
        self._reasoning = self._around(self._field)

    def _around(self, field: str) -> tuple[bytes, bytes]:
        delta: dict[str, Any] = {field: HOLE}
        if field != "content" and self._served.server == "deepseek":
            delta = {"content": None, field: HOLE}
        before, after = around(self._chunk(delta))
        return b"data: " + before, after + b"\n\n"

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**self._frame, "choices": [choice]}
        if self._served.asked.usage_in_stream and self._served.server == "openai":
            chunk["usage"] = None
        return chunk

    def opening(self) -> bytes:
        """A chunk that has only the role."""
        return data_event(self._chunk({"role": "assistant", "content": ""}))

    def pieces(self, reasoning: Sequence[str], text: Sequence[str]) -> bytes:
        """A chunk per piece."""
        if self._served.asked.padded:
            return b"".join(self._padded("content", piece) for piece in text)
        out: list[bytes] = []
        for (before, after), pieces in ((self._reasoning, reasoning), (self._text, text)):
            for piece in pieces:
                out += (before, to_json(piece), after)
        return b"".join(out)

    def _padded(self, field: str, piece: str) -> bytes:
        padding = "x" * (_PADDED_BYTES - len(piece) % _PADDED_BYTES)
        return data_event({**self._chunk({field: piece}), "obfuscation": padding})

    def closing(self) -> bytes:
        """The finish reason, usage in a chunk of its own where asked for, and `[DONE]`."""
        last = self._chunk({}, self._finish())
        if self._served.server == "llamacpp":
            last["timings"] = timings(self._served)
        end = data_event(last)
        if self._served.asked.usage_in_stream and self._generated.reports_usage:
            end += data_event({**self._frame, "choices": [], "usage": usage(self._served)})
        return end + b"data: [DONE]\n\n"

    def keep_alive(self) -> bytes:
        """A comment."""
        return b": keep-alive\n\n"

    def strange(self) -> bytes:
        """A chunk without choices, and a comment."""
        return b": what is this\n\n" + data_event({**self._frame, "choices": [], "novelty": 1})

    def failing(self, refused: Refused) -> bytes:
        """An error object instead of a chunk."""
        served = self._served
        return data_event(error_fields(refused, "openai", served.server, served.call_id))

    def whole(self) -> bytes:
        """The completion as one object."""
        generated = self._generated
        message: dict[str, Any] = {
            "role": "assistant",
            "content": generated.answer,
            "refusal": None,
        }
        if generated.reasoning and generated.shown:
            message[self._field] = generated.shown_reasoning
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self._finish(),
        }
        completion = {**self._frame, "object": "chat.completion", "choices": [choice]}
        if generated.reports_usage:
            completion["usage"] = usage(self._served)
        if self._served.server == "llamacpp":
            completion["timings"] = timings(self._served)
        return to_json(completion)

    def _finish(self) -> str:
        return finish_word(self._generated.finish)


def finish_word(finish: str) -> str:
    """OpenAI's word for why an answer ended."""
    return {"stop": "stop", "filter": "content_filter"}.get(finish, "length")


def usage(served: Served) -> dict[str, Any]:
    """OpenAI's `usage`: cached tokens are part of the prompt's, reasoning of the completion's."""
    generated = served.generated
    counts: dict[str, Any] = {
        "prompt_tokens": generated.prompt_tokens,
        "completion_tokens": generated.output_tokens,
        "total_tokens": generated.prompt_tokens + generated.output_tokens,
    }
    if served.server == "ollama":
        return counts
    counts["prompt_tokens_details"] = {"cached_tokens": generated.cached_tokens}
    if served.server != "llamacpp":
        counts["completion_tokens_details"] = {"reasoning_tokens": len(generated.reasoning)}
    if served.server == "deepseek":
        counts["prompt_cache_hit_tokens"] = generated.cached_tokens
        counts["prompt_cache_miss_tokens"] = generated.prompt_tokens - generated.cached_tokens
    return counts


def timings(served: Served) -> dict[str, Any]:
    """llama.cpp's own account of a call."""
    generated = served.generated
    prompt_n = generated.prompt_tokens - generated.cached_tokens
    prompt_ms = generated.prefill_ns / NS_PER_MS
    predicted_ms = generated.decode_ns / NS_PER_MS
    predicted_n = len(generated.reasoning) + len(generated.text)
    return {
        "cache_n": generated.cached_tokens,
        "prompt_n": prompt_n,
        "prompt_ms": prompt_ms,
        "prompt_per_token_ms": prompt_ms / max(1, prompt_n),
        "prompt_per_second": prompt_n / max(prompt_ms, 1e-3) * 1e3,
        "predicted_n": predicted_n,
        "predicted_ms": predicted_ms,
        "predicted_per_token_ms": predicted_ms / max(1, predicted_n),
        "predicted_per_second": predicted_n / max(predicted_ms, 1e-3) * 1e3,
    }
