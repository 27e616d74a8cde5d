"""The model's tokens: limits, context and switches, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from minionbench.simulator import Rule, SimulatedModel, SimulatorSettings
from minionbench.simulator.asked import Asked, Body, Refused, Turn
from minionbench.simulator.generation import Generated, Model
from minionbench.simulator.ollama import keep_alive_s
from minionbench.simulator.openai_chat import response_format, wish
from minionbench.simulator.server_kind import ServerKind


def generate(
    text: str = "hello",
    *,
    model: SimulatedModel | None = None,
    settings: dict[str, Any] | None = None,
    **fields: Any,
) -> Generated:
    asked = Asked(**{"route": "chat", "model": "sim", "turns": (Turn("user", text),), **fields})
    return Model(SimulatorSettings(**(settings or {}))).generate(asked, model or SimulatedModel())


def test_the_same_request_has_the_same_answer_and_another_seed_another() -> None:
    assert generate().text == generate().text
    assert generate().text != generate(seed=1).text
    assert generate().text != generate(settings={"seed": 1}).text


@pytest.mark.parametrize(
    ("fields", "tokens", "finish"),
    [
        ({}, 64, "stop"),
        ({"max_tokens": 64}, 64, "stop"),
        ({"max_tokens": 63}, 63, "length"),
        ({"max_tokens": 0}, 0, "length"),
        ({"max_tokens": 90, "min_tokens": 80}, 80, "stop"),
        ({"max_tokens": 90, "ignore_eos": True}, 90, "length"),
    ],
)
def test_limits_are_kept(fields: dict[str, Any], tokens: int, finish: str) -> None:
    generated = generate(**fields)
    assert (len(generated.text), generated.finish) == (tokens, finish)


def test_the_context_ends_an_answer() -> None:
    model = SimulatedModel(context_tokens=30)
    generated = generate(model=model)
    assert (generated.prompt_tokens, len(generated.text)) == (4, 26)
    assert generated.finish == "context"


@pytest.mark.parametrize("server", ["openai", "vllm", "sglang"])
def test_some_servers_refuse_a_limit_beyond_the_context(server: ServerKind) -> None:
    model = SimulatedModel(context_tokens=30)
    with pytest.raises(Refused, match="you requested 44 tokens"):
        generate(model=model, settings={"server": server}, max_tokens=40)
    assert len(generate(model=model, max_tokens=40).text) == 26


def test_reasoning_has_a_budget_of_its_own() -> None:
    assert len(generate(reasoning=True, reasoning_tokens=5).reasoning) == 5
    scripted = {"rules": (Rule(match=".", answer="4", reasoning="one two three"),)}
    generated = generate(settings=scripted, reasoning=True, reasoning_tokens=2)
    assert (generated.shown_reasoning, generated.answer) == ("one two", "4")


def test_reasoning_may_be_nothing() -> None:
    assert generate(settings={"reasoning_tokens": 0}, reasoning=True).reasoning == []


def test_a_stop_sequence_may_lie_across_tokens() -> None:
    whole = generate().answer
    sequence = whole[20:30]
    generated = generate(stop=(sequence,))
    assert generated.answer == whole[: whole.index(sequence)]
    assert generated.stop_sequence == sequence


def test_text_for_a_json_object_is_one() -> None:
    assert generate(json=True).answer == "{}"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), (5, 5.0), ("5m", 300.0), ("1h30m", 5400.0), ("-1", -1.0), ("250ms", 0.25)],
)
def test_keep_alive_is_read_as_go_does(value: Any, seconds: float | None) -> None:
    assert keep_alive_s(value) == seconds


@pytest.mark.parametrize("value", [True, [], "soon", "5 minutes"])
def test_a_keep_alive_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(Refused):
        keep_alive_s(value)


@pytest.mark.parametrize(
    ("server", "body", "wanted"),
    [
        ("openai", {"reasoning_effort": "minimal"}, False),
        ("openai", {"thinking": {"type": "enabled"}}, None),
        ("deepseek", {"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, False),
        ("vllm", {"reasoning_effort": "high"}, None),
        ("vllm", {"chat_template_kwargs": {"enable_thinking": False}}, False),
        ("llamacpp", {"chat_template_kwargs": {"enable_thinking": True}}, True),
        ("any", {"think": "low"}, True),
        ("any", {"think": False}, False),
        ("any", {}, None),
    ],
)
def test_each_server_hears_its_own_switch_only(
    server: ServerKind, body: dict[str, Any], wanted: bool | None
) -> None:
    assert wish(Body(body), server)[0] == wanted


@pytest.mark.parametrize(
    "body",
    [
        {"type": "json_schema"},
        {"type": "yaml"},
        {"type": 3},
        {"type": "json_schema", "json_schema": 1},
    ],
)
def test_an_unknown_format_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        response_format(Body(body))


def test_a_json_object_may_have_a_schema_in_llamacpps_form() -> None:
    assert response_format(Body({"type": "json_object", "schema": {"a": 1}})) == ({"a": 1}, True)
