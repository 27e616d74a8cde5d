"""Simulators and official clients for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeAlias

import anthropic
import ollama
import openai
import pytest

from minionbench.simulator import SimulatedModel, Simulator, SimulatorSettings

MODELS = (
    SimulatedModel(name="sim"),
    SimulatedModel(name="always", reasoning="always"),
    SimulatedModel(name="never", reasoning="never"),
    SimulatedModel(name="plain", reasoning="none"),
    SimulatedModel(name="hidden", shown="hidden"),
    SimulatedModel(name="inline", shown="inline"),
    SimulatedModel(name="small", context_tokens=200),
    SimulatedModel(name="adaptive", thinking="adaptive", reasons_by_default=True),
    SimulatedModel(name="absent", installed=False),
)

Start: TypeAlias = Callable[..., Simulator]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """One that does nothing by itself to surprise anybody."""
    settings = SimulatorSettings(models=MODELS, cache=False, keep_requests=True)
    with Simulator(settings) as running:
        yield running


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts simulators with settings of their own; stopped after the test."""
    with ExitStack() as running:

        def start_one(**settings: Any) -> Simulator:
            settings.setdefault("models", MODELS)
            return running.enter_context(Simulator(SimulatorSettings(**settings)))

        yield start_one


@pytest.fixture(scope="module")
def openai_client(simulator: Simulator) -> Iterator[openai.OpenAI]:
    with openai_of(simulator) as client:
        yield client


@pytest.fixture(scope="module")
def anthropic_client(simulator: Simulator) -> Iterator[anthropic.Anthropic]:
    with anthropic_of(simulator) as client:
        yield client


@pytest.fixture(scope="module")
def ollama_client(simulator: Simulator) -> Iterator[ollama.Client]:
    with ollama.Client(simulator.ollama_url) as client:
        yield client


def openai_of(simulator: Simulator, key: str = "any", *, strict: bool = True) -> openai.OpenAI:
    """OpenAI's client, strict about types unless told otherwise, that asks once."""
    return openai.OpenAI(
        base_url=simulator.openai_url,
        api_key=key,
        max_retries=0,
        timeout=20,
        _strict_response_validation=strict,
    )


def anthropic_of(simulator: Simulator, key: str = "any") -> anthropic.Anthropic:
    """Anthropic's client, strict about types, that asks once."""
    return anthropic.Anthropic(
        base_url=simulator.anthropic_url,
        api_key=key,
        max_retries=0,
        timeout=20,
        _strict_response_validation=True,
    )
