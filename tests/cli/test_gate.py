from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.compare.runs import name_of, write_broken, write_run
from tests.compare.test_baseline import git, repository

__all__ = ["repository"]

QUIET = (1.0, 1.01, 0.99, 1.0, 1.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five runs of a base, five a fifth slower, and five like the base."""
    for number, factor in enumerate(QUIET):
        write_run(tmp_path, number, factor)
        write_run(tmp_path, 10 + number, factor * 1.2)
        write_run(tmp_path, 20 + number, factor * 1.003)
    return tmp_path


def runs(first: int, count: int = 5) -> str:
    return ",".join(name_of(first + number) for number in range(count))


def test_a_slowdown_of_a_fifth_fails_and_none_passes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = ("gate", "-o", str(folder), "--baseline", runs(0))
    slow = call(capsys, *gate, runs(10))
    assert slow.code == 1
    assert "minionbench: failed: 4 metrics are worse" in slow.err
    same = call(capsys, *gate, runs(20))
    assert (same.code, same.err) == (0, "")
    faster = call(capsys, "gate", "-o", str(folder), "--baseline", runs(10), runs(0))
    assert faster.code == 0


def test_what_nobody_can_tell_fails_unless_it_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, 0)
    write_run(tmp_path, 1)
    gate = ("gate", "-o", str(tmp_path), "--baseline", name_of(0), name_of(1), "--metric", "ttft_s")
    result = call(capsys, *gate)
    assert result.code == 1
    assert "of 1 headline metric it cannot be told (--allow-unclear lets that pass)" in result.err
    assert call(capsys, *gate, "--allow-unclear").code == 0


def test_what_is_no_headline_only_must_not_be_worse(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = ("gate", "-o", str(folder), "--baseline", runs(0), runs(20), "--format", "json")
    (one,) = json.loads(call(capsys, *gate, "--threshold", "output_tokens_per_sec=0.1%").out)
    metric = one["cells"][0]["metrics"]["output_tokens_per_sec"]
    assert (metric["headline"], metric["verdict"]) == (False, "cannot tell")
    assert one["verdict"] == "same"
    asked = call(capsys, *gate, "--threshold", "output_tokens_per_sec=0.1%")
    assert asked.code == 0
    named = call(
        capsys,
        *gate,
        *("--threshold", "output_tokens_per_sec=0.1%", "--metric", "output_tokens_per_sec"),
    )
    assert named.code == 1


def test_a_baseline_begins_and_grows_with_what_passes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "ci" / "baseline.json"
    gate = ("gate", "-o", str(folder), "--baseline", str(path))
    missing = call(capsys, *gate, runs(0))
    assert missing.code == 2
    assert f"There is no baseline in {path} yet; --update begins it." in missing.err
    begun = call(capsys, *gate, runs(0, 4), "--update")
    assert begun.code == 0
    assert begun.out == f"The baseline in {path} begins with 4 runs.\n"
    # The documents may go: the baseline holds what is needed.
    for number in range(4):
        (folder / f"{name_of(number)}.json").unlink()
    one = call(capsys, *gate, name_of(20), "--update", "--keep", "4")
    assert one.code == 0, one.out
    assert "holds 4 runs now" in one.err
    before = path.read_bytes()
    assert call(capsys, *gate, runs(10), "--update").code == 1
    assert path.read_bytes() == before
    assert call(capsys, *gate, runs(10), "--reset").code == 0
    again = call(capsys, *gate, runs(10))
    assert again.code == 2
    assert f"{name_of(10)} and 4 more on both sides" in again.err


def test_a_baseline_lives_on_a_branch(
    folder: Path,
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(repository)
    gate = ("gate", "-o", str(folder), "--baseline-branch", "bench")
    assert "no baseline in minionbench-baseline.json on branch bench" in call(capsys, *gate).err
    assert call(capsys, *gate, runs(0), "--update").code == 0
    assert call(capsys, *gate, runs(20)).code == 0
    assert call(capsys, *gate, runs(10)).code == 1
    assert git(repository, "log", "--format=%s", "bench") == "Baseline of 5 runs"
    assert git(repository, "branch", "--show-current") == "main"


def test_a_server_that_does_not_answer_fails_the_gate(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_broken(folder, 99)
    result = call(capsys, "gate", "-o", str(folder), "--baseline", runs(0))
    assert result.code == 1
    assert "the new side failed: No server answers" in result.out
    begun = call(
        capsys, "gate", "-o", str(folder), "--baseline", str(folder / "b.json"), "--update"
    )
    assert begun.code == 2
    assert "These runs make no baseline: No server answers" in begun.err


def test_runs_that_cannot_be_compared_are_wrong_usage(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(folder, 50, engine="engine 2")
    result = call(capsys, "gate", "-o", str(folder), "--baseline", runs(0))
    assert result.code == 2
    assert "--vary engine" in result.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "Say what to hold the runs against"),
        (("--baseline", "a", "--baseline-branch", "b"), "Say what to hold the runs against"),
        (("--baseline", "b.json", "--push", "origin"), "go with --baseline-branch"),
        (("--baseline", "b.json", "--update", "--reset"), "give one of them"),
        (("--baseline", "b.json", "--measure", "", "latest"), "not both"),
        (("--baseline", "a", "--baseline", "b", "--update"), "give --baseline once"),
    ],
)
def test_wrong_usage_is_said(
    capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    result = call(capsys, "gate", *flags)
    assert result.code == 2
    assert message in result.err


def test_a_document_is_never_overwritten_by_a_baseline(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / f"{name_of(0)}.json"
    before = path.read_bytes()
    result = call(capsys, "gate", "-o", str(folder), "--baseline", str(path), "--update", runs(20))
    assert result.code == 2
    assert "is no baseline file" in result.err
    assert path.read_bytes() == before


def test_the_gate_measures_by_a_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = folder / "prints.py"
    script.write_text(
        "import pathlib, sys\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "count = folder / 'count'\n"
        "number = int(count.read_text()) if count.exists() else int(sys.argv[2])\n"
        "count.write_text(str(number + 1))\n"
        "print((folder / f'benchmark_20260101_{number:06}.json').read_text())\n"
    )
    measure = f"{sys.executable} {script} {folder} 10"
    result = call(
        capsys,
        *("gate", "-o", str(folder), "--baseline", runs(0), "--measure", measure, "--repeats", "3"),
    )
    assert result.code == 1
    assert "session 3 of 3" in result.err
    assert "metrics are worse" in result.err
