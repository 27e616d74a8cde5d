"""Ollama's own API: against a server on loopback that answers as Ollama does."""

from __future__ import annotations

from typing import Any

import pytest

from minionbench.engines.engine import EngineSettings
from minionbench.engines.ollama import OllamaEngine, attach_ollama
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Reasoning
from tests.engines.servers import Ollama, server, shown
from tests.engines.support import closed_port

MODEL = "llama3.2:3b"
ON, OFF = Reasoning(on=True), Reasoning(on=False)


def attached(ollama: Ollama, model: str = MODEL, **settings: Any) -> OllamaEngine:
    with ollama.running() as environment:
        return attach_ollama(model, EngineSettings(**settings), environment)


def failure(ollama: Ollama, model: str = MODEL, **settings: Any) -> str:
    with pytest.raises(DeploymentError) as caught:
        attached(ollama, model, **settings)
    return str(caught.value)


@pytest.fixture
def ollama() -> Ollama:
    return Ollama(**{MODEL: shown()})


def with_thinking(thinking: Any = None, **more: Any) -> Ollama:
    return Ollama(**{MODEL: shown("completion", "thinking", thinking=thinking, **more)})


def test_a_model_is_found_described_and_loaded(ollama: Ollama) -> None:
    engine = attached(ollama)
    facts = engine.facts
    assert (facts.name, facts.version, facts.model) == ("ollama", "0.30.1", MODEL)
    assert (facts.quantization, facts.parameter_count) == ("Q4_K_M", 3_212_749_888)
    assert facts.file_size_bytes == 2_000_000_000
    assert (facts.load_s, facts.template_tokens) == (3.25, 12)
    assert facts.notes == ("The model was loaded for this run, which took Ollama 3.25 s",)
    endpoint = engine.endpoint
    assert (endpoint.dialect, endpoint.model) == ("ollama", MODEL)
    assert not endpoint.base_url.endswith("/v1")
    assert endpoint.manners.ignores_end is False


def test_the_bare_name_means_the_latest(ollama: Ollama) -> None:
    ollama.models["qwen3:latest"] = shown()
    assert attached(ollama, "qwen3").endpoint.model == "qwen3"


def test_the_context_is_what_the_longest_request_needs(ollama: Ollama) -> None:
    engine = attached(ollama, needed_tokens=6_001)
    assert engine.endpoint.extra_body["options"] == {"num_ctx": 6_144}
    assert ollama.loaded == {MODEL: 6_144}
    assert engine.facts.context_tokens == 6_144
    (body,) = ollama.bodies("POST /api/chat")
    assert body["options"]["num_predict"] == 1


def test_a_small_need_takes_ollamas_own_context_and_a_wish_is_kept(ollama: Ollama) -> None:
    assert attached(ollama, needed_tokens=100).facts.context_tokens == 4_096
    assert attached(ollama, context_tokens=2_048, needed_tokens=100).facts.context_tokens == 2_048


def test_room_is_left_for_reasoning() -> None:
    assert attached(with_thinking(), needed_tokens=4_096).facts.context_tokens == 8_192


def test_no_more_context_is_taken_than_the_model_has(ollama: Ollama) -> None:
    ollama.models[MODEL] = shown(context=8_192)
    engine = attached(ollama, needed_tokens=20_000)
    assert engine.facts.context_tokens == 8_192
    assert "refused, not cut" in engine.facts.notes[-1]
    with pytest.raises(UsageError, match="made for 8,192 at most"):
        attached(ollama, context_tokens=8_193)


def test_a_context_that_the_server_does_not_give_is_noted(ollama: Ollama) -> None:
    ollama.most_context = 4_096
    engine = attached(ollama, needed_tokens=10_000)
    assert engine.facts.context_tokens == 4_096
    assert "context of 4,096 tokens, fewer than the 10,240" in " ".join(engine.facts.notes)


def test_the_model_stays_loaded_between_requests(ollama: Ollama) -> None:
    assert attached(ollama).endpoint.extra_body["keep_alive"] == "15m"


def test_the_users_own_fields_have_the_last_word(ollama: Ollama) -> None:
    own = {"keep_alive": "1h", "options": {"top_k": 1}}
    body = attached(ollama, extra_body=own).endpoint.extra_body
    assert body["keep_alive"] == "1h"
    assert body["options"] == {"num_ctx": 4_096, "top_k": 1}


def test_loading_generates_one_token_whatever_limit_the_user_sets(ollama: Ollama) -> None:
    own = {"options": {"num_predict": 1_500, "top_k": 1}}
    engine = attached(ollama, extra_body=own)
    (load,) = ollama.bodies("POST /api/chat")
    assert load["options"]["num_predict"] == 1
    assert load["options"]["top_k"] == 1
    assert engine.endpoint.extra_body["options"]["num_predict"] == 1_500


def test_a_cache_without_a_switch_is_kept_cold_by_unique_beginnings(ollama: Ollama) -> None:
    cold = attached(ollama)
    assert cold.endpoint.unique_prefix and cold.facts.cold_by
    warm = attached(ollama, cache_prompt=True)
    assert not warm.endpoint.unique_prefix and warm.facts.cold_by is None


