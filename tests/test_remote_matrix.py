"""Every provider, reasoning on and off, against the simulator: the switch is sent as the provider
takes it, and the result proves what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from minionbench import Experiment, Remote
from minionbench.engines.engine import EngineSettings
from minionbench.schema import BenchmarkCandidate, CellResult
from minionbench.simulator import SimulatedModel, Simulator, SimulatorSettings
from minionbench.simulator.settings import ReasoningMode, ServerKind
from tests.study import Questions

PROVIDERS: dict[str, tuple[ServerKind, str]] = {
    # provider/model: (server, dialect)
    "openai/gpt-5.5": ("openai", "openai"),
    "openai/gpt-5.4-mini": ("openai", "responses"),
    "anthropic/claude-sonnet-5": ("anthropic", "anthropic"),
    "anthropic/claude-haiku-4-5": ("anthropic", "anthropic"),
    "deepseek/deepseek-flash": ("deepseek", "openai"),
}


@pytest.fixture(params=list(PROVIDERS))
def model(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def measured(
    model: str,
    patch: pytest.MonkeyPatch,
    folder: Path,
    *,
    reasoning: bool | None,
    mode: ReasoningMode = "switch",
) -> tuple[BenchmarkCandidate, CellResult]:
    server, dialect = PROVIDERS[model]
    provider, _, name = model.partition("/")
    simulated = SimulatedModel(name=name, reasoning=mode)
    settings = SimulatorSettings(server=server, models=(simulated,), answer_tokens=8)
    with Simulator(settings) as simulator:
        url = simulator.base_url if provider == "anthropic" else simulator.openai_url
        patch.setenv(f"{provider.upper()}_BASE_URL", url)
        experiment = Experiment(
            Questions("balanced", output_tokens=32),
            Remote(model),
            reasoning=reasoning,
            num_requests=6,
            repeats=1,
            warmup=0,
            output_dir=folder,
            engine=EngineSettings(dialect=dialect),
        )
        (candidate,) = experiment.run().candidates
    assert candidate.cells, candidate.latency_ms.error_message
    return candidate, candidate.cells[0]


def rules(cell: CellResult) -> set[str]:
    return {reason.rule for reason in cell.verdict.reasons if reason.severity != "note"}


@pytest.mark.parametrize("reasoning", [True, False])
def test_a_switch_is_sent_and_held(
    model: str, reasoning: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    candidate, cell = measured(model, monkeypatch, tmp_path, reasoning=reasoning)
    assert cell.metrics["total_latency_s"].status == "ok"
    assert cell.metrics["total_latency_s"].metadata["failed"] == 0
    assert "reasoning" not in rules(cell)
    seen = cell.metrics["ttfo_s"].metadata["reasoning"]
    assert (seen["streamed"] + seen["hidden"] == 6) is reasoning
    assert (seen["streamed"] + seen["hidden"] == 0) is not reasoning
    assert candidate.factors is not None
    assert candidate.factors.remote_model == model
    assert candidate.factors.flags["dialect"] == PROVIDERS[model][1]


def test_a_model_that_reasons_all_the_same_is_found_out(
    model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, cell = measured(model, monkeypatch, tmp_path, reasoning=False, mode="always")
    assert "reasoning" in rules(cell)
    assert cell.verdict.status == "invalid"


def test_a_model_that_never_reasons_is_found_out(
    model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, cell = measured(model, monkeypatch, tmp_path, reasoning=True, mode="never")
    assert "reasoning" in rules(cell)
    assert cell.verdict.status == "invalid"
