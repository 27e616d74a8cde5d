"""Whole runs: from settings to a saved document."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.ground_truth import ground_truth_server
from minionbench import Q3B, Experiment, Local, Prefill
from minionbench.errors import UsageError
from minionbench.experiment import RunSettings, run_experiment
from minionbench.measuring import Silent
from minionbench.records import RequestRecord
from minionbench.schema import BenchmarkRun
from minionbench.store import list_runs, read_journal, read_records
from tests.study import Questions


def settings(model: str | None, folder: Path, **others: object) -> RunSettings:
    fields: dict[str, object] = {
        "workloads": (Questions("balanced"), Questions("decode")),
        "deployment": Local(model),
        "num_requests": 6,
        "warmup": 1,
        "repeats": 2,
        "output_dir": folder,
    }
    return RunSettings(**(fields | others))  # type: ignore[arg-type]


def test_a_run_is_saved_and_its_metrics_come_from_its_cells(
    random_model: Path, tmp_path: Path
) -> None:
    outcome = run_experiment(settings(f"llamacpp/{random_model}", tmp_path), argv=["test"])
    assert BenchmarkRun.load(outcome.path) == outcome.run
    (candidate,) = outcome.run.candidates
    cells = {cell.cell_id: cell for cell in candidate.cells}
    assert set(cells) == {"balanced", "decode"}
    latency_s = cells["balanced"].metrics["total_latency_s"].value
    assert latency_s is not None and latency_s > 0
    assert candidate.latency_ms.value == pytest.approx(latency_s * 1_000)
    assert candidate.tokens_per_sec.value == cells["decode"].metrics["tokens_per_sec"].value
    assert candidate.peak_ram_mb.status == "ok"
    assert candidate.cove_pass_rate.status == "skipped"
    assert candidate.model_type == "base"
    assert candidate.parameter_count is not None and candidate.parameter_count > 10_000
    assert outcome.run.metadata.finished is True
    assert outcome.run.metadata.command_line == "test"


def test_the_records_lie_beside_the_document_and_belong_to_it(
    random_model: Path, tmp_path: Path
) -> None:
    outcome = run_experiment(settings(f"llamacpp/{random_model}", tmp_path))
    cell = outcome.run.candidates[0].cells[0]
    records = read_records(outcome.path, cell)
    assert len(records) == 1 + 2 * 6
    assert [record.phase for record in records].count("warmup") == 1
    assert all(record.calls[0].prompt is not None for record in records)


def test_the_prefix_is_cold_in_every_request(random_model: Path, tmp_path: Path) -> None:
    """Each item is asked twice; without `cache_prompt: false` the second finds its prefix."""
    outcome = run_experiment(settings(f"llamacpp/{random_model}", tmp_path))
    for cell in outcome.run.candidates[0].cells:
        for record in read_records(outcome.path, cell):
            engine = record.calls[0].reply.engine
            assert engine is not None and engine.cached_tokens == 0


def test_two_streams_get_two_slots(random_model: Path, tmp_path: Path) -> None:
    from minionbench.load import ClosedLoop

    outcome = run_experiment(
        settings(f"llamacpp/{random_model}", tmp_path, load=ClosedLoop(concurrency=2))
    )
    factors = outcome.run.candidates[0].factors
    assert factors is not None
    assert factors.flags["slots"] == 2
    assert outcome.run.candidates[0].cells[0].load.concurrency == 2


def test_a_server_by_url_is_measured_under_the_name_it_gives(tmp_path: Path) -> None:
    with ground_truth_server(ttft_ms=2, itl_ms=0.5, tokens=8) as server:
        outcome = run_experiment(
            settings(None, tmp_path, deployment=Local(None, url=server.base_url))
        )
    (candidate,) = outcome.run.candidates
    assert candidate.version == "ground-truth"
    assert candidate.latency_ms.status == "ok"
    assert candidate.peak_ram_mb.status == "skipped"


def test_a_server_that_is_not_there_gives_a_document_of_errors_that_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path))
    experiment = Experiment(
        workload=Prefill(), deployment=Local("llama3.2"), reasoning=False, quant=Q3B()
    )
    run = experiment.run()
    (candidate,) = run.candidates
    assert candidate.version == "ollama/llama3.2:3b"
    assert {metric.status for metric in candidate.metrics.values()} == {"error"}
    message = candidate.latency_ms.error_message
    assert message is not None
    assert "127.0.0.1:1" in message
    assert "ollama serve" in message
    assert candidate.factors is not None
    assert candidate.factors.reasoning is False
    assert experiment.path is not None
    assert experiment.path.is_relative_to(tmp_path / "benchmarks" / "runs")
    assert BenchmarkRun.load(experiment.path) == run


def test_failing_requests_fail_the_run_and_are_counted(tmp_path: Path) -> None:
    with ground_truth_server(ttft_ms=1, itl_ms=0.2, tokens=4) as server:
        url = server.url(fault="error-event")
        outcome = run_experiment(settings(None, tmp_path, deployment=Local(None, url=url)))
    (candidate,) = outcome.run.candidates
    assert candidate.latency_ms.status == "error"
    assert "All 12 requests failed" in str(candidate.latency_ms.error_message)
    assert candidate.cells[0].verdict.status == "invalid"
    assert outcome.exit_code == 1


def test_a_dry_run_measures_nothing_and_says_what_it_would(tmp_path: Path) -> None:
    outcome = run_experiment(settings("reference/q8_0", tmp_path, dry_run=True))
    assert outcome.run.metadata.dry_run is True
    assert {m.status for m in outcome.run.candidates[0].metrics.values()} == {"skipped"}
    assert any(
        "balanced: 6 items" in note and "2 times" in note for note in outcome.run.metadata.notes
    )
    assert outcome.exit_code == 0


def test_an_interrupted_run_keeps_what_it_measured(random_model: Path, tmp_path: Path) -> None:
    class Interrupting(Silent):
        def record(self, record: RequestRecord) -> None:
            if record.phase == "measured" and record.index == 14:
                os.kill(os.getpid(), signal.SIGINT)

    outcome = run_experiment(
        settings(f"llamacpp/{random_model}", tmp_path, num_requests=12), Interrupting()
    )
    assert outcome.interrupted
    assert outcome.exit_code == 130
    assert outcome.run.metadata.finished is False
    balanced, decode = outcome.run.candidates[0].cells
    assert balanced.metrics["total_latency_s"].status == "ok"
    assert "incomplete" in {reason.rule for reason in decode.verdict.reasons}


def test_a_killed_run_leaves_every_finished_request_and_no_engine(
    random_model: Path, tmp_path: Path
) -> None:
    program = f"""
