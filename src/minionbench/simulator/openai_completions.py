"""OpenAI's completions of plain text: POST /v1/completions, without a chat template.

Source: OpenAI API reference and SDK 3.54; vLLM and llama.cpp servers, October 2026.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minionbench.simulator.asked import Asked, Body, Refused, Turn
from minionbench.simulator.encoding import HOLE, Served, around, data_event, to_json
from minionbench.simulator.openai_chat import finish_word, max_tokens, timings, usage
from minionbench.simulator.refusal import error_fields
from minionbench.simulator.server_kind import ServerKind

DEFAULT_MAX_TOKENS = 16
"""OpenAI's limit where a request has none."""


def read(body: Body, server: ServerKind) -> Asked:
    """What a request's body asks for.

    Raises Refused where the server would.
    """
    prompts = body.texts("prompt")
    if len(prompts) != 1:
        raise Refused("bad_request", "One prompt per request is simulated.", param="prompt")
    if (body.whole("n", 1) or 1) != 1:
        raise Refused("bad_request", "Only one choice per request is simulated.", param="n")
    return Asked(
        route="completions",
        model=body.need_text("model"),
        turns=(Turn("user", prompts[0]),),
        raw=True,
        stream=body.flag("stream", False),
        usage_in_stream=body.part("stream_options").flag("include_usage", False),
        max_tokens=DEFAULT_MAX_TOKENS if (limit := max_tokens(body)) is None else limit,
        min_tokens=body.whole("min_tokens") or body.whole("min_new_tokens") or 0,
        ignore_eos=body.flag("ignore_eos", False),
        stop=body.texts("stop"),
        seed=body.whole("seed", -(2**63)),
        reasoning=False,
        cache=body.flag("cache_prompt", True),
        cache_salt=body.text("cache_salt") or "",
    )


class CompletionsEncoder:
    """Chunks of `text_completion`, or one."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, served: Served) -> None:
        self._served = served
        self._generated = served.generated
        self._frame: dict[str, Any] = {
            "id": f"cmpl-{served.call_id}",
            "object": "text_completion",
            "created": served.created_s,
            "model": served.asked.model,
        }
        before, after = around(self._chunk(HOLE))
        self._text = (b"data: " + before, after + b"\n\n")

    def _chunk(self, text: str, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        return {**self._frame, "choices": [choice]}

    def opening(self) -> bytes:
        """Nothing."""
        return b""

    def pieces(self, reasoning: Sequence[str], text: Sequence[str]) -> bytes:
        """A chunk per piece; there is no place for reasoning."""
        before, after = self._text
        return b"".join([before + to_json(piece) + after for piece in text])

    def closing(self) -> bytes:
        """The finish reason with an empty text, usage where asked for, and `[DONE]`."""
        # The SDK's types forbid a chunk without a finish reason, the API does send them.
        last = self._chunk("", finish_word(self._generated.finish))
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
        completion = self._chunk(self._generated.answer, finish_word(self._generated.finish))
        if self._generated.reports_usage:
            completion["usage"] = usage(self._served)
        if self._served.server == "llamacpp":
            completion["timings"] = timings(self._served)
        return to_json(completion)
