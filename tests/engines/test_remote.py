from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from minionbench import Claude, DeepSeek, OpenAI
from minionbench.engines.engine import EngineSettings
from minionbench.engines.remote import RemoteEngine, open_remote
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Reasoning
from tests.engines.support import closed_port, http_server

KEY = "sk-planted-0123456789abcdef"
ON, OFF = Reasoning(on=True), Reasoning(on=False)


def listing(*models: str) -> tuple[int, bytes]:
    return 200, json.dumps({"object": "list", "data": [{"id": name} for name in models]}).encode()


def refusal(status: int, message: str) -> tuple[int, bytes]:
    return status, json.dumps({"error": {"message": message}}).encode()


@contextmanager
def provider(
    name: str, *models: str, **routes: tuple[int, bytes]
) -> Iterator[tuple[dict[str, str], list[dict[str, str]]]]:
    """A provider on loopback: the environment that leads there, and the requests' headers."""
    route, query = "/v1/models", "?limit=1000" if name == "anthropic" else ""
    table = {f"{route}{query}": listing(*models)} if models else {}
    table |= {f"{route}{path}": answer for path, answer in routes.items()}
    with http_server(table) as (url, seen):
        path = "" if name == "anthropic" else "/v1"
        upper = name.upper()
        yield {f"{upper}_BASE_URL": url + path, f"{upper}_API_KEY": KEY}, seen


def failure(name: str, model: str, environment: dict[str, str], **settings: Any) -> str:
    with pytest.raises(DeploymentError) as caught:
        open_remote(name, model, EngineSettings(**settings), environment)
    assert KEY not in str(caught.value)
    return str(caught.value)


def test_an_openai_model_is_asked_for_once_with_the_key_and_becomes_an_endpoint() -> None:
    with provider("openai", "gpt-5.5", "gpt-4o") as (environment, seen):
        engine = open_remote("openai", "gpt-5.5", EngineSettings(), environment)
    assert [(s[":path"], s["Authorization"]) for s in seen] == [("/v1/models", f"Bearer {KEY}")]
    endpoint, facts = engine.endpoint, engine.facts
    assert (endpoint.dialect, endpoint.model) == ("openai", "gpt-5.5")
    assert endpoint.base_url == environment["OPENAI_BASE_URL"]
    assert endpoint.key is not None and endpoint.key.reveal() == KEY
    assert endpoint.manners.max_tokens_field == "max_completion_tokens"
    assert endpoint.reasoning is None
    assert endpoint.unique_prefix, "nobody can empty a provider's cache"
    assert facts.remote and not facts.embedded
    assert (facts.name, facts.dialect, facts.model) == ("OpenAI", "openai", "gpt-5.5")
    assert facts.context_tokens == 1_050_000
    assert engine.pid is None and engine.ended() is None


def test_a_claude_is_asked_for_in_anthropics_own_way() -> None:
    with provider("anthropic", "claude-sonnet-5") as (environment, seen):
        engine = open_remote("anthropic", "claude-sonnet-5", EngineSettings(), environment)
    (request,) = seen
    assert request[":path"] == "/v1/models?limit=1000"
    headers = {name.lower(): value for name, value in request.items()}
    assert headers["x-api-key"] == KEY
    assert headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in headers
    assert engine.endpoint.dialect == "anthropic"
    assert engine.endpoint.base_url == environment["ANTHROPIC_BASE_URL"]


def test_an_address_with_the_version_in_it_is_anthropics_too() -> None:
    with provider("anthropic", "claude-sonnet-5") as (environment, _):
        url = environment["ANTHROPIC_BASE_URL"]
        settings = EngineSettings(url=f"{url}/v1")
        engine = open_remote("anthropic", "claude-sonnet-5", settings, environment)
    assert engine.endpoint.base_url == url


def test_another_dialect_of_the_provider_is_spoken_on_request() -> None:
    with provider("openai", "gpt-5.5") as (environment, _):
        settings = EngineSettings(dialect="responses")
        engine = open_remote("openai", "gpt-5.5", settings, environment)
        assert engine.endpoint.dialect == engine.facts.dialect == "responses"
        with pytest.raises(UsageError, match="it takes openai, responses"):
            open_remote("openai", "gpt-5.5", EngineSettings(dialect="ollama"), environment)


def test_a_missing_key_is_told_with_the_variable_to_set_and_nobody_is_asked() -> None:
    message = failure("openai", "gpt-5.5", {"OPENAI_BASE_URL": "http://0.0.0.0:1/v1"})
    assert "OPENAI_API_KEY" in message and "export OPENAI_API_KEY=…" in message


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_told_with_the_variable_to_set(status: int) -> None:
    wrong = refusal(status, f"Incorrect API key provided: {KEY}")
    with provider("openai", **{"": wrong}) as (environment, _):
        message = failure("openai", "gpt-5.5", environment)
    assert "does not accept the key in OPENAI_API_KEY" in message
    assert f"HTTP {status}: Incorrect API key provided" in message


