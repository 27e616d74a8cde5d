"""Retrieval by the vectors of a model that declares itself an embedding model."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from minionbench.autobench import Procedure
from minionbench.engines.gguf import read_gguf
from tests.autobench.support import by_version, entry, measured, registry, why

EMBEDDING = Procedure(
    metrics=("latency_ms", "peak_ram_mb", "peak_vram_mb", "retrieval_score", "perplexity"),
    num_requests=1,
    warmup=0,
    repeats=1,
    queries=5,
    reranking="embedding",
)
MEAN, RANK = 1, 4
UINT32 = 4


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "state"))


def declared(model: Path, target: Path, pooling: int) -> Path:
    """A copy of a model file that says how vectors of tokens become one of the text."""
    content = model.read_bytes()
    (number,) = struct.unpack_from("<Q", content, 16)
    fields = b""
    # Two fields of 64 bytes together, so that what follows stays as it is aligned.
    for key, value in ((b"llama.pooling_type", pooling), (b"test.padding.x", 0)):
        fields += struct.pack("<Q", len(key)) + key + struct.pack("<II", UINT32, value)
    assert len(fields) == 64
    target.write_bytes(content[:16] + struct.pack("<Q", number + 2) + fields + content[24:])
    return target


def test_a_file_declares_itself_by_its_pooling(random_model: Path, tmp_path: Path) -> None:
    assert not read_gguf(random_model).embeds
    assert read_gguf(declared(random_model, tmp_path / "e.gguf", MEAN)).embeds
    assert not read_gguf(declared(random_model, tmp_path / "r.gguf", RANK)).embeds


def test_an_embedding_model_ranks_all_documents_and_does_nothing_else(
    random_model: Path, tmp_path: Path
) -> None:
    declared(random_model, tmp_path / "e.gguf", MEAN)
    path = registry(tmp_path, entry("embeds", "e.gguf"), entry("writes", random_model))
    found = by_version(measured(path, tmp_path, EMBEDDING))
    model = found["embeds"]
    score = model.retrieval_score
    # Random weights still tell which words a text has; a random order would score 5.
    assert score.value is not None and 20 < score.value < 100, why(model, "retrieval_score")
    assert score.metadata["settings"]["mode"] == "embedding"
    assert score.metadata["n"] == 5
    assert score.metadata["dimensions"] == 64
    assert score.metadata["spent"]["requests"] == 15
    assert score.metadata["spent"]["prompt_tokens"] > 1_000
    assert set(score.metadata["measures"]) == {
        *("ndcg_at_10", "recall_at_10", "mrr_at_10", "map_at_100")
    }
    assert model.peak_ram_mb.value is not None and model.peak_ram_mb.value > 10
    assert "has no accelerator" in why(model, "peak_vram_mb")
    for name in ("latency_ms", "perplexity"):
        assert "embedding model, which writes no text" in why(model, name)
    other = found["writes"]
    assert other.latency_ms.status == "ok"
    assert other.retrieval_score.status == "skipped"
    assert "no pooling type" in why(other, "retrieval_score")


def test_one_run_retrieves_in_one_way(random_model: Path, tmp_path: Path) -> None:
    declared(random_model, tmp_path / "e.gguf", MEAN)
    procedure = Procedure(metrics=("retrieval_score",), queries=2)
    (model,) = measured(
        registry(tmp_path, entry("embeds", "e.gguf")), tmp_path, procedure
    ).run.candidates
    assert model.retrieval_score.status == "skipped"
    assert "--reranking embedding" in why(model, "retrieval_score")


def test_a_budget_ends_it_too(random_model: Path, tmp_path: Path) -> None:
    declared(random_model, tmp_path / "e.gguf", MEAN)
    procedure = Procedure(metrics=("retrieval_score",), reranking="embedding", budget_s=0.001)
    (model,) = measured(
        registry(tmp_path, entry("embeds", "e.gguf")), tmp_path, procedure
    ).run.candidates
    assert model.retrieval_score.status == "skipped"
    assert "budget" in why(model, "retrieval_score")
