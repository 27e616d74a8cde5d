"""Over real sockets, each dialect against the simulator: every fault ends in its own outcome."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minionbench.exchange import (
    Call,
    Endpoint,
    Limits,
    Manners,
    Message,
    Outcome,
    Reasoning,
    ReasoningSwitch,
    Reply,
    Secret,
    Timeouts,
)
from minionbench.simulator import SimulatedModel, Simulator, SimulatorSettings
from minionbench.transport.connection import Target
from minionbench.wire.dialect import dialect
from tests.transport.support import ask
from tests.wire.streams import DIALECTS

KEY = "sk-0123456789abcdef"
LIMITS = Timeouts(connect_s=10, first_byte_s=5, idle_s=1, total_s=20)
SWITCHES: dict[str, ReasoningSwitch] = {
    "openai": "reasoning_effort",
    "completions": "none",
    "responses": "reasoning_effort",
    "anthropic": "thinking_budget",
    "ollama": "think",
}
TOKENS = 40


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    settings = SimulatorSettings(
        models=(SimulatedModel(name="sim"),),
        api_key=Secret(KEY),
        answer_tokens=TOKENS,
        tokens_per_write=4,
        keep_requests=True,
    )
    with Simulator(settings) as running:
        yield running


def answer(
    simulator: Simulator,
    name: str,
    prompt: str = "Tell me something.",
    *,
    key: str = KEY,
    model: str = "sim",
    reasoning: Reasoning | None = None,
    max_body_bytes: int | None = None,
) -> Reply:
    of_openai = name in ("openai", "completions", "responses")
    url = simulator.openai_url if of_openai else simulator.base_url
    manners = Manners(switch=SWITCHES[name])
    endpoint = Endpoint(
        url,
        model,
        dialect=name,
        key=Secret(key),
        timeouts=LIMITS,
        manners=manners,
        reasoning=reasoning,
    )
    call = Call(
        side="remote", messages=(Message("user", prompt),), limits=Limits(max_output_tokens=200)
    )
    target = Target.at(url, timeouts=LIMITS)
    if max_body_bytes is not None:
        target.max_body_bytes = max_body_bytes
    spoken = dialect(name)
    return spoken.reply(ask(target, spoken.request(call, endpoint)).exchange, endpoint)


every_dialect = pytest.mark.parametrize("name", DIALECTS)


@every_dialect
def test_a_good_answer_is_read_whole(simulator: Simulator, name: str) -> None:
    reply = answer(simulator, name)
    assert reply.outcome is Outcome.OK, reply.failure
    assert reply.text
    assert reply.usage is not None
    assert reply.usage.completion_tokens == len(reply.event_ns) == TOKENS
    assert (reply.model, reply.reasoning) == ("sim", None)
    assert (reply.engine is not None) == (name == "ollama")


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "completions"])
def test_reasoning_is_switched_on_and_off(simulator: Simulator, name: str) -> None:
    on = answer(simulator, name, reasoning=Reasoning(on=True))
    off = answer(simulator, name, reasoning=Reasoning(on=False))
    assert (on.outcome, off.outcome) == (Outcome.OK, Outcome.OK), (on.failure, off.failure)
    assert on.usage is not None and off.usage is not None
    assert (on.usage.completion_tokens or 0) > (off.usage.completion_tokens or 0) == TOKENS
    assert off.reasoning is None
    if name in ("anthropic", "ollama"):
        assert on.reasoning
        assert on.first_reasoning_ns is not None
    if name != "ollama":
        assert on.usage.reasoning_tokens


FAULTS = [
    ("bad_request", Outcome.HTTP_ERROR, "HTTP 400"),
    ("unauthorized", Outcome.HTTP_ERROR, "HTTP 401, the key was refused"),
    ("echo_key", Outcome.HTTP_ERROR, "HTTP 401, the key was refused"),
    ("payment", Outcome.HTTP_ERROR, "HTTP 402, the account at the provider has no credit left"),
    ("forbidden", Outcome.HTTP_ERROR, "HTTP 403, the key was refused"),
    ("model_not_found", Outcome.HTTP_ERROR, "HTTP 404, the server does not know the model 'sim'"),
    ("rate_limit=7", Outcome.HTTP_ERROR, "HTTP 429, too many requests"),
    ("quota", Outcome.HTTP_ERROR, "HTTP 4"),
    ("server_error", Outcome.HTTP_ERROR, "HTTP 500, the server failed"),
    ("unavailable", Outcome.HTTP_ERROR, "HTTP 503, the server is overloaded or not ready"),
    ("overloaded", Outcome.HTTP_ERROR, "overloaded"),
    ("context_length", Outcome.HTTP_ERROR, "HTTP 400, the prompt is longer than the model's"),
    ("redirect=https://portal.example/?key=x", Outcome.HTTP_ERROR, "to https://portal.example;"),
    ("error", Outcome.STREAM_ERROR, ""),
    ("overload", Outcome.STREAM_ERROR, ""),
    ("reset=3", Outcome.TRUNCATED, "reset"),
    ("truncate", Outcome.TRUNCATED, "closed"),
    ("missing_end", Outcome.MISSING_END, "without"),
    ("missing_end=3", Outcome.MISSING_END, "without"),
    ("stall", Outcome.IDLE_TIMEOUT, "nothing more came"),
    ("keep_alive=0.2", Outcome.OK, ""),
    ("garbage", Outcome.MALFORMED, ""),
    ("bad_json", Outcome.MALFORMED, "not a"),
    ("invalid_utf8", Outcome.MALFORMED, "UTF-8"),
    ("empty", Outcome.OK, ""),
    ("no_usage", Outcome.OK, ""),
    ("html", Outcome.MALFORMED, "a web page came"),
    ("gigabyte", Outcome.TOO_LARGE, "longer than"),
    ("bad_http", Outcome.MALFORMED, "HTTP/1.x"),
    ("bad_chunk", Outcome.MALFORMED, "chunk size"),
    ("short_body", Outcome.TRUNCATED, "closed"),
    ("close_silently", Outcome.OK, ""),
]


@every_dialect
@pytest.mark.parametrize(("fault", "outcome", "message"), FAULTS, ids=[f for f, _, _ in FAULTS])
def test_each_fault_ends_in_its_own_outcome(
    simulator: Simulator, name: str, fault: str, outcome: Outcome, message: str
) -> None:
    reply = answer(simulator, name, f"[[simulate:{fault}]] hi", max_body_bytes=300_000)
    assert reply.outcome is outcome, reply.failure
    assert (reply.failure is None) == (outcome is Outcome.OK)
    if reply.failure is not None:
        assert message in reply.failure.message
        assert KEY[:8] not in reply.failure.message
    if fault.startswith("rate_limit"):
        assert reply.failure is not None
        assert reply.failure.retry_after_s == 7.0


@pytest.mark.parametrize("name", ["openai", "completions", "responses", "anthropic"])
def test_a_filtered_answer_is_told_as_that(simulator: Simulator, name: str) -> None:
    reply = answer(simulator, name, "[[simulate:content_filter]] hi")
    assert reply.outcome is Outcome.FILTERED, reply
    assert len(reply.event_ns) == 3


@pytest.mark.parametrize("name", ["responses", "anthropic"])
def test_an_event_that_no_client_knows_is_passed_over(simulator: Simulator, name: str) -> None:
    reply = answer(simulator, name, "[[simulate:strange_event]] hi")
    assert reply.outcome is Outcome.OK, reply.failure
    assert len(reply.event_ns) == TOKENS


@every_dialect
def test_a_wrong_key_and_an_unknown_model_are_told_apart(simulator: Simulator, name: str) -> None:
    wrong = answer(simulator, name, key="sk-wrong-key-0123456789")
    assert wrong.failure is not None
    assert wrong.failure.http_status == 401
    assert "sk-wrong" not in wrong.failure.message
    unknown = answer(simulator, name, model="nobody")
    assert unknown.failure is not None
    assert unknown.failure.http_status == 404
    assert "does not know the model 'nobody'" in unknown.failure.message
