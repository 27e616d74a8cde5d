"""The programs in examples/ run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize("program", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs_without_a_word_on_standard_error(program: Path) -> None:
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_a_protocol_of_ones_own_takes_about_forty_lines() -> None:
    source = (EXAMPLES / "own_protocol.py").read_text(encoding="utf-8")
    protocol = source.partition("if __name__")[0]
    assert len([line for line in protocol.splitlines() if line.strip()]) <= 40
