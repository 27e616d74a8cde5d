"""OpenAI's own client, strict about types, finds nothing wrong with any of its routes."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from minionbench.simulator import RateLimits, Simulator
from minionbench.simulator.tokens import count_tokens
from tests.simulator.conftest import Start, openai_of

HELLO: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."}]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def streamed(client: openai.OpenAI, **fields: Any) -> list[ChatCompletionChunk]:
    fields = {"model": "sim", "messages": HELLO, **fields}
    with client.chat.completions.create(stream=True, **fields) as stream:
        return list(stream)


def text_of(chunks: list[ChatCompletionChunk], field: str = "content") -> str:
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    return "".join(getattr(delta, field, None) or "" for delta in deltas)


def test_the_models_are_listed_and_found_one_by_one(openai_client: openai.OpenAI) -> None:
    names = [model.id for model in openai_client.models.list()]
    assert names[0] == "sim"
    assert "absent" not in names
    assert openai_client.models.retrieve("hidden").id == "hidden"
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("nobody")


def test_a_stream_and_a_whole_answer_say_the_same(openai_client: openai.OpenAI) -> None:
    whole = openai_client.chat.completions.create(model="sim", messages=HELLO)
    chunks = streamed(openai_client, stream_options={"include_usage": True})
    assert text_of(chunks) == whole.choices[0].message.content
    assert whole.usage is not None
    assert whole.usage == chunks[-1].usage
    assert [c.choices[0].finish_reason for c in chunks[:-1]][-1] == "stop"
    assert whole.usage.completion_tokens == count_tokens(text_of(chunks)) == 64
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + 64


def test_usage_is_streamed_only_where_it_is_asked_for(openai_client: openai.OpenAI) -> None:
    assert all(chunk.usage is None and chunk.choices for chunk in streamed(openai_client))


def test_reasoning_comes_first_and_apart(openai_client: openai.OpenAI) -> None:
    chunks = streamed(
        openai_client, reasoning_effort="medium", stream_options={"include_usage": True}
    )
    kinds = [
        "reasoning" if getattr(delta, "reasoning_content", None) else "answer"
        for delta in (chunk.choices[0].delta for chunk in chunks if chunk.choices)
        if getattr(delta, "reasoning_content", None) or delta.content
    ]
    assert kinds == ["reasoning"] * 24 + ["answer"] * 64
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 24
    assert usage.completion_tokens == 88


@pytest.mark.parametrize(
    ("model", "effort", "reasons"),
    [
        ("sim", "none", False),
        ("sim", None, False),
        ("sim", "high", True),
        ("always", "none", True),
        ("never", "high", False),
    ],
)
def test_the_switch_works_except_with_models_that_ignore_it(
    openai_client: openai.OpenAI, model: str, effort: str | None, reasons: bool
) -> None:
    switch: dict[str, Any] = {} if effort is None else {"reasoning_effort": effort}
    answer = openai_client.chat.completions.create(model=model, messages=HELLO, **switch)
    message = answer.choices[0].message
    assert bool(getattr(message, "reasoning_content", "")) == reasons
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert bool(answer.usage.completion_tokens_details.reasoning_tokens) == reasons


@pytest.mark.parametrize(
    "body",
    [
        {"thinking": {"type": "enabled"}},
        {"chat_template_kwargs": {"enable_thinking": True}},
        {"chat_template_kwargs": {"thinking": True}},
        {"think": True},
    ],
)
def test_every_servers_own_switch_is_taken(
    openai_client: openai.OpenAI, body: dict[str, Any]
) -> None:
    assert text_of(streamed(openai_client, extra_body=body), "reasoning_content")


def test_hidden_reasoning_is_counted_and_not_streamed(openai_client: openai.OpenAI) -> None:
    chunks = streamed(
        openai_client,
        model="hidden",
        reasoning_effort="high",
        stream_options={"include_usage": True},
    )
    assert text_of(chunks, "reasoning_content") == ""
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 64 + 48


def test_inline_reasoning_stands_in_the_answer(openai_client: openai.OpenAI) -> None:
    text = text_of(streamed(openai_client, model="inline", reasoning_effort="low"))
    assert text.startswith("<think>\n")
    assert "\n</think>\n\n" in text


def test_the_limit_cuts_the_answer_and_says_so(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="sim", messages=HELLO, max_tokens=5)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


def test_the_limit_covers_the_reasoning_too(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model="sim", messages=HELLO, max_completion_tokens=10, reasoning_effort="medium"
    )
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("", "length")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 10


def test_a_forced_length_is_kept_exactly(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model="sim", messages=HELLO, max_tokens=150, extra_body={"ignore_eos": True}
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 150


def test_min_tokens_lengthen_an_answer(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model="sim", messages=HELLO, max_tokens=150, extra_body={"min_tokens": 100}
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 100
    assert answer.choices[0].finish_reason == "stop"


def test_a_stop_sequence_ends_the_answer_before_it(openai_client: openai.OpenAI) -> None:
    whole = openai_client.chat.completions.create(model="sim", messages=HELLO)
    text = whole.choices[0].message.content or ""
    word = text.split()[7]
    cut = openai_client.chat.completions.create(model="sim", messages=HELLO, stop=[word, "absent"])
    assert cut.choices[0].message.content == text[: text.index(word)]
    assert cut.choices[0].finish_reason == "stop"


def test_a_schema_is_followed(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model="sim",
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
    )
    assert json.loads(answer.choices[0].message.content or "") == {"name": "", "age": 18}


def test_completions_take_plain_text(openai_client: openai.OpenAI) -> None:
    whole = openai_client.completions.create(model="sim", prompt="one two three", max_tokens=7)
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (3, 7)
    assert whole.choices[0].finish_reason == "length"


def test_completions_stream(simulator: Simulator, openai_client: openai.OpenAI) -> None:
    whole = openai_client.completions.create(model="sim", prompt="one two", max_tokens=9)
    # The SDK's types know no chunk without a finish reason, though the API sends them.
    with (
        openai_of(simulator, strict=False) as client,
        client.completions.create(
            model="sim",
            prompt="one two",
            max_tokens=9,
            stream=True,
            stream_options={"include_usage": True},
        ) as stream,
    ):
        chunks = list(stream)
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    assert chunks[-1].usage == whole.usage


def test_embeddings_are_the_same_for_the_same_text(
    simulator: Simulator, openai_client: openai.OpenAI
) -> None:
    texts = ["the red ship", "the red boat", "an income statement"]
    # By itself the SDK asks for base64, which its own strict types do not know.
    with openai_of(simulator, strict=False) as client:
        first = client.embeddings.create(model="sim", input=texts)
    again = openai_client.embeddings.create(model="sim", input=texts[0], encoding_format="float")
    vectors = [entry.embedding for entry in first.data]
    assert vectors[0] == pytest.approx(again.data[0].embedding, abs=1e-6)

    def alike(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert alike(vectors[0], vectors[0]) == pytest.approx(1, abs=1e-5)
    assert alike(vectors[0], vectors[1]) > alike(vectors[0], vectors[2])


@pytest.mark.parametrize("effort", [None, "medium"])
@pytest.mark.parametrize("summary", [None, "auto"])
def test_responses_stream_what_they_answer_whole(
    openai_client: openai.OpenAI, effort: Any, summary: Any
) -> None:
    reasoning: Any = {"effort": effort, "summary": summary} if effort else openai.omit
    whole = openai_client.responses.create(model="sim", input="Hello.", reasoning=reasoning)
    with openai_client.responses.stream(model="sim", input="Hello.", reasoning=reasoning) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == whole.output_text != ""
    assert final.usage == whole.usage
    assert [item.type for item in final.output] == [item.type for item in whole.output]
    numbers = [event.sequence_number for event in events if hasattr(event, "sequence_number")]
    assert numbers == sorted(set(numbers))
    kinds = {event.type for event in events}
    assert ("response.reasoning_summary_text.delta" in kinds) == bool(effort and summary)
    assert whole.usage is not None
    assert whole.usage.output_tokens_details.reasoning_tokens == (24 if effort else 0)
    added = [e.item.type for e in events if e.type == "response.output_item.added"]
    assert added == [item.type for item in whole.output]
    deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text


def test_a_response_at_its_limit_is_incomplete(openai_client: openai.OpenAI) -> None:
    with openai_client.responses.stream(model="sim", input="Hello.", max_output_tokens=5) as stream:
        last = list(stream)[-1]
    assert last.type == "response.incomplete"
    assert last.response.status == "incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "max_output_tokens"


def test_responses_take_instructions_messages_and_a_schema(openai_client: openai.OpenAI) -> None:
    answer = openai_client.responses.create(
        model="sim",
        instructions="Be brief.",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "Who?"}]},
            {"role": "assistant", "content": "You."},
            {"role": "user", "content": "How old?"},
        ],
        text={"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}},
    )
    assert json.loads(answer.output_text) == {"name": "", "age": 18}


ERRORS = {
    "bad_request": (openai.BadRequestError, None),
    "unauthorized": (openai.AuthenticationError, "invalid_api_key"),
    "forbidden": (openai.PermissionDeniedError, "unsupported_country_region_territory"),
    "not_found": (openai.NotFoundError, None),
    "model_not_found": (openai.NotFoundError, "model_not_found"),
    "conflict": (openai.ConflictError, None),
    "unprocessable": (openai.UnprocessableEntityError, None),
    "rate_limit": (openai.RateLimitError, "rate_limit_exceeded"),
    "quota": (openai.RateLimitError, "insufficient_quota"),
    "server_error": (openai.InternalServerError, None),
    "overloaded": (openai.InternalServerError, "overloaded"),
    "context_length": (openai.BadRequestError, "context_length_exceeded"),
    "prompt_filter": (openai.BadRequestError, "content_filter"),
    "http=402": (openai.APIStatusError, None),
    "http=529": (openai.InternalServerError, None),
}


@pytest.mark.parametrize("fault", ERRORS)
@pytest.mark.parametrize("stream", [False, True])
def test_each_error_is_an_exception_of_its_class(
    openai_client: openai.OpenAI, fault: str, stream: bool
) -> None:
    wanted, code = ERRORS[fault]
    with pytest.raises(wanted) as caught:
        openai_client.chat.completions.create(
            model="sim", messages=HELLO, stream=stream, extra_headers={"x-simulate": fault}
        )
    assert isinstance(caught.value, openai.APIStatusError)
    assert caught.value.request_id is not None
    if code is not None:
        assert caught.value.code == code


def test_an_error_inside_a_stream_is_raised_after_what_came(openai_client: openai.OpenAI) -> None:
    read = []
    with (
        pytest.raises(openai.APIError, match="error while processing") as caught,
        openai_client.chat.completions.create(
            model="sim", messages=HELLO, stream=True, extra_headers={"x-simulate": "error=3"}
        ) as stream,
    ):
        for chunk in stream:
            read.append(chunk.choices[0].delta.content)
    assert len([piece for piece in read if piece]) == 3
    assert not isinstance(caught.value, openai.APIStatusError)


def test_a_failed_response_has_an_error_event(openai_client: openai.OpenAI) -> None:
    with openai_client.responses.create(
        model="sim", input="Hello.", stream=True, extra_headers={"x-simulate": "overload=2"}
    ) as stream:
        events = list(stream)
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]


def test_a_content_filter_ends_an_answer(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model="sim", messages=HELLO, extra_headers={"x-simulate": "content_filter=4"}
    )
    assert answer.choices[0].finish_reason == "content_filter"
    assert count_tokens(answer.choices[0].message.content or "") == 4


def test_a_prompt_that_is_too_long_is_refused(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="maximum context length is 200") as caught:
        openai_client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "word " * 300}]
        )
    assert caught.value.code == "context_length_exceeded"


def test_the_key_is_checked_and_never_logged(start: Start) -> None:
    from minionbench.exchange import Secret

    simulator = start(api_key=Secret("sk-right"))
    with openai_of(simulator, "sk-right") as client:
        client.chat.completions.create(model="sim", messages=HELLO)
    with openai_of(simulator, "sk-wrong") as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="sim", messages=HELLO)
    assert [entry.status for entry in simulator.log()] == [200, 401]
    assert "sk-" not in repr(simulator.log())


def test_rate_limits_are_told_and_kept(start: Start) -> None:
    simulator = start(limits=RateLimits(requests_per_minute=2, tokens_per_minute=100_000))
    with openai_of(simulator) as client:
        raw = client.chat.completions.with_raw_response
        left = [
            raw.create(model="sim", messages=HELLO).headers["x-ratelimit-remaining-requests"]
            for _ in range(2)
        ]
        with pytest.raises(openai.RateLimitError) as caught:
            raw.create(model="sim", messages=HELLO)
    headers = caught.value.response.headers
    assert left == ["1", "0"]
    assert 0 < int(headers["retry-after"]) <= 30
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert headers["x-ratelimit-remaining-tokens"].isdigit()
    assert headers["x-ratelimit-reset-requests"].endswith("s")


def test_a_quota_that_is_used_up_is_no_rate_limit(start: Start) -> None:
    simulator = start(limits=RateLimits(quota_tokens=50))
    with openai_of(simulator) as client:
        client.chat.completions.create(model="sim", messages=HELLO)
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="sim", messages=HELLO)
    assert caught.value.code == "insufficient_quota"
    assert "retry-after" not in caught.value.response.headers


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"max_tokens": 5}, "unsupported_parameter"),
        ({"temperature": 0, "reasoning_effort": "low"}, "unsupported_parameter"),
        ({"extra_body": {"ignore_eos": True}}, None),
    ],
)
def test_openai_itself_refuses_what_it_does_not_take(
    start: Start, fields: dict[str, Any], code: str | None
) -> None:
    simulator = start(server="openai")
    with openai_of(simulator) as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="sim", messages=HELLO, **fields)
    assert caught.value.code == code


def test_openai_itself_pads_its_events_and_hides_its_reasoning(start: Start) -> None:
    with openai_of(start(server="openai")) as client:
        chunks = streamed(client, reasoning_effort="low", stream_options={"include_usage": True})
    assert text_of(chunks, "reasoning_content") == ""
    assert any(chunk.obfuscation for chunk in chunks)
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 12


def test_cached_tokens_are_those_of_the_same_beginning(start: Start) -> None:
    simulator = start(cache_block_tokens=8)
    beginning = "a document of many words " * 20

    def cached(text: str, **more: Any) -> int | None:
        with openai_of(simulator) as client:
            answer = client.chat.completions.create(
                model="sim", messages=[{"role": "user", "content": text}], **more
            )
        assert answer.usage is not None
        assert answer.usage.prompt_tokens_details is not None
        count: int | None = answer.usage.prompt_tokens_details.cached_tokens
        return count

    assert cached(f"{beginning} first") == 0
    # "<|user|>" and the tokens of the beginning, in whole blocks of 8.
    assert cached(f"{beginning} second") == (1 + count_tokens(beginning)) // 8 * 8
    assert cached(f"other {beginning}") == 0
    assert cached(f"{beginning} second", extra_body={"cache_prompt": False}) == 0


def test_the_log_has_what_was_asked(simulator: Simulator, openai_client: openai.OpenAI) -> None:
    openai_client.chat.completions.create(model="sim", messages=HELLO, max_tokens=3)
    entry = simulator.log()[-1]
    assert entry.request == {"model": "sim", "messages": HELLO, "max_tokens": 3}
    assert (entry.path, entry.outcome, entry.text_tokens) == ("/v1/chat/completions", "answered", 3)


def test_servers_that_stream_their_reasoning_do_so_in_responses(start: Start) -> None:
    with openai_of(start(server="vllm")) as client:
        with client.responses.stream(
            model="sim", input="Hello.", reasoning={"effort": "medium"}
        ) as stream:
            deltas = [e.delta for e in stream if e.type == "response.reasoning_text.delta"]
            final = stream.get_final_response()
        whole = client.responses.create(model="sim", input="Hello.", reasoning={"effort": "medium"})
    assert len(deltas) == 24
    assert final.output[0].type == whole.output[0].type == "reasoning"
    assert final.output[0].content == whole.output[0].content
    assert final.output[0].content is not None
    assert final.output[0].content[0].text == "".join(deltas)