def test_a_model_that_is_loaded_already_took_no_time(ollama: Ollama) -> None:
    ollama.loaded[MODEL] = 4_096
    engine = attached(ollama)
    assert engine.facts.load_s is None
    assert engine.facts.notes == ()


def test_a_model_that_is_loaded_with_another_context_is_loaded_anew(ollama: Ollama) -> None:
    ollama.loaded[MODEL] = 2_048
    assert attached(ollama).facts.load_s == 3.25


def test_a_fresh_start_unloads_the_model_first(ollama: Ollama) -> None:
    ollama.loaded[MODEL] = 4_096
    said: list[str] = []
    with ollama.running() as environment:
        engine = attach_ollama(MODEL, EngineSettings(fresh=True), environment, said.append)
    assert ollama.bodies("POST /api/generate") == [{"model": MODEL, "keep_alive": 0}]
    assert engine.facts.load_s == 3.25
    assert said == [f"unloading {MODEL}", f"loading {MODEL}"]


def test_memory_is_what_the_server_says(ollama: Ollama) -> None:
    ollama.vram = 1_500_000_000
    with ollama.running() as environment:
        engine = attach_ollama(MODEL, EngineSettings(), environment)
        held = engine.held_memory()
    assert held is not None
    assert (held.vram_bytes, held.total_bytes) == (1_500_000_000, 2_000_000_000)
    assert "/api/ps" in held.method
    assert "the rest is computed by the processor" in " ".join(engine.facts.notes)


def test_memory_is_unknown_once_the_model_or_the_server_is_gone(ollama: Ollama) -> None:
    with ollama.running() as environment:
        engine = attach_ollama(MODEL, EngineSettings(), environment)
        ollama.loaded.clear()
        assert engine.held_memory() is None
        assert engine.ended() is None
    assert engine.held_memory() is None
    ended = engine.ended()
    assert ended is not None and "is gone: the connection is refused" in ended


# The model


def test_a_missing_model_is_told_with_the_command_that_gets_it(ollama: Ollama) -> None:
    message = failure(ollama, "qwen3:8b")
    assert f"does not have qwen3:8b; it has {MODEL}." in message
    assert "`ollama pull qwen3:8b`" in message and "--pull" in message
    assert "it has no models" in failure(Ollama())


def test_a_missing_model_is_pulled_on_request(ollama: Ollama) -> None:
    ollama.pullable["qwen3:8b"] = shown()
    ollama.pulling = [
        {"status": "pulling aaa", "total": 100 << 20, "completed": done << 20}
        for done in (0, 1, 4, 5, 50, 100)
    ]
    said: list[str] = []
    with ollama.running() as environment:
        engine = attach_ollama("qwen3:8b", EngineSettings(pull=True), environment, said.append)
    assert engine.facts.model == "qwen3:8b"
    assert said == [
        "pulling qwen3:8b: pulling manifest",
        "pulling qwen3:8b: 0 % of 100 MB",
        "pulling qwen3:8b: 5 % of 100 MB",
        "pulling qwen3:8b: 50 % of 100 MB",
        "pulling qwen3:8b: 100 % of 100 MB",
        "pulling qwen3:8b: success",
        "loading qwen3:8b",
    ]


def test_a_model_that_is_there_is_not_pulled(ollama: Ollama) -> None:
    attached(ollama, pull=True)
    assert ollama.bodies("POST /api/pull") == []


def test_a_pull_that_fails_says_why(ollama: Ollama) -> None:
    message = failure(ollama, "nosuch:1b", pull=True)
    assert "could not pull nosuch:1b: pull model manifest: file does not exist" in message


def test_a_pull_that_ends_too_soon_is_no_success() -> None:
    routes = {
        "GET /api/version": (200, {"version": "0.1"}),
        "GET /api/tags": (200, {"models": []}),
        "POST /api/pull": (200, [{"status": "pulling manifest"}]),
    }
    with (
        server(routes) as (url, _),
        pytest.raises(DeploymentError, match="ended without saying that it succeeded"),
    ):
        attach_ollama("m", EngineSettings(pull=True), {"OLLAMA_HOST": url})


def test_a_model_that_only_embeds_is_refused() -> None:
    only = Ollama(**{"nomic:latest": shown("embedding")})
    assert "lists embedding as its capabilities, not completion" in failure(only, "nomic")


def test_a_model_that_does_not_load_says_why(ollama: Ollama) -> None:
    refused = {"error": "model requires more system memory (9.1 GiB) than is available"}
    ollama._chat = lambda body: (500, refused)  # type: ignore[method-assign]
    assert f"did not load {MODEL}: HTTP 500: model requires more system memory" in failure(ollama)


# Reasoning


