from __future__ import annotations

from typing import Any

import pytest

from minionbench.engines.attach import AttachedEngine
from minionbench.engines.engine import Engine, EngineFacts, EngineSettings
from minionbench.engines.llamacpp import LlamaCppEngine
from minionbench.errors import UsageError
from minionbench.exchange import Endpoint


@pytest.mark.parametrize(
    "setting",
    [
        {"threads": 0},
        {"threads": 513},
        {"context_tokens": 0},
        {"gpu_layers": -1},
        {"slots": 0},
        {"start_timeout_s": 0.0},
        {"start_timeout_s": float("nan")},
        {"start_timeout_s": float("inf")},
    ],
)
def test_a_setting_that_no_engine_can_have_is_named(setting: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(setting))):
        EngineSettings(**setting)


def test_settings_start_from_a_cold_cache_and_the_engines_own_choices() -> None:
    settings = EngineSettings()
    assert not settings.cache_prompt
    assert settings.pin
    assert (settings.threads, settings.context_tokens, settings.slots) == (None, None, None)
    assert settings.extra_body is not EngineSettings().extra_body


def test_both_kinds_of_engine_fit_the_port(engine: LlamaCppEngine) -> None:
    facts = EngineFacts(name="n", embedded=False, model="m")
    engines: list[Engine] = [engine, AttachedEngine(Endpoint("http://a/v1", "m"), facts)]
    for one in engines:
        assert one.name == one.facts.name
        assert one.version == one.facts.version
        assert one.endpoint.model == one.facts.model
        assert (one.pid is None) == (one.log_path is None) == (not one.facts.embedded)
