from __future__ import annotations

from pathlib import Path

import pytest

from minionbench.engines.catalog import ModelSpec, open_engine
from minionbench.engines.engine import EngineSettings
from minionbench.errors import DeploymentError, UsageError
from tests.engines.support import chat, closed_port, http_server


@pytest.mark.parametrize(
    ("text", "provider", "name", "full"),
    [
        ("reference", "reference", "q8_0", "reference/q8_0"),
        ("reference/f16", "reference", "f16", "reference/f16"),
        ("reference/Q4_0", "reference", "q4_0", "reference/q4_0"),
        ("llamacpp/models/a.gguf", "llamacpp", "models/a.gguf", "llamacpp/models/a.gguf"),
        ("llamacpp//abs/a.gguf", "llamacpp", "/abs/a.gguf", "llamacpp//abs/a.gguf"),
        ("./models/a.gguf", "llamacpp", "./models/a.gguf", "llamacpp/./models/a.gguf"),
        ("ollama/llama3.2:3b", "ollama", "llama3.2:3b", "ollama/llama3.2:3b"),
        ("ollama/someone/model:tag", "ollama", "someone/model:tag", "ollama/someone/model:tag"),
        ("llama3.2", "ollama", "llama3.2", "ollama/llama3.2"),
        ("openai/gpt-x", "openai", "gpt-x", "openai/gpt-x"),
        (" anthropic/c ", "anthropic", "c", "anthropic/c"),
    ],
)
def test_a_model_is_named_by_provider_and_name(
    text: str, provider: str, name: str, full: str
) -> None:
    spec = ModelSpec.parse(text)
    assert (spec.provider, spec.name, spec.text) == (provider, name, full)
    assert ModelSpec.parse(spec.text) == spec


@pytest.mark.parametrize("text", [None, "", " ", "ollama/", "llamacpp/", "nosuch/model"])
def test_what_names_no_model_is_told_with_the_forms_there_are(text: str | None) -> None:
    with pytest.raises(UsageError, match=r"reference/q8_0, llamacpp/PATH\.gguf, ollama/NAME"):
        ModelSpec.parse(text)


def test_an_unknown_reference_format_is_told_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="no format 'q5_K_M'; it has f16, q8_0, q4_0"):
        ModelSpec.parse("reference/q5_K_M")


def test_with_a_url_the_whole_text_is_the_servers_name_for_the_model() -> None:
    spec = ModelSpec.parse("meta-llama/Llama-3.1-8B", url="http://127.0.0.1:8000")
    assert (spec.provider, spec.text) == ("url", "meta-llama/Llama-3.1-8B")
    assert ModelSpec.parse(None, url="http://127.0.0.1:8000").name is None


def test_only_models_on_this_machine_have_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert ModelSpec.parse("llamacpp/~/a.gguf").file == Path("/home/someone/a.gguf")
    reference = ModelSpec.parse("reference/q4_0").file
    assert reference is not None
    assert reference.name == "reference-q4_0.gguf"
    assert ModelSpec.parse("ollama/m").file is None
    assert ModelSpec.parse(None, url="http://a").file is None


def test_a_gguf_file_is_served_for_as_long_as_the_block(model_file: Path, tmp_path: Path) -> None:
    spec = ModelSpec.parse(f"llamacpp/{model_file}")
    with open_engine(spec, EngineSettings(), log_folder=tmp_path) as engine:
        assert engine.endpoint.model == engine.facts.model == "random"
        assert chat(engine.endpoint, "hello")
        assert engine.log_path == tmp_path / "engine.log"
    assert engine.ended() == "The engine was stopped."


def test_an_engine_ends_when_its_block_fails(model_file: Path, tmp_path: Path) -> None:
    spec = ModelSpec.parse(f"llamacpp/{model_file}")
    with (
        pytest.raises(KeyboardInterrupt),
        open_engine(spec, EngineSettings(), log_folder=tmp_path) as engine,
    ):
        raise KeyboardInterrupt
    assert engine.ended() == "The engine was stopped."


def test_a_servers_url_comes_before_what_the_name_says(tmp_path: Path) -> None:
    routes = {"/v1/models": (200, b'{"data": [{"id": "m"}]}')}
    with http_server(routes) as (url, _):
        for spec in (ModelSpec.parse("m", url=url), ModelSpec.parse(None, url=url)):
            with open_engine(spec, EngineSettings(url=url), log_folder=tmp_path) as engine:
                assert (engine.endpoint.base_url, engine.endpoint.model) == (f"{url}/v1", "m")
    assert list(tmp_path.iterdir()) == []


def test_ollama_is_looked_for_where_its_variable_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port = closed_port()
    monkeypatch.setenv("OLLAMA_HOST", f"0.0.0.0:{port}")
    with (
        pytest.raises(
            DeploymentError, match=rf"No Ollama server answers at http://127.0.0.1:{port}"
        ),
        open_engine(ModelSpec.parse("llama3.2"), EngineSettings(), log_folder=tmp_path),
    ):
        pass


@pytest.mark.parametrize("model", ["openai/gpt-x", "anthropic/c", "deepseek/d"])
def test_a_providers_model_needs_its_key(model: str, tmp_path: Path) -> None:
    spec = ModelSpec.parse(model)
    assert spec.remote and spec.file is None
    with (
        pytest.raises(DeploymentError, match=f"{spec.provider.upper()}_API_KEY.* is not set"),
        open_engine(spec, EngineSettings(), log_folder=tmp_path),
    ):
        pass


@pytest.mark.parametrize("model", ["reference", "llama3.2", "a.gguf"])
def test_what_runs_here_is_not_remote(model: str) -> None:
    assert not ModelSpec.parse(model).remote
    assert not ModelSpec.parse(model, url="http://127.0.0.1:1").remote


def test_a_missing_address_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(DeploymentError, match="--url"),
        open_engine(ModelSpec("url", "m"), EngineSettings(), log_folder=tmp_path),
    ):
        pass


def test_a_name_of_bytes_that_are_no_text_is_refused_at_once() -> None:
    for url in (None, "http://127.0.0.1:1/v1"):
        with pytest.raises(UsageError, match="not valid UTF-8"):
            ModelSpec.parse("caf\udce9", url=url)
