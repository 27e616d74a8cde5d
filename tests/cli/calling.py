"""Calls the command line as a user does: in this process, or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from minionbench.cli import main


class Called(NamedTuple):
    """What a call left behind."""

    code: int
    out: str
    err: str


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> Called:
    """Runs the command line in this process."""
    code = main(list(arguments))
    captured = capsys.readouterr()
    return Called(code, captured.out, captured.err)


def command(*arguments: str) -> list[str]:
    """The command line of a process of its own."""
    return [sys.executable, "-m", "minionbench", *arguments]


def start(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    """Starts the program in a process of its own, its output piped."""
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen(command(*arguments), text=True, env={**os.environ}, **options)
