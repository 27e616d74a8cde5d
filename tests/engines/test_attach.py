"""Attaching to real servers: fixed answers on loopback, and the embedded engine as a stranger."""

from __future__ import annotations

import json
from typing import Any

import pytest

from minionbench.engines.attach import attach, attach_ollama, find_ollama, ollama_address
from minionbench.engines.engine import EngineSettings
from minionbench.engines.llamacpp import LlamaCppEngine
from minionbench.errors import DeploymentError, UsageError
from tests.engines.support import chat, closed_port, http_server

KEY = "TEST_SERVER_KEY"


def models(*names: str, **more: Any) -> tuple[int, bytes]:
    entries = [{"id": name, "object": "model", **more} for name in names]
    return 200, json.dumps({"object": "list", "data": entries}).encode()


def failure(url: str, model: str | None = None, **settings: Any) -> str:
    with pytest.raises(DeploymentError) as caught:
        attach(url, model, EngineSettings(**settings))
    return str(caught.value)


# Any OpenAI-compatible server


def test_a_running_server_is_found_and_answers(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.endpoint.key is not None
    monkeypatch.setenv(KEY, engine.endpoint.key.reveal())
    attached = attach(engine.endpoint.base_url, None, EngineSettings(api_key_env=KEY, slots=3))
    facts = attached.facts
    assert (facts.name, facts.embedded, facts.model) == ("llama.cpp", False, "random")
    assert facts.context_tokens == 4096
    assert attached.version
    assert (attached.pid, attached.log_path, attached.ended()) == (None, None, None)
    assert attached.endpoint.slots == 3
    assert attached.endpoint.extra_body == {"cache_prompt": False}
    assert chat(attached.endpoint, "hello")
    attached.stop()
    assert engine.ended() is None


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_the_address_may_have_the_path_or_not(suffix: str) -> None:
    with http_server({"/v1/models": models("m")}) as (url, _):
        assert attach(url + suffix, None, EngineSettings()).endpoint.base_url == f"{url}/v1"
        bare = url.removeprefix("http://")
        assert attach(bare + suffix, None, EngineSettings()).endpoint.base_url == f"{url}/v1"


def test_a_server_below_a_path_of_its_own_is_found() -> None:
    with http_server({"/proxy/v1/models": models("m"), "/other/models": models("n")}) as (url, _):
        found = attach(f"{url}/proxy", None, EngineSettings())
        assert (found.endpoint.base_url, found.facts.model) == (f"{url}/proxy/v1", "m")
        found = attach(f"{url}/other", None, EngineSettings())
        assert (found.endpoint.base_url, found.facts.model) == (f"{url}/other", "n")


def test_no_server_is_told_with_the_address_that_was_tried() -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    message = failure(url)
    assert message.startswith(f"No server answers at {url}: the connection is refused")
    assert "--url" in message


def test_with_several_models_one_has_to_be_named() -> None:
    with http_server({"/v1/models": models("a", "b")}) as (url, _):
        assert "serves a, b; name one with --model" in failure(url)
        assert attach(url, "b", EngineSettings()).endpoint.model == "b"
        assert "does not serve c; it serves a, b" in failure(url, "c")


def test_of_many_models_some_are_listed() -> None:
    with http_server({"/v1/models": models(*(f"m{i}" for i in range(12)))}) as (url, _):
        assert failure(url).count("m") > 10
        assert "m9 and 2 more" in failure(url)


def test_a_model_may_carry_the_provider_that_the_server_does_not_know() -> None:
    with http_server({"/v1/models": models("llama3.2:3b", "openai/gpt-oss-20b")}) as (url, _):
        assert attach(url, "ollama/llama3.2:3b", EngineSettings()).facts.model == "llama3.2:3b"
        assert (
            attach(url, "openai/gpt-oss-20b", EngineSettings()).facts.model == "openai/gpt-oss-20b"
        )


def test_a_server_without_a_list_is_taken_at_the_users_word() -> None:
    with http_server({}) as (url, _):
        attached = attach(f"{url}/v1", "m", EngineSettings())
        assert attached.endpoint.base_url == f"{url}/v1"
        assert "does not list its models" in " ".join(attached.facts.notes)
        assert "does not list its models; name one" in failure(url)


@pytest.mark.parametrize("body", [b"oh dear", b'{"data": 3}', b'{"models": []}', b"[]"])
def test_an_answer_that_is_no_list_of_models_is_no_server(body: bytes) -> None:
    with http_server({"/v1/models": (200, body), "/models": (200, body)}) as (url, _):
        assert "does not say which models it has" in failure(url, "m")


def test_a_server_that_is_starting_is_told() -> None:
    loading = (503, b'{"error": {"message": "Loading model"}}')
    with http_server({"/v1/models": loading, "/models": loading}) as (url, _):
        assert "HTTP 503: Loading model" in failure(url)


def test_hostile_names_do_not_reach_the_terminal() -> None:
    with http_server({"/v1/models": models("\x1b[2Ja", "b\n" * 500)}) as (url, _):
        message = failure(url)
    assert message.isprintable()
    assert len(message) < 400


def test_a_key_that_is_wanted_or_refused_is_told(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = engine.endpoint.base_url
    assert "wants a key" in failure(url)
    assert "--api-key-env" in failure(url)
    monkeypatch.setenv(KEY, "wrong-but-secret")
    message = failure(url, api_key_env=KEY)
    assert f"The one in {KEY} is not accepted" in message
    assert "wrong-but-secret" not in message


@pytest.mark.parametrize(
    ("value", "said"), [(None, "not set"), (" ", "empty"), ("ab\ncd", "characters")]
)
def test_a_variable_without_a_usable_key_is_told(
    monkeypatch: pytest.MonkeyPatch, value: str | None, said: str
) -> None:
    if value is None:
        monkeypatch.delenv(KEY, raising=False)
    else:
        monkeypatch.setenv(KEY, value)
    message = failure("http://127.0.0.1:1", api_key_env=KEY)
    assert KEY in message
    assert said in message


def test_a_key_given_in_place_of_its_variable_is_not_repeated() -> None:
    with pytest.raises(UsageError, match="NAME of the environment variable") as caught:
        attach("http://127.0.0.1:1", None, EngineSettings(api_key_env="sk-real-key"))
    assert "sk-real" not in str(caught.value)


def test_without_a_variable_no_key_is_sent_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    with http_server({"/v1/models": models("m")}) as (url, seen):
        assert attach(url, None, EngineSettings()).endpoint.key is None
    assert all("Authorization" not in headers for headers in seen)


def test_https_is_told_to_come_later() -> None:
    assert "TLS" in failure("https://127.0.0.1:1/v1")
    with pytest.raises(DeploymentError, match="TLS"):
        attach_ollama("m", EngineSettings(), {"OLLAMA_HOST": "https://ollama.example"})


@pytest.mark.parametrize(
    "url", ["ftp://a/b", "http://", "http://a:99999", "http://a/v1?x=1", "http://a/#b"]
)
def test_what_is_no_address_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError):
        attach(url, None, EngineSettings())


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        attach("http://user:hunter2@127.0.0.1:1/v1", None, EngineSettings())
    assert "hunter2" not in str(caught.value)


def test_what_a_foreign_server_cannot_be_told_is_noted() -> None:
    with http_server({"/v1/models": models("m", owned_by="vllm", max_model_len=777)}) as (url, _):
        facts = attach(url, None, EngineSettings(threads=2, gpu_layers=0)).facts
    assert (facts.name, facts.version, facts.context_tokens) == ("vllm", None, 777)
    assert facts.threads is None
    assert facts.cache_prompt is None
    assert facts.notes == (
        "Not applied, since the server was started elsewhere: threads, GPU layers",
    )


def test_headers_and_body_of_the_users_own_reach_the_endpoint() -> None:
    settings = EngineSettings(headers=(("X-Team", "a"),), extra_body={"top_k": 1})
    with http_server({"/v1/models": models("m")}) as (url, _):
        endpoint = attach(url, None, settings).endpoint
    assert (endpoint.headers, endpoint.extra_body) == ((("X-Team", "a"),), {"top_k": 1})


def test_a_server_that_went_away_is_told() -> None:
    with http_server({"/v1/models": models("m")}) as (url, _):
        attached = attach(url, None, EngineSettings())
        assert attached.ended() is None
    ended = attached.ended()
    assert ended is not None
    assert f"The server at {url}/v1 is gone" in ended


# Ollama


def ollama(url: str) -> dict[str, str]:
    return {"OLLAMA_HOST": url}


def test_an_ollama_server_is_used_through_its_openai_routes() -> None:
    routes = {
        "/v1/models": models("llama3.2:3b", "qwen3:latest", owned_by="library"),
        "/api/version": (200, b'{"version": "0.13.1"}'),
    }
    with http_server(routes) as (url, _):
        attached = attach_ollama("llama3.2:3b", EngineSettings(), ollama(url))
        assert (attached.name, attached.version) == ("ollama", "0.13.1")
        assert attached.endpoint.base_url == f"{url}/v1"
        assert attached.endpoint.model == "llama3.2:3b"
        assert attached.endpoint.extra_body == {}
        assert "OLLAMA_CONTEXT_LENGTH" in attached.facts.notes[0]
        assert attach_ollama("qwen3", EngineSettings(), ollama(url)).endpoint.model == "qwen3"


def test_no_ollama_server_is_told_with_the_commands_that_help() -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(DeploymentError) as caught:
        attach_ollama("llama3.2", EngineSettings(), ollama(url))
    message = str(caught.value)
    assert message.startswith(f"No Ollama server answers at {url}: ")
    assert message.endswith("Start it with `ollama serve`, then `ollama pull llama3.2`")


def test_what_an_ollama_server_has_can_be_asked() -> None:
    with http_server({"/v1/models": models("a", "b")}) as (url, _):
        assert find_ollama(ollama(url)).models == ("a", "b")


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (models("llama3.2:1b"), "it has llama3.2:1b"),
        ((200, b'{"object": "list", "data": null}'), "it has no models"),
    ],
)
def test_a_model_that_ollama_lacks_is_told_with_the_command_that_gets_it(
    listed: tuple[int, bytes], said: str
) -> None:
    with (
        http_server({"/v1/models": listed}) as (url, _),
        pytest.raises(DeploymentError) as caught,
    ):
        attach_ollama("llama3.2:3b", EngineSettings(), ollama(url))
    assert said in str(caught.value)
    assert "`ollama pull llama3.2:3b`" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (None, "http://127.0.0.1:11434"),
        ("", "http://127.0.0.1:11434"),
        ("box", "http://box:11434"),
        ("box:8080", "http://box:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("8080", "http://8080:11434"),
        ("192.168.1.2", "http://192.168.1.2:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://box", "http://box:80"),
        ("http://box:8080", "http://box:8080"),
        ("http://box:8080/", "http://box:8080"),
        ("http://box:8080/sub/", "http://box:8080/sub"),
        ("https://box", "https://box:443"),
        (' "box:8080" ', "http://box:8080"),
        ("[::]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_ollama_host_is_read_in_the_forms_that_ollama_takes(
    value: str | None, address: str
) -> None:
    assert ollama_address({} if value is None else {"OLLAMA_HOST": value}) == address


@pytest.mark.parametrize("value", ["box:notaport", "ftp://box", "http://u:p@box"])
def test_an_ollama_host_that_is_no_address_is_told(value: str) -> None:
    with pytest.raises(DeploymentError, match="OLLAMA_HOST is no server's address") as caught:
        ollama_address({"OLLAMA_HOST": value})
    assert "u:p" not in str(caught.value)
