"""Settings that cannot be carried out are refused before anything listens."""

from __future__ import annotations

from typing import Any

import pytest

from minionbench.errors import SetupError, UsageError
from minionbench.simulator import RateLimits, Rule, SimulatedModel, Simulator, SimulatorSettings
from minionbench.simulator.faults import FAULTS, read_fault, read_faults
from minionbench.simulator.settings import key_of_variable


@pytest.mark.parametrize(
    "wrong",
    [
        {"server": "toaster"},
        {"models": ()},
        {"hosts": ("0.0.0.0",)},
        {"hosts": ()},
        {"port": 70_000},
        {"answer_tokens": 0},
        {"tokens_per_write": 0},
        {"slots": 0},
        {"load_ms": -1.0},
        {"faults": (("explode", 0.5),)},
        {"faults": (("reset", 1.5),)},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SimulatorSettings(**wrong)


def test_impossible_models_rules_and_limits_are_refused() -> None:
    with pytest.raises(UsageError):
        SimulatedModel(name="two words")
    with pytest.raises(UsageError):
        SimulatedModel(context_tokens=1)
    with pytest.raises(UsageError):
        SimulatedModel(pace=0)
    with pytest.raises(UsageError):
        Rule(match="(", answer="x")
    with pytest.raises(UsageError):
        Rule(match="x", model="(", answer="x")
    with pytest.raises(UsageError):
        RateLimits(requests_per_minute=0)


def test_the_key_comes_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMULATED_KEY", " abc ")
    assert key_of_variable("SIMULATED_KEY").reveal() == "abc"
    monkeypatch.setenv("SIMULATED_KEY", "")
    with pytest.raises(SetupError, match="is empty"):
        key_of_variable("SIMULATED_KEY")
    monkeypatch.delenv("SIMULATED_KEY")
    with pytest.raises(SetupError, match="is not set"):
        key_of_variable("SIMULATED_KEY")


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_reads_back_as_it_was_written(name: str) -> None:
    text = "http=503" if name == "http" else name
    assert str(read_fault(text)) == text


@pytest.mark.parametrize(
    "text", ["explode", "http", "http=200", "error=x", "error=-1", "error=1:2", "stall=1:x"]
)
def test_a_fault_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_fault(text)


def test_several_faults_are_separated_by_commas() -> None:
    assert [str(fault) for fault in read_faults(" delay=5, error=2,")] == ["delay=5", "error=2"]


def test_a_running_simulator_takes_only_faults_that_there_are() -> None:
    simulator = Simulator()
    with simulator, pytest.raises(UsageError):
        simulator.faults("explode")
    with pytest.raises(UsageError):
        simulator.faults("reset", probability=2)
