"""What the README shows works as it is written."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from minionbench.cli.app import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "docs/decisions", "bench")
    for page in (ROOT / folder).glob("*.md")
)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)


def test_python_snippets_run(root: Path, tmp_path: Path) -> None:
    """Each in a process of its own, without a server: what cannot be measured is in the result."""
    snippets = blocks(root / "README.md", "python")
    assert len(snippets) == 2
    environment = {**os.environ, "MILTON_STATE_DIR": str(tmp_path), "OLLAMA_HOST": "127.0.0.1:1"}
    for snippet in snippets:
        subprocess.run(
            [sys.executable, "-c", snippet],
            cwd=root,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    assert len(list(tmp_path.glob("benchmarks/runs/benchmark_*.json"))) == len(snippets)


def shown_commands(root: Path) -> list[str]:
    lines = [line for block in blocks(root / "README.md", "bash") for line in block.splitlines()]
    return [line for line in lines if line.startswith("minionbench ")]


def test_commands_have_the_flags_that_are_shown(root: Path) -> None:
    shown = shown_commands(root)
    assert len(shown) >= 8
    for line in shown:
        name, *arguments = shlex.split(line.partition(" > ")[0], comments=True)[1:]
        command = import_module(COMMANDS[name][0]).command
        while isinstance(command, click.Group):
            inner = command.get_command(click.Context(command), arguments.pop(0))
            assert inner is not None
            command = inner
        command.make_context(name, arguments)


def test_make_targets_that_are_shown_exist(root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.M))
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (root / page).read_text("utf-8")
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M))
        assert named
        assert named <= targets


def test_exit_codes_are_those_of_the_program(root: Path) -> None:
    from minionbench import errors
    from minionbench.cli.app import INTERRUPTED

    text = (root / "README.md").read_text("utf-8")
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.M)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert codes == {0, INTERRUPTED} | {kind.exit_code for kind in kinds}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str, root: Path) -> None:
    path = root / page
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text("utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target
