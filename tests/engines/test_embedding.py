"""Vectors of texts, from OpenAI's route, from Ollama's, and from the embedded engine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from minionbench.engines.embedding import (
    Embedder,
    NoEmbeddings,
    embed,
    embedding_spec,
    open_embedder,
)
from minionbench.errors import DeploymentError, UsageError
from minionbench.simulator import SimulatedModel, Simulator, SimulatorSettings
from minionbench.transport.http import Url
from tests.autobench.test_embedding import MEAN, declared
from tests.engines.servers import server

TEXTS = ("the cat sat", "on the mat", "a dog barked loudly")


@pytest.fixture
def simulator() -> Any:
    models = (SimulatedModel(name="vectors"),)
    with Simulator(SimulatorSettings(models=models)) as started:
        yield started


def test_both_protocols_give_the_vectors_of_the_same_texts(
    simulator: Simulator, tmp_path: Path
) -> None:
    with open_embedder(None, simulator.openai_url, log_folder=tmp_path) as by_url:
        openai = embed(by_url, TEXTS)
    host = {"OLLAMA_HOST": simulator.ollama_url}
    with open_embedder("ollama/vectors", None, log_folder=tmp_path, environment=host) as by_ollama:
        ollama = embed(by_ollama, TEXTS)
    assert (by_url.model, by_url.engine) == ("vectors", "openai-compatible")
    assert (by_ollama.model, by_ollama.engine) == ("vectors", "ollama")
    assert openai.vectors == ollama.vectors
    assert len(openai.vectors) == 3
    assert openai.prompt_tokens == ollama.prompt_tokens == 10
    assert openai.asked_ns > 0
    routes = [entry.path for entry in simulator.log() if "embed" in entry.path]
    assert routes == ["/v1/embeddings", "/api/embed"]


def test_the_embedded_engine_gives_vectors_of_a_model_that_is_made_for_them(
    model_file: Path, tmp_path: Path
) -> None:
    path = declared(model_file, tmp_path / "vectors.gguf", MEAN)
    with open_embedder(f"llamacpp/{path}", None, log_folder=tmp_path) as embedder:
        same = embed(embedder, ("alpha beta", "alpha beta", "omega 12345"))
    first, second, third = same.vectors
    assert embedder.engine == "xllamacpp" and len(first) == 64
    assert math.dist(first, second) < 1e-5 < math.dist(first, third)
    assert same.prompt_tokens is not None and same.prompt_tokens > 3


def test_a_model_that_only_writes_gives_none(model_file: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(DeploymentError, match="may not be one for embeddings"),
        open_embedder(f"llamacpp/{model_file}", None, log_folder=tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((400, {"error": {"message": "input is too long"}}), "input is too long"),
        ((200, {"data": []}), "0 vectors came for 3 texts"),
        ((200, {"data": [{"index": 0, "embedding": [1.0]}] * 3}), "3 vectors came for 3 texts"),
        ((200, {"data": [{"index": 0, "embedding": ["x"]}]}), "not understood"),
        ((200, b"<html>"), "not understood"),
        ((200, {"embeddings": [[1.0]]}), "not understood"),
    ],
)
def test_what_is_no_list_of_vectors_is_refused(answer: Any, words: str) -> None:
    with (
        server({"POST /v1/embeddings": answer}) as (url, _),
        pytest.raises(NoEmbeddings, match=words),
    ):
        embed(Embedder(Url(f"{url}/v1"), "m", "x"), TEXTS)


def test_vectors_come_in_the_order_of_their_texts() -> None:
    data = [{"index": place, "embedding": [float(place)]} for place in (2, 0, 1)]
    with server({"POST /v1/embeddings": (200, {"data": data})}) as (url, _):
        assert embed(Embedder(Url(f"{url}/v1"), "m", "x"), TEXTS).vectors == [[0.0], [1.0], [2.0]]


def test_ollama_is_told_to_cut_nothing() -> None:
    routes = {"POST /api/embed": (200, {"embeddings": [[1.0]] * 2})}
    with (
        server(routes) as (url, asked),
        pytest.raises(NoEmbeddings, match="2 vectors came for 3 texts"),
    ):
        embed(Embedder(Url(url), "m", "ollama"), TEXTS)
    (only,) = asked
    assert only.body == {"model": "m", "input": list(TEXTS), "truncate": False}


def test_a_providers_model_would_see_the_document() -> None:
    with pytest.raises(UsageError, match="would leave this machine"):
        embedding_spec("openai/text-embedding-3-small", None)
    assert embedding_spec("nomic-embed-text", None).text == "ollama/nomic-embed-text"