@pytest.mark.parametrize(
    ("thinking", "wish", "effort"),
    [
        (None, Reasoning(on=True), None),
        ({"values": [True, False], "default": True}, Reasoning(on=True), None),
        ({"values": ["low", "medium", "high"], "default": "low"}, Reasoning(on=True), "low"),
        ({"values": ["low", "medium", "high"]}, Reasoning(on=True), "medium"),
        ({"values": ["low", "high"]}, Reasoning(on=True, effort="high"), "high"),
    ],
)
def test_reasoning_is_switched_on_in_the_models_own_words(
    thinking: Any, wish: Reasoning, effort: str | None
) -> None:
    engine = attached(with_thinking(thinking))
    engine.set_reasoning(wish)
    assert engine.endpoint.manners.switch == "think"
    assert engine.endpoint.reasoning == Reasoning(on=True, effort=effort)


def test_a_model_that_cannot_reason_is_refused_to_and_needs_no_off(ollama: Ollama) -> None:
    engine = attached(ollama)
    assert engine.endpoint.manners.switch == "none"
    with pytest.raises(DeploymentError, match=r"cannot reason: .*\(completion, tools\)"):
        engine.set_reasoning(ON)
    engine.set_reasoning(OFF)
    assert engine.endpoint.reasoning is None


def test_a_list_that_only_knows_off_means_that_the_model_cannot_reason() -> None:
    engine = attached(with_thinking({"values": [False]}))
    with pytest.raises(DeploymentError, match="cannot reason"):
        engine.set_reasoning(ON)


def test_reasoning_is_switched_off_where_it_can_be() -> None:
    engine = attached(with_thinking())
    engine.set_reasoning(OFF)
    assert engine.endpoint.reasoning == OFF


@pytest.mark.parametrize("listed", [True, False])
def test_a_model_of_levels_only_cannot_be_switched_off(listed: bool) -> None:
    """Servers from before the list of values are known by the model's family."""
    levels = with_thinking({"values": ["low", "high"]})
    if not listed:
        levels = with_thinking(details={"family": "gptoss"})
    engine = attached(levels)
    with pytest.raises(DeploymentError, match="cannot be switched off"):
        engine.set_reasoning(OFF)


def test_a_level_that_the_model_lacks_is_not_sent() -> None:
    """An unknown one falls back to the default without a word."""
    engine = attached(with_thinking({"values": ["low", "high"]}))
    with pytest.raises(DeploymentError, match="no level of reasoning 'xhigh'; it has low, high"):
        engine.set_reasoning(Reasoning(on=True, effort="xhigh"))
    engine = attached(with_thinking())
    with pytest.raises(DeploymentError, match="only has on and off"):
        engine.set_reasoning(Reasoning(on=True, effort="low"))


# Other servers


def test_an_old_server_that_says_little_is_used_all_the_same() -> None:
    old = Ollama(**{MODEL: {"details": {"quantization_level": "unknown"}}})
    old.tells_context = False
    facts = attached(old).facts
    assert (facts.quantization, facts.parameter_count) == (None, None)
    assert facts.context_tokens == 4_096


def test_no_server_is_told_with_the_commands_that_help() -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(DeploymentError) as caught:
        attach_ollama("llama3.2", EngineSettings(), {"OLLAMA_HOST": url})
    message = str(caught.value)
    assert message.startswith(f"No Ollama server answers at {url}: ")
    assert message.endswith("Start it with `ollama serve`, then `ollama pull llama3.2`")


def test_a_server_that_is_busy_is_not_said_to_be_another() -> None:
    with (
        server({"GET /api/version": (503, {"error": "overloaded"})}) as (url, _),
        pytest.raises(DeploymentError, match=r"at present \(HTTP 503: overloaded\)"),
    ):
        attach_ollama("m", EngineSettings(), {"OLLAMA_HOST": url})


def test_a_server_that_wants_a_key_says_so() -> None:
    with (
        server({"GET /api/version": (401, {"error": "unauthorized"})}) as (url, _),
        pytest.raises(DeploymentError, match=r"wants a key, or another \(HTTP 401: unauthorized\)"),
    ):
        attach_ollama("m", EngineSettings(), {"OLLAMA_HOST": url})


@pytest.mark.parametrize("page", [(200, b"<html>Sign in</html>"), (404, {"error": "no"}), (200, 3)])
def test_what_is_not_ollama_is_told(page: Any) -> None:
    with (
        server({"GET /api/version": page}) as (url, _),
        pytest.raises(DeploymentError, match=r"is not Ollama .* OLLAMA_HOST"),
    ):
        attach_ollama("m", EngineSettings(), {"OLLAMA_HOST": url})


def test_raw_prompts_are_sent_elsewhere(ollama: Ollama) -> None:
    with ollama.running() as environment, pytest.raises(UsageError, match="--url http"):
        attach_ollama(MODEL, EngineSettings(raw=True), environment)


def test_what_a_running_server_cannot_be_told_is_noted(ollama: Ollama) -> None:
    ollama.loaded[MODEL] = 4_096
    notes = attached(ollama, threads=2, gpu_layers=1).facts.notes
    assert notes == ("Not applied, since the server was started elsewhere: threads, GPU layers",)
