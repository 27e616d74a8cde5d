"""The flags of `minionbench run` that servers are told by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minionbench.schema import BenchmarkRun
from tests.cli.calling import Called, call
from tests.engines.servers import Ollama, Routes, chat, listing, server, shown

SIZE = ("-w", "decode", "-n", "1", "--repeats", "1", "--warmup", "0")


def run(capsys: pytest.CaptureFixture[str], folder: Path, *flags: str) -> tuple[Called, Any]:
    """The call, and the one candidate of its document."""
    result = call(capsys, "run", *SIZE, "-o", str(folder), *flags)
    (path,) = folder.glob("benchmark_*.json")
    (candidate,) = BenchmarkRun.load(path).candidates
    return result, candidate


def test_a_cold_prefix_is_the_default_and_a_warm_one_a_flag(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    routes: Routes = {
        "GET /v1/models": listing("m", owned_by="llamacpp"),
        "POST /v1/chat/completions": chat(),
    }
    with server(routes) as (url, asked):
        run(capsys, tmp_path / "cold", "--url", url)
        run(capsys, tmp_path / "warm", "--url", url, "--warm-prefix")
    sent = [one.body["cache_prompt"] for one in asked if one.body is not None]
    assert sent == [False, False, True, True]


def test_raw_prompts_go_to_the_completions_route(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    raw = (
        b'data: {"choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}]}\n\n'
        b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}\n\n'
        b"data: [DONE]\n\n"
    )
    routes: Routes = {
        "GET /v1/models": listing("m"),
        "POST /v1/completions": lambda body: (200, raw if body.get("stream") else {"usage": {}}),
    }
    with server(routes) as (url, asked):
        _, candidate = run(capsys, tmp_path, "--url", url, "--raw")
    assert candidate.metrics["total_latency_s"].status == "ok"
    prompts = [one.body["prompt"] for one in asked if one.body is not None]
    assert len(prompts) == 2 and all(isinstance(prompt, str) for prompt in prompts)


def test_a_model_is_pulled_and_loaded_anew_when_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ollama = Ollama()
    ollama.pullable["llama3.2:3b"] = shown()
    with ollama.running() as environment:
        monkeypatch.setenv("OLLAMA_HOST", environment["OLLAMA_HOST"])
        lacking, _ = run(capsys, tmp_path / "lacking", "-m", "ollama/llama3.2:3b")
        flags = ("-m", "ollama/llama3.2:3b", "--pull", "--fresh")
        result, candidate = run(capsys, tmp_path / "pulled", *flags)
    assert lacking.code == 1
    assert "`ollama pull llama3.2:3b`" in lacking.err
    assert "pulling llama3.2:3b: success" in result.err
    assert len(ollama.bodies("POST /api/generate")) == 1
    assert candidate.cells
