"""Whole runs of the registry benchmark, on engines with random models."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from minionbench.autobench import Procedure, budget, run_benchmark
from minionbench.autobench.outcome import RULES_OF_QUALITY
from minionbench.autobench.turn import machine_to_itself
from minionbench.clock import monotonic_ns
from minionbench.engines.catalog import ModelSpec, open_engine
from minionbench.engines.engine import EngineSettings
from minionbench.errors import SetupError, UsageError
from minionbench.measuring import Silent
from minionbench.names import REGISTRY_METRICS
from minionbench.records import RequestRecord
from minionbench.schema import BenchmarkRun
from minionbench.store import list_runs, read_records
from minionbench.units import NS_PER_S
from tests.autobench.support import (
    QUICK,
    Acting,
    by_version,
    entry,
    kept,
    measured,
    registry,
    statuses,
    times_measured,
    why,
)
from tests.engines.support import children
from training.gguf_file import write_random_gguf


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory for each test."""
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def q8_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "random-q8_0.gguf"
    write_random_gguf(path, "q8_0")
    return path


def test_every_model_is_measured_and_none_stops_the_others(
    random_model: Path, q8_model: Path, tmp_path: Path
) -> None:
    before = children()
    (tmp_path / "cut.gguf").write_bytes(random_model.read_bytes()[:-1_000])
    (tmp_path / "hugging").mkdir()
    (tmp_path / "hugging" / "config.json").write_text("{}")
    path = registry(
        tmp_path,
        entry("half", random_model),
        entry("gone", "gone.gguf"),
        {"version": "odd", "model_path": 7},
        entry("cut", "cut.gguf"),
        entry("hf", "hugging"),
        entry("small", q8_model, quantization="q8_0"),
    )
    everything = Procedure(
        metrics=REGISTRY_METRICS, num_requests=2, warmup=1, repeats=1, cove_pairs=6, queries=2
    )
    outcome = measured(path, tmp_path, everything)
    assert BenchmarkRun.load(outcome.path) == outcome.run
    assert [candidate.version for candidate in outcome.run.candidates] == [
        *("half", "gone", "odd", "cut", "hf", "small")
    ]
    found = by_version(outcome)
    for name in ("half", "small"):
        model = found[name]
        assert model.latency_ms.status == "ok" and model.tokens_per_sec.status == "ok"
        assert model.peak_ram_mb.value is not None and model.peak_ram_mb.value > 10
        assert model.cove_pass_rate.status == "ok"
        assert model.retrieval_score.status == "ok"
        assert model.peak_vram_mb.status == "skipped"
        assert [cell.cell_id for cell in model.cells] == [
            f"{name}.{cell}"
            for cell in ("prefill", "balanced", "decode", "cove-base", "cove", "retrieval")
        ]
        for cell in model.cells:
            records = read_records(outcome.path, cell)
            assert sum(r.phase == "measured" for r in records) == cell.workload.items
    assert found["small"].quantization == "q8_0"
    assert statuses(found["gone"]) == {"error"} and "does not exist" in why(found["gone"])
    assert statuses(found["odd"]) == {"error"} and "registry[2]" in why(found["odd"])
    assert statuses(found["cut"]) == {"error"} and "is cut off" in why(found["cut"])
    assert statuses(found["hf"]) == {"skipped"} and "safetensors" in why(found["hf"])
    assert outcome.exit_code == 1
    assert children() == before


def test_all_models_answer_the_same_items_in_an_order_of_the_seeds(
    random_model: Path, tmp_path: Path
) -> None:
    path = registry(tmp_path, *(entry(f"v{i}", random_model) for i in range(4)))
    once = Procedure(metrics=("latency_ms",), num_requests=2, warmup=0, repeats=1, seed=3)
    outcome = measured(path, tmp_path, once)
    records = kept(tmp_path, outcome.run.metadata.run_id)
    order = list(dict.fromkeys(record.cell for record in records))
    assert sorted(order) == [f"v{i}.balanced" for i in range(4)]
    assert order != sorted(order)
    items = {cell: [r.item_id for r in records if r.cell == cell] for cell in order}
    assert len(set(map(tuple, items.values()))) == 1
    assert outcome.exit_code in (0, 1)


def test_metrics_that_are_not_asked_for_say_so(random_model: Path, tmp_path: Path) -> None:
    outcome = measured(registry(tmp_path, entry("v1", random_model)), tmp_path)
    (model,) = outcome.run.candidates
    assert [cell.workload.name for cell in model.cells] == ["balanced"]
    assert model.latency_ms.status == "ok"
    for name in set(REGISTRY_METRICS) - {"latency_ms"}:
        assert "not asked for" in why(model, name)


