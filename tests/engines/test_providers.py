from __future__ import annotations

from pathlib import Path

import pytest

from minionbench.engines.catalog import ModelSpec
from minionbench.engines.providers import Providers, RemoteTraits, providers
from minionbench.errors import UsageError
from minionbench.exchange import Reasoning
from minionbench.transport.http import Url

ON, OFF = Reasoning(on=True), Reasoning(on=False)


def table(**environment: str) -> Providers:
    return providers({"XDG_CONFIG_HOME": "/nonexistent", **environment})


def traits(model: str) -> RemoteTraits:
    provider, _, name = model.partition("/")
    return table().by_name[provider].traits(name)[0]


def test_the_table_is_dated_and_whole() -> None:
    found = table()
    assert found.date >= "2026-11"
    assert set(found.by_name) == {"openai", "anthropic", "deepseek"}
    for info in found.by_name.values():
        assert Url(info.base_url).tls, "a key goes over TLS"
        assert info.key_variable.endswith("_API_KEY")
        assert info.source
        assert info.default_model is not None
        assert info.traits(info.default_model)[0].reasoning == "switchable"
        for model in info.models:
            row, listed = info.traits(model.removesuffix("*"))
            assert listed
            assert row.confirmed or row.source, f"{model}: where is this from?"
            assert row.reasoning in ("never", "always") or row.switch != "none"


def test_the_longest_name_that_fits_counts() -> None:
    assert traits("openai/gpt-5-pro-2025-10-06").reasoning == "always"
    assert traits("openai/gpt-5").off_effort == "minimal"
    assert traits("openai/gpt-5.4-mini").off_effort == "none"
    assert traits("openai/gpt-4o-mini").shutdown == "2027-01-14"
    assert traits("anthropic/claude-opus-5-5").reasoning == "always"
    assert traits("anthropic/claude-opus-5").reasoning == "switchable"


def test_a_model_that_is_not_listed_takes_what_most_take() -> None:
    row, listed = table().by_name["openai"].traits("gpt-99")
    assert not listed
    assert row.max_tokens_field == "max_completion_tokens"
    assert row.temperature == "never"
    assert (row.reasoning, row.context_tokens) == ("unknown", None)


def test_a_reasoning_model_of_openai_gets_no_temperature_and_another_limit() -> None:
    manners = traits("openai/o3").manners(None)
    assert manners.max_tokens_field == "max_completion_tokens"
    assert not manners.temperature
    assert manners.switch == "reasoning_effort"
    assert traits("openai/gpt-4o").manners(None).temperature


def test_a_temperature_that_only_thinking_forbids_is_sent_without_it() -> None:
    haiku = traits("anthropic/claude-haiku-4-5")
    assert haiku.manners(OFF).temperature
    assert not haiku.manners(ON).temperature
    assert not haiku.manners(None).temperature, "left alone it may think"
    assert haiku.manners(ON).switch == "thinking_budget"
    assert traits("anthropic/claude-sonnet-5").manners(ON).switch == "thinking_adaptive"


def test_the_address_may_be_another_by_its_variable() -> None:
    openai = table().by_name["openai"]
    assert openai.url({}) == "https://api.openai.com/v1"
    assert openai.url({"OPENAI_BASE_URL": " http://127.0.0.1:1/v1 "}) == "http://127.0.0.1:1/v1"
    assert openai.url({"OPENAI_BASE_URL": " "}) == "https://api.openai.com/v1"


OWN = """
date = "2027-01"
[openai.models."gpt-5.5*"]
context_tokens = 7
[openai.models.mine]
reasoning = "never"
[else]
title = "Somebody Else"
base_url = "https://else.example/v1"
key_variable = "ELSE_API_KEY"
dialects = ["openai"]
"""


@pytest.mark.parametrize("by_name", [True, False])
def test_a_users_file_lies_over_the_table(tmp_path: Path, by_name: bool) -> None:
    path = tmp_path / "minionbench" / "providers.toml"
    path.parent.mkdir()
    path.write_text(OWN)
    environment = {"MINIONBENCH_PROVIDERS": str(path)} if by_name else {}
    found = table(**{"XDG_CONFIG_HOME": str(tmp_path), **environment})
    assert (found.own_file, found.date) == (path, "2027-01")
    openai = found.by_name["openai"]
    row, _ = openai.traits("gpt-5.5")
    assert (row.context_tokens, row.max_output_tokens) == (7, 128_000), "the rest is as it was"
    assert openai.traits("mine")[1]
    assert found.by_name["else"].key_variable == "ELSE_API_KEY"
    assert found.by_name["deepseek"] == table().by_name["deepseek"]


def test_a_provider_of_ones_own_is_part_of_a_models_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    monkeypatch.setenv("MINIONBENCH_PROVIDERS", str(path))
    spec = ModelSpec.parse("else/some/model")
    assert (spec.provider, spec.name, spec.remote) == ("else", "some/model", True)


def test_a_file_that_has_changed_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    first = table(MINIONBENCH_PROVIDERS=str(path))
    path.write_text(OWN.replace("= 7", "= 8"))
    again = table(MINIONBENCH_PROVIDERS=str(path))
    contexts = [t.by_name["openai"].traits("gpt-5.5")[0].context_tokens for t in (first, again)]
    assert contexts == [7, 8]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[openai\n", "is not TOML"),
        ('[openai]\ncolour = "red"\n', "provider openai is not described right"),
        ('[openai.models.m]\nreasoning = "maybe"\n', "provider openai is not described right"),
        ('[openai.models."*"]\nreasoning = "never"\n', "a model without a name"),
        ("[openai]\ndialects = []\n", "speaks no dialect"),
        ('[new]\ntitle = "New"\n', "provider new is not described right"),
        ('loose = "text"\n', "provider loose is not described right"),
        ("date = 3\n", "date has to be a text"),
    ],
)
def test_a_file_of_another_form_is_refused_with_its_name(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        table(MINIONBENCH_PROVIDERS=str(path))
    assert str(path) in str(caught.value)


def test_a_file_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        table(MINIONBENCH_PROVIDERS=str(tmp_path / "none.toml"))
