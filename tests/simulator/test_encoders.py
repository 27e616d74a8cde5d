"""The encoders alone: whatever is generated comes out whole, in events that parse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.simulator.asked import Asked, Refused, Route
from minionbench.simulator.encoding import Encoder, Served
from minionbench.simulator.generation import Generated
from minionbench.simulator.routes import ANSWER_ROUTES
from minionbench.simulator.server_kind import SERVER_KINDS, ServerKind
from minionbench.simulator.steps import events, streamed

ROUTES: dict[Route, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "ollama_chat": "/api/chat",
    "generate": "/api/generate",
}
TEXTS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=8)


def served(route: Route, generated: Generated, server: ServerKind = "any") -> Served:
    asked = Asked(route=route, model="a model", turns=(), stream=True, usage_in_stream=True)
    return Served(
        asked=asked,
        generated=generated,
        server=server,
        call_id="1",
        created_s=1,
        created="1970-01-01T00:00:01Z",
    )


def encoder(route: Route, generated: Generated, server: ServerKind = "any") -> Encoder:
    return ANSWER_ROUTES[ROUTES[route]].encoder(served(route, generated, server))


def objects(route: Route, data: bytes) -> list[dict[str, Any]]:
    """The events as JSON; the protocol's framing is checked on the way."""
    if route in ("ollama_chat", "generate"):
        assert data == b"" or data.endswith(b"\n")
        return [json.loads(line) for line in data.decode().split("\n") if line]
    found = []
    for event in data.decode().split("\n\n"):
        lines = [line for line in event.split("\n") if line and not line.startswith(":")]
        if not lines:
            continue
        assert lines[-1].startswith("data: ")
        if lines[-1] == "data: [DONE]":
            continue
        value = json.loads(lines[-1].removeprefix("data: "))
        if route in ("messages", "responses"):
            assert lines[0] == f"event: {value['type']}"
        found.append(value)
    return found


def said(route: Route, values: list[dict[str, Any]]) -> tuple[str, str]:
    """Reasoning and answer that the events carry."""
    reasoning, text = "", ""
    for value in values:
        match route:
            case "chat":
                for choice in value["choices"]:
                    delta = choice["delta"]
                    reasoning += delta.get("reasoning_content") or delta.get("reasoning") or ""
                    text += delta.get("content") or ""
            case "completions":
                text += "".join(choice["text"] for choice in value["choices"])
            case "responses":
                if value["type"] in (
                    "response.reasoning_summary_text.delta",
                    "response.reasoning_text.delta",
                ):
                    reasoning += value["delta"]
                elif value["type"] == "response.output_text.delta":
                    text += value["delta"]
            case "messages":
                delta = value.get("delta", {})
                reasoning += delta.get("thinking", "")
                text += delta.get("text", "")
            case "ollama_chat":
                reasoning += value["message"].get("thinking", "")
                text += value["message"]["content"]
            case "generate":
                reasoning += value.get("thinking", "")
                text += value["response"]
    return reasoning, text


@settings(max_examples=40)
@given(
    route=st.sampled_from(list(ROUTES)),
    server=st.sampled_from(SERVER_KINDS),
    reasoning=TEXTS,
    text=TEXTS,
    per_event=st.integers(1, 3),
    per_write=st.integers(1, 3),
)
def test_a_stream_carries_exactly_what_was_generated(
    route: Route,
    server: ServerKind,
    reasoning: list[str],
    text: list[str],
    per_event: int,
    per_write: int,
) -> None:
    thoughts = [] if route == "completions" else reasoning
    generated = Generated(reasoning=thoughts, text=text, prompt_tokens=3)
    count = len(thoughts) + len(text)
    steps = list(
        streamed(
            b"",
            encoder(route, generated, server),
            generated,
            list(range(max(1, count))),
            per_event=per_event,
            per_write=per_write,
            early_head=True,
        )
    )
    data = b"".join(map(unchunked, (step.data for step in steps)))
    assert said(route, objects(route, data)) == ("".join(thoughts), "".join(text))
    assert sum(step.reasoning for step in steps) == len(thoughts)
    assert sum(step.text for step in steps) == len(text)
    dues = [step.due_ns for step in steps]
    assert dues == sorted(dues)
    assert [step.then for step in steps] == ["go on"] * (len(steps) - 1) + ["end"]


def unchunked(data: bytes) -> bytes:
    parts = []
    while data:
        line, _, rest = data.partition(b"\r\n")
        size = int(line, 16)
        parts.append(rest[:size])
        data = rest[size + 2 :]
    return b"".join(parts)


@given(route=st.sampled_from(list(ROUTES)), text=TEXTS)
@settings(max_examples=30)
def test_the_whole_answer_has_the_same_text(route: Route, text: list[str]) -> None:
    body = json.loads(encoder(route, Generated(text=text)).whole())
    found = {
        "chat": lambda: body["choices"][0]["message"]["content"],
        "completions": lambda: body["choices"][0]["text"],
        "responses": lambda: body["output"][0]["content"][0]["text"],
        "messages": lambda: body["content"][0]["text"],
        "ollama_chat": lambda: body["message"]["content"],
        "generate": lambda: body["response"],
    }[route]()
    assert found == "".join(text)


@pytest.mark.parametrize("route", ROUTES)
def test_errors_keep_alives_and_strange_events_are_framed_as_events(route: Route) -> None:
    one = encoder(route, Generated(text=["a"]))
    data = (
        one.opening() + one.keep_alive() + one.strange() + one.failing(Refused("overloaded", "no"))
    )
    assert "no" in json.dumps(objects(route, data)[-1])


@given(pieces=st.lists(st.text(min_size=1)), per_event=st.integers(1, 5))
def test_grouping_pieces_loses_none(pieces: list[str], per_event: int) -> None:
    grouped = events(pieces, per_event)
    assert "".join(grouped) == "".join(pieces)
    assert len(grouped) == -(-len(pieces) // per_event)


@pytest.mark.parametrize(("server", "field"), [("any", "reasoning_content"), ("vllm", "reasoning")])
def test_each_server_has_its_own_name_for_reasoning(server: ServerKind, field: str) -> None:
    data = encoder("chat", Generated(reasoning=["hm"]), server).pieces(["hm"], [])
    assert objects("chat", data)[0]["choices"][0]["delta"] == {field: "hm"}


def test_llamacpp_tells_its_timings_and_deepseek_its_cache() -> None:
    generated = Generated(
        text=["a", "b"],
        prompt_tokens=10,
        cached_tokens=4,
        prefill_ns=2_000_000,
        decode_ns=1_000_000,
    )
    last = objects("chat", encoder("chat", generated, "llamacpp").closing())[0]
    timings = last["timings"]
    assert (timings["cache_n"], timings["prompt_n"], timings["predicted_n"]) == (4, 6, 2)
    assert (timings["prompt_ms"], timings["predicted_ms"]) == (2.0, 1.0)
    usage = objects("chat", encoder("chat", generated, "deepseek").closing())[-1]["usage"]
    assert (usage["prompt_cache_hit_tokens"], usage["prompt_cache_miss_tokens"]) == (4, 6)