def test_a_wrong_key_from_elsewhere_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    with provider("anthropic", **{"?limit=1000": refusal(401, f"bad {KEY}")}) as (environment, _):
        message = failure(
            "anthropic", "claude-sonnet-5", environment, key_from=f"file:{tmp_path / 'key'}"
        )
    assert f"the key in the file {tmp_path / 'key'}" in message


def test_a_model_that_is_not_there_is_told_with_those_that_are_like_it() -> None:
    with provider("deepseek", "deepseek-flash", "deepseek-v4-pro") as (environment, seen):
        message = failure("deepseek", "deepseek-flush", environment)
    assert "DeepSeek has no model deepseek-flush; it has deepseek-flash" in message
    assert seen[-1][":path"] == "/v1/models/deepseek-flush"


def test_an_alias_that_is_not_listed_but_answered_for_is_taken() -> None:
    alias = (200, b'{"id": "claude-sonnet-4-5-20250929"}')
    routes = {"/claude-sonnet-4-5": alias}
    with provider("anthropic", "claude-sonnet-4-5-20250929", **routes) as (environment, _):
        engine = open_remote("anthropic", "claude-sonnet-4-5", EngineSettings(), environment)
    assert engine.endpoint.model == "claude-sonnet-4-5"
    assert any("2026-11-30" in note for note in engine.facts.notes)


def test_a_model_that_the_table_does_not_know_is_taken_with_a_note() -> None:
    with provider("openai", "gpt-99") as (environment, _):
        engine = open_remote("openai", "gpt-99", EngineSettings(), environment)
    assert any("gpt-99 is not in the table" in note for note in engine.facts.notes)
    assert engine.facts.context_tokens is None


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_a_server_that_does_not_list_its_models_is_taken_by_the_models_name(status: int) -> None:
    with provider("openai", **{"": refusal(status, "not now")}) as (environment, _):
        engine = open_remote("openai", "gpt-5.5", EngineSettings(), environment)
    assert any("did not list its models" in note for note in engine.facts.notes)


@pytest.mark.parametrize("answer", [(200, b"<html>Sign in</html>"), (302, b""), (200, b"{}")])
def test_a_page_in_between_is_no_provider(answer: tuple[int, bytes]) -> None:
    with provider("openai", **{"": answer}) as (environment, _):
        message = failure("openai", "gpt-5.5", environment)
    assert "is not the API of OpenAI" in message and "sign-in page" in message


def test_an_account_without_money_is_told_so() -> None:
    with provider("deepseek", **{"": refusal(402, "Insufficient Balance")}) as (environment, _):
        assert "paid first (HTTP 402: Insufficient Balance)" in failure(
            "deepseek", "deepseek-flash", environment
        )


def test_nobody_at_the_address_is_told_with_the_address() -> None:
    url = f"http://127.0.0.1:{closed_port()}/v1"
    message = failure("openai", "gpt-5.5", {"OPENAI_BASE_URL": url})
    assert f"OpenAI cannot be reached at {url}: the connection is refused" in message


def test_a_server_without_its_version_in_the_address_is_found_under_it() -> None:
    with provider("openai", "gpt-5.5") as (environment, seen):
        url = environment["OPENAI_BASE_URL"].removesuffix("/v1")
        engine = open_remote("openai", "gpt-5.5", EngineSettings(url=url), environment)
    assert engine.endpoint.base_url == f"{url}/v1"
    assert seen[0][":path"] == "/v1/models"


def test_another_server_may_know_the_model_by_its_full_name() -> None:
    with provider("openai", "openai/gpt-5.5") as (environment, _):
        engine = open_remote("openai", "gpt-5.5", EngineSettings(), environment)
    assert engine.endpoint.model == "openai/gpt-5.5"


def test_a_providers_key_is_not_sent_to_another_host_unless_it_is_named() -> None:
    """0.0.0.0 leads to this machine, and yet is none of its loopback addresses."""
    with provider("openai", "gpt-5.5") as (environment, seen):
        url = environment.pop("OPENAI_BASE_URL").replace("127.0.0.1", "0.0.0.0")
        engine = open_remote("openai", "gpt-5.5", EngineSettings(url=url), environment)
        assert engine.endpoint.key is None
        assert "Authorization" not in seen[0]
        assert any("OPENAI_API_KEY is for OpenAI itself" in note for note in engine.facts.notes)

        named = EngineSettings(url=url, key_from="env:OPENAI_API_KEY")
        with pytest.raises(DeploymentError, match="should hold the key of OpenAI, is not set"):
            open_remote("openai", "gpt-5.5", named, {})


