"""Whether and how much a model is to reason, said as each server takes it."""

from __future__ import annotations

from typing import Any

from minionbench.errors import UsageError
from minionbench.exchange import Endpoint, Limits, Reasoning, ReasoningSwitch

DEFAULT_REASONING_TOKENS = 4_096
"""Budget of reasoning where it is on and none was named."""
DEFAULT_EFFORT = "medium"
"""What switches a server on that knows degrees only, where none was named."""

_WITHOUT_DEGREES = ("enable_thinking", "template_thinking")


def reasoning_fields(reasoning: Reasoning | None, switch: ReasoningSwitch) -> dict[str, Any]:
    """The fields of a request's body that switch reasoning on or off; none where nothing is said.

    Raises UsageError for a degree of reasoning where a server can only be switched on or off.
    """
    if reasoning is None or switch == "none":
        return {}
    on, effort = reasoning.on, reasoning.effort
    if effort is not None and switch in _WITHOUT_DEGREES:
        raise UsageError(
            f"This server's reasoning is switched on or off; it takes no degree such as {effort!r}"
        )
    if switch == "reasoning_effort":
        return {"reasoning_effort": effort or (DEFAULT_EFFORT if on else "none")}
    if switch == "think":
        return {"think": effort if on and effort else on}
    if switch == "enable_thinking":
        return {"chat_template_kwargs": {"enable_thinking": on}}
    if switch == "template_thinking":
        return {"chat_template_kwargs": {"thinking": on}}
    if not on:
        return {"thinking": {"type": "disabled"}}
    if switch == "thinking_type":
        fields: dict[str, Any] = {"thinking": {"type": "enabled"}}
        return fields | ({"reasoning_effort": effort} if effort else {})
    kind: dict[str, Any] = {"type": "adaptive"}
    if switch == "thinking_budget":
        kind = {"type": "enabled", "budget_tokens": reasoning_tokens(reasoning)}
    return {"thinking": kind} | ({"output_config": {"effort": effort}} if effort else {})


def reasoning_tokens(reasoning: Reasoning) -> int:
    """The budget of reasoning."""
    budget = reasoning.budget_tokens
    return DEFAULT_REASONING_TOKENS if budget is None else budget


def generated_tokens(limits: Limits, endpoint: Endpoint) -> int | None:
    """The limit on all that a server generates; None leaves it to the server.

    Servers count reasoning within their limit, but `max_output_tokens` is the budget of the answer
    alone: where reasoning is switched on, its budget comes on top. A forced length is of everything
    generated, as it is; at a server that cannot be made to go on it is a limit like any other.
    """
    forced = limits.forced_output_tokens
    if forced is not None and endpoint.manners.ignores_end:
        return forced
    most = limits.max_output_tokens if forced is None else forced
    if most is None:
        return None
    reasoning = endpoint.reasoning
    if reasoning is None or not reasoning.on or endpoint.manners.switch == "none":
        return most
    return most + reasoning_tokens(reasoning)
