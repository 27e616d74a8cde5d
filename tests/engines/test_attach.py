"""Attaching to real servers: fixed answers on loopback, and the embedded engine as a stranger."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from minionbench.engines.attach import attach
from minionbench.engines.engine import EngineSettings
from minionbench.engines.llamacpp import LlamaCppEngine
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Reasoning
from tests.engines.servers import Answer, chat, listing, server
from tests.engines.support import chat as chat_with
from tests.engines.support import closed_port, http_server, raw_server
from tests.transport.certificates import Authority

KEY = "TEST_SERVER_KEY"


def models(*names: str, **more: Any) -> tuple[int, bytes]:
    entries = [{"id": name, "object": "model", **more} for name in names]
    return 200, json.dumps({"object": "list", "data": entries}).encode()


def failure(url: str, model: str | None = None, **settings: Any) -> str:
    with pytest.raises(DeploymentError) as caught:
        attach(url, model, EngineSettings(**settings))
    return str(caught.value)


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
    assert chat_with(attached.endpoint, "hello")
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
    routes: dict[str, Any] = {
        "GET /v1/models": listing("m", owned_by="vllm", max_model_len=777),
        "POST /v1/chat/completions": chat(),
    }
    with server(routes) as (url, _):
        facts = attach(url, None, EngineSettings(threads=2, gpu_layers=0, pull=True)).facts
    assert (facts.name, facts.version, facts.context_tokens) == ("vllm", None, 777)
    assert facts.threads is None
    assert facts.cache_prompt is None
    assert facts.notes == (
        "Not applied, since the server was started elsewhere: threads, GPU layers, pull",
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
    assert f"The server at {url}/v1 is gone: the connection is refused" in ended


# The trial request


def serving(kind: str = "vllm", /, **more: Any) -> dict[str, Any]:
    """The routes of a server of a kind."""
    return {
        "GET /v1/models": listing("m", owned_by=kind),
        "POST /v1/chat/completions": chat(prompt_tokens=23),
        **more,
    }


def test_a_trial_request_tells_what_the_chat_template_adds() -> None:
    with server(serving()) as (url, asked):
        attached = attach(url, None, EngineSettings(headers=(("X-Team", "a"),)))
    assert attached.facts.template_tokens == 23
    assert attached.facts.notes == ()
    (trial,) = [one for one in asked if one.what == "POST /v1/chat/completions"]
    assert trial.body["messages"] == [{"role": "user", "content": "Hello"}]
    assert (trial.body["model"], trial.body["max_tokens"]) == ("m", 1)
    assert all(one.headers.get("X-Team", one.headers.get("x-team")) == "a" for one in asked)


def test_a_trial_request_generates_one_token_whatever_limit_the_user_sets() -> None:
    own = {"max_tokens": 2_000, "options": {"num_predict": 900, "top_k": 1}}
    with server(serving()) as (url, asked):
        attached = attach(url, None, EngineSettings(extra_body=own))
    (trial,) = [one for one in asked if one.what == "POST /v1/chat/completions"]
    assert trial.body["max_tokens"] == 1
    assert trial.body["options"] == {"num_predict": 1, "top_k": 1}
    assert attached.endpoint.extra_body == own


def test_a_trial_request_that_is_refused_says_why_before_anything_is_measured() -> None:
    refused = (400, {"error": {"message": "m is no chat model"}})
    with server(serving(**{"POST /v1/chat/completions": refused})) as (url, _):
        assert "refuses a trial request for m: HTTP 400: m is no chat model" in failure(url)


def test_a_field_that_is_refused_is_left_out_from_then_on() -> None:
    """As OpenAI's models that reason refuse them, one after the other."""

    def particular(body: Any) -> Answer:
        for refused in ("max_tokens", "temperature"):
            if refused in body:
                advice = "Use 'max_completion_tokens' instead." if refused == "max_tokens" else ""
                said = f"Unsupported parameter: '{refused}' is not supported. {advice}"
                return 400, {"error": {"message": said}}
        return chat()(body)

    with server(serving("x", **{"POST /v1/chat/completions": particular})) as (url, asked):
        manners = attach(url, None, EngineSettings()).endpoint.manners
    assert manners.max_tokens_field == "max_completion_tokens"
    assert manners.temperature is False
    assert asked[-1].body == {
        "model": "m",
        "max_completion_tokens": 1,
        "messages": [{"role": "user", "content": "Hello"}],
    }


