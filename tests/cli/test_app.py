from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import click
import pytest

import minionbench
from minionbench.cli.app import COMMANDS
from tests.cli import sample
from tests.cli.calling import call, start


def test_every_command_is_listed_and_tells_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    overview = call(capsys, "--help").out
    for name, (module, line) in COMMANDS.items():
        assert f"  {name} " in overview
        assert line in overview
        command = import_module(module).command
        assert isinstance(command, click.Command)
        assert command.name == name
        assert call(capsys, name, "--help").code == 0


def test_the_overview_and_a_commands_own_help_say_the_same() -> None:
    for module, line in COMMANDS.values():
        help_text = import_module(module).command.help
        assert help_text.partition(".")[0].partition(":")[0] == line.removesuffix(".")


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "--version").out == f"minionbench {minionbench.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("run", "--no-such-flag"),
        ("run", "--num-requests", "0"),
        ("run", "--num-requests", "many"),
        ("run", "--timeout-idle", "0"),
        ("run", "--format", "xml"),
        ("runs", "show", "benchmark_20000101_000000"),
        ("runs", "show", "no/such/file.json"),
        ("autobench", "--registry", "no/such/registry.json"),
    ],
)
def test_wrong_usage_leaves_with_2_and_no_traceback(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, *arguments)
    assert result.code == 2
    assert result.out == ""
    assert result.err
    assert "Traceback" not in result.err


def test_a_bug_shows_its_traceback_and_says_that_it_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "broken", ("tests.cli.broken_command", "Fails."))
    result = call(capsys, "broken")
    assert result.code == 1
    assert "ZeroDivisionError: one over nothing" in result.err
    assert "this is a bug in minionbench" in result.err.splitlines()[-1]


def test_ctrl_c_leaves_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "broken", ("tests.cli.broken_command", "Fails."))
    result = call(capsys, "broken", "--how", "interrupt")
    assert (result.code, result.err.strip()) == (130, "minionbench: interrupted")


def test_a_reader_that_goes_away_ends_the_program_without_a_word(tmp_path: Path) -> None:
    sample.run(sample.candidate(sample.cell())).save(tmp_path / f"{sample.RUN_ID}.json")
    read_end, write_end = os.pipe()
    os.close(read_end)
    with start("runs", "show", "-o", str(tmp_path), stdout=write_end) as process:
        os.close(write_end)
        _, err = process.communicate()
    assert (process.returncode, err) == (1, "")
