"""What an installer gets, what set-up says when something is missing, and what start-up loads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import minionbench
from scripts import preflight


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def pins(lock: Path) -> dict[str, list[str]]:
    """Package → each pinned version (one per range of Python versions) of a lock file."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^ \\;]+)", lock.read_text(), re.M):
        found.setdefault(name, []).append(version)
    return found


def run_python(code: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=env or None,
    )


def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(
    root: Path, tmp_path: Path
) -> None:
    build = "import sys; from flit_core.buildapi import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=root, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    folders = {name.partition("/")[0] for name in names}
    assert folders == {"minionbench", f"minionbench-{minionbench.__version__}.dist-info"}
    source = root / "src"
    for pattern in ("*.py", "*.gguf", "*.json", "*.md", "py.typed"):
        for path in source.joinpath("minionbench").rglob(pattern):
            assert path.relative_to(source).as_posix() in names
    assert not [name for name in names if name.endswith(".pyc")]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_requirements_txt_installs_the_project_itself(root: Path) -> None:
    assert (root / "requirements.txt").read_text() == ".\n"


def test_the_lock_satisfies_what_the_project_asks_for(root: Path, project: dict[str, Any]) -> None:
    lock = pins(root / "requirements.lock")
    build = project["dependency-groups"]["build"]
    assert build == project["build-system"]["requires"]
    for line in [*project["project"]["dependencies"], *build]:
        wanted = Requirement(line)
        versions = lock[wanted.name.replace("_", "-")]
        assert all(wanted.specifier.contains(version) for version in versions)


def test_the_two_locks_agree(root: Path, project: dict[str, Any]) -> None:
    run, development = pins(root / "requirements.lock"), pins(root / "requirements-dev.lock")
    assert {name: development.get(name) for name in run} == run
    extra = project["project"]["optional-dependencies"]["dev"]
    assert {Requirement(line).name for line in extra} - development.keys() == set()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_each_locked_package_has_hashes_and_comes_from_no_named_place(
    root: Path, name: str
) -> None:
    text = (root / name).read_text()
    packages = re.findall(r"^\S+==.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)+", text, re.M)
    assert len(packages) == len(re.findall(r"^\S+==", text, re.M)) > 0
    assert not re.search(r"://|^-|@ ", text, re.M)


def test_a_public_name_is_loaded_from_where_it_is_defined() -> None:
    for name in minionbench.__all__:
        assert getattr(minionbench, name) is not None
    assert set(minionbench.__all__) <= set(dir(minionbench))
    with pytest.raises(AttributeError, match="NoSuchName"):
        _ = minionbench.NoSuchName


HEAVY = ("numpy", "xllamacpp", "psutil", "msgspec", "gguf", "asyncio")


@pytest.mark.parametrize(
    "load",
    [
        "import minionbench",
        "from minionbench.cli import main; assert main(['--help']) == 0",
        "from minionbench.cli import main; assert main(['--version']) == 0",
        "import runpy; sys.argv[1:] = ['--help']\n"
        "try: runpy.run_module('minionbench', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0",
    ],
)
def test_start_up_loads_nothing_heavy(load: str) -> None:
    code = f"import sys\n{load}\nprint('LOADED', *(set({HEAVY}) & set(sys.modules)))"
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "LOADED"


def test_preflight_finds_nothing_missing_where_the_tests_run() -> None:
    assert preflight.missing_packages(for_tests=True) == []


VENV_PACKAGE = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"


@pytest.mark.parametrize(
    ("lacking", "arguments", "packages"),
    [
        ("sys.modules['ensurepip'] = None", (), VENV_PACKAGE),
        (
            "import ctypes\ndef absent(name): raise OSError(name)\nctypes.CDLL = absent",
            (),
            "libgomp1",
        ),
        ("os.environ['PATH'] = ''", (), None),
        ("os.environ['PATH'] = ''", ("--for-tests",), "gcc libc6-dev git"),
        (
            "sys.modules['venv'] = None; os.environ['PATH'] = ''",
            ("--for-tests",),
            f"{VENV_PACKAGE} gcc libc6-dev git",
        ),
    ],
)
def test_preflight_names_the_one_command_that_provides_what_is_missing(
    root: Path, lacking: str, arguments: tuple[str, ...], packages: str | None
) -> None:
    code = (
        "import os, runpy, sys\n"
        f"{lacking}\n"
        f"runpy.run_path({str(root / 'scripts' / 'preflight.py')!r}, run_name='__main__')"
    )
    result = run_python(code, *arguments)
    if packages is None:
        assert (result.returncode, result.stderr) == (0, "")
    else:
        assert result.returncode == 3
        assert result.stderr.splitlines()[-1].endswith(f"apt-get install -y {packages}")


def test_preflight_says_that_python_is_too_old(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight, "OLDEST_PYTHON", (9, 9))
    assert preflight.main([]) == 3
    assert "needs Python 9.9 or newer" in capsys.readouterr().err


def make(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs make as from a shell, whether or not a make runs these tests."""
    outer = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
    return subprocess.run(
        ["make", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name not in outer},
    )


def test_make_without_python_says_how_to_get_it(root: Path, tmp_path: Path) -> None:
    result = make(root, "run", "PYTHON=no-such-python", f"VENV={tmp_path / 'venv'}")
    assert result.returncode != 0
    assert "apt-get install -y python3 python3-venv libgomp1" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_a_second_make_installs_nothing(root: Path, tmp_path: Path) -> None:
    """With fresh stamps `make run` goes straight to the program."""
    program = tmp_path / "bin" / "minionbench"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho started: $*\n")
    program.chmod(0o755)
    for stamp in (".made", ".ready-run"):
        (tmp_path / stamp).touch()
    result = make(root, "run", f"VENV={tmp_path}", "RUN_ARGS=-n 1")
    assert (result.stdout, result.stderr) == ("started: run -n 1\n", "")


def test_make_lists_its_targets(root: Path) -> None:
    listed = make(root).stdout
    assert all(f"make {target} " in listed for target in ("run", "test", "lint", "clean"))