def test_an_unknown_model_of_a_server_without_a_list_is_told() -> None:
    missing = (404, {"error": {"message": "The model `n` does not exist"}})
    with server({"POST /v1/chat/completions": missing}) as (url, _):
        assert "The model `n` does not exist" in failure(f"{url}/v1", "n")


def test_a_server_without_the_chat_route_is_told_with_what_else_there_is() -> None:
    with server({"GET /v1/models": listing("m")}) as (url, _):
        message = failure(url)
    assert "refuses a trial request for m: HTTP 404: no such route. " in message
    assert "--raw" in message and "--dialect responses" in message and "-m anthropic/" in message


def test_a_trial_request_without_an_answer_is_noted_and_no_more() -> None:
    busy = (503, {"error": {"message": "busy"}})
    with server(serving(**{"POST /v1/chat/completions": busy})) as (url, _):
        facts = attach(url, None, EngineSettings()).facts
    assert facts.template_tokens is None
    assert facts.notes == ("A trial request before the run failed: HTTP 503: busy",)


def test_raw_prompts_go_to_the_completions_route() -> None:
    routes = serving(**{"POST /v1/completions": (200, {"usage": {"prompt_tokens": 2}})})
    with server(routes) as (url, asked):
        attached = attach(url, None, EngineSettings(raw=True))
    assert attached.endpoint.dialect == "completions"
    assert attached.endpoint.manners.raw
    assert attached.endpoint.manners.switch == "none"
    assert attached.facts.template_tokens == 2
    assert [one.body["prompt"] for one in asked if one.what == "POST /v1/completions"] == ["Hello"]


# What it is instead


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minionbench.engines.server_kind.PROBE_S", 0.2)
    with raw_server(lambda peer: print(peer.recv(1 << 16), peer.recv(1))) as url:
        assert "no answer within 0.2 s" in failure(url)


def test_a_page_of_html_is_called_one() -> None:
    page = (200, b"<!doctype html><title>Sign in</title>")
    with server({"GET /v1/models": page, "GET /models": page}) as (url, _):
        assert "(HTTP 200 with a page of HTML)" in failure(url)


def test_a_redirect_is_not_followed() -> None:
    away = (302, b"")
    with server({"GET /v1/models": away, "GET /models": away}) as (url, _):
        assert "HTTP 302: it sends us elsewhere, which is not followed" in failure(url)


def test_requests_that_may_be_too_long_for_the_server_are_noted() -> None:
    routes = serving(**{"GET /v1/models": listing("m", owned_by="vllm", max_model_len=100)})
    with server(routes) as (url, _):
        (note,) = attach(url, None, EngineSettings(needed_tokens=101)).facts.notes
        assert "may need 101 tokens with its answer, more than the server's context of 100" in note
        assert attach(url, None, EngineSettings(needed_tokens=100)).facts.notes == ()


def test_https_is_verified_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program makes the certificates")
    alone = Authority(tmp_path).self_signed("alone")
    with server(serving(), tls=alone.server()) as (url, _):
        assert failure(url) == (
            f"No prompt goes to {url}: the server's certificate is self-signed. If you trust it, "
            "name the file of its authority's certificate in SSL_CERT_FILE, or accept it unseen "
            "with --insecure"
        )
        attached = attach(url, None, EngineSettings(insecure=True))
    assert attached.endpoint.base_url == f"{url}/v1"
    assert attached.endpoint.insecure and attached.facts.insecure


# The prefix cache


def test_a_cache_with_a_switch_in_the_request_is_switched_off_there() -> None:
    with server(serving("llamacpp")) as (url, _):
        cold = attach(url, None, EngineSettings())
        warm = attach(url, None, EngineSettings(cache_prompt=True))
    assert cold.endpoint.extra_body == {"cache_prompt": False}
    assert (cold.facts.cold_by, cold.endpoint.unique_prefix) == ("cache_prompt: false", False)
    assert warm.endpoint.extra_body == {"cache_prompt": True}
    assert warm.facts.cold_by is None


def test_a_cache_that_can_be_emptied_is_emptied_before_each_phase() -> None:
    routes = serving("sglang", **{"POST /flush_cache": (200, b"Cache flushed.")})
    with server(routes) as (url, asked):
        attached = attach(url, None, EngineSettings())
        assert attached.facts.cold_by == (
            "a unique beginning of each prompt, and POST /flush_cache before each repeat"
        )
        assert attached.endpoint.unique_prefix, "requests of one repeat may begin alike"
        before = [one.what for one in asked].count("POST /flush_cache")
        assert attached.forget_prompts() is None
        assert [one.what for one in asked].count("POST /flush_cache") == before + 1
        routes["POST /flush_cache"] = (400, {"error": "requests are running"})
        why = attached.forget_prompts()
    assert why == "the server did not empty its prefix cache: HTTP 400: requests are running"