def test_only_the_versions_that_are_named_are_measured(random_model: Path, tmp_path: Path) -> None:
    path = registry(tmp_path, entry("v1", "gone"), entry("v2", random_model))
    outcome = measured(path, tmp_path, only=["v2"])
    assert list(by_version(outcome)) == ["v2"]
    assert "Only v2 of its 2 models." in outcome.run.metadata.notes
    with pytest.raises(UsageError, match="no version v3"):
        measured(path, tmp_path, only=["v3"])


def test_pointwise_orders_by_what_the_embedded_engine_tells_of_its_tokens(tmp_path: Path) -> None:
    path = registry(tmp_path, entry("ref", "reference/q4_0"))
    asked = Procedure(metrics=("retrieval_score",), queries=1, reranking="pointwise")
    (model,) = measured(path, tmp_path, asked).run.candidates
    score = model.retrieval_score
    assert score.status == "ok"
    assert score.metadata["settings"]["relevance"] == "log-probabilities of Yes and No"
    assert score.metadata["repairs"]["unread"] == 0


def test_the_models_of_the_program_itself_have_names(tmp_path: Path) -> None:
    path = registry(tmp_path, entry("ref", "reference/q4_0"))
    (model,) = measured(path, tmp_path).run.candidates
    assert model.latency_ms.status == "ok"
    assert model.parameter_count is not None and model.parameter_count > 1_000_000


def test_a_registry_that_is_edited_meanwhile_changes_nothing(
    random_model: Path, tmp_path: Path
) -> None:
    path = registry(tmp_path, entry("v1", random_model), entry("v2", random_model))
    outcome = measured(path, tmp_path, observer=Acting(1, lambda: path.write_text("[]")))
    assert {str(c.latency_ms.status) for c in outcome.run.candidates} == {"ok"}
    assert any("was changed while" in note for note in outcome.run.metadata.notes)


def test_a_model_that_vanishes_meanwhile_is_an_error_of_its_own(
    random_model: Path, tmp_path: Path
) -> None:
    copies = [tmp_path / name for name in ("a.gguf", "b.gguf", "c.gguf")]
    for copy in copies:
        shutil.copy(random_model, copy)
    path = registry(tmp_path, *(entry(copy.stem, copy) for copy in copies))
    # Whichever is measured first has its file open by then: it goes on, and the others fail.

    def vanish() -> None:
        for copy in copies:
            copy.unlink()

    observer = Acting(1, vanish)
    outcome = measured(path, tmp_path, observer=observer)
    found = [str(candidate.latency_ms.status) for candidate in outcome.run.candidates]
    assert sorted(found) == ["error", "error", "ok"]
    (lost, _) = [c for c in outcome.run.candidates if c.latency_ms.status == "error"]
    assert "There is no file" in why(lost)
    (survivor,) = [c for c in outcome.run.candidates if c.latency_ms.status == "ok"]
    assert any("was changed or removed" in note for note in survivor.notes)


def test_an_engine_that_dies_is_an_error_with_its_last_words(
    random_model: Path, tmp_path: Path
) -> None:
    path = registry(tmp_path, entry("v1", random_model), entry("v2", random_model))

    before = children()

    def kill() -> None:
        (engine,) = children() - before
        os.kill(engine, signal.SIGSEGV)

    procedure = Procedure(
        metrics=("latency_ms", "peak_ram_mb", "cove_pass_rate"), num_requests=2, cove_pairs=6
    )
    outcome = measured(path, tmp_path, procedure, observer=Acting(2, kill))
    (dead,) = [c for c in outcome.run.candidates if c.latency_ms.status == "error"]
    (other,) = [c for c in outcome.run.candidates if c is not dead]
    assert "crashed (SIGSEGV)" in why(dead)
    for name in ("latency_ms", "peak_ram_mb", "cove_pass_rate"):
        assert dead.metrics[name].status == "error"
        assert other.metrics[name].status == "ok"
    assert dead.cells[0].verdict.status == "invalid"
    peak = dead.metrics["peak_ram_mb"].metadata["value_before_the_end"]
    assert peak == dead.cells[0].metrics["peak_ram_mb"].value
    assert outcome.exit_code == 1


