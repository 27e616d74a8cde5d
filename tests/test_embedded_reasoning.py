"""A model that reasons in the embedded engine: switched by its chat template, and proven.

Its weights are random, so that it never closes a thought by itself: a grammar has it do so.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minionbench.records import RequestRecord
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult
from minionbench.store import read_records
from tests.cli.calling import call
from training.gguf_file import write_random_gguf

TURNS = (
    "{% for m in messages %}<|{{ m['role'] }}|>"
    "{% if m.reasoning_content is defined and m.reasoning_content %}"
    "<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ m['content'] }}<|end|>{% endfor %}"
)
SWITCHED = (
    TURNS + "{% if add_generation_prompt %}<|assistant|>"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% else %}<think>\n{% endif %}{% endif %}"
)
"""A thought is opened by the template, or closed at once, as Qwen's and DeepSeek's do."""
ALWAYS = TURNS + "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"

WORDS = "[a-z ]{8,30}"
THOUGHT = f'root ::= {WORDS} "</think>" {WORDS}'
NO_THOUGHT = f"root ::= {WORDS}"


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "thinks.gguf"
    write_random_gguf(path, template=SWITCHED)
    return path


def run(
    capsys: pytest.CaptureFixture[str], folder: Path, model: Path, grammar: str, *flags: str
) -> tuple[BenchmarkCandidate, CellResult, list[RequestRecord]]:
    called = call(
        capsys,
        *("run", "-m", f"llamacpp/{model}", "-w", "decode", "-n", "3", "--repeats", "1"),
        *("--warmup", "0", "--extra-body", json.dumps({"grammar": grammar}), *flags),
        *("-o", str(folder)),
    )
    (path,) = folder.glob("benchmark_*.json")
    (candidate,) = BenchmarkRun.load(path).candidates
    if not candidate.cells:
        return candidate, None, []  # type: ignore[return-value]
    (cell,) = candidate.cells
    assert candidate.cells, called.err
    return candidate, cell, read_records(path, cell)


def rules(cell: CellResult) -> dict[str, str]:
    return {reason.rule: reason.severity for reason in cell.verdict.reasons}


def test_reasoning_is_seen_apart_from_the_answer(
    thinking: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    candidate, cell, records = run(capsys, tmp_path, thinking, THOUGHT, "--reasoning")
    assert candidate.factors is not None and candidate.factors.reasoning is True
    for record in records:
        reply = record.calls[0].reply
        assert reply.reasoning and reply.text
        assert "</think>" not in reply.reasoning + reply.text
        assert reply.first_reasoning_ns is not None and reply.first_visible_ns is not None
        assert reply.event_ns[0] == reply.first_reasoning_ns <= reply.first_visible_ns
        assert record.answer == reply.text
    ttft, ttfo = cell.metrics["ttft_s"], cell.metrics["ttfo_s"]
    assert ttft.status == ttfo.status == "ok"
    assert ttft.value is not None and ttfo.value is not None and ttft.value < ttfo.value
    seen = ttfo.metadata["reasoning"]
    assert (seen["answers"], seen["streamed"], seen["inline"]) == (3, 3, 0)
    assert "reasoning" not in rules(cell)


def test_reasoning_that_is_switched_off_does_not_happen(
    thinking: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    candidate, cell, records = run(capsys, tmp_path, thinking, NO_THOUGHT, "--no-reasoning")
    assert candidate.factors is not None and candidate.factors.reasoning is False
    for record in records:
        reply = record.calls[0].reply
        assert reply.text and not reply.reasoning and reply.first_reasoning_ns is None
    assert cell.metrics["ttfo_s"].metadata["reasoning"]["streamed"] == 0
    assert "reasoning" not in rules(cell)


def test_a_thought_in_spite_of_the_switch_makes_the_run_invalid(
    thinking: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, cell, records = run(capsys, tmp_path, thinking, THOUGHT, "--no-reasoning")
    assert all("</think>" in (record.calls[0].reply.text or "") for record in records)
    assert rules(cell)["reasoning"] == "invalid"


def test_a_thought_that_never_ends_is_no_answer(
    thinking: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    flags = ("--reasoning", "--reasoning-budget", "20", "--output-tokens", "12")
    _, cell, records = run(capsys, tmp_path, thinking, "root ::= [a-z ]+", *flags)
    for record in records:
        reply = record.calls[0].reply
        assert reply.reasoning and not reply.text
        assert reply.first_visible_ns is None and reply.cut_at_limit
    assert cell.metrics["ttft_s"].status == "ok"
    assert cell.metrics["ttfo_s"].status != "ok"


def test_a_template_that_always_opens_a_thought_cannot_be_told_not_to(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = tmp_path / "always.gguf"
    write_random_gguf(model, template=ALWAYS)
    candidate, _, _ = run(capsys, tmp_path / "off", model, THOUGHT, "--no-reasoning")
    assert "cannot be told not to reason" in str(candidate.latency_ms.error_message)
    _, cell, records = run(capsys, tmp_path / "on", model, THOUGHT, "--reasoning")
    assert all(record.calls[0].reply.reasoning for record in records)
    assert "reasoning" not in rules(cell)