def test_a_key_that_goes_unencrypted_is_noted() -> None:
    with provider("openai", "gpt-5.5") as (environment, _):
        environment["OPENAI_BASE_URL"] = environment["OPENAI_BASE_URL"].replace(
            "127.0.0.1", "0.0.0.0"
        )
        engine = open_remote("openai", "gpt-5.5", EngineSettings(), environment)
    assert engine.endpoint.key is not None
    assert any("went to 0.0.0.0 unencrypted" in note for note in engine.facts.notes)


def test_a_server_on_this_machine_needs_no_key() -> None:
    with provider("openai", "gpt-5.5") as (environment, seen):
        del environment["OPENAI_API_KEY"]
        engine = open_remote("openai", "gpt-5.5", EngineSettings(), environment)
    assert engine.endpoint.key is None
    assert "Authorization" not in seen[0]


def test_what_a_reader_has_to_know_is_noted() -> None:
    with provider("openai", "gpt-5") as (environment, _):
        settings = EngineSettings(insecure=True, threads=2, needed_tokens=500_000)
        engine = open_remote("openai", "gpt-5", settings, environment)
    notes = " ".join(engine.facts.notes)
    assert engine.endpoint.insecure and engine.facts.insecure
    for words in ("--insecure", "threads", "500,000", "2026-12-11", "learn.microsoft.com"):
        assert words in notes


def opened(name: str, model: str) -> RemoteEngine:
    with provider(name, model) as (environment, _):
        return open_remote(name, model, EngineSettings(), environment)


def test_reasoning_is_switched_as_the_table_says() -> None:
    openai = opened("openai", "gpt-5.5")
    openai.set_reasoning(OFF)
    assert openai.endpoint.reasoning == Reasoning(on=False, effort="none")
    openai.set_reasoning(ON)
    assert openai.endpoint.reasoning == Reasoning(on=True, effort="medium")
    openai.set_reasoning(Reasoning(on=True, effort="high", budget_tokens=9))
    assert openai.endpoint.reasoning == Reasoning(on=True, effort="high", budget_tokens=9)

    older = opened("openai", "gpt-5")
    older.set_reasoning(OFF)
    assert older.endpoint.reasoning == Reasoning(on=False, effort="minimal")

    deepseek = opened("deepseek", "deepseek-flash")
    deepseek.set_reasoning(OFF)
    assert deepseek.endpoint.reasoning == OFF
    assert deepseek.endpoint.manners.switch == "thinking_type"

    claude = opened("anthropic", "claude-haiku-4-5")
    claude.set_reasoning(ON)
    assert claude.endpoint.manners.switch == "thinking_budget"
    assert not claude.endpoint.manners.temperature
    claude.set_reasoning(OFF)
    assert claude.endpoint.manners.temperature


def test_a_reader_is_told_where_only_a_summary_of_thinking_is_shown() -> None:
    claude = opened("anthropic", "claude-sonnet-5")
    assert not any("summary" in note for note in claude.facts.notes)
    claude.set_reasoning(ON)
    assert any("summary" in note for note in claude.facts.notes)


def test_a_reader_is_told_where_no_temperature_is_sent() -> None:
    claude = opened("anthropic", "claude-haiku-4-5")
    for reasoning, told in ((ON, True), (OFF, False)):
        claude.set_reasoning(reasoning)
        assert any("No temperature" in note for note in claude.facts.notes) is told
    assert any("No temperature" in note for note in opened("openai", "o3").facts.notes)


def test_a_switch_without_a_word_for_off_takes_what_the_table_has() -> None:
    claude = opened("anthropic", "claude-sonnet-5-5")
    claude.set_reasoning(OFF)
    assert claude.endpoint.reasoning is None
    assert claude.endpoint.extra_body == {"thinking": {"type": "between_tools"}}


def test_what_a_model_cannot_do_is_refused() -> None:
    with pytest.raises(DeploymentError, match="gpt-4o of OpenAI does not reason"):
        opened("openai", "gpt-4o").set_reasoning(ON)
    with pytest.raises(DeploymentError, match="claude-opus-5-5 of Anthropic always reasons"):
        opened("anthropic", "claude-opus-5-5").set_reasoning(OFF)
    plain = opened("openai", "gpt-4o")
    plain.set_reasoning(OFF)
    assert plain.endpoint.reasoning is None, "there is nothing to switch off"


def test_remote_models_have_a_default_and_a_name() -> None:
    assert OpenAI("gpt-4o").text == "openai/gpt-4o"
    assert OpenAI().text == "openai/gpt-5.5"
    assert Claude().text == "anthropic/claude-sonnet-5"
    assert DeepSeek().text == "deepseek/deepseek-flash"
    assert OpenAI("m", dialect="responses") == OpenAI("m", "responses")
