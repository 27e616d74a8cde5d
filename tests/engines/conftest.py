"""A model with random weights, and engines that serve it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minionbench.engines.engine import EngineSettings
from minionbench.engines.llamacpp import LlamaCppEngine, start
from training.gguf_file import write_random_gguf


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 0.1 million random weights: 256 KB, context 4,096."""
    path = tmp_path_factory.mktemp("models") / "random.gguf"
    write_random_gguf(path)
    return path


@pytest.fixture(scope="session")
def engine(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppEngine]:
    """One engine with default settings, for tests that leave it as it is."""
    engine = start(
        model_file, "random", EngineSettings(), log_folder=tmp_path_factory.mktemp("log")
    )
    yield engine
    engine.stop()


@pytest.fixture
def start_engine(model_file: Path, tmp_path: Path) -> Iterator[Callable[..., LlamaCppEngine]]:
    """Starts engines with settings of the test's own; they are ended with the test."""
    started = []

    def start_one(path: Path = model_file, **settings: Any) -> LlamaCppEngine:
        engine = start(path, "random", EngineSettings(**settings), log_folder=tmp_path / "log")
        started.append(engine)
        return engine

    yield start_one
    for engine in started:
        engine.stop()
