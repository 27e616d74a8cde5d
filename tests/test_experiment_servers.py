"""Whole runs on servers that somebody else started, from the settings to the document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minionbench.deployments.single import Local
from minionbench.engines.engine import EngineSettings
from minionbench.engines.families import Q3B
from minionbench.experiment import RunSettings, run_experiment
from minionbench.measuring import Silent
from minionbench.schema import BenchmarkCandidate
from tests.engines.servers import Ollama, Routes, chat, listing, server, shown
from tests.study import Questions
from tests.test_measuring_servers import Counting

MODEL = "llama3.2:3b"
PLAIN: Routes = {"GET /v1/models": listing("m"), "POST /v1/chat/completions": chat()}
"""Of a server that has nothing but OpenAI's own routes."""


class Listening(Silent):
    """Keeps the stages."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)


def run(
    deployment: Local, folder: Path, observer: Silent | None = None, **settings: Any
) -> BenchmarkCandidate:
    sized = {"num_requests": 2, "warmup": 1, "repeats": 1} | settings
    chosen = RunSettings(
        workloads=(Questions(),), deployment=deployment, output_dir=folder, **sized
    )
    (candidate,) = run_experiment(chosen, observer).run.candidates
    return candidate


def on_ollama(
    ollama: Ollama, folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any
) -> BenchmarkCandidate:
    with ollama.running() as environment:
        monkeypatch.setenv("OLLAMA_HOST", environment["OLLAMA_HOST"])
        return run(Local("llama3.2"), folder, quant=Q3B(), **more)


def test_a_model_of_ollama_is_described_as_ollama_describes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = on_ollama(Ollama(**{MODEL: shown()}), tmp_path, monkeypatch)
    assert candidate.version == f"ollama/{MODEL}"
    assert (candidate.quantization, candidate.model_type) == ("Q4_K_M", "quantized")
    assert candidate.parameter_count == 3_212_749_888
    assert candidate.file_size_mb == pytest.approx(1907.3, abs=0.1)
    assert candidate.factors is not None
    assert candidate.factors.engine == "ollama 0.30.1"
    assert candidate.factors.flags["cold_by"] == "a unique beginning of each prompt"
    assert candidate.factors.flags["context_tokens"] == 4_096
    vram = candidate.metrics["peak_vram_mb"]
    assert vram.status == "ok"
    assert vram.value == pytest.approx(1907.3, abs=0.1)
    assert "/api/ps" in vram.metadata["method"]
    assert any("was loaded for this run" in note for note in candidate.notes)
    assert candidate.metrics["peak_ram_mb"].status == "skipped"


def test_memory_of_a_model_that_no_accelerator_holds_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ollama = Ollama(**{MODEL: shown()})
    ollama.vram = 0
    vram = on_ollama(ollama, tmp_path, monkeypatch).metrics["peak_vram_mb"]
    assert vram.status == "skipped"
    assert vram.metadata["reason"] == "ollama holds no part of the model in an accelerator"


def test_a_pull_is_shown_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ollama = Ollama()
    ollama.pullable[MODEL] = shown()
    seen = Listening()
    settings = EngineSettings(pull=True)
    candidate = on_ollama(ollama, tmp_path, monkeypatch, engine=settings, observer=seen)
    assert f"pulling {MODEL}: success" in seen.stages
    assert candidate.cells


def test_without_a_pull_the_document_says_which_command_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = on_ollama(Ollama(), tmp_path, monkeypatch)
    message = candidate.metrics["latency_ms"].error_message
    assert message is not None and f"`ollama pull {MODEL}`" in message


def test_reasoning_is_refused_for_a_model_that_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = on_ollama(Ollama(**{MODEL: shown()}), tmp_path, monkeypatch, reasoning=True)
    message = candidate.metrics["latency_ms"].error_message
    assert message is not None and "cannot reason" in message


def test_reasoning_is_asked_for_by_think(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ollama = Ollama(**{MODEL: shown("completion", "thinking")})
    on_ollama(ollama, tmp_path, monkeypatch, reasoning=False)
    sent = [body for body in ollama.bodies("POST /api/chat") if body["stream"]]
    assert [body["think"] for body in sent] == [False, False, False]


def test_a_servers_own_figures_stand_beside_ours(tmp_path: Path) -> None:
    with server(Counting().routes) as (url, _):
        candidate = run(Local(None, url=url), tmp_path)
    (cell,) = candidate.cells
    assert cell.settings["server"]["local"]["requests"] == 2
    assert cell.metrics["total_latency_s"].value != 0.25


def test_a_server_that_says_nothing_of_itself_leaves_no_trace(tmp_path: Path) -> None:
    with server(PLAIN) as (url, asked):
        candidate = run(Local(None, url=url), tmp_path)
    (cell,) = candidate.cells
    assert "server" not in cell.settings
    sent = [one.body["messages"][0]["content"] for one in asked if one.body is not None]
    assert len(set(sent)) == len(sent) == 4


def test_a_warm_prefix_is_had_by_asking(tmp_path: Path) -> None:
    with server(PLAIN) as (url, asked):
        settings = EngineSettings(cache_prompt=True)
        candidate = run(Local(None, url=url), tmp_path, engine=settings, repeats=2)
    sent = [one.body["messages"][0]["content"] for one in asked if one.body is not None]
    assert sent[2:4] == sent[4:6]
    (cell,) = candidate.cells
    assert cell.settings["prefix_cache"] == "warm"
