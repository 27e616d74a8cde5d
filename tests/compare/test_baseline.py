from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from minionbench.compare import (
    Baseline,
    BaselineBranch,
    baseline_of,
    is_baseline,
    read_baseline,
    read_side,
    write_baseline,
)
from minionbench.compare.measurement import Measurement
from minionbench.compare.reading import Wanted
from minionbench.errors import SchemaError, SetupError, UsageError
from tests.compare.measured import failed, latencies, measurement, replicate, run_id
from tests.compare.runs import write_run


def some(first: int = 0, runs: int = 3) -> Baseline:
    return baseline_of(
        latencies("x", [1.0 + n / 10 for n in range(runs)], first=first).measurements
    )


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_run(tmp_path, 1, failures=2)
    made = baseline_of(read_side(["latest"], tmp_path, Wanted()).measurements)
    path = tmp_path / "base.json"
    write_baseline(path, made)
    assert is_baseline(path) and not is_baseline(tmp_path / "benchmark_20260101_000001.json")
    assert read_baseline(path) == made
    assert read_side([str(path)], tmp_path, Wanted()).measurements == made.measurements


def test_failures_are_kept() -> None:
    one = measurement(replicate(ttft_s=failed("broke")))
    baseline = baseline_of((one,))
    assert baseline.measurements == (one,)


def test_the_latest_runs_are_kept() -> None:
    grown = some().with_runs(some(first=10).measurements, keep=4)
    assert grown.run_ids == (run_id(2), run_id(10), run_id(11), run_id(12))
    again = grown.with_runs(some(first=10, runs=1).measurements, keep=4)
    assert again.run_ids == (run_id(2), run_id(11), run_id(12), run_id(10))


def test_very_long_runs_are_kept_without_their_items() -> None:
    asked = [f"i{n}" for n in range(3_000)]
    items = {"ttft_s": dict.fromkeys(asked, 1.0)}
    one = measurement(replicate(ttft_s=1.0, items=items, asked=asked))
    kept = baseline_of((one,)).measurements[0].replicates[0]
    assert (kept.items, kept.asked) == ({}, ())
    assert kept.metrics == one.replicates[0].metrics


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"format": "minionbench-baseline", "version": 1}',
        b'{"format": "minionbench-baseline", "version": 2, "measurements": []}',
        b'{"format": "minionbench-baseline", "version": 1, "measurements": [], "more": 1}',
        b"\xff",
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "base.json"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match="baseline"):
        read_baseline(path)


@pytest.mark.parametrize(
    "one",
    [
        measurement(),
        measurement(replicate(requests=4, failures=5)),
        measurement(replicate(requests=None, ttft_s=-1.0)),
        measurement(replicate(accuracy_pct=1e308)),
        measurement(replicate(output_tokens_per_sec=1e308)),
    ],
)
def test_figures_that_no_run_can_have_are_no_baseline(tmp_path: Path, one: Measurement) -> None:
    path = tmp_path / "base.json"
    write_baseline(path, Baseline(measurements=(one,)))
    with pytest.raises(SchemaError, match="no baseline that can be true"):
        read_baseline(path)


def test_a_baseline_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="cannot be made"):
        write_baseline(tmp_path / "file" / "base.json", some())


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit and an untracked file, where git knows nobody."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "file").write_text("tracked")
    git(folder, "add", "file")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    (folder / "other").write_text("untracked")
    return folder


def git(folder: Path, *command: str) -> str:
    done = subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_branch_keeps_a_baseline_and_nothing_else_changes(repository: Path) -> None:
    before = git(repository, "status", "--porcelain=v2", "--branch")
    branch = BaselineBranch("bench", folder=repository)
    assert branch.read() is None
    branch.write(some(), "first")
    branch.write(some(first=10), "second")
    assert branch.read() == some(first=10)
    assert git(repository, "status", "--porcelain=v2", "--branch") == before
    assert git(repository, "log", "--format=%s", "bench").splitlines() == ["second", "first"]
    assert git(repository, "ls-tree", "--name-only", "bench") == "minionbench-baseline.json"


def test_other_files_of_the_branch_stay(repository: Path) -> None:
    git(repository, "branch", "perf")
    BaselineBranch("perf", "perf.json", folder=repository).write(some(), "kept")
    assert git(repository, "ls-tree", "--name-only", "perf").splitlines() == ["file", "perf.json"]


def test_a_baseline_is_pushed_and_found_by_another_clone(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "remote.git")
    git(repository, "remote", "add", "origin", str(tmp_path / "remote.git"))
    branch = BaselineBranch("bench", folder=repository)
    branch.write(some(), "first")
    branch.push("origin")
    git(tmp_path, "clone", "-q", str(tmp_path / "remote.git"), "other")
    other = BaselineBranch("bench", folder=tmp_path / "other")
    assert other.read() == some()
    other.write(some(first=10), "second")
    assert git(tmp_path / "other", "log", "--format=%s", "bench").splitlines() == [
        "second",
        "first",
    ]
    with pytest.raises(SetupError, match="could not be put on bench"):
        branch.push("nowhere")


def test_a_branch_that_is_behind_is_read_and_continued_from_its_remote(
    repository: Path, tmp_path: Path
) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "--bare", str(remote))
    git(repository, "remote", "add", "origin", str(remote))
    here = BaselineBranch("perf", folder=repository)
    here.write(some(), "first")
    here.push("origin")
    git(tmp_path, "clone", "-q", str(remote), "clone")
    there = BaselineBranch("perf", folder=tmp_path / "clone")
    there.write(some(first=10), "second")
    there.push("origin")
    git(repository, "fetch", "-q", "origin")
    assert here.read() == some(first=10)
    here.write(some(first=20), "third")
    here.push("origin")
    assert git(remote, "log", "--format=%s", "perf").split() == ["third", "second", "first"]


def test_a_branch_that_is_checked_out_is_left_alone(repository: Path) -> None:
    before = git(repository, "rev-parse", "main")
    with pytest.raises(UsageError, match="main is checked out"):
        BaselineBranch("main", folder=repository).write(some(), "oops")
    assert git(repository, "rev-parse", "main") == before


def test_without_a_repository_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no git repository"):
        BaselineBranch("bench", folder=tmp_path).read()
    with pytest.raises(UsageError, match="no name of a branch"):
        BaselineBranch("a..b", folder=tmp_path)
