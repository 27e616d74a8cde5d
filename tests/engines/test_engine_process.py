"""What is told of a process's end; the processes themselves are tested with the engine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from minionbench.engines import engine_process
from minionbench.engines.engine_process import EngineProcess, ending, last_words, oom_kills
from minionbench.errors import DeploymentError


def test_last_words_are_errors_first_each_once_and_fit_to_print(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        b"0.00.001.000 I srv init\n0.00.002.000 E cannot\x1b[31m load \xff\n"
        b"0.00.003.000 E cannot\x1b[31m load \xff\n0.00.004.000 W done\n"
    )
    assert last_words(log) == ["cannot [31m load \N{REPLACEMENT CHARACTER}"]


def test_without_errors_the_last_words_are_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(["one", "", *(f"line {i}" for i in range(20))]))
    assert last_words(log) == [f"line {i}" for i in range(14, 20)]
    assert last_words(tmp_path / "none") == []


def test_of_a_huge_log_only_the_end_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("early\n" * 100_000 + "late\n")
    assert last_words(log) == ["early", "late"]


@pytest.mark.parametrize(
    ("code", "starved", "said"),
    [
        (0, False, "ended by itself with exit code 0."),
        (3, True, "ended by itself with exit code 3."),
        (-15, True, "was ended by SIGTERM."),
        (-6, False, "crashed (SIGABRT)."),
        (-63, False, "was ended by signal 63."),
    ],
)
def test_an_exit_code_becomes_words(code: int, starved: bool, said: str) -> None:
    assert ending(code, starved=starved) == said


def test_only_a_kill_is_laid_to_want_of_memory() -> None:
    assert "while the kernel ran out of memory" in ending(-9, starved=True)
    assert "not by minionbench" in ending(-9, starved=False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_the_kernel_counts_its_kills_for_memory() -> None:
    count = oom_kills()
    assert count is not None
    assert count >= 0


def test_a_program_that_cannot_be_started_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_process, "COMMAND", (str(tmp_path / "none"),))
    with pytest.raises(DeploymentError, match="process cannot be started"):
        EngineProcess(tmp_path)


def test_a_folder_full_of_logs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_process, "MAX_LOGS", 3)
    for name in ("engine.log", "engine-2.log"):
        (tmp_path / name).touch()
    with pytest.raises(DeploymentError, match="full of engine logs"):
        EngineProcess(tmp_path)
