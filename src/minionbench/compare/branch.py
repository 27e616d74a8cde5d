"""A baseline on a branch of a git repository; the working tree is not touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from minionbench.compare.baseline import Baseline, decoded_baseline
from minionbench.errors import SetupError, UsageError

BASELINE_NAME = "minionbench-baseline.json"
"""The file on the branch, where none is named."""
_TIMEOUT_S = 120
_AUTHOR = {"NAME": "minionbench", "EMAIL": "minionbench@localhost"}
"""Who commits where git knows nobody."""


class BaselineBranch:
    """A branch that holds a baseline in one of its files.

    It is read from the local branch; from that of `origin` where there is no local one, or where it
    is behind. Writing adds a commit to the local branch; other files of the branch stay.
    """

    def __init__(
        self, branch: str, name: str = BASELINE_NAME, *, folder: Path | None = None
    ) -> None:
        """`folder` is one inside the repository; None for the current one.

        Raises UsageError for a name that no branch can have.
        """
        self.branch = branch
        self.name = name
        self._folder = folder
        if _git(["check-ref-format", "--branch", branch], folder) is None:
            raise UsageError(f"{branch!r} is no name of a branch")

    @property
    def text(self) -> str:
        """Where the baseline is, in words."""
        return f"{self.name} on branch {self.branch}"

    def read(self) -> Baseline | None:
        """The baseline; None where the branch or its file is not there.

        Raises SetupError outside a repository, SchemaError when the file is no baseline.
        """
        self._require_repository()
        for ref in self._refs():
            content = _git(["show", f"{ref}:{self.name}"], self._folder)
            if content is not None:
                return decoded_baseline(content, f"{self.name} of {ref}")
        return None

    def write(self, baseline: Baseline, message: str) -> None:
        """Adds a commit with the baseline to the branch; begins the branch where there is none.

        Raises SetupError when git refuses, UsageError for a branch that is checked out: its files
        would no longer be those of the working tree.
        """
        self._require_repository()
        used = _git(["worktree", "list", "--porcelain"], self._folder) or b""
        if f"branch refs/heads/{self.branch}".encode() in used.splitlines():
            raise UsageError(
                f"Branch {self.branch} is checked out, so no baseline can be put on it beside the "
                "working tree: name another one, which need not exist yet"
            )
        parent = next(
            (
                found.decode().strip()
                for ref in self._refs()
                if (
                    found := _git(
                        ["rev-parse", "--verify", "-q", f"{ref}^{{commit}}"], self._folder
                    )
                )
            ),
            None,
        )
        blob = self._must(["hash-object", "-w", "--stdin"], given=baseline.encoded())
        with tempfile.TemporaryDirectory(prefix="minionbench-") as scratch:
            index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
            if parent is not None:
                self._must(["read-tree", parent], environ=index)
            entry = f"100644,{blob},{self.name}"
            self._must(["update-index", "--add", "--cacheinfo", entry], environ=index)
            tree = self._must(["write-tree"], environ=index)
        parents = [] if parent is None else ["-p", parent]
        commit = self._must(["commit-tree", tree, *parents, "-m", message], environ=self._author())
        self._must(["update-ref", f"refs/heads/{self.branch}", commit])

    def push(self, remote: str) -> None:
        """Pushes the branch. Raises SetupError when that fails."""
        self._must(["push", remote, f"refs/heads/{self.branch}:refs/heads/{self.branch}"])

    def _refs(self) -> tuple[str, ...]:
        """Where the baseline may be, the latest first."""
        local, remote = f"refs/heads/{self.branch}", f"refs/remotes/origin/{self.branch}"
        behind = _git(["merge-base", "--is-ancestor", local, remote], self._folder) is not None
        return (remote, local) if behind else (local, remote)

    def _require_repository(self) -> None:
        if shutil.which("git") is None:
            raise SetupError("git is not installed, so a baseline cannot be kept on a branch")
        if _git(["rev-parse", "--git-dir"], self._folder) is None:
            raise SetupError(
                "This is no git repository, so there is no branch to keep a baseline on; "
                "--baseline FILE keeps it in a file."
            )

    def _author(self) -> dict[str, str]:
        """Who commits: whom git knows, else the program."""
        known = _git(["var", "GIT_COMMITTER_IDENT"], self._folder) is not None
        if known:
            return {}
        return {
            f"GIT_{role}_{field}": value
            for role in ("AUTHOR", "COMMITTER")
            for field, value in _AUTHOR.items()
        }

    def _must(
        self,
        command: list[str],
        *,
        given: bytes | None = None,
        environ: dict[str, str] | None = None,
    ) -> str:
        try:
            done = _run(command, self._folder, given, environ)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SetupError(f"git {command[0]} did not end: {error}") from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise SetupError(f"The baseline could not be put on {self.branch}: {said}")
        return done.stdout.decode().strip()


def _git(command: list[str], folder: Path | None) -> bytes | None:
    """What git writes; None when it fails or is not there."""
    try:
        done = _run(command, folder, None, None)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _run(
    command: list[str], folder: Path | None, given: bytes | None, environ: dict[str, str] | None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", *command],
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        cwd=folder,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **(environ or {})},
        timeout=_TIMEOUT_S,
        check=False,
    )
