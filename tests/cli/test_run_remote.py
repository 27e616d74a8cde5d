from __future__ import annotations

import pytest

from minionbench.deployments.single import Local, Remote
from minionbench.errors import UsageError
from minionbench.exchange import Reasoning
from minionbench.experiment import RunSettings
from tests.cli.test_run import settings


def shown(asked: RunSettings) -> str:
    return repr(asked.deployment)


@pytest.mark.parametrize(
    ("flags", "deployment"),
    [
        ((), Local("reference/q8_0")),
        (("-m", "openai/gpt-x"), Remote("openai/gpt-x")),
        (("-d", "remote", "-m", "anthropic/c"), Remote("anthropic/c")),
        (("-d", "remote", "--remote-model", "deepseek/d"), Remote("deepseek/d")),
        (("--remote-model", "deepseek/d"), Remote("deepseek/d")),
        (("-d", "remote"), Remote()),
        (("-d", "remote", "-u", "http://a/v1", "-m", "m"), Remote("m", url="http://a/v1")),
        (("-u", "http://a/v1", "-m", "openai/gpt-oss"), Local("openai/gpt-oss", url="http://a/v1")),
        (("-m", "llama3.2"), Local("llama3.2")),
        (("-m", "deepseek-r1:7b"), Local("deepseek-r1:7b")),
        (("-d", "local", "-m", "openai/gpt-x"), Local("openai/gpt-x")),
    ],
)
def test_a_deployment_follows_from_the_flags(
    flags: tuple[str, ...], deployment: Local | Remote
) -> None:
    asked = settings(*flags)
    assert type(asked.deployment) is type(deployment)
    assert shown(asked) == repr(deployment)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("-d", "cloud"), "there are local, remote and hybrid"),
        (("-d", "local", "--remote-model", "openai/x"), "goes with -d remote"),
        (("-m", "openai/x", "--remote-model", "openai/y"), "two models"),
        (("--no-reasoning", "--reasoning-effort", "low"), "neither effort nor budget"),
        (("--key-from", "env:A", "--api-key-env", "B"), "give one"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        settings(*flags)


def test_each_remote_flag_reaches_its_setting() -> None:
    asked = settings(
        *("-m", "openai/gpt-x", "--dialect", "responses", "--insecure"),
        *("--key-from", "file:/some/key", "--max-tokens-total", "5000"),
        *("--reasoning", "--reasoning-effort", "high", "--reasoning-budget", "900"),
    )
    engine = asked.engine
    assert (engine.dialect, engine.insecure) == ("responses", True)
    assert engine.key_reference == ("file", "/some/key")
    assert asked.max_total_tokens == 5_000
    assert asked.reasoning_wish == Reasoning(on=True, effort="high", budget_tokens=900)


def test_to_name_an_effort_is_to_ask_for_reasoning() -> None:
    assert settings("--reasoning-effort", "low").reasoning_wish == Reasoning(on=True, effort="low")
    assert settings("--no-reasoning").reasoning_wish == Reasoning(on=False)
    assert settings().reasoning_wish is None


def test_none_of_the_flags_of_a_remote_is_set_by_itself() -> None:
    plain = settings()
    assert (plain.engine.dialect, plain.engine.insecure, plain.engine.key_reference) == (
        None,
        False,
        None,
    )
    assert plain.max_total_tokens is None
