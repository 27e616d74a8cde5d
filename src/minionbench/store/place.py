"""Where runs and registries live: the state directory and its folders."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from minionbench.errors import SetupError, UsageError

STATE_VARIABLES = ("MILTON_STATE_DIR", "STATE_DIR")
"""Environment variables that name the state directory, the first that is set and not empty."""


def state_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The state directory: where everything lies that outlives a run.

    `$MILTON_STATE_DIR`, else `$STATE_DIR` (variables and `~` in them are expanded), else
    `$XDG_STATE_HOME/milton`, else `~/.local/state/milton`. The folder need not exist.

    Raises UsageError when a variable names something that cannot be resolved, SetupError when
    there is no home directory.
    """
    environ = os.environ if environ is None else environ
    for name in STATE_VARIABLES:
        if value := environ.get(name):
            return _expanded(name, value, environ)
    xdg = environ.get("XDG_STATE_HOME", "")
    # The XDG specification: a relative path there is invalid and has to be ignored.
    if os.path.isabs(xdg):
        return Path(xdg) / "milton"
    return _home(environ) / ".local" / "state" / "milton"


def runs_dir(output_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the run documents: the one asked for, else the state directory's.

    Raises UsageError when the folder asked for has no name.
    """
    if output_dir is None:
        return state_dir() / "benchmarks" / "runs"
    if not os.fspath(output_dir):
        raise UsageError("The folder for the documents has no name; give --output-dir a path.")
    return _with_home(Path(output_dir), os.environ).absolute()


def registry_path() -> Path:
    """Where the registry of models is when none is named."""
    return state_dir() / "models" / "registry.json"


def _expanded(name: str, value: str, environ: Mapping[str, str]) -> Path:
    """A variable's path with the variables in it and `~` expanded."""
    undefined: list[str] = []

    def value_of(match: re.Match[str]) -> str:
        variable = match[1] or match[2]
        if variable not in environ:
            undefined.append(variable)
        return environ.get(variable, "")

    path = re.sub(r"\$(?:\{(\w+)\}|(\w+))", value_of, value)
    if undefined:
        raise UsageError(
            f"${name} is {value!r}, but ${undefined[0]} is not set; "
            f"set it, or give ${name} a plain path."
        )
    return _with_home(Path(path), environ).absolute()


def _with_home(path: Path, environ: Mapping[str, str]) -> Path:
    parts = path.parts
    if parts and parts[0] == "~":
        return _home(environ).joinpath(*parts[1:])
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UsageError(f"{path} names a home directory that does not exist.") from error


def _home(environ: Mapping[str, str]) -> Path:
    """The home directory: `$HOME`, or the user's own where that is no absolute path.

    An empty one, which services and containers have, would put everything below the root.
    """
    home = environ.get("HOME", "")
    if not os.path.isabs(home):
        home = _home_of_user()
    if not os.path.isabs(home):
        raise SetupError(
            "There is no home directory to keep runs in: $HOME is empty or unset, and the user "
            "database names none. Set $MILTON_STATE_DIR to a folder."
        )
    return Path(home)


def _home_of_user() -> str:
    """What the user database says; empty where it says nothing."""
    try:
        import pwd
    except ImportError:  # Windows has no such database, and keeps the answer elsewhere.
        return os.path.expanduser("~")
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""
