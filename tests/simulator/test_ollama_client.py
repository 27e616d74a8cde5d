"""Ollama's own client finds nothing wrong with Ollama's routes."""

from __future__ import annotations

import json
from typing import Any

import ollama
import pytest

from minionbench.simulator import Fixed
from minionbench.simulator.tokens import count_tokens
from tests.simulator.conftest import Start
from tests.simulator.raw import ask

HELLO: Any = [{"role": "user", "content": "Hello."}]


@pytest.mark.parametrize("think", [None, False, True, "low", "high"])
def test_a_stream_and_a_whole_answer_say_the_same(ollama_client: ollama.Client, think: Any) -> None:
    whole = ollama_client.chat("sim", HELLO, think=think)
    parts = list(ollama_client.chat("sim", HELLO, think=think, stream=True))
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    thought = "".join(part.message.thinking or "" for part in parts)
    assert thought == (whole.message.thinking or "")
    expected = {None: 0, False: 0, True: 24, "low": 12, "high": 48}[think]
    assert count_tokens(thought) == expected
    assert parts[-1].eval_count == whole.eval_count == 64 + expected
    assert parts[-1].prompt_eval_count == whole.prompt_eval_count
    assert (parts[-1].done, parts[-1].done_reason) == (True, "stop")
    assert not any(part.done for part in parts[:-1])


def test_generate_streams_what_it_answers_whole(ollama_client: ollama.Client) -> None:
    whole = ollama_client.generate("sim", "Hello.", think=True)
    parts = list(ollama_client.generate("sim", "Hello.", think=True, stream=True))
    assert "".join(part.response or "" for part in parts) == whole.response
    assert "".join(part.thinking or "" for part in parts) == whole.thinking
    assert parts[-1].eval_count == whole.eval_count


def test_a_raw_prompt_has_no_template(ollama_client: ollama.Client) -> None:
    counts = [
        ollama_client.generate("sim", "one two three", raw=raw).prompt_eval_count
        for raw in (True, False)
    ]
    assert counts == [3, 6]


def test_the_engines_own_times_are_those_of_the_model_of_time(start: Start) -> None:
    simulator = start(timing=Fixed(ttft_ms=8, itl_ms=1), load_ms=5, answer_tokens=10)
    with ollama.Client(simulator.ollama_url) as client:
        first, second = client.chat("sim", HELLO), client.chat("sim", HELLO)
    assert first.load_duration == 5_000_000
    assert first.prompt_eval_duration == 8_000_000
    assert first.eval_duration == 9_000_000
    assert first.total_duration == 22_000_000
    assert second.load_duration is None


def test_tokens_from_the_cache_are_told_where_there_are_any(start: Start) -> None:
    simulator = start(cache_block_tokens=1)
    body = {"model": "sim", "messages": HELLO, "stream": False}
    first, second = (ask(simulator, "/api/chat", body).json() for _ in range(2))
    assert "prompt_eval_cached_count" not in first
    assert second["prompt_eval_cached_count"] == second["prompt_eval_count"] - 1
    cached = [entry.cached_tokens for entry in simulator.log()]
    assert cached == [0, second["prompt_eval_cached_count"]]


def test_a_long_prompt_is_cut_without_a_word(ollama_client: ollama.Client) -> None:
    long: Any = [{"role": "user", "content": "word " * 300}]
    answer = ollama_client.chat("sim", long, options={"num_ctx": 100})
    assert answer.prompt_eval_count == 100
    assert answer.eval_count == 64
    fitting = ollama_client.chat("sim", long, options={"num_ctx": 1_000})
    assert fitting.prompt_eval_count == 304


def test_a_long_prompt_is_refused_where_it_must_not_be_cut(simulator: Any) -> None:
    body = {
        "model": "sim",
        "messages": [{"role": "user", "content": "word " * 300}],
        "options": {"num_ctx": 100},
        "truncate": False,
    }
    answer = ask(simulator, "/api/chat", body)
    assert answer.status == 400
    assert answer.json() == {"error": "the input length exceeds the context length"}


def test_num_predict_cuts_and_the_schema_is_followed(ollama_client: ollama.Client) -> None:
    cut = ollama_client.chat("sim", HELLO, options={"num_predict": 4})
    assert (cut.eval_count, cut.done_reason) == (4, "length")
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    bound = ollama_client.chat("sim", HELLO, format=schema)
    assert json.loads(bound.message.content or "") == {"n": 0}
    assert ollama_client.chat("sim", HELLO, format="json").message.content == "{}"


