"""Ollama's own routes: POST /api/chat and /api/generate, one JSON object per line.

Source: ollama/ollama api/types.go and server/routes.go, August 2026; for the tokens that came from
the cache docs.ollama.com/api/usage.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from minionbench.simulator.asked import Asked, Body, Refused, Turn, content_text
from minionbench.simulator.encoding import HOLE, Served, around, to_json
from minionbench.simulator.server_kind import ServerKind

DEFAULT_CONTEXT = 4_096
"""`num_ctx` where a request does not set it."""
KEEP_ALIVE_S = 300.0
_LEVELS = ("low", "medium", "high", "max")
_DURATION = re.compile(r"(-?)((?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+|\d+(?:\.\d+)?)")
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def read_chat(body: Body, server: ServerKind) -> Asked:
    """What a body of /api/chat asks for.

    Raises Refused where the server would.
    """
    turns = []
    for entry in body.array("messages") or []:
        role = entry.get("role") if isinstance(entry, dict) else None
        if role not in ("system", "user", "assistant", "tool"):
            raise Refused("bad_request", f"invalid role: {role}")
        turns.append(Turn(str(role), content_text(entry.get("content"), "content")))
    return _asked(body, tuple(turns), raw=False, chat=True)


def read_generate(body: Body, server: ServerKind) -> Asked:
    """What a body of /api/generate asks for.

    Raises Refused where the server would.
    """
    prompt = body.text("prompt") or ""
    raw = body.flag("raw", False)
    turns = [Turn("user", prompt)] if prompt else []
    system = body.text("system")
    if system and turns and not raw:
        turns.insert(0, Turn("system", system))
    return _asked(body, tuple(turns), raw=raw, chat=False)


def _asked(body: Body, turns: tuple[Turn, ...], *, raw: bool, chat: bool) -> Asked:
    options = body.part("options")
    wanted, effort = _think(body.fields.get("think"))
    schema, json = _format(body.fields.get("format"))
    limit = options.whole("num_predict", -2)
    return Asked(
        route="ollama_chat" if chat else "generate",
        model=body.need_text("model"),
        turns=turns,
        raw=raw,
        stream=body.flag("stream", True),
        max_tokens=limit if limit is not None and limit >= 0 else None,
        stop=options.texts("stop"),
        seed=options.whole("seed", -(2**63)),
        schema=schema,
        json=json,
        reasoning=wanted,
        effort=effort,
        context_tokens=options.whole("num_ctx", 1) or DEFAULT_CONTEXT,
        truncate=body.flag("truncate", True),
        keep_alive_s=keep_alive_s(body.fields.get("keep_alive")),
    )


def _think(value: Any) -> tuple[bool | None, str | None]:
    if value is None or isinstance(value, bool):
        return value, None
    if value in _LEVELS:
        return True, str(value)
    raise Refused(
        "bad_request",
        f'invalid think value: "{value}" (must be "high", "medium", "low", "max", true, or false)',
    )


def _format(value: Any) -> tuple[dict[str, Any] | None, bool]:
    if value is None or value == "":
        return None, False
    if value == "json":
        return None, True
    if isinstance(value, dict):
        return value, True
    raise Refused("bad_request", f'invalid format: {value}; expected "json" or a JSON Schema')


def keep_alive_s(value: Any) -> float | None:
    """Seconds of `keep_alive`: a number of them, or a duration as `5m`; None where not given."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Refused("bad_request", "invalid keep_alive")
    if isinstance(value, int | float):
        return float(value)
    found = _DURATION.fullmatch(value)
    if found is None:
        raise Refused("bad_request", f'time: invalid duration "{value}"')
    sign = -1.0 if found[1] else 1.0
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)?", found[2])
    return sign * sum(float(number) * _UNITS_S[unit or "s"] for number, unit in parts)


class OllamaEncoder:
    """One JSON object per line; the last one has `done` and the engine's own durations."""

    content_type = "application/x-ndjson"

    def __init__(self, served: Served) -> None:
        self._served = served
        self._generated = served.generated
        self._chat = served.asked.route == "ollama_chat"
        self._frame = {"model": served.asked.model, "created_at": served.created}
        self._text = self._around(HOLE, None)
        self._thinking = self._around("", HOLE)

    def _around(self, text: str, thinking: str | None) -> tuple[bytes, bytes]:
        before, after = around({**self._frame, **self._said(text, thinking), "done": False})
        return before, after + b"\n"

    def _said(self, text: str, thinking: str | None) -> dict[str, Any]:
        more = {} if thinking is None else {"thinking": thinking}
        if self._chat:
            return {"message": {"role": "assistant", "content": text, **more}}
        return {"response": text, **more}

    def opening(self) -> bytes:
        """Nothing: the first line has the first token."""
        return b""

    def pieces(self, reasoning: Sequence[str], text: Sequence[str]) -> bytes:
        """A line per piece."""
        out: list[bytes] = []
        for (before, after), pieces in ((self._thinking, reasoning), (self._text, text)):
            for piece in pieces:
                out += (before, to_json(piece), after)
        return b"".join(out)

    def closing(self) -> bytes:
        """The line with `done`."""
        return to_json({**self._frame, **self._said("", None), **self._summary()}) + b"\n"

    def keep_alive(self) -> bytes:
        """A line without text."""
        return to_json({**self._frame, **self._said("", None), "done": False}) + b"\n"

    def strange(self) -> bytes:
        """A line with a field that nobody knows."""
        said = {**self._frame, **self._said("", None), "done": False, "novelty": 1}
        return to_json(said) + b"\n"

    def failing(self, refused: Refused) -> bytes:
        """A line that has only an error."""
        return to_json({"error": refused.message}) + b"\n"

    def whole(self) -> bytes:
        """The answer as one object."""
        generated = self._generated
        thinking = generated.shown_reasoning or None
        said = self._said(generated.answer, thinking)
        return to_json({**self._frame, **said, **self._summary()})

    def _summary(self) -> dict[str, Any]:
        generated = self._generated
        finish = {"stop": "stop", "load": "load", "unload": "unload"}.get(
            generated.finish, "length"
        )
        ended: dict[str, Any] = {"done": True, "done_reason": finish}
        if finish in ("load", "unload"):
            return ended
        times = {
            "total_duration": generated.queue_ns
            + generated.load_ns
            + generated.prefill_ns
            + generated.decode_ns,
            "load_duration": generated.load_ns,
        }
        counts = {
            "prompt_eval_count": generated.prompt_tokens,
            "prompt_eval_cached_count": generated.cached_tokens,
            "prompt_eval_duration": generated.prefill_ns,
            "eval_count": generated.output_tokens,
            "eval_duration": generated.decode_ns,
        }
        if not generated.reports_usage:
            counts = {}
        # As Go's omitempty has it: what is 0 is not there.
        return ended | {name: value for name, value in (times | counts).items() if value}
