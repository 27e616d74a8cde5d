"""Chunks are chosen by vectors that are made before a run, and the document says how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from minionbench import Hybrid, Protocols
from minionbench.embedding_first import embed_first
from minionbench.engines.embedding import BATCH
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Outcome
from minionbench.experiment import run_experiment
from minionbench.protocols.chunking import Chunking
from minionbench.protocols.minions import MinionS
from minionbench.schema import BenchmarkRun
from minionbench.simulator import SimulatedModel, Simulator, SimulatorSettings
from tests.autobench.test_embedding import MEAN, declared
from tests.cli.calling import call
from tests.cli.test_run import settings as flags
from tests.engines.servers import server
from tests.test_hybrid_run import Sections, measured, settings, simulator
from tests.test_measuring import cell

BY_CHARACTERS = Chunking("characters", 200)


def vectors(**more: Any) -> Simulator:
    models = (SimulatedModel(name="vectors"),)
    return Simulator(SimulatorSettings(models=models, **more))


def test_minions_reads_only_the_nearest_chunks(tmp_path: Path) -> None:
    with simulator() as server, vectors() as embedding:
        outcome = run_experiment(
            settings(
                server,
                tmp_path,
                "minions",
                warmup=1,
                repeats=2,
                protocol_settings={"preselect": 2, "embedding_url": embedding.openai_url},
            )
        )
        asked = [entry for entry in embedding.log() if entry.path == "/v1/embeddings"]
        first_asked_ns = min(entry.arrived_ns for entry in server.log())
    _, found, records = measured(outcome)
    assert [record.outcome for record in records] == [Outcome.OK] * 5
    assert all(record.tally is not None and record.tally["jobs"] == 2 for record in records)
    # A text is near to a question that shares its words; each item's texts are embedded once.
    assert found.metrics["accuracy_pct"].value == 100
    assert len(asked) == 3
    assert max(entry.arrived_ns for entry in asked) < first_asked_ns
    told = found.settings["protocol"]
    assert (told["preselect"], told["chosen_by"]) == (2, "embedding")
    about = told["embedding"]
    assert about["prompt_tokens"] > 0 and about["seconds"] > 0
    assert {**about, "prompt_tokens": 0, "seconds": 0} == {
        "model": "vectors",
        "engine": "openai-compatible",
        "measure": "cosine",
        "when": "before the run",
        "texts": 3 * 5,
        "dimensions": 64,
        "prompt_tokens": 0,
        "seconds": 0,
    }


def test_a_table_of_protocols_asks_each_by_its_own_chunks(tmp_path: Path) -> None:
    with simulator() as server, vectors() as embedding:
        own = {
            "max_rounds": 1,
            "chunking": BY_CHARACTERS,
            "preselect": 1,
            "k": 2,
            "embedding_url": embedding.openai_url,
        }
        run = run_experiment(
            settings(
                server,
                tmp_path,
                "minions",
                deployment=Protocols(
                    "small",
                    "large",
                    ("remote", "minions", "rag"),
                    url=server.openai_url,
                    remote_url=server.openai_url,
                    **own,
                ),
            )
        ).run
        assert sum(entry.path == "/v1/embeddings" for entry in embedding.log()) == 4
    told = {
        candidate.factors.protocol: candidate.cells[0].settings.get("protocol", {})
        for candidate in run.candidates
        if candidate.factors is not None
    }
    assert told["minions"]["embedding"]["texts"] == told["rag"]["embedding"]["texts"] == 10
    assert "embedding" not in told[None]


def test_vectors_that_are_known_are_not_made_again(tmp_path: Path) -> None:
    protocol = MinionS(chunking=BY_CHARACTERS, preselect=1, embedding_model="vectors")
    with vectors() as embedding:
        protocol.nearest.url = embedding.openai_url  # type: ignore[union-attr]
        requests = tuple(Sections().requests(2, 0))
        one = msgspec.structs.replace(cell("a"), requests=requests, warmup=requests[:1])
        for _ in range(2):
            embed_first([one], {"a": protocol}, log_folder=tmp_path)  # type: ignore[dict-item]
        assert sum(entry.path == "/v1/embeddings" for entry in embedding.log()) == 2


def test_an_embedding_model_that_gives_no_vectors_is_an_error_of_the_document(
    tmp_path: Path,
) -> None:
    with simulator() as server, vectors(server="anthropic") as embedding:
        outcome = run_experiment(
            settings(
                server,
                tmp_path,
                "minions",
                protocol_settings={
                    "preselect": 2,
                    "embedding_model": "vectors",
                    "embedding_url": embedding.openai_url,
                },
            )
        )
        assert not server.log()
    assert outcome.failed
    message = str(outcome.run.candidates[0].latency_ms.error_message)
    assert "embedding model vectors cannot be used" in message


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ("[NaN, 1.0]", "not understood"),
        ("[null, 1.0]", "not understood"),
        ("[1e999, 1.0]", "not understood"),
        ("[1.7e308, 1.7e308]", "without a direction"),
        ("[0.0, 0.0]", "without a direction"),
        ("[]", "different lengths"),
        ("[1.0, 2.0, 3.0]", "different lengths"),
    ],
)
def test_vectors_that_cannot_be_compared_are_an_error_that_names_the_model(
    tmp_path: Path, odd: str, words: str
) -> None:
    protocol = MinionS(chunking=BY_CHARACTERS, preselect=1, embedding_model="vectors")
    (request,) = Sections().requests(1, 0)
    texts = protocol.to_embed(request)
    assert texts is not None and 0 < len(texts.chunks) < BATCH
    made = ["[1.0, 2.0]"] * len(texts.chunks) + [odd]
    data = ", ".join(f'{{"index": {n}, "embedding": {one}}}' for n, one in enumerate(made))
    answer = f'{{"data": [{data}]}}'.encode()
    one = msgspec.structs.replace(cell("a"), requests=(request,), warmup=())
    routes = {
        "GET /v1/models": (200, {"data": [{"id": "vectors"}]}),
        "POST /v1/embeddings": (200, answer),
    }
    with server(routes) as (url, _):
        protocol.nearest.url = f"{url}/v1"  # type: ignore[union-attr]
        with pytest.raises(DeploymentError, match=f"vectors cannot be used: .*{words}"):
            embed_first([one], {"a": protocol}, log_folder=tmp_path)
    assert not protocol.nearest.knows(request.item_id)  # type: ignore[union-attr]


def test_an_embedding_server_that_is_not_there_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    with simulator() as server:
        own = {"preselect": 2, "embedding_model": "nomic-embed-text"}
        asked = settings(server, tmp_path, "minions", protocol_settings=own)
        message = str(run_experiment(asked).run.candidates[0].latency_ms.error_message)
    assert "nomic-embed-text cannot be asked at 127.0.0.1:9" in message
    assert "--embedding-url" in message


def test_a_providers_embedding_model_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with simulator() as server, pytest.raises(UsageError, match="would leave this machine"):
        run_experiment(
            settings(
                server,
                tmp_path / "out",
                "minions",
                protocol_settings={"preselect": 2, "embedding_model": "openai/text-embedding-3"},
            )
        )
    assert not (tmp_path / "out").exists()


def test_everything_embedded_needs_no_server_at_all(
    random_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = declared(random_model, tmp_path / "vectors.gguf", MEAN)
    called = call(
        capsys,
        *("run", "-d", "hybrid", "-m", "reference/q4_0", "--remote-model", "reference/q4_0"),
        *("--protocol", "minions", "--max-rounds", "1", "--chunk-by", "characters"),
        *("--chunk-size", "1500", "--preselect", "1", "--embedding-model", f"llamacpp/{path}"),
        *("-n", "1", "--repeats", "1", "--warmup", "0", "-o", str(tmp_path / "out")),
    )
    (document,) = (tmp_path / "out").glob("benchmark_*.json")
    (candidate,) = BenchmarkRun.load(document).candidates
    about = candidate.cells[0].settings["protocol"]["embedding"]
    assert (about["model"], about["engine"]) == ("vectors", "xllamacpp"), called.err
    assert about["texts"] > 2 and about["dimensions"] == 64
    assert "slots" not in about and str(tmp_path) not in str(about)


def test_the_flags_say_what_python_says() -> None:
    asked = flags(
        *("-d", "hybrid", "-m", "reference", "--remote-model", "reference", "--protocol"),
        *("minions", "--preselect", "4", "--embedding-model", "m"),
        *("--embedding-url", "http://127.0.0.1:1/v1"),
    )
    assert isinstance(asked.deployment, Hybrid)
    follows = asked.deployment.follows
    assert isinstance(follows, MinionS) and follows.nearest is not None
    assert (follows.nearest.model, follows.nearest.url) == ("m", "http://127.0.0.1:1/v1")
    with pytest.raises(UsageError, match="--embedding-model goes with -d hybrid"):
        flags("--embedding-model", "m")
