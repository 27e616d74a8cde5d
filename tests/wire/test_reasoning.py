"""The wish to reason is said as each server takes it, and never where it means nothing."""

from __future__ import annotations

from typing import Any

import pytest

from minionbench.errors import UsageError
from minionbench.exchange import Endpoint, Limits, Manners, Reasoning, ReasoningSwitch
from minionbench.wire.reasoning import generated_tokens, reasoning_fields

ON, OFF = Reasoning(on=True), Reasoning(on=False)
LOW = Reasoning(on=True, effort="low", budget_tokens=2_000)


@pytest.mark.parametrize(
    ("switch", "reasoning", "fields"),
    [
        ("none", ON, {}),
        ("think", None, {}),
        ("reasoning_effort", ON, {"reasoning_effort": "medium"}),
        ("reasoning_effort", OFF, {"reasoning_effort": "none"}),
        ("reasoning_effort", LOW, {"reasoning_effort": "low"}),
        (
            "reasoning_effort",
            Reasoning(on=False, effort="minimal"),
            {"reasoning_effort": "minimal"},
        ),
        ("thinking_type", ON, {"thinking": {"type": "enabled"}}),
        ("thinking_type", OFF, {"thinking": {"type": "disabled"}}),
        ("thinking_type", LOW, {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        ("thinking_budget", ON, {"thinking": {"type": "enabled", "budget_tokens": 4_096}}),
        ("thinking_budget", OFF, {"thinking": {"type": "disabled"}}),
        (
            "thinking_budget",
            LOW,
            {
                "thinking": {"type": "enabled", "budget_tokens": 2_000},
                "output_config": {"effort": "low"},
            },
        ),
        ("thinking_adaptive", ON, {"thinking": {"type": "adaptive"}}),
        ("thinking_adaptive", OFF, {"thinking": {"type": "disabled"}}),
        (
            "thinking_adaptive",
            LOW,
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
        ),
        ("think", ON, {"think": True}),
        ("think", OFF, {"think": False}),
        ("think", LOW, {"think": "low"}),
        ("enable_thinking", ON, {"chat_template_kwargs": {"enable_thinking": True}}),
        ("enable_thinking", OFF, {"chat_template_kwargs": {"enable_thinking": False}}),
        ("template_thinking", ON, {"chat_template_kwargs": {"thinking": True}}),
    ],
)
def test_the_switch_is_set_as_the_server_takes_it(
    switch: ReasoningSwitch, reasoning: Reasoning | None, fields: dict[str, Any]
) -> None:
    assert reasoning_fields(reasoning, switch) == fields


@pytest.mark.parametrize("switch", ["enable_thinking", "template_thinking"])
def test_a_degree_is_refused_where_there_is_only_on_and_off(switch: ReasoningSwitch) -> None:
    with pytest.raises(UsageError, match="no degree such as 'low'"):
        reasoning_fields(LOW, switch)


@pytest.mark.parametrize(
    ("limits", "goes_on", "reasoning", "tokens"),
    [
        (Limits(max_output_tokens=100), True, None, 100),
        (Limits(max_output_tokens=100), True, OFF, 100),
        (Limits(max_output_tokens=100), True, LOW, 2_100),
        (Limits(forced_output_tokens=20), True, LOW, 20),
        (Limits(forced_output_tokens=20), False, None, 20),
        (Limits(forced_output_tokens=20), False, LOW, 2_020),
        (Limits(), True, LOW, None),
    ],
)
def test_reasoning_has_its_budget_on_top_but_where_a_length_is_forced(
    limits: Limits, goes_on: bool, reasoning: Reasoning | None, tokens: int | None
) -> None:
    """What cannot be forced is a limit of the answer: reasoning must not use it up."""
    manners = Manners(ignores_end=goes_on, switch="thinking_budget")
    endpoint = Endpoint("http://localhost", "m", manners=manners, reasoning=reasoning)
    assert generated_tokens(limits, endpoint) == tokens
