"""The registry benchmark as its description says that it is run."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.schema import BenchmarkRun
from scripts.run_autobench import main, run_benchmark

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory whose registry holds one model that is there and one that is not."""
    models = tmp_path / "state" / "models"
    (models / "v1.0").mkdir(parents=True)
    (models / "v1.0" / "weights").write_bytes(bytes(2**20))
    common = {
        "base_model": "llama",
        "distilled_from": None,
        "timestamp": "2025-01-02T03:04:05",
        "metrics": {},
        "active": True,
        "last_good": True,
        "commit_hash": None,
    }
    entries = [
        common | {"version": "v1.0", "quantization": "4bit", "model_path": str(models / "v1.0")},
        common | {"version": "v1.1", "quantization": None, "model_path": "/path/to/model"},
    ]
    (models / "registry.json").write_text(json.dumps(entries))
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def command(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """`python scripts/run_autobench.py` with these arguments, from the checkout's root."""
    return subprocess.run(
        [sys.executable, *python, "scripts/run_autobench.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def documents(folder: Path) -> list[BenchmarkRun]:
    return [BenchmarkRun.load(path) for path in sorted(folder.glob("benchmark_*.json"))]


def test_the_quick_start_works_as_written(state: Path) -> None:
    done = command("--dry-run")
    assert done.returncode == 0, done.stderr
    (run,) = documents(state / "benchmarks" / "runs")
    assert [(c.version, c.model_type) for c in run.candidates] == [
        ("v1.0", "quantized"),
        ("v1.1", "base"),
    ]
    there, absent = run.candidates
    assert {metric.status for metric in there.metrics.values()} == {"skipped"}
    assert there.file_size_mb == 1.0
    for metric in absent.metrics.values():
        assert metric.error_message == "Model path does not exist: /path/to/model"
    assert run.metadata.dry_run
    assert run.metadata.command_line == "scripts/run_autobench.py --dry-run"
    assert run.metadata.run_id in done.stdout


def test_registry_and_folder_can_be_named(state: Path, tmp_path: Path) -> None:
    registry = tmp_path / "registry.json"
    registry.write_text('[{"version": "mine", "model_path": "registry.json"}]')
    done = command("--dry-run", "--registry", str(registry), "--output-dir", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    (run,) = documents(tmp_path / "out")
    assert [c.version for c in run.candidates] == ["mine"]
    assert not (state / "benchmarks").exists()


def test_verbose_says_of_each_model_what_is_missing(state: Path) -> None:
    done = command("--dry-run", "--verbose")
    assert done.returncode == 0, done.stderr
    assert "v1.0" in done.stderr
    assert "/path/to/model" in done.stderr


def test_without_dry_run_what_cannot_be_measured_says_why(state: Path) -> None:
    done = command()
    assert done.returncode == 1, done.stderr
    (run,) = documents(state / "benchmarks" / "runs")
    assert run.metadata.dry_run is False
    there, absent = run.candidates
    assert {metric.status for metric in there.metrics.values()} == {"skipped"}
    assert "holds no GGUF file" in there.latency_ms.metadata["reason"]
    assert {metric.status for metric in absent.metrics.values()} == {"error"}


@pytest.mark.parametrize("content", [None, "", "[", "{}"])
def test_a_registry_that_is_named_and_cannot_be_used_is_exit_2(
    state: Path, tmp_path: Path, content: str | None
) -> None:
    registry = tmp_path / "named.json"
    if content is not None:
        registry.write_text(content)
    done = command("--dry-run", "--registry", str(registry))
    assert done.returncode == 2
    assert str(registry) in done.stderr
    assert "Traceback" not in done.stderr
    assert content is None or registry.read_text() == content
    assert documents(state / "benchmarks" / "runs") == []


def test_without_any_registry_a_dry_run_says_where_it_is_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path))
    done = command("--dry-run")
    assert done.returncode == 0, done.stderr
    (run,) = documents(tmp_path / "benchmarks" / "runs")
    assert run.candidates == ()
    # The table is wrapped to the terminal's width, so that a long path may be broken in two.
    assert str(tmp_path / "models" / "registry.json") in "".join(run.metadata.notes)
    assert "expected at" in " ".join((done.stdout + done.stderr).split())


def test_a_wrong_flag_is_exit_2(state: Path) -> None:
    done = command("--no-such-flag")
    assert done.returncode == 2
    assert "--no-such-flag" in done.stderr


def test_where_minionbench_is_not_installed_the_line_that_installs_it_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    # Without its site module the interpreter finds the standard library alone.
    done = command("--dry-run", python=("-S",))
    assert done.returncode == 3
    assert done.stdout == ""
    assert "minionbench is not installed here" in done.stderr
    assert f"cd {shlex.quote(str(ROOT))} && " in done.stderr
    assert done.stderr.rstrip().endswith(" -m pip install -r requirements.txt")
    assert (ROOT / "requirements.txt").is_file()


def test_programmatic_use_works_as_written(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output_path = run_benchmark(dry_run=True)

    run = BenchmarkRun.load(output_path)

    print(f"Run ID: {run.metadata.run_id}")
    print(f"Candidates: {len(run.candidates)}")

    for candidate in run.candidates:
        print(f"  {candidate.version}: {candidate.model_type}")
        if candidate.latency_ms.status == "ok":
            print(f"    Latency: {candidate.latency_ms.value} ms")

    assert capsys.readouterr().out == (
        f"Run ID: {output_path.stem}\nCandidates: 2\n  v1.0: quantized\n  v1.1: base\n"
    )


def test_arguments_of_the_function_are_those_of_the_flags(state: Path, tmp_path: Path) -> None:
    registry = tmp_path / "registry.json"
    registry.write_text("[]")
    path = run_benchmark(registry_path=registry, output_dir=tmp_path / "out", dry_run=True)
    assert path.parent == tmp_path / "out"
    assert BenchmarkRun.load(path).candidates == ()
    assert main(["--dry-run", "--registry", os.fspath(registry)]) == 0


def test_two_runs_in_the_same_second_both_survive(state: Path) -> None:
    paths = {run_benchmark(dry_run=True) for _ in range(3)}
    assert len(paths) == 3
    assert len(documents(state / "benchmarks" / "runs")) == 3
