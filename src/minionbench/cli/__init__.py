"""The command line: the only room that prints, reads flags and chooses exit codes."""

from __future__ import annotations


def main(arguments: list[str] | None = None) -> int:
    """Runs the program with these arguments (None: the process's own); returns the exit code."""
    from minionbench.cli.app import run_app

    return run_app(arguments)