def test_how_exactly_instants_are_known_is_nothing_to_a_score(
    random_model: Path, tmp_path: Path
) -> None:
    path = registry(tmp_path, entry("v1", random_model))
    procedure = Procedure(metrics=("latency_ms", "cove_pass_rate"), num_requests=2, cove_pairs=6)
    (model,) = measured(path, tmp_path, procedure).run.candidates
    rules = {
        cell.workload.name: {reason.rule for reason in cell.verdict.reasons} for cell in model.cells
    }
    assert rules["cove"] <= set(RULES_OF_QUALITY)
    assert not rules["balanced"] <= set(RULES_OF_QUALITY)


def test_an_engine_that_falls_silent_costs_its_budget_and_no_more(
    random_model: Path, tmp_path: Path
) -> None:
    path = registry(tmp_path, entry("v1", random_model), entry("v2", random_model))
    before = children()

    def stop() -> None:
        (engine,) = children() - before
        os.kill(engine, signal.SIGSTOP)

    # The budget has to hold the start and a request, on a machine that does other things as well.
    procedure = Procedure(metrics=("latency_ms",), num_requests=2, warmup=0, repeats=1, budget_s=6)
    outcome = measured(path, tmp_path, procedure, observer=Acting(1, stop))
    latencies = [candidate.latency_ms for candidate in outcome.run.candidates]
    silent, other = sorted(latencies, key=lambda metric: "cut_short" not in metric.metadata)
    assert "budget of 6 s was used up" in silent.metadata["cut_short"]
    assert (silent.metadata["requests"], other.metadata["requests"]) == (1, 2)
    assert children() == before


def test_a_damaged_model_is_an_error_with_the_engines_words(
    random_model: Path, tmp_path: Path
) -> None:
    content = random_model.read_bytes()
    place = content.index(b"blk.0.attn_q.weight")
    damaged = content[:place] + b"blk.0.attn_X.weight" + content[place + 19 :]
    (tmp_path / "damaged.gguf").write_bytes(damaged)
    path = registry(tmp_path, entry("v1", "damaged.gguf"))
    (model,) = measured(path, tmp_path).run.candidates
    assert statuses(model) >= {"error"}
    assert "cannot load" in why(model) and "attn_q" in why(model)


def test_a_model_that_needs_more_memory_than_allowed_is_refused_with_the_figures(
    random_model: Path, tmp_path: Path
) -> None:
    path = registry(tmp_path, entry("v1", random_model))
    outcome = measured(path, tmp_path, Procedure(metrics=("latency_ms",), memory_limit_bytes=1_000))
    (model,) = outcome.run.candidates
    assert "was not started" in why(model)
    assert "--memory-limit allows 0.000954 MB" in why(model)


def needed_mb(model: Path, folder: Path) -> int:
    """Memory of its own that an engine with this model takes, its threads' stacks included."""
    spec = ModelSpec("llamacpp", str(model))
    with open_engine(spec, EngineSettings(), log_folder=folder) as engine:
        lines = Path(f"/proc/{engine.pid}/status").read_text().splitlines()
    (data,) = [line for line in lines if line.startswith("VmData:")]
    return int(data.split()[1]) // 1024


def test_a_model_that_grows_over_its_memory_limit_fails_alone(
    random_model: Path, tmp_path: Path
) -> None:
    """Its file is small, and the cache for its context has 256 MB."""
    write_random_gguf(
        tmp_path / "wide.gguf", layers=32, width=256, heads=8, kv_heads=8, context=8_192
    )
    limit_mb = needed_mb(random_model, tmp_path) + 128
    path = registry(tmp_path, entry("wide", "wide.gguf"), entry("small", random_model))
    limited = Procedure(
        metrics=("latency_ms",), num_requests=2, repeats=1, memory_limit_bytes=limit_mb * 2**20
    )
    found = by_version(measured(path, tmp_path, limited))
    assert found["small"].latency_ms.status == "ok", why(found["small"])
    assert found["wide"].latency_ms.status == "error"
    assert f"held to {limit_mb} MB of memory" in why(found["wide"])