def test_models_are_listed_shown_and_loaded(start: Start) -> None:
    with ollama.Client(start().ollama_url) as client:
        names = [model.model for model in client.list().models]
        assert names[:2] == ["sim:latest", "always:latest"]
        shown = client.show("sim")
        assert shown.capabilities == ["completion", "thinking"]
        assert client.show("plain").capabilities == ["completion"]
        assert shown.modelinfo is not None
        assert shown.modelinfo["simulated.context_length"] == 32_768
        assert list(client.ps().models) == []
        client.chat("sim", HELLO)
        running = client.ps().models
        assert [model.name for model in running] == ["sim:latest"]
        assert running[0].size == running[0].size_vram
        client.generate("sim", keep_alive=0)
        assert list(client.ps().models) == []


def test_a_model_is_loaded_without_a_prompt(ollama_client: ollama.Client) -> None:
    loaded = ollama_client.generate("sim", keep_alive="10m")
    assert (loaded.done_reason, loaded.response) == ("load", "")
    assert ollama_client.generate("sim", keep_alive=0).done_reason == "unload"


def test_a_model_that_is_not_pulled_answers_after_the_pull(start: Start) -> None:
    with ollama.Client(start().ollama_url) as client:
        with pytest.raises(ollama.ResponseError, match="model 'absent' not found") as caught:
            client.chat("absent", HELLO)
        assert caught.value.status_code == 404
        progress = list(client.pull("absent", stream=True))
        assert progress[0].status == "pulling manifest"
        done = [part.completed or 0 for part in progress if part.total]
        assert done == sorted(done)
        assert done[-1] == progress[1].total
        assert progress[-1].status == "success"
        assert client.chat("absent", HELLO).done
        with pytest.raises(ollama.ResponseError, match="file does not exist"):
            client.pull("nobody")


def test_a_pull_can_fail_half_way(start: Start) -> None:
    simulator = start()
    simulator.faults("error")
    with (
        ollama.Client(simulator.ollama_url) as client,
        pytest.raises(ollama.ResponseError, match="connection reset"),
    ):
        list(client.pull("absent", stream=True))


def test_a_model_that_cannot_think_says_so(ollama_client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="does not support thinking") as caught:
        ollama_client.chat("plain", HELLO, think=True)
    assert caught.value.status_code == 400
    assert ollama_client.chat("never", HELLO, think=True).message.thinking is None
    assert ollama_client.chat("always", HELLO, think=False).message.thinking


def test_an_unknown_level_is_refused(simulator: Any) -> None:
    answer = ask(
        simulator, "/api/chat", {"model": "sim", "messages": HELLO, "think": "tremendously"}
    )
    assert answer.status == 400
    assert "invalid think value" in answer.json()["error"]


def test_embeddings_are_unit_vectors(ollama_client: ollama.Client) -> None:
    vectors = ollama_client.embed("sim", ["one", "two"]).embeddings
    assert [round(sum(x * x for x in vector), 6) for vector in vectors] == [1, 1]
    assert len(ollama_client.embed("sim", "one", dimensions=8).embeddings[0]) == 8
    assert list(ollama_client.embeddings("sim", "one").embedding) == pytest.approx(vectors[0])


def test_the_version_and_the_greeting_are_there(simulator: Any) -> None:
    assert ask(simulator, "/api/version").json()["version"]
    assert ask(simulator, "/").body == b"Ollama is running"


@pytest.mark.parametrize("fault", ["error=2", "overload=2"])
def test_an_error_inside_a_stream_is_raised(ollama_client: ollama.Client, fault: str) -> None:
    read = []
    with pytest.raises(ollama.ResponseError):
        for part in ollama_client.chat(
            "sim", [{"role": "user", "content": f"[[simulate:{fault}]]"}], stream=True
        ):
            read.append(part.message.content)
    assert len(read) == 2


def test_keep_alives_and_strange_fields_do_no_harm(ollama_client: ollama.Client) -> None:
    content = "[[simulate:keep_alive=0.02,strange_event=1]]"
    parts = list(ollama_client.chat("sim", [{"role": "user", "content": content}], stream=True))
    assert parts[-1].done
    assert len([part for part in parts if part.message.content]) == 64


@pytest.mark.parametrize(
    ("fault", "ended"), [("truncate", "closed"), ("reset", "reset"), ("stall", "open")]
)
def test_a_pull_can_break_off(start: Start, fault: str, ended: str) -> None:
    def half(data: bytes) -> bool:
        return data.count(b"\n{") >= 3

    received = ask(start(), "/api/pull", {"model": "absent"}, enough=half, x_simulate=fault)
    assert received.ended == ended
    assert b"success" not in received.data