def test_a_warm_cache_is_left_alone() -> None:
    routes = serving("sglang", **{"POST /flush_cache": (200, b"")})
    with server(routes) as (url, asked):
        attached = attach(url, None, EngineSettings(cache_prompt=True))
        assert attached.forget_prompts() is None
    assert (attached.facts.cold_by, attached.endpoint.unique_prefix) == (None, False)
    assert "POST /flush_cache" not in [one.what for one in asked]


@pytest.mark.parametrize("kind", ["vllm", "organization_owner", "somebody"])
def test_a_cache_without_a_switch_is_kept_cold_by_unique_beginnings(kind: str) -> None:
    """vLLM has the route in its developers' mode only."""
    with server(serving(kind)) as (url, _):
        attached = attach(url, None, EngineSettings())
    assert attached.endpoint.unique_prefix
    assert attached.facts.cold_by == "a unique beginning of each prompt"
    assert attached.forget_prompts() is None


# Its own account


def test_the_metrics_page_is_read_where_there_is_one() -> None:
    page = b"vllm:prompt_tokens_total 1\n"
    routes = serving(**{"GET /metrics": (200, page)})
    with server(routes) as (url, _):
        attached = attach(url, None, EngineSettings())
        assert attached.metrics_page() == page.decode()
        del routes["GET /metrics"]
        assert attached.metrics_page() is None
    assert attached.metrics_page() is None


def test_a_server_without_metrics_of_its_kind_is_not_asked_for_them_again() -> None:
    with server(serving(**{"GET /metrics": (200, b"go_goroutines 1\n")})) as (url, asked):
        attached = attach(url, None, EngineSettings())
        before = len(asked)
        assert attached.metrics_page() is None
        assert len(asked) == before


# Reasoning


@pytest.mark.parametrize(
    ("model", "template", "switch"),
    [
        ("m", "{% if enable_thinking %}<think>{% endif %}", "enable_thinking"),
        ("m", "{{ messages }}", "none"),
        ("gpt-oss-20b", "{{ reasoning_effort }}", "reasoning_effort"),
        ("m", None, "enable_thinking"),
    ],
)
def test_what_llama_cpp_shows_of_the_template_goes_before_the_models_name(
    model: str, template: str | None, switch: str
) -> None:
    routes = serving("llamacpp", **{"GET /props": (200, {"chat_template": template})})
    routes["GET /v1/models"] = listing(model, owned_by="llamacpp")
    with server(routes) as (url, _):
        attached = attach(url, None, EngineSettings())
    assert attached.endpoint.manners.switch == switch


def test_reasoning_is_refused_where_nothing_can_be_told() -> None:
    routes = serving("llamacpp", **{"GET /props": (200, {"chat_template": "{{ messages }}"})})
    with server(routes) as (url, _):
        by_template = attach(url, None, EngineSettings())
    with server(serving("somebody")) as (url, _):
        by_kind = attach(url, None, EngineSettings())
    for attached in (by_template, by_kind):
        with pytest.raises(DeploymentError, match="reason"):
            attached.set_reasoning(Reasoning(on=True))
        attached.set_reasoning(Reasoning(on=False))


def test_reasoning_is_asked_for_in_the_servers_form() -> None:
    with server(serving("vllm")) as (url, _):
        attached = attach(url, None, EngineSettings())
    attached.set_reasoning(Reasoning(on=True))
    assert attached.endpoint.manners.switch == "enable_thinking"
    assert attached.endpoint.reasoning == Reasoning(on=True)


def test_the_embedded_engines_server_counts_the_tokens_of_a_text(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.endpoint.key is not None
    monkeypatch.setenv(KEY, engine.endpoint.key.reveal())
    attached = attach(engine.endpoint.base_url, None, EngineSettings(api_key_env=KEY))
    assert attached.facts.name == "llama.cpp"
    assert attached.count_tokens("") == 0
    one, two = attached.count_tokens("qx"), attached.count_tokens("qxqx")
    assert one is not None and two == 2 * one, "no mark of a beginning or an end is counted"