from pathlib import Path
from minionbench.deployments.single import Local
from minionbench.experiment import RunSettings, run_experiment
from minionbench.measuring import Silent
from tests.study import Questions

class Telling(Silent):
    def record(self, record):
        print(record.index, flush=True)

run_experiment(RunSettings(
    workloads=(Questions(output_tokens=64),), deployment=Local("llamacpp/{random_model}"),
    num_requests=500, repeats=5, output_dir=Path({str(tmp_path)!r})), Telling())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(8)]
    children = [
        int(child)
        for task in Path(f"/proc/{process.pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    assert children
    process.kill()
    process.wait()
    process.stdout.close()
    (entry,) = list_runs(tmp_path)
    assert entry.state == "interrupted"
    kept = [record.index for record in read_journal(entry.folder / "records.jsonl")]
    assert kept[: len(told)] == told
    assert not list(tmp_path.glob("benchmark_*.json"))
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "the engine outlived the harness"
        time.sleep(0.05)


def test_without_text_no_prompt_and_no_answer_is_on_disk(
    random_model: Path, tmp_path: Path
) -> None:
    run_experiment(settings(f"llamacpp/{random_model}", tmp_path, keep_text=False))
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"Question 1" not in written
    assert b"balanced/0/1" in written


def test_the_key_of_a_server_is_nowhere_in_what_a_run_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from minionbench.engines.engine import EngineSettings

    key = "sk-planted-0123456789abcdef"
    monkeypatch.setenv("PLANTED_KEY", key)
    with ground_truth_server(ttft_ms=1, itl_ms=0.2, tokens=4, api_key=key) as server:
        outcome = run_experiment(
            settings(
                None,
                tmp_path,
                deployment=Local(None, url=server.base_url),
                engine=EngineSettings(api_key_env="PLANTED_KEY"),
            ),
            argv=["minionbench", "run", "--header", f"Authorization: Bearer {key}"],
        )
        sent = server.last_request()
    assert outcome.run.candidates[0].latency_ms.status == "ok"
    assert key.encode() in sent, "the test must really have used the key"
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path
    captured = capfd.readouterr()
    assert key not in captured.out + captured.err


def test_a_key_that_is_not_where_the_user_says_is_wrong_usage_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minionbench.engines.engine import EngineSettings

    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    asked = settings(
        None,
        tmp_path,
        deployment=Local(None, url="http://127.0.0.1:1/v1"),
        engine=EngineSettings(api_key_env="NO_SUCH_KEY"),
    )
    with pytest.raises(UsageError, match=r"NO_SUCH_KEY.* is not set"):
        run_experiment(asked)
    monkeypatch.setenv("NO_SUCH_KEY", " ")
    with pytest.raises(UsageError, match=r"NO_SUCH_KEY.* is empty"):
        run_experiment(asked)
    assert list(tmp_path.iterdir()) == []


def test_cells_of_the_same_workload_get_names_of_their_own(
    random_model: Path, tmp_path: Path
) -> None:
    twice = (Questions("my data/set.jsonl"), Questions("my data/set.jsonl"))
    outcome = run_experiment(
        settings(f"llamacpp/{random_model}", tmp_path, workloads=twice, repeats=1)
    )
    assert [cell.cell_id for cell in outcome.run.candidates[0].cells] == [
        "my-data-set.jsonl",
        "my-data-set.jsonl-2",
    ]


@pytest.mark.parametrize(
    ("field", "value"), [("num_requests", 0), ("repeats", 0), ("warmup", -1), ("workloads", ())]
)
def test_settings_that_make_no_run_are_refused(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(UsageError):
        settings("reference/q8_0", tmp_path, **{field: value})


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(UsageError, match="colour"):
        Experiment(Prefill(), colour="red")


def test_a_size_tier_cannot_be_chosen_at_a_server_by_url(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Q3B"):
        run_experiment(
            settings("m", tmp_path, deployment=Local("m", url="http://127.0.0.1:1/v1"), quant=Q3B())
        )


def test_a_workload_longer_than_the_default_context_asks_for_its_own(tmp_path: Path) -> None:
    from training.gguf_file import write_random_gguf

    long_model = tmp_path / "long.gguf"
    write_random_gguf(long_model, context=20_000)
    outcome = run_experiment(
        settings(
            f"llamacpp/{long_model}",
            tmp_path,
            workloads=(Prefill(input_tokens=9_000, output_tokens=2),),
            num_requests=1,
            warmup=0,
            repeats=1,
        )
    )
    factors = outcome.run.candidates[0].factors
    assert factors is not None
    assert 9_000 < factors.flags["context_tokens"] < 10_000


def test_a_workload_longer_than_the_models_context_is_refused_at_once(
    random_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="context"):
        run_experiment(
            settings(f"llamacpp/{random_model}", tmp_path, workloads=(Prefill(input_tokens=9_000),))
        )


def test_a_server_that_dies_late_leaves_a_run_that_was_cut_short(tmp_path: Path) -> None:
    """Ten failures after ninety-five answers are below the limit for failures, and still no end."""
    with ground_truth_server(ttft_ms=0, tokens=2, fault="http-500", fault_from=95) as server:
        outcome = run_experiment(
            settings(
                None,
                tmp_path,
                workloads=(Questions("balanced"),),
                deployment=Local(None, url=server.base_url),
                num_requests=120,
                repeats=1,
                warmup=0,
            )
        )
    (cell,) = outcome.run.candidates[0].cells
    assert all(metric.status != "error" for metric in cell.metrics.values())
    assert outcome.run.metadata.finished is False
    assert outcome.exit_code == 1


def test_a_cell_says_what_length_was_asked_for(random_model: Path, tmp_path: Path) -> None:
    outcome = run_experiment(
        settings(
            f"llamacpp/{random_model}",
            tmp_path,
            workloads=(Prefill(input_tokens=300, output_tokens=5), Prefill(input_tokens=300)),
            num_requests=1,
            warmup=0,
            repeats=1,
        )
    )
    forced, natural = (cell.settings for cell in outcome.run.candidates[0].cells)
    least, most = forced["input_tokens"]
    assert 280 < least <= most < 320
    assert forced["forced_output_tokens"] == [5, 5]
    assert natural["forced_output_tokens"] is None
    assert natural["max_output_tokens"][0] > 5


def test_a_password_in_a_url_is_not_shown_while_starting(tmp_path: Path) -> None:
    stages: list[str] = []

    class Listening(Silent):
        def stage(self, text: str) -> None:
            stages.append(text)

    url = "http://user:hunter2@127.0.0.1:1/v1"
    with pytest.raises(UsageError, match="must not carry"):
        run_experiment(settings(None, tmp_path, deployment=Local(None, url=url)), Listening())
    assert stages and not any("hunter2" in stage for stage in stages)
    assert list_runs(tmp_path) == []