def test_a_model_that_uses_up_its_budget_keeps_what_it_has(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The hour passes at once when three requests have been answered, however long they took.
    passed_ns = [0]
    monkeypatch.setattr(budget, "monotonic_ns", lambda: monotonic_ns() + passed_ns[0])
    path = registry(tmp_path, entry("v1", random_model))
    endless = Procedure(
        metrics=("latency_ms", "cove_pass_rate"),
        num_requests=2,
        repeats=100_000,
        cove_pairs=6,
        budget_s=3_600,
    )
    an_hour = Acting(3, lambda: passed_ns.append(passed_ns.pop() + 3_600 * NS_PER_S))
    outcome = measured(path, tmp_path, endless, observer=an_hour)
    (model,) = outcome.run.candidates
    assert model.latency_ms.status == "ok"
    assert "budget of 1 h was used up" in str(model.latency_ms.metadata["cut_short"])
    assert "budget of 1 h was used up after 0 of" in why(model, "cove_pass_rate")
    assert "incomplete" in {reason.rule for reason in model.cells[0].verdict.reasons}
    assert outcome.run.metadata.finished is True
    assert 3 <= len(kept(tmp_path, outcome.run.metadata.run_id)) < 10


def test_a_budget_that_does_not_even_cover_the_start_skips_the_model(
    random_model: Path, tmp_path: Path
) -> None:
    path = registry(tmp_path, entry("v1", random_model))
    hasty = Procedure(metrics=("latency_ms",), budget_s=0.001)
    (model,) = measured(path, tmp_path, hasty).run.candidates
    assert model.latency_ms.status == "skipped"
    assert "budget of 0.001 s was used up" in why(model)


def test_ctrl_c_leaves_a_document_and_resume_measures_the_rest_once(
    random_model: Path, tmp_path: Path
) -> None:
    path = registry(tmp_path, *(entry(f"v{i}", random_model) for i in range(3)))
    interrupt = Acting(6, lambda: os.kill(os.getpid(), signal.SIGINT))
    first = measured(path, tmp_path, observer=interrupt)
    assert first.interrupted and first.exit_code == 130
    assert first.run.metadata.finished is False
    states = sorted(str(c.latency_ms.status) for c in first.run.candidates)
    assert states == ["ok", "ok", "skipped"]
    (waiting,) = [c for c in first.run.candidates if c.latency_ms.status == "skipped"]
    assert "--resume goes on" in why(waiting)
    before = kept(tmp_path, first.run.metadata.run_id)

    second = measured(None, tmp_path, resume="latest")
    assert second.path == first.path
    assert second.run.metadata.finished is True
    assert BenchmarkRun.load(second.path) == second.run
    after = kept(tmp_path, first.run.metadata.run_id)
    assert after[: len(before)] == before
    expected = {(f"v{i}.balanced", index) for i in range(3) for index in range(1, 5)}
    assert times_measured(after) == dict.fromkeys(expected, 1)
    for model in second.run.candidates:
        assert model.latency_ms.metadata["requests"] == 4
        (cell,) = model.cells
        assert read_records(second.path, cell)
    in_parts = [c for c in second.run.candidates if any("in parts" in n for n in c.notes)]
    assert len(in_parts) == 1
    throughput = in_parts[0].cells[0].metrics["requests_per_sec"]
    assert "with a pause" in str(throughput.metadata["reason"])
    assert any(note.startswith("Resumed at") for note in second.run.metadata.notes)
    with pytest.raises(UsageError, match="nothing left to measure"):
        measured(None, tmp_path, resume=first.run.metadata.run_id)


def test_a_killed_run_is_resumed_without_loss_or_repetition(
    random_model: Path, tmp_path: Path
) -> None:
    path = registry(tmp_path, *(entry(f"v{i}", random_model) for i in range(3)))
    program = f"""
from pathlib import Path
from tests.autobench.support import Acting, measured
import os, signal
measured(Path({str(path)!r}), Path({str(tmp_path)!r}),
         observer=Acting(7, lambda: os.kill(os.getpid(), signal.SIGKILL)))
"""
    killed = subprocess.run([sys.executable, "-c", program], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    (run,) = list_runs(tmp_path / "runs")
    assert run.state == "interrupted" and run.folder is not None
    before = kept(tmp_path, run.run_id)
    assert len(before) == 7
    # What a write that was cut off in the middle leaves behind.
    for name in ("records.jsonl", "done.jsonl"):
        with (run.folder / name).open("ab") as file:
            file.write(b'{"cell": "v')

    outcome = measured(None, tmp_path, resume=run.run_id.removeprefix("benchmark_"))
    after = kept(tmp_path, run.run_id)
    assert after[:7] == before
    expected = {(f"v{i}.balanced", index) for i in range(3) for index in range(1, 5)}
    assert times_measured(after) == dict.fromkeys(expected, 1)
    assert {str(c.latency_ms.status) for c in outcome.run.candidates} == {"ok"}
    assert BenchmarkRun.load(outcome.path) == outcome.run
    assert outcome.run.metadata.run_id == run.run_id
    assert outcome.run.metadata.timestamp.startswith("20")


@pytest.mark.parametrize("named", ["model/a.gguf", "model"])
def test_a_model_that_changed_while_the_run_was_interrupted_is_not_mixed(
    named: str, random_model: Path, q8_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    shutil.copy(random_model, tmp_path / "model" / "a.gguf")
    path = registry(tmp_path, entry("v1", named))
    measured(path, tmp_path, observer=Acting(2, lambda: os.kill(os.getpid(), signal.SIGINT)))
    shutil.copy(q8_model, tmp_path / "model" / "a.gguf")
    (model,) = measured(None, tmp_path, resume="latest").run.candidates
    assert model.latency_ms.status == "error"
    assert "do not belong together" in why(model)


def test_a_run_on_items_of_ones_own_is_resumed_from_any_folder(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = registry(tmp_path, entry("v1", random_model))
    pair = {
        "question": "Work out 1 + 1.",
        "parts": [{"subject": "1 + 1", "value": "2", "type": "number"}],
        "clean": "1 + 1 = 2.",
        "planted": "1 + 1 = 3.",
        "error": 0,
    }
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair))
    monkeypatch.chdir(tmp_path)
    procedure = Procedure(metrics=("cove_pass_rate",), cove_file="pairs.jsonl")
    interrupt = Acting(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert measured(path, tmp_path, procedure, observer=interrupt).interrupted
    monkeypatch.chdir("/")
    (model,) = measured(None, tmp_path, resume="latest").run.candidates
    assert model.cove_pass_rate.metadata["n"] == 1


def test_there_may_be_nothing_to_resume(random_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to resume"):
        measured(None, tmp_path, resume="latest")
    with pytest.raises(UsageError, match="no plan"):
        measured(None, tmp_path, resume="benchmark_20260101_000000")


def test_two_runs_never_share_the_machine(random_model: Path, tmp_path: Path) -> None:
    path = registry(tmp_path, entry("v1", random_model))
    with machine_to_itself("measuring something"), pytest.raises(SetupError) as caught:
        measured(path, tmp_path)
    assert caught.value.exit_code == 3
    assert f"process {os.getpid()} of user " in str(caught.value)
    assert ", measuring something, since 2" in str(caught.value)
    assert list_runs(tmp_path / "runs") == []
    assert measured(path, tmp_path).run.candidates[0].latency_ms.status == "ok"


def test_a_fault_of_the_program_with_one_model_spares_the_others(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minionbench.autobench import model_run

    real: Any = vars(model_run)["candidate_of"]

    def faulty(model: object, slug: str, *rest: object, **more: object) -> object:
        if slug == "v1":
            raise ZeroDivisionError("a bug")
        return real(model, slug, *rest, **more)

    monkeypatch.setattr(model_run, "candidate_of", faulty)
    path = registry(tmp_path, entry("v1", random_model), entry("v2", random_model))
    outcome = measured(path, tmp_path)
    found = by_version(outcome)
    assert "which is a bug: ZeroDivisionError: a bug" in why(found["v1"])
    assert found["v2"].latency_ms.status == "ok"
    (trace,) = (tmp_path / "runs").rglob("v1.fault.txt")
    assert "faulty" in trace.read_text()


def test_the_observer_hears_of_every_request_and_of_those_left_out(
    random_model: Path, tmp_path: Path
) -> None:
    class Counting(Silent):
        total = sent = left = 0

        def plan(self, run_id: str, model: str, cells: object) -> None:
            self.total = sum(cell.total for cell in cells)  # type: ignore[attr-defined]

        def record(self, record: RequestRecord) -> None:
            self.sent += 1

        def left_out(self, requests: int, calls: int) -> None:
            self.left += requests

    (tmp_path / "odd.gguf").write_bytes(b"nothing")
    path = registry(
        tmp_path, entry("v1", random_model), entry("v2", "odd.gguf"), entry("v3", "gone")
    )
    observer = Counting()
    measured(path, tmp_path, observer=observer)
    assert (observer.total, observer.sent, observer.left) == (10, 5, 5)


def test_the_function_of_the_seed_measures_too(random_model: Path, tmp_path: Path) -> None:
    path = registry(tmp_path, entry("v1", random_model))
    document = run_benchmark(registry_path=path, output_dir=tmp_path / "out", procedure=QUICK)
    run = BenchmarkRun.load(document)
    assert run.candidates[0].latency_ms.status == "ok"
    assert json.loads(document.read_text())["metadata"]["finished"] is True
