"""Anthropic's own client, strict about types, finds nothing wrong with messages."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from anthropic.types import Message

from minionbench.exchange import Secret
from minionbench.simulator import RateLimits
from minionbench.simulator.tokens import count_tokens
from tests.simulator.conftest import Start, anthropic_of

HELLO: Any = [{"role": "user", "content": "Hello."}]
BUDGET: Any = {"type": "enabled", "budget_tokens": 1_024}


def ask(client: anthropic.Anthropic, **fields: Any) -> Message:
    fields = {"model": "sim", "max_tokens": 2_000, "messages": HELLO, **fields}
    answer: Message = client.messages.create(**fields)
    return answer


def texts(message: Message) -> dict[str, str]:
    return {
        block.type: block.thinking if block.type == "thinking" else block.text
        for block in message.content
        if block.type in ("thinking", "text")
    }


def test_the_models_are_listed_in_anthropics_words(anthropic_client: anthropic.Anthropic) -> None:
    names = [model.id for model in anthropic_client.models.list()]
    assert names[0] == "sim"
    assert anthropic_client.models.retrieve("sim").max_input_tokens == 32_768


@pytest.mark.parametrize("thinking", [None, BUDGET, {"type": "adaptive"}, {"type": "disabled"}])
def test_a_stream_and_a_whole_answer_say_the_same(
    anthropic_client: anthropic.Anthropic, thinking: Any
) -> None:
    fields: Any = {} if thinking is None else {"thinking": thinking}
    whole = ask(anthropic_client, **fields)
    with anthropic_client.messages.stream(
        model="sim", max_tokens=2_000, messages=HELLO, **fields
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert texts(final) == texts(whole)
    reasons = thinking is not None and thinking["type"] != "disabled"
    assert list(texts(whole)) == (["thinking", "text"] if reasons else ["text"])
    assert final.stop_reason == whole.stop_reason == "end_turn"
    assert final.usage == whole.usage
    assert whole.usage.output_tokens == sum(map(count_tokens, texts(whole).values()))
    assert whole.usage.output_tokens_details is not None
    assert whole.usage.output_tokens_details.thinking_tokens == (24 if reasons else 0)
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"


def test_thinking_that_is_left_out_is_counted(anthropic_client: anthropic.Anthropic) -> None:
    thinking: Any = {"type": "adaptive", "display": "omitted"}
    with anthropic_client.messages.stream(
        model="sim", max_tokens=2_000, messages=HELLO, thinking=thinking
    ) as stream:
        deltas = [event.delta.type for event in stream if event.type == "content_block_delta"]
        final = stream.get_final_message()
    assert "thinking_delta" not in deltas
    assert texts(final)["thinking"] == ""
    assert final.usage.output_tokens_details is not None
    assert final.usage.output_tokens_details.thinking_tokens == 24


def test_more_effort_is_more_thinking(anthropic_client: anthropic.Anthropic) -> None:
    counts = []
    for effort in ("low", "medium", "max"):
        answer = ask(
            anthropic_client, thinking={"type": "adaptive"}, output_config={"effort": effort}
        )
        assert answer.usage.output_tokens_details is not None
        counts.append(answer.usage.output_tokens_details.thinking_tokens)
    assert counts == [12, 24, 96]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"max_tokens": 5}, "max_tokens"),
        ({"stop_sequences": ["the"]}, "stop_sequence"),
        ({"extra_headers": {"x-simulate": "content_filter=2"}}, "refusal"),
    ],
)
def test_each_end_has_its_reason(
    anthropic_client: anthropic.Anthropic, fields: dict[str, Any], reason: str
) -> None:
    answer = ask(anthropic_client, **fields)
    assert answer.stop_reason == reason
    assert (answer.stop_sequence == "the") == (reason == "stop_sequence")


def test_a_schema_is_followed(anthropic_client: anthropic.Anthropic) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    answer = ask(
        anthropic_client, output_config={"format": {"type": "json_schema", "schema": schema}}
    )
    assert json.loads(texts(answer)["text"]) == {"n": 0}


def test_the_tokens_of_a_prompt_can_be_counted(anthropic_client: anthropic.Anthropic) -> None:
    count = anthropic_client.messages.count_tokens(model="sim", messages=HELLO, system="Be brief.")
    assert count.input_tokens == ask(anthropic_client, system="Be brief.").usage.input_tokens


def test_only_what_is_marked_is_cached(start: Start) -> None:
    marked: Any = [{"type": "text", "text": "word " * 50, "cache_control": {"type": "ephemeral"}}]
    with anthropic_of(start(cache_block_tokens=1)) as client:
        first = ask(client, system=marked).usage
        second = ask(client, system=marked).usage
        unmarked = ask(client, system="word " * 50).usage
    # "<|system|>" and "<|end|>" around 50 words and the space after the last.
    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens) == (53, 0)
    assert (second.cache_creation_input_tokens, second.cache_read_input_tokens) == (1, 52)
    assert (unmarked.cache_creation_input_tokens, unmarked.cache_read_input_tokens) == (0, 0)

    def total(usage: Any) -> int:
        return int(
            usage.input_tokens + usage.cache_creation_input_tokens + usage.cache_read_input_tokens
        )

    assert total(first) == total(second) == total(unmarked)


ERRORS = {
    "bad_request": (anthropic.BadRequestError, "invalid_request_error"),
    "unauthorized": (anthropic.AuthenticationError, "authentication_error"),
    "payment": (anthropic.PaymentRequiredError, "billing_error"),
    "forbidden": (anthropic.PermissionDeniedError, "permission_error"),
    "not_found": (anthropic.NotFoundError, "not_found_error"),
    "too_large": (anthropic.ContentTooLargeError, "request_too_large"),
    "rate_limit": (anthropic.RateLimitError, "rate_limit_error"),
    "quota": (anthropic.PaymentRequiredError, "billing_error"),
    "server_error": (anthropic.InternalServerError, "api_error"),
    "overloaded": (anthropic.OverloadedError, "overloaded_error"),
    "gateway_timeout": (anthropic.GatewayTimeoutError, "timeout_error"),
}


@pytest.mark.parametrize("fault", ERRORS)
def test_each_error_is_an_exception_of_its_class(
    anthropic_client: anthropic.Anthropic, fault: str
) -> None:
    wanted, kind = ERRORS[fault]
    with pytest.raises(wanted) as caught:
        ask(anthropic_client, extra_headers={"x-simulate": fault})
    assert isinstance(caught.value, anthropic.APIStatusError)
    assert caught.value.type == kind
    assert caught.value.request_id is not None


def test_an_overload_inside_a_stream_is_raised(anthropic_client: anthropic.Anthropic) -> None:
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        anthropic_client.messages.stream(
            model="sim",
            max_tokens=100,
            messages=HELLO,
            extra_headers={"x-simulate": "overload=3"},
        ) as stream,
    ):
        list(stream)
    assert caught.value.type == "overloaded_error"


def test_events_that_nobody_knows_and_pings_do_no_harm(
    anthropic_client: anthropic.Anthropic,
) -> None:
    with anthropic_client.messages.stream(
        model="sim",
        max_tokens=100,
        messages=HELLO,
        extra_headers={"x-simulate": "strange_event=2,keep_alive=0.02"},
    ) as stream:
        assert stream.get_final_message().stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2_000}}, "greater than"),
        ({"thinking": BUDGET, "extra_body": {"temperature": 0.0}}, "temperature"),
        ({"thinking": BUDGET, "model": "plain"}, "not supported"),
        ({"thinking": BUDGET, "model": "adaptive"}, "adaptive"),
        ({"messages": []}, "at least one message"),
        ({"model": "small", "messages": [{"role": "user", "content": "w " * 400}]}, "too long"),
    ],
)
def test_what_the_api_refuses_is_refused(
    anthropic_client: anthropic.Anthropic, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=words):
        ask(anthropic_client, **fields)


def test_a_model_that_thinks_by_itself_can_be_switched_off(
    anthropic_client: anthropic.Anthropic,
) -> None:
    assert "thinking" in texts(ask(anthropic_client, model="adaptive"))
    off = ask(anthropic_client, model="adaptive", thinking={"type": "disabled"})
    assert "thinking" not in texts(off)


def test_anthropic_itself_takes_no_unknown_field_and_no_other_route(start: Start) -> None:
    simulator = start(server="anthropic", api_key=Secret("key"))
    with anthropic_of(simulator, "key") as client:
        assert ask(client).stop_reason == "end_turn"
        with pytest.raises(anthropic.BadRequestError, match="Extra inputs"):
            ask(client, extra_body={"seed": 1})
        with pytest.raises(anthropic.NotFoundError):
            client.post("/v1/chat/completions", body={}, cast_to=object)
    with anthropic_of(simulator, "wrong") as client, pytest.raises(anthropic.AuthenticationError):
        ask(client)


def test_limits_reset_at_an_instant(start: Start) -> None:
    with anthropic_of(start(limits=RateLimits(requests_per_minute=1))) as client:
        headers = client.messages.with_raw_response.create(
            model="sim", max_tokens=5, messages=HELLO
        ).headers
        assert headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")
        with pytest.raises(anthropic.RateLimitError) as caught:
            ask(client)
    assert int(caught.value.response.headers["retry-after"]) > 0
