from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import click
import pytest

from minionbench.autobench.turn import machine_to_itself
from minionbench.cli.autobench import parse_size, parse_time
from minionbench.schema import BenchmarkRun
from tests.cli.calling import call, start


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "state"))


def registry(tmp_path: Path, *paths: Path | str) -> tuple[str, ...]:
    """A registry of these models, and the flags that name it and a folder for documents."""
    path = tmp_path / "registry.json"
    entries = [
        {"version": f"v{number}", "model_path": str(model)} for number, model in enumerate(paths, 1)
    ]
    path.write_text(json.dumps(entries))
    return ("--registry", str(path), "--output-dir", str(tmp_path / "runs"))


QUICK = ("--metrics", "latency_ms", "-n", "6", "--repeats", "1", "--warmup", "0")


def test_a_registry_is_listed_in_one_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = registry(tmp_path, tmp_path / "gone")
    result = call(capsys, "autobench", "--dry-run", *flags)
    assert result.code == 0
    (path,) = (tmp_path / "runs").glob("benchmark_*.json")
    (candidate,) = BenchmarkRun.load(path).candidates
    assert candidate.version == "v1"
    assert "v1" in result.out and str(path) in result.out
    assert result.err == ""
    result = call(capsys, "autobench", "--dry-run", "--verbose", *flags)
    said = " ".join(result.err.split())
    assert said.startswith(f"v1: {tmp_path / 'gone'} error: latency_ms, ")
    assert f"Model path does not exist: {tmp_path / 'gone'}" in said


def test_no_registry_yet_is_no_error_in_a_dry_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "autobench", "--dry-run")
    assert result.code == 0
    assert "There is no registry yet" in result.out
    assert call(capsys, "autobench").code == 2


def test_a_measured_registry_is_a_table_and_says_what_has_changed(
    random_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = registry(tmp_path, random_model, tmp_path / "gone")
    first = call(capsys, "autobench", *flags, *QUICK)
    assert first.code == 1
    (document,) = (tmp_path / "runs").glob("benchmark_*.json")
    model, _ = BenchmarkRun.load(document).candidates
    latency = model.latency_ms.value
    assert latency is not None
    (line,) = [line for line in first.out.splitlines() if line.strip().startswith("v1  ")]
    assert float(line.split()[2].replace(",", "")) == pytest.approx(latency, rel=0.01)
    (line,) = [line for line in first.out.splitlines() if line.strip().startswith("v2  ")]
    assert line.split()[1:] == ["–", "error"]
    assert f"error: v2 (latency_ms): Model path does not exist: {tmp_path / 'gone'}" in " ".join(
        first.out.split()
    )
    assert "v1: not compared: it was not measured before" in first.out
    assert "2 of 2 models" in first.err and "v1.balanced, repeat 1 of 1" in first.err
    second = call(capsys, "autobench", *flags, *QUICK, "--only", "v1", "--verbose")
    assert second.code in (0, 1)
    after = second.out.partition("Against last time")[2]
    assert f"v1, since {document.stem}:" in after
    assert "latency_ms" in after and "→" in after
    assert "Figures are medians" in second.err


def test_the_document_can_be_had_as_json(
    random_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(
        capsys, "autobench", *registry(tmp_path, random_model), *QUICK, "--format", "json"
    )
    run = BenchmarkRun.from_json(result.out)
    assert run.candidates[0].latency_ms.status == "ok"


def test_wrong_flags_are_exit_2_and_a_taken_machine_is_exit_3(
    random_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = registry(tmp_path, random_model)
    for wrong, words in (
        (("--metrics", "speed"), "no metric speed"),
        (("--only", "v9"), "no version v9"),
        (("--budget", "soon"), "no time"),
        (("--memory-limit", "much"), "no size"),
        (("--resume",), "does not go with --resume"),
    ):
        result = call(capsys, "autobench", *flags, *wrong)
        assert result.code == 2, wrong
        assert words in result.err
    assert call(capsys, "autobench", "--resume", "--output-dir", str(tmp_path)).code == 2
    with machine_to_itself("measuring another"):
        result = call(capsys, "autobench", *flags, *QUICK)
    assert result.code == 3
    assert "measuring another" in result.err


def test_ctrl_c_keeps_what_there_is_and_says_how_to_go_on(
    random_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = registry(tmp_path, random_model)
    process = start("autobench", *flags, *QUICK, "--repeats", "100000")
    assert process.stderr is not None
    seen = ""
    while "repeat 3 of" not in seen:
        seen = process.stderr.readline()
        assert seen, "the run ended by itself"
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    (document,) = (tmp_path / "runs").glob("benchmark_*.json")
    run = BenchmarkRun.load(document)
    assert run.metadata.finished is False
    assert run.candidates[0].latency_ms.status == "ok"
    assert f"go on with --resume {run.metadata.run_id}" in said


def parameter() -> tuple[click.Context, click.Parameter]:
    return click.Context(click.Command("x")), click.Option(["--x"])


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("90s", 90), ("1.5h", 5_400), ("45", 45), ("2 min", 120)]
)
def test_a_time_is_read(text: str, seconds: float) -> None:
    assert parse_time(*parameter(), text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("8G", 8 * 2**30), ("512M", 2**29), ("1.5k", 1_536), ("100", 100), ("2GiB", 2**31)],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(*parameter(), text) == size


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "1 day"])
def test_what_is_none_is_refused(text: str) -> None:
    for parse in (parse_time, parse_size):
        with pytest.raises(click.BadParameter):
            parse(*parameter(), text)
