"""A driver's library without a GPU, and programs that look through it as through the real one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).with_name("nvml_stub.c")
MB = 2**20

DRIVER_NOT_LOADED = 9
NO_PERMISSION = 4
NOT_SUPPORTED = 3
GPU_IS_LOST = 15


def build(folder: Path) -> Path:
    """The folder with the library in it; skips the test where there is no compiler."""
    compiler = shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs gcc and Linux to build a library in the place of NVIDIA's")
    flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wl,-soname,libnvidia-ml.so.1"]
    target = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, *flags, "-o", str(target), str(SOURCE)], check=True)
    return folder


def environment(library: Path, said: Path) -> dict[str, str]:
    """What makes a program take the library for the driver's; `said` is what it says."""
    return {**os.environ, "LD_LIBRARY_PATH": str(library), "NVML_STUB": str(said)}


def run(program: str, env: dict[str, str]) -> Any:
    """What a program prints as JSON, in a process of its own: the library stays where loaded."""
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
