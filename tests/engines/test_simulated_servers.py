"""Servers as the simulator plays them, which was written apart from all that speaks to it here."""

from __future__ import annotations

import pytest

from minionbench.deployments.single import Local
from minionbench.engines.attach import attach
from minionbench.engines.engine import Engine, EngineSettings
from minionbench.engines.ollama import attach_ollama
from minionbench.exchange import Outcome, Reasoning
from minionbench.measuring import Measured, Silent, measure
from minionbench.runner import StopSwitch
from minionbench.simulator.settings import SimulatedModel, SimulatorSettings
from minionbench.simulator.simulator import Simulator
from tests.test_measuring import cell

UNIQUE = "a unique beginning of each prompt"
EMPTIED = f"{UNIQUE}, and POST {{}} before each repeat"


def measured(engine: Engine, *, reasoning: bool | None = None) -> Measured:
    (outcome,) = measure(
        [cell("a", repeats=1)],
        Local(),
        {"local": engine},
        [],
        stop=StopSwitch(),
        observer=Silent(),
        keep_text=True,
        cold=True,
        reasoning=reasoning,
    )
    assert [record.outcome for record in outcome.records] == [Outcome.OK] * 3
    return outcome


@pytest.mark.parametrize(
    ("simulated", "name", "cold_by", "figures"),
    [
        ("vllm", "vllm", EMPTIED.format("/reset_prefix_cache"), {"ttft_s", "queue_s"}),
        ("sglang", "sglang", EMPTIED.format("/flush_cache"), {"ttft_s", "itl_s"}),
        ("llamacpp", "llama.cpp", "cache_prompt: false", {"itl_s", "prompt_tokens"}),
        ("lmstudio", "lm-studio", UNIQUE, set()),
    ],
)
def test_each_kind_is_known_kept_cold_and_heard(
    simulated: str, name: str, cold_by: str, figures: set[str]
) -> None:
    with Simulator(SimulatorSettings(server=simulated)) as simulator:  # type: ignore[arg-type]
        engine = attach(simulator.base_url, None, EngineSettings())
        outcome = measured(engine)
    assert (engine.facts.name, engine.facts.cold_by) == (name, cold_by)
    assert engine.facts.template_tokens is not None
    assert figures <= outcome.servers.get("local", {}).keys()
    cached = [call.reply.usage for record in outcome.records for call in record.calls]
    assert all(usage is not None and not usage.cached_tokens for usage in cached)


def test_a_server_that_takes_the_newer_limit_only_is_given_it() -> None:
    with Simulator(SimulatorSettings(server="openai")) as simulator:
        engine = attach(simulator.base_url, None, EngineSettings())
        measured(engine)
    assert engine.endpoint.manners.max_tokens_field == "max_completion_tokens"


def test_raw_prompts_are_answered() -> None:
    with Simulator(SimulatorSettings(server="vllm")) as simulator:
        engine = attach(simulator.base_url, None, EngineSettings(raw=True))
        measured(engine)
        assert "/v1/completions" in {entry.path for entry in simulator.log()}


def test_a_model_is_pulled_loaded_and_reasons() -> None:
    model = SimulatedModel(name="qwen3:8b", installed=False)
    settings = SimulatorSettings(server="ollama", models=(model,), load_ms=20)
    said: list[str] = []
    with Simulator(settings) as simulator:
        environment = {"OLLAMA_HOST": simulator.ollama_url}
        asked = EngineSettings(pull=True, fresh=True, needed_tokens=5_000)
        engine = attach_ollama("qwen3:8b", asked, environment, said.append)
        engine.set_reasoning(Reasoning(on=True))
        outcome = measured(engine, reasoning=True)
    assert said[0] == "pulling qwen3:8b: pulling manifest"
    assert engine.facts.load_s == pytest.approx(0.02, rel=0.5)
    assert all(record.calls[0].reply.reasoning for record in outcome.records)
    assert outcome.held is not None
