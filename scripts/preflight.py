"""Says what a machine lacks before anything is installed, as the one command that provides it.

Runs under any Python 3, with the standard library alone:

    python3 scripts/preflight.py [--for-tests]

Leaves with 0 when everything is there and with 3 (could not set up) when something is not.
"""

import ctypes
import os
import shutil
import subprocess
import sys

OLDEST_PYTHON = (3, 11)


def missing_packages(for_tests: bool) -> list[str]:
    """The Debian packages that this machine lacks, in the order to install them.

    Running the program needs `venv` with `ensurepip`, and the OpenMP runtime that the embedded
    engine links; the tests need a C compiler with headers and git besides.
    """
    missing = []
    if not has_venv():
        missing.append("python{}.{}-venv".format(*sys.version_info[:2]))
    if sys.platform == "linux" and not has_library("libgomp.so.1"):
        missing.append("libgomp1")
    if for_tests:
        if not compiles_c():
            missing += ["gcc", "libc6-dev"]
        if shutil.which("git") is None:
            missing.append("git")
    return missing


def has_venv() -> bool:
    """Whether `python -m venv` can make an environment with pip in it."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def has_library(name: str) -> bool:
    """Whether the dynamic linker finds a shared library."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def compiles_c() -> bool:
    """Whether there is a C compiler that finds its headers."""
    if shutil.which("gcc") is None:
        return False
    check = subprocess.run(
        ["gcc", "-x", "c", "-fsyntax-only", "-"],
        input=b"#include <stdio.h>\n",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return check.returncode == 0


def main(arguments: list[str]) -> int:
    """Prints what is missing; returns the exit code."""
    found = sys.version_info[:2]
    if found < OLDEST_PYTHON:
        print(
            "minionbench needs Python {}.{} or newer; {} is {}.{}. If another one is installed, "
            "name it: make run PYTHON=python3.12".format(*OLDEST_PYTHON, sys.executable, *found),
            file=sys.stderr,
        )
        return 3
    missing = missing_packages(for_tests="--for-tests" in arguments)
    if not missing:
        return 0
    root = "" if not hasattr(os, "geteuid") or os.geteuid() == 0 else "sudo "
    print(f"This machine lacks {', '.join(missing)}. On Debian or Ubuntu:", file=sys.stderr)
    print(f"    {root}apt-get install -y {' '.join(missing)}", file=sys.stderr)
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
