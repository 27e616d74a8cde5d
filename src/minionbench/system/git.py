"""Which commit a run was started in."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from minionbench.system.tool import TIMEOUT_S, ask


class GitFacts(NamedTuple):
    """State of a git repository; all None outside one, without git, or when git is too slow."""

    sha: str | None
    """Commit checked out; None in a repository without commits, too."""
    branch: str | None
    """None when no branch is checked out."""
    dirty: bool | None
    """Whether there are uncommitted changes, untracked files included."""


UNKNOWN = GitFacts(None, None, None)


def git_facts(folder: Path | None = None, timeout_s: float = TIMEOUT_S) -> GitFacts:
    """The commit, branch and state of the repository around `folder` (None: the current one).

    Nothing is written, no lock is taken and no program that the repository names is run.
    """
    status = ask(
        [
            "git",
            "--no-optional-locks",
            "-c",
            "core.fsmonitor=false",
            "status",
            "--porcelain=v2",
            "--branch",
            "--untracked-files=normal",
            "--ignore-submodules=dirty",
            "-z",
        ],
        folder=folder,
        timeout_s=timeout_s,
    )
    if status is None:
        return UNKNOWN
    sha = branch = None
    dirty = False
    for line in status.split("\0"):
        if line.startswith("# branch.oid "):
            oid = line.removeprefix("# branch.oid ")
            sha = None if oid == "(initial)" else oid
        elif line.startswith("# branch.head "):
            head = line.removeprefix("# branch.head ")
            branch = None if head == "(detached)" else head
        elif line and not line.startswith("#"):
            dirty = True
    return GitFacts(sha, branch, dirty)
